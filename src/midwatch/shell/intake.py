"""What comes in: OTLP to the store and the World, change events, and the warm start of the working set.

A payload is acknowledged only once it is stored. When the store is down the sender is told to try again (503), but the
World gets the data at once: paging must not depend on the store. The sender's second try is recognised, so that
nothing counts twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from midwatch.core.memory import Ledger, Memory
from midwatch.core.slo import ledger as books
from midwatch.model.entity import kind_of
from midwatch.model.errors import IngestError, StoreError
from midwatch.model.slo import Slo
from midwatch.model.state import State
from midwatch.model.world import Change, World, empty_world
from midwatch.shell.config import Settings
from midwatch.shell.health import Health

if TYPE_CHECKING:
    from midwatch.shell.ingest.builder import WorldBuilder
    from midwatch.shell.ingest.rows import Batch

log = logging.getLogger("midwatch.intake")

MAX_REMEMBERED_BATCHES = 2000
WARM_SECONDS = 15.0
STORE_SECONDS = 10.0
REQUESTS_AT_ONCE = 128  # a hundred exporters, each waiting for a group commit
WINDOW_SECONDS = 600.0  # of the World that a restart reads back: enough for a baseline, quick to read


class Intake:
    """Owns the World's builder and the store. ``clock`` gives unix seconds."""

    def __init__(self, health: Health, clock: Callable[[], float]) -> None:
        self._health, self._clock = health, clock
        self.builder: WorldBuilder | None = None
        self.store: Any = None
        self._seen_unstored: OrderedDict[str, None] = OrderedDict()

    async def start(self, settings: Settings) -> None:
        """The builder always; the store when it is wanted and installed (else it says so, and goes on without)."""
        from midwatch.shell.ingest.builder import WorldBuilder

        self.builder = WorldBuilder()
        if settings.store == "none":
            return
        from midwatch.shell.store.store import Store

        store = None
        try:
            store = Store(settings.store_folder) if settings.store == "embedded" else Store(dsn=settings.store)
            await store.start()
        except StoreError as error:
            said = f"the telemetry store does not start: {error}" + (f" ({error.hint})" if error.hint else "")
            self._health.trouble("store", said)
            log.warning("%s; telemetry is kept in memory for the last minutes only", said)
            return
        self.store = store

    async def warm(self, state: State, now: float) -> Memory:
        """The working set after a restart. From the store: the World's window, and the ledgers' good and total; without
        one it is empty, and the loop says that it is warming up. Takes WARM_SECONDS at most."""
        builder = self.builder
        if builder is None:
            return Memory()
        for change in state.changes:
            builder.add_change(change)
        if self.store is None:
            return Memory()
        ledgers: dict[str, Ledger] = {}
        first = 0.0
        try:
            async with asyncio.timeout(WARM_SECONDS):
                async for at, batch in self.store.rows_since(now - WINDOW_SECONDS, now, slice_seconds=15.0):
                    builder.add(batch, at)
                    first = first or at
                for slo in state.slos:
                    if slo.sli != "freshness" and kind_of(slo.entity) == "service":
                        ledgers[slo.name] = await self._ledger(slo, now)
        except (StoreError, TimeoutError) as error:
            log.warning(
                "only part of what was seen before the start could be read back: %s", error or "it took too long"
            )
        return Memory(ledgers=ledgers, started_at=first)

    async def _ledger(self, slo: Slo, now: float) -> Ledger:
        """Counts of the whole period: coarse far back, at ledger resolution for the last six hours."""
        until = math.floor(now / books.LEVELS[0][0]) * books.LEVELS[0][0]
        recent = until - books.LEVELS[0][0] * books.LEVELS[0][1]
        threshold = slo.threshold_ms if slo.sli == "latency" else None
        old = await self.store.slo_history(slo.entity, until - slo.period_seconds, recent, threshold, 300)
        new = await self.store.slo_history(slo.entity, recent, until, threshold, int(books.LEVELS[0][0]))
        found = [float(part.at[0]) for part in (old, new) if len(part.at)]
        if not found:
            return books.new_ledger(until)
        ledger = books.new_ledger(found[0])
        for part, seen_until in ((old, recent), (new, until)):
            if len(part.at):
                ledger = books.add(ledger, part.at, part.good, part.total, max(seen_until, ledger.seen_until))
        return ledger

    async def stop(self) -> None:
        if self.store is not None:
            store, self.store = self.store, None
            await store.close()

    def app(self, on_change: Callable[[Change], Awaitable[Any]]) -> Any:
        """The ASGI app for port 4318."""
        from midwatch.shell.ingest.receiver import otlp_app
        from midwatch.shell.ingest.rows import Limits

        return otlp_app(self.take, on_change=on_change, limits=Limits(requests_in_flight=REQUESTS_AT_ONCE))

    async def take(self, batch: Batch, signal: str) -> None:
        """One decoded payload; returns when it is stored. Raises IngestError 503 when it is not."""
        now = self._clock()
        health = self._health
        health.batches[signal] = health.batches.get(signal, 0) + 1
        health.rows += len(batch)
        health.rows_rejected += batch.rejected
        health.last_data_at = now
        health.first_data_at = health.first_data_at or now
        again = bool(self._seen_unstored) and _digest(batch, signal) in self._seen_unstored
        if not again and self.builder is not None:
            self.builder.add(batch, now)
        if self.store is None:
            return
        from midwatch.shell.store.writer import BadRows

        try:
            await self._store(batch)
        except BadRows as error:  # trying again would not help
            health.batches_not_stored += 1
            raise IngestError(str(error)) from error
        except StoreError as error:
            health.batches_not_stored += 1
            health.trouble("store", str(error))
            self._seen_unstored[_digest(batch, signal)] = None
            while len(self._seen_unstored) > MAX_REMEMBERED_BATCHES:
                self._seen_unstored.popitem(last=False)
            raise IngestError("the telemetry store is not taking data, try again", status=503) from error
        health.trouble("store", "")
        if again:
            self._seen_unstored.pop(_digest(batch, signal), None)

    async def _store(self, batch: Batch) -> None:
        """Raises StoreError, also when the store is merely slow: a sender must not wait for ever, and what waits here takes
        the place of telemetry that paging needs."""
        writing = asyncio.ensure_future(self.store.write(batch))
        writing.add_done_callback(_seen)
        done, _ = await asyncio.wait({writing}, timeout=STORE_SECONDS)
        if not done:
            raise StoreError(f"the telemetry store did not take data within {STORE_SECONDS:g} s")
        writing.result()

    async def add_change(self, change: Change) -> None:
        """Show it to the World, and keep it in the store when that is up (the journal has it already)."""
        if self.builder is not None:
            self.builder.add_change(change)
        if self.store is not None:
            with contextlib.suppress(StoreError):
                await self.store.write_changes([change])

    def world(self, now: float) -> World:
        return self.builder.world(now) if self.builder is not None else empty_world(now)

    def store_words(self) -> str:
        if self.store is None:
            return "off: telemetry is kept in memory only"
        return "ok" if self.store.healthy else "not answering"

    def gauges(self) -> dict[str, float]:
        healthy = math.nan if self.store is None else float(bool(self.store.healthy))
        return {"store_healthy": healthy, "batches_awaiting_retry": float(len(self._seen_unstored))}

    def counters(self) -> dict[str, float]:
        """The builder's own counters (drops, bounds reached), flattened."""
        return {f"world_{name}": float(value) for name, value in self.builder.stats.items()} if self.builder else {}


def _seen(task: asyncio.Future[None]) -> None:
    """Take note of how a write ended that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


def _digest(batch: Batch, signal: str) -> str:
    """The same payload decoded again gives the same digest. Only computed around failures of the store."""
    digest = hashlib.blake2b(signal.encode(), digest_size=16)
    for span in batch.spans:
        digest.update(f"{span.trace_id}{span.span_id}".encode())
    for line in batch.logs:
        digest.update(f"{line.at!r}{line.resource.instance}{line.body}".encode())
    for point in batch.points:
        where = sorted(point.attributes.items(), key=lambda item: item[0])
        digest.update(f"{point.at!r}{point.resource.instance}{point.name}{point.value!r}{where!r}".encode())
    return digest.hexdigest()
