"""Processes that die again and again, though users feel nothing: the other instances carry on, until they do not.

At least ``MANY`` restarts of one service within ``WINDOW_SECONDS``, and one of its instances at least twice: a rollout that
nobody announced starts each instance once, a service that cannot live starts the same one over. Restarts near a change of
the service, or near an action on it, are what was ordered and do not count.

What is found opens an incident of the lowest severity, which wakes nobody. It is over once the service is heard and nothing
of it died for ``CALM_SECONDS``.

Null rate: none by chance; it takes processes that really started again (docs/detectors.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from midwatch.core.detect.gaps import blind
from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.entity import kind_of, name_of
from midwatch.model.findings import DYING, Finding
from midwatch.model.world import Floats

MANY: Final = 3.0
TWICE: Final = 2.0
WINDOW_SECONDS: Final = 120.0
CALM_SECONDS: Final = 90.0  # longer than the pauses of what dies ``MANY`` times in the window
BEFORE_SECONDS, AFTER_SECONDS = 20.0, 40.0  # so long before and after a change or an action a restart belongs to it


def deaths(turn: Turn) -> Iterator[Finding]:
    """One finding per service that keeps dying."""
    world = turn.world
    names, starts = world.series.block(signals.RESTARTS)
    newest = round(WINDOW_SECONDS / world.series.step_seconds) + 1
    counts = np.nan_to_num(starts[:, -newest:])
    for row in np.flatnonzero(counts.sum(axis=1) >= MANY):
        name = names[row]
        if kind_of(name) != "service":
            continue
        died = counts[row] * _unordered(turn, name)[-newest:]
        total = float(died.sum())
        if total < MANY or not _again(turn, name, died > 0):
            continue
        first = int(np.flatnonzero(died)[0])
        yield Finding(
            id=f"{DYING}|{name}|",
            kind=DYING,
            entity=name,
            since_at=float(world.series.times[-counts.shape[1] :][first]),
            value=total,
            baseline=0.0,
            unit="count",
            detail=f"processes of {name_of(name)} died {total:.0f} times in {WINDOW_SECONDS / 60:.0f} minutes",
        )


def lives(turn: Turn, service: str) -> bool:
    """Whether the service is heard and nothing of it died lately; what is not heard may be dead."""
    grid = turn.world.series
    newest = round(CALM_SECONDS / grid.step_seconds)
    starts = grid.get(service, signals.RESTARTS)
    died = 0.0 if starts is None else float((np.nan_to_num(starts) * _unordered(turn, service))[-newest:].sum())
    heard = np.zeros(grid.steps, dtype=bool)
    for key in (service, *(instance.key for instance in turn.world.instances.get(service, ()))):
        for signal in (signals.UP, signals.REQUESTS):
            series = grid.get(key, signal)
            if series is not None:
                heard |= np.nan_to_num(series) > 0
    return died == 0 and not blind(turn) and int(heard[-newest:].sum()) * 2 >= newest


def _unordered(turn: Turn, service: str) -> Floats:
    """1 per step, 0 near what was changed at the service or done to it. Shape (steps,)."""
    moments = [c.at for c in (*turn.state.changes, *turn.world.changes) if _about(turn, c.entity, service)]
    for record in turn.state.actions.values():
        if record.ordered_at is not None and _about(turn, record.action.target, service):
            moments += [record.ordered_at, record.ended_at or turn.now]
    times = turn.world.series.times
    found = np.ones(len(times))
    for at in moments:
        found[(times >= at - BEFORE_SECONDS) & (times <= at + AFTER_SECONDS)] = 0.0
    return found


def _about(turn: Turn, entity: str, service: str) -> bool:
    if entity == service:
        return True
    known = turn.world.entities.get(entity)
    return known is not None and f"service:{known.labels.get('service', '')}" == service


def _again(turn: Turn, service: str, counted: npt.NDArray[np.bool_]) -> bool:
    """Whether one instance began anew twice in the steps that count; where none says so, whether three steps show it."""
    world = turn.world
    rows = [world.series.get(i.key, signals.RESTARTS) for i in world.instances.get(service, ())]
    each = [float(np.nansum(row[-len(counted) :] * counted)) for row in rows if row is not None]
    if not any(each):
        return int(counted.sum()) >= MANY
    return max(each) >= TWICE
