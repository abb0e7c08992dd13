"""Who is on call when: the first layer that has somebody, then the overrides in the order in which they were said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from midwatch.core.oncall.holidays import entries, entry_at
from midwatch.core.oncall.rotations import edges, open_at, turn_of
from midwatch.core.oncall.wall import reached, shown
from midwatch.model.people import Override, People, Schedule


@dataclass(frozen=True)
class Shift:
    """[``start_at``, ``end_at``) in unix seconds, all of it one person's ("" for nobody's) for one reason: ``why`` is the
    layer's name, or who said the override."""

    schedule: str
    person: str
    start_at: float
    end_at: float
    why: str = ""

    @property
    def seconds(self) -> float:
        return self.end_at - self.start_at


def on_call(people: People, schedule: Schedule, overrides: Sequence[Override], at: float) -> tuple[str, str]:
    """The person at this moment ("" for nobody), and why. ``overrides`` are those that people said since, in order; of
    other schedules too."""
    person, why = _by_layers(people, schedule, at)
    for one in (*schedule.overrides, *overrides):
        if one.schedule == schedule.name and one.start_at <= at < one.end_at and one.instead_of in ("", person):
            person, why = one.person, f"override {one.ident or one.reason or 'in the file'}".strip()
    return person, why


def _by_layers(people: People, schedule: Schedule, at: float) -> tuple[str, str]:
    wall = shown(at, schedule.zone)
    holiday = entry_at(people.calendar(schedule.holidays), at) is not None
    for layer in schedule.layers:
        if layer.holidays == ("off" if holiday else "only") or not open_at(layer, wall):
            continue
        if person := turn_of(layer.rotation, wall):
            return person, layer.name
    return "", "no layer has anybody"


def shifts(
    people: People, schedule: Schedule, overrides: Sequence[Override], since: float, until: float
) -> tuple[Shift, ...]:
    """[since, until) without gap or overlap, each of one person and for one reason."""
    inside = (mark for mark in _marks(people, schedule, overrides, since, until) if since < mark < until)
    marks = [since, *sorted(set(inside)), until]
    found: list[Shift] = []
    for start, end in pairwise(marks):
        person, why = on_call(people, schedule, overrides, start)
        if found and (found[-1].person, found[-1].why) == (person, why):
            start = found.pop().start_at
        found.append(Shift(schedule.name, person, start, end, why))
    return tuple(found)


def _marks(
    people: People, schedule: Schedule, overrides: Sequence[Override], since: float, until: float
) -> Iterator[float]:
    """Every moment at which somebody else may come on call."""
    first, last = _day(since) - timedelta(days=1), _day(until) + timedelta(days=1)
    for layer in schedule.layers:
        for wall in edges(layer, first, last):
            yield reached(wall, schedule.zone)
    for span in entries(people.calendar(schedule.holidays), since, until):
        yield from (span.start_at, span.end_at)
    for one in (*schedule.overrides, *overrides):
        if one.schedule == schedule.name:
            yield from (one.start_at, one.end_at)


def _day(at: float) -> date:
    return datetime.fromtimestamp(at, UTC).date()
