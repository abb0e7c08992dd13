"""How often midwatch was right when it was about as sure as now: from causes that people, or fixes that helped, confirmed.

Counted is what was said first (at the first page or action), so that a diagnosis that learned the answer from the fix gets
no credit for it. Causes that nobody confirmed are not in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from midwatch.model.findings import Hindsight

AROUND: Final = 0.1  # a probability is like another within so much
FEW: Final = 5
"""Fewer cases than this say nearly nothing."""
BANDS: Final[tuple[tuple[float, float], ...]] = ((0.0, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.0))
_Z: Final = 1.96


@dataclass(frozen=True)
class TrackRecord:
    """Of ``cases`` in which the first answer had a probability from ``low`` to ``high``, ``right`` were so. ``said`` is the
    mean probability in them; ``least`` and ``most`` bound the true share (95 %, Wilson 1927)."""

    low: float
    high: float
    cases: int
    right: int
    said: float
    least: float
    most: float

    @property
    def share(self) -> float:
        return self.right / self.cases if self.cases else math.nan


def similar(known: Sequence[Hindsight], probability: float) -> TrackRecord:
    """The record of verdicts about as sure as ``probability``."""
    return _record(known, max(0.0, probability - AROUND), min(1.0, probability + AROUND), True)


def bands(known: Sequence[Hindsight]) -> tuple[TrackRecord, ...]:
    """The whole record, by how sure it was; bands without a case are left out."""
    return tuple(r for low, high in BANDS if (r := _record(known, low, high, high == 1.0)).cases)


def _record(known: Sequence[Hindsight], low: float, high: float, closed: bool) -> TrackRecord:
    near = [one for one in known if low <= one.probability < high or (closed and one.probability == high)]
    cases, right = len(near), sum(one.right for one in near)
    said = sum(one.probability for one in near) / cases if cases else math.nan
    return TrackRecord(low, high, cases, right, said, *wilson(right, cases))


def wilson(right: int, cases: int) -> tuple[float, float]:
    """The 95 % score interval of a share; (0, 1) without a case."""
    if not cases:
        return 0.0, 1.0
    p, z2 = right / cases, _Z * _Z
    middle = (p + z2 / (2 * cases)) / (1 + z2 / cases)
    half = _Z / (1 + z2 / cases) * math.sqrt(p * (1 - p) / cases + z2 / (4 * cases * cases))
    return max(0.0, middle - half), min(1.0, middle + half)


def sentence(record: TrackRecord) -> str:
    """``When midwatch was 70 to 90 % sure, it was right 9 times of 11 (82 %; 52 to 95 % with 95 % confidence)``."""
    if not record.cases:
        return "No history yet: of no verdict about as sure as this one has the cause been confirmed"
    sure = f"{100 * record.low:.0f} to {100 * record.high:.0f} %"
    text = f"When midwatch was {sure} sure, it was right {record.right} times of {record.cases}"
    if record.cases < FEW:
        return f"{text}: too few cases to lean on"
    span = f"{100 * record.least:.0f} and {100 * record.most:.0f} %"
    return f"{text} ({100 * record.share:.0f} %; the true share lies between {span} with 95 % confidence)"
