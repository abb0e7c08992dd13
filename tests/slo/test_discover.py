"""Promises that nobody wrote: how many, and what is said when there are no more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.slo.turns import turn_of
from tests.worlds import START, flat, make_world

from midwatch.core.detect.gaps import gaps
from midwatch.core.memory import Memory
from midwatch.core.slo import discover as stage
from midwatch.core.slo.discover import discover
from midwatch.core.slo.ledger import new_ledger
from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.events import GapClosed, GapOpened, PolicyLoaded, Recorded, SloDiscovered, SloWithdrawn
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


def test_what_is_gone_for_days_makes_room_and_what_is_away_for_a_night_does_not() -> None:
    _, state = discovered(written(), services("v", "w", "x"))
    later = replace(services("w", "x", "y"), now=START + 4 * 86400.0)
    heard = dict.fromkeys(("v-availability", "w-availability", "x-availability"), later.now)

    def turned(started_at: float = START, **changed: float) -> Turn:
        ledgers = {name: replace(new_ledger(START), heard_at=at) for name, at in {**heard, **changed}.items()}
        return discover(turn_of(state, later, Memory(started_at=started_at, ledgers=ledgers)))

    def withdrawn(after: Turn) -> list[str]:
        return [event.slo for event in after.events if isinstance(event, SloWithdrawn)]

    assert withdrawn(turned(**{"v-availability": later.now - 86400.0})) == [], "a night, or a weekend"
    assert withdrawn(discover(turn_of(state, later))) == [], "nobody knows since when"
    assert withdrawn(turned(**{"w-availability": START})) == [], "its traffic is gone, the service is seen"
    assert withdrawn(turned(later.now - 60, **{"v-availability": START})) == [], "the watch was down itself"
    after = turned(**{"v-availability": START})
    assert withdrawn(after) == ["v-availability"] and "v has been gone for days" in str(after.events[0])
    assert discovered(after.state, later)[0] == ["service:y"], "its room is another's in the next turn"
    assert withdrawn(discover(turn_of(state, services("w", "x"), after.memory, later.now))) == [], (
        "nobody wants its room"
    )


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
