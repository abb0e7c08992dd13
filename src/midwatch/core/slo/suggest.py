"""Promises and targets proposed from history, with intervals, and with what was assumed.

A month is drawn many times from the days there are (which days are likely is drawn too: Rubin 1981), and a target is
proposed when at least nine in ten of these months would have kept it. So a service is promised what it does anyway; whether
that is what its users need, no history says.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from msgspec import Struct

from midwatch.core.slo.discover import LATENCY_TARGET, NOTICED_MS
from midwatch.model import signals
from midwatch.model.entity import name_of
from midwatch.model.slo import Slo
from midwatch.model.world import Floats

LADDER: Final = (0.9999, 0.9995, 0.999, 0.998, 0.995, 0.99, 0.98, 0.95, 0.9)
KEPT: Final = 0.9
MIN_DAYS: Final = 7
MIN_ALLOWED: Final = 10.0
MONTHS: Final = 2000
DAY_HOURS: Final = 24


class Suggestion(Struct, frozen=True):
    """A promise that could be made. ``sli`` is what the history did, ``low`` to ``high`` holds it in 80 % of the months
    drawn from it, ``kept`` is the share of them that would have kept the target, ``allowed`` the bad events that a period
    may have."""

    slo: Slo
    sli: float
    low: float
    high: float
    kept: float
    allowed: float
    why: str
    assumed: tuple[str, ...]


class Suggested(Struct, frozen=True):
    """What can be proposed for one entity, and why nothing else is."""

    suggestions: tuple[Suggestion, ...]
    reasons: tuple[str, ...]


def suggest(
    entity: str,
    good: Floats,
    total: Floats,
    latency: Floats | None = None,
    *,
    bounds_ms: tuple[float, ...] = signals.LATENCY_BOUNDS_MS,
    period_seconds: float = 30 * 86400.0,
    seed: int = 0,
) -> Suggested:
    """Availability from ``good`` of ``total`` events per hour, shape (hours,), and a latency bound from ``latency``, counts
    per hour and bucket, shape (hours, len(bounds_ms) + 1). Only whole days count, the newest ones."""
    days = total.size // DAY_HOURS
    if days < MIN_DAYS:
        return Suggested((), (f"{total.size / DAY_HOURS:.1f} days of history are too few: it takes {MIN_DAYS}",))
    if not total.sum() > 0:
        return Suggested((), ("no events were seen",))
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(days), MONTHS)
    drawn = rng.multinomial(max(1, round(period_seconds / 86400)), weights).astype(np.float64)
    assumed = (
        f"the months to come are like these {days} days, incidents included",
        "days are independent of each other",
        "users were content with what they got",
    )
    every = _daily(total, days)
    found: list[Suggestion] = []
    reasons: list[str] = []
    name = name_of(entity)
    for proposal in (
        _availability(entity, name, _daily(good, days), every, drawn, period_seconds, assumed),
        None if latency is None else _latency(entity, name, latency, days, bounds_ms, drawn, period_seconds, assumed),
    ):
        if isinstance(proposal, Suggestion):
            found.append(proposal)
        elif proposal:
            reasons.append(proposal)
    return Suggested(tuple(found), tuple(reasons))


def _daily(hours: Floats, days: int) -> Floats:
    """Sums per day along the first axis, the newest whole days."""
    return np.asarray(hours[hours.shape[0] - days * DAY_HOURS :].reshape(days, DAY_HOURS, *hours.shape[1:]).sum(axis=1))


def _months(good: Floats, total: Floats, drawn: Floats) -> Floats:
    """The SLI of every drawn month that has events."""
    whole = drawn @ total
    return np.asarray((drawn @ good)[whole > 0] / whole[whole > 0])


def _availability(
    entity: str,
    name: str,
    good: Floats,
    total: Floats,
    drawn: Floats,
    period_seconds: float,
    assumed: tuple[str, ...],
) -> Suggestion | str:
    months = _months(good, total, drawn)
    events = float(total.mean()) * period_seconds / 86400
    fitting = [t for t in LADDER if events * (1 - t) >= MIN_ALLOWED]
    if not fitting:
        return f"availability: {events:.0f} events in a period are too few for a target, even of {LADDER[-1]:.0%}"
    target = next((t for t in fitting if (months >= t).mean() >= KEPT), None)
    if target is None:
        return f"availability: not even {LADDER[-1]:.0%} would have been kept (it was {good.sum() / total.sum():.2%})"
    better = next((t for t in LADDER if t > target and (months >= t).mean() >= KEPT), None)
    more = () if better is None else (f"{better:.2%} would have been kept too, but allows fewer than 10 failures",)
    return _said(Slo(f"{name}-availability", entity, "ratio", target), good, total, months, events, (*assumed, *more))


def _latency(
    entity: str,
    name: str,
    buckets: Floats,
    days: int,
    bounds_ms: tuple[float, ...],
    drawn: Floats,
    period_seconds: float,
    assumed: tuple[str, ...],
) -> Suggestion | str:
    daily = _daily(buckets, days)
    total = daily.sum(axis=1)
    if not total.sum() > 0:
        return "latency: no request was timed"
    events = float(total.mean()) * period_seconds / 86400
    if events * (1 - LATENCY_TARGET) < MIN_ALLOWED:
        return f"latency: {events:.0f} requests in a period are too few for a target of {LATENCY_TARGET:.0%}"
    within = np.cumsum(daily, axis=1)
    for index, bound in enumerate(bounds_ms):
        if bound < NOTICED_MS:
            continue
        months = _months(within[:, index], total, drawn)
        if (months >= LATENCY_TARGET).mean() >= KEPT:
            slo = Slo(f"{name}-latency", entity, "latency", LATENCY_TARGET, bound)
            felt = (f"faster than {NOTICED_MS:g} ms feels instant", f"{bound:g} ms is a bucket's bound")
            return _said(slo, within[:, index], total, months, events, (*assumed, *felt))
    return f"latency: {LATENCY_TARGET:.0%} of the requests are not within {bounds_ms[-1]:g} ms, the last bucket"


def _said(slo: Slo, good: Floats, total: Floats, months: Floats, events: float, assumed: tuple[str, ...]) -> Suggestion:
    sli = float(good.sum() / total.sum())
    low, high = (float(q) for q in np.quantile(months, (0.1, 0.9)))
    kept = float((months >= slo.target).mean())
    allowed = math.floor(events * (1 - slo.target) + 1e-6)
    why = f"{sli:.3%} of {total.sum():.0f} events were good; {kept:.0%} of the months drawn from them keep {slo.target:.2%}"
    return Suggestion(slo, sli, low, high, kept, float(allowed), why, assumed)
