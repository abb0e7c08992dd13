"""Who carries how much: hours on call, nights and weekends among them, and the pages that came then.

From what the journal says was true, not from what a schedule says now. Night and weekend are those of the person's own
time zone: the night is from 22:00 to 07:00, the weekend Saturday and Sunday.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from midwatch.core.oncall.rotations import midnight
from midwatch.core.oncall.wall import reached, shown
from midwatch.model.events import IncidentAcknowledged, OnCallChanged, PageOrdered, Recorded
from midwatch.model.people import People
from midwatch.model.state import State

NIGHT_BEGINS: Final = timedelta(hours=22)
NIGHT_ENDS: Final = timedelta(hours=7)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Load:
    """One person's share. Hours are counted once for each schedule; ``pages`` are messages of escalations, repeats and
    further channels not counted; ``incidents`` those that woke them; ``acknowledged`` those that they answered."""

    person: str
    hours: float = 0.0
    night_hours: float = 0.0
    weekend_hours: float = 0.0
    pages: int = 0
    night_pages: int = 0
    weekend_pages: int = 0
    incidents: int = 0
    acknowledged: int = 0


def fairness(state: State, recorded: Iterable[Recorded], since: float, until: float) -> tuple[Load, ...]:
    """Everybody of the people files, and whoever carried anything in [since, until): most night pages first. ``recorded``
    are the journal's entries of that time at least."""
    people = state.policy.people
    loads = {person.ident: Load(person.ident) for person in people.people}
    woken: dict[str, set[str]] = {}
    seen: set[str] = set()
    changes: list[tuple[float, OnCallChanged]] = []
    for one in recorded:
        event = one.event
        if not since <= one.at < until:
            continue
        if isinstance(event, OnCallChanged):
            changes.append((one.at, event))
        elif isinstance(event, PageOrdered) and event.run and event.person:
            woken.setdefault(event.person, set()).add(event.incident)
            first = f"{event.incident}/{event.run}/{event.person}/{event.repeat}"
            if first not in seen:
                seen.add(first)
                loads[event.person] = _paged(people, loads.get(event.person, Load(event.person)), one.at)
        elif isinstance(event, IncidentAcknowledged) and event.by in loads:
            loads[event.by] = replace(loads[event.by], acknowledged=loads[event.by].acknowledged + 1)
    for person, start, end in _held(state, changes, since, until):
        loads[person] = _on_call(people, loads.get(person, Load(person)), start, end)
    found = (replace(load, incidents=len(woken.get(ident, ()))) for ident, load in loads.items())
    return tuple(sorted(found, key=lambda load: (-load.night_pages, -load.pages, -load.hours, load.person)))


def _held(
    state: State, changes: list[tuple[float, OnCallChanged]], since: float, until: float
) -> Iterator[tuple[str, float, float]]:
    """Who was on call from when to when. Before the first change it was whom that one relieved."""
    schedules = dict.fromkeys([*(change.schedule for _, change in changes), *state.on_call])
    for schedule in schedules:
        mine = [(at, change) for at, change in changes if change.schedule == schedule]
        now = state.on_call.get(schedule)
        begin = since
        holder = mine[0][1].was if mine else now.person if now and now.since_at < since else ""
        for at, change in mine:
            if holder and at > begin:
                yield holder, begin, at
            begin, holder = at, change.person
        if holder and until > begin:
            yield holder, begin, until


def _paged(people: People, load: Load, at: float) -> Load:
    night, weekend = kind_of(people, load.person, at)
    return replace(
        load,
        pages=load.pages + 1,
        night_pages=load.night_pages + night,
        weekend_pages=load.weekend_pages + weekend,
    )


def kind_of(people: People, ident: str, at: float) -> tuple[bool, bool]:
    """(at night, on a weekend), where the person lives."""
    wall = shown(at, _zone(people, ident))
    of_day = wall - midnight(wall.date())
    return of_day < NIGHT_ENDS or of_day >= NIGHT_BEGINS, wall.weekday() >= 5


def _on_call(people: People, load: Load, start: float, end: float) -> Load:
    zone = _zone(people, load.person)
    night = weekend = 0.0
    day = midnight(shown(start, zone).date())
    while reached(day, zone) < end:
        if day.weekday() >= 5:
            weekend += _overlap(zone, day, day + _DAY, start, end)
        night += _overlap(zone, day, day + NIGHT_ENDS, start, end)
        night += _overlap(zone, day + NIGHT_BEGINS, day + _DAY, start, end)
        day += _DAY
    return replace(
        load,
        hours=load.hours + (end - start) / 3600,
        night_hours=load.night_hours + night / 3600,
        weekend_hours=load.weekend_hours + weekend / 3600,
    )


def _overlap(zone: str, begin: datetime, finish: datetime, start: float, end: float) -> float:
    return max(0.0, min(reached(finish, zone), end) - max(reached(begin, zone), start))


def _zone(people: People, ident: str) -> str:
    person = people.person(ident)
    return person.zone if person else "UTC"
