"""The budget ledger: good and total counts per SLO, in rings of growing step, so that any window is a sum.

Numerator and denominator are kept apart and every ratio is derived from their sums; averaging ratios is how the common
generators get NaN windows and 10.9 % for a true 0.24 %. About 60 kB per SLO.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from midwatch.core import memory
from midwatch.core.memory import Ledger
from midwatch.core.slo.composite import journey, weighted
from midwatch.model.slo import Slo
from midwatch.model.world import Floats

LEVELS: Final = memory.LEVELS
QUARTERS: Final = (900.0, 3200)  # calendars of zones that are not whole hours off: their midnights lie between hours
LONG: Final = (21_600.0, 1600)  # 400 days, for periods of a quarter or a year
_FEW: Final = 4


class Steps(NamedTuple):
    """Counts per step: ``good[i]`` of ``total[i]`` in the ``seconds`` from ``at[i]`` on (unix seconds, ascending), of shape
    (n,) each."""

    at: Floats
    good: Floats
    total: Floats
    seconds: float


def levels_for(slo: Slo) -> tuple[tuple[float, int], ...]:
    """The rings that a promise needs: the usual three; steps of 15 minutes where a calendar's boundaries do not lie on the
    hour, and one of 6 h for a period beyond 33 days (its first column then counts by share of time)."""
    fine, middle, coarse = LEVELS
    if slo.calendar is not None and slo.calendar.time_zone != "UTC":
        coarse = QUARTERS
    return (fine, middle, coarse, LONG) if slo.period_seconds > coarse[0] * coarse[1] else (fine, middle, coarse)


def new_ledger(now: float, levels: tuple[tuple[float, int], ...] = LEVELS) -> Ledger:
    return Ledger(
        counts=tuple(np.zeros((2, steps)) for _, steps in levels),
        head_at=tuple(math.floor(now / step) * step for step, _ in levels),
        first_at=now,
        seen_until=now,
        levels=levels,
    )


def add(ledger: Ledger, at: Floats, good: Floats, total: Floats, seen_until: float) -> Ledger:
    """The ledger with more counts: ``good[i]`` of ``total[i]`` requests at ``at[i]`` (unix seconds, in any order, no later
    than ``seen_until``), which may be steps that were counted before and have grown.

    Times older than a ring's window are left out of that ring only. Good above total is the caller's error.
    """
    counts, heads = [], []
    seen_until = max(seen_until, ledger.seen_until)
    any_events = bool(at.size) and bool(total.any() or good.any())
    for (step, size), ring, head in zip(ledger.levels, ledger.counts, ledger.head_at, strict=True):
        newest = math.floor(max(seen_until - 1e-3, head) / step) * step
        moved = _moved(ring, round((newest - head) / step))
        if any_events:
            moved = moved.copy() if moved is ring else moved
            if at.size <= _FEW:  # the usual turn of the loop brings one step
                for moment, g, t in zip(at.tolist(), good.tolist(), total.tolist(), strict=True):
                    column = size - 1 - round((newest - math.floor(moment / step) * step) / step)
                    if 0 <= column < size:
                        moved[0, column] += g
                        moved[1, column] += t
            else:
                column = size - 1 - np.rint((newest - np.floor(at / step) * step) / step).astype(int)
                kept = (column >= 0) & (column < size)
                moved[0] += np.bincount(column[kept], good[kept], size)
                moved[1] += np.bincount(column[kept], total[kept], size)
        counts.append(moved)
        heads.append(newest)
    first = min(ledger.first_at, float(at.min())) if at.size else ledger.first_at
    return replace(ledger, counts=tuple(counts), head_at=tuple(heads), seen_until=seen_until, first_at=first)


def joined(past: Ledger, live: Ledger) -> Ledger:
    """One ledger of ``past``, which was read back, and ``live``, which was counted meanwhile and for less than its finest
    ring holds: of the latter, what begins no earlier than ``past`` has seen."""
    step, size = live.levels[0]
    at = live.head_at[0] - step * np.arange(size - 1, -1, -1, dtype=np.float64)
    new = at >= math.floor(past.seen_until / step) * step - 1e-6
    good, total = live.counts[0][:, new]
    whole = add(past, at[new], good, total, live.seen_until)
    return replace(
        whole,
        heard_at=max(past.heard_at, live.heard_at),
        late=past.late + live.late,
        impossible=past.impossible + live.impossible,
        impossible_at=live.impossible_at or past.impossible_at,
        impossible_why=live.impossible_why or past.impossible_why,
    )


def _moved(ring: Floats, steps: int) -> Floats:
    """The ring ``steps`` columns later: itself when that is none."""
    if steps <= 0:
        return ring
    fresh = np.zeros_like(ring)
    if steps < ring.shape[1]:
        fresh[:, :-steps] = ring[:, steps:]
    return fresh


def sums(ledger: Ledger, window_seconds: float, now: float) -> tuple[float, float]:
    """Good and total over the ``window_seconds`` before ``now``, from the finest ring that covers the window. Whole columns:
    the oldest one counts in full."""
    level = next((n for n, (step, size) in enumerate(ledger.levels) if window_seconds <= step * size), -1)
    step, size = ledger.levels[level]
    newest_age = max(0.0, now - (ledger.head_at[level] + step))
    steps = min(math.ceil(max(0.0, window_seconds - newest_age) / step), size)
    if steps == 0:
        return 0.0, 0.0
    if ledger.rule == "weighted":
        return _mean(ledger, [sums(part, window_seconds, now) for part, _ in ledger.parts])
    if ledger.rule:
        end = ledger.head_at[level] + step
        return _journey(ledger, level, end - steps * step, end)
    part = ledger.counts[level][:, -steps:]
    return float(part[0].sum()), float(part[1].sum())


def between(ledger: Ledger, since: float, until: float) -> tuple[float, float]:
    """Good and total of [since, until), from the finest ring that reaches back to ``since``. A column that a boundary cuts
    counts by its share of time; boundaries on the ring's steps are exact, and so is the newest column as far as it is seen.
    """
    if until <= since:
        return 0.0, 0.0
    level = level_for(ledger, since)
    if ledger.rule == "weighted":
        return _mean(ledger, [between(part, since, until) for part, _ in ledger.parts])
    if ledger.rule:
        return _journey(ledger, level, since, until)
    found = _columns(ledger, level, since, until).sum(axis=1)
    return float(found[0]), float(found[1])


def steps(ledger: Ledger, since: float, until: float, over: tuple[float, float] | None = None) -> Steps:
    """The columns that begin in [since, until), oldest first, from the finest ring that reaches back to ``since``.

    Of a weighted mean each event counts for as much as it changes the mean of the window ``over`` (the same window when it
    is not given): there the columns add up to what ``between`` says, though no column is the mean of its own moment."""
    level = level_for(ledger, since)
    return _steps(ledger, level, since, until, over or (since, until))


def _steps(ledger: Ledger, level: int, since: float, until: float, over: tuple[float, float]) -> Steps:
    step, size = ledger.levels[level]
    at = ledger.head_at[level] - step * np.arange(size - 1, -1, -1, dtype=np.float64)
    first = max(since, math.floor(ledger.first_at / step) * step)
    kept = (at >= first - 1e-6) & (at < until - 1e-6)
    if not ledger.rule:
        good, total = ledger.counts[level][:, kept]
        return Steps(at[kept], good, total, step)
    at = at[kept]
    good, total = np.zeros((len(ledger.parts), at.size)), np.zeros((len(ledger.parts), at.size))
    for n, (part, _) in enumerate(ledger.parts):
        alike = part if part.levels == ledger.levels else _resampled(part, ledger.levels)
        if ledger.rule != "weighted":
            alike = replace(alike, rule="")  # a journey goes column by column, and so does a mean within it
        found = _steps(alike, level, since, until, over)
        held = np.isin(found.at, at)
        place = np.searchsorted(at, found.at[held])
        good[n, place], total[n, place] = found.good[held], found.total[held]
    if ledger.rule != "weighted":
        return Steps(at, *journey(good, total), step)
    inside = (at >= over[0] - 1e-6) & (at < over[1] - 1e-6)
    all_good, all_total = good[:, inside].sum(axis=1), total[:, inside].sum(axis=1)
    weights = np.where(all_total > 0, [weight for _, weight in ledger.parts], 0.0)
    _, events = weighted(all_good, all_total, weights)
    worth = np.divide(weights * events, all_total, out=np.zeros_like(weights), where=all_total > 0)
    worth = worth / max(float(weights.sum()), 1e-12)
    return Steps(at, worth @ good, worth @ total, step)


def level_for(ledger: Ledger, since: float) -> int:
    """The finest ring whose columns reach back to ``since`` (or to where the ledger begins); the coarsest if none does."""
    since = max(since, ledger.first_at)
    for level, ((step, size), head) in enumerate(zip(ledger.levels, ledger.head_at, strict=True)):
        if head - (size - 1) * step <= since:
            return level
    return len(ledger.levels) - 1


def compose(rule: str, parts: Sequence[tuple[Ledger, float]]) -> Ledger:
    """One ledger out of several with weights: windows of it are derived from its parts (``composite.py``). Parts with other
    rings than the composite's are brought to its steps by sums; a weighted mean's windows read each part as it is."""
    levels = _joint_levels([part.levels for part, _ in parts])
    alike = [(part if part.levels == levels else _resampled(part, levels), weight) for part, weight in parts]
    heads = [max(part.head_at[n] for part, _ in alike) for n in range(len(levels))]
    weights = np.array([weight for _, weight in parts])
    counts = []
    for n, (step, _) in enumerate(levels):
        rings = [_moved(part.counts[n], round((heads[n] - part.head_at[n]) / step)) for part, _ in alike]
        good, total = np.stack([ring[0] for ring in rings]), np.stack([ring[1] for ring in rings])
        counts.append(np.stack(weighted(good, total, weights) if rule == "weighted" else journey(good, total)))
    return Ledger(
        counts=tuple(counts),
        head_at=tuple(heads),
        first_at=min(part.first_at for part, _ in parts),
        seen_until=min(part.seen_until for part, _ in parts),
        heard_at=min(part.heard_at for part, _ in parts),
        levels=levels,
        rule=rule,
        parts=tuple(parts if rule == "weighted" else alike),
    )


def _joint_levels(of: Sequence[tuple[tuple[float, int], ...]]) -> tuple[tuple[float, int], ...]:
    """The rings (``levels_for``) of a composite: the coarsest step that a part has on the third, as long as the longest."""
    return (*LEVELS[:2], max(levels[2] for levels in of), *max(of, key=len)[3:])


def _resampled(ledger: Ledger, levels: tuple[tuple[float, int], ...]) -> Ledger:
    """The ledger with other rings: each is summed from the ring that reaches back furthest among those whose steps fit into
    its own. What the ledger does not know stays zero."""
    counts: list[Floats] = []
    heads: list[float] = []
    for step, size in levels:
        if (step, size) in ledger.levels:
            n = ledger.levels.index((step, size))
            counts.append(ledger.counts[n])
            heads.append(ledger.head_at[n])
            continue
        fitting = [n for n, (fine, _) in enumerate(ledger.levels) if step % fine == 0]
        n = max(fitting, key=lambda n: math.prod(ledger.levels[n]))
        fine, many = ledger.levels[n]
        head = math.floor(ledger.head_at[n] / step) * step
        at = ledger.head_at[n] - fine * np.arange(many - 1, -1, -1)
        column = size - 1 - np.rint((head - np.floor(at / step) * step) / step).astype(int)
        ring = np.zeros((2, size))
        for row in range(2):
            np.add.at(ring[row], column[column >= 0], ledger.counts[n][row, column >= 0])
        counts.append(ring)
        heads.append(head)
    return replace(ledger, counts=tuple(counts), head_at=tuple(heads), levels=levels)


def _mean(ledger: Ledger, found: Sequence[tuple[float, float]]) -> tuple[float, float]:
    good, total = np.array(found).T
    g, t = weighted(good, total, np.array([weight for _, weight in ledger.parts]))
    return float(g), float(t)


def _journey(ledger: Ledger, level: int, since: float, until: float) -> tuple[float, float]:
    cuts = [_columns(part, level, since, until) for part, _ in ledger.parts]
    good, total = journey(np.stack([cut[0] for cut in cuts]), np.stack([cut[1] for cut in cuts]))
    return float(good.sum()), float(total.sum())


def _columns(ledger: Ledger, level: int, since: float, until: float) -> Floats:
    """The ring's columns that [since, until) touches, times their share inside it, shape (2, columns); the same columns for
    every ledger, wherever its head stands."""
    step, size = ledger.levels[level]
    last = math.ceil(until / step - 1e-9)
    numbers = np.arange(max(math.floor(since / step + 1e-9), last - size), last)
    column = size - 1 - round(ledger.head_at[level] / step) + numbers
    held = (column >= 0) & (column < size)
    found = np.zeros((2, numbers.size))
    found[:, held] = ledger.counts[level][:, column[held]]
    begins = numbers * step
    # Of the newest column only what was seen holds events: an hour that is half over is no half of itself.
    seen = (begins == ledger.head_at[level]) & (begins < ledger.seen_until) & (ledger.seen_until < begins + step)
    ends = np.where(seen, ledger.seen_until, begins + step)
    inside = np.clip(np.minimum(ends, until) - np.maximum(begins, since), 0.0, step) / (ends - begins)
    return np.asarray(found * inside)


def burn_rate(ledger: Ledger, slo: Slo, window_seconds: float, now: float) -> float:
    """Error ratio over the window divided by the budget (1 - target); NaN without traffic."""
    good, total = sums(ledger, window_seconds, now)
    return (1 - good / total) / (1 - slo.target) if total > 0 and slo.target < 1 else float("nan")
