"""When a budget will be gone, for the page of a promise: played at most once a minute, off the loop, and in words."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from midwatch.core.memory import Ledger
from midwatch.core.slo import forecast
from midwatch.core.slo.forecast import Forecast
from midwatch.faces.console import words
from midwatch.model.adjustments import Adjustment
from midwatch.model.slo import Slo
from midwatch.shell.plots import Gone

FRESH_SECONDS: Final = 60.0
MOST_KEPT: Final = 64


class Foresight:
    """Forecasts by ledger key, the least lately made forgotten first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, Slo, Forecast]] = OrderedDict()

    async def of(
        self, slo: Slo, key: str, ledger: Ledger | None, adjustments: Sequence[Adjustment], now: float
    ) -> Forecast | None:
        """None when nothing was counted."""
        if ledger is None:
            return None
        known = self._kept.get(key)
        if known is not None and known[1] == slo and 0 <= now - known[0] < FRESH_SECONDS:
            return known[2]
        found = await asyncio.to_thread(forecast.of_ledger, slo, ledger, adjustments, now, key=key)
        self._kept[key] = (now, slo, found)
        self._kept.move_to_end(key)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return found


def said(found: Forecast | None, now: float) -> str:
    """The forecast in a sentence or two; empty when there is nothing to foresee."""
    if found is None or found.state == "spent":
        return ""
    if found.state == "not known":
        return f"When it will be gone is not known: {found.why}."
    by = words.clock(found.horizon_at)
    if found.state == "not within the horizon":
        chance = "hardly any" if not found.chance or found.chance < 0.01 else f"{words.percent(found.chance)}"
        text = f"It will last beyond {by}, as far as {found.days} days of history say ({chance} chance of less)."
    else:
        text = f"{words.percent(found.chance)} chance that it is gone by {by}"
        if found.early_at is not None and found.late_at is not None:
            text += f": in eight of ten futures between {words.clock(found.early_at)} and {words.clock(found.late_at)}"
        elif found.early_at is not None:
            text += f", in one of ten futures before {words.clock(found.early_at)}"
        text += "."
    if found.at_this_rate_seconds is not None and now + found.at_this_rate_seconds < found.horizon_at:
        text += f" If the last hour goes on, it is gone in {words.duration(found.at_this_rate_seconds)}."
    return text


def gone(found: Forecast | None) -> Gone | None:
    """What the plot draws of it."""
    if found is None or found.state != "may run out" or found.early_at is None:
        return None
    return Gone(found.early_at, found.middle_at, found.late_at, found.horizon_at)
