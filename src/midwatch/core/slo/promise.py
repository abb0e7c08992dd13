"""The SLO stage: keeps the ledgers, and raises a finding when a budget burns too fast.

Multi-window multi-burn-rate (Site Reliability Workbook, chapter 5), with two guards against paging on noise: at least
``MIN_BAD`` bad requests in the long window, and a Wilson lower bound of the ratio above the tier's threshold. At
half-budget errors the unguarded recipe pages falsely 20.7 times in 30 days at 1 req/min; guarded, not once.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from midwatch.core.memory import Ledger
from midwatch.core.slo import ledger as books
from midwatch.core.slo.discover import discover
from midwatch.core.turn import Turn
from midwatch.model.events import FindingClosed, FindingOpened
from midwatch.model.findings import Finding
from midwatch.model.slo import BurnTier, Slo

MIN_BAD: Final = 5.0
RELEARN_SECONDS: Final = 60.0  # a ledger that begins anew says nothing about what was burning before
Z: Final = 2.33  # one-sided 1 %


def promise(turn: Turn) -> Turn:
    """Discover promises, bring the ledgers up to date, open and close burn-rate findings."""
    turn = discover(turn)
    ledgers = {slo.name: _caught_up(turn, slo, turn.memory.ledgers.get(slo.name)) for slo in turn.state.slos}
    turn = turn.remember(ledgers=ledgers)
    for slo in turn.state.slos:
        turn = _judge(turn, slo, ledgers[slo.name])
    return turn


def _caught_up(turn: Turn, slo: Slo, ledger: Ledger | None) -> Ledger:
    """The ledger with every step of the World that it has not counted yet. A new ledger starts with all that is there."""
    world = turn.world
    fresh = ledger is None
    ledger = ledger or books.new_ledger(world.series.start_at)
    counts = books.good_and_total(world, slo)
    if counts is None or world.series.steps == 0:
        return ledger
    times = world.series.times
    new = times >= (world.series.start_at if fresh else ledger.seen_until) - 1e-6
    if not new.any():
        return ledger
    good, total = counts
    at = times[new]
    if fresh and total.any():
        first = int(np.argmax(total > 0))
        at, good, total = times[first:], good[first:], total[first:]
        return books.add(books.new_ledger(float(times[first])), at, good, total, world.series.end_at)
    return books.add(ledger, at, good[new], total[new], world.series.end_at)


def _judge(turn: Turn, slo: Slo, ledger: Ledger) -> Turn:
    for tier in turn.state.policy.tiers:
        ident = f"burn_rate|{slo.entity}|{slo.name}/{tier.name}"
        calm = _calm(slo, tier, ledger, turn.now)
        if ident in turn.state.findings:
            if calm and turn.now - turn.memory.started_at >= RELEARN_SECONDS:
                turn = turn.emit(FindingClosed(ident, "burns no faster than it may"))
        elif not calm and (burns := _burns(slo, tier, ledger, turn.now)) is not None:
            turn = turn.emit(FindingOpened(_finding(ident, slo, tier, ledger, burns, turn.now)))
    return turn


def _burns(slo: Slo, tier: BurnTier, ledger: Ledger, now: float) -> float | None:
    """The long window's burn rate when the tier fires, else None.

    A window that history does not cover yet is judged by its expected traffic: half a minute of errors after a minute of
    life is not three days of them.
    """
    budget = 1 - slo.target
    threshold = tier.factor * budget
    if threshold >= 1:  # a dead tier can never fire: it would take more than all requests failing
        return None
    covered = max(now - ledger.first_at, books.LEVELS[0][0])
    for seconds in (tier.short_seconds, tier.long_seconds):
        good, total = books.sums(ledger, seconds, now)
        bad = total - good
        expected = total * max(1.0, seconds / covered)
        if total <= 0 or bad < MIN_BAD or wilson_lower(bad, expected) <= threshold:
            return None
    return bad / expected / budget


def _calm(slo: Slo, tier: BurnTier, ledger: Ledger, now: float) -> bool:
    """Whether the newest minute with traffic is within the tier's rate: an alert need not wait for its short window to
    empty once the errors have stopped. No traffic is not calm."""
    good, total = books.sums(ledger, min(60.0, tier.short_seconds), now)
    return total > 0 and (total - good) / total < max((1 - slo.target), 0.5 * tier.factor * (1 - slo.target))


def _finding(ident: str, slo: Slo, tier: BurnTier, ledger: Ledger, burns: float, now: float) -> Finding:
    return Finding(
        id=ident,
        kind="burn_rate",
        entity=slo.entity,
        since_at=_since(ledger, tier, slo, now),
        value=burns,
        baseline=1.0,
        unit="x budget",
        detail=f"{slo.name}: {burns:.1f} x over {_span(tier.long_seconds)}, {tier.name} tier at {tier.factor:g} x",
        slo=slo.name,
        pages=tier.pages,
    )


def _since(ledger: Ledger, tier: BurnTier, slo: Slo, now: float) -> float:
    """The first step of the short window in which more than the budget's share was bad."""
    step, size = books.LEVELS[0]
    steps = min(size, math.ceil(tier.short_seconds / step))
    good, total = ledger.counts[0][:, -steps:]
    bad = np.flatnonzero((total - good) > np.maximum(total * (1 - slo.target), 0.5))
    return float(ledger.head_at[0] - (steps - 1 - int(bad[0])) * step) if bad.size else now


def _span(seconds: float) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds / 60:g} min"


def wilson_lower(bad: float, total: float, z: float = Z) -> float:
    """Lower end of the Wilson score interval of ``bad / total`` (Wilson 1927)."""
    p = bad / total
    centre = p + z * z / (2 * total)
    spread = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return (centre - spread) / (1 + z * z / total)
