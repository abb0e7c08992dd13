"""Saturation of connection pools: requests wait while every connection is in use.

A pool also runs full when what lies behind it is slow; so the clue is weak where calls to the database take several
times as long as usual, and strong where the connections are taken and the database is well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from midwatch.core.diagnose.blame import Blame, ratio_of
from midwatch.core.diagnose.case import Case
from midwatch.core.diagnose.clue import Clue, clue
from midwatch.model import faults, signals
from midwatch.model.entity import edge_key, kind_of

STRONG: Final = 4.0
WEAK: Final = 1.0
SLOW_FACTOR: Final = 3.0


def pools(case: Case, blame: Blame) -> Iterator[Clue]:
    for service in case.services:
        waiting = case.peak(service, signals.POOL_WAITING, case.bad)
        usual = case.level(service, signals.POOL_WAITING, case.normal)
        limit = case.peak(service, signals.POOL_LIMIT, case.bad)
        used = case.peak(service, signals.POOL_USED, case.bad)
        if not waiting >= 1 or waiting < 3 * (0 if np.isnan(usual) else usual) + 1:
            continue
        if limit > 0 and used < 0.5 * limit:  # per service sums: one instance's pool may be full alone
            continue
        behind = _slowest_store(case, service)
        weight = WEAK if behind >= SLOW_FACTOR else STRONG
        text = f"{waiting:.0f} waiting for a connection, {used:.0f} of {limit:.0f} in use"
        yield clue(
            service, faults.POOL_EXHAUSTED, weight, "saturation", text, value=waiting, baseline=usual, unit="requests"
        )


def _slowest_store(case: Case, service: str) -> float:
    """How many times as long as usual the service's calls to its databases and caches take (1 when unknown)."""
    worst = 1.0
    for callee in case.world.callees.get(service, ()):
        if kind_of(callee) not in ("database", "cache"):
            continue
        edge = edge_key(service, callee)
        now = case.per(edge, signals.CALL_MS, signals.CALLS, case.bad)
        before = case.per(edge, signals.CALL_MS, signals.CALLS, case.normal)
        if not np.isnan(now) and not np.isnan(before):
            worst = max(worst, ratio_of(now, before, 1.0))
    return worst


def waiting_in_front_of(case: Case, store: str) -> tuple[str, ...]:
    """Services whose pool runs full while they call ``store``: what a slow store explains besides itself."""
    return tuple(
        caller
        for caller in case.world.callers.get(store, ())
        if kind_of(caller) == "service" and case.peak(caller, signals.POOL_WAITING, case.bad) >= 1
    )
