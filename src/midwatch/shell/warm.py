"""The warm start: what a restarted watch reads back from the store, so that days of budgets survive and an incident under
way is diagnosed from what came before it.

Bounded in time, because nobody is watched meanwhile: the newest minutes are read first, and what was not read when time
is up is left out and said. Reading and rebuilding happen on threads; the lease and pages under way go on.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from midwatch.core.memory import Ledger
from midwatch.core.slo import ledger as books
from midwatch.model.entity import kind_of
from midwatch.model.errors import StoreError
from midwatch.model.slo import Slo

if TYPE_CHECKING:
    from midwatch.shell.ingest.builder import WorldBuilder
    from midwatch.shell.ingest.rows import Batch

WINDOW_SECONDS: Final = 1200.0  # of the World
ENOUGH_SECONDS: Final = 420.0  # what the detectors look at: with less of it, the baseline is short
READ_SECONDS: Final = 3.0  # for the World; putting it together takes about as long as reading it
LEDGER_SECONDS: Final = 6.0
BLOCK_SECONDS: Final = 60.0
SLICE_SECONDS: Final = 15.0
FINE_SECONDS: Final = books.LEVELS[0][0]
COARSE_SECONDS: Final = 300


@dataclass
class Warmth:
    """What was read back. ``since_at`` is where the World begins (``now`` when nothing was read); ``notes`` are sentences
    on what is missing."""

    since_at: float
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


async def warm_up(store: Any, builder: WorldBuilder, slos: tuple[Slo, ...], now: float) -> Warmth:
    """Fill ``builder`` and rebuild the ledgers of ``slos`` from ``store``. Never raises."""
    found = Warmth(now)
    counted = [slo for slo in slos if slo.sli != "freshness" and kind_of(slo.entity) == "service"]
    batches, ledgers = await asyncio.gather(
        _read(store, found, now), asyncio.gather(*(_ledger_in_time(store, slo, now, found) for slo in counted))
    )
    await asyncio.to_thread(_build, builder, batches)
    for slo, ledger in zip(counted, ledgers, strict=True):
        if ledger is not None:
            found.ledgers[slo.name] = ledger
    return found


async def _read(store: Any, found: Warmth, now: float) -> list[tuple[float, Batch]]:
    """Batches in time order, ending ``now``: block after block back in time until the window is full or time is up."""
    blocks: list[list[tuple[float, Batch]]] = []
    until = now
    end = time.monotonic() + READ_SECONDS
    try:
        while until > now - WINDOW_SECONDS and time.monotonic() < end:
            since = max(until - BLOCK_SECONDS, now - WINDOW_SECONDS)
            rows = store.rows_since(since, until, slice_seconds=SLICE_SECONDS)
            blocks.append([one async for one in rows])
            until = since
    except StoreError as error:
        found.notes.append(f"telemetry from before the start could not be read back: {error}")
    found.since_at = until
    if until > now - ENOUGH_SECONDS and not found.notes:
        found.notes.append(f"only {now - until:.0f} s of telemetry from before the start were read back in time")
    return [one for block in reversed(blocks) for one in block]


def _build(builder: WorldBuilder, batches: list[tuple[float, Batch]]) -> None:
    for at, batch in batches:
        builder.add(batch, at)


async def _ledger_in_time(store: Any, slo: Slo, now: float, found: Warmth) -> Ledger | None:
    try:
        return await asyncio.wait_for(ledger_of(store, slo, now), LEDGER_SECONDS)
    except TimeoutError:
        found.notes.append(f"the budget of {slo.name} was not read back in time and begins anew")
    except StoreError as error:
        found.notes.append(f"the budget of {slo.name} could not be read back and begins anew: {error}")
    return None


async def ledger_of(store: Any, slo: Slo, now: float) -> Ledger | None:
    """Counts of the whole period: coarse far back, at ledger resolution for the last six hours; None without any.

    The ledger has seen everything up to the last full ten seconds before ``now``; from there on the World's own steps,
    read back from the same rows, are counted. Raises StoreError.
    """
    until = math.floor(now / FINE_SECONDS) * FINE_SECONDS
    # A multiple of every step: no bucket of the store lies on both sides.
    recent = math.floor((until - FINE_SECONDS * books.LEVELS[0][1]) / books.LEVELS[-1][0] + 1) * books.LEVELS[-1][0]
    threshold = slo.threshold_ms if slo.sli == "latency" else None
    parts = (
        await store.slo_history(slo.entity, until - slo.period_seconds, recent, threshold, COARSE_SECONDS),
        await store.slo_history(slo.entity, recent, until, threshold, int(FINE_SECONDS)),
    )
    at, good, total = (np.concatenate([getattr(part, name) for part in parts]) for name in ("at", "good", "total"))
    return books.add(books.new_ledger(float(at[0])), at, good, total, until) if at.size else None
