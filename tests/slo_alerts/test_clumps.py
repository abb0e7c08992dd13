"""Failures that come together: what is a habit and what is not, and what a habit changes for pages and for the agent."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from msgspec import structs
from tests.slo_alerts.test_alerts import told
from tests.slo_alerts.test_sequential import opened
from tests.worlds import START, flat, make_world

from midwatch.core.memory import Memory
from midwatch.core.slo import clumps
from midwatch.core.slo import ledger as books
from midwatch.core.slo.alerts import judge
from midwatch.core.slo.simulate import Series, play
from midwatch.core.slo.tiers import GUARDED
from midwatch.core.slo.wake import wake
from midwatch.core.turn import Turn
from midwatch.faces.console.alerts import read_alerts
from midwatch.model import signals
from midwatch.model.indicators import Calendar, Composite, Part
from midwatch.model.policy import Policy
from midwatch.model.slo import AlertRules, Slo
from midwatch.model.state import State

GATEWAY = "service:gateway"
SLO = Slo("s", GATEWAY, "ratio", 0.999)
HOURS = 30 * 24
PER_HOUR = 6000.0


def clumpy(rng: np.random.Generator, hours: int = HOURS) -> np.ndarray:
    """Failures of each hour: twenty clumps a week, of 25 on average."""
    return np.array([rng.exponential(25, many).sum().round() for many in rng.poisson(20 / 168, hours)])


def one(bad: np.ndarray, total: np.ndarray | float = PER_HOUR) -> float:
    return float(clumps.habit(bad[None, :], np.broadcast_to(total, bad.shape)[None, :].copy())[0])


def test_independent_failures_are_no_habit_at_any_traffic_and_clumps_are() -> None:
    rng = np.random.default_rng(7)
    for mean in (0.03, 0.3, 3.0, 300.0):
        assert one(rng.poisson(mean, HOURS).astype(float), mean * 2000) <= 0.02 * mean + 1
    swinging = 6000 * (1 + 0.8 * np.sin(np.arange(HOURS) / 24 * 2 * np.pi))
    assert one(rng.poisson(swinging * 0.001).astype(float), swinging) <= 2, "more traffic has more failures"
    assert 20 < one(clumpy(rng)) < 70


@pytest.mark.parametrize(("hours", "times"), [(1, 1), (40, 1), (3, 12)])
def test_real_incidents_are_no_habit(hours: int, times: int) -> None:
    rng = np.random.default_rng(8)
    bad = rng.poisson(3.0, HOURS).astype(float)
    for begin in range(20, 20 + 50 * times, 50):
        bad[begin : begin + hours] = rng.uniform(0.02, 1.0, hours) * PER_HOUR
    assert one(bad) == 0.0


def test_nor_are_three_bad_hours_in_the_first_three_days() -> None:
    bad = np.random.default_rng(8).poisson(3.0, clumps.MIN_HOURS).astype(float)
    bad[20:23] = PER_HOUR
    assert one(bad) == 0.0
    assert 15 < one(np.where(np.arange(clumps.MIN_HOURS) % 8 == 0, 25.0, 0.0)) < 25


def test_of_less_than_three_days_with_traffic_nothing_is_a_habit() -> None:
    rng = np.random.default_rng(9)
    assert one(clumpy(rng, clumps.MIN_HOURS - 1)) == 0.0
    total = np.zeros(HOURS)
    total[-70:] = PER_HOUR
    assert one(np.where(total > 0, clumpy(rng), 0.0), total) == 0.0
    assert one(np.zeros(HOURS)) == 0.0


def turn_with(minutes: int, share: float, habit: bool, slo: Slo = SLO, **rules: object) -> Turn:
    """A watch after a month of clumps (or of none), a quiet day, and ``minutes`` with ``share`` of errors."""
    rng = np.random.default_rng(10)
    bad = clumpy(rng) if habit else rng.poisson(3.0, HOURS).astype(float)
    bad[-24:] = 0.0
    begin = START - minutes * 60.0
    at = np.concatenate([begin - 300.0 * np.arange(HOURS * 12, 0, -1), begin + 10.0 * np.arange(minutes * 6)])
    total = np.concatenate([np.full(HOURS * 12, PER_HOUR / 12), np.full(minutes * 6, PER_HOUR / 360)])
    first = np.arange(HOURS * 12) % 12 == 0  # five minutes of each hour
    whole = np.concatenate([np.repeat(bad, 12) * first, np.full(minutes * 6, share * PER_HOUR / 360)])
    ledger = books.add(books.new_ledger(at[0], books.levels_for(slo)), at, total - whole, total, START)
    memory = replace(Memory(), ledgers={slo.name: ledger}, started_at=at[0])
    policy = Policy(slos=(slo,), alerts=AlertRules(**rules))  # type: ignore[arg-type]
    return Turn(State(policy=policy), memory, make_world({(GATEWAY, signals.REQUESTS): flat(10.0, 9)}), START)


BERLIN = structs.replace(SLO, calendar=Calendar("month", time_zone="Europe/Berlin"))


@pytest.mark.parametrize("slo", [SLO, BERLIN])
def test_a_clump_as_they_usually_come_pages_nobody_and_an_incident_does(slo: Slo) -> None:
    """20 minutes of 5 % errors are 100 failures and 2 % of the budget."""
    assert told(judge(turn_with(20, 0.05, habit=False, slo=slo))) == {"fast": True}
    usual = turn_with(20, 0.05, habit=True, slo=slo)
    assert told(judge(usual)) == {}
    (fast, *_) = read_alerts(usual.state, slo, (), usual.memory.ledgers["s"], START, blind=False)
    assert "100 failed; it wants" in fast.why and "fail together here" in fast.why
    assert told(judge(turn_with(20, 0.05, habit=True, slo=slo, min_failures=0.0))) == {"fast": True}
    assert told(judge(turn_with(55, 0.05, habit=True, slo=slo)))["fast"]
    assert told(judge(turn_with(1, 1.0, habit=True, slo=slo)))["outage"], "a total outage does not wait"


@pytest.mark.parametrize("rule", ["weighted", "all"])
def test_a_composite_knows_the_habits_of_its_parts(rule: Literal["weighted", "all"]) -> None:
    whole = Slo("whole", GATEWAY, "source", 0.999, indicator=Composite((Part("a"), Part("b")), rule))
    parts = [structs.replace(SLO, name=name) for name in ("a", "b")]

    def composed(minutes: int, habit: bool) -> Turn:
        turn = turn_with(minutes, 0.05, habit)
        part = turn.memory.ledgers["s"]
        ledgers = {"whole": books.compose(rule, [(part, 1.0), (part, 1.0)])}
        state = structs.replace(turn.state, policy=structs.replace(turn.state.policy, slos=(whole, *parts)))
        return replace(turn, state=state, memory=replace(turn.memory, ledgers=ledgers))

    def quiet(turn: Turn) -> str:
        return read_alerts(turn.state, whole, (), turn.memory.ledgers["whole"], START, blind=False)[0].why

    assert told(judge(composed(20, habit=False)))["fast"]
    assert "fast" not in told(judge(composed(20, habit=True)))
    assert "200 failed; it wants" in quiet(composed(20, habit=True))
    assert told(judge(composed(55, habit=True)))["fast"]
    assert "its condition holds" in quiet(composed(55, habit=True))


def test_no_habit_hides_more_than_three_times_what_a_tier_asks_for() -> None:
    turn = turn_with(55, 0.05, habit=True)
    ledger = turn.memory.ledgers["s"]
    ring = ledger.counts[2].copy()
    ring[0, :-40] = np.where(np.arange(ring.shape[1] - 40) % 10 == 0, 0.0, ring[0, :-40])  # every tenth hour is dark
    dark = replace(ledger, counts=(*ledger.counts[:2], ring))
    assert clumps.habit_of(dark, START) > 5000
    assert "fast" in told(judge(replace(turn, memory=replace(turn.memory, ledgers={"s": dark})))), "275 of 5,500 failed"


def test_the_agent_is_not_woken_for_a_clump_either_and_is_for_more() -> None:
    # Of 10 s each, so that the sequential test sees them; the clump is 25 failures in five minutes.
    assert len(opened(wake(turn_with(5, 0.05, habit=False)))) == 1
    assert opened(wake(turn_with(5, 0.05, habit=True))) == []
    assert len(opened(wake(turn_with(60, 0.05, habit=True)))) == 1


def test_the_simulation_judges_as_the_watch_does() -> None:
    rng = np.random.default_rng(11)
    for habit in (True, False):
        hourly = clumpy(rng) if habit else rng.poisson(3.0, HOURS).astype(float)
        hourly[-24:] = 0.0
        bad = np.zeros((HOURS, 60))
        bad[:, :5] = hourly[:, None] / 5
        incident = np.full(60, 5.0)
        series = Series(np.concatenate([bad.ravel(), incident]), np.full(HOURS * 60 + 60, 100.0), 60.0)
        played = play(series, SLO, structs.replace(GUARDED, rules=AlertRules(outage=False)))
        fires = played.paging[HOURS * 60 :]
        for minute in range(60):
            end = HOURS * 60 + minute + 1
            at = START - 3600.0 * HOURS + 60.0 * np.arange(end)
            now = at[-1] + 60
            ledger = books.add(books.new_ledger(at[0]), at, (series.total - series.bad)[:end], series.total[:end], now)
            policy = Policy(slos=(SLO,), alerts=AlertRules(outage=False))
            memory = replace(Memory(), ledgers={"s": ledger}, started_at=at[0])
            world = make_world({(GATEWAY, signals.REQUESTS): flat(10.0, 9)})
            live = told(judge(Turn(State(policy=policy), memory, world, now)))
            assert any(live.values()) == fires[minute], (habit, minute)
        assert fires.any() and (30 < fires.argmax() + 1 < 55 if habit else fires.argmax() + 1 == 18)


def test_less_than_an_hour_of_history_is_no_habit_and_no_error() -> None:
    series = Series(np.full(360, 3.0), np.full(360, 30.0), 5.0)
    assert play(series, SLO, GUARDED).paging.any()
