"""The sequential test: against a slow oracle, its promise of few false alarms, and the stage that wakes the agent."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.worlds import START, flat, make_world

from midwatch.core.detect.incidents import group
from midwatch.core.memory import Memory
from midwatch.core.slo import ledger as books
from midwatch.core.slo import sequential
from midwatch.core.slo.alerts import judge
from midwatch.core.slo.wake import wake
from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.events import FindingClosed, FindingOpened, IncidentOpened
from midwatch.model.findings import SLOW_BURN, Finding
from midwatch.model.policy import PagePolicy, Policy
from midwatch.model.slo import AlertRules, Slo
from midwatch.model.state import State

GATEWAY = "service:gateway"
SLO = Slo("s", GATEWAY, "ratio", 0.999)
B = 1 - SLO.target


def run(bad: np.ndarray, total: np.ndarray) -> sequential.Suspicion:
    rows = bad.shape[0]
    state = sequential.nothing(rows, 0.0)
    for at in range(bad.shape[1]):
        state = sequential.step(
            state, bad[:, at], total[:, at], np.full(rows, at * 10.0), np.full(rows, B), np.ones(rows)
        )
    return state


def alarms(of: sequential.Suspicion, habit: float = 0.0) -> np.ndarray:
    return sequential.alarms(of, np.full(len(of.down), habit))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 200)), min_size=1, max_size=60))
def test_the_running_ratio_is_the_best_of_all_beginnings(counts: list[tuple[int, int]]) -> None:
    bad = np.array([[float(min(b, t)) for b, t in counts]])
    total = np.array([[float(t) for _, t in counts]])
    found = run(bad, total)
    for column, burn in enumerate(sequential.BURNS):
        share = min(burn * B, sequential.MOST)
        gain = bad[0] * math.log(share / B) + (total[0] - bad[0]) * math.log((1 - share) / (1 - B))
        seen = np.flatnonzero(total[0] > 0)
        best = max((gain[first:].sum() for first in seen), default=0.0)
        assert found.up[0, column] == pytest.approx(best, abs=1e-6)
        if seen.size:
            since = round(found.since_at[0, column] / 10)
            assert gain[since:].sum() == pytest.approx(found.up[0, column], abs=1e-6)
            assert (found.bad[0, column], found.total[0, column]) == (bad[0, since:].sum(), total[0, since:].sum())


@pytest.mark.parametrize("rate", [0.5, 20.0, 1500.0])
def test_at_the_whole_budgets_errors_false_alarms_are_rarer_than_promised(rate: float) -> None:
    """The promise: on average at least exp(ALARM_NATS) steps to an alarm while the share is the budget, at any traffic.
    600 rows of 500 steps would give five alarms at that rate; more than twelve has a chance of 0.2 %."""
    rng = np.random.default_rng(11)
    total = rng.poisson(rate, (600, 500)).astype(float)
    bad = rng.binomial(total.astype(int), B).astype(float)
    assert alarms(run(bad, total)).sum() <= 12


def test_one_per_cent_of_errors_is_found_and_half_the_budget_is_not() -> None:
    rng = np.random.default_rng(5)
    total = rng.poisson(100 / 6, (200, 180)).astype(float)  # half an hour at 100 a minute
    found = alarms(run(rng.binomial(total.astype(int), 0.01).astype(float), total))
    quiet = alarms(run(rng.binomial(total.astype(int), B / 2).astype(float), total))
    assert found.mean() > 0.95 and not quiet.any()


def test_clumps_are_weighed_and_chance_is_not() -> None:
    rng = np.random.default_rng(2)
    total = rng.poisson(500.0, (50, 864)).astype(float)
    chance = rng.binomial(total.astype(int), B).astype(float)
    clumps = np.zeros_like(chance)
    where = rng.random(clumps.shape) < 0.02
    clumps[where] = 25.0
    assert sequential.dispersion(chance, total, 6).mean() < 1.2
    assert sequential.dispersion(clumps, total, 6).min() > 3.0
    short = sequential.dispersion(chance[:, :24], total[:, :24], 6)
    assert short.mean() > 1.3, "four blocks are doubted"
    assert (sequential.dispersion(chance[:, :3], total[:, :3], 6) == sequential.UNKNOWN).all()
    assert (sequential.dispersion(0 * chance, 0 * total, 6) == sequential.UNKNOWN).all()


def turn_with(
    share: float, *, hours: float = 3.0, minutes: float = 20.0, per_step: float = 20.0, policy: Policy | None = None
) -> Turn:
    """A watch whose ledger saw ``hours`` without an error and then ``minutes`` with ``share`` of them, spread evenly."""
    policy = policy or Policy(slos=(SLO,), paging=PagePolicy(channels=("phone",)))
    steps = round((hours * 3600 + minutes * 60) / 10)
    total = np.full(steps, per_step)
    failing = np.arange(steps) >= hours * 360
    bad = np.diff(np.floor(np.cumsum(np.where(failing, share * per_step, 0.0)) + 1e-9), prepend=0.0)
    start = START - steps * 10.0
    ledger = books.add(books.new_ledger(start), start + 10.0 * np.arange(steps), total - bad, total, START)
    memory = replace(Memory(), ledgers={SLO.name: ledger}, started_at=start)
    world = make_world(
        {(GATEWAY, signals.REQUESTS): flat(10.0, 60), (GATEWAY, signals.ERRORS): flat(0.0, 60)}, start_at=START - 300
    )
    return Turn(State(policy=policy), memory, world, START)


def later(turn: Turn, seconds: float, share: float, per_step: float = 20.0) -> Turn:
    steps = round(seconds / 10)
    total = np.full(steps, per_step)
    bad = np.diff(np.floor(np.cumsum(np.full(steps, share * per_step)) + 1e-9), prepend=0.0)
    ledger = books.add(
        turn.memory.ledgers[SLO.name], turn.now + 10.0 * np.arange(steps), total - bad, total, turn.now + seconds
    )
    memory = replace(turn.memory, ledgers={SLO.name: ledger})
    return replace(turn, memory=memory, now=turn.now + seconds, events=())


def opened(turn: Turn) -> list[Finding]:
    return [event.finding for event in turn.events if isinstance(event, FindingOpened)]


def test_errors_that_creep_above_the_budget_wake_the_agent_and_nobody_else() -> None:
    turn = wake(judge(turn_with(0.01)))
    (finding,) = opened(turn)
    assert (finding.kind, finding.entity, finding.slo, finding.pages) == (SLOW_BURN, GATEWAY, "s", False)
    assert finding.value == pytest.approx(10.0, rel=0.3) and finding.unit == "x budget"
    assert abs(finding.since_at - (START - 1200)) <= 120, "it knows when it began"
    turn = group(turn)
    (incident,) = (event for event in turn.events if isinstance(event, IncidentOpened))
    assert incident.severity == 4 and "nobody is woken" in incident.severity_reason
    assert opened(replace(wake(turn), events=wake(turn).events[len(turn.events) :])) == [], "once"


def test_half_the_budgets_errors_wake_nobody() -> None:
    assert opened(wake(turn_with(B / 2, minutes=170.0))) == []


def test_it_ends_when_the_errors_are_back_within_the_budget_and_can_begin_again() -> None:
    turn = wake(turn_with(0.02, hours=24.0))
    assert len(opened(turn)) == 1
    still = wake(later(turn, 600, 0.02))
    assert still.events == ()
    over = wake(later(still, 1200, 0.0))
    assert [type(event) for event in over.events] == [FindingClosed]
    assert opened(wake(later(over, 600, 0.0))) == [], "what is over is not told again"
    assert len(opened(wake(later(over, 1200, 0.03)))) == 1


def test_nothing_is_told_while_the_agent_is_awake_or_history_is_short_or_it_is_switched_off() -> None:
    turn = turn_with(0.01)
    awake = turn.emit(FindingOpened(Finding("error_shift|x", "error_shift", GATEWAY, START, 0.1, 0.0, "ratio")))
    assert len(opened(wake(awake))) == 1, "only the one that was there"
    assert opened(wake(turn_with(0.05, hours=0.5))) == []
    off = structs.replace(turn.state.policy, alerts=AlertRules(wake=False))
    assert opened(wake(replace(turn, state=structs.replace(turn.state, policy=off)))) == []


def test_a_lost_working_set_forgets_nothing_that_the_ring_holds_and_closes_nothing() -> None:
    turn = wake(turn_with(0.01))
    lost = replace(turn, memory=replace(turn.memory, sentinel=None, started_at=turn.now), events=())
    assert wake(lost).events == ()
    fresh = replace(lost, state=structs.replace(lost.state, findings={}))
    (finding,) = opened(wake(fresh))
    assert finding.value == pytest.approx(10.0, rel=0.3)


def test_what_a_person_ended_is_settled() -> None:
    turn = wake(turn_with(0.01))
    ended = replace(turn, state=structs.replace(turn.state, findings={}), events=())
    assert opened(wake(ended)) == []


def test_steps_taken_one_by_one_and_all_at_once_are_the_same() -> None:
    whole = wake(turn_with(0.005, minutes=15.0))
    parts = wake(turn_with(0.0, minutes=0.0))
    for _ in range(9):
        parts = wake(later(parts, 100, 0.005))
    for one in (whole, parts):
        assert one.memory.sentinel is not None
    a, b = whole.memory.sentinel.suspicion.up, parts.memory.sentinel.suspicion.up  # type: ignore[union-attr]
    assert a.max() > 3 and a == pytest.approx(b)


def test_promises_come_and_go_without_losing_the_others() -> None:
    turn = wake(turn_with(0.004, minutes=15.0))
    other = Slo("t", "service:other", "ratio", 0.99)
    ledgers = {"t": books.new_ledger(START - 7200), **turn.memory.ledgers}
    policy = structs.replace(turn.state.policy, slos=(other, SLO))
    more = replace(
        turn, state=structs.replace(turn.state, policy=policy), memory=replace(turn.memory, ledgers=ledgers), events=()
    )
    after = wake(more)
    assert after.memory.sentinel is not None and after.memory.sentinel.keys == ("t", "s")
    assert after.memory.sentinel.suspicion.up[1] == pytest.approx(turn.memory.sentinel.suspicion.up[0])  # type: ignore[union-attr]


def test_only_promises_with_steps_left_are_stepped(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was away for half an hour takes its own 180 steps, and 29 others one each: not 30 times 180."""
    turn = wake(turn_with(0.004, minutes=15.0))
    slos = (SLO, *(structs.replace(SLO, name=f"s{n}") for n in range(29)))
    ledgers = {slo.name: turn.memory.ledgers["s"] for slo in slos}
    policy = structs.replace(turn.state.policy, slos=slos)
    turn = replace(turn, state=structs.replace(turn.state, policy=policy), memory=replace(turn.memory, ledgers=ledgers))
    turn = wake(replace(turn, events=()))
    at = START + 10.0 * np.arange(180)
    back = books.add(ledgers["s"], at, np.full(180, 19.9), np.full(180, 20.0), START + 1800)
    brief = books.add(ledgers["s"], at[:1], np.array([19.9]), np.array([20.0]), START + 10)
    after = {name: back if name == "s7" else brief for name in ledgers}
    stepped: list[int] = []
    real = sequential.step

    def step(before: sequential.Suspicion, bad: np.ndarray, *rest: object) -> sequential.Suspicion:
        stepped.append(bad.size)
        return real(before, bad, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(sequential, "step", step)
    found = wake(replace(turn, memory=replace(turn.memory, ledgers=after), now=START + 10, events=()))
    assert sum(stepped) == 29 + 180
    assert found.memory.sentinel is not None and found.memory.sentinel.seen_until.max() == START + 1800
    alone = wake(replace(turn, memory=replace(turn.memory, ledgers={**after, "s7": brief}), now=START + 10, events=()))
    both = [one.memory.sentinel.suspicion.up[3] for one in (found, alone) if one.memory.sentinel is not None]
    assert both[0] == pytest.approx(both[1]), "and the others are where they would be without it"
