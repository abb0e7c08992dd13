"""Facts about a promise that only its source knows: what lint wants to be told (``core/slo/lint``)."""

from __future__ import annotations

import math

import numpy as np

from midwatch.adapters.sources.prometheus.source import PrometheusSource
from midwatch.core.slo import promql
from midwatch.core.slo.counting import possible
from midwatch.core.slo.lint import Facts, selectors_of
from midwatch.model.errors import ConfigError, SourceError
from midwatch.model.indicators import Histogram
from midwatch.model.slo import Slo

LOOK = "1d"
"""A selector that matched within a day exists."""
STEP_SECONDS = 300.0
LOOK_SECONDS = 86400.0


async def facts_of(source: PrometheusSource, slo: Slo, now: float) -> Facts:
    """What the source says about ``slo`` in the last day. What it refuses stays unknown. Raises SourceError when the source
    itself is not there."""
    client = source.client
    retention = await client.retention()  # first of all: it says whether anybody is there
    matched: dict[str, int] = {}
    for selector in selectors_of(slo):
        try:
            found = await client.query(f"count(last_over_time({selector}[{LOOK}]))", now)
            matched[selector] = round(float(found[0].values[0])) if found else 0
        except SourceError:
            continue  # lint says that nobody was asked
    per_minute, impossible = await _traffic(source, slo, now)
    return Facts(
        per_minute=per_minute,
        buckets=await _buckets(source, slo, now),
        retention_seconds=_seconds(retention),
        matched=matched,
        impossible_steps=impossible,
    )


async def _traffic(source: PrometheusSource, slo: Slo, now: float) -> tuple[float | None, int | None]:
    """Events a minute over what was seen of the last day, and how many steps cannot be true."""
    until = math.floor(now / STEP_SECONDS) * STEP_SECONDS
    try:
        counts = await source.counts(slo, until - LOOK_SECONDS, until, STEP_SECONDS)
    except SourceError:
        return None, None
    seen = [one for one in counts if one.at.size]
    if not seen:
        return None, None
    fine = [possible(one.good, one.total) for one in seen]
    if not any(ok.any() for ok in fine):
        return None, sum(ok.size for ok in fine)  # no step says how many there are
    events = sum(float(one.total[ok].sum()) for one, ok in zip(seen, fine, strict=True))
    minutes = (until - min(float(one.at[0]) for one in seen)) / 60
    return events / max(minutes, STEP_SECONDS / 60), sum(int((~ok).sum()) for ok in fine)


async def _buckets(source: PrometheusSource, slo: Slo, now: float) -> tuple[float, ...] | None:
    indicator = slo.indicator
    if not isinstance(indicator, Histogram) or indicator.kind != "explicit":
        return None
    try:
        found = await source.client.query(f"count by (le) (last_over_time({indicator.selector}[{LOOK}]))", now)
    except SourceError:
        return None
    bounds = [_bound(series.labels.get("le", "")) for series in found]
    return tuple(sorted(bound for bound in bounds if not np.isnan(bound))) or None


def _bound(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _seconds(text: str) -> float | None:
    try:
        return promql.seconds(text) if text else None
    except ConfigError:
        return None
