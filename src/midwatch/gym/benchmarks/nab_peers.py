"""What midwatch is held against on NAB: each a score per row, higher is odder."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from scipy.special import ndtr

from midwatch.gym.benchmarks.nab_scoring import Labelled
from midwatch.model.world import Floats

Scorer = Callable[[Labelled], Floats]

WINDOW: Final = 6400  # rows, as in NAB's description of its Gaussian window
STEP: Final = 100
PENALTIES: Final = tuple(float(p) for p in np.geomspace(10.0, 10000.0, 7))  # of a change point, in variances


def silent() -> Scorer:
    """Says nothing, ever: the zero of the scale."""
    return lambda series: np.zeros(len(series.values))


def gaussian_window() -> Scorer:
    """One less the tail probability under a normal distribution of the last ``WINDOW`` values, moved on every ``STEP``
    rows once it is full."""

    def score(series: Labelled) -> Floats:
        values = series.values
        rows = np.arange(len(values))
        end = np.where(rows <= WINDOW, rows, WINDOW + (rows - WINDOW) // STEP * STEP)
        begin = np.maximum(end - WINDOW, 0)
        moved = np.nan_to_num(values - np.nanmean(values[:WINDOW]))
        sums, squares = (np.concatenate([[0.0], np.cumsum(x)]) for x in (moved, moved**2))
        count = np.maximum(end - begin, 1)
        mean = (sums[end] - sums[begin]) / count
        deviation = np.sqrt(np.maximum((squares[end] - squares[begin]) / count - mean**2, 0.0))
        deviation = np.where(deviation < 1e-6, 1e-6, deviation)
        return np.asarray(np.where(end > begin, ndtr(np.abs(moved - mean) / deviation), 0.0))

    return score


def ruptures() -> Scorer:
    """Offline. Change points of the mean (KernelCPD); a row scores the largest penalty under which it is still one."""
    rpt: Any = importlib.import_module("ruptures")

    def score(series: Labelled) -> Floats:
        values = _filled(series.values)
        spread = float(values.std())
        found = np.zeros(len(values))
        if spread > 0:
            fitted = rpt.KernelCPD(kernel="linear", min_size=2).fit((values / spread)[:, None])
            for penalty in PENALTIES:
                found[fitted.predict(pen=penalty)[:-1]] = penalty
        return found

    return score


def otava() -> Scorer:
    """Offline. Otava's change points under its default settings; a row scores less the logarithm of its p-value. A series on
    which it raises (it does on some constant stretches) counts as silent."""
    analysis: Any = importlib.import_module("otava.analysis")

    def score(series: Labelled) -> Floats:
        found = np.zeros(len(series.values))
        try:
            points = analysis.compute_change_points(_filled(series.values))[0]
        except ValueError:
            return found
        for point in points:
            found[point.index] = -np.log(max(float(point.stats.pvalue), 1e-300))
        return found

    return score


def _filled(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nanmedian(values))


PEERS: Final[dict[str, Callable[[], Scorer]]] = {
    "says nothing": silent,
    "Gaussian window": gaussian_window,
    "ruptures, offline": ruptures,
    "Apache Otava, offline": otava,
}
