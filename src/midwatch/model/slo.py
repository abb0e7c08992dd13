"""Promises: what an SLO is once it has been read (OpenSLO, Sloth or Pyrra files, or discovered from telemetry)."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from midwatch.model.indicators import Alerting, Calendar, Indicator, Slices


class BurnTier(Struct, frozen=True):
    """A multi-window burn-rate alert (Site Reliability Workbook, chapter 5): fires when both windows burn faster than
    ``factor`` times the sustainable rate."""

    name: str
    factor: float
    long_seconds: float
    short_seconds: float
    pages: bool


class Slo(Struct, frozen=True):
    """One objective on one entity.

    What midwatch counts itself: ``sli`` is ``ratio`` (requests without error), ``latency`` (requests faster than
    ``threshold_ms``) or ``freshness``. What a source counts: ``sli`` is ``source``, and ``indicator`` says how. Either way a
    budget is good/total counts, so any window is a sum. ``target`` is 0..1, ``period_seconds`` a rolling window, or
    the longest that ``calendar`` can be.
    """

    name: str
    entity: str
    sli: Literal["ratio", "latency", "freshness", "source"]
    target: float
    threshold_ms: float = 0.0  # latency: the bound; freshness: the oldest allowed message in ms
    period_seconds: float = 30 * 86400.0
    owner: str = ""
    description: str = ""
    source: str = ""  # file and line, or "discovered"
    service: str = ""
    indicator: Indicator | None = None
    calendar: Calendar | None = None  # None: the window rolls
    slices: Slices | None = None  # None: every event counts alike (OpenSLO Occurrences)
    group_by: tuple[str, ...] = ()  # labels: one budget for each of their values
    max_groups: int = 100  # at the bound the rest is counted together, and said
    tiers: tuple[BurnTier, ...] | None = None  # None: the policy's, scaled to the period
    alerting: Alerting | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    data_source: str = ""  # which source of the settings; empty: the only one


class AlertRules(Struct, frozen=True):
    """How tiers are judged (``core/slo/alerts.py``).

    A tier fires only with ``min_failures`` bad events in its long window; one that writes a ticket also needs the ratio to
    lie above the threshold by ``ticket_z`` standard errors (0: off). ``outage``: a run of failures pages by itself, long
    before a window fills. ``for_seconds``: a condition must last so long. ``interval_seconds``: how often rules are
    looked at in back-tests and formulas (the running watch looks at every tick). ``wake``: the sequential test may open
    a diagnosis.
    """

    min_failures: float = 5.0
    ticket_z: float = 2.33  # one-sided 1 %
    outage: bool = True
    for_seconds: float = 0.0
    interval_seconds: float = 60.0
    wake: bool = True


STANDARD_TIERS: tuple[BurnTier, ...] = (
    BurnTier("fast", 14.4, 3600, 300, True),
    BurnTier("slow", 6.0, 6 * 3600, 1800, True),
    BurnTier("day", 3.0, 86400, 2 * 3600, False),
    BurnTier("ticket", 1.0, 3 * 86400, 6 * 3600, False),
)
"""The four of the Site Reliability Workbook, chapter 5, for a period of 30 days: 2, 5, 10 and 10 % of the budget."""
