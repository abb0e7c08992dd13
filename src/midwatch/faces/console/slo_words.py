"""Promises and budgets in words: what was promised, what is left, over which period."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from midwatch.faces.console.words import NBSP, clock, duration, measured, number, target_percent
from midwatch.model.indicators import BoolGauge, Composite, EventRatio, Histogram, Slices, Threshold
from midwatch.model.slo import Slo

COMPARISONS: Final = {"lt": "below", "lte": "at most", "gt": "above", "gte": "at least"}
STATES: Final = {
    "spent": ("bad", "spent"),
    "burning": ("bad", "burning"),
    "no data": ("nodata", "no data"),
    "ok": ("ok", "ok"),
    "no errors": ("ok", "no errors"),
    "no traffic": ("idle", "no traffic"),
}
"""State -> (tone, the word), the ones that want a person first."""


def promise(slo: Slo) -> str:
    """``99.9 % of the requests succeed, over 30 d``."""
    return f"{target_percent(slo.target)} {_what(slo)}, {period(slo)}"


def _what(slo: Slo) -> str:
    if slo.slices is not None:
        return _slices(slo.slices)
    if slo.sli == "latency":
        return f"of the requests are answered within {measured(slo.threshold_ms, 'ms')}"
    if slo.sli == "freshness":
        return f"of the time no message is older than {measured(slo.threshold_ms, 'ms')}"
    match slo.indicator:
        case EventRatio():
            return "of the events are good"
        case Histogram(threshold=bound):
            return f"of the events are at most {number(bound)} in their own unit"
        case BoolGauge():
            return "of the looks find it up"
        case Threshold(op=op, bound=bound):
            return f"of the looks find it {COMPARISONS[op]} {number(bound)} (in its own unit)"
        case Composite(parts=parts, rule="all"):
            return f"of the journeys through {len(parts)} promises are good"
        case Composite(parts=parts):
            return f"as the weighted mean of {len(parts)} promises"
        case None:
            return "of the requests succeed"
        case _:
            return "on the average over time"


def _slices(slices: Slices) -> str:
    if slices.rule == "ratio":
        return f"as the mean over slices of {duration(slices.seconds)}, whatever their traffic"
    return f"of the slices of {duration(slices.seconds)} reach {target_percent(slices.target)}"


def period(slo: Slo) -> str:
    """``over 30 d``, or ``per month (Europe/Berlin)``."""
    if slo.calendar is None:
        return f"over {duration(slo.period_seconds)}"
    every = slo.calendar.unit if slo.calendar.count == 1 else f"{slo.calendar.count} {slo.calendar.unit}s"
    return f"per {every} ({slo.calendar.time_zone})"


def span(slo: Slo, since_at: float, until_at: float) -> str:
    """``26 Oct 17:05 to now``, or the calendar's dates in its own time zone."""
    if slo.calendar is None:
        return f"{clock(since_at, None)} to now"
    zone = ZoneInfo(slo.calendar.time_zone)
    first, last = (datetime.fromtimestamp(at, zone) for at in (since_at, until_at - 1))
    return f"{first:%d %b} to {last:%d %b}, {slo.calendar.time_zone} time"


def unit(slo: Slo) -> str:
    """What one bad event is called, in the plural."""
    if slo.slices is not None:
        return "bad slices"
    if slo.sli == "latency":
        return "slow requests"
    if slo.sli == "freshness" or isinstance(slo.indicator, BoolGauge | Threshold):
        return "bad looks"
    return "bad events" if slo.sli == "source" and isinstance(slo.indicator, Histogram) else "failures"


def left_events(slo: Slo, bad: float, allowed: float) -> str:
    """``1,240 of 4,000 failures left``; overspent: ``5,200 failures, 4,000 were allowed``."""
    if bad >= allowed:
        return f"{_events(bad)} {unit(slo)}, {_events(allowed)} allowed"
    return f"{_events(allowed - bad)} of {_events(allowed)} {unit(slo)} left"


def left_time(slo: Slo, left: float, period_seconds: float) -> str:
    """``18 of 43 min``: what is left as time in which everything fails."""
    whole = (1 - slo.target) * period_seconds
    if left < 0:
        return f"overspent by {_time(-left * whole)} of full outage"
    size, name = (60.0, "min") if 120 <= whole < 7200 else (3600.0, "h") if whole >= 7200 else (1.0, "s")
    return f"{_few(left * whole / size)} of {_few(whole / size)}{NBSP}{name} of full outage"


def _time(seconds: float) -> str:
    return duration(seconds) if seconds < 36 * 3600 else f"{seconds / 86400:.1f}{NBSP}d"


def _few(value: float) -> str:
    return f"{value:.0f}" if value >= 10 or value == round(value) else f"{value:.1f}"


def _events(value: float) -> str:
    if not math.isfinite(value):
        return "no data"
    return f"{value:,.1f}" if abs(value) < 10 and value != round(value) else f"{math.floor(value):,}"
