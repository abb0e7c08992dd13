"""Small plots as SVG text, for the pages under docs/results. They are read in a browser, on light and on dark."""

from __future__ import annotations

import math
from html import escape

INK, FAINT = "#6b7280", "#9ca3af66"
COLOURS = ("#2563eb", "#dc2626", "#d97706", "#059669", "#7c3aed")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, FOOT = 720, 320, 64, 190, 44, 46


def lines(
    title: str,
    x_name: str,
    y_name: str,
    series: dict[str, list[tuple[float, float]]],
    *,
    log_y: bool = False,
    rule: tuple[float, str] | None = None,
) -> str:
    """One line per series over a logarithmic x; ``rule`` is a level with its name. A logarithmic y has zero at the foot."""
    points = [p for line in series.values() for p in line]
    xs, ys = sorted({x for x, _ in points}), [y for _, y in points] + ([rule[0]] if rule else [])
    low = min((y for y in ys if y > 0), default=1.0) / 2 if log_y else 0.0
    high = max(ys) * (2 if log_y else 1.05) or 1.0

    def px(x: float) -> float:
        return LEFT + (math.log(x) - math.log(xs[0])) / (math.log(xs[-1]) - math.log(xs[0])) * (WIDTH - LEFT - RIGHT)

    def py(y: float) -> float:
        share = math.log(max(y, low) / low) / math.log(high / low) if log_y else y / high
        return HEIGHT - FOOT - share * (HEIGHT - TOP - FOOT)

    ticks = [10.0**k for k in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)] if log_y else []
    ticks = ticks or _round_ticks(high)
    out = _frame(title, x_name, y_name)
    for y in ticks:
        out.append(f'<path d="M{LEFT} {py(y):.1f}H{WIDTH - RIGHT}" stroke="{FAINT}"/>')
        out.append(_text(LEFT - 8, py(y) + 4, f"{y:,g}", "end"))
    for x in xs:
        out.append(_text(px(x), HEIGHT - FOOT + 18, f"{x:,g}", "middle"))
    if rule:
        out.append(f'<path d="M{LEFT} {py(rule[0]):.1f}H{WIDTH - RIGHT}" stroke="{INK}" stroke-dasharray="5 4"/>')
        out.append(_text(WIDTH - RIGHT + 8, py(rule[0]) + 4, rule[1], "start"))
    for index, (name, line) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        path = "L".join(f"{px(x):.1f} {py(y):.1f}" for x, y in line)
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{px(x):.1f}" cy="{py(y):.1f}" r="3" fill="{colour}"/>' for x, y in line]
        out.append(_text(WIDTH - RIGHT + 8, TOP + 18 * index + 4, name, "start", colour))
    return "".join([*out, "</svg>\n"])


def bars(title: str, y_name: str, values: dict[str, tuple[float, float, float]], band: tuple[float, float]) -> str:
    """One value with its interval per name, on 0 to 1; ``band`` is where it should lie."""
    out = _frame(title, "", y_name)

    def py(y: float) -> float:
        return HEIGHT - FOOT - y * (HEIGHT - TOP - FOOT)

    wide = WIDTH - LEFT - 20
    out.append(
        f'<rect x="{LEFT}" y="{py(band[1]):.1f}" width="{wide}" height="{py(band[0]) - py(band[1]):.1f}" '
        f'fill="{COLOURS[3]}" opacity="0.18"/>'
    )
    for y in (0.0, 0.25, 0.5, 0.75, 1.0):
        out.append(f'<path d="M{LEFT} {py(y):.1f}h{wide}" stroke="{FAINT}"/>')
        out.append(_text(LEFT - 8, py(y) + 4, f"{y:.0%}", "end"))
    for index, (name, (value, low, high)) in enumerate(values.items()):
        x = LEFT + (index + 0.5) / len(values) * wide
        out.append(f'<path d="M{x:.1f} {py(low):.1f}V{py(high):.1f}" stroke="{COLOURS[0]}" stroke-width="2"/>')
        out.append(f'<circle cx="{x:.1f}" cy="{py(value):.1f}" r="4" fill="{COLOURS[0]}"/>')
        out.append(_text(x, HEIGHT - FOOT + 18, name, "middle"))
    return "".join([*out, "</svg>\n"])


def _round_ticks(high: float) -> list[float]:
    """About five levels at 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(high / 5))
    step = next(m * power for m in (1, 2, 5, 10) if high / (m * power) <= 6)
    return [step * k for k in range(int(high / step) + 1)]


def _frame(title: str, x_name: str, y_name: str) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<text x="{LEFT}" y="18" font-size="14" fill="{INK}">{escape(title)}</text>',
        _text(LEFT, 34, y_name, "start"),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_name, "middle"),
    ]


def _text(x: float, y: float, text: str, anchor: str, colour: str = INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
