"""Promises that nobody wrote: how many, and what is said when there are no more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.slo.turns import turn_of
from tests.worlds import START, flat, make_world

from midwatch.core.detect.gaps import gaps
from midwatch.core.slo import discover as stage
from midwatch.core.slo.discover import discover
from midwatch.model import signals
from midwatch.model.events import GapClosed, GapOpened, PolicyLoaded, Recorded, SloDiscovered
from midwatch.model.fold import fold
from midwatch.model.policy import Policy
from midwatch.model.slo import Slo
from midwatch.model.state import State
from midwatch.model.world import World


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "MAX_DISCOVERED", 3)


def services(*names: str) -> World:
    keys = [f"service:{name}" for name in names]
    return make_world({(key, signals.REQUESTS): flat(100.0) for key in keys}, entries=keys)


def written(*names: str) -> State:
    promises = tuple(Slo(name, f"service:{name}", "ratio", 0.99, source="slos.yaml:1") for name in names)
    return fold(State(), Recorded(1, START - 1000, PolicyLoaded(Policy(slos=promises))))


def discovered(state: State, world: World) -> tuple[list[str], State]:
    after = discover(turn_of(state, world))
    return [event.slo.entity for event in after.events if isinstance(event, SloDiscovered)], after.state


def test_written_promises_take_no_room_from_those_that_are_discovered() -> None:
    found, _ = discovered(written("a", "b", "c", "d"), services("a", "b", "x", "y"))
    assert found == ["service:x", "service:y"]


def test_a_reached_bound_is_said_until_there_is_room_again() -> None:
    full = services("v", "w", "x", "y")
    found, state = discovered(written(), full)
    assert found == ["service:v", "service:w", "service:x"], "three entities, also when many come at once"
    assert discovered(state, full)[0] == []
    told = gaps(turn_of(state, full))
    (gap,) = [event for event in told.events if isinstance(event, GapOpened)]
    assert gap.subject == "promises" and "3 entities have promises that nobody wrote" in gap.reason
    assert gaps(turn_of(told.state, full)).events == (), "once"
    asked = replace(
        told, state=fold(told.state, Recorded(99, START, PolicyLoaded(Policy(slos=written("y").policy.slos))))
    )
    assert GapClosed("promises") in gaps(turn_of(asked.state, full)).events
    assert not [e for e in gaps(turn_of(state, services("v", "w", "x"))).events if isinstance(e, GapOpened)]
