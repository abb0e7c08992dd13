"""Was an alert policy worth it? Its firings over a history, scored against incidents that people labelled.

A *page* is a time in which any paging tier fires, however many do: it wakes somebody once. It is true when it begins within
an incident, or so soon after that the errors were still in its short window. An incident is found when a page begins in it,
or is already there when it begins. Shares come with 95 % intervals (Wilson 1927), rates with Garwood's (1936).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from scipy.special import gammaincinv

from midwatch.core.slo.simulate import Played, Series, episodes, play, series_of
from midwatch.core.slo.tiers import AlertPolicy
from midwatch.model.slo import Slo
from midwatch.model.world import SliCounts

Z95: Final = 1.96
MONTH_DAYS: Final = 30.0


class Labelled(Struct, frozen=True):
    """An incident as people labelled it, unix seconds."""

    start_at: float
    end_at: float
    name: str = ""


class Firing(Struct, frozen=True):
    """One tier's alert from its first to its last firing look."""

    tier: str
    pages: bool
    start_at: float
    end_at: float


class Page(Struct, frozen=True):
    """A time in which somebody was being paged. ``incident`` is the name of what it was right about; empty: false."""

    start_at: float
    end_at: float
    tiers: tuple[str, ...]
    true: bool
    incident: str = ""


class Found(Struct, frozen=True):
    """What became of one labelled incident. ``budget_spent`` (share of the period's budget) is what it had cost when it
    was found, or in all when it was not."""

    name: str
    start_at: float
    end_at: float
    found: bool
    delay_seconds: float | None
    budget_spent: float
    by: str = ""
    ticket_delay_seconds: float | None = None


class Estimate(Struct, frozen=True):
    """A measured share or rate with its 95 % interval; None when there was nothing to measure it on."""

    value: float | None
    low: float | None
    high: float | None


class Score(Struct, frozen=True):
    """What a policy would have done. ``precision``: true of all pages; ``recall``: found of all incidents, by pages."""

    policy: str
    slo: str
    days: float
    pages: tuple[Page, ...]
    incidents: tuple[Found, ...]
    firings: tuple[Firing, ...]
    precision: Estimate
    recall: Estimate
    pages_per_30_days: Estimate
    false_pages_per_30_days: Estimate
    tickets_per_30_days: Estimate
    delay_seconds: float | None  # median of the found
    delay_worst_seconds: float | None
    budget_spent: float | None  # median of the found, at detection
    notes: tuple[str, ...] = ()


class Compared(Struct, frozen=True):
    """Two policies over the same history: their scores, and the incidents that only one of them found."""

    a: Score
    b: Score
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    sooner_a: int  # incidents that both found, a sooner
    sooner_b: int


def backtest(counts: SliCounts | Series, slo: Slo, policy: AlertPolicy, incidents: Sequence[Labelled] = ()) -> Score:
    """Play ``policy`` over ``counts`` and score it. ValueError when there are no counts."""
    series = counts if isinstance(counts, Series) else series_of(counts)
    return score(series, slo, policy.name, play(series, slo, policy), incidents)


def compare(
    counts: SliCounts | Series, slo: Slo, a: AlertPolicy, b: AlertPolicy, incidents: Sequence[Labelled] = ()
) -> Compared:
    """Two policies over the same history."""
    series = counts if isinstance(counts, Series) else series_of(counts)
    one, two = backtest(series, slo, a, incidents), backtest(series, slo, b, incidents)
    pairs = list(zip(one.incidents, two.incidents, strict=True))
    both = [(x.delay_seconds, y.delay_seconds) for x, y in pairs if x.found and y.found]
    return Compared(
        one,
        two,
        tuple(x.name for x, y in pairs if x.found and not y.found),
        tuple(y.name for x, y in pairs if y.found and not x.found),
        sum(x < y for x, y in both if x is not None and y is not None),
        sum(y < x for x, y in both if x is not None and y is not None),
    )


def score(series: Series, slo: Slo, name: str, played: Played, incidents: Sequence[Labelled]) -> Score:
    """``played`` (of one series) against ``incidents``; those outside the series are left out and said."""
    end_at = series.start_at + series.steps * series.step_seconds
    seen = sorted(
        (i for i in incidents if i.end_at > series.start_at and i.start_at < end_at), key=lambda i: i.start_at
    )
    firings = tuple(
        Firing(tier.name, tier.pages, begin, end)
        for row, tier in enumerate(played.tiers)
        for begin, end in episodes(played.on[row], played.at)
    )
    slack = max((tier.short_seconds for tier in played.tiers if tier.pages), default=0.0)
    pages = tuple(_page(begin, end, firings, seen, slack) for begin, end in episodes(played.paging, played.at))
    tickets = list(episodes(played.ticketing, played.at))
    found = tuple(_found(i, pages, tickets, series, slo) for i in seen)
    delays = [f.delay_seconds for f in found if f.delay_seconds is not None]
    true = sum(p.true for p in pages)
    return Score(
        policy=name,
        slo=slo.name,
        days=series.days,
        pages=pages,
        incidents=found,
        firings=firings,
        precision=share_of(true, len(pages)),
        recall=share_of(len(delays), len(found)),
        pages_per_30_days=rate_of(len(pages), series.days),
        false_pages_per_30_days=rate_of(len(pages) - true, series.days),
        tickets_per_30_days=rate_of(len(tickets), series.days),
        delay_seconds=float(np.median(delays)) if delays else None,
        delay_worst_seconds=max(delays, default=None),
        budget_spent=float(np.median([f.budget_spent for f in found if f.found])) if delays else None,
        notes=tuple(_notes(series, incidents, len(seen))),
    )


def _notes(series: Series, incidents: Sequence[Labelled], seen: int) -> Iterable[str]:
    if series.impossible:
        yield f"{series.impossible} steps count more good than total events, or less than none: left out"
    if seen < len(incidents):
        yield f"{len(incidents) - seen} labelled incidents lie outside the history: left out"
    if not incidents:
        yield "no incident is labelled: every page counts as false, and recall is not known"
    if not series.total.any():
        yield "the history has no events"


def _page(begin: float, end: float, firings: Iterable[Firing], incidents: Iterable[Labelled], slack: float) -> Page:
    tiers = dict.fromkeys(f.tier for f in firings if f.pages and f.start_at <= end and f.end_at >= begin)
    right = next((i for i in incidents if i.start_at <= begin <= i.end_at + slack), None)
    return Page(begin, end, tuple(tiers), right is not None, right.name if right else "")


def _found(
    incident: Labelled, pages: Iterable[Page], tickets: Iterable[tuple[float, float]], series: Series, slo: Slo
) -> Found:
    page = next((p for p in pages if p.start_at <= incident.end_at and p.end_at > incident.start_at), None)
    ticket = next((b for b, e in tickets if b <= incident.end_at and e > incident.start_at), None)
    until = max(page.start_at, incident.start_at) if page else incident.end_at
    return Found(
        incident.name,
        incident.start_at,
        incident.end_at,
        page is not None,
        until - incident.start_at if page else None,
        _cost(series, slo, incident.start_at, until),
        ", ".join(page.tiers) if page else "",
        None if ticket is None else max(0.0, ticket - incident.start_at),
    )


def _cost(series: Series, slo: Slo, start_at: float, until: float) -> float:
    """Bad events between two moments over the failures that a period at the history's mean traffic allows."""
    first, last = (
        int(np.clip(math.floor((at - series.start_at) / series.step_seconds + 1e-6), 0, series.steps))
        for at in (start_at, until)
    )
    expected = float(series.total.sum()) / (series.steps * series.step_seconds) * slo.period_seconds
    allowed = (1 - slo.target) * expected
    return float(series.bad[first:last].sum()) / allowed if allowed > 0 else 0.0


def share_of(part: int, whole: int) -> Estimate:
    """``part / whole`` with its Wilson score interval."""
    if whole == 0:
        return Estimate(None, None, None)
    p, z2 = part / whole, Z95 * Z95 / whole
    centre, spread = p + z2 / 2, Z95 * math.sqrt(p * (1 - p) / whole + z2 / (4 * whole))
    low, high = (centre - spread) / (1 + z2), (centre + spread) / (1 + z2)
    return Estimate(p, 0.0 if part == 0 else max(0.0, low), 1.0 if part == whole else min(1.0, high))


def rate_of(events: int, days: float) -> Estimate:
    """Events per 30 days with Garwood's exact Poisson interval."""
    if days <= 0:
        return Estimate(None, None, None)
    low = float(gammaincinv(events, 0.025)) if events else 0.0
    high = float(gammaincinv(events + 1, 0.975))
    return Estimate(*(n * MONTH_DAYS / days for n in (events, low, high)))
