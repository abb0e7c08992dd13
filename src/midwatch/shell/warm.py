"""The warm start: what a restarted watch reads back from the store, so that days of budgets survive and an incident under
way is diagnosed from what came before it.

Bounded in time, because nobody is watched meanwhile: the newest minutes are read first, and what was not read when time
is up is left out and said; ledgers may come later (``warm_ledgers.py``). Reading and rebuilding happen on threads; the lease
and pages under way go on.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from midwatch.model.errors import StoreError
from midwatch.model.slo import Slo
from midwatch.shell.warm_ledgers import LedgerReader

if TYPE_CHECKING:
    from midwatch.shell.ingest.builder import WorldBuilder
    from midwatch.shell.ingest.rows import Batch

WINDOW_SECONDS: Final = 1200.0  # of the World
ENOUGH_SECONDS: Final = 420.0  # what the detectors look at: with less of it, the baseline is short
READ_SECONDS: Final = 3.0  # for the World; putting it together takes about as long as reading it
BLOCK_SECONDS: Final = 60.0
SLICE_SECONDS: Final = 15.0


@dataclass
class Warmth:
    """What was read back. ``since_at`` is where the World begins (``now`` when nothing was read); ``ledgers`` goes on
    reading when there are many; ``notes`` are sentences on what is missing of the World."""

    since_at: float
    ledgers: LedgerReader
    notes: list[str] = field(default_factory=list)


async def warm_up(store: Any, builder: WorldBuilder, slos: tuple[Slo, ...], now: float) -> Warmth:
    """Fill ``builder`` and rebuild the ledgers of ``slos`` from ``store``. Never raises."""
    found = Warmth(now, LedgerReader(store, slos, now))
    batches, _ = await asyncio.gather(_read(store, found, now), found.ledgers.first())
    await asyncio.to_thread(_build, builder, batches)
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
