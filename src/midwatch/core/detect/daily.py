"""What is usual at this time of day? Bounds of each two-hour slot of the days before, for every row of a matrix at once.

A value is held against the slots before, at and after its own, today left out. That says something only of a series
with a daily shape: where the deviation within those slots is less than ``SHAPED`` of the deviation over the whole day.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from midwatch.core.habits import Daily, Slot
from midwatch.model.world import Floats

SLOTS: Final = 12
DAY_SECONDS: Final = 86400.0
LEARN_DAYS: Final = 5.0
SHAPED: Final = 0.4


def no_days(rows: int) -> Daily:
    top, bottom, zero = np.full(rows, np.inf), np.full(rows, -np.inf), np.zeros(rows)
    return Daily(
        (Slot(-1, top, bottom, top, bottom, zero, zero, zero),) * SLOTS, np.full(rows, np.nan), np.full(rows, np.nan)
    )


def outside(daily: Daily, values: Floats, at: float, deviation: Floats) -> Floats:
    """How far ``values`` (rows,) lie outside of what is usual around ``at`` (unix seconds); 0 where it cannot be said.
    ``deviation`` (rows,) is that of the whole series."""
    learned = at - daily.first_at > LEARN_DAYS * DAY_SECONDS
    if not learned.any():
        return np.zeros(len(values))
    day, slot = _when(at)
    near = [_past(daily.slots[(slot + k) % SLOTS], day) for k in (-1, 0, 1)]
    low = np.minimum.reduce([s.low for s in near])
    high = np.maximum.reduce([s.high for s in near])
    count = np.maximum(sum((s.count for s in near), np.zeros(len(values))), 1.0)
    mean = sum((s.sum for s in near), np.zeros(len(values))) / count
    variance = sum((s.squares for s in near), np.zeros(len(values))) / count - mean**2
    shaped = np.sqrt(np.maximum(variance, 0.0)) < SHAPED * deviation
    with np.errstate(invalid="ignore"):
        distance = np.maximum(np.maximum(values - high, low - values), 0.0)
    return np.where(learned & shaped & np.isfinite(distance), distance, 0.0)


def see_day(daily: Daily, values: Floats, at: float) -> Daily:
    """The bounds once ``values`` (rows,) at ``at`` were seen too; NaN is nothing seen."""
    day, number = _when(at)
    first = np.where(np.isnan(daily.first_at) & np.isfinite(values), at, daily.first_at)
    origin = np.where(np.isnan(daily.origin), values, daily.origin)
    slot = _past(daily.slots[number], day)
    if slot.day < day:
        slot = replace(slot, day=day, low_today=np.full(len(values), np.inf), high_today=np.full(len(values), -np.inf))
    heard = np.isfinite(values)
    moved = np.where(heard, values - origin, 0.0)
    slot = replace(
        slot,
        low_today=np.fmin(slot.low_today, values),
        high_today=np.fmax(slot.high_today, values),
        count=slot.count + heard,
        sum=slot.sum + moved,
        squares=slot.squares + moved**2,
    )
    return Daily((*daily.slots[:number], slot, *daily.slots[number + 1 :]), first, origin)


def _when(at: float) -> tuple[int, int]:
    day, seconds = divmod(at, DAY_SECONDS)
    return int(day), int(seconds * SLOTS // DAY_SECONDS)


def _past(slot: Slot, day: int) -> Slot:
    """The slot with its own day among the days before, once that day is over."""
    if slot.day >= day:
        return slot
    return replace(slot, low=np.minimum(slot.low, slot.low_today), high=np.maximum(slot.high, slot.high_today))
