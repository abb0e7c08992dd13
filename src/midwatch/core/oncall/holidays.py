"""Calendars written out as spans: holidays, absences, quiet hours."""

from __future__ import annotations

from collections.abc import Iterator

from midwatch.model.people import Calendar, People, Span


def entry_at(calendar: Calendar | None, at: float) -> Span | None:
    """The entry that holds at this moment, if any."""
    if calendar is None:
        return None
    return next((span for span in calendar.spans if span.start_at <= at < span.end_at), None)


def entries(calendar: Calendar | None, since: float, until: float) -> Iterator[Span]:
    """The entries that touch [since, until)."""
    for span in calendar.spans if calendar else ():
        if span.start_at < until and span.end_at > since:
            yield span


def away(people: People, ident: str, at: float) -> Span | None:
    """The absence of a person that holds at this moment, if any."""
    person = people.person(ident)
    return entry_at(people.calendar(person.away), at) if person and person.away else None


def ends_too_early(calendar: Calendar, until: float) -> bool:
    """Whether the calendar's entries are known only up to a moment before ``until``."""
    return 0 < calendar.known_until_at < until
