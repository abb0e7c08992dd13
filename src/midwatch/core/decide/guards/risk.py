"""What holds only the risky back: a freeze, and an error budget that is spent or that a budget rule watches. A mitigation
goes on."""

from __future__ import annotations

from typing import Final

from midwatch.core.decide.guards.context import Context
from midwatch.core.decide.sight import one_place
from midwatch.core.slo.budget import blind_why, budget
from midwatch.model.actions import Action, Verdict

HOUR_SECONDS: Final = 3600.0


def risky(action: Action, context: Context) -> bool:
    """Moves forward, or cannot be taken back. Taking back what midwatch did is never risky in this sense."""
    spec = context.spec(action)
    return not action.undo_of and (action.action_class == "irreversible" or (spec is not None and spec.promoting))


def freeze(action: Action, context: Context) -> Verdict | None:
    """Risky actions wait until a freeze is over; mitigations go on."""
    for window in context.limits.freezes:
        if window.start_at <= context.now < window.end_at and risky(action, context):
            hours = (window.end_at - context.now) / HOUR_SECONDS
            why = f"frozen for {hours:.1f} h more ({window.reason}), and it is {_riskiness(action)}"
            return Verdict("refuse", "freeze", why)
    return None


def error_budget(action: Action, context: Context) -> Verdict | None:
    """A spent budget blocks what is risky, never a reversible or transient mitigation of the incident spending it. So does
    a budget rule that froze it earlier."""
    if not risky(action, context):
        return None
    state, now = context.state, context.now
    for crossing in state.crossings.values():
        if crossing.action == "freeze" and _budget_touches(crossing.slo, action, context):
            why = f"{crossing.at:.0%} of the error budget of {crossing.key} went, which freezes what is {_riskiness(action)}"
            return Verdict("refuse", "error_budget", why)
    for slo in state.slos:
        ledger = context.memory.ledgers.get(slo.name)
        if ledger is None or not one_place(context.world, slo.entity, action.target):
            continue
        spent = budget(slo, ledger, state.adjustments, now, blind=blind_why(state, slo)).spent
        if spent is not None and spent >= 1.0:
            why = f"{spent:.0%} of the error budget of {slo.name} is spent, and it is {_riskiness(action)}"
            return Verdict("refuse", "error_budget", why)
    return None


def budget_demoted(action: Action, context: Context) -> Verdict | None:
    """A budget rule takes the risky from the machine's hands before it freezes it."""
    if context.approved_by or not risky(action, context):
        return None
    for crossing in context.state.crossings.values():
        if crossing.action == "demote" and _budget_touches(crossing.slo, action, context):
            why = f"{crossing.at:.0%} of the error budget of {crossing.key} went, so a person must say yes"
            return Verdict("ask", "budget_demoted", why)
    return None


def _budget_touches(slo: str, action: Action, context: Context) -> bool:
    return any(s.name == slo and one_place(context.world, s.entity, action.target) for s in context.state.slos)


def _riskiness(action: Action) -> str:
    return "irreversible" if action.action_class == "irreversible" else "not a mitigation"
