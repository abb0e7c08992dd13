"""Targets that nobody can keep."""

from __future__ import annotations

from collections.abc import Iterable

from midwatch.core.slo.lint.remark import Facts, Remark, not_checked
from midwatch.core.slo.tiers import AlertPolicy
from midwatch.model.slo import Slo


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
