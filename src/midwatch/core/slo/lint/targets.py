"""Targets that nobody can keep."""

from __future__ import annotations

import math
from collections.abc import Iterable

from midwatch.core.slo.lint.remark import Facts, Remark, not_checked
from midwatch.core.slo.tiers import AlertPolicy
from midwatch.model.slo import Slo


def above_dependencies(slo: Slo, policy: AlertPolicy, facts: Facts) -> Iterable[Remark]:
    """A service that needs others in every request is no better than their targets multiplied, as if they failed
    independently, unless it can do without them."""
    if facts.dependencies is None:
        yield not_checked("above-dependencies", "nobody knows what it depends on")
        return
    together = math.prod(facts.dependencies.values())
    if facts.dependencies and slo.target > together + 1e-12:
        named = ", ".join(f"{name} {target:.4%}" for name, target in sorted(facts.dependencies.items()))
        yield Remark(
            "above-dependencies",
            "warning",
            f"it promises {slo.target:.4%}, and what it needs promises {together:.4%} together ({named})",
            "a lower target, better promises, or retries and fallbacks that do without them",
        )


def no_failure_allowed(slo: Slo, policy: AlertPolicy, facts: Facts) -> Iterable[Remark]:
    """So few events that the first failure breaks the promise."""
    if facts.per_minute is None:
        yield not_checked("no-failure-allowed", "nobody knows how many events come per minute")
        return
    events = facts.per_minute * slo.period_seconds / 60
    allowed = events * (1 - slo.target)
    if allowed < 1:
        yield Remark(
            "no-failure-allowed",
            "warning",
            f"a period has {events:.3g} events, of which {allowed:.2g} may fail: the first failure breaks the promise",
            "a lower target or a longer period",
        )
