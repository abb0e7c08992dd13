"""Promises whose data cannot carry them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from midwatch.core.slo import promql
from midwatch.core.slo.alerts import span
from midwatch.core.slo.lint.remark import Facts, Remark, not_checked
from midwatch.core.slo.tiers import AlertPolicy
from midwatch.model.errors import ConfigError
from midwatch.model.indicators import BoolGauge, EventRatio, Histogram, RawRatio, Threshold
from midwatch.model.slo import Slo


def missing_bucket(slo: Slo, policy: AlertPolicy, facts: Facts) -> Iterable[Remark]:
    """A latency bound between two buckets: ``le="0.3"`` matches nothing where there are 0.25 and 0.5."""
    indicator = slo.indicator
    if not isinstance(indicator, Histogram) or indicator.kind != "explicit":
        return
    if facts.buckets is None:
        yield not_checked("missing-bucket", "nobody knows which buckets the histogram has")
        return
    if any(math.isclose(bound, indicator.threshold, rel_tol=1e-9) for bound in facts.buckets):
        return
    below = max((b for b in facts.buckets if b < indicator.threshold), default=None)
    above = min((b for b in facts.buckets if b > indicator.threshold and math.isfinite(b)), default=None)
    near = " and ".join(f"{b:g}" for b in (below, above) if b is not None) or "none"
    yield Remark(
        "missing-bucket",
        "error",
        f"no bucket ends at {indicator.threshold:g}: the nearest are {near}",
        "a threshold that is a bucket's bound, or that bucket in the service",
    )


def good_above_total(slo: Slo, policy: AlertPolicy, facts: Facts) -> Iterable[Remark]:
    """More good events than events: the two queries do not count the same thing."""
    if facts.impossible_steps is None:
        if slo.sli == "source":
            yield not_checked("good-above-total", "no counts were read")
    elif facts.impossible_steps > 0:
        yield Remark(
            "good-above-total",
            "error",
            f"{facts.impossible_steps} steps count more good than total events",
            "one metric for both, told apart by a label",
        )


def short_retention(slo: Slo, policy: AlertPolicy, facts: Facts) -> Iterable[Remark]:
    """The source forgets before the period is over."""
    if slo.sli != "source":
        return  # midwatch's own ledger keeps the period
    if facts.retention_seconds is None:
        yield not_checked("short-retention", "nobody knows how long the source keeps its data")
        return
    tiers = policy.tiers_for(slo)
    longest = max((t.long_seconds for t in tiers), default=0.0)
    if facts.retention_seconds < slo.period_seconds:
        yield Remark(
            "short-retention",
            "warning" if facts.retention_seconds >= longest else "error",
            f"the source keeps {span(facts.retention_seconds)}, the period is {span(slo.period_seconds)}",
            "longer retention, recorded counts, or midwatch's own ledger, which keeps the period",
        )


def selectors_of(slo: Slo) -> tuple[str, ...]:
    """The vector selectors of the promise's queries, as text; what ``Facts.matched`` is asked for. Empty for what midwatch
    counts itself, and for a query that cannot be parsed (``unparsable`` says so)."""
    found: list[str] = []
    for query in _queries(slo):
        try:
            found += promql.selectors(query)
        except ConfigError:
            continue
    return tuple(dict.fromkeys(found))


def unparsable(slo: Slo, policy: AlertPolicy, facts: Facts) -> Iterable[Remark]:
    """A query that is no PromQL."""
    for query in _queries(slo):
        try:
            promql.selectors(query)
        except ConfigError as why:
            yield Remark("unparsable", "error", str(why), why.hint)


def matches_nothing(slo: Slo, policy: AlertPolicy, facts: Facts) -> Iterable[Remark]:
    """A query whose series do not exist: a budget that is full for ever."""
    selectors = selectors_of(slo)
    if not selectors:
        return
    for selector in selectors:
        count = None if facts.matched is None else facts.matched.get(selector)
        if count is None:
            yield not_checked("matches-nothing", f"no source was asked for {selector}")
        elif count == 0:
            yield Remark("matches-nothing", "error", f"no series matches {selector}", _look_at(selector))


def _look_at(selector: str) -> str:
    """A pattern behind ``=`` is taken as it is written, and looks right to whoever wrote it."""
    pattern = re.search(r'(\w+)="([^"]*(?:\.[*+.]|\||\[)[^"]*)"', selector)
    if pattern:
        return f'a pattern wants =~: {pattern[1]}=~"{pattern[2]}"'
    return "look at the metric's name and its labels"


def _queries(slo: Slo) -> tuple[str, ...]:
    match slo.indicator:
        case EventRatio(total=total, good=good, bad=bad):
            return tuple(q for q in (total, good, bad) if q)
        case RawRatio(query=query) | Threshold(query=query):
            return (query,)
        case Histogram(selector=selector, total=total):
            return tuple(q for q in (selector, total) if q)
        case BoolGauge(selector=selector):
            return (selector,)
        case _:
            return ()
