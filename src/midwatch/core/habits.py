"""What is remembered of how series usually behave: a part of the working set (``memory.py``), kept by ``detect/habits.py``.

All arrays have one row per series; they are never changed in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from midwatch.model.world import Floats


@dataclass(frozen=True)
class Spans:
    """Disjoint spans of the values that were seen: ``low`` and ``high``, shape (rows, spans), ascending along a row;
    infinite where there is no span."""

    low: Floats
    high: Floats


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared differences (Welford 1962), shape (rows,) each."""

    count: Floats
    mean: Floats
    squares: Floats

    @property
    def deviation(self) -> Floats:
        # A thousandth of the level is the least that counts as movement: rounding is none.
        return np.maximum(np.sqrt(self.squares / np.maximum(self.count, 1.0)), 1e-3 * np.abs(self.mean))


@dataclass(frozen=True)
class Slot:
    """One slot of the day, shape (rows,) each: bounds of the days before ``day``, bounds of ``day`` (days since the epoch),
    and count, sum and sum of squares of all values (less the row's origin)."""

    day: int
    low: Floats
    high: Floats
    low_today: Floats
    high_today: Floats
    count: Floats
    sum: Floats
    squares: Floats


@dataclass(frozen=True)
class Daily:
    """The slots of a day. ``first_at`` (unix seconds; NaN before) and ``origin`` are each row's first moment and value."""

    slots: tuple[Slot, ...]
    first_at: Floats
    origin: Floats


@dataclass(frozen=True)
class Novelty:
    """What is remembered of each row. ``recent`` holds the newest values, oldest first, shape (rows,) each; ``peak`` is the
    strongest alarm lately and ``age`` the steps since."""

    spans: Spans
    means: Spans
    values: Moments
    averages: Moments
    daily: Daily
    recent: tuple[Floats, ...]
    peak: Floats
    age: Floats


@dataclass(frozen=True)
class Habits:
    """What the live loop knows of the series in ``keys`` (subject, signal). Everything before ``seen_until`` (unix
    seconds) was looked at. ``odd`` is how far each is out of its habits now, in deviations, 0 when it is not;
    ``since_at`` since when, and ``value`` the newest value. ``refused`` series found no room."""

    keys: tuple[tuple[str, str], ...]
    seen_until: float
    novelty: Novelty
    odd: Floats
    since_at: Floats
    value: Floats
    refused: int = 0


def each_array(change: Callable[..., Floats], *states: Any) -> Any:
    """A state like ``states``, each array made by ``change`` of theirs; what is no array stays as in the first."""
    first = states[0]
    if isinstance(first, np.ndarray):
        return change(*states)
    if isinstance(first, tuple):
        return tuple(each_array(change, *parts) for parts in zip(*states, strict=True))
    if is_dataclass(first) and not isinstance(first, type):
        made = {f.name: each_array(change, *(getattr(s, f.name) for s in states)) for f in fields(first)}
        return type(first)(**made)
    return first
