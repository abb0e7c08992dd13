"""The nouns of a monthly report (``report.py``): what was counted of a promise, and what a day and a month came to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from midwatch.core.memory import Ledger
from midwatch.core.slo import ledger as books
from midwatch.core.slo.burndown import BurnDown
from midwatch.core.slo.ledger import Steps
from midwatch.model.findings import Incident
from midwatch.model.slo import Slo
from midwatch.model.world import Change, Floats


@dataclass(frozen=True)
class Correction:
    """One adjustment of a budget, in numbers: ``good`` and ``total`` are what it adds to the counts (below zero: takes
    away) of [since_at, until_at)."""

    kind: str
    since_at: float
    until_at: float
    good: float
    total: float
    by: str
    reason: str


@dataclass(frozen=True)
class Account:
    """What was counted for one promise, in the unit of its budget (events, or slices): ``good[i]`` of ``total[i]`` in the
    step of ``step_seconds`` that begins at ``at[i]`` (unix seconds, ascending), shape (n,) each. Everything in
    [first_at, seen_until) was looked at; a step that is missing had no events. ``gap`` says why nothing was read since.
    ``key`` names one group of a promise that has groups; empty: the promise's own name. Where there is a ``ledger``, its
    windows are read in the arrays' place, which are then empty: what a composite's steps say depends on the window."""

    slo: Slo
    at: Floats
    good: Floats
    total: Floats
    step_seconds: float
    first_at: float
    seen_until: float
    gap: str = ""
    corrections: tuple[Correction, ...] = ()
    key: str = ""
    ledger: Ledger | None = None

    def steps(self, since: float, until: float) -> Steps:
        """The steps that begin in [since, until)."""
        if self.ledger is not None:
            return books.steps(self.ledger, since, until)
        inside = (self.at >= since) & (self.at < until)
        return Steps(self.at[inside], self.good[inside], self.total[inside], self.step_seconds)

    def per_second(self, since: float, until: float) -> float:
        """The mean rate of events in [since, until)."""
        found = self.steps(since, until).total if self.ledger is None else books.between(self.ledger, since, until)[1]
        return float(np.sum(found)) / max(until - since, 1.0)


@dataclass(frozen=True)
class Day:
    """One local day: ``good`` of ``total``, and the share of the month's budget that went, corrections included (None: no
    budget known).
    ``seen`` is False where nobody looked for any part of it."""

    start_at: float
    date: str
    good: float
    total: float
    spent: float | None
    seen: bool

    @property
    def bad(self) -> float:
        return self.total - self.good


@dataclass(frozen=True)
class Month:
    """Sums of a month for one promise, corrections included. ``standing``: no data, no traffic, no errors, kept, missed.
    ``sli`` and ``spent`` (shares, 0..1 and above) are None where they are not known. ``allowed`` is the budget in events
    of the whole month; ``covered_seconds`` how much of the month was looked at, ``whole`` whether that is all of it."""

    good: float
    total: float
    sli: float | None
    allowed: float | None
    spent: float | None
    standing: str
    covered_seconds: float
    whole: bool

    @property
    def bad(self) -> float:
        return self.total - self.good


@dataclass(frozen=True)
class Kept:
    """One promise (or one group of it) in the month, under its ``name``. ``raw`` is without corrections. ``before`` is the
    month before, None when nothing is known of it. ``way`` is how the budget went, None when there is none. ``unknown``
    are sentences."""

    slo: Slo
    name: str
    month: Month
    raw: Month
    before: Month | None
    way: BurnDown | None
    days: tuple[Day, ...]
    worst: tuple[Day, ...]
    incidents: tuple[Incident, ...]
    changes: tuple[Change, ...]
    corrections: tuple[Correction, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class MonthReport:
    """``month`` as ``2026-10``, [start_at, end_at) in unix seconds, ``promises`` the missed ones first. ``incidents`` and
    ``changes`` are those of the month, of all promises."""

    month: str
    time_zone: str
    start_at: float
    end_at: float
    made_at: float
    promises: tuple[Kept, ...]
    incidents: tuple[Incident, ...]
    changes: tuple[Change, ...]

    @property
    def over(self) -> bool:
        return self.made_at >= self.end_at

    def count(self, *standings: str) -> int:
        return sum(kept.month.standing in standings for kept in self.promises)
