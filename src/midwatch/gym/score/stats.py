"""Intervals for small samples."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from msgspec import Struct


class Share(Struct, frozen=True):
    """``hits`` of ``total``, with the 95 % Wilson interval ``low``..``high`` (all 0..1; NaN without cases)."""

    hits: int
    total: int
    share: float
    low: float
    high: float

    def __str__(self) -> str:
        if not self.total:
            return "-"
        return f"{self.hits}/{self.total} = {self.share:.2f} ({self.low:.2f}-{self.high:.2f})"


def wilson(hits: int, total: int, z: float = 1.959964) -> Share:
    """Wilson's score interval for a binomial share (Wilson 1927); with no cases everything is NaN."""
    if total == 0:
        nan = float("nan")
        return Share(0, 0, nan, nan, nan)
    p = hits / total
    middle = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return Share(hits, total, p, max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half)))


def median(values: Sequence[float]) -> float:
    """The middle value, NaN without values."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def quantile(values: Sequence[float], q: float) -> float:
    """The ``q`` quantile by the nearest rank, NaN without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else float("nan")
