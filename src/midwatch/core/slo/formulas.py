"""What an alert will do, by arithmetic: how long until it fires, how long until it falls silent, what is spent by then.

With B = 1 - target, error ratio e, factor f, long and short window W and s, period P and steady traffic: it fires after
``f B W / e`` (never when e <= f B), falls silent ``s (1 - f B / e)`` after the errors stop, and ``e t / (B P)`` of the
budget is spent after t. On top of these come the guard (so many failures take ``k / (e * traffic)``), the ``for`` delay and
the wait for the next look. Good requests before and after; what chance adds at low traffic is measured in
``docs/results/slo.md``.
"""

from __future__ import annotations

import math
from typing import Final, Literal

from msgspec import Struct

from midwatch.core.slo.alerts import OUTAGE, OUTAGE_NATS, OUTAGE_SECONDS, OUTAGE_SHARE, least, needed, outage_tier, span
from midwatch.core.slo.tiers import AlertPolicy, counts_events
from midwatch.model.slo import AlertRules, BurnTier, Slo

RATIOS: Final = (1.0, 0.1, 0.01, 0.003)
MEDIAN: Final = 1 / 3  # the k-th of random arrivals comes, in the median, when k - 1/3 are due


class Row(Struct, frozen=True):
    """One tier at one error ratio. ``dead``: no error ratio can make it fire; ``never``: this one cannot; ``why`` says so.

    ``detect_seconds`` counts from the first error to the first look that can fire, ``detect_by_seconds`` to the last;
    ``failures`` and ``spent`` (share of the period's budget) are those at the first. None: it does not fire, or the
    traffic would have to be known.
    """

    tier: str
    pages: bool
    factor: float
    long_seconds: float
    short_seconds: float
    error_ratio: float
    state: Literal["fires", "never", "dead"]
    why: str = ""
    detect_seconds: float | None = None
    detect_by_seconds: float | None = None
    reset_seconds: float | None = None
    failures: float | None = None
    spent: float | None = None


def table(
    slo: Slo,
    policy: AlertPolicy,
    per_minute: float | None = None,
    ratios: tuple[float, ...] = RATIOS,
    habit: float = 0.0,
) -> tuple[Row, ...]:
    """A row for each error ratio and each tier of the policy, the outage rule first. ``per_minute`` is the usual traffic;
    without it the guards cannot be counted in, and the outage rule's time is not known. ``habit``: how many failures come
    together (``clumps.py``)."""
    tiers = policy.tiers_for(slo)
    if policy.rules.outage and counts_events(slo):
        tiers = (outage_tier(slo), *tiers)
    rules = policy.rules_for(slo)
    return tuple(row(slo, tier, rules, ratio, per_minute, habit) for ratio in ratios for tier in tiers)


def gone_seconds(slo: Slo, error_ratio: float) -> float:
    """How long the whole budget of a period lasts at this error ratio."""
    return (1 - slo.target) * slo.period_seconds / error_ratio if error_ratio > 0 else math.inf


def row(
    slo: Slo, tier: BurnTier, rules: AlertRules, error_ratio: float, per_minute: float | None, habit: float = 0.0
) -> Row:
    """One cell of the table."""
    budget = 1 - slo.target
    threshold = tier.factor * budget
    about = (tier.name, tier.pages, tier.factor, tier.long_seconds, tier.short_seconds, error_ratio)
    if tier.name != OUTAGE and threshold >= 1:
        return Row(*about, "dead", f"{tier.factor:g} x a budget of {budget:.4g} is more than all requests")
    per_second = None if per_minute is None else per_minute / 60
    if tier.name == OUTAGE:
        if error_ratio < OUTAGE_SHARE or error_ratio <= budget:
            return Row(*about, "never", "less than half of the requests fail")
        failures: float | None = _outage_failures(error_ratio, budget, rules)
        reset = None if not per_second else max(tier.short_seconds, rules.min_failures / per_second)
    else:
        if error_ratio <= threshold:
            return Row(*about, "never", f"{error_ratio:.3g} is no more than {threshold:.3g}, which the tier allows")
        failures = None
        if per_second is not None:
            events = per_second * tier.long_seconds
            enough = math.ceil(least(events, tier, budget, rules, habit))
            failures = max(enough, math.floor(needed(events, tier, budget, rules)) + 1)
        reset = tier.short_seconds * (1 - threshold / error_ratio)
    if failures is None or per_second is None:
        waited = None if tier.name == OUTAGE else threshold * tier.long_seconds / error_ratio
    elif per_second <= 0:
        return Row(*about, "never", "there is no traffic")
    else:
        waited = max(0.0, failures - MEDIAN) / (error_ratio * per_second)
        longest = OUTAGE_SECONDS if tier.name == OUTAGE else tier.long_seconds
        if waited > longest:
            held = error_ratio * per_second * longest
            return Row(
                *about, "never", f"{held:.3g} failures in {span(longest)}, and it takes {failures:g}", failures=failures
            )
    if waited is None:
        return Row(*about, "fires", f"after {failures:g} failures", reset_seconds=reset, failures=failures)
    waited += _held(rules)
    spent = error_ratio * waited / (budget * slo.period_seconds)
    counted = None if failures is None or per_second is None else failures + error_ratio * per_second * _held(rules)
    by = waited + rules.interval_seconds
    return Row(*about, "fires", "", waited, by, reset, counted, spent)


def _held(rules: AlertRules) -> float:
    """A condition must hold at every look of the ``for`` delay: a delay is rounded up to whole intervals."""
    if rules.for_seconds <= 0 or rules.interval_seconds <= 0:
        return rules.for_seconds
    return math.ceil(rules.for_seconds / rules.interval_seconds) * rules.interval_seconds


def _outage_failures(error_ratio: float, budget: float, rules: AlertRules) -> float:
    """Failures until chance at the budget's ratio is out of the question (``alerts.outage``)."""
    nats = error_ratio * math.log(error_ratio / budget)
    if error_ratio < 1:
        nats += (1 - error_ratio) * math.log((1 - error_ratio) / (1 - budget))
    return max(1.0, rules.min_failures, math.ceil(error_ratio * OUTAGE_NATS / nats))
