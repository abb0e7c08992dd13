"""The simulated fleet: its shape, its physics, its arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from midwatch.gym.simulator.conditions import Conditions, solve
from midwatch.gym.simulator.faults import CONTROLS, FAULTS, apply_fault, draw_fault
from midwatch.gym.simulator.fleet import SERVICES, draw_fleet
from midwatch.gym.simulator.scenario import EPOCH, draw
from midwatch.gym.simulator.telemetry import Telemetry
from midwatch.model import signals as sig
from midwatch.model.entity import is_edge
from midwatch.model.faults import FAULT_KINDS
from midwatch.model.world import World


def _telemetry(seed: int, steps: int = 40, kind: str = "healthy") -> tuple[Telemetry, World]:
    rng = np.random.default_rng(seed)
    fleet = draw_fleet(rng)
    telemetry = Telemetry(fleet, rng, EPOCH, steps, 5.0)
    conditions = Conditions(fleet)
    apply_fault(conditions, draw_fault(kind, fleet, rng, EPOCH), EPOCH + 60)
    telemetry.advance(conditions, steps)
    return telemetry, telemetry.world(EPOCH + 5 * steps, steps)


@pytest.mark.parametrize("seed", range(30))
def test_every_fleet_has_the_agreed_services_and_reaches_them_all(seed: int) -> None:
    fleet = draw_fleet(np.random.default_rng(seed))
    assert set(fleet.services) == set(SERVICES) and fleet.services[0] == "gateway"
    assert len(fleet.entities) >= 16
    assert (fleet.caller < fleet.callee).all()  # acyclic: callers come first
    expected = solve(Conditions(fleet))
    assert (expected.rate > 0).all()
    assert expected.mean_ms[0] < 500  # healthy traffic is served well
    assert expected.errors[0] < 0.02


def test_every_kind_of_the_taxonomy_has_physics() -> None:
    assert set(FAULTS) == FAULT_KINDS


@pytest.mark.parametrize("kind", [*FAULTS, *CONTROLS])
def test_faults_hurt_and_controls_do_not(kind: str) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        fleet = draw_fleet(rng)
        before = solve(Conditions(fleet))
        conditions = Conditions(fleet)
        fault = draw_fault(kind, fleet, rng, EPOCH)
        apply_fault(conditions, fault, EPOCH + 100)
        after = solve(conditions)
        assert ((after.errors >= 0) & (after.errors <= 1 + 1e-9)).all()
        worse = (after.errors - before.errors).max() > 0.01 or (after.mean_ms - before.mean_ms).max() > 20
        worse = worse or conditions.queue_consumed == 0
        assert worse == (kind in FAULTS), (kind, seed)
        assert fault.accepted or kind in ("healthy", "database_down", "errors_inside", *CONTROLS)


def test_traffic_below_a_fault_drops_and_errors_begin_where_it_is() -> None:
    fleet = draw_fleet(np.random.default_rng(3))
    conditions = Conditions(fleet)
    victim = int(fleet.caller[fleet.caller > 0][0])
    conditions.failing[victim] = 0.6
    before, after = solve(Conditions(fleet)), solve(conditions)
    below = [int(fleet.callee[call]) for call in fleet.calls_of[victim] if fleet.callee[call] < fleet.size]
    assert all(after.rate[s] < before.rate[s] for s in below)
    assert after.origin[victim] == pytest.approx(0.6)
    assert int(np.argmax(after.root_errors)) == victim or after.root_errors.sum() == 0
    # What the gateway fails is accounted for, entity by entity.
    assert after.root_errors.sum() == pytest.approx(after.errors[0], rel=1e-6)


@pytest.mark.parametrize("kind", ["healthy", "bad_deploy", "crash_loop", "cache_down", "network_fault", "region_dark"])
def test_the_world_adds_up(kind: str) -> None:
    telemetry, world = _telemetry(11, kind=kind)
    series, fleet = world.series, telemetry.fleet
    for number, name in enumerate(fleet.services):
        key = f"service:{name}"
        for signal in (sig.REQUESTS, sig.ERRORS, sig.TIME_MS, sig.ORIGIN_ERRORS):
            whole = series.get(key, signal)
            parts = [series.get(fleet.instance(number, region), signal) for region in (0, 1)]
            assert whole is not None and parts[0] is not None and parts[1] is not None
            np.testing.assert_allclose(whole, parts[0] + parts[1])
        requests, errors = series.get(key, sig.REQUESTS), series.get(key, sig.ERRORS)
        origin, latency = series.get(key, sig.ORIGIN_ERRORS), world.latency.get(key)
        assert requests is not None and errors is not None and origin is not None and latency is not None
        assert (errors <= requests).all() and (origin <= errors).all()
        np.testing.assert_allclose(latency.sum(axis=1), requests)
    for edge in world.edges:
        calls, answered = series.get(edge, sig.CALLS), series.get(edge, sig.ANSWERED)
        lost, failed = series.get(edge, sig.UNANSWERED_ERRORS), series.get(edge, sig.CALL_ERRORS)
        assert calls is not None and answered is not None and lost is not None and failed is not None
        assert (answered + lost <= calls).all() and (lost <= failed).all() and (failed <= calls).all()
    assert all(is_edge(s) or s in world.entities for s in series.index.subjects)


def test_a_world_is_frozen_and_stays_what_it_was() -> None:
    world = _telemetry(5, steps=20)[1]
    with pytest.raises(ValueError, match="read-only"):
        world.series.values[0, 0] = 1.0
    assert not world.latency.counts.flags.writeable


def test_one_seed_is_one_incident_and_kinds_take_turns() -> None:
    assert draw(7).faults == draw(7).faults
    kinds = {draw(seed).kind for seed in range(len(FAULTS) + len(CONTROLS))}
    assert kinds == {*FAULTS, *CONTROLS}
    assert all(draw(seed).ticks >= 60 for seed in range(10))
