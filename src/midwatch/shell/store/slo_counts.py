"""What the ledgers counted, kept longer than the telemetry they counted: 400 days against the 7 of spans.

Two kinds of rows: steps of five minutes, and of an hour for what lies further back, so that a budget of 30 days reads about
1,500 rows of one promise and not 8,640. A row holds all that is known of its step: writing it again replaces it.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from midwatch.model import signals
from midwatch.model.world import Floats

if TYPE_CHECKING:
    from midwatch.shell.store.store import Store

FINE: Final = 300
COARSE: Final = 3600
FINE_SECONDS: Final = (
    3 * 86400.0 - 2 * COARSE
)  # what is read at five minutes: as much as the ledger's ring of them holds
KEYS_AT_ONCE: Final = 2000  # one answer stays far below the bound of its size
# What the primary key cuts by; a day more for tables from when days were those of the machine's zone.
_DAYS: Final = "toDate(at) >= toDate(toDateTime({oldest:UInt32}, 'UTC')) - 1"
_NAME: Final = "splitByChar('{', toString(key))[1]"  # of the promise that a ledger's key belongs to


@dataclass(frozen=True)
class Rows:
    """Counts of one ledger: ``at`` (unix seconds, ascending), ``good``, ``total``, shape (n,) each; ``step`` how long each
    is; everything before ``seen_until`` is in them."""

    at: Floats
    good: Floats
    total: Floats
    step: Floats
    seen_until: float


def row(key: str, step: int, at: float, good: float, total: float, seen_until: float) -> tuple[Any, ...]:
    return key, step, int(at), good, total, round(seen_until * 1e3)


def recent_since(now: float) -> float:
    """From where on five-minute rows are read: a whole hour, so that no step lies on both sides."""
    return math.ceil((now - FINE_SECONDS) / COARSE) * COARSE


async def read_rows(
    store: Store, since_at: float, now: float, *, longer: Mapping[str, float] | None = None, exact: Sequence[str] = ()
) -> dict[str, Rows]:
    """Every ledger's counts (``read_parts``) at once. Raises StoreError."""
    found: dict[str, Rows] = {}
    async for part in read_parts(store, since_at, now, longer=longer, exact=exact):
        found |= part
    return found


async def read_parts(
    store: Store, since_at: float, now: float, *, longer: Mapping[str, float] | None = None, exact: Sequence[str] = ()
) -> AsyncIterator[dict[str, Rows]]:
    """Every ledger's counts since ``since_at`` (``longer``: since an earlier moment, for some promises), five-minute rows
    for the last three days and hours before; ``exact`` promises get five-minute rows throughout. Raises StoreError.

    One question, or one per 2,000 ledgers: a part of them with each."""
    longer = dict(longer or {})
    recent = recent_since(now)
    oldest = min([since_at, *longer.values()])
    sql = f"""
        SELECT CAST(k, 'String') AS name, groupArray(moment) AS ats, groupArray(good) AS goods, groupArray(total) AS totals,
               groupArray(step) AS steps, max(toUnixTimestamp64Milli(seen)) / 1000 AS seen_until
        FROM (
            SELECT key AS k, toUInt64(toUnixTimestamp(at)) AS moment, good, total, step, seen
            FROM {store.database}.slo_counts FINAL
            WHERE {_DAYS} AND at >= {{oldest:UInt32}}
              AND ((step = {FINE} AND (at >= {{recent:UInt32}} OR {_NAME} IN {{exact:Array(String)}}))
                OR (step = {COARSE} AND at < {{recent:UInt32}} AND {_NAME} NOT IN {{exact:Array(String)}}))
              AND (at >= {{since:UInt32}} OR {_NAME} IN {{longer:Array(String)}})
              AND cityHash64(key) % {{parts:UInt32}} = {{part:UInt32}}
            ORDER BY k, moment
        )
        GROUP BY k
        SETTINGS do_not_merge_across_partitions_select_final = 1"""
    given = {
        "oldest": max(0, math.floor(oldest)), "since": max(0, math.floor(since_at)), "recent": recent,
        "exact": list(exact), "longer": list(longer),
    }  # fmt: skip
    parts = max(1, math.ceil(await _keys(store, oldest) / KEYS_AT_ONCE))
    for part in range(parts):
        found: dict[str, Rows] = {}
        for block in await store.blocks(sql, given | {"parts": parts, "part": part}):
            for n, key in enumerate(block["name"]):
                at, good, total = (np.asarray(block[c][n], np.float64) for c in ("ats", "goods", "totals"))
                step, keep = (
                    np.asarray(block["steps"][n], np.float64),
                    at >= longer.get(key.partition("{")[0], since_at),
                )
                found[key] = Rows(at[keep], good[keep], total[keep], step[keep], float(block["seen_until"][n]))
        yield found


async def _keys(store: Store, oldest: float) -> int:
    sql = (
        f"SELECT uniqExact(key) AS n FROM {store.database}.slo_counts WHERE step = {COARSE} AND at >= {{oldest:UInt32}}"
    )
    rows = await store.query(sql, {"oldest": max(0, math.floor(oldest))})
    return int(rows[0]["n"]) if rows else 0


async def read_sums(store: Store, begins: Sequence[float], now: float) -> dict[str, Floats]:
    """Good and total of [begin, now) for each of ``begins``, shape (begins, 2), per ledger: budgets and burn rates of all
    promises by one question that reads sums and no rows. Begins within the last three days are exact to five minutes,
    earlier ones to the hour. Raises StoreError."""
    recent = recent_since(now)
    cuts = ", ".join(
        f"sumIf(good, at >= {max(0, math.floor(begin))}), sumIf(total, at >= {max(0, math.floor(begin))})"
        for begin in begins
    )
    sql = f"""
        SELECT CAST(key, 'String') AS name, [{cuts}] AS sums FROM {store.database}.slo_counts FINAL
        WHERE {_DAYS} AND at >= {{oldest:UInt32}} AND at < {{now:UInt32}}
          AND ((step = {FINE} AND at >= {{recent:UInt32}}) OR (step = {COARSE} AND at < {{recent:UInt32}}))
        GROUP BY key
        SETTINGS do_not_merge_across_partitions_select_final = 1"""
    oldest = max(0, math.floor(min(begins) / FINE) * FINE)
    blocks = await store.blocks(sql, {"oldest": oldest, "recent": recent, "now": math.ceil(now)})
    return {
        key: np.asarray(sums, np.float64).reshape(-1, 2)
        for block in blocks
        for key, sums in zip(block["name"], block["sums"], strict=True)
    }


@dataclass(frozen=True)
class Requests:
    """Requests of one service per step: ``at`` (unix seconds, ascending), ``total`` and ``failed``, shape (n,); ``within``
    those within each of the asked latency bounds, shape (n, bounds)."""

    at: Floats
    total: Floats
    failed: Floats
    within: Floats


async def read_requests(
    store: Store, since_at: float, until_at: float, step_seconds: int, bounds: Sequence[float]
) -> dict[str, Requests]:
    """All requests of all services between two moments, from their spans, by one question; ``bounds`` in ms. Raises
    StoreError."""
    within = ", ".join(f"countIf(duration_ms <= {float(bound)!r})" for bound in bounds) or "0"
    sql = f"""
        SELECT CAST(service, 'String') AS name, groupArray(step) AS steps, groupArray(n) AS totals,
               groupArray(bad) AS faileds, groupArrayArray(fast) AS fasts
        FROM (
            SELECT service, toUInt64(toUnixTimestamp(toStartOfInterval(ts, INTERVAL {int(step_seconds)} SECOND))) AS step,
                   count() AS n, countIf(failed) AS bad, [{within}] AS fast
            FROM {store.database}.spans
            WHERE toStartOfMinute(ts) >= toStartOfMinute(fromUnixTimestamp64Milli({{since:Int64}}))
              AND ts >= fromUnixTimestamp64Milli({{since:Int64}}) AND ts < fromUnixTimestamp64Milli({{until:Int64}})
              AND request
            GROUP BY service, step ORDER BY service, step
        )
        GROUP BY service"""
    blocks = await store.blocks(sql, {"since": round(since_at * 1e3), "until": round(until_at * 1e3)})
    found = {}
    for block in blocks:
        for n, name in enumerate(block["name"]):
            at, total, failed, fast = (
                np.asarray(block[c][n], np.float64) for c in ("steps", "totals", "faileds", "fasts")
            )
            found[name] = Requests(at, total, failed, fast.reshape(at.size, -1)[:, : len(bounds)])
    return found


def latency_bound(threshold_ms: float) -> float:
    """The latency bucket's bound that a threshold is rounded up to, as the live counting does; infinite above the last."""
    bounds = np.asarray(signals.LATENCY_BOUNDS_MS)
    place = int(np.searchsorted(bounds, threshold_ms))
    return float(bounds[place]) if place < bounds.size else math.inf
