"""Writes what the ledgers counted to the store, beside the loop, so that budgets outlive the telemetry that they were
counted from.

Nothing waits for it, and nothing piles up: at most one write is under way, and what to write is read off the ledgers' own
rings each time, which hold three days of five-minute steps. A store that is down for less costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from midwatch.core.memory import Ledger
from midwatch.model.errors import StoreError
from midwatch.model.world import Floats
from midwatch.shell.store.slo_counts import COARSE, FINE, row

log = logging.getLogger("midwatch.keeper")

LOOK_BACK: Final = 24  # columns of five minutes: in them, what came late is written again
AT_ONCE: Final = 20_000  # rows of one insert
STOP_SECONDS: Final = 5.0
_FIVE_MINUTES: Final = 1  # the ring's number, of every ledger


@dataclass(frozen=True)
class Kept:
    """What of a ledger is in the store: five-minute rows before ``until``, hours before ``hours_until``; ``tail`` are good
    and total of the newest of them, shape (2, n), ending ``until``."""

    until: float
    hours_until: float
    tail: Floats = field(default_factory=lambda: np.zeros((2, 0)))


@dataclass
class Keeper:
    """``kept`` by ledger key. ``rows_written`` counts, ``behind`` says that a write failed or more waits."""

    kept: dict[str, Kept] = field(default_factory=dict)
    rows_written: int = 0
    failed: int = 0
    behind: bool = False
    _slot: float = 0.0
    _task: asyncio.Task[None] | None = None

    def known(self, key: str, seen_until: float) -> None:
        """The store has the ledger up to ``seen_until``; the step that this cuts is written again when it is over."""
        self.kept[key] = Kept(math.floor(seen_until / FINE) * FINE, math.floor(seen_until / COARSE) * COARSE)

    def keep(self, store: Any, ledgers: Mapping[str, Ledger], now: float) -> None:
        """Begin to write what is due, if anything. Returns at once."""
        slot = math.floor(now / FINE)
        if (self._task is not None and not self._task.done()) or (slot == self._slot and not self.behind):
            return
        self._slot = slot
        self._task = asyncio.get_running_loop().create_task(self._write(store, ledgers))

    async def flush(self, store: Any, ledgers: Mapping[str, Ledger]) -> None:
        """At a stop: what is there, the step under way included. Never raises, and gives up after a while."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                if self._task is not None:
                    await self._task
                await self._write(store, ledgers, partly=True)
        except TimeoutError:
            log.warning("the newest counts of budgets were not stored in time")

    async def _write(self, store: Any, ledgers: Mapping[str, Ledger], partly: bool = False) -> None:
        rows, kept, more = await asyncio.to_thread(rows_of_all, ledgers, dict(self.kept), partly)
        try:
            await store.write_slo_counts(rows)
        except StoreError as error:
            self.failed += 1
            self.behind = True
            log.info("counts of budgets are kept for later: %s", error)
            return
        self.kept.update(kept)
        self.rows_written += len(rows)
        self.behind = more
        for key in self.kept.keys() - ledgers.keys():
            del self.kept[key]


def rows_of_all(
    ledgers: Mapping[str, Ledger], kept: Mapping[str, Kept], partly: bool = False
) -> tuple[list[tuple[Any, ...]], dict[str, Kept], bool]:
    """Rows that the store lacks, what is kept once they are written, and whether more than ``AT_ONCE`` wait."""
    rows: list[tuple[Any, ...]] = []
    after: dict[str, Kept] = {}
    for key, ledger in ledgers.items():
        if len(rows) > AT_ONCE:
            return rows, after, True
        if not ledger.rule:  # a composite is made of its parts
            found, after[key] = rows_of(key, ledger, kept.get(key), partly)
            rows += found
    return rows, after, False


def rows_of(key: str, ledger: Ledger, kept: Kept | None, partly: bool = False) -> tuple[list[tuple[Any, ...]], Kept]:
    """The rows of one ledger that are new or have grown, and what is kept then. They say that everything before the end of
    the last full step is in them; only the row of the step under way (``partly``) says how far into it the ledger has
    seen: a watch that dies counts from what its rows say."""
    (step, size), head, ring = ledger.levels[_FIVE_MINUTES], ledger.head_at[_FIVE_MINUTES], ledger.counts[_FIVE_MINUTES]
    oldest, seen = head - (size - 1) * step, ledger.seen_until
    begun = math.floor(ledger.first_at / step) * step
    kept = kept or Kept(begun, math.floor(ledger.first_at / COARSE) * COARSE)
    until = max(kept.until, math.floor(seen / step) * step)
    changed = _grown(ring, kept, head, size, step)
    starts = [*changed, *_range(max(kept.until, oldest), until, step)]
    if partly and seen > until:
        starts.append(until)
    full = min(seen, until)
    rows = [
        row(key, FINE, at, float(ring[0, c]), float(ring[1, c]), full if at < until else seen)
        for at, c in ((at, size - 1 - round((head - at) / step)) for at in starts)
        if 0 <= c < size
    ]
    hours_until = max(kept.hours_until, math.floor(until / COARSE) * COARSE)
    hours = {math.floor(at / COARSE) * COARSE for at in changed} | set(_range(kept.hours_until, hours_until, COARSE))
    rows += [row(key, COARSE, at, *_hour(ledger, at), full) for at in sorted(hours) if at < hours_until]
    width = min(LOOK_BACK, round((until - max(oldest, begun)) / step))
    last = size - 1 - round((head - until) / step)
    return rows, Kept(until, hours_until, ring[:, max(0, last - width) : max(0, last)].copy())


def _grown(ring: Floats, kept: Kept, head: float, size: int, step: float) -> list[float]:
    """Starts of the columns that were written with less."""
    width = kept.tail.shape[1]
    last = size - 1 - round((head - kept.until) / step)
    first = last - width
    if not width or first < 0 or last > size:
        return []
    different = np.flatnonzero((ring[:, first:last] != kept.tail).any(axis=0))
    return [kept.until - (width - int(n)) * step for n in different]


def _range(since: float, until: float, step: float) -> list[float]:
    return [since + n * step for n in range(max(0, round((until - since) / step)))]


def _hour(ledger: Ledger, at: float) -> tuple[float, float]:
    """Good and total of the hour that begins ``at``, from the finest ring that still has all of it."""
    for (step, size), head, ring in zip(ledger.levels[1:], ledger.head_at[1:], ledger.counts[1:], strict=True):
        first = size - 1 - round((head - at) / step)
        if step <= COARSE and first >= 0:
            part = ring[:, first : first + round(COARSE / step)]
            return float(part[0].sum()), float(part[1].sum())
    return 0.0, 0.0
