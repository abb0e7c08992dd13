"""What people say about budgets, and what budgets do: adjustments by command, rules that are crossed once, edits that are
noted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from msgspec.structs import replace as with_fields
from tests.slo.turns import DAY, GATEWAY, state_of, turn_of
from tests.worlds import START, make_world

from midwatch.core.decide.obey import obey
from midwatch.core.learn.timeline import sentence
from midwatch.core.memory import Memory
from midwatch.core.slo import ledger as books
from midwatch.core.slo.adjust import SETTLE_SECONDS, WAIT_SECONDS, count_adjustments
from midwatch.core.slo.budget import budget
from midwatch.core.slo.budget_policy import EVERY_SECONDS, cross
from midwatch.core.turn import Turn
from midwatch.model.adjustments import BudgetRule
from midwatch.model.events import (
    AdjustmentCounted,
    AdjustmentWithdrawn,
    BudgetAdjusted,
    BudgetCrossed,
    CommandGiven,
    CommandRefused,
    Event,
    PageOrdered,
    PolicyLoaded,
    Recorded,
)
from midwatch.model.fold import fold
from midwatch.model.indicators import Calendar
from midwatch.model.policy import PagePolicy, Policy
from midwatch.model.slo import Slo
from midwatch.model.state import State

HOUR = 3600.0
PAY = Slo("pay", GATEWAY, "ratio", 0.9, period_seconds=HOUR)
RULES = (
    BudgetRule(0.5, "tell", (), 0.45, ("mail", "chat")),
    BudgetRule(0.75, "demote", ("pay",), 0.7),
    BudgetRule(1.0, "freeze", ("other",), 0.95),
)


def memory_of(bad: float, now: float = START) -> Memory:
    """An hour with ten requests every ten seconds, of which ``bad`` of a hundred fail."""
    at = now - 3600 + 10.0 * np.arange(360)
    wrong = np.full(360, bad / 10)
    ledger = books.add(books.new_ledger(now - 3600), at, 10 - wrong, np.full(360, 10.0), now)
    return Memory(ledgers={"pay": ledger}, started_at=now - 9000)


def turn(state: State, memory: Memory, now: float = START, *inputs: Event) -> Turn:
    return replace(turn_of(state, make_world({}), memory, now), inputs=inputs)


def adjust(target: str, value: str, note: str = "database upgrade", by: str = "ann") -> CommandGiven:
    return CommandGiven("adjust", by, target, value, note)


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def test_an_adjustment_is_journaled_with_its_reason_and_then_with_its_numbers() -> None:
    memory = memory_of(20)
    given = adjust("pay", f"exclude {iso(START - 1800)} {iso(START - 1200)}")
    done = count_adjustments(obey(turn(state_of(PAY), memory, START, given)))
    said, counted = done.events
    assert isinstance(said, BudgetAdjusted) and isinstance(counted, AdjustmentCounted)
    one = said.adjustment
    assert (one.id, one.kind, one.slo, one.by, one.reason) == ("ADJ-1", "exclude", "pay", "ann", "database upgrade")
    assert counted.counts == {"pay": (pytest.approx(480.0), 600.0)}
    assert "ADJ-1 excludes 10 min" in sentence(said) and "600 events, 120 of them bad" in sentence(counted)
    found = budget(PAY, memory.ledgers["pay"], done.state.adjustments, START)
    assert found.total == 3000 and found.bad == pytest.approx(600)
    assert count_adjustments(replace(done, events=())).events == (), "its numbers are said once"

    back = obey(turn(done.state, memory, START, adjust("ADJ-1", "withdraw", "wrong day", "bob")))
    assert back.events == (AdjustmentWithdrawn("ADJ-1", "bob", "wrong day"),)
    assert budget(PAY, memory.ledgers["pay"], back.state.adjustments, START).total == 3600
    again = obey(turn(back.state, memory, START, adjust("ADJ-1", "withdraw", "again")))
    assert isinstance(again.events[0], CommandRefused)


def test_maintenance_can_be_announced_and_is_counted_once_it_is_over() -> None:
    state, now = state_of(PAY), START
    done = obey(turn(state, memory_of(20), now, adjust("all", f"exclude {now - 600} {now + 600}")))
    assert [type(event) for event in count_adjustments(done).events] == [BudgetAdjusted]
    during = budget(PAY, done.memory.ledgers["pay"], done.state.adjustments, now)
    assert during.total == 3000, "while it lasts, what it has seen so far does not count"
    later = now + 600 + SETTLE_SECONDS
    over = count_adjustments(turn(done.state, memory_of(20, later), later))
    (counted,) = over.events
    assert isinstance(counted, AdjustmentCounted) and counted.counts["pay"][1] == 1200


def test_a_window_is_counted_only_when_every_ledger_has_seen_its_end_or_after_a_day() -> None:
    now = START
    done = obey(turn(state_of(PAY), memory_of(20), now, adjust("all", f"exclude {now - 600} {now + 600}")))
    later = now + 600 + SETTLE_SECONDS + HOUR
    behind = memory_of(20, now + 590)
    assert count_adjustments(turn(done.state, behind, later)).events == (), "its source is down"
    assert count_adjustments(turn(done.state, Memory(started_at=later - 5), later)).events == (), "not read back yet"
    idle = count_adjustments(turn(done.state, Memory(started_at=now - 900), later))
    assert [type(event) for event in idle.events] == [AdjustmentCounted], "nothing came, and somebody looked"
    (counted,) = count_adjustments(turn(done.state, memory_of(20, now + 600), later)).events
    assert isinstance(counted, AdjustmentCounted) and counted.counts["pay"][1] == 1200
    (given_up,) = count_adjustments(turn(done.state, behind, now + 600 + WAIT_SECONDS)).events
    assert isinstance(given_up, AdjustmentCounted) and given_up.counts["pay"][1] == 1190


def test_false_positives_are_given_back() -> None:
    memory = memory_of(20)
    done = count_adjustments(
        obey(turn(state_of(PAY), memory, START, adjust("pay", f"give_back {START - 1800} {START}")))
    )
    found = budget(PAY, memory.ledgers["pay"], done.state.adjustments, START)
    assert found.total == 3600 and found.bad == pytest.approx(360) and found.adjusted == pytest.approx(360)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (adjust("pay", f"exclude {START - 60} {START}", note=" "), "a name and a reason"),
        (adjust("pay", f"exclude {START - 60} {START}", by=""), "a name and a reason"),
        (adjust("nobody", f"exclude {START - 60} {START}"), "no promise is called 'nobody'"),
        (adjust("pay", f"exclude {START} {START - 60}"), "ends after it begins"),
        (adjust("pay", f"exclude {START - 1e9} {START}"), "within 33 days"),
        (adjust("pay", "exclude 2026-11-25T10:00 2026-11-25T11:00"), "with its zone"),
        (adjust("pay", "exclude nan inf"), "with its zone"),
        (adjust("pay", "exclude"), "say exclude or give_back"),
        (adjust("pay", f"forget {START - 60} {START}"), "say exclude or give_back"),
        (adjust("pay", f"give_back {START - 60} {START + 60}"), "only what has happened"),
        (adjust("ADJ-9", "withdraw"), "no adjustment that holds"),
    ],
)
def test_what_cannot_be_adjusted_is_refused_with_its_reason(command: CommandGiven, why: str) -> None:
    (refused,) = obey(turn(state_of(PAY), memory_of(20), START, command)).events
    assert isinstance(refused, CommandRefused) and why in refused.why


def test_a_budget_that_runs_low_crosses_each_rule_once_and_back_only_below_its_release() -> None:
    state, now = state_of(PAY, budget_rules=RULES, paging=PagePolicy(owner="team-pay")), START
    seen: list[Event] = []
    for bad in (4.0, 6.0, 8.0, 7.2, 7.6, 6.9, 7.6, 4.7, 4.0):
        now += EVERY_SECONDS
        done = cross(turn(state, memory_of(bad, now), now))
        state = done.state
        seen += done.events
    crossed = [(e.action, e.over, round(e.spent, 2)) for e in seen if isinstance(e, BudgetCrossed)]
    assert crossed == [
        ("tell", True, 0.6), ("demote", True, 0.8), ("demote", False, 0.69), ("demote", True, 0.76),
        ("demote", False, 0.47), ("tell", False, 0.4),
    ]  # fmt: skip
    assert state.crossings == {}
    told = [event for event in seen if isinstance(event, PageOrdered)]
    assert [page.channel for page in told] == ["mail", "chat"]
    assert "60% of the error budget of pay is spent (team-pay)" in told[0].subject
    assert len({page.page for page in told}) == len({page.key for page in told}) == 2


def test_a_rule_without_channels_tells_through_those_of_paging_or_says_that_it_cannot() -> None:
    rules = (BudgetRule(0.5, "tell", (), 0.45),)
    state = state_of(PAY, budget_rules=rules, paging=PagePolicy(channels=("pager",)))
    crossed, page = cross(turn(state, memory_of(6))).events
    assert isinstance(crossed, BudgetCrossed) and "its owner is told" in crossed.why
    assert isinstance(page, PageOrdered) and page.channel == "pager"
    (alone,) = cross(turn(state_of(PAY, budget_rules=rules), memory_of(6))).events
    assert isinstance(alone, BudgetCrossed) and "no channel" in alone.why


def test_rules_are_held_now_and_then_and_what_nobody_sees_changes_nothing() -> None:
    state = state_of(PAY, budget_rules=RULES)
    done = cross(turn(state, memory_of(9)))
    assert {event.action for event in done.events if isinstance(event, BudgetCrossed)} == {"tell", "demote"}
    soon = cross(replace(turn(state, done.memory), now=START + EVERY_SECONDS / 2))
    assert soon.events == ()
    dark = cross(turn(done.state, memory_of(0, START), START + 4 * HOUR))
    assert dark.events == (), "no data is no recovery"


def anew(now: float, begun: float) -> Memory:
    """A working set whose ledger began at ``begun`` and saw nothing bad."""
    at = np.arange(begun, now, 10.0)
    ledger = books.add(books.new_ledger(begun), at, np.full(at.size, 10.0), np.full(at.size, 10.0), now)
    return Memory(ledgers={"pay": ledger}, started_at=begun)


def test_a_ledger_that_begins_anew_lifts_nothing_until_it_knows_as_much() -> None:
    state = cross(turn(state_of(PAY, budget_rules=RULES), memory_of(9))).state
    assert {one.covered_seconds for one in state.crossings.values()} == {HOUR}
    begun = START + 60
    for later in (begun + 1200, begun + 2900):
        assert cross(turn(state, anew(later, begun), later)).events == (), "it has not seen what was bad"
    fresh = replace(memory_of(0, START + 2 * HOUR), started_at=START + 2 * HOUR - 30)
    assert cross(turn(state, fresh, START + 2 * HOUR)).events == (), "it has just begun"
    over = cross(turn(state, anew(START + 2 * HOUR, begun), START + 2 * HOUR))
    assert over.state.crossings == {} and over.events


def test_a_new_month_lifts_what_the_old_one_crossed() -> None:
    slo = Slo("pay", GATEWAY, "ratio", 0.9, period_seconds=31 * DAY, calendar=Calendar("month", 1, "UTC"))
    first = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    known = replace(memory_of(0, first + 1800), started_at=first - DAY)
    state = state_of(slo, budget_rules=RULES[1:2])
    said = BudgetCrossed("pay", "pay", "demote", 0.75, 0.8, True, "", 30 * DAY)
    state = fold(state, Recorded(state.seq + 1, first - DAY, said))
    (event,) = cross(turn(state, known, first + 1800)).events
    assert isinstance(event, BudgetCrossed) and not event.over


def test_a_group_that_is_not_known_yet_is_not_gone() -> None:
    state = state_of(PAY, budget_rules=RULES)
    said = BudgetCrossed("pay{tenant=a}", "pay", "demote", 0.75, 0.8, True)
    state = fold(state, Recorded(state.seq + 1, START - 60, said))
    assert cross(turn(state, memory_of(0))).state.crossings == state.crossings
    without = fold(state, Recorded(state.seq + 1, START, PolicyLoaded(Policy(discover_slos=False, budget_rules=RULES))))
    (event,) = cross(turn(without, Memory(started_at=START - 9000))).events
    assert isinstance(event, BudgetCrossed) and not event.over and "gone" in event.why


def test_a_rule_that_is_gone_holds_no_longer() -> None:
    done = cross(turn(state_of(PAY, budget_rules=RULES), memory_of(9)))
    assert done.state.crossings
    loaded = PolicyLoaded(Policy(slos=(PAY,), discover_slos=False))
    state = fold(done.state, Recorded(done.state.seq + 1, START + 60, loaded))
    over = cross(turn(state, memory_of(9, START + 60), START + 60))
    assert over.state.crossings == {}
    assert all(isinstance(e, BudgetCrossed) and not e.over and "gone" in e.why for e in over.events)


def test_an_edited_promise_is_noted() -> None:
    state = state_of(PAY)
    changed = with_fields(PAY, target=0.95, labels={"tier": "1"}, source="moved.yaml:3")
    state = fold(state, Recorded(2, START, PolicyLoaded(Policy(slos=(changed, Slo("new", GATEWAY, "ratio", 0.9))))))
    (edit,) = state.slo_edits
    assert (edit.slo, edit.at, edit.what) == ("pay", START, "target 0.9 -> 0.95, labels")
    state = fold(state, Recorded(3, START, PolicyLoaded(Policy(slos=(with_fields(changed, source="x"),)))))
    assert len(state.slo_edits) == 1, "where it is written is no edit"
