"""The budget ledger: good and total counts per SLO, in rings of growing step, so that any window is a sum.

Numerator and denominator are kept apart and every ratio is derived from their sums; averaging ratios is how the common
generators get NaN windows and 10.9 % for a true 0.24 %. About 60 kB per SLO.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from midwatch.core.memory import Ledger
from midwatch.model import signals
from midwatch.model.slo import Slo
from midwatch.model.world import Floats, World

LEVELS: Final[tuple[tuple[float, int], ...]] = ((10.0, 2160), (300.0, 864), (3600.0, 800))
"""(step in seconds, steps): 6 h at 10 s, 3 d at 5 min, 33 d at 1 h."""


def new_ledger(now: float) -> Ledger:
    return Ledger(
        counts=tuple(np.zeros((2, steps)) for _, steps in LEVELS),
        head_at=tuple(math.floor(now / step) * step for step, _ in LEVELS),
        first_at=now,
        seen_until=now,
    )


def add(ledger: Ledger, at: Floats, good: Floats, total: Floats, seen_until: float) -> Ledger:
    """The ledger with more counts: ``good[i]`` of ``total[i]`` requests at ``at[i]`` (unix seconds, ascending).

    Times older than a ring's window are left out of that ring only. Good above total is the caller's error.
    """
    counts, heads = [], []
    for (step, size), ring, head in zip(LEVELS, ledger.counts, ledger.head_at, strict=True):
        newest = math.floor(max(seen_until - 1e-3, head) / step) * step
        moved = _moved(ring, round((newest - head) / step))
        column = size - 1 - np.rint((newest - np.floor(at / step) * step) / step).astype(int)
        kept = (column >= 0) & (column < size)
        np.add.at(moved[0], column[kept], good[kept])
        np.add.at(moved[1], column[kept], total[kept])
        counts.append(moved)
        heads.append(newest)
    first = min(ledger.first_at, float(at[0])) if at.size else ledger.first_at
    return replace(ledger, counts=tuple(counts), head_at=tuple(heads), seen_until=seen_until, first_at=first)


def _moved(ring: Floats, steps: int) -> Floats:
    if steps <= 0:
        return ring.copy()
    fresh = np.zeros_like(ring)
    if steps < ring.shape[1]:
        fresh[:, :-steps] = ring[:, steps:]
    return fresh


def sums(ledger: Ledger, window_seconds: float, now: float) -> tuple[float, float]:
    """Good and total over the ``window_seconds`` before ``now``, from the finest ring that covers the window."""
    for (step, size), ring, head in zip(LEVELS, ledger.counts, ledger.head_at, strict=True):
        if window_seconds <= step * size or step == LEVELS[-1][0]:
            newest_age = max(0.0, now - (head + step))
            steps = math.ceil(max(0.0, window_seconds - newest_age) / step)
            if steps == 0:
                return 0.0, 0.0
            part = ring[:, -min(steps, size) :]
            return float(part[0].sum()), float(part[1].sum())
    raise AssertionError("LEVELS is never empty")


def burn_rate(ledger: Ledger, slo: Slo, window_seconds: float, now: float) -> float:
    """Error ratio over the window divided by the budget (1 - target); NaN without traffic."""
    good, total = sums(ledger, window_seconds, now)
    return (1 - good / total) / (1 - slo.target) if total > 0 and slo.target < 1 else float("nan")


def budget_spent(ledger: Ledger, slo: Slo, now: float) -> float:
    """Share of the period's budget that is spent (0..1 and above).

    Until history covers the period the budget is target x the *expected* traffic of the period (the mean rate so far),
    or the first error after a start would spend it all. NaN without traffic.
    """
    good, total = sums(ledger, slo.period_seconds, now)
    if total <= 0 or slo.target >= 1:
        return float("nan")
    covered = min(slo.period_seconds, max(now - ledger.first_at, LEVELS[0][0]))
    expected = total * slo.period_seconds / covered
    return (total - good) / ((1 - slo.target) * expected)


def good_and_total(world: World, slo: Slo) -> tuple[Floats, Floats] | None:
    """Good and total per step of the World for one SLO, shape (steps,) each; None when its entity was never seen.

    Steps without traffic count (0, 0). A step of a freshness SLO counts 1, good while the oldest message is younger than
    the threshold.
    """
    if slo.sli == "freshness":
        lag = world.series.get(slo.entity, signals.QUEUE_LAG_SECONDS)
        if lag is None:
            return None
        seen = np.isfinite(lag)
        return (seen & (lag * 1000 <= slo.threshold_ms)).astype(np.float64), seen.astype(np.float64)
    requests = world.series.get(slo.entity, signals.REQUESTS)
    if requests is None:
        return None
    total = np.nan_to_num(requests)
    if slo.sli == "ratio":
        errors = world.series.get(slo.entity, signals.ERRORS)
        bad = np.zeros_like(total) if errors is None else np.nan_to_num(errors)
    else:
        slow = world.latency.slower_than(slo.entity, slo.threshold_ms)
        if slow is None:
            return None
        bad = np.nan_to_num(slow)
    return total - np.minimum(bad, total), total
