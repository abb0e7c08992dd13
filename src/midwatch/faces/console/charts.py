"""Small plots: SVG paths made here, or numbers handed to uPlot. A gap in the data stays a gap in the line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from msgspec import Struct

from midwatch.core.slo.burndown import BurnDown
from midwatch.model.world import Floats
from midwatch.shell.plots import thinned


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
    return f"now {seen[-1]:.3g} {unit}, peak {seen.max():.3g} {unit}"
