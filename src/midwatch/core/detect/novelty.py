"""Has this series ever been here before? Novelty of a value, of its recent mean and of the time of day, for every row of a
matrix at once, one step at a time.

An anomaly is a value far from *every* value that was seen, not from their mean: so a series with two levels, or with
spikes that come every day, is quiet once it has been seen whole. Three looks are taken, each in standard deviations, and
the largest counts:

- the value against all values up to ``DELAY`` steps ago (``spans.py``), so that a slow climb does not vouch for itself;
- the mean of the newest ``DELAY`` values against all such means;
- the value against the bounds of this time of day on the days before (``daily.py``), for series with a daily shape.

The idea is that of novelty detection by category (Hampton 2022, ARTime) and by one-dimensional density over a few linear
views of a stream (Pevny 2016, LODA), brought down to the distance to the nearest value seen. The gap between the largest of
n normal values and the next larger one is about 1 / sqrt(2 ln n) deviations, so a bound on the gap is a bound on the false
alarms (docs/detectors.md has them measured).

An alarm is a beginning: within ``HOLD`` steps only one stronger by ``STRONGER`` is another. A missing value (NaN) is no
value: it is neither new nor remembered.

>>> values = np.tile(np.sin(np.arange(400)), (1, 1)); values[0, 300:] += 3
>>> score = novelty(values, np.arange(400) * 60.0)
>>> bool((score[0, LEARN:300] < 0.3).all()), round(float(score[0, 300:340].max()), 1)
(True, 3.1)
"""

from __future__ import annotations

from typing import Final

import numpy as np

from midwatch.core.detect.daily import no_days, outside, see_day
from midwatch.core.detect.spans import distance, nothing_seen, see
from midwatch.core.habits import Moments, Novelty, Spans, each_array
from midwatch.model.world import Floats, Ints

DELAY: Final = 24
HOLD: Final = 125
STRONGER: Final = 1.75
LEARN: Final = 150
MOST: Final = 100.0  # deviations: a series that never moved, and then does


def blank(rows: int, steps: int = 0) -> Novelty:
    """Nothing seen yet, in ``steps`` steps."""
    zero = np.zeros(rows)
    moments = Moments(zero, zero, zero)
    return Novelty(
        nothing_seen(rows),
        nothing_seen(rows),
        moments,
        moments,
        no_days(rows),
        (np.full(rows, np.nan),) * steps,
        zero,
        zero,
    )


def score(state: Novelty, values: Floats, at: float) -> Floats:
    """How new ``values`` (rows,) at ``at`` (unix seconds) are, in standard deviations; 0 while too little is known."""
    deviation = state.values.deviation
    found = np.maximum(
        _apart(state.spans, values, state.values), _over(outside(state.daily, values, at, deviation), deviation)
    )
    recent = (*state.recent, values)[-DELAY:]
    return np.maximum(found, _apart(state.means, _mean(recent), state.averages)) if len(recent) == DELAY else found


def step(state: Novelty, values: Floats, at: float) -> tuple[Novelty, Floats, Floats]:
    """One more step: ``values`` (rows,) at ``at`` (unix seconds). Answers with the state, the score of each row, and the
    score where an alarm of that strength begins (0 elsewhere)."""
    found = score(state, values, at)
    recent = (*state.recent, values)
    means, averages, spans, moments = state.means, state.averages, state.spans, state.values
    if len(recent) > DELAY:
        old, recent = recent[0], recent[1:]
        spans, moments = see(spans, old), _counted(moments, old)
        mean = _mean(recent)
        means, averages = see(means, mean), _counted(averages, mean)
    begins, peak, age = _begins(found, state.peak, state.age)
    return Novelty(spans, means, moments, averages, see_day(state.daily, values, at), recent, peak, age), found, begins


def aligned(state: Novelty, rows: Ints, more: int) -> Novelty:
    """``rows`` of the state, and ``more`` rows of which nothing was seen."""
    new = blank(more, len(state.recent))
    found: Novelty = each_array(lambda old, fresh: np.concatenate([old[rows], fresh]), state, new)
    return found


def novelty(values: Floats, times: Floats) -> Floats:
    """Scores of a whole matrix: ``values`` (rows, steps), ``times`` (steps,) in unix seconds; shape (rows, steps)."""
    state = blank(len(values))
    scores = np.zeros(values.shape)
    for column, at in enumerate(times):
        state, _, scores[:, column] = step(state, values[:, column], float(at))
    return scores


def _mean(recent: tuple[Floats, ...]) -> Floats:
    """The mean of what was heard of ``recent``; NaN where that is less than half."""
    values = np.stack(recent)
    heard = np.isfinite(values)
    count = heard.sum(axis=0)
    return np.where(2 * count >= len(recent), np.where(heard, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _apart(spans: Spans, values: Floats, moments: Moments) -> Floats:
    far = distance(spans, values)
    return np.where(moments.count >= LEARN - DELAY, _over(far, moments.deviation), 0.0)


def _over(far: Floats, deviation: Floats) -> Floats:
    """Distances in deviations, at most ``MOST``; 0 for what is no number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(np.minimum(np.where(far > 0, far / deviation, 0.0), MOST), nan=0.0)


def _counted(moments: Moments, values: Floats) -> Moments:
    heard = np.isfinite(values)
    count = moments.count + heard
    apart = np.where(heard, values - moments.mean, 0.0)
    mean = moments.mean + apart / np.maximum(count, 1.0)
    return Moments(count, mean, moments.squares + apart * np.where(heard, values - mean, 0.0))


def _begins(score: Floats, peak: Floats, age: Floats) -> tuple[Floats, Floats, Floats]:
    """Only what begins: (score, peak, age) with all that an alarm of the last ``HOLD`` steps explains set to 0."""
    peak = np.where(age >= HOLD, 0.0, peak)
    begins = np.where(score > STRONGER * peak, score, 0.0)
    higher = score > peak
    return begins, np.where(higher, score, peak), np.where(higher, 0.0, age + 1.0)
