"""Shifts as an iCalendar feed (RFC 5545), for a calendar of people's own: one event for each shift.

Times are UTC, so that no reader needs our time zones; an event's UID stays the same as long as its shift does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from icalendar import Calendar, Event

from midwatch.core.oncall.schedule import Shift, shifts
from midwatch.model.errors import NotFound
from midwatch.model.people import Schedule
from midwatch.model.state import State

PAST_SECONDS = 31 * 86400.0
AHEAD_SECONDS = 180 * 86400.0
MAX_EVENTS = 5000


def schedule_feed(state: State, name: str, now: float) -> bytes:
    """A schedule's shifts from a month ago to half a year ahead. Raises NotFound."""
    people = state.policy.people
    schedule = people.schedule(name)
    if schedule is None:
        known = ", ".join(s.name for s in people.schedules) or "none"
        raise NotFound(f"there is no schedule {name!r}", hint=f"known: {known}")
    return _feed(state, f"On call: {name}", _shifts(state, schedule, now), now, whole=True)


def person_feed(state: State, ident: str, now: float) -> bytes:
    """A person's shifts in every schedule. Raises NotFound."""
    people = state.policy.people
    person = people.person(ident)
    if person is None:
        known = ", ".join(p.ident for p in people.people) or "nobody"
        raise NotFound(f"no people file knows {ident!r}", hint=f"known: {known}")
    mine = (shift for schedule in people.schedules for shift in _shifts(state, schedule, now))
    found = [shift for shift in mine if shift.person == ident]
    return _feed(state, f"On call: {person.called}", sorted(found, key=lambda s: s.start_at), now, whole=False)


def _shifts(state: State, schedule: Schedule, now: float) -> list[Shift]:
    """Those that began in it: what began before is over, or is cut off and would not keep its UID."""
    since = now - PAST_SECONDS
    found = shifts(state.policy.people, schedule, state.overrides, since, now + AHEAD_SECONDS)
    return [shift for shift in found if shift.person and shift.start_at > since]


def _feed(state: State, title: str, found: Sequence[Shift], now: float, *, whole: bool) -> bytes:
    calendar = Calendar()
    calendar.add("prodid", "-//midwatch//on call//EN")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", title)
    for shift in found[:MAX_EVENTS]:
        person = state.policy.people.person(shift.person)
        called = person.called if person else shift.person
        event = Event()
        event.add("uid", f"{shift.schedule}-{shift.start_at:.0f}-{shift.person}@midwatch")
        event.add("dtstamp", datetime.fromtimestamp(now, UTC))
        event.add("dtstart", datetime.fromtimestamp(shift.start_at, UTC))
        event.add("dtend", datetime.fromtimestamp(shift.end_at, UTC))
        event.add("summary", f"{called} is on call in {shift.schedule}" if whole else f"On call in {shift.schedule}")
        event.add("description", shift.why)
        event.add("transp", "TRANSPARENT")
        calendar.add_component(event)
    return bytes(calendar.to_ical())
