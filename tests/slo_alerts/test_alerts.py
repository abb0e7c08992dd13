"""The burn-rate stage on ledgers: tiers, the outage rule, ``for``, calm, and promises that count looks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.worlds import START, flat, make_world

from midwatch.core.memory import Memory
from midwatch.core.slo import ledger as books
from midwatch.core.slo.alerts import fires, judge, needed, outage
from midwatch.core.slo.tiers import counts_events, in_force
from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.events import FindingClosed, FindingOpened
from midwatch.model.indicators import Alerting, BoolGauge, EventRatio, Notice
from midwatch.model.policy import Policy
from midwatch.model.slo import STANDARD_TIERS, AlertRules, BurnTier, Slo
from midwatch.model.state import State

GATEWAY = "service:gateway"
SLO = Slo("s", GATEWAY, "ratio", 0.999)
RULES = AlertRules()


def turn_of(bad: np.ndarray, total: np.ndarray, slo: Slo = SLO, **alerts: object) -> Turn:
    """A watch at the end of these steps of 10 s."""
    start = START - 10.0 * total.size
    at = start + 10.0 * np.arange(total.size)
    ledger = books.add(books.new_ledger(start), at, total - bad, total, START)
    policy = Policy(slos=(slo,), alerts=AlertRules(**alerts))  # type: ignore[arg-type]
    world = make_world({(GATEWAY, signals.REQUESTS): flat(10.0, 9)})
    return Turn(State(policy=policy), replace(Memory(), ledgers={slo.name: ledger}, started_at=start), world, START)


def told(turn: Turn) -> dict[str, bool]:
    return {e.finding.id.rpartition("/")[2]: e.finding.pages for e in turn.events if isinstance(e, FindingOpened)}


def steady(share: float, hours: float, per_step: float = 100.0, before: float = 72.0) -> tuple[np.ndarray, np.ndarray]:
    total = np.full(round((before + hours) * 360), per_step)
    bad = np.where(np.arange(total.size) >= before * 360, share * per_step, 0.0)
    return bad, total


@pytest.mark.parametrize(
    ("share", "hours", "wanted"),
    [
        (0.02, 0.5, set()),  # 20 x, but only 1 % of the hour so far
        (0.02, 0.8, {"fast"}),
        (0.02, 1.9, {"fast", "slow"}),
        (0.01, 4.0, {"slow"}),
        (0.005, 20.0, {"day", "ticket"}),
        (0.0005, 72.0, set()),
    ],
)
def test_each_tier_fires_when_its_windows_burn(share: float, hours: float, wanted: set[str]) -> None:
    found = told(judge(turn_of(*steady(share, hours))))
    assert set(found) == wanted
    assert all(found[name] == (name in ("fast", "slow")) for name in found)


@pytest.mark.parametrize(
    ("page", "ticket", "wanted"), [(True, False, {"day", "ticket"}), (False, True, {"outage", "fast", "slow"})]
)
def test_what_the_team_has_switched_off_is_not_told(page: bool, ticket: bool, wanted: set[str]) -> None:
    said = Alerting(page=Notice(disabled=page), ticket=Notice(disabled=ticket))
    slo = structs.replace(SLO, alerting=said)
    assert set(told(judge(turn_of(*steady(1.0, 1.0), slo=slo)))) == wanted
    assert {tier.name for tier in in_force(slo, Policy()).tiers} == wanted - {"outage"}
    assert in_force(slo, Policy()).rules.outage == ("outage" in wanted)


def test_one_good_request_between_failures_ends_nothing_and_the_first_good_minute_does() -> None:
    """At a request a minute, of which every second one fails; at six hundred a minute."""
    total = np.zeros(72 * 360 + 720)
    total[::6] = 1.0
    bad = np.where(np.arange(total.size) >= 72 * 360, (np.arange(total.size) % 12 == 0) * 1.0, 0.0)
    for until in range(total.size - 60, total.size, 6):
        turn = turn_of(bad[: until + 1], total[: until + 1])
        open_already = judge(turn_of(bad[:-66], total[:-66]))
        opens = [e.finding for e in open_already.events if isinstance(e, FindingOpened)]
        findings = {finding.id: finding for finding in opens if finding.pages}
        assert any(ident.endswith("/fast") for ident in findings)
        turn = replace(turn, state=structs.replace(turn.state, findings=findings))
        assert not [e for e in judge(turn).events if isinstance(e, FindingClosed)], until
    busy, failing = np.full(72 * 360 + 366, 100.0), np.zeros(72 * 360 + 366)
    failing[72 * 360 : -6] = 100.0
    opened = {
        e.finding.id: e.finding for e in judge(turn_of(failing[:-6], busy[:-6])).events if isinstance(e, FindingOpened)
    }
    turn = turn_of(failing, busy)
    turn = judge(replace(turn, state=structs.replace(turn.state, findings=opened)))
    assert {e.finding_id.rpartition("/")[2] for e in turn.events if isinstance(e, FindingClosed)} >= {
        "outage",
        "fast",
        "slow",
    }


def test_an_outage_is_told_after_five_failures_and_says_since_when() -> None:
    bad, total = steady(0.0, 1.0, per_step=1.0)
    bad[-4:] = 1.0
    assert told(judge(turn_of(bad, total))) == {}
    bad[-5:] = 1.0
    turn = judge(turn_of(bad, total))
    assert told(turn) == {"outage": True}
    (event,) = turn.events
    assert isinstance(event, FindingOpened) and event.finding.since_at == START - 50
    assert told(judge(turn_of(bad, total, outage=False))) == {}


def test_what_is_over_closes_at_the_first_good_minute_and_no_traffic_is_not_over() -> None:
    bad, total = steady(1.0, 0.05)
    turn = judge(turn_of(bad, total))
    assert set(told(turn)) == {"fast", "outage", "slow"} - ({"slow"} if len(told(turn)) == 2 else set())
    ledger = turn.memory.ledgers["s"]
    for quiet, closed in ((np.zeros(6), False), (np.full(6, 100.0), True)):
        at = START + 10.0 * np.arange(6)
        later = replace(
            turn,
            memory=replace(turn.memory, ledgers={"s": books.add(ledger, at, quiet, quiet, START + 60)}),
            now=START + 60,
            events=(),
        )
        assert any(isinstance(e, FindingClosed) for e in judge(later).events) == closed


def test_for_waits_and_remembers_since_when() -> None:
    turn = judge(turn_of(*steady(0.02, 2.0), for_seconds=120.0, outage=False))
    assert told(turn) == {} and turn.memory.burning_since
    ledger = turn.memory.ledgers["s"]
    at = START + 10.0 * np.arange(12)
    memory = replace(
        turn.memory, ledgers={"s": books.add(ledger, at, np.full(12, 98.0), np.full(12, 100.0), START + 120)}
    )
    after = judge(replace(turn, memory=memory, now=START + 120))
    assert "fast" in told(after) and not after.memory.burning_since


def test_five_looks_at_one_stuck_queue_are_no_outage() -> None:
    queue = Slo("q", "queue:orders", "freshness", 0.99, 30_000.0)
    total = np.full(3600, 2.0)
    bad = np.where(np.arange(3600) >= 3590, 2.0, 0.0)
    assert told(judge(turn_of(bad, total, queue))) == {}
    assert not counts_events(queue) and counts_events(SLO)
    assert counts_events(Slo("e", GATEWAY, "source", 0.99, indicator=EventRatio("a", good="b")))
    assert not counts_events(Slo("g", GATEWAY, "source", 0.99, indicator=BoolGauge("up")))


def test_groups_are_judged_one_by_one_and_a_target_of_one_has_nothing_to_burn() -> None:
    turn = turn_of(*steady(1.0, 0.1))
    ledgers = {"s{tenant=a}": turn.memory.ledgers["s"]}
    grouped = judge(replace(turn, memory=replace(turn.memory, ledgers=ledgers)))
    assert any("s{tenant=a}/outage" in e.finding.id for e in grouped.events if isinstance(e, FindingOpened))
    whole = structs.replace(SLO, target=1.0)
    policy = structs.replace(turn.state.policy, slos=(whole,))
    assert judge(replace(turn, state=structs.replace(turn.state, policy=policy))).events == ()


def test_a_journaled_policy_of_three_tiers_keeps_them() -> None:
    old = (STANDARD_TIERS[0], STANDARD_TIERS[1], STANDARD_TIERS[3])
    turn = turn_of(*steady(0.005, 20.0))
    policy = structs.replace(turn.state.policy, tiers=old)
    assert set(told(judge(replace(turn, state=structs.replace(turn.state, policy=policy))))) == {"ticket"}


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 50), st.integers(1, 5000), st.sampled_from(STANDARD_TIERS), st.floats(0.9, 0.9999))
def test_a_ticket_wants_what_wilson_wants(bad: int, total: int, tier: BurnTier, target: float) -> None:
    """``bad > needed`` is the Wilson lower bound (1927) above the threshold, its own formula."""
    bad = min(bad, total)
    threshold, z = tier.factor * (1 - target), 0.0 if tier.pages else RULES.ticket_z
    if threshold >= 1:
        assert not fires(bad, total, bad, total, tier, 1 - target, RULES)
        return
    p = bad / total
    spread = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    lower = (p + z * z / (2 * total) - spread) / (1 + z * z / total)
    if abs(lower - threshold) > 1e-9:
        assert (bad > needed(total, tier, 1 - target, RULES)) == (lower > threshold and bad > 0)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.floats(0.5, 0.9999))
def test_an_outage_is_beyond_chance(bad: int, good: int, target: float) -> None:
    """Whatever is called an outage has an exact binomial tail below 1e-9 at the budget's ratio."""
    total = bad + good
    if outage(float(bad), float(total), 1 - target, RULES):
        share = 1 - target
        tail = sum(math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(bad, total + 1))
        assert bad >= 5 and bad >= good and tail <= 1e-9
    elif target >= 0.999 and bad >= 6 and bad >= good:
        raise AssertionError("six failures in a row of at most twelve are an outage at 99.9 %")
