"""Promises: what an SLO is once it has been read (OpenSLO v1 files, or candidates discovered from telemetry)."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Slo(Struct, frozen=True):
    """One objective on one entity.

    ``sli`` is ``ratio`` (requests without error) or ``latency`` (requests faster than ``threshold_ms``); both are
    good/total counts, so budgets of any window are sums. ``target`` is 0..1, ``period_seconds`` a rolling window.
    """

    name: str
    entity: str
    sli: Literal["ratio", "latency", "freshness"]
    target: float
    threshold_ms: float = 0.0  # latency: the bound; freshness: the oldest allowed message in ms
    period_seconds: float = 30 * 86400.0
    owner: str = ""
    description: str = ""
    source: str = ""  # file and line, or "discovered"


class BurnTier(Struct, frozen=True):
    """A multi-window burn-rate alert (Site Reliability Workbook, chapter 5): fires when both windows burn faster than
    ``factor`` times the sustainable rate."""

    name: str
    factor: float
    long_seconds: float
    short_seconds: float
    pages: bool


STANDARD_TIERS: tuple[BurnTier, ...] = (
    BurnTier("fast", 14.4, 3600, 300, True),
    BurnTier("slow", 6.0, 6 * 3600, 1800, True),
    BurnTier("ticket", 1.0, 3 * 86400, 6 * 3600, False),
)
