"""Plots as SVG text, drawn here so that a page needs no script and a report no server. Colours come from ``plots.css``;
every plot carries its words for those who do not see it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo

import numpy as np

from midwatch.core.oncall.wall import reached
from midwatch.core.slo.burndown import BurnDown
from midwatch.model.world import Floats

STYLE: Final = Path(__file__).with_name("plots.css")
SHEET: Final = Path(__file__).with_name("sheet.css")
LOWEST_LEFT: Final = -1.0  # a budget that is overspent twice over is drawn at the bottom, and said in words
MAX_POINTS: Final = 240


@dataclass(frozen=True)
class Mark:
    """Something that happened: at a moment, or until ``until``. ``label`` is short (it is drawn), ``text`` is whole."""

    at: float
    kind: Literal["incident", "change", "firing", "adjustment"]
    label: str
    text: str
    until: float | None = None


@dataclass(frozen=True)
class Gone:
    """When a budget is foreseen to be gone: one of ten futures before ``early_at``, half before ``middle_at``, nine of ten
    before ``late_at`` (unix seconds; None: not by ``horizon_at``)."""

    early_at: float
    middle_at: float | None
    late_at: float | None
    horizon_at: float

    @property
    def shown_until(self) -> float:
        return self.late_at if self.late_at is not None else self.horizon_at


@dataclass(frozen=True)
class Frame:
    """The inside of a plot in user units, and what its edges mean."""

    width: int
    height: int
    start_at: float
    end_at: float
    low: float
    high: float
    left_pad: float = 50.0
    right_pad: float = 10.0
    top_pad: float = 22.0
    foot_pad: float = 24.0

    def x(self, at: float) -> float:
        share = (at - self.start_at) / max(self.end_at - self.start_at, 1e-9)
        return self.left_pad + min(max(share, 0.0), 1.0) * (self.width - self.left_pad - self.right_pad)

    def y(self, value: float) -> float:
        share = (value - self.low) / max(self.high - self.low, 1e-12)
        return self.height - self.foot_pad - min(max(share, 0.0), 1.0) * (self.height - self.top_pad - self.foot_pad)


def burn_down_svg(
    line: BurnDown,
    words: str,
    *,
    marks: Sequence[Mark] = (),
    gone: Gone | None = None,
    width: int = 1080,
    height: int = 280,
    time_zone: str = "UTC",
    kind: str = "",
    tone: str = "",
) -> str:
    """What is left of a budget over its period: the line, the even pace, what happened, and the forecast as a band.
    A forecast may widen the plot beyond the period's end. ``words`` is the text alternative, ``kind`` a CSS class, ``tone``
    ok, warn, bad, idle or nodata (empty: by what is left)."""
    least = float(line.left.min()) if line.left.size else 0.0
    low = 0.0 if least >= 0 else max(LOWEST_LEFT, math.floor(least * 2) / 2)
    frame = Frame(width, height, line.start_at, max(line.end_at, gone.shown_until if gone else 0.0), low, 1.0)
    parts = [_gap(frame, *gap) for gap in line.gaps]
    ticks = (1.0, 0.75, 0.5, 0.25, 0.0) if low == 0 else tuple(t for t in (1.0, 0.5, 0.0, -0.5, -1.0) if t >= low)
    parts += [_rule(frame, tick, f"{tick:.0%}".replace("%", " %"), zero=tick == 0) for tick in ticks]
    parts += dates(frame, time_zone)
    parts += _marks(frame, marks)
    ends = (line.start_at, 1.0), (line.end_at, 0.0)
    parts.append(_path(frame, np.array([e[0] for e in ends]), np.array([e[1] for e in ends]), "p-even"))
    if gone is not None and line.at.size:
        parts += _gone(frame, gone, float(line.at[-1]), float(line.left[-1]))
    if line.at.size:
        at, left = thinned(line.at, np.maximum(line.left, low))
        tone = tone or ("bad" if line.left[-1] <= 0 else "warn" if line.left[-1] < 0.25 else "ok")
        foot = f"L{frame.x(float(at[-1])):.1f} {frame.y(0):.1f}L{frame.x(float(at[0])):.1f} {frame.y(0):.1f}Z"
        parts.append(f'<path class="p-area p-{tone}" d="{_steps(frame, at, left)}{foot}"/>')
        parts.append(f'<path class="p-line p-{tone}" d="{_steps(frame, at, left)}"/>')
        x, y = frame.x(float(at[-1])), frame.y(float(left[-1]))
        parts.append(f'<circle class="p-now p-{tone}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
    return svg(frame, parts, words, kind)


def day_bars_svg(
    labels: Sequence[str],
    values: Sequence[float | None],
    words: str,
    *,
    columns: int = 0,
    limit: float | None = None,
    width: int = 1080,
    height: int = 150,
    kind: str = "",
) -> str:
    """One bar for each day: the share of the budget that went. None: nobody looked. ``limit`` is the even pace; there is
    room for ``columns`` days, those to come included."""
    known = [v for v in values if v is not None]
    top = max([*known, (limit or 0.0) * 1.5, 1e-6])
    frame = Frame(width, height, 0.0, float(max(1, len(values), columns)), 0.0, top)
    parts = [_rule(frame, tick, _percent(tick), zero=tick == 0) for tick in (0.0, top / 2, top)]
    for number, value in enumerate(values):
        left, right = frame.x(number + 0.12), frame.x(number + 0.88)
        if value is None:
            parts.append(_gap(frame, number + 0.12, number + 0.88, named=False))
            continue
        high = max(frame.y(0) - frame.y(value), 1.0 if value > 0 else 0.0)
        tone = "bad" if limit is not None and value > limit else "ok"
        parts.append(
            f'<rect class="p-bar p-{tone}" x="{left:.1f}" y="{frame.y(0) - high:.1f}" width="{right - left:.1f}" '
            f'height="{high:.1f}"><title>{escape(labels[number])}: {_percent(value)}</title></rect>'
        )
    every = max(1, math.ceil(max(len(labels), columns) / max(1, width // 46)))
    parts += [
        f'<text class="p-tick" text-anchor="middle" x="{frame.x(n + 0.5):.1f}" y="{height - 7}">{escape(label)}</text>'
        for n, label in enumerate(labels)
        if n % every == 0
    ]
    if limit is not None:
        y = frame.y(limit)
        parts.append(f'<path class="p-even" d="M{frame.left_pad} {y:.1f}H{width - frame.right_pad}"/>')
    return svg(frame, parts, words, kind)


def standalone_style() -> str:
    """The style of a page that stands alone, plots included."""
    return SHEET.read_text("utf-8") + STYLE.read_text("utf-8")


def svg(frame: Frame, parts: Sequence[str], words: str, kind: str = "") -> str:
    """The picture around its parts, with its text alternative."""
    said = escape(words, quote=True)
    return (
        f'<svg class="p {kind}" viewBox="0 0 {frame.width} {frame.height}" role="img" aria-label="{said}">'
        f"{''.join(parts)}</svg>"
    )


def thinned(at: Floats, values: Floats, most: int = MAX_POINTS) -> tuple[Floats, Floats]:
    """At most about ``most`` points: the last of each bin, so that a falling line keeps where it arrives."""
    if len(at) <= most:
        return at, values
    kept = np.unique(np.concatenate(([0], np.linspace(0, len(at) - 1, most).round().astype(int))))
    return at[kept], values[kept]


def _gone(frame: Frame, gone: Gone, now: float, left: float) -> list[str]:
    """The interval as a wedge from what is left now to when it is gone; one that may last longer stays open."""
    corners = [(now, left), (gone.early_at, 0.0)]
    corners += [(gone.late_at, 0.0)] if gone.late_at is not None else [(gone.horizon_at, 0.0), (gone.horizon_at, left)]
    shape = "L".join(f"{frame.x(at):.1f} {frame.y(value):.1f}" for at, value in corners)
    parts = [f'<path class="p-fan" d="M{shape}Z"/>']
    if gone.middle_at is not None:
        parts.append(_path(frame, np.array([now, gone.middle_at]), np.array([left, 0.0]), "p-middle"))
    return parts


def _steps(frame: Frame, at: Floats, values: Floats) -> str:
    return "M" + "L".join(
        f"{frame.x(a):.1f} {frame.y(v):.1f}" for a, v in zip(at.tolist(), values.tolist(), strict=True)
    )


def _path(frame: Frame, at: Floats, values: Floats, name: str) -> str:
    return f'<path class="{name}" d="{_steps(frame, at, values)}"/>'


def _rule(frame: Frame, value: float, label: str, zero: bool = False) -> str:
    y = frame.y(value)
    return (
        f'<path class="p-rule{" p-zero" if zero else ""}" d="M{frame.left_pad} {y:.1f}H{frame.width - frame.right_pad}"/>'
        f'<text class="p-tick" text-anchor="end" x="{frame.left_pad - 6}" y="{y + 4:.1f}">{label}</text>'
    )


def _gap(frame: Frame, start: float, end: float, named: bool = True) -> str:
    x, wide = frame.x(start), frame.x(end) - frame.x(start)
    if wide < 0.5:
        return ""
    high = frame.height - frame.top_pad - frame.foot_pad
    text = ""
    if named and wide > 60:
        text = (
            f'<text class="p-tick p-nodata" text-anchor="middle" x="{x + wide / 2:.1f}" '
            f'y="{frame.top_pad + high / 2:.1f}">no data</text>'
        )
    return f'<rect class="p-gap" x="{x:.1f}" y="{frame.top_pad}" width="{wide:.1f}" height="{high:.1f}"/>{text}'


def dates(frame: Frame, time_zone: str) -> list[str]:
    """Dates along the foot: as many as there is room for, each at its midnight; hours when the plot is shorter than
    three days."""
    zone = ZoneInfo(time_zone)
    span = frame.end_at - frame.start_at
    room = max(2, int((frame.width - frame.left_pad) // 72))
    steps = (3600.0, 3 * 3600.0, 6 * 3600.0, 12 * 3600.0, 86400.0, 2 * 86400.0, 5 * 86400.0, 7 * 86400.0, 14 * 86400.0)
    step = next((s for s in steps if span / s <= room), 30 * 86400.0)
    # Steps on the wall: a day on which the clocks change has 23 or 25 hours, and begins at its midnight all the same.
    begins = datetime.fromtimestamp(frame.start_at, zone).replace(tzinfo=UTC).timestamp()
    wall, found = math.ceil(begins / step) * step, []
    while (at := reached(datetime.fromtimestamp(wall, UTC).replace(tzinfo=None), time_zone)) <= frame.end_at:
        when = datetime.fromtimestamp(at, zone)
        label = when.strftime("%H:%M") if step < 86400 and when.hour else when.strftime("%d %b").lstrip("0")
        x = frame.x(at)
        if frame.left_pad + 14 < x < frame.width - 20:
            foot = frame.height - frame.foot_pad
            found.append(f'<path class="p-rule" d="M{x:.1f} {foot}v4"/>')
            found.append(f'<text class="p-tick" text-anchor="middle" x="{x:.1f}" y="{frame.height - 6}">{label}</text>')
        wall += step
    return found


def _marks(frame: Frame, marks: Sequence[Mark]) -> list[str]:
    """Incidents as bands, moments as lines. Labels of incidents come first; one that would be written over is left out."""
    found: list[str] = []
    labels: list[str] = []
    taken: list[tuple[float, float]] = []
    foot = frame.height - frame.foot_pad
    for mark in sorted(marks, key=lambda m: (m.kind != "incident", m.at)):
        if not frame.start_at <= (mark.until or mark.at) or mark.at > frame.end_at:
            continue
        x = frame.x(mark.at)
        title = f"<title>{escape(mark.text)}</title>"
        if mark.until is not None:
            wide = max(frame.x(mark.until) - x, 3.0)
            found.append(
                f'<rect class="p-{mark.kind}" x="{x:.1f}" y="{frame.top_pad}" width="{wide:.1f}" '
                f'height="{foot - frame.top_pad:.1f}">{title}</rect>'
            )
        else:
            found.append(f'<path class="p-{mark.kind}" d="M{x:.1f} {frame.top_pad}V{foot}">{title}</path>')
        size = 7.0 * len(mark.label)
        late = x + size > frame.width
        left, right = (x - size, x) if late else (x, x + size)
        if mark.label and all(right + 6 <= begin or left >= end + 6 for begin, end in taken):
            anchor = ' text-anchor="end"' if late else ""
            labels.append(
                f'<text class="p-label p-{mark.kind}-label"{anchor} x="{x:.1f}" y="{frame.top_pad - 7}">'
                f"{escape(mark.label)}</text>"
            )
            taken.append((left, right))
    return found + labels


def _percent(value: float) -> str:
    text = f"{value * 100:.1f}" if value < 0.1 else f"{value * 100:.0f}"
    return f"{text.removesuffix('.0')} %"
