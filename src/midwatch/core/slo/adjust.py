"""Corrections of a budget: what was counted in a window does not count, or counts as good.

A correction never touches the ledgers. It keeps the numbers of its window by value once that is over, and what the budget
makes of them is derived anew each time. Where the windows of two corrections overlap, the earlier one has the overlap:
nothing is taken away twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from midwatch.core.memory import Ledger
from midwatch.core.slo import ledger as books
from midwatch.core.turn import Turn
from midwatch.model.adjustments import Adjustment
from midwatch.model.events import AdjustmentCounted

SETTLE_SECONDS = 120.0  # after the window: what is late or still being read belongs to it
WAIT_SECONDS = 86_400.0  # for a ledger that has not seen the window's end (its source is down): no longer than this

Span = tuple[float, float]


class Correction(Struct, frozen=True):
    """What is to be added to the counts; below zero takes away."""

    good: float = 0.0
    total: float = 0.0


def correction(
    adjustments: Iterable[Adjustment], slo: str, key: str, ledger: Ledger, since: float, until: float
) -> Correction:
    """What all adjustments together change in the counts of [since, until) of one ledger. A window that a boundary cuts
    counts by its share of time, as far as it is kept by value."""
    good = total = 0.0
    before: list[Span] = []
    for one in adjustments:
        if not one.applies_to(slo):
            continue
        inside = min(until, one.until_at) - max(since, one.since_at)
        if inside > 0:
            if one.counted:
                share = min(1.0, inside / (one.until_at - one.since_at))
                was_good, was_total = (share * n for n in one.counts.get(key, (0.0, 0.0)))
            else:
                window = (max(since, one.since_at), min(until, one.until_at))
                was_good, was_total = _counted(ledger, left_of(window, before))
            if one.kind == "exclude":
                good, total = good - was_good, total - was_total
            else:
                good += was_total - was_good
        before.append((one.since_at, one.until_at))
    return Correction(good, total)


def count_adjustments(turn: Turn) -> Turn:
    """Keep by value what the windows that are over held: one AdjustmentCounted each, once every promise has seen all of the
    window."""
    for one in turn.state.adjustments:
        if one.counted or one.withdrawn_by or (one.until_at + SETTLE_SECONDS > turn.now and one.until_at > one.said_at):
            continue
        if turn.now < max(one.until_at, one.said_at) + WAIT_SECONDS and not _all_seen(turn, one):
            continue
        counts = {}
        for key, ledger in turn.memory.ledgers.items():
            name = key.partition("{")[0]
            if not one.applies_to(name):
                continue
            earlier = [
                (a.since_at, a.until_at)
                for a in turn.state.adjustments[: turn.state.adjustments.index(one)]
                if a.applies_to(name)
            ]
            found = _counted(ledger, left_of((one.since_at, one.until_at), earlier))
            if found[1] > 0:
                counts[key] = found
        turn = turn.emit(AdjustmentCounted(one.id, counts))
    return turn


def _all_seen(turn: Turn, one: Adjustment) -> bool:
    """Whether each promise's ledger has seen the window's end (that of all its groups together: a group that is gone is
    never seen again). One without a ledger may still be read back: from a source, or by a watch that has begun since."""
    for slo in turn.state.slos:
        if one.applies_to(slo.name):
            ledger = turn.memory.ledgers.get(slo.name)
            if ledger is None and (slo.sli == "source" or turn.memory.started_at > one.until_at):
                return False
            if ledger is not None and ledger.seen_until < one.until_at:
                return False
    return True


def left_of(window: Span, taken: Sequence[Span]) -> list[Span]:
    """The parts of ``window`` that none of ``taken`` covers, in order."""
    found = []
    at = window[0]
    for since, until in sorted(taken):
        if until <= at or since >= window[1]:
            continue
        if since > at:
            found.append((at, since))
        at = max(at, until)
    if at < window[1]:
        found.append((at, window[1]))
    return found


def _counted(ledger: Ledger, spans: Iterable[Span]) -> tuple[float, float]:
    found = [books.between(ledger, since, until) for since, until in spans]
    return sum(g for g, _ in found), sum(t for _, t in found)
