"""Whom an incident paged and how that ended: one row for each person and level, however often they were paged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Final

from midwatch.core.learn.timeline import TimelineRow, who
from midwatch.model.events import CommandGiven, IncidentAcknowledged
from midwatch.model.findings import Incident
from midwatch.model.state import PageRecord, State

UNANSWERED: Final = "not answered"
_OVER: Final = "resolved"  # what a page is about that tells of the end


@dataclass(frozen=True)
class Told:
    """``who`` is a person, or a channel where that is all that is known; ``level`` from 1, 0 for none; ``first_at`` in unix
    seconds; ``how`` it ended. ``waited``: nobody had answered when they were paged again or the next level was woken."""

    who: str
    level: int
    first_at: float
    times: int
    how: str
    waited: bool


def paged(state: State, incident: Incident) -> tuple[Told, ...]:
    """In the order in which they were first paged; the notices that it is over are no pages."""
    groups: dict[tuple[str, str, int, int], list[PageRecord]] = {}
    for ident in (incident.id, *incident.absorbed):
        for page in state.pages_of(ident):
            if _OVER not in page.ordered.topics:
                order = page.ordered
                channel = "" if order.person else order.channel
                groups.setdefault((order.person, channel, order.level, order.run), []).append(page)
    said = _said(state, incident)
    begun = sorted((pages[0].ordered_at, run, level) for (_, _, level, run), pages in groups.items())
    found = []
    for (person, channel, level, run), pages in groups.items():
        first = pages[0].ordered_at
        until, taken_by = next(((at, by) for at, by, ends in said if ends and at >= first), (inf, ""))
        own = next((at for at, by, _ in said if first <= at <= until and by == (person or taken_by)), None)
        beside = taken_by in {one for one, _, n, r in groups if (n, r) == (level, run)}
        later = any(r == run and n > level and since < until for since, r, n in begun)
        again = later or (len(pages) > 1 and not beside)
        known = state.policy.people.person(person)
        name = known.called if known else person or channel
        how = _never_came(pages)
        if not how and own is not None:
            how = f"answered{'' if person else f' by {taken_by}'} after {own - first:.0f} s"
        elif not how:
            how = f"{taken_by} answered" if taken_by and not again else UNANSWERED
        found.append(Told(name, level, first, len(pages), how, how == UNANSWERED and again))
    return tuple(sorted(found, key=lambda one: one.first_at))


def rows(state: State, incident: Incident) -> list[TimelineRow]:
    return [TimelineRow(one.first_at, "midwatch", words(one)) for one in paged(state, incident)]


def words(one: Told) -> str:
    """``paged Ana (level 1), 3 times, not answered``."""
    level = f" (level {one.level})" if one.level else ""
    return f"paged {one.who}{level}{f', {one.times} times' if one.times > 1 else ''}, {one.how}"


def _never_came(pages: Iterable[PageRecord]) -> str:
    """Why nobody was woken by them; "" when somebody may have been."""
    statuses = {page.status for page in pages}
    if statuses == {"failed"}:
        return "not delivered"
    return "withdrawn before it was sent" if statuses == {"withdrawn"} else ""


def _said(state: State, incident: Incident) -> list[tuple[float, str, bool]]:
    """When somebody said or did something, who, and whether that took the incident: whoever says that it is over did."""
    found = []
    for deed in state.deeds.get(incident.id, ()):
        event = deed.event
        ends = isinstance(event, IncidentAcknowledged) or (isinstance(event, CommandGiven) and event.verb == "resolve")
        found.append((deed.at, who(event), ends))
    return found
