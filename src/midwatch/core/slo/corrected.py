"""A ledger as corrections leave it, for whoever judges the last hours: what was left out or given back cannot wake anybody.

Budgets keep what a correction took by value (``adjust.py``), because rings forget; alerts look back three days, which rings
hold, and need the columns themselves. A column that a window's end cuts loses what finer rings say was inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from midwatch.core.memory import Ledger
from midwatch.core.slo import ledger as books
from midwatch.core.slo.adjust import left_of
from midwatch.model.adjustments import Adjustment

Piece = tuple[str, float, float]
"""Kind of correction, begin and end (unix seconds). Pieces do not overlap."""


def touching(adjustments: Iterable[Adjustment], slo: str, since: float, until: float) -> tuple[Adjustment, ...]:
    """Those of ``slo`` that reach into [since, until)."""
    return tuple(one for one in adjustments if one.applies_to(slo) and one.until_at > since and one.since_at < until)


def pieces(adjustments: Sequence[Adjustment]) -> list[Piece]:
    """What each correction has for itself: where two overlap, the earlier one has the overlap."""
    found: list[Piece] = []
    before: list[tuple[float, float]] = []
    for one in adjustments:
        window = (one.since_at, one.until_at)
        found += [(one.kind, since, until) for since, until in left_of(window, before)]
        before.append(window)
    return found


def corrected(ledger: Ledger, adjustments: Sequence[Adjustment]) -> Ledger:
    """``ledger`` without what was left out, and with what was given back as good."""
    return _corrected(ledger, pieces(adjustments)) if adjustments else ledger


def left_out_seconds(adjustments: Sequence[Adjustment], since: float, until: float) -> float:
    """How much of [since, until) does not count."""
    found = pieces(adjustments)
    return sum(max(0.0, min(until, b) - max(since, a)) for kind, a, b in found if kind == "exclude")


def why(one: Adjustment) -> str:
    """``left out: migration, by anna until 2026-10-01 12:00 UTC``."""
    what = "left out" if one.kind == "exclude" else "given back"
    return f"{what}: {one.reason}, by {one.by} until {datetime.fromtimestamp(one.until_at, UTC):%Y-%m-%d %H:%M} UTC"


def _corrected(ledger: Ledger, found: Sequence[Piece]) -> Ledger:
    if ledger.rule:
        return books.compose(ledger.rule, [(_corrected(part, found), weight) for part, weight in ledger.parts])
    rings = []
    for (step, size), head, ring in zip(ledger.levels, ledger.head_at, ledger.counts, strict=True):
        begins = head - step * np.arange(size - 1, -1, -1, dtype=np.float64)
        changed = ring
        for kind, since, until in found:
            if since >= head + step or until <= begins[0]:
                continue
            whole = (begins >= since) & (begins + step <= until)
            gone = ring * whole
            for column in np.flatnonzero((begins < until) & (begins + step > since) & ~whole).tolist():
                begin = float(begins[column])
                inside = books.between(ledger, max(begin, since), min(begin + step, until))
                gone[:, column] = np.minimum(inside, ring[:, column])
            changed = changed - gone if kind == "exclude" else changed + np.stack([gone[1] - gone[0], np.zeros(size)])
        rings.append(np.maximum(changed, 0.0) if changed is not ring else ring)
    return replace(ledger, counts=tuple(rings))
