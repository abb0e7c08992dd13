"""Which values has a series ever taken? A bounded memory of spans, for every row of a matrix at once.

A row's values are kept as at most ``SPANS`` disjoint spans. A value outside of all of them becomes a span of its own; when
there is no more room the two nearest spans become one. So what is forgotten first is the smallest gap, and a gap that
matters stays known however long the stream is.

>>> spans = nothing_seen(1)
>>> for value in (1.0, 1.2, 5.0): spans = see(spans, np.array([value]))
>>> [float(distance(spans, np.array([x]))[0]) for x in (1.2, 3.0, 5.5)]
[0.0, 1.8, 0.5]
"""

from __future__ import annotations

from typing import Final

import numpy as np

from midwatch.core.habits import Spans
from midwatch.model.world import Floats, Ints

SPANS: Final = 32


def nothing_seen(rows: int) -> Spans:
    return Spans(np.full((rows, SPANS), np.inf), np.full((rows, SPANS), np.inf))


def distance(spans: Spans, values: Floats) -> Floats:
    """How far ``values`` (rows,) lie from all that was seen, in their own unit: 0 inside a span, infinite where nothing was
    seen, NaN for NaN."""
    x = values[:, None]
    return np.asarray(
        np.maximum(np.maximum(spans.low - x, np.where(spans.low < np.inf, x - spans.high, np.inf)), 0.0).min(axis=1)
    )


def see(spans: Spans, values: Floats) -> Spans:
    """The spans once ``values`` (rows,) were seen too; NaN is nothing seen."""
    rows = np.flatnonzero(distance(spans, values) > 0)
    if not rows.size:
        return spans
    x = values[rows, None]
    before = spans.low[rows] < x
    at = before.sum(axis=1)
    column = np.arange(SPANS + 1)
    low = _inserted(spans.low[rows], x, at, column)
    high = _inserted(spans.high[rows], x, at, column)
    full = low[:, -1] < np.inf
    with np.errstate(invalid="ignore"):
        gaps = np.where(low[:, 1:] < np.inf, low[:, 1:] - high[:, :-1], np.inf)
    # The end of the left one and the start of the right one go; without a full row the last, empty, column goes.
    left = np.where(full, gaps.argmin(axis=1), SPANS)
    keep_low = column[None, :] != np.minimum(left + 1, SPANS)[:, None]
    keep_high = column[None, :] != left[:, None]
    new_low, new_high = spans.low.copy(), spans.high.copy()
    new_low[rows] = low[keep_low].reshape(rows.size, SPANS)
    new_high[rows] = high[keep_high].reshape(rows.size, SPANS)
    return Spans(new_low, new_high)


def _inserted(sorted_rows: Floats, x: Floats, at: Ints, column: Ints) -> Floats:
    wide = np.concatenate([sorted_rows, np.full((len(x), 1), np.inf)], axis=1)
    moved = np.concatenate([np.full((len(x), 1), np.inf), sorted_rows], axis=1)
    place = at[:, None]
    return np.where(column < place, wide, np.where(column == place, x, moved))
