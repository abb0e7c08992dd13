"""Settle the accounts between a caller and those it calls, where the books say the callee and the cause is the caller.

Seen from a starved caller every database looks slow: its clients wait for the CPU, not for the answer. When one caller of
many sees a store slow and that caller's own work slowed down too, the store's excess time is the caller's. And a caller that
loses its calls to two or more callees, each of which answers everybody else, loses them itself: a time-out that is too
short, a broken client, its own network. One callee alone could as well be the way between the two.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from midwatch.core.diagnose.blame import Blame, ratio_of
from midwatch.core.diagnose.calls import lost_by
from midwatch.core.diagnose.case import Case
from midwatch.model import signals
from midwatch.model.entity import edge_key, kind_of

SLOW_FACTOR: Final = 3.0
MIN_CALLERS: Final = 3
MATCHING: Final = 3.0


def settle(case: Case, blame: Blame) -> Blame:
    """``blame`` with what belongs to a starved caller, or to one that loses its own calls, moved to it."""
    return _lost_calls(case, _starved(case, blame))


def _lost_calls(case: Case, blame: Blame) -> Blame:
    share, errors = dict(blame.share), dict(blame.errors)
    for caller in case.services:
        mine = lost_by(case, caller)
        if len(mine) < 2:
            continue
        for callee, amount in mine.items():
            part = min(1.0, amount / errors[callee]) if errors.get(callee, 0.0) > 0 else 0.0
            for book in (share, errors):
                moved = part * book.get(callee, 0.0)
                book[callee] = book.get(callee, 0.0) - moved
                book[caller] = book.get(caller, 0.0) + moved
    return replace(blame, share=share, errors=errors)


def _starved(case: Case, blame: Blame) -> Blame:
    share, time_ms = dict(blame.share), dict(blame.time_ms)
    for store in [entity for entity in share if kind_of(entity) in ("database", "cache")]:
        caller = starved_caller(case, store)
        if caller is not None:
            share[caller] = share.get(caller, 0.0) + share.pop(store)
            time_ms[caller] = time_ms.get(caller, 0.0) + time_ms.pop(store, 0.0)
    return replace(blame, share=share, time_ms=time_ms)


def starved_caller(case: Case, store: str) -> str | None:
    """The one caller for which a store of several callers is slow, and which is slow at its own work to match: a process
    that gets a tenth of the CPU does everything in ten times the time. One that merely waits for a slow statement, and
    then for a connection to ask it with, has a store that slowed down far more than itself."""
    busy = [
        caller
        for caller in case.world.callers.get(store, ())
        if kind_of(caller) == "service" and case.sum(edge_key(caller, store), signals.CALLS, case.bad) >= 5
    ]
    slow = slow_callers(case, store)
    if len(slow) != 1 or len(busy) < MIN_CALLERS:
        return None
    if case.level(slow[0], signals.CPU_THROTTLED_RATIO, case.bad) > 0.1:
        return slow[0]
    own = case.per(slow[0], signals.SELF_MS, signals.REQUESTS, case.bad)
    usual = case.per(slow[0], signals.SELF_MS, signals.REQUESTS, case.normal)
    slower = MATCHING * ratio_of(own, usual, 1.0) >= _factor(case, slow[0], store)
    return slow[0] if own > 2 * usual + 2 and slower else None


def _factor(case: Case, caller: str, store: str) -> float:
    """How many times longer than usual the caller waits for the store; NaN when that cannot be said."""
    edge = edge_key(caller, store)
    now = case.per(edge, signals.CALL_MS, signals.CALLS, case.bad)
    before = case.per(edge, signals.CALL_MS, signals.CALLS, case.normal)
    return math.nan if math.isnan(before) else ratio_of(now, before, 1.0)


def slow_callers(case: Case, store: str) -> list[str]:
    callers = [caller for caller in case.world.callers.get(store, ()) if kind_of(caller) == "service"]
    return [caller for caller in callers if _factor(case, caller, store) >= SLOW_FACTOR]
