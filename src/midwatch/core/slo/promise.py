"""The SLO stage: keeps the ledgers, and raises a finding when a budget burns too fast (``alerts.py``)."""

from __future__ import annotations

import numpy as np

from midwatch.core.memory import Ledger
from midwatch.core.slo import ledger as books
from midwatch.core.slo.alerts import judge
from midwatch.core.slo.discover import discover
from midwatch.core.slo.wake import wake
from midwatch.core.turn import Turn
from midwatch.model.slo import Slo


def promise(turn: Turn) -> Turn:
    """Discover promises, bring the ledgers up to date, open and close burn-rate findings."""
    turn = discover(turn)
    ledgers = {slo.name: _caught_up(turn, slo, turn.memory.ledgers.get(slo.name)) for slo in turn.state.slos}
    turn = turn.remember(ledgers=ledgers)
    return wake(judge(turn))


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
