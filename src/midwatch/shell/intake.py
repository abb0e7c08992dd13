"""What comes in: OTLP to the store and the World, and change events.

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
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midwatch.core.memory import Ledger, Memory
from midwatch.model.errors import BadRows, ConfigError, IngestError, StoreError
from midwatch.model.state import State
from midwatch.model.world import Change, World, empty_world
from midwatch.shell import remembered
from midwatch.shell.config import Settings, resolve
from midwatch.shell.health import Health
from midwatch.shell.keeper import Keeper
from midwatch.shell.warm import WINDOW_SECONDS, warm_up
from midwatch.shell.warm_ledgers import LedgerReader, joined

if TYPE_CHECKING:
    from midwatch.shell.ingest.builder import WorldBuilder
    from midwatch.shell.ingest.rows import Batch

log = logging.getLogger("midwatch.intake")

MAX_REMEMBERED_BATCHES = 2000
STORE_SECONDS = 10.0
REMEMBER_SECONDS = 600.0
REQUESTS_AT_ONCE = 128  # a hundred exporters, each waiting for a group commit


class Intake:
    """Owns the World's builder and the store. ``clock`` gives unix seconds."""

    def __init__(self, health: Health, clock: Callable[[], float]) -> None:
        self._health, self._clock = health, clock
        self.builder: WorldBuilder | None = None
        self.store: Any = None
        self.keeper = Keeper()
        self._reading: LedgerReader | None = None  # ledgers that are still being read back
        self._seen_unstored: OrderedDict[str, None] = OrderedDict()
        self._folder: Path | None = None
        self._nothing_stored = False
        self._remembering: asyncio.Future[None] | None = None
        self._remembered_at = 0.0
        self._partial_until = 0.0  # the window holds less than it should since the start

    async def start(self, settings: Settings) -> None:
        """The builder always; the store when it is wanted and installed (else it says so, and goes on without)."""
        from midwatch.shell.ingest.builder import WorldBuilder

        self.builder = WorldBuilder()
        self._folder = settings.folder
        try:
            self.builder.templates.restore(await asyncio.to_thread(remembered.read_templates, settings.folder))
        except (KeyError, TypeError, ValueError) as error:
            log.warning("%s holds no templates (%s): they are mined anew", remembered.TEMPLATES, error)
        if settings.store == "none":
            return
        from midwatch.shell.store.store import Store

        store = None
        self._nothing_stored = settings.store == "embedded" and not settings.store_folder.exists()
        try:
            store = Store(settings.store_folder) if settings.store == "embedded" else Store(dsn=resolve(settings.store))
            await store.start()
        except (ConfigError, StoreError) as error:
            said = f"the telemetry store does not start: {error}" + (f" ({error.hint})" if error.hint else "")
            self._health.trouble("store", said)
            log.warning("%s; telemetry is kept in memory for the last minutes only", said)
            return
        self.store = store

    async def warm(self, state: State, now: float) -> Memory:
        """The working set after a restart: the World's window and the ledgers from the store, or nothing without one. Even
        with both it warms up: while nobody watched, nothing was seen, and that is not an outage. Where there are thousands
        of ledgers, the rest comes later (``caught_up``)."""
        builder = self.builder
        if builder is None:
            return Memory()
        for change in state.changes:
            builder.add_change(change)
        memory = Memory()
        if self._folder is not None:
            memory = replace(memory, habits=await asyncio.to_thread(remembered.read_habits, self._folder))
        if self.store is None or self._nothing_stored:
            return memory
        found = await warm_up(self.store, builder, state.slos, now)
        if found.notes:
            self._say_partial("; ".join(found.notes))
        self._reading = found.ledgers
        return await self.caught_up(memory)

    @property
    def reading_back(self) -> bool:
        """Whether ledgers may still come from the store."""
        return self._reading is not None

    async def caught_up(self, memory: Memory) -> Memory:
        """``memory`` with the ledgers that were read back since it was last asked."""
        reading = self._reading
        if reading is None:
            return memory
        ended, read = not reading.busy, reading.taken()
        for key, seen_until in read.kept.items():
            self.keeper.known(key, seen_until)
        missing = reading.words()
        self._health.trouble("budgets", "" if ended else missing)
        if ended:
            self._reading = None
            if missing:
                self._say_partial(missing)
        return await asyncio.to_thread(joined, memory, read) if read.ledgers else memory

    def _say_partial(self, why: str) -> None:
        """What a restart could not read back, said for as long as the World's window lacks it."""
        before = self._health.troubles.get("warm start", "")
        self._health.trouble("warm start", "; ".join(filter(None, (before, why))))
        self._partial_until = self._clock() + WINDOW_SECONDS
        log.warning("%s", why)

    def keep(self, ledgers: Mapping[str, Ledger], now: float) -> None:
        """Store what the ledgers counted, when that is due. Returns at once. Not before all that is stored was read back: a
        ledger that begins anew knows only a part of its step, and would take the place of the whole."""
        if self.store is not None and self._reading is None:
            self.keeper.keep(self.store, ledgers, now)

    async def keep_all(self, ledgers: Mapping[str, Ledger]) -> None:
        """Before a stop: what the ledgers counted up to now."""
        if self.store is not None and self._reading is None:
            await self.keeper.flush(self.store, ledgers)

    def remember(self, memory: Memory, now: float) -> None:
        """Keep what a restart should not forget, when that is due. Returns at once."""
        if now - self._remembered_at >= REMEMBER_SECONDS and self._folder is not None:
            first, self._remembered_at = not self._remembered_at, now
            if not first and (self._remembering is None or self._remembering.done()):
                self._remembering = asyncio.ensure_future(self.remember_all(memory))

    async def remember_all(self, memory: Memory) -> None:
        """Keep log templates and habits."""
        if self._folder is None or self.builder is None:
            return
        await asyncio.to_thread(remembered.write_templates, self._folder, self.builder.templates.saved())
        if memory.habits is not None:
            await asyncio.to_thread(remembered.write_habits, self._folder, memory.habits)

    async def stop(self) -> None:
        if self._remembering is not None:
            await self._remembering
        if self._reading is not None:
            await self._reading.stop()
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
        if self._partial_until and now > self._partial_until:
            self._partial_until = 0.0
            self._health.trouble("warm start", "")
        return self.builder.world(now) if self.builder is not None else empty_world(now)

    def store_words(self) -> str:
        if self.store is None:
            return "off: telemetry is kept in memory only"
        return "ok" if self.store.healthy else "not answering"

    def gauges(self) -> dict[str, float]:
        healthy = math.nan if self.store is None else float(bool(self.store.healthy))
        return {
            "store_healthy": healthy,
            "batches_awaiting_retry": float(len(self._seen_unstored)),
            "slo_counts_behind": float(self.keeper.behind),
        }

    def counters(self) -> dict[str, float]:
        """The builder's own counters (drops, bounds reached), flattened."""
        kept = {
            "slo_counts_written": float(self.keeper.rows_written),
            "slo_counts_failed": float(self.keeper.failed),
        }
        return kept | ({f"world_{n}": float(value) for n, value in self.builder.stats.items()} if self.builder else {})


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
