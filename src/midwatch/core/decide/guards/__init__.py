"""May it? A visible list of small guards; the first that has something to say decides, and with no match: refuse.

A guard gets the action and what it may look at, and answers with a Verdict or None ("no objection from me"). The order
is part of the policy: what nobody may do comes first, then what is unsafe now, then who must say yes.
"""

from __future__ import annotations

from typing import Final

from midwatch.core.decide.guards.consent import approved, autonomy, irreversible, only_one, own_undo, rehearsal, shadow
from midwatch.core.decide.guards.context import Context, Guard
from midwatch.core.decide.guards.forbidden import (
    blast_radius,
    declared,
    empty_target,
    hands_off,
    parameter_limits,
    permissions,
    protected,
    target_kind,
    unknown_verb,
)
from midwatch.core.decide.guards.risk import budget_demoted, error_budget, freeze
from midwatch.core.decide.guards.unsafe import (
    confidence,
    felt,
    in_doubt,
    one_at_a_time,
    rate_limits,
    sighted,
    unknown_effect,
    warm,
)
from midwatch.model.actions import Action, Verdict

GUARDS: Final[tuple[Guard, ...]] = (
    hands_off,  # nobody may
    warm,  # too soon after a start
    sighted,  # what hurts cannot be seen
    unknown_verb,
    empty_target,
    target_kind,
    declared,  # it is not what its verb declares
    parameter_limits,
    protected,
    permissions,
    blast_radius,
    freeze,  # risky, and frozen
    rate_limits,
    in_doubt,  # nobody knows whether an earlier one took effect
    unknown_effect,  # nobody could see what an earlier one did
    one_at_a_time,
    confidence,  # not sure enough of the cause
    felt,  # no user feels it
    error_budget,  # risky, and the budget is spent
    rehearsal,
    shadow,
    irreversible,  # two people
    budget_demoted,  # risky, and the budget runs low: a person
    own_undo,  # was allowed with its action
    approved,
    only_one,  # would make an outage of a slowness: a person
    autonomy,  # as far as the playbook has earned
)
TRY_NEXT: Final = frozenset(
    {
        "unknown_verb", "empty_target", "target_kind", "declared", "parameters", "protected", "permissions",
        "blast_radius", "freeze", "same_action_rate", "error_budget", "confidence",
    }
)  # fmt: skip
"""Rules that say no to this fix, not to acting: the next one may be tried."""


def judge(action: Action, context: Context) -> Verdict:
    """The verdict of the first guard that has one."""
    for guard in GUARDS:
        verdict = guard(action, context)
        if verdict is not None:
            return verdict
    return Verdict("refuse", "no_match", "no rule allows it")
