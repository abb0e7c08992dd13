"""Databases and caches: locks, slow statements, full disks, a cache that is gone.

A shared store that is slow for one caller only, in everything it asks, is not slow: its caller is starved. A store that
is slow in one statement is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from midwatch.core.diagnose.blame import Blame
from midwatch.core.diagnose.case import Case
from midwatch.core.diagnose.clue import Clue, clue
from midwatch.core.diagnose.evidence.pools import waiting_in_front_of
from midwatch.core.diagnose.settle import SLOW_FACTOR, slow_callers, starved_caller
from midwatch.model import faults, signals
from midwatch.model.entity import edge_key, kind_of, name_of

MIN_SLOW_MS: Final = 5.0
FULL: Final = 0.95


def stores(case: Case, blame: Blame) -> Iterator[Clue]:
    for entity in case.world.entities:
        if kind_of(entity) == "database":
            yield from _locks(case, blame, entity)
            yield from _disk(case, blame, entity)
            yield from _statements(case, blame, entity)
            yield from _gone(case, blame, entity, faults.DATABASE_DOWN)
        elif kind_of(entity) == "cache":
            yield from _gone(case, blame, entity, faults.CACHE_DOWN)
            yield from _cache(case, blame, entity)


def explained(blame: Blame, case: Case, store: str) -> float:
    """Blame of the store and of the services whose pools run full in front of it."""
    return min(1.0, blame.of(store) + sum(blame.of(s) for s in waiting_in_front_of(case, store)))


def _delayed(case: Case, blame: Blame, database: str, callers: list[str]) -> float:
    """What a slow statement explains: the store, the pools in front of it, and the callers that wait for it (whose own
    timeouts look like their errors), unless the caller is the one that is slow."""
    if starved_caller(case, database) is not None:
        return explained(blame, case, database)
    waiting = set(waiting_in_front_of(case, database)) | set(callers)
    return min(1.0, blame.of(database) + sum(blame.of(service) for service in waiting))


def _locks(case: Case, blame: Blame, database: str) -> Iterator[Clue]:
    blocked = case.peak(database, signals.SESSIONS_BLOCKED, case.bad)
    before = case.level(database, signals.SESSIONS_BLOCKED, case.normal)
    usual = 0.0 if math.isnan(before) else before
    if blocked >= 1 and blocked >= 3 * usual + 1:
        text = f"{blocked:.0f} sessions of {name_of(database)} wait for a lock"
        share = explained(blame, case, database)
        yield clue(
            database, faults.LOCK_CONTENTION, 4.5, "saturation", text, value=blocked, baseline=usual, unit="sessions",
            share=share,
        )  # fmt: skip


def _disk(case: Case, blame: Blame, database: str) -> Iterator[Clue]:
    used = case.peak(database, signals.DISK_RATIO, case.bad)
    before = case.level(database, signals.DISK_RATIO, case.normal)
    if used >= FULL:
        text = f"the disk of {name_of(database)} is {used:.0%} full" + (
            "" if math.isnan(before) else f", {before:.0%} before"
        )
        yield clue(
            database, faults.DISK_FULL, 4.5, "saturation", text, value=used, baseline=before, unit="ratio",
            share=explained(blame, case, database) + 0.2,
        )  # fmt: skip


def _statements(case: Case, blame: Blame, database: str) -> Iterator[Clue]:
    """One statement takes several times as long as before, for whoever asks it, while the others take as long as usual."""
    prefix = f"endpoint:{name_of(database)}/"
    slow: list[tuple[float, str, float, float]] = []
    well = 0
    for statement in case.world.series.index.subjects_by_signal.get(signals.TIME_MS, ()):
        if not statement.startswith(prefix):
            continue
        now = case.per(statement, signals.TIME_MS, signals.REQUESTS, case.bad)
        before = case.per(statement, signals.TIME_MS, signals.REQUESTS, case.normal)
        count = case.sum(statement, signals.REQUESTS, case.bad)
        if math.isnan(now) or math.isnan(before) or count < 3:
            continue
        if now >= SLOW_FACTOR * max(before, 1.0) and now - before >= MIN_SLOW_MS:
            slow.append(((now - before) * count, statement, now, before))
        else:
            well += 1
    if not slow or blame.of(database) < 0.02:
        return
    lost, statement, now, before = max(slow)
    alone = lost / sum(s[0] for s in slow)
    callers = slow_callers(case, database)
    # Everything slow for one caller only: that caller is starved, not the database.
    weight = 3.0 if alone >= 0.7 and well >= 1 else 1.0
    if len(callers) == 1 and len(slow) > 1 and well == 0:
        weight = -1.0
    blocked = case.peak(database, signals.SESSIONS_BLOCKED, case.bad)
    if blocked >= 1:
        weight = min(weight, 0.5)
    name = statement.removeprefix(prefix)
    text = f"{name} takes {now:.0f} ms, {before:.1f} ms before; {well} other statements take as long as usual"
    yield clue(
        database, faults.SLOW_QUERY, weight, "blame_time", text, value=now, baseline=before, unit="ms",
        share=_delayed(case, blame, database, callers), scope={"statement": name}, seen_at=statement,
    )  # fmt: skip


def _gone(case: Case, blame: Blame, store: str, kind: str) -> Iterator[Clue]:
    """Calls of several services to the store fail."""
    failing: list[tuple[str, float]] = []
    callers = [c for c in case.world.callers.get(store, ()) if kind_of(c) == "service"]
    for caller in callers:
        edge = edge_key(caller, store)
        calls, errors = case.sum(edge, signals.CALLS, case.bad), case.excess(edge, signals.CALL_ERRORS)
        if calls >= 3 and errors >= 3 and errors > 0.3 * calls:
            failing.append((caller, errors / calls))
    up = case.values(store, signals.UP, case.bad)
    down = bool(up.size and np.isfinite(up).any() and np.nanmin(up) == 0)
    if not failing and not down:
        return
    everybody = len(failing) == len(callers) and bool(callers)
    weight = (3.0 if everybody else 1.5) * bool(failing) + (2.5 if down else 0.0)
    text = f"calls to {name_of(store)} fail for {len(failing)} of {len(callers)} callers" + (
        "; it does not answer its monitor" if down else ""
    )
    yield clue(
        store, kind, weight, "blame_errors", text, value=float(len(failing)), unit="count",
        share=max(explained(blame, case, store), 0.6 if down or everybody else 0.0),
    )  # fmt: skip


def _cache(case: Case, blame: Blame, cache: str) -> Iterator[Clue]:
    """The hit ratio collapsed: whoever asked the cache now asks what lies behind it."""
    ratio = {}
    for which, window in (("bad", case.bad), ("normal", case.normal)):
        hits, misses = case.sum(cache, signals.CACHE_HITS, window), case.sum(cache, signals.CACHE_MISSES, window)
        ratio[which] = hits / (hits + misses) if hits + misses >= 10 else math.nan
    before, now = ratio["normal"], ratio["bad"]
    slow = slow_callers(case, cache)
    quiet = case.sum(cache, signals.CACHE_HITS, case.normal) > 50 and math.isnan(now)
    if not math.isnan(before) and before > 0.2 and (quiet or now < 0.5 * before):
        text = f"the hit ratio of {name_of(cache)} fell from {before:.0%} to {0 if quiet else now:.0%}"
        yield clue(
            cache, faults.CACHE_DOWN, 2.5, "saturation", text, value=0.0 if quiet else now, baseline=before, unit="ratio",
            share=max(0.5, explained(blame, case, cache)),
        )  # fmt: skip
    if slow and len(slow) == len([c for c in case.world.callers.get(cache, ()) if kind_of(c) == "service"]):
        text = f"every caller waits longer for {name_of(cache)} ({len(slow)} of them)"
        yield clue(
            cache, faults.CACHE_DOWN, 2.0, "blame_time", text, value=float(len(slow)), unit="count",
            share=explained(blame, case, cache) + 0.2,
        )  # fmt: skip
