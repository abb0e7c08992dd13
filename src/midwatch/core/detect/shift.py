"""Has the share of bad requests risen? One test for every row of a matrix at once.

For each row the newest ``width`` steps are compared with the steps before them: ``bad`` of ``total`` then and now. The
Bayes factor of "two shares" against "one share" under Beta(1/2, 5) priors (Kass & Raftery 1995; the two-sample
beta-binomial) needs no asymptotics, so it is honest about the few requests of a quiet service and the short history of
a new one. It is divided by the overdispersion of the history, because failures come in bursts. Several widths are
looked at, and the practical guards (``min_bad``, ``min_rise``, two separate steps) are what makes a month at 10,000
entities quiet.

Null rates: tests/detect/test_shift.py and docs/detectors.md.

>>> import numpy as np
>>> total = np.full((1, 40), 50.0); bad = np.zeros((1, 40)); bad[0, -3:] = 10
>>> [round(float(x), 2) for x in shift(bad, total, floor=0.01).now]
[0.15]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import betaln

from midwatch.model.world import Floats, Ints

WIDTHS: Final = (2, 4, 8, 16)
MIN_BASELINE_STEPS: Final = 5
MIN_BASELINE_TOTAL: Final = 15.0
PRIOR: Final = (0.5, 5.0)
THRESHOLD: Final = 11.0  # nats, at an entry point
HASTE: Final = {
    2: 4.5,
    4: 3.0,
    8: 1.0,
}  # nats more at an entry where a look takes in few steps: most false ones are such
LASTING: Final = (
    4.0  # nats more where a rise of many steps is to be no habit of bursts, though the history holds most of it
)
THRESHOLD_INSIDE: Final = 16.0  # nats, at the many services behind it
HISTORY: Final = 72  # steps looked at: more costs time and adds nothing but yesterday
MIN_BAD: Final = 5.0


@dataclass(frozen=True)
class Shift:
    """Per row: ``log_bayes`` in nats (-inf where it cannot be judged), the share of bad requests ``now`` and
    ``before``, the ``width`` in steps of the window that showed it best, and the column where it began."""

    log_bayes: Floats
    now: Floats
    before: Floats
    width: Ints
    began: Ints

    def fired(self, min_rise: Floats | float, threshold: Floats | float = THRESHOLD) -> Ints:
        """Rows whose rise is both certain and large enough to matter."""
        return np.flatnonzero((self.log_bayes >= threshold) & (self.now - self.before >= min_rise))


def sure_at_entry(width: Ints) -> Floats:
    """The nats that a look at ``width`` steps must have at an entry point, shape (rows,)."""
    return np.asarray(THRESHOLD + np.select([width == few for few in HASTE], list(HASTE.values()), 0.0))


def shift(
    bad: Floats,
    total: Floats,
    *,
    floor: Floats | float = 0.0,
    baseline_until: Ints | None = None,
    min_bad: float = MIN_BAD,
    sustained: bool = False,
) -> Shift:
    """Compare the newest steps with the ones before, row by row.

    ``bad`` and ``total`` have shape (rows, steps) without NaN. ``floor`` is a share below which nothing counts as a rise.
    ``baseline_until[row]`` ends the history early (the column where a known trouble began). ``sustained`` asks that
    two of the newest steps, the very newest among them, each exceed the floor: one stall of a machine is no shift.
    """
    if total.shape[1] > HISTORY:
        cut = total.shape[1] - HISTORY
        moved = None if baseline_until is None else np.maximum(baseline_until - cut, 0)
        recent = shift(
            bad[:, cut:], total[:, cut:], floor=floor, baseline_until=moved, min_bad=min_bad, sustained=sustained
        )
        return Shift(recent.log_bayes, recent.now, recent.before, recent.width, recent.began + cut)
    rows, steps = total.shape
    best = np.full(rows, -np.inf)
    now, before = np.zeros(rows), np.zeros(rows)
    width_of = np.zeros(rows, dtype=np.intp)
    sum_bad = np.concatenate([np.zeros((rows, 1)), np.cumsum(bad, axis=1)], axis=1)
    sum_total = np.concatenate([np.zeros((rows, 1)), np.cumsum(total, axis=1)], axis=1)
    limit = np.full(rows, steps, dtype=np.intp) if baseline_until is None else baseline_until
    at = np.arange(rows)
    settled = np.minimum(limit, max(steps - WIDTHS[1], 1))
    high, newest_high = _above(bad, total, floor)
    for width in WIDTHS:
        if steps <= width:
            break
        end = np.minimum(limit, steps - width)
        k0, n0 = sum_bad[at, end], sum_total[at, end]
        k1 = sum_bad[:, -1] - sum_bad[:, steps - width]
        n1 = sum_total[:, -1] - sum_total[:, steps - width]
        split = (
            newest_high & (high[:, -width:].sum(axis=1) >= 2)
            if sustained
            else ((bad[:, -width:] > 0).sum(axis=1) >= 2) | (k1 >= 4 * min_bad)
        )
        usable = (end >= MIN_BASELINE_STEPS) & (n0 >= MIN_BASELINE_TOTAL) & (n1 > 0) & (k1 >= min_bad) & split
        with np.errstate(divide="ignore", invalid="ignore"):
            p0, p1 = k0 / n0, k1 / n1
            rose = np.flatnonzero(usable & (p1 > np.maximum(p0, floor)))  # few of many: only these are weighed
        nats = _log_bayes(k0[rose], n0[rose], k1[rose], n1[rose])
        bursts = _overdispersion(bad[rose], total[rose], settled[rose])
        lasting = _overdispersion(bad[rose], total[rose], end[rose], width)
        score = np.full(rows, -np.inf)
        score[rose] = np.maximum(nats / bursts, nats / lasting - LASTING)
        better = score > best
        best = np.where(better, score, best)
        now, before = np.where(better, p1, now), np.where(better, p0, before)
        width_of = np.where(better, width, width_of)
    return Shift(best, now, before, width_of, _began(bad, total, width_of, now, before))


def _above(bad: Floats, total: Floats, floor: Floats | float) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which steps exceed the floor, shape (rows, steps), and whether the newest that has requests does, shape (rows,). A
    step without any is no clean step: a service whose batches come late, or whose clock is behind, has its newest steps
    empty."""
    newest = total.shape[1] - 1 - np.argmax(total[:, ::-1] > 0, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        high = np.nan_to_num(bad / total) > np.reshape(np.broadcast_to(floor, len(bad)), (-1, 1))
    return high, high[np.arange(len(bad)), newest]


def _log_bayes(k0: Floats, n0: Floats, k1: Floats, n1: Floats) -> Floats:
    """log P(data | two shares) - log P(data | one share), conjugate beta-binomial."""
    a, b = PRIOR
    apart = betaln(k0 + a, n0 - k0 + b) + betaln(k1 + a, n1 - k1 + b) - 2 * betaln(a, b)
    together = betaln(k0 + k1 + a, n0 + n1 - k0 - k1 + b) - betaln(a, b)
    return np.asarray(apart - together)


def _overdispersion(bad: Floats, total: Floats, until: Ints, width: int = 0) -> Floats:
    """Variance of the failures over what independent failures would show, at least 1, at most 10: in the history, and in the
    newest ``width`` steps around a share of their own, lest a rise that lasts be taken for a habit of bursts."""
    steps = np.arange(total.shape[1])[None, :]
    residual, expected, failures = np.zeros(len(bad)), np.full(len(bad), 1e-9), np.zeros(len(bad))
    for inside in (steps < until[:, None], np.broadcast_to(steps >= total.shape[1] - width, bad.shape)):
        n = np.where(inside, total, 0.0)
        k = np.where(inside, bad, 0.0)
        p = (k.sum(axis=1) + 0.5) / (n.sum(axis=1) + 1.0)
        residual += ((k - n * p[:, None]) ** 2).sum(axis=1)
        expected += n.sum(axis=1) * p * (1 - p)
        failures += k.sum(axis=1)
    few = failures < 5  # no burst can be judged by fewer failures
    return np.where(few, 1.0, np.clip(residual / expected, 1.0, 10.0))


def _began(bad: Floats, total: Floats, width: Ints, now: Floats, before: Floats) -> Ints:
    """The column where the newest run of bad steps began: the first step, going back, whose share is nearer to ``now``
    than to ``before`` (one better step in between is allowed)."""
    steps = total.shape[1]
    middle = (0.35 * now + 0.65 * before)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > 0, bad / total, 0.0)
    high = share > middle
    looked = np.minimum(np.maximum(width * 3, 6), steps)
    began = np.full(len(width), steps - 1, dtype=np.intp)
    for row in np.flatnonzero(width > 0):
        column, misses = steps - 1, 0
        for back in range(int(looked[row])):
            at = steps - 1 - back
            if high[row, at]:
                column, misses = at, 0
            elif total[row, at] > 0:
                misses += 1
                if misses > 1 and back >= width[row]:
                    break
        began[row] = column
    return began
