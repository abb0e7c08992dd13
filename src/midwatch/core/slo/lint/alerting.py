"""Alerts that can never fire, fire on what is allowed, or fire on a single failure."""

from __future__ import annotations

from collections.abc import Iterable

from midwatch.core.slo.alerts import span
from midwatch.core.slo.lint.remark import Facts, Remark, not_checked
from midwatch.core.slo.tiers import AlertPolicy
from midwatch.model.slo import Slo

NO_TRAFFIC = "nobody knows how many events come per minute"


def dead_tiers(slo: Slo, policy: AlertPolicy, facts: Facts) -> Iterable[Remark]:
    """f * B >= 1: it would take more than all requests failing."""
    budget = 1 - slo.target
    for tier in policy.tiers_for(slo):
        if tier.factor * budget >= 1:
            yield Remark(
                "dead-tier",
                "error" if tier.pages else "warning",
                f"the {tier.name} tier can never fire: {tier.factor:g} x a budget of {budget:.4g} is "
                f"{tier.factor * budget:.3g}, more than all requests failing",
                f"a factor below {1 / budget:.3g}, or switch the tier off",
            )


def factors_below_one(slo: Slo, policy: AlertPolicy, facts: Facts) -> Iterable[Remark]:
    """f < 1: it fires while the promise is kept."""
    for tier in policy.tiers_for(slo):
        if tier.factor < 1:
            yield Remark(
                "factor-below-1",
                "error",
                f"the {tier.name} tier fires at {tier.factor:g} x the budget: below 1 the promise is kept",
                "a factor of 1 or more",
            )


def single_failures(slo: Slo, policy: AlertPolicy, facts: Facts) -> Iterable[Remark]:
    """The long window holds fewer than 1 / (f * B) events, so that one failure is too many."""
    if policy.rules_for(slo).min_failures >= 2:
        return
    if facts.per_minute is None:
        yield not_checked("single-failure", NO_TRAFFIC)
        return
    for tier in policy.tiers_for(slo):
        threshold = tier.factor * (1 - slo.target)
        events = facts.per_minute * tier.long_seconds / 60
        if 0 < threshold < 1 and events * threshold < 1:
            yield Remark(
                "single-failure",
                "error" if tier.pages else "warning",
                f"a single failure fires the {tier.name} tier: its {span(tier.long_seconds)} hold {events:.3g} events, and "
                f"one of fewer than {1 / threshold:.3g} is too many",
                "at least 5 failures in the long window (min_failures: 5)",
            )


def starved_tiers(slo: Slo, policy: AlertPolicy, facts: Facts) -> Iterable[Remark]:
    """The long window does not even hold as many events as the guard wants failures."""
    if facts.per_minute is None:
        yield not_checked("starved-tier", NO_TRAFFIC)
        return
    for tier in policy.tiers_for(slo):
        events = facts.per_minute * tier.long_seconds / 60
        if events < policy.rules_for(slo).min_failures and tier.factor * (1 - slo.target) < 1:
            yield Remark(
                "starved-tier",
                "warning",
                f"the {tier.name} tier will hardly ever fire: its {span(tier.long_seconds)} hold {events:.3g} events, "
                f"and it takes {policy.rules_for(slo).min_failures:g} failures",
                "a longer window, or requests of your own (a probe) as events",
            )
