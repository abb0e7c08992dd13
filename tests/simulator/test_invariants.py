"""The product's own loop, effects and fold under simulated misfortune. A failure prints the command that repeats it.

``MIDWATCH_SIMULATIONS`` sets how many incidents are run (300 by default).
"""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

from midwatch.core.loop import tick
from midwatch.core.memory import Memory
from midwatch.gym.simulator import main, simulate
from midwatch.gym.simulator.checkers import check
from midwatch.gym.simulator.conditions import Conditions
from midwatch.gym.simulator.fleet import draw_fleet
from midwatch.gym.simulator.policy import policy_of
from midwatch.gym.simulator.run import run
from midwatch.gym.simulator.scenario import draw
from midwatch.gym.simulator.telemetry import Telemetry
from midwatch.gym.simulator.trace import Trace
from midwatch.model.events import (
    ActionOrdered,
    Event,
    FindingClosed,
    IncidentMitigated,
    IncidentOpened,
    IncidentResolved,
    PageOrdered,
    PolicyLoaded,
    Recorded,
)
from midwatch.model.fold import fold, fold_all
from midwatch.model.state import State
from midwatch.model.world import World, empty_world

SIMULATIONS = int(os.environ.get("MIDWATCH_SIMULATIONS", "300"))
LOUD_SEEDS = (1, 2, 4)
"""Incidents of kinds that the loop is sure to see, on auto."""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_invariants_hold_in_every_simulated_incident() -> None:
    report = main(range(SIMULATIONS))
    assert report.ok, "\n".join(report.lines())
    assert all(r.entities >= 16 for r in report.results)
    full = [r for r in report.results if not r.crashes]
    assert all(r.ticks >= 60 for r in full)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", LOUD_SEEDS)
def test_killed_at_every_point_of_an_incident(seed: int) -> None:
    """Before and after every append, before and after every effect: one run per point."""
    scenario = replace(draw(seed, 60), crash_at=())
    points = run(scenario).crash_points
    assert points > 20
    step = max(1, points // 20)
    for point in range(1 + seed % step, points + 1, step):
        trace, result = simulate(seed, 60, crash_at=(point,))
        assert [at for at, _, _ in trace.crashes], f"point {point} of {points} was never reached"
        assert not result.wrong, f"seed {seed}, killed at point {point} ({trace.crashes[0][2]}): {result.wrong}"


def test_a_run_is_the_same_twice() -> None:
    first, second = simulate(10)[0], simulate(10)[0]
    assert [repr(r) for r in first.journal] == [repr(r) for r in second.journal]
    assert first.tried == second.tried


@pytest.mark.parametrize("seed", [21, 22])
def test_an_hour_of_health_is_quiet(seed: int) -> None:
    scenario = replace(draw(seed, 720), faults=(), crash_at=(), jumps={}, mode="auto", people=0.0, nonsense=0.0)
    scenario = replace(scenario, blackouts=(), hands_off=())
    trace = run(scenario)
    assert len(trace.ticks) == 720
    assert not [w for c in check(trace) for w in c.wrong]
    woken = [r for r in trace.journal if isinstance(r.event, PageOrdered) and r.event.incident]  # a hand-off is told
    assert not [r for r in trace.journal if isinstance(r.event, IncidentOpened | ActionOrdered)] + woken
    assert len(trace.journal) <= 100


def _mid_incident(seed: int) -> tuple[Trace, Telemetry]:
    """A run that ends in the middle of an incident, and the telemetry to go on with."""
    scenario = replace(draw(seed, 40), crash_at=(), forget_at=frozenset(), hands_off=(), full=(), mode="shadow")
    trace = run(scenario)
    assert trace.state.open_incidents, f"seed {seed} has no open incident after 40 ticks"
    telemetry = Telemetry(scenario.fleet, np.random.default_rng(1), trace.ended_at, 200, 5.0)
    return trace, telemetry


@pytest.mark.parametrize("blind", [False, True], ids=["memory", "memory and World"])
@pytest.mark.parametrize("seed", LOUD_SEEDS)
def test_memory_deleted_mid_incident_closes_pages_and_does_nothing(seed: int, blind: bool) -> None:
    """The working set is deleted: for as long as the loop warms up nothing closes, pages anew or acts."""
    trace, _ = _mid_incident(seed)
    world = trace.world
    assert world is not None
    state, kept, lost = trace.state, trace.memory, Memory()
    for turn in range(3):
        now = trace.ended_at + 5.0 * turn
        seen = empty_world(now) if blind else world
        would, kept = tick(state, kept, world, (), now)
        events, lost = tick(state, lost, seen, (), now)
        for event in events:
            assert not isinstance(event, IncidentResolved | IncidentMitigated | FindingClosed) or event in would
            assert not isinstance(event, ActionOrdered)
            assert not (isinstance(event, PageOrdered) and event.repeat == 0)
        state = _folded(state, events, now)
    assert {i.id for i in state.open_incidents} == {i.id for i in trace.state.open_incidents}


def _folded(state: State, events: tuple[Event, ...], now: float) -> State:
    for event in events:
        state = fold(state, Recorded(state.seq + 1, now, event))
    return state


def test_a_lull_right_after_a_loss_of_memory_ends_no_burn_rate() -> None:
    """One good step after ten minutes of errors: whoever remembers the last minute does not call that calm, and whoever
    has forgotten it has no right to."""
    scenario = replace(draw(2), warm_steps=0, mode="shadow")
    policy = policy_of(replace(scenario, written_slos=True))
    telemetry = Telemetry(scenario.fleet, np.random.default_rng(1), 1e9, 300, 5.0)
    state, memory = fold_all([Recorded(1, 1e9, PolicyLoaded(policy))]), Memory()
    well, ill = Conditions(scenario.fleet), Conditions(scenario.fleet)
    ill.failing[0] = 0.9
    for number, conditions in enumerate([well] * 40 + [ill] * 120 + [well]):
        telemetry.advance(conditions)
        if number < 160:
            events, memory = tick(state, memory, telemetry.world(telemetry.now, 120), (), telemetry.now)
            state = _folded(state, events, telemetry.now)
    burning = {f for f in state.findings if f.startswith("burn_rate|service:gateway|gateway-avail")}
    burning |= {f for f in state.findings if f.startswith("burn_rate|service:gateway|service:gateway-avail")}
    burning = {f for f in burning if not f.endswith("/outage")}  # that one is about the newest run, and ends with it
    assert burning
    for remembered, world in (
        (memory, telemetry.world(telemetry.now, 120)),
        (Memory(), telemetry.world(telemetry.now, 1)),
    ):
        events, _ = tick(state, remembered, world, (), telemetry.now)
        closed = {e.finding_id for e in events if isinstance(e, FindingClosed)}
        assert not closed & burning, "with its memory" if remembered is memory else "after the loss"


def test_nothing_seen_is_never_well() -> None:
    """An incident stays open through a blackout, however long: no data is not calm."""
    trace, _ = _mid_incident(LOUD_SEEDS[0])
    state, memory = trace.state, trace.memory
    for turn in range(60):
        now = trace.ended_at + 5.0 * turn
        events, memory = tick(state, memory, empty_world(now), (), now)
        assert not any(isinstance(event, IncidentResolved | ActionOrdered) for event in events)
        state = _folded(state, events, now)
    assert state.open_incidents


def test_the_policy_permits_what_it_plays() -> None:
    policy = policy_of(draw(0))
    assert all(p.verb in policy.verbs for p in policy.playbooks)
    state = fold_all([Recorded(1, 0.0, PolicyLoaded(policy))])
    assert set(state.playbooks) == {p.name for p in policy.playbooks}


def test_worlds_of_a_cold_start_are_survived() -> None:
    """No telemetry, then one step, then two: the loop says nothing and raises nothing."""
    fleet = draw_fleet(np.random.default_rng(0))
    scenario = draw(0)
    telemetry = Telemetry(fleet, np.random.default_rng(0), 1e9, 10, 5.0)
    state, memory = State(), Memory()
    for step in range(6):
        now = 1e9 + 5.0 * step
        world: World = telemetry.world(now, 10) if step else empty_world(now)
        events, memory = tick(state, memory, world, (), now)
        assert not any(isinstance(event, IncidentOpened | ActionOrdered | PageOrdered) for event in events)
        state = _folded(state, events, now)
        telemetry.advance(Conditions(fleet))
    assert scenario.fleet is not fleet


def test_the_command_prints_how_to_repeat_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    from midwatch.gym.simulator.cli import simulate as command

    report = command(seed=5, incidents=2)
    assert report["incidents"] == 2
    printed = capsys.readouterr().out
    assert "ordered_only_after_run" in printed
    broken = main([3], tick=_raises)
    assert not broken.ok
    assert any("midwatch gym simulate --seed 3 --incidents 1" in line for line in broken.lines())


def _raises(*_: object) -> tuple[tuple[Event, ...], Memory]:
    raise KeyError("boom")
