"""An alert policy played over a series of counts: when would it have fired?

The conditions are those that the running watch asks (``alerts.py``), here of every look at once: each window is the
difference of two running sums. Three ways to count can be played: sums over each window with the guards, the same without
them (the textbook), and the mean of 5-minute ratios.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from msgspec import structs

from midwatch.core.slo import clumps
from midwatch.core.slo.alerts import OUTAGE, OUTAGE_SECONDS, Bools, fires, least, outage, outage_tier
from midwatch.core.slo.tiers import AlertPolicy, counts_events
from midwatch.model.slo import AlertRules, BurnTier, Slo
from midwatch.model.world import Floats, Ints, SliCounts

RATIO_SECONDS: Final = 300.0
MAX_STEPS: Final = 20_000_000


@dataclass(frozen=True)
class Series:
    """Bad and total events per step, shape (..., steps), on a grid that starts at ``start_at`` (unix seconds).
    ``impossible`` steps had more good than total events (or less than none) and are left out."""

    bad: Floats
    total: Floats
    step_seconds: float
    start_at: float = 0.0
    impossible: int = 0

    @property
    def steps(self) -> int:
        return int(self.total.shape[-1])

    @property
    def days(self) -> float:
        return self.steps * self.step_seconds / 86400


@dataclass(frozen=True)
class Played:
    """``on[tier, ..., look]``: whether the tier's alert was firing at the look at ``at[look]`` (unix seconds)."""

    tiers: tuple[BurnTier, ...]
    at: Floats
    on: Bools

    @property
    def paging(self) -> Bools:
        """Whether anybody was being paged, shape (..., looks)."""
        return self._any(True)

    @property
    def ticketing(self) -> Bools:
        return self._any(False)

    def _any(self, pages: bool) -> Bools:
        rows = [i for i, tier in enumerate(self.tiers) if tier.pages == pages]
        return np.asarray(self.on[rows].any(axis=0))


def series_of(counts: SliCounts, step_seconds: float = 0.0) -> Series:
    """Counts on a regular grid. The step is the smallest distance between two of them unless it is given; a step that is
    missing had no events. ValueError when there is nothing, or more than ``MAX_STEPS``."""
    order = np.argsort(counts.at, kind="stable")
    at, good, total = counts.at[order], counts.good[order], counts.total[order]
    if at.size == 0:
        raise ValueError("there are no counts")
    apart = np.diff(at)
    apart = apart[apart > 1e-6]
    step = step_seconds or (float(apart.min()) if apart.size else 60.0)
    start = math.floor(float(at[0]) / step) * step
    size = max(int((float(at[-1]) - start) // step) + 1, round((counts.seen_until - start) / step))
    if size > MAX_STEPS:
        raise ValueError(f"{size} steps of {step:g} s are more than {MAX_STEPS}: give a longer step")
    with np.errstate(invalid="ignore"):
        fine = np.isfinite(good) & np.isfinite(total) & (good >= 0) & (total >= 0) & (good <= total * (1 + 1e-9) + 1e-9)
    place = np.floor((at[fine] - start + 1e-6) / step).astype(np.intp)
    bad = np.bincount(place, np.maximum(total[fine] - good[fine], 0.0), size)
    whole = np.bincount(place, total[fine], size)
    return Series(np.asarray(bad, np.float64), np.asarray(whole, np.float64), step, start, int((~fine).sum()))


def play(series: Series, slo: Slo, policy: AlertPolicy) -> Played:
    """The policy over the series. Windows that history does not cover yet are judged by their expected traffic."""
    every = max(1, round(policy.rules.interval_seconds / series.step_seconds))
    looks = np.arange(every - 1, series.steps, every)
    tiers = policy.tiers_for(slo)
    if policy.rules.outage and counts_events(slo):
        tiers = (*tiers, outage_tier(slo))
    budget = 1 - slo.target
    policy = structs.replace(policy, rules=policy.rules_for(slo))
    sums = (_running(series.bad), _running(series.total))
    held = math.ceil(policy.rules.for_seconds / (every * series.step_seconds) - 1e-9)
    on = [_held(_asked(series, sums, looks, tier, budget, policy), held) for tier in tiers]
    at: Floats = np.asarray(series.start_at + (looks + 1) * series.step_seconds, np.float64)
    shape = (0, *series.total.shape[:-1], looks.size)
    return Played(tiers, at, np.stack(on) if on else np.zeros(shape, dtype=bool))


def episodes(on: Bools, at: Floats) -> Iterator[tuple[float, float]]:
    """Begin and end (unix seconds) of each run of firing looks; ``on`` has shape (looks,). One that lasts to the end of
    the series ends at its last look."""
    edge = np.diff(on.astype(np.int8), prepend=0, append=0)
    begins, ends = np.flatnonzero(edge == 1).tolist(), np.flatnonzero(edge == -1).tolist()
    for begin, end in zip(begins, ends, strict=True):
        yield float(at[begin]), float(at[min(end, at.size - 1)])


def _asked(
    series: Series, sums: tuple[Floats, Floats], looks: Ints, tier: BurnTier, budget: float, policy: AlertPolicy
) -> Bools:
    """The tier's condition at every look."""
    bad, total = sums
    if tier.name == OUTAGE:
        return _outages(series, sums, looks, budget, policy.rules)
    if policy.counting == "ratios":
        return _averaged(series, sums, looks, tier, budget)
    long, short = (max(1, round(s / series.step_seconds)) for s in (tier.long_seconds, tier.short_seconds))
    young = np.maximum(1.0, long / (looks + 1))
    expected = _window(total, looks, long) * young
    asked = fires(
        _window(bad, looks, long),
        expected,
        _window(bad, looks, short),
        _window(total, looks, short),
        tier,
        budget,
        policy.rules,
    )
    if policy.rules.min_failures and asked.any():
        enough = least(expected, tier, budget, policy.rules, _habit(series, looks, asked))
        asked &= _window(bad, looks, long) >= enough
    return np.asarray(asked)


def _habit(series: Series, looks: Ints, asked: Bools) -> Floats:
    """How many failures come together (``clumps.py``), from the hours before each look at which it is asked; shape of
    ``asked``."""
    width = round(clumps.STEP_SECONDS / series.step_seconds)
    found = np.zeros(asked.shape)
    if width * series.step_seconds != clumps.STEP_SECONDS:
        return found
    whole = series.steps // width * width
    if not whole:
        return found  # less than an hour is known: no habit
    bad, total = (of[..., :whole].reshape(-1, whole // width, width).sum(axis=2) for of in (series.bad, series.total))
    wanted, rows = asked.reshape(-1, looks.size), found.reshape(-1, looks.size)
    before = np.floor(((looks + 1) * series.step_seconds - clumps.RECENT_SECONDS) / clumps.STEP_SECONDS).astype(int)
    for hours in np.unique(before[wanted.any(axis=0)]).tolist():
        if hours >= clumps.MIN_HOURS:
            at = before == hours
            some = np.flatnonzero(wanted[:, at].any(axis=1))
            rows[np.ix_(some, np.flatnonzero(at))] = clumps.habit(bad[some, :hours], total[some, :hours])[:, None]
    return found


def _running(values: Floats) -> Floats:
    """Running sums with a zero in front, shape (..., steps + 1)."""
    return np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1)], axis=-1)


def _window(running: Floats, looks: Ints, steps: int) -> Floats:
    """Sums of the ``steps`` steps up to each look."""
    return np.asarray(running[..., looks + 1] - running[..., np.maximum(looks + 1 - steps, 0)])


def _outages(series: Series, sums: tuple[Floats, Floats], looks: Ints, budget: float, rules: AlertRules) -> Bools:
    """The outage rule: the shortest run of newest steps with enough failures, found by bisection."""
    failures = max(1.0, rules.min_failures)
    longest = round(OUTAGE_SECONDS / series.step_seconds)
    flat_bad, flat_total = (s.reshape(-1, s.shape[-1]) for s in sums)
    found = np.zeros((flat_bad.shape[0], looks.size), dtype=bool)
    for row, (bad, total) in enumerate(zip(flat_bad, flat_total, strict=True)):
        first = np.searchsorted(bad, bad[looks + 1] - failures + 1e-9, side="right") - 1
        near = (first >= 0) & (looks + 1 - first <= longest)
        first = np.maximum(first, 0)
        found[row] = near & outage(bad[looks + 1] - bad[first], total[looks + 1] - total[first], budget, rules)
    return found.reshape((*series.total.shape[:-1], looks.size))


def _averaged(series: Series, sums: tuple[Floats, Floats], looks: Ints, tier: BurnTier, budget: float) -> Bools:
    """Long windows as the mean of 5-minute ratios. Five idle minutes have no ratio (NaN), and a NaN in the window makes
    the mean NaN, which is above nothing."""
    steps = np.arange(series.steps)
    width = max(1, round(RATIO_SECONDS / series.step_seconds))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = _window(sums[0], steps, width) / _window(sums[1], steps, width)
    known, value = _running(np.isfinite(ratio).astype(float)), _running(np.nan_to_num(ratio))
    asked = np.ones((*series.total.shape[:-1], looks.size), dtype=bool)
    for seconds in (tier.long_seconds, tier.short_seconds):
        size = max(1, round(seconds / series.step_seconds))
        there = np.minimum(looks + 1, size)
        asked &= (_window(known, looks, size) == there) & (_window(value, looks, size) / there > tier.factor * budget)
    return asked


def _held(asked: Bools, looks: int) -> Bools:
    """Whether a condition has held at this look and at the ``looks`` before."""
    if looks == 0:
        return asked
    index = np.arange(asked.shape[-1])
    last_false = np.maximum.accumulate(np.where(asked, -1, index), axis=-1)
    return np.asarray(index - last_false > looks)
