"""Requests that are told late are no loss of traffic, and a loss is still seen where they are."""

from __future__ import annotations

import numpy as np
import pytest
from tests.worlds import START, STEP, make_world

from midwatch.core.detect.lateness import FORGET_SECONDS, learn_lateness
from midwatch.core.detect.stage import detect
from midwatch.core.memory import Memory
from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.events import FindingOpened
from midwatch.model.state import State

GATEWAY = "service:gateway"


def played(flush_steps: list[int], seed: int, gone_from: int = 10_000, steps: int = 60) -> list[float]:
    """When a loss of traffic was found, in steps, by a watch that looks once a step at a service of 12 requests a step whose
    exporter sends after ``flush_steps`` in turn, so that what came since the last flush is not known yet."""
    truth = np.random.default_rng(seed).poisson(12.0, steps).astype(float)
    truth[gone_from:] = 0.0
    memory, told, due, found = Memory(started_at=START - 600), 0, 0, []
    for now in range(1, steps + 1):
        if now >= due:
            told, due = now, now + flush_steps[now % len(flush_steps)]
        seen = np.where(np.arange(now) < told, truth[:now], 0.0)
        if told < now:  # a part of the step after the last flush
            seen[told] = truth[told] * 0.25
        world = make_world({(GATEWAY, signals.REQUESTS): seen, ("instance:gateway-1", signals.UP): np.ones(now)})
        turn = detect(Turn(State(), memory, world, START + now * STEP + 1.5))
        memory = turn.memory
        found += [now for e in turn.events if isinstance(e, FindingOpened) and e.finding.kind == "traffic_drop"]
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("flush_steps", [[1], [2], [3], [2, 3], [4], [3, 5, 4]])
def test_batches_are_no_loss(flush_steps: list[int], seed: int) -> None:
    assert played(flush_steps, seed) == []


@pytest.mark.parametrize(("flush_steps", "at_most"), [([1], 3), ([2], 5), ([4], 9)])
def test_a_loss_is_seen_as_soon_as_it_can_be_told_from_what_comes_late(flush_steps: list[int], at_most: int) -> None:
    when = played(flush_steps, seed=1, gone_from=40)
    assert when and 43 <= when[0] <= 40 + at_most


def test_what_is_late_is_remembered_by_name_and_forgotten_after_a_while() -> None:
    def turn(names: list[str], values: list[list[float]], memory: Memory, now: float) -> Memory:
        series = {(name, signals.REQUESTS): np.array(row) for name, row in zip(names, values, strict=True)}
        return learn_lateness(Turn(State(), memory, make_world(series), now)).memory

    memory = turn(["service:a", "service:b"], [[9, 0, 0, 0], [9, 9, 9, 9]], Memory(), 0.0)
    memory = turn(["service:b", "service:a", "service:c"], [[9] * 5, [9, 9, 8, 1, 0], [0] * 5], memory, 5.0)
    late = memory.lateness
    assert late is not None and dict(zip(late.names, late.steps, strict=True)) == {
        "service:a": 3.0,
        "service:b": 0.0,
        "service:c": 0.0,
    }
    memory = turn(["service:a"], [[9, 9, 8, 1, 0]], memory, 5.0 + FORGET_SECONDS)
    assert memory.lateness is not None and memory.lateness.steps.tolist() == [2.0]
