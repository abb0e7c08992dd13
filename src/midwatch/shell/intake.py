"""What comes in: OTLP to the store and the World, change events, and the warm start of the working set.

A payload is acknowledged only once it is stored. When the store is down the sender is told to try again (503), but the
World gets the data at once: paging must not depend on the store. The sender's second try is recognised, so that
nothing counts twice.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from midwatch.core.memory import Memory
from midwatch.model.errors import IngestError, StoreError
from midwatch.model.state import State
from midwatch.model.world import Change, World, empty_world
from midwatch.shell.config import Settings
from midwatch.shell.health import Health

if TYPE_CHECKING:
    from midwatch.shell.ingest.builder import WorldBuilder
    from midwatch.shell.ingest.rows import Batch

log = logging.getLogger("midwatch.intake")

MAX_REMEMBERED_BATCHES = 2000


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
        try:
            from midwatch.shell.store import Store

            store = Store(settings.store_folder)
            await store.start()
        except ImportError:
            self._health.trouble("store", "no telemetry store: it is not installed (pip install 'midwatch[store]')")
            log.warning("no telemetry store is installed: telemetry is kept in memory for the last minutes only")
            return
        except StoreError as error:
            self._health.trouble("store", str(error))
            log.warning("the telemetry store does not start, the watch goes on without: %s", error)
            return
        self.store = store

    async def stop(self) -> None:
        if self.store is not None:
            store, self.store = self.store, None
            await store.close()

    def app(self, on_change: Callable[[Change], Awaitable[Any]]) -> Any:
        """The ASGI app for port 4318."""
        from midwatch.shell.ingest.receiver import otlp_app

        return otlp_app(self.take, on_change=on_change)

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
        try:
            await self.store.write(batch)
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

    def add_change(self, change: Change) -> None:
        if self.builder is not None:
            self.builder.add_change(change)

    def world(self, now: float) -> World:
        return self.builder.world(now) if self.builder is not None else empty_world(now)

    async def remembered(self, state: State, now: float) -> Memory:
        """The working set after a restart: empty, unless the store still has what came in before."""
        return Memory()

    def store_words(self) -> str:
        if self.store is None:
            return "off: telemetry is kept in memory only"
        return "ok" if self.store.healthy else "not answering"

    def gauges(self) -> dict[str, float]:
        healthy = math.nan if self.store is None else float(bool(self.store.healthy))
        return {"store_healthy": healthy, "batches_awaiting_retry": float(len(self._seen_unstored))}

    def counters(self) -> dict[str, float]:
        """The builder's own counters (drops, bounds reached), flattened."""
        stats: Any = getattr(self.builder, "stats", {})
        items = stats.items() if isinstance(stats, dict) else vars(stats).items() if hasattr(stats, "__dict__") else ()
        return {f"world_{name}": float(value) for name, value in items if isinstance(value, int | float)}


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
