"""Where alerts come in: gathered while the last entry is being written, journaled together (group commit), and only then
is the sender told so. Bounded in all and per sender: who floods is told to wait, and everybody else is served."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from midwatch.core.oncall.dedup import sort_out
from midwatch.model.alert_steps import MAX_ALERTS
from midwatch.model.alerts import Alert, AlertRecord
from midwatch.model.errors import IngestError, JournalError
from midwatch.model.events import AlertNoted, AlertsReceived, Event
from midwatch.shell.books import Books

log = logging.getLogger("midwatch.inbox")

MAX_WAITING: Final = 20_000
MAX_WAITING_PER_SOURCE: Final = MAX_WAITING // 2
MAX_ENTRY: Final = 4000
"""Alerts in one entry of the journal."""
Note = tuple[str, str, str]
"""(key of the alert, by, text)."""


@dataclass
class _Put:
    source: str
    alerts: Sequence[Alert]
    notes: Sequence[Note]
    done: asyncio.Future[None]

    @property
    def size(self) -> int:
        return len(self.alerts) + len(self.notes)


class Inbox:
    """``now`` is the watch's clock; ``wake`` asks for a turn of the loop. ``accepted`` counts by source, ``dropped`` by
    (source, reason)."""

    def __init__(self, books: Books, now: Callable[[], float], wake: Callable[[], None]) -> None:
        self._books, self._now, self._wake = books, now, wake
        self._puts: list[_Put] = []
        self._waiting: dict[str, int] = {}
        self._flusher: asyncio.Task[None] | None = None
        self.accepted: dict[str, int] = {}
        self.dropped: dict[tuple[str, str], int] = {}

    @property
    def waiting(self) -> int:
        return sum(self._waiting.values())

    async def put(self, source: str, alerts: Sequence[Alert], notes: Sequence[Note] = ()) -> None:
        """Returns once they are journaled. Raises IngestError 429 when too many are waiting, JournalError."""
        put = _Put(source, alerts, notes, asyncio.get_running_loop().create_future())
        mine = self._waiting.get(source, 0)
        if self.waiting + put.size > MAX_WAITING or mine + put.size > MAX_WAITING_PER_SOURCE:
            self.drop(source, "too many were waiting", put.size)
            raise IngestError(
                "too many alerts are waiting to be journaled", status=429, hint="try again in a few seconds"
            )
        self._puts.append(put)
        self._waiting[source] = mine + put.size
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.get_running_loop().create_task(self._flush())
        await put.done

    def drop(self, source: str, why: str, count: int = 1) -> None:
        """Count what was not taken."""
        self.dropped[source, why] = self.dropped.get((source, why), 0) + count

    async def _flush(self) -> None:
        while self._puts:
            async with self._books.turn:
                await self._journal(self._take())

    def _take(self) -> list[_Put]:
        taken: list[_Put] = []
        size = 0
        for put in self._puts:
            if taken and size + put.size > MAX_ENTRY:
                break
            taken.append(put)
            size += put.size
        del self._puts[: len(taken)]
        return taken

    async def _journal(self, puts: list[_Put]) -> None:
        try:
            told = await self._append(puts)
        except Exception as error:
            if not isinstance(error, JournalError):
                log.exception("the inbox could not journal what came in")
            for put in puts:
                if not put.done.done():
                    put.done.set_exception(JournalError("the journal does not take it"))
        else:
            if told:
                self._wake()
            for put in puts:
                self.accepted[put.source] = self.accepted.get(put.source, 0) + put.size
                if not put.done.done():
                    put.done.set_result(None)
        finally:
            for put in puts:
                self._waiting[put.source] -= put.size

    async def _append(self, puts: list[_Put]) -> bool:
        """Whether anything was said that the loop should hear of."""
        now, known = self._now(), self._books.state.alerts
        found = sort_out(known, (alert for put in puts for alert in put.alerts), now)
        new = self._fitting(found.new, known)
        for (source, why), count in found.dropped.items():
            self.drop(source, why, count)
        keys = {alert.key for alert in new}
        events: list[Event] = [AlertsReceived(new, found.again)] if new or found.again else []
        for put in puts:
            events += (AlertNoted(*note) for note in put.notes if note[0] in known or note[0] in keys)
        await self._books.append(events, now)
        return bool(new)

    def _fitting(self, new: tuple[Alert, ...], known: Mapping[str, AlertRecord]) -> tuple[Alert, ...]:
        """State remembers so many; what is over makes room, what fires does not."""
        if len(known) + len(new) <= MAX_ALERTS:
            return new
        room = MAX_ALERTS - sum(record.firing for record in known.values())
        kept: list[Alert] = []
        for alert in new:
            if alert.key in known or room > 0:
                room -= alert.key not in known
                kept.append(alert)
            else:
                self.drop(alert.source, f"{MAX_ALERTS} alerts are open")
        return tuple(kept)
