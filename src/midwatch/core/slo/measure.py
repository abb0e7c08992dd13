"""One number out of the World: what an expectation, a parameter or a sentence refers to."""

from __future__ import annotations

import numpy as np

from midwatch.model import signals
from midwatch.model.entity import is_edge
from midwatch.model.world import Floats, World


def window(world: World, series: Floats, window_seconds: float, end_at: float | None = None) -> Floats:
    """The steps of ``series`` (shape (steps,)) that lie in the ``window_seconds`` before ``end_at`` (default: the end of
    the World). At least one step, unless the World has none."""
    grid = world.series
    if grid.steps == 0:
        return series[:0]
    stop = (
        grid.steps
        if end_at is None
        else int(np.clip(round((end_at - grid.start_at) / grid.step_seconds), 0, grid.steps))
    )
    length = max(1, round(window_seconds / grid.step_seconds))
    return series[max(0, stop - length) : stop]


def total(world: World, subject: str, signal: str, window_seconds: float, end_at: float | None = None) -> float:
    """Sum of a summed signal over the window; NaN when no step of the window reported anything."""
    series = world.series.get(subject, signal)
    if series is None:
        return float("nan")
    seen = window(world, series, window_seconds, end_at)
    return float(np.nansum(seen)) if np.isfinite(seen).any() else float("nan")


def measure(world: World, subject: str, signal: str, window_seconds: float, end_at: float | None = None) -> float:
    """``signal`` of ``subject`` over the ``window_seconds`` before ``end_at``; NaN means "no data".

    ``signal`` is a series signal (a gauge gives its last value in the window, a summed signal its rate per second) or
    derived: ``error_ratio`` (0..1 of the requests, or of the calls for an edge), ``slow_ratio:<ms>`` (share of requests
    slower than that), ``request_rate`` (1/s), ``mean_ms``. A ratio without a single request is NaN: no traffic is
    neither good nor bad.
    """
    edge = is_edge(subject)
    requests = signals.CALLS if edge else signals.REQUESTS
    if signal == "error_ratio":
        errors = total(world, subject, signals.CALL_ERRORS if edge else signals.ERRORS, window_seconds, end_at)
        return _ratio(errors, total(world, subject, requests, window_seconds, end_at))
    if signal.startswith("slow_ratio:"):
        slow = world.latency.slower_than(subject, float(signal.partition(":")[2]))
        if slow is None:
            return float("nan")
        count = total(world, subject, requests, window_seconds, end_at)
        return _ratio(float(np.nansum(window(world, slow, window_seconds, end_at))), count)
    if signal == "request_rate":
        return _rate(world, subject, requests, window_seconds, end_at)
    if signal == "mean_ms":
        spent = total(world, subject, signals.CALL_MS if edge else signals.TIME_MS, window_seconds, end_at)
        return _ratio(spent, total(world, subject, requests, window_seconds, end_at))
    if signal in signals.SUMMED:
        return _rate(world, subject, signal, window_seconds, end_at)
    series = world.series.get(subject, signal)
    if series is None:
        return float("nan")
    seen = window(world, series, window_seconds, end_at)
    seen = seen[np.isfinite(seen)]
    return float(seen[-1]) if seen.size else float("nan")


def _rate(world: World, subject: str, signal: str, window_seconds: float, end_at: float | None) -> float:
    """Per second of the steps that were looked at: a World younger than the window, or a window that is no multiple of
    a step, must not look like less traffic."""
    series = world.series.get(subject, signal)
    if series is None:
        return float("nan")
    steps = len(window(world, series, window_seconds, end_at))
    return total(world, subject, signal, window_seconds, end_at) / (steps * world.series.step_seconds or 1.0)


def _ratio(part: float, whole: float) -> float:
    """``part / whole``; a missing part of a seen whole is zero (no error was reported), an empty whole is NaN."""
    if not whole > 0:
        return float("nan")
    return 0.0 if np.isnan(part) else part / whole
