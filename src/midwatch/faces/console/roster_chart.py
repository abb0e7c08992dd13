"""The next weeks of a schedule as a picture: a row for each week, a bar for each shift, in its person's colour and with
their name where there is room. Made for two widths, so that words keep their size on a phone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Final
from zoneinfo import ZoneInfo

from markupsafe import Markup

from midwatch.core.oncall.rotations import midnight
from midwatch.core.oncall.schedule import Shift
from midwatch.core.oncall.wall import reached, shown

WEEKS: Final = 4
COLOURS: Final = 8
_DAY: Final = timedelta(days=1)
_LEFT, _HEAD, _ROW, _GAP = 52.0, 20.0, 34.0, 8.0
WIDE, NARROW = 1000.0, 344.0
_LETTER: Final = 7.4  # an estimate of a letter's width, in the units of the picture


def first_day(now: float, zone: str) -> datetime:
    """The Monday of this week, on the schedule's wall."""
    today = midnight(shown(now, zone).date())
    return today - today.weekday() * _DAY


def span(now: float, zone: str) -> tuple[float, float]:
    """What the picture shows, in unix seconds."""
    begin = first_day(now, zone)
    return reached(begin, zone), reached(begin + 7 * WEEKS * _DAY, zone)


def picture(
    shifts: Sequence[Shift], zone: str, now: float, colours: Mapping[str, int], names: Mapping[str, str], width: float
) -> Markup:
    """``shifts`` cover ``span``; ``colours`` numbers people; ``names`` says what they are called."""
    begin, height = first_day(now, zone), _HEAD + WEEKS * (_ROW + _GAP)
    day = (width - _LEFT) / 7
    out = [
        f'<svg class="roster {"wide" if width == WIDE else "tall"}" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="Who is on call in the next {WEEKS} weeks; the list below says the same">'
    ]
    for number, name in enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")):
        out.append(f'<text class="day" x="{_LEFT + (number + 0.5) * day:.1f}" y="13">{name}</text>')
    for week in range(WEEKS):
        monday = begin + 7 * week * _DAY
        top = _HEAD + week * (_ROW + _GAP)
        out.append(f'<text class="week" x="0" y="{top + _ROW / 2 + 4:.1f}">{monday:%d %b}</text>')
        out.append(
            f'<rect class="weekend" x="{_LEFT + 5 * day:.1f}" y="{top:.1f}" width="{2 * day:.1f}" height="{_ROW:g}"/>'
        )
        start, end = reached(monday, zone), reached(monday + 7 * _DAY, zone)
        bars = [
            _bar(s, start, end, top, width, colours, names, zone)
            for s in shifts
            if s.start_at < end and s.end_at > start
        ]
        edges = "".join(f"M{_LEFT + number * day:.1f} {top:.1f}v{_ROW:g}" for number in range(8))
        out += [*(bar for bar, _ in bars), f'<path class="edge-of-day" d="{edges}"/>', *(text for _, text in bars)]
        if start <= now < end:
            x = _LEFT + (now - start) / (end - start) * (width - _LEFT)
            out.append(f'<path class="moment" d="M{x:.1f} {top - 4:.1f}v{_ROW + 8:g}"/>')
    return Markup("".join(out) + "</svg>")  # every text in it is escaped


def _bar(
    shift: Shift, start: float, end: float, top: float, width: float,
    colours: Mapping[str, int], names: Mapping[str, str], zone: str,
) -> tuple[str, str]:  # fmt: skip
    """The bar, and the words on it: they are drawn over the edges of the days."""
    scale = (width - _LEFT) / (end - start)
    left, right = max(shift.start_at, start), min(shift.end_at, end)
    x, wide = _LEFT + (left - start) * scale, max((right - left) * scale, 1.0)
    name = names.get(shift.person, shift.person) or "nobody"
    kind = f"who-{colours.get(shift.person, 0) % COLOURS}" if shift.person else "nobody"
    inset = min(1.0, wide / 4)
    label = fitting(name, wide) if shift.person or wide >= len(name) * _LETTER + 4 else ""  # nobody has no initials
    where = f'x="{x + wide / 2:.1f}" y="{top + _ROW / 2 + 4:.1f}"'
    text = f'<text class="on-{kind}" {where}>{escape(label)}</text>' if label else ""
    bar = (
        f'<g class="{kind}"><title>{escape(name)}, {said(shift, zone)}</title>'
        f'<rect x="{x + inset:.1f}" y="{top:.1f}" width="{wide - 2 * inset:.1f}" height="{_ROW:g}" rx="3"/></g>'
    )
    return bar, text


def fitting(name: str, wide: float) -> str:
    """As much of a name as there is room for: all of it, the first word, initials, or nothing."""
    words = name.split() or [name]
    for text in (name, words[0], "".join(word[0] for word in words[:2])):
        if len(text) * _LETTER + 4 <= wide:
            return text
    return ""


def said(shift: Shift, zone: str) -> str:
    """``Mon 30 Nov 09:00 to Mon 07 Dec 09:00``, on the schedule's clock."""
    tz = ZoneInfo(zone)
    begin, end = (datetime.fromtimestamp(at, tz).strftime("%a %d %b %H:%M") for at in (shift.start_at, shift.end_at))
    return f"{begin} to {end}"
