"""Budget rules: what happens when a budget runs low. A crossing is journaled once, and ends only below the rule's release,
so that a budget at the threshold does not flap. What nobody can see changes nothing, and a ledger that begins anew knows too
little to lift what was decided when more had been counted."""

from __future__ import annotations

from typing import Final

from midwatch.core.slo.alerts import RELEARN_SECONDS
from midwatch.core.slo.budget import STALE_SECONDS, Budget, budgets
from midwatch.core.turn import Turn
from midwatch.model.adjustments import BudgetRule, Crossing
from midwatch.model.events import BudgetCrossed, PageOrdered
from midwatch.model.slo import Slo

EVERY_SECONDS: Final = 30.0
TELL_SEVERITY: Final = 4
DOES: Final = {
    "tell": "its owner is told",
    "demote": "what is risky needs a person's yes",
    "freeze": "deploys and what cannot be taken back are refused",
}


def cross(turn: Turn) -> Turn:
    """Hold every budget against the rules of the policy: BudgetCrossed on the way up and on the way down."""
    rules, held = turn.state.policy.budget_rules, turn.state.crossings
    if not (rules or held) or turn.now - turn.memory.budgets_at < EVERY_SECONDS:
        return turn
    turn = turn.remember(budgets_at=turn.now)
    slos = {slo.name: slo for slo in turn.state.slos}
    for one in budgets(turn.state, turn.memory, turn.now):
        for rule in rules:
            if rule.slos and one.slo not in rule.slos:
                continue
            turn = _held_against(turn, rule, one, slos[one.slo])
    for ident, crossing in held.items():
        holds = any(r.ident(crossing.key) == ident and (not r.slos or crossing.slo in r.slos) for r in rules)
        if not holds or crossing.slo not in slos:
            why = "the rule or the promise is gone"
            turn = turn.emit(
                BudgetCrossed(crossing.key, crossing.slo, crossing.action, crossing.at, crossing.spent, False, why)
            )
    return turn


def _held_against(turn: Turn, rule: BudgetRule, one: Budget, slo: Slo) -> Turn:
    held = turn.state.crossings.get(rule.ident(one.key))
    if one.spent is None or one.state == "no_data":
        return turn
    if held is None and one.spent >= rule.at:
        does = DOES[rule.action]
        if rule.action == "tell" and not _channels(turn, rule):
            does = "there is no channel to tell its owner through"
        why = f"{one.spent:.0%} of the budget of {one.key} is spent: {does}"
        turn = turn.emit(
            BudgetCrossed(one.key, one.slo, rule.action, rule.at, one.spent, True, why, one.covered_seconds)
        )
        return _told(turn, rule, one, slo) if rule.action == "tell" else turn
    if held is not None and one.spent < rule.release and _knows_enough(turn, one, held):
        why = f"{one.spent:.0%} of the budget of {one.key} is spent, below {rule.release:.0%}"
        return turn.emit(BudgetCrossed(one.key, one.slo, rule.action, rule.at, one.spent, False, why))
    return turn


def _knows_enough(turn: Turn, one: Budget, held: Crossing) -> bool:
    """Whether as much has been counted as when the rule was crossed, or all of a period that has begun since then; but for
    what is still on its way."""
    if turn.now - turn.memory.started_at < RELEARN_SECONDS:
        return False
    so_far = min(turn.now, one.until_at) - one.since_at
    return one.covered_seconds + STALE_SECONDS >= min(held.covered_seconds, so_far)


def _channels(turn: Turn, rule: BudgetRule) -> tuple[str, ...]:
    """The rule's own channels; those of paging when it names none."""
    return rule.channels or turn.state.policy.paging.channels


def _told(turn: Turn, rule: BudgetRule, one: Budget, slo: Slo) -> Turn:
    """A message on each of its channels: information, so it is sent once and nobody has to acknowledge it."""
    owner = slo.owner or turn.state.policy.paging.owner
    text = f"{one.bad:.6g} of {one.total:.6g} events were bad since the period began, {one.allowed or 0:.6g} may be."
    for channel in _channels(turn, rule):
        number = turn.state.next_page
        turn = turn.emit(
            PageOrdered(
                page=f"PAGE-{number}",
                incident="budget",
                key=f"budget/{rule.ident(one.key)}/{number}/{channel}",
                channel=channel,
                subject=f"{one.spent or 0:.0%} of the error budget of {one.key} is spent ({owner})",
                text=text,
                severity=TELL_SEVERITY,
                topics=("budget",),
            )
        )
    return turn
