"""Small plots: SVG paths made here, or numbers handed to uPlot. A gap in the data stays a gap in the line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

import numpy as np
from msgspec import Struct

from midwatch.core.slo.burndown import BurnDown
from midwatch.model.world import Floats, SeriesSet
from midwatch.shell.plots import Frame, svg, thinned

POOLED: Final = 2  # steps that one point of a share or a mean is made of: fewer requests than that say little


class Spark(Struct, frozen=True):
    """An SVG line of ``width`` x ``height`` user units: ``path`` of the line, ``area`` below it, ``limit_y`` and
    ``mark_x`` for a bound and a moment (None when outside)."""

    path: str
    area: str
    width: int
    height: int
    limit_y: float | None = None
    mark_x: float | None = None
    top: float = 0.0
    empty: bool = False


def spark(
    values: Floats,
    *,
    width: int = 160,
    height: int = 36,
    limit: float | None = None,
    mark: float | None = None,
    top: float | None = None,
) -> Spark:
    """The line through ``values`` (shape (n,), NaN for gaps). ``mark`` is a position 0..1 along the line."""
    finite = values[np.isfinite(values)]
    peak = max(float(finite.max()) if finite.size else 0.0, limit or 0.0, top or 0.0, 1e-12)
    scale = (height - 3) / (peak * 1.05)
    step = width / max(1, len(values) - 1)
    line: list[str] = []
    area: list[str] = []
    run: list[tuple[float, float]] = []

    def close() -> None:
        if not run:
            return
        points = [f"{x:.1f} {y:.1f}" for x, y in run]
        if len(run) == 1:
            points.append(f"{run[0][0] + 1.5:.1f} {run[0][1]:.1f}")
        line.append("M" + "L".join(points))
        area.append(f"M{run[0][0]:.1f} {height}L" + "L".join(points) + f"L{run[-1][0]:.1f} {height}Z")
        run.clear()

    for i, value in enumerate(values.tolist()):
        if math.isfinite(value):
            run.append((i * step, height - 1.5 - max(value, 0.0) * scale))
        else:
            close()
    close()
    return Spark(
        "".join(line),
        "".join(area),
        width,
        height,
        None if limit is None else height - 1.5 - limit * scale,
        None if mark is None or not 0 <= mark <= 1 else mark * width,
        peak,
        not finite.size,
    )


def descent(line: BurnDown, *, width: int = 160, height: int = 44) -> Spark:
    """A burn-down without axes: from the whole budget at the left; ``limit_y`` is where it is spent."""
    low = 0.0 if not line.left.size or line.left.min() >= 0 else max(-1.0, float(line.left.min()))
    span = max(line.end_at - line.start_at, 1e-9)

    def x(at: float) -> float:
        return min(max((at - line.start_at) / span, 0.0), 1.0) * width

    def y(left: float) -> float:
        return 2 + (1 - max(left, low)) / (1 - low) * (height - 4)

    at, left = thinned(line.at, line.left, 36)
    if not at.size:
        return Spark("", "", width, height, y(0.0), None, 1.0, True)
    path = "L".join(f"{x(a):.1f} {y(v):.1f}" for a, v in zip(at.tolist(), left.tolist(), strict=True))
    return Spark(f"M{path}", "", width, height, y(0.0), x(float(at[-1])), 1.0, False)


def numbers(values: Floats, digits: int = 4) -> list[float | None]:
    """JSON-able: NaN becomes null, which uPlot draws as a gap."""
    return [round(v, digits) if math.isfinite(v) else None for v in values.tolist()]


def plot(
    times: Floats,
    lines: list[tuple[str, Floats, str]],
    *,
    unit: str,
    title: str,
    marks: list[tuple[float, str]] | None = None,
    limit: float | None = None,
) -> dict[str, Any]:
    """What ``console.js`` gives to uPlot: ``lines`` are (label, values, tone), ``marks`` (unix seconds, words)."""
    return {
        "title": title,
        "unit": unit,
        "summary": _summary(lines[0][1], unit) if lines else "no data",
        "times": numbers(times, 1),
        "lines": [{"label": label, "values": numbers(values), "tone": tone} for label, values, tone in lines],
        "marks": [{"at": at, "text": text} for at, text in marks or []],
        "limit": limit,
    }


def _summary(values: Floats, unit: str) -> str:
    """The plot in words, for those who do not see it."""
    seen = values[np.isfinite(values)]
    if not seen.size:
        return "no data"
    return f"now {_plain(seen[-1])} {unit}, peak {_plain(seen.max())} {unit}"


def _plain(value: float) -> str:
    """``1,020``, ``12.3``, ``0.0456``: three digits that count, and no powers of ten where people read."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def pooled(part: Floats, whole: Floats, steps: int = POOLED) -> Floats:
    """``part`` of ``whole`` (both of shape (n,)) over every ``steps`` steps, from the end: shape (n // steps,). Steps
    in which only one of them was reported do not count; NaN where nothing is left, or where there was no whole."""
    both = np.isfinite(part) & np.isfinite(whole)
    keep = len(whole) // steps * steps
    above, below = (np.where(both, row, 0.0)[len(row) - keep :].reshape(-1, steps).sum(axis=1) for row in (part, whole))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(below > 0, above / below, np.nan)


def pooled_times(grid: SeriesSet, steps: int = POOLED) -> Floats:
    """When each point of ``pooled`` begins (unix seconds)."""
    return grid.end_at - grid.step_seconds * steps * np.arange(grid.steps // steps, 0, -1, dtype=np.float64)


def moment_svg(
    times: Floats,
    values: Floats,
    step_seconds: float,
    marks: Sequence[tuple[float, str]],
    *,
    extreme: tuple[float, str],
    words: str,
    width: int = 340,
    height: int = 92,
) -> str:
    """A small plot around a moment: the line through ``values`` (shape (n,), NaN for gaps), dashed lines with their words at
    ``marks`` (unix seconds), a rule at 0 and one at ``extreme`` (a value and its words) where that is another, and the time
    at both ends."""
    start, end = float(times[0]), float(times[-1]) + step_seconds
    seen = values[np.isfinite(values)]
    low = min(0.0, float(seen.min(initial=0.0)))
    high = max(0.0, float(seen.max(initial=0.0)), low + 1e-12)
    frame = Frame(width, height, start, end, low, high + 0.08 * (high - low), 14.0, 2.0, 18.0, 16.0)
    foot = height - frame.foot_pad
    parts = [_level(frame, 0.0, " p-zero"), f'<text class="p-tick" x="0" y="{frame.y(0.0) + 4:.1f}">0</text>']
    most, peak = extreme if extreme[0] and math.isfinite(extreme[0]) else (0.0, "")
    if peak:
        parts += [
            _level(frame, most),
            f'<text class="p-tick" x="0" y="{11 if most > 0 else foot - 4}">{escape(peak)}</text>',
        ]
    runs: list[list[str]] = []
    holds = False
    for at, value in zip(times.tolist(), values.tolist(), strict=True):
        if not math.isfinite(value):
            holds = False
            continue
        if not holds:
            runs.append([])
        holds = True
        x, y = frame.x(at), frame.y(value)
        runs[-1].append(f"{x:.1f} {y:.1f}H{frame.x(at + step_seconds):.1f}")
    parts += [f'<path class="p-line p-info" d="M{"L".join(run)}"/>' for run in runs]
    taken = [(0.0, 6.8 * len(peak) + 8 if most > 0 else 0.0)]
    for at, text in marks:
        if not start <= at <= end:
            continue
        x, size = frame.x(at), 7.8 * len(text)
        parts.append(f'<path class="p-change" d="M{x:.1f} {frame.top_pad - 4}V{foot}"/>')
        left = x - size - 4 if x + size + 4 > width else x + 4
        if all(left >= b + 6 or left + size <= a for a, b in taken):
            parts.append(f'<text class="p-label p-change-label" x="{left:.1f}" y="11">{escape(text)}</text>')
            taken.append((left, left + size))
    for at, anchor, x, zone in ((start, "start", frame.left_pad, ""), (end, "end", width - frame.right_pad, " UTC")):
        clock = datetime.fromtimestamp(at, UTC).strftime("%H:%M") + zone
        parts.append(f'<text class="p-tick" text-anchor="{anchor}" x="{x}" y="{height - 3}">{clock}</text>')
    return svg(frame, parts, words, "p-moment")


def _level(frame: Frame, value: float, kind: str = "") -> str:
    return f'<path class="p-rule{kind}" d="M{frame.left_pad} {frame.y(value):.1f}H{frame.width - frame.right_pad}"/>'
