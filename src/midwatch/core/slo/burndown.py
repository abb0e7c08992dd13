"""The way of a budget through its period: what was left after each step. For plots; no decision rests on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from midwatch.model.world import Floats


@dataclass(frozen=True)
class BurnDown:
    """``left[i]`` is the share of the budget (1 and below; below 0 it is overspent) at ``at[i]`` (unix seconds, ascending),
    shape (n,) each, from the whole budget at ``start_at``. [start_at, end_at) is the period; nobody looked in ``gaps``."""

    start_at: float
    end_at: float
    at: Floats
    left: Floats
    gaps: tuple[tuple[float, float], ...] = ()


def burn_down(
    at: Floats,
    bad: Floats,
    allowed: float,
    *,
    step_seconds: float,
    start_at: float,
    end_at: float,
    first_at: float,
    seen_until: float,
    now: float,
) -> BurnDown:
    """The budget of ``allowed`` bad events as ``bad[i]`` of them fall in the step that begins at ``at[i]`` (ascending).

    Steps outside [start_at, end_at) do not count. The line ends where the last look was. A budget of nothing is gone
    with the first bad event.
    """
    begin, stop = max(start_at, first_at), min(end_at, now, seen_until)
    gaps = [(start_at, min(begin, now))] if begin > start_at else []
    if seen_until < min(end_at, now):
        gaps.append((max(seen_until, start_at), min(end_at, now)))
    if stop <= begin:
        return BurnDown(start_at, end_at, np.empty(0), np.empty(0), tuple(gaps))
    inside = (at + step_seconds > start_at) & (at < min(end_at, now))
    gone = np.concatenate(([0.0], np.cumsum(bad[inside])))
    left = 1 - gone / allowed if allowed > 0 else np.where(gone > 0, -1.0, 1.0)
    times = np.concatenate(([begin], np.clip(at[inside] + step_seconds, begin, stop), [stop]))
    left = np.concatenate((left, left[-1:]))
    return BurnDown(start_at, end_at, times, np.asarray(left), tuple(gaps))
