"""Slowness that begins a minute after the first telemetry, at a service that is not called often."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from tests.worlds import flat, make_world

from midwatch.core.detect.symptoms import symptoms
from midwatch.core.memory import Memory
from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.state import State

SERVICE, STEPS, ONSET = "service:policy", 18, 10


def found(steps: int, slow_ms: float, per_step: int = 3, late_steps: int = 0) -> set[str]:
    """The findings after ``steps`` steps, the newest ``late_steps`` of them not reported yet."""
    latency = np.zeros((steps, len(signals.LATENCY_BOUNDS_MS) + 1))
    for step in range(steps - late_steps):
        milliseconds = 20.0 if step < ONSET else slow_ms
        latency[step, bisect_left(signals.LATENCY_BOUNDS_MS, milliseconds)] = per_step
    series = {(SERVICE, signals.REQUESTS): flat(per_step, steps), (SERVICE, signals.ERRORS): flat(0, steps)}
    world = make_world(series, latency={SERVICE: latency})
    return {finding.kind for finding in symptoms(Turn(State(), Memory(), world, world.now))}


def test_slowness_does_not_become_usual_before_there_was_enough_of_it_to_judge() -> None:
    ever = [found(steps, 500.0) for steps in range(ONSET + 1, STEPS + 1)]
    assert {"latency_shift"} in ever
    assert ever[-1] == {"latency_shift"}


def test_it_is_seen_of_a_service_that_reports_two_steps_late() -> None:
    assert any(found(steps, 500.0, 20, late_steps=2) for steps in range(ONSET + 1, STEPS))


def test_as_fast_as_ever_is_no_finding() -> None:
    assert not any(found(steps, 20.0) for steps in range(ONSET, STEPS))
