"""Several promises as one: what a composite makes of the counts of its parts. Pure arithmetic on arrays.

``weighted``: the mean of the parts' ratios by weight, over the whole window. As its total it gets the number of events that
would make a plain ratio as certain as this mean is, ``1 / sum(share_i**2 / total_i)`` (Kish 1965): a part with two requests
beside one with a thousand makes no certainty of a thousand.

``all``: a journey, good as far as every part is: in each column the product of the parts' ratios, and as many events as the
part with the fewest had. A part without events in a column has there the ratio of the whole window: no traffic is neither
good nor bad. So an outage that hits two parts at once counts once, and a part with few requests is not forgotten.
"""

from __future__ import annotations

import numpy as np

from midwatch.model.world import Floats


def weighted(good: Floats, total: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Good and total of the mean by weight, shape of one part; parts lie along the first axis, ``weights`` has shape
    (parts,). Parts without events are left out; where none has any it is (0, 0)."""
    share = np.where(total > 0, weights.reshape((-1,) + (1,) * (total.ndim - 1)), 0.0)
    whole = share.sum(axis=0)
    share = np.divide(share, whole, out=np.zeros_like(share), where=whole > 0)
    ratio = np.divide(good, total, out=np.zeros_like(total), where=total > 0)
    spread = np.divide(share**2, total, out=np.zeros_like(total), where=total > 0).sum(axis=0)
    events = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
    return events * np.minimum((share * ratio).sum(axis=0), 1.0), events


def journey(good: Floats, total: Floats) -> tuple[Floats, Floats]:
    """Good and total per column, shape (columns,); ``good`` and ``total`` have shape (parts, columns)."""
    all_good, all_total = good.sum(axis=1), total.sum(axis=1)
    usual = np.divide(all_good, all_total, out=np.ones_like(all_total), where=all_total > 0)
    ratio = np.divide(good, total, out=np.broadcast_to(usual[:, None], total.shape).copy(), where=total > 0)
    fewest = np.where(total > 0, total, np.inf).min(axis=0, initial=np.inf)
    events = np.where(np.isfinite(fewest), fewest, 0.0)
    return events * np.prod(ratio, axis=0), events
