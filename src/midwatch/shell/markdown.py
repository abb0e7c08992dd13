"""Words of a report in Markdown: text of others made harmless, and a month in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

BARS: Final = "▁▂▃▄▅▆▇█"


def bars(values: Sequence[float | None]) -> str:
    """One character a day, the worst the highest: ``·`` nothing was spent, ``?`` nobody looked."""
    top = max((v for v in values if v is not None), default=0.0)
    found = ""
    for value in values:
        if value is None:
            found += "?"
        elif value <= 0 or top <= 0:
            found += "·"
        else:
            found += BARS[min(len(BARS) - 1, int(value / top * len(BARS)))]
    return found


def cell(text: str) -> str:
    """Text of others inside Markdown: on one line, nothing in it is markup."""
    flat = " ".join(text.split())
    for sign in "\\`*_[]<>|#":
        flat = flat.replace(sign, f"\\{sign}")
    return flat
