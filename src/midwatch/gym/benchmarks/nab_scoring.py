"""How NAB scores alarms on labelled windows, written from its description (Lavin & Ahmad 2015, "Evaluating real-time
anomaly detection algorithms: the Numenta anomaly benchmark", section II, and the profiles of its release 1.1).

The first alarm in a window earns up to 1, the more the earlier; further ones in it earn nothing. A missed window costs.
An alarm outside costs, little right after a window and all of ``fp`` from three widths on, and before the first. The
first 15 % of a series (at most 750 rows) are probation: nothing in them counts. One threshold holds for all series, and it
is NAB's own rule that the threshold of a profile is the one that scores best on these very series: a score at a threshold
that was fixed beforehand is always lower. The scale is 0 for a detector that says nothing, 100 for one that marks the
first row of every window and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from midwatch.model.world import Floats

PROBATION_RATIO: Final = 0.15
PROBATION_MAX_ROWS: Final = 750
STEEPNESS: Final = 5.0


@dataclass(frozen=True)
class Profile:
    """What a hit, a false alarm and a miss are worth."""

    hit: float
    false: float
    miss: float


PROFILES: Final = {
    "standard": Profile(1.0, 0.11, 1.0),
    "reward_low_FP": Profile(1.0, 0.22, 1.0),
    "reward_low_FN": Profile(1.0, 0.11, 2.0),
}


@dataclass(frozen=True)
class Labelled:
    """One series: ``times`` in unix seconds and ``values``, shape (rows,) each; ``windows`` are (first row, last row)."""

    name: str
    times: Floats
    values: Floats
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        """Rows at the start that do not count."""
        return int(min(PROBATION_RATIO * len(self.values), PROBATION_MAX_ROWS))


def position(y: Floats) -> Floats:
    """The worth of an alarm at ``y`` window widths behind a window's end: 1 long before, 0 at the end, -1 past three."""
    return np.where(y > 3.0, -1.0, 2.0 / (1.0 + np.exp(STEEPNESS * np.minimum(y, 3.0))) - 1.0)


def worth(series: Labelled) -> tuple[Floats, Floats]:
    """Per row: its worth when it is flagged (as above), and the number of its window, -1 outside of all."""
    rows = np.arange(len(series.values), dtype=float)
    value, inside = np.full(rows.size, -1.0), np.full(rows.size, -1.0)
    for number, (first, last) in enumerate(sorted(series.windows)):
        width = last - first + 1
        value[last + 1 :] = position((rows[last + 1 :] - last) / max(width - 1, 1))
        inside[first : last + 1] = number
        value[first : last + 1] = position(-(last - rows[first : last + 1] + 1) / width) / position(np.array(-1.0))
    return value, inside


@dataclass(frozen=True)
class Sweep:
    """The raw score at every threshold that makes a difference, highest threshold first. ``score`` counts what the rows
    flagged at ``threshold`` change against saying nothing."""

    threshold: Floats
    gain: Floats

    def best(self) -> tuple[float, float]:
        """(threshold, gain) where the gain is highest; an infinite threshold where saying nothing is best."""
        if not self.gain.size or self.gain.max() <= 0:
            return float("inf"), 0.0
        at = int(self.gain.argmax())
        return float(self.threshold[at]), float(self.gain[at])

    def at(self, threshold: float) -> float:
        """The gain when rows of ``threshold`` and above are flagged."""
        above = np.flatnonzero(self.threshold >= threshold)
        return float(self.gain[above[-1]]) if above.size else 0.0


def sweep(many: list[tuple[Labelled, Floats]], profile: Profile) -> Sweep:
    """All thresholds at once: ``many`` are series with one anomaly score per row."""
    scores: list[Floats] = []
    gains: list[Floats] = []
    for series, score in many:
        value, inside = worth(series)
        gain = np.where(inside < 0, profile.false * value, 0.0)
        for number in range(len(series.windows)):
            rows = np.flatnonzero(inside == number)
            rows = rows[rows >= series.probation]
            if not rows.size:
                continue
            falling = rows[np.argsort(-score[rows], kind="stable")]
            reached = np.maximum.accumulate(profile.hit * value[falling])
            gain[falling] = np.diff(reached, prepend=-profile.miss)
        scores.append(score[series.probation :])
        gains.append(gain[series.probation :])
    score, gain = np.concatenate(scores), np.concatenate(gains)
    order = np.argsort(-score, kind="stable")
    score, total = score[order], np.cumsum(gain[order])
    last = np.flatnonzero(np.append(np.diff(score) != 0, True)) if score.size else np.empty(0, dtype=np.intp)
    return Sweep(score[last], total[last])


def normalised(gain: float, windows: int, profile: Profile) -> float:
    """The gain on NAB's scale: 0 for silence, 100 for perfection."""
    return 100.0 * gain / (windows * (profile.hit + profile.miss)) if windows else float("nan")


def alarms(series: Labelled, score: Floats, threshold: float) -> tuple[int, int, list[int]]:
    """(windows hit, false alarms, flagged rows) at ``threshold``, probation left out."""
    flagged = np.flatnonzero(score >= threshold)
    flagged = flagged[flagged >= series.probation]
    _, inside = worth(series)
    hit = {int(n) for n in inside[flagged] if n >= 0}
    return len(hit), int((inside[flagged] < 0).sum()), [int(row) for row in flagged]
