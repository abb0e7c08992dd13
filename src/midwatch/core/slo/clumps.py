"""How many failures come together at a service as a habit: what one hour in sixty brings beyond independent failures.

Failures that come in clumps fool every count of them: a clump of twenty-five is one event, not twenty-five. For each hour of
the last month the failures are set against those that independent ones at the month's mean ratio would bring at the most
(the 98 % point of a Poisson count, by its normal approximation); what one hour in sixty exceeds is the habit. A quantile,
because a month may hold twelve real incidents that are no habit; hours, because clumps are shorter than that. What goes on
for longer is an incident: of hours beside each other only the worst counts.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from midwatch.core.memory import Ledger
from midwatch.model.world import Floats

STEP_SECONDS: Final = 3600.0
SHARE: Final = 1 / 60  # of the hours may be worse: twelve of a month
MOST_HOURS: Final = 720
MIN_HOURS: Final = 72  # with traffic: of less, nothing is a habit
FEWEST: Final = 3  # may be worse however few hours there are: a young service has incidents too
BESIDE_HOURS: Final = 2
RECENT_SECONDS: Final = 6 * 3600.0  # what is being judged is no yardstick for itself
_Z: Final = 2.054  # the normal distribution's 98 % point


def habit_of(ledger: Ledger, now: float) -> float:
    """Of one ledger, from its whole hours up to a while before ``now``."""
    return float(habit(*hours_of(ledger, now))[0])


def hours_of(ledger: Ledger, now: float) -> tuple[Floats, Floats]:
    """Bad and total of those hours, shape (1, MOST_HOURS); every ledger keeps as many and some more."""
    step, size = ledger.levels[2]
    until = math.floor((now - RECENT_SECONDS) / STEP_SECONDS) * STEP_SECONDS
    end = min(max(size - round((ledger.head_at[2] + step - until) / step), 0), size)
    width = round(STEP_SECONDS / step)
    begin = end - MOST_HOURS * width
    good, total = (ring[begin:end].reshape(1, -1, width).sum(axis=2) for ring in ledger.counts[2])
    return total - good, total


def habit(bad: Floats, total: Floats) -> Floats:
    """Failures beyond independent ones that one hour in sixty brings, shape (rows,); 0 where there are none, or too few
    hours to know. ``bad`` and ``total`` are counts of hours, shape (rows, hours), the newest last."""
    bad, total = bad[:, -MOST_HOURS:], total[:, -MOST_HOURS:]
    worse = math.floor(MOST_HOURS * SHARE + 1e-9) + 1
    if bad.shape[1] < max(worse, MIN_HOURS):
        return np.zeros(bad.shape[0])
    ratio = bad.sum(axis=1) / np.maximum(total.sum(axis=1), 1e-12)
    mean = total * ratio[:, None]
    beyond = np.where(total > 0, bad - (mean + _Z * np.sqrt(mean) + 1), -np.inf)
    beside = np.pad(beyond, ((0, 0), (BESIDE_HOURS, BESIDE_HOURS)), constant_values=-np.inf)
    worst = sliding_window_view(beside, 2 * BESIDE_HOURS + 1, axis=1).argmax(axis=2) == BESIDE_HOURS
    beyond = np.where(worst, beyond, -np.inf)
    hours = (total > 0).sum(axis=1)
    top = -np.sort(-np.partition(beyond, -worse, axis=1)[:, -worse:], axis=1)
    place = np.maximum(np.floor(hours * SHARE + 1e-9).astype(int), FEWEST)
    found = top[np.arange(bad.shape[0]), np.minimum(place, worse - 1)]
    return np.where(hours >= MIN_HOURS, np.maximum(found, 0.0), 0.0)
