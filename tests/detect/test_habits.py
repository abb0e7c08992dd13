"""Novelty: what was seen is remembered, what never was is news, and the live loop learns minute by minute."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.worlds import START, make_world

from midwatch.core.detect import habits as live
from midwatch.core.detect.daily import DAY_SECONDS, no_days, outside, see_day
from midwatch.core.detect.habits import out_of_habit, remember
from midwatch.core.detect.novelty import LEARN, aligned, blank, novelty, step
from midwatch.core.detect.spans import SPANS, distance, nothing_seen, see
from midwatch.core.loop import tick
from midwatch.core.memory import Memory
from midwatch.core.turn import Turn
from midwatch.model import events as e
from midwatch.model import signals
from midwatch.model.findings import Finding, Incident
from midwatch.model.state import State
from midwatch.model.world import World

HOST, GATEWAY = "host:h1", "service:gateway"
MINUTES = np.arange(600) * 60.0
RNG = np.random.default_rng(4)
values = st.floats(-1e6, 1e6)


@given(arrays(np.float64, st.tuples(st.just(3), st.integers(1, 40)), elements=values))
def test_what_was_seen_is_never_new_and_memory_is_bounded(seen: np.ndarray) -> None:
    spans = nothing_seen(3)
    for column in seen.T:
        spans = see(spans, column)
        assert (distance(spans, column) == 0).all()
    assert spans.low.shape == (3, SPANS)
    for low, high in zip(spans.low, spans.high, strict=True):
        used = low < np.inf
        assert (low[used] <= high[used]).all() and (high[used][:-1] < low[used][1:]).all()
    assert (distance(spans, seen.max(axis=1) + 1.0) == pytest.approx(1.0)) if seen.size else True


def test_a_missing_value_is_neither_new_nor_remembered() -> None:
    once = RNG.normal(0, 1, (2, 400))
    once[:, 250:260] = np.nan
    found = novelty(once, MINUTES[:400])
    assert np.isfinite(found).all() and not found[:, 250:260].any()


def test_rows_know_nothing_of_each_other_and_keep_what_they_know() -> None:
    many = RNG.normal(0, 1, (3, 400)).cumsum(axis=1)
    together = novelty(many, MINUTES[:400])
    np.testing.assert_allclose(together[1], novelty(many[1:2], MINUTES[:400])[0], atol=1e-9)
    state = blank(3)
    for column in range(300):
        state, _, _ = step(state, many[:, column], float(MINUTES[column]))
    moved = aligned(state, np.array([2, 1]), 1)
    for column in range(300, 400):
        state, one, _ = step(state, many[:, column], float(MINUTES[column]))
        moved, other, _ = step(moved, np.array([many[2, column], many[1, column], 0.0]), float(MINUTES[column]))
        np.testing.assert_allclose(other[:2], one[[2, 1]], atol=1e-9)


def test_two_levels_are_a_habit_and_the_middle_between_them_is_news() -> None:
    series = np.where(np.arange(600) % 60 < 30, 1.0, 9.0)[None, :] + RNG.normal(0, 0.05, (1, 600))
    series[0, 500:520] = 5.0
    found = novelty(series, MINUTES)
    assert found[0, 500] > 0.8 and found[0, LEARN:500].max() < 0.1


def test_an_hour_of_the_day_has_its_own_bounds_once_five_days_were_seen() -> None:
    daily, nights = no_days(1), np.array([1.0])
    for hour in range(24 * 7):
        at = hour * 3600.0
        value = np.array([10.0 if hour % 24 < 12 else 1.0])
        at_noon = outside(daily, np.array([10.0]), at, nights * 4)[0]
        if hour % 24 == 18:
            assert at_noon == (9.0 if hour * 3600 > 5 * DAY_SECONDS else 0.0)
        daily = see_day(daily, value, at)
    late = see_day(replace(daily, first_at=np.array([np.nan])), np.array([1.0]), 7 * DAY_SECONDS)
    assert outside(late, np.array([99.0]), 8 * DAY_SECONDS, nights)[0] == 0.0, "a row that came later learns for itself"


# --- the live loop ----------------------------------------------------------------------------------------------------


def world(minute: int, cpu: float, more: bool = False) -> World:
    """The two minutes that end with ``minute``, with a little noise that is the same every time."""
    noise = np.sin(np.arange(24) * 7 + minute) * 0.01
    series = {(HOST, signals.CPU_RATIO): cpu + noise, (GATEWAY, signals.REQUESTS): 100 + 100 * noise}
    if more:
        series[GATEWAY, signals.TIME_MS] = 1000 + 100 * noise
    return make_world(series, start_at=START + (minute - 1) * 60)


def turn(world: World, memory: Memory, state: State | None = None) -> Turn:
    return Turn(state or State(), memory, world, world.now)


def learned(minutes: int = 170) -> Memory:
    memory = Memory(started_at=START)
    for minute in range(1, minutes):
        memory = remember(turn(world(minute, 0.3), memory)).memory
    return memory


def test_a_level_that_never_was_is_told_until_it_is_over() -> None:
    memory = learned()
    assert not list(out_of_habit(turn(world(169, 0.3), memory)))
    odd = remember(turn(world(170, 0.9), memory))
    (finding,) = out_of_habit(odd)
    assert finding.id == f"novel|{HOST}|cpu_ratio" and finding.since_at == START + 170 * 60
    assert "deviations from its habits of 3 hours" in finding.detail
    after = remember(turn(world(172, 0.3), odd.memory))
    assert not list(out_of_habit(after))


def test_a_minute_is_learned_once_and_a_new_series_changes_nothing_for_the_others() -> None:
    memory = learned(40)
    again = remember(turn(world(39, 0.3), memory)).memory
    assert again.habits is memory.habits
    grown = remember(turn(world(40, 0.3, more=True), memory)).memory.habits
    assert grown is not None and memory.habits is not None
    assert grown.keys == (*memory.habits.keys, (GATEWAY, live.MEAN_MS))
    counts = grown.novelty.values.count
    assert counts[0] == counts[1] == memory.habits.novelty.values.count[0] + 1 and counts[2] == 0


def test_an_outage_is_no_habit() -> None:
    memory = learned()
    state = State(incidents={"INC-1": Incident("INC-1", START, START, 2, "")})
    during = remember(turn(world(170, 0.9), memory, state)).memory
    assert during.habits is not None and memory.habits is not None
    assert during.habits.novelty is memory.habits.novelty and during.habits.odd.max() > 0


def test_rooms_are_bounded_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_ROWS", 2)
    memory = remember(turn(world(1, 0.3, more=True), Memory(started_at=START))).memory
    assert memory.habits is not None and len(memory.habits.keys) == 2 and memory.habits.refused == 1
    seen = world(3, 0.3, more=True)
    events, _ = tick(State(), memory, seen, (), seen.now)
    assert "habits" in {event.subject for event in events if isinstance(event, e.GapOpened)}


def test_the_loop_tells_it_and_opens_no_incident() -> None:
    memory, seen = learned(), world(170, 0.9)
    events, kept = tick(State(), memory, seen, (), seen.now)
    assert [event.finding.kind for event in events if isinstance(event, e.FindingOpened)] == ["novel"]
    assert not [event for event in events if isinstance(event, e.IncidentOpened)]
    lost: list[Finding] = list(out_of_habit(turn(seen, Memory(started_at=START))))
    assert not lost and kept.habits is not None
