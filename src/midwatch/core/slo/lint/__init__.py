"""What is wrong with a promise before it has cost anybody a night. One rule per function, all in one list.

A rule that needs a fact which nobody looked up says ``not checked`` and why, so that silence means "looked at, and fine".
"""

from __future__ import annotations

from typing import Final

from midwatch.core.slo.lint.alerting import dead_tiers, factors_below_one, single_failures, starved_tiers
from midwatch.core.slo.lint.data import (
    good_above_total,
    matches_nothing,
    missing_bucket,
    selectors_of,
    short_retention,
    unparsable,
)
from midwatch.core.slo.lint.remark import Facts, Remark, Rule
from midwatch.core.slo.lint.targets import above_dependencies, no_failure_allowed
from midwatch.core.slo.tiers import GUARDED, AlertPolicy
from midwatch.model.slo import Slo

RULES: Final[tuple[Rule, ...]] = (
    dead_tiers,  # an alert that can never fire
    factors_below_one,  # one that fires while the promise is kept
    single_failures,  # one that fires on a single failure
    starved_tiers,  # one whose window is too short for so little traffic
    missing_bucket,  # a latency bound that no bucket has
    good_above_total,  # queries that do not count the same thing
    short_retention,  # a source that forgets before the period is over
    unparsable,  # a query that is no PromQL
    matches_nothing,  # queries without series
    above_dependencies,  # a target above what it depends on
    no_failure_allowed,  # a budget of less than one failure
)

__all__ = ["RULES", "Facts", "Remark", "Rule", "lint", "selectors_of"]


def lint(slo: Slo, policy: AlertPolicy = GUARDED, facts: Facts | None = None) -> tuple[Remark, ...]:
    """Every rule's remarks on one promise and the way it alerts, the rules' order kept."""
    known = facts or Facts()
    return tuple(remark for rule in RULES for remark in rule(slo, policy, known))
