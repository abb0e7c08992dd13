"""Turns of the SLO stage alone: a state, a working set and a World."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from tests.worlds import START, make_world

from midwatch.core.memory import Memory
from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.events import PolicyLoaded, Recorded
from midwatch.model.fold import fold
from midwatch.model.policy import Policy
from midwatch.model.slo import Slo
from midwatch.model.state import State
from midwatch.model.world import SliCounts, World

GATEWAY = "service:gateway"
DAY = 86400.0


def state_of(*slos: Slo, **policy: object) -> State:
    loaded = Policy(slos=tuple(slos), discover_slos=False, **policy)  # type: ignore[arg-type]
    return fold(State(), Recorded(1, START - 1000, PolicyLoaded(loaded)))


def turn_of(state: State, world: World, memory: Memory | None = None, now: float | None = None) -> Turn:
    return Turn(state, memory or Memory(started_at=START - 1000), world, now or world.now)


def requests_world(
    total: Sequence[float] | np.ndarray, errors: Sequence[float] | np.ndarray, start_at: float = START
) -> World:
    return make_world({(GATEWAY, signals.REQUESTS): total, (GATEWAY, signals.ERRORS): errors}, start_at=start_at)


def source_world(*given: SliCounts, now: float | None = None) -> World:
    empty = make_world({})
    return World(
        now=now or max((one.seen_until for one in given), default=START),
        series=empty.series,
        latency=empty.latency,
        logs=empty.logs,
        sli={one.key: one for one in given},
    )


def counts(
    slo: str,
    at: Sequence[float],
    good: Sequence[float],
    total: Sequence[float],
    seen_until: float,
    *,
    group: Mapping[str, str] | None = None,
    gap: str = "",
) -> SliCounts:
    return SliCounts(
        slo,
        tuple((group or {}).items()),
        np.array(at, float),
        np.array(good, float),
        np.array(total, float),
        seen_until,
        gap,
    )
