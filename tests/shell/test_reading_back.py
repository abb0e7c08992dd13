"""The past of a promise as it comes from a source: all of its period, whatever it is, each second worth the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.shell.test_sources import NOW, Counted, Scene, slo
from tests.slo.turns import source_world, state_of, turn_of

from midwatch.core.memory import Memory
from midwatch.core.slo.budget import budget
from midwatch.core.slo.counting import count
from midwatch.model.errors import SourceError
from midwatch.model.indicators import BoolGauge, Calendar, EventRatio, RawRatio, Slices, Threshold
from midwatch.model.slo import Slo
from midwatch.model.world import SliCounts
from midwatch.shell.asked import MAX_STEPS
from midwatch.shell.reading_back import coarse_step, pieces

DAY = 86400.0


class Steady(Counted):
    """One event a second, of which those before ``bad_until`` are bad."""

    def __init__(self, bad_until: float) -> None:
        super().__init__()
        self.bad_until = bad_until

    async def counts(self, slo: Slo, since_at: float, until_at: float, step_seconds: float) -> Sequence[SliCounts]:
        self.spans.append((since_at, until_at, step_seconds))
        at = np.arange(since_at, until_at, step_seconds)
        worth = {"raw": 1.0, "threshold": step_seconds / min(60.0, step_seconds)}
        total = np.full(at.size, worth.get(slo.indicator.__struct_config__.tag, step_seconds))  # type: ignore[union-attr]
        return [SliCounts(slo.name, (), at, np.where(at < self.bad_until, 0.0, total), total, until_at)]


def read_back(promise: Slo, source: Steady, **settings: Any) -> tuple[Memory, Scene]:
    """The ledgers once everything is read: the loop takes what is there between two looks of the poller."""
    scene = Scene(promise, source=source, **settings)
    memory = Memory(started_at=NOW - 1000)

    async def go() -> Memory:
        nonlocal memory
        state = state_of(promise)
        while True:
            asked = len(source.spans)
            found = await scene.poll()
            assert sum(one.at.size for one in found.values()) <= MAX_STEPS + 2000, "memory is bounded"
            memory = count(turn_of(state, source_world(*found.values(), now=NOW), memory)).memory
            scene.taken.update({key: ledger.seen_until for key, ledger in memory.ledgers.items()})
            scene.begun.update({key: ledger.first_at for key, ledger in memory.ledgers.items()})
            if len(source.spans) == asked:
                return memory

    asyncio.run(go())
    assert scene.poller.counters["source_steps_dropped"] == 0
    spans = sorted(source.spans)
    assert all(end == begin for (_, end, _), (begin, _, _) in pairwise(spans)), "each second once"
    return memory, scene


@pytest.mark.parametrize(
    ("days", "calendar"),
    [
        (30, None),
        (90, None),
        (365, None),
        (92, Calendar("quarter")),
        (92, Calendar("quarter", time_zone="Asia/Kolkata")),
    ],
)
@pytest.mark.parametrize("step", [10.0, 60.0])
def test_a_period_is_read_back_whole(days: int, calendar: Calendar | None, step: float) -> None:
    """Errors at its very begin are in its budget."""
    promise = slo(period_seconds=days * DAY, calendar=calendar)
    source = Steady(NOW - days * DAY + 5 * DAY)
    memory, _ = read_back(promise, source, step_seconds=step)
    found = budget(promise, memory.ledgers["api"], (), NOW)
    since = NOW - days * DAY if calendar is None else found.since_at
    column = 6 * 3600.0  # beyond 33 days; the one that the period's begin cuts counts by its share
    assert found.covered_seconds == pytest.approx(NOW - since, abs=70)
    assert found.total == pytest.approx(NOW - since, abs=column if calendar is None else 70)
    assert found.bad == pytest.approx(max(0.0, source.bad_until - since), abs=column if calendar is None else 70)


def test_the_newest_hours_come_first_and_the_rest_while_new_steps_go_on() -> None:
    async def go() -> None:
        promise = slo(period_seconds=90 * DAY)
        scene = Scene(promise, source=Steady(NOW - 89 * DAY))
        memory = Memory(started_at=NOW - 1000)
        lengths = []
        for turn in range(40):
            found = await scene.poll(60)
            memory = count(turn_of(state_of(promise), source_world(*found.values(), now=scene.now), memory)).memory
            ledger = memory.ledgers["api"]
            scene.take(found)
            assert scene.now - ledger.seen_until <= 75, "what is new does not wait"
            assert ledger.counts[-1][1].sum() == pytest.approx(ledger.seen_until - ledger.first_at), "no second twice"
            lengths.append(ledger.seen_until - ledger.first_at)
            if turn == 1:
                assert lengths[0] < 8 * 3600 and "the past of 1 of 1 promises" in scene.troubles["reading back"]
        assert lengths == sorted(lengths) and lengths[-1] == pytest.approx(90 * DAY, abs=3 * 3600)
        assert scene.troubles["reading back"] == ""
        assert budget(promise, memory.ledgers["api"], (), scene.now).bad > 0, "the oldest day is there"

    asyncio.run(go())


class TwoGroups(Steady):
    """One tenant all the time, and one that left long ago."""

    async def counts(self, slo: Slo, since_at: float, until_at: float, step_seconds: float) -> Sequence[SliCounts]:
        (all_of,) = await super().counts(slo, since_at, until_at, step_seconds)
        old = all_of.at < NOW - 9 * DAY
        groups = [("stays", np.ones_like(old)), ("left", old)]
        return [
            SliCounts(slo.name, (("tenant", name),), all_of.at[of], all_of.good[of], all_of.total[of], until_at)
            for name, of in groups
            if of.any()
        ]


def test_a_group_that_only_the_past_knows_is_in_the_whole() -> None:
    promise = slo(period_seconds=30 * DAY, group_by=("tenant",))
    memory, _ = read_back(promise, TwoGroups(0.0))
    whole, stays, left = (memory.ledgers[key].counts[2][1].sum() for key in ("api", *sorted(memory.ledgers)[:0:-1]))
    assert left == pytest.approx(21 * DAY, abs=3600) and stays == pytest.approx(30 * DAY, abs=3600)
    assert whole == pytest.approx(left + stays)


def test_a_past_that_the_source_refuses_is_tried_again_and_holds_up_nothing() -> None:
    class Forgetful(Steady):
        refused = 0

        async def counts(self, slo: Slo, since_at: float, until_at: float, step_seconds: float) -> Sequence[SliCounts]:
            if step_seconds > 60 and self.refused < 5:
                self.refused += 1
                raise SourceError("prom refuses the query (422): too many samples")
            return await super().counts(slo, since_at, until_at, step_seconds)

    async def go() -> None:
        source = Forgetful(0.0)
        scene = Scene(slo(period_seconds=30 * DAY), source=source)
        for _ in range(10):
            found = await scene.poll(1)
            scene.take(found)
            assert not found["api"].gap and found["api"].seen_until >= scene.now - 75
        assert source.refused == 2, "ever more rarely"
        for _ in range(200):
            scene.take(await scene.poll(1))
        assert scene.troubles["reading back"] == ""
        assert sum(end - begin for begin, end, _ in source.spans) == pytest.approx(30 * DAY, abs=3600)

    asyncio.run(go())


@pytest.mark.parametrize("width", [60.0, 600.0, 3600.0])
def test_slices_are_read_back_one_by_one(width: float) -> None:
    promise = slo(period_seconds=33 * DAY, slices=Slices(width, 0.9))
    memory, _ = read_back(promise, Steady(NOW - 32 * DAY))
    ring = memory.ledgers["api"].counts[2]
    assert ring[1].sum() == pytest.approx(33 * DAY / width, rel=0.01), "none is lost in a coarser step"
    assert ring[1].sum() - ring[0].sum() == pytest.approx(DAY / width, abs=2)


def test_slices_that_no_step_fits_are_refused_with_the_reason() -> None:
    scene = Scene(slo(slices=Slices(30.0, 0.9)), step_seconds=60.0)
    found = asyncio.run(scene.poll())
    assert "30 s are no multiple" in found["api"].gap and "step_seconds" in found["api"].gap
    assert not scene.source.spans


@pytest.mark.parametrize("indicator", [RawRatio("r"), Threshold("v", "lt", 1.0), EventRatio("t", "g"), BoolGauge("up")])
@pytest.mark.parametrize("step", [10.0, 60.0, 100.0])
def test_an_old_second_weighs_as_much_as_a_new_one(indicator: Any, step: float) -> None:
    """Half of the time is read in coarse steps, and all of that was bad."""
    promise = slo(period_seconds=12 * 3600.0, indicator=indicator)
    memory, _ = read_back(promise, Steady(NOW - 6 * 3600.0), step_seconds=step)
    good, total = memory.ledgers["api"].counts[2].sum(axis=1)
    assert good / total == pytest.approx(0.5, abs=0.01)


@given(st.integers(0, 400 * 1440), st.sampled_from([10.0, 60.0]), st.sampled_from([60.0, 120.0, 420.0, 3600.0]))
def test_no_step_lies_in_two_slices(length: int, step: float, width: float) -> None:
    sliced = slo(slices=Slices(width, 0.9))
    coarse = coarse_step(sliced, step)
    assert width % coarse == 0
    until = NOW
    since = until - length * 60.0
    for begin, end, apart in pieces(since, until, step, coarse):
        assert begin % apart == 0 and (end - begin) / apart <= 10_000
