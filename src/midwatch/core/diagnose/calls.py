"""Calls that are lost between two ends, and whose fault that is.

A call can break without an answer because of the callee, of the way, or of the caller: a time-out that is too short, an
upstream that does not exist. The callee is out when it is well by its own account, or when everybody else gets answers
from it.
"""

from __future__ import annotations

import math
from typing import Final

from midwatch.core.diagnose.blame import Blame
from midwatch.core.diagnose.case import Case
from midwatch.model import signals
from midwatch.model.entity import edge_key, kind_of, split_edge

MIN_CALLS: Final = 5.0
MIN_LOST: Final = 3.0
MIN_LOST_RATIO: Final = 0.02


def well(case: Case, subject: str) -> bool:
    """Whether a service or instance is heard, takes no longer and fails no more than usual by its own account (its server
    spans, and not what its callers waited)."""
    now = case.per(subject, signals.TIME_MS, signals.REQUESTS, case.bad)
    before = case.per(subject, signals.TIME_MS, signals.REQUESTS, case.normal)
    failing = case.per(subject, signals.ERRORS, signals.REQUESTS, case.bad)
    return now <= 2 * before + 10 and failing < 0.05


def answers(case: Case, callee: str) -> bool:
    """Whether the callee still serves what reaches it, as fast as usual by its own account."""
    served = case.sum(callee, signals.REQUESTS, case.bad)
    if served < MIN_CALLS or case.sum(callee, signals.RESTARTS, case.bad) >= 1:
        return False
    return well(case, callee)


def lost(case: Case, edge: str) -> float:
    """Calls more than usual that broke without an answer (to a store, which sends no spans: that failed); 0 when they
    are too few to say."""
    _, callee = split_edge(edge)
    signal = signals.UNANSWERED_ERRORS if kind_of(callee) == "service" else signals.CALL_ERRORS
    amount = case.excess(edge, signal)
    return amount if amount >= MIN_LOST and amount > MIN_LOST_RATIO * case.sum(edge, signals.CALLS, case.bad) else 0.0


def lost_by(case: Case, caller: str) -> dict[str, float]:
    """Callee -> calls lost, of those callees that lose this caller's calls and nobody else's, and are well themselves."""
    found: dict[str, float] = {}
    for callee in case.world.callees.get(caller, ()):
        amount = lost(case, edge_key(caller, callee))
        if amount <= 0:
            continue
        others = [
            edge_key(other, callee)
            for other in case.world.callers.get(callee, ())
            if other != caller and kind_of(other) == "service"
            and case.sum(edge_key(other, callee), signals.CALLS, case.bad) >= MIN_CALLS
        ]  # fmt: skip
        if any(lost(case, edge) > 0 for edge in others):
            continue
        if others or answers(case, callee):
            found[callee] = amount
    return found


def way_ms(case: Case, edge: str, which: slice) -> float:
    """Mean ms per answered call that neither end accounts for."""
    answered = case.sum(edge, signals.ANSWERED, which)
    if answered < MIN_CALLS:
        return math.nan
    calls = case.sum(edge, signals.CALLS, which)
    client = case.sum(edge, signals.CALL_MS, which) / max(calls, 1.0)
    return max(0.0, client - case.sum(edge, signals.SERVER_MS, which) / answered)


def way_share(case: Case, blame: Blame, edge: str) -> float:
    """The share of the harm that was booked on the caller, because what neither end accounts for is its waiting."""
    caller, _ = split_edge(edge)
    gap, before = way_ms(case, edge, case.bad), way_ms(case, edge, case.normal)
    waited = (gap - before) * case.sum(edge, signals.CALLS, case.bad) if gap > before else 0.0
    own = blame.time_ms.get(caller, 0.0)
    moved_time = min(1.0, waited / own) if own > 0 else 0.0
    lost = case.excess(edge, signals.UNANSWERED_ERRORS)
    moved_errors = min(1.0, lost / blame.errors[caller]) if blame.errors.get(caller, 0.0) > 0 and lost > 0 else 0.0
    return blame.of(caller) * max(moved_time, moved_errors)
