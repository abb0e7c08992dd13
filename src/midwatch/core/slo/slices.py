"""Time-slice budgeting: raw counts of steps to judged slices.

A slice is judged once it is over and ``SETTLE_SECONDS`` have passed, so that what an exporter sends a minute late is in
it. What comes later than that belongs to a slice that was judged, and is left out.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from midwatch.core.memory import Ledger, OpenSlices
from midwatch.model.indicators import Slices
from midwatch.model.world import Floats

SETTLE_SECONDS: Final = 90.0
NOTHING: Final = np.zeros(0)


def new_slices(since: float) -> OpenSlices:
    """None under way; what begins before ``since`` (unix seconds) is left out unless it lasts beyond."""
    return OpenSlices(NOTHING, NOTHING, NOTHING, since, since)


def slices_from(ledger: Ledger, looked_at: float, width: float) -> OpenSlices:
    """The slices of a watch that began lately: those that ``ledger`` has not seen judged, but for one that began before
    ``looked_at``, where the events begin: it would be judged on a part of them."""
    held = new_slices(ledger.seen_until)
    if looked_at <= math.floor(ledger.seen_until / width + 1e-9) * width:
        return held
    return replace(held, judged_until=max(ledger.seen_until, math.ceil(looked_at / width - 1e-9) * width))


def sliced(
    held: OpenSlices, slices: Slices, at: Floats, good: Floats, total: Floats, seen_until: float
) -> tuple[OpenSlices, Floats, Floats, Floats]:
    """The open slices with ``good[i]`` of ``total[i]`` more events at ``at[i]`` (any order), and the slices that could be
    judged: their starts (ascending), good (0..1) and total (1) of each.

    ``good``: a slice is good when its ratio reaches ``slices.target``; ``ratio``: a slice is as good as its ratio. One
    without events counts nothing.
    """
    width = slices.seconds
    starts = np.concatenate([held.at, np.floor(at / width) * width])
    kept = starts + width > held.judged_until
    every, place = np.unique(starts[kept], return_inverse=True)
    g, t = np.zeros(every.size), np.zeros(every.size)
    np.add.at(g, place, np.concatenate([held.good, good])[kept])
    np.add.at(t, place, np.concatenate([held.total, total])[kept])
    judged_until = max(held.judged_until, np.floor((seen_until - SETTLE_SECONDS) / width) * width)
    over = every + width <= judged_until
    ripe = over & (t > 0)
    ratio = g[ripe] / t[ripe]
    if slices.rule == "good":
        ratio = (ratio >= slices.target - 1e-12).astype(np.float64)
    seen = max(held.seen_until, seen_until)
    return (
        OpenSlices(every[~over], g[~over], t[~over], float(judged_until), seen),
        every[ripe],
        ratio,
        np.ones(ratio.size),
    )
