"""Has traffic stopped coming? A Poisson rate test per row against the median of the history.

A drop must be deep (to less than 40 % of the median) and hold for three steps, because arrivals are bursty and days
have shapes; the score is the Poisson log-likelihood ratio, divided by the history's index of dispersion. Where something
else speaks for it already (an instance died just now), a quarter less on average and half the evidence are enough.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from midwatch.model.world import Floats, Ints

WIDTH: Final = 3
KEEP: Final = 0.4
MIN_PER_STEP: Final = 5.0
THRESHOLD: Final = 18.0  # nats
KEEP_SUSPECTED: Final = 0.75
THRESHOLD_SUSPECTED: Final = 9.0


def drops(requests: Floats, suspected: npt.NDArray[np.bool_] | None = None) -> tuple[Ints, Floats, Floats]:
    """Rows of ``requests`` (rows, steps; counts) whose traffic fell away, with the rate per step now and before.

    ``suspected`` (rows,) are those of which something else says that they lost a part of themselves in these steps.
    """
    steps = requests.shape[1]
    if steps < WIDTH + 6:
        empty = np.empty(0)
        return np.empty(0, dtype=np.intp), empty, empty
    history, newest = requests[:, :-WIDTH], requests[:, -WIDTH:]
    history = history[:, -60:]
    before = np.median(history, axis=1)
    now = newest.mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        dispersion = np.clip(np.nan_to_num(history.var(axis=1) / before, nan=1.0, posinf=1.0), 1.0, None)
        likelihood = WIDTH * (now * np.log(np.maximum(now, 1e-9) / before) - now + before) / dispersion
    fell = (newest.max(axis=1) < KEEP * before) & (likelihood >= THRESHOLD)
    if suspected is not None:
        fell |= suspected & (now < KEEP_SUSPECTED * before) & (likelihood >= THRESHOLD_SUSPECTED)
    rows = np.flatnonzero(fell & (before >= MIN_PER_STEP))
    return rows, now[rows], before[rows]
