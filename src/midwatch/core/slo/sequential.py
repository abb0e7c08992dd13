"""A sequential test on good and bad events: has the share of bad ones risen above what the budget bears?

For each of several suspected burn rates the log-likelihood ratio of "so many times the budget" against "just the budget" is
added up from step to step, and starts again at zero whenever it falls below (Page 1954). The exponentials of these sums,
averaged, are an e-detector (Shin, Ramdas, Rinaldo 2022: "E-detectors"): as long as the true share is at most the budget, it
runs on average at least ``exp(ALARM_NATS)`` steps, a week, to a false alarm, whatever the traffic and however it varies. At
half the budget's errors it cries far less than that (``docs/results/slo.md``).

Real failures come in clumps. The ratio is divided by the dispersion of the last three days (quasi-likelihood, McCullagh and
Nelder 1989): how much more half-hour counts of failures vary than independent ones would. And five failures are as many
clumps of them where the last month says so (``clumps.py``).

Everything works on many promises at once: arrays of shape (rows,) and (rows, burn rates).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from midwatch.core.memory import Suspicion
from midwatch.model.world import Floats, Ints

STEP_SECONDS: Final = 10.0
BURNS: Final = (3.0, 10.0, 30.0, 100.0)
MOST: Final = 0.9  # no suspected share of bad events is higher
ALARM_NATS: Final = math.log(7 * 86400 / STEP_SECONDS)
END_NATS: Final = math.log(1000.0)  # how sure it must be that the share is back within the budget
MIN_FAILURES: Final = 5.0
BLOCK_SECONDS: Final = 1800.0
MIN_BLOCKS: Final = 4
MANY_BLOCKS: Final = 24
CLIP: Final = 50.0  # one wild half-hour is an incident, not the way things are
MOST_DISPERSION: Final = 30.0
UNKNOWN: Final = 4.0  # as doubtful as a single block

Bools = npt.NDArray[np.bool_]


def nothing(rows: int, now: float) -> Suspicion:
    """No suspicion of any of ``rows`` promises."""
    shape = (rows, len(BURNS))
    return Suspicion(np.zeros(shape), np.full(shape, now), np.zeros(shape), np.zeros(shape), np.zeros(rows))


def step(
    before: Suspicion,
    bad: Floats,
    total: Floats,
    began_at: Floats,
    budget: Floats,
    dispersion: Floats,
    raised: Floats | None = None,
) -> Suspicion:
    """The suspicion after one more step that began at ``began_at``; all of shape (rows,). ``raised`` is the share of bad
    events for which an alarm is open (NaN: none). A step without events changes nothing."""
    seen = (total > 0)[:, None]
    fresh = (before.up <= 0) & seen
    suspected = np.minimum(np.asarray(BURNS) * budget[:, None], np.maximum(MOST, 1.001 * budget[:, None]))
    gain = _gain(bad[:, None], total[:, None], suspected, budget[:, None]) / dispersion[:, None]
    down = before.down
    if raised is not None:
        share = np.clip(raised, np.minimum(1.5 * budget, 0.5 + 0.5 * budget), 1 - 1e-6)
        better = -_gain(bad, total, share, budget) / dispersion
        down = np.where(np.isnan(raised), 0.0, np.maximum(down, 0.0) + np.nan_to_num(better))
    return Suspicion(
        up=np.where(seen, np.maximum(before.up, 0.0) + gain, before.up),
        since_at=np.where(fresh, began_at[:, None], before.since_at),
        bad=np.where(fresh, 0.0, before.bad) + bad[:, None],
        total=np.where(fresh, 0.0, before.total) + total[:, None],
        down=down,
    )


def only(of: Suspicion, which: Ints) -> Suspicion:
    """The suspicion of some rows (their numbers)."""
    return Suspicion(of.up[which], of.since_at[which], of.bad[which], of.total[which], of.down[which])


def put(into: Suspicion, which: Ints, some: Suspicion) -> Suspicion:
    """``into`` with ``some`` in the rows ``which``."""
    if which.size == len(into.down):
        return some

    def merged(all_of: Floats, new: Floats) -> Floats:
        out = all_of.copy()
        out[which] = new
        return out

    return Suspicion(
        merged(into.up, some.up),
        merged(into.since_at, some.since_at),
        merged(into.bad, some.bad),
        merged(into.total, some.total),
        merged(into.down, some.down),
    )


def _gain(bad: Floats, total: Floats, suspected: Floats, budget: Floats) -> Floats:
    """Log-likelihood ratio of the share ``suspected`` against ``budget``."""
    return np.asarray(
        bad * np.log(suspected / budget) + (total - bad) * (np.log1p(-suspected) - np.log1p(-budget)), np.float64
    )


def nats(now: Suspicion) -> Floats:
    """The e-detector's logarithm, shape (rows,)."""
    return np.asarray(np.logaddexp.reduce(now.up, axis=1) - math.log(len(BURNS)))


def begun(now: Suspicion) -> Floats:
    """Since when each row is suspected (unix seconds), shape (rows,); infinite where nothing speaks for it."""
    row, best = np.arange(len(now.down)), now.up.argmax(axis=1)
    return np.where(now.up[row, best] > 0, now.since_at[row, best], np.inf)


def alarms(now: Suspicion, habit: Floats) -> Bools:
    """Which rows are to be looked into, shape (rows,): sure enough, and at least ``MIN_FAILURES`` bad events, where
    ``habit`` of them that come together count as one (``clumps.habit``, shape (rows,))."""
    row = np.arange(len(now.down))
    enough = now.bad[row, now.up.argmax(axis=1)] >= MIN_FAILURES * (1 + habit)
    return np.asarray((nats(now) >= ALARM_NATS) & enough)


def forget(now: Suspicion, rows: Bools, at: float) -> Suspicion:
    """Nothing is suspected of ``rows`` any more."""
    keep = ~rows
    wide = keep[:, None]
    return Suspicion(now.up * wide, np.where(wide, now.since_at, at), now.bad * wide, now.total * wide, now.down * keep)


def dispersion(bad: Floats, total: Floats, steps_per_block: int) -> Floats:
    """How many times more blocks of failures vary than independent failures would, per row: 1 and above. ``bad`` and
    ``total`` have shape (rows, steps), of the time before what is suspected now: that must not excuse itself. A short
    history is doubted: two standard errors are added."""
    blocks = bad.shape[1] // steps_per_block
    if blocks == 0:
        return np.full(bad.shape[0], UNKNOWN)
    shape = (bad.shape[0], blocks, steps_per_block)
    bad, total = (a[:, -blocks * steps_per_block :].reshape(shape).sum(axis=2) for a in (bad, total))
    ratio = bad.sum(axis=1) / np.maximum(total.sum(axis=1), 1.0)
    expected = total * ratio[:, None]
    seen = total > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = (bad - expected) ** 2 / (expected * (1 - ratio[:, None]))
    squares = np.where(seen & np.isfinite(squares), np.minimum(squares, CLIP), 0.0)
    count = seen.sum(axis=1)
    found = squares.sum(axis=1) / np.maximum(count - 1, 1)
    found = np.where(count < MANY_BLOCKS, found * (1 + 2 * np.sqrt(2 / np.maximum(count, 1))), found)
    return np.asarray(np.clip(np.where(count > 0, found, UNKNOWN), 1.0, MOST_DISPERSION))
