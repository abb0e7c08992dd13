"""The audit that is not a command's own entry: who signed in, who was refused, which secrets were read, what changed in the
settings. All of it goes into the journal, bounded: a flood of wrong tokens is one entry a minute with a count."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from typing import Final

from midwatch.model.errors import JournalError
from midwatch.model.events import AccessRefused, Event, SecretsRead, SettingsRead, SignedIn
from midwatch.shell.books import Books
from midwatch.shell.config import Settings
from midwatch.shell.secret_reads import READS

EVERY_SECONDS: Final = 60.0
SECRETS_SECONDS: Final = 3600.0
MAX_WAITING: Final = 200


class Audit:
    """``run`` journals once a minute what was gathered. A secret that was not read before is journaled at the next minute,
    what is read again and again once an hour with its count."""

    def __init__(self, books: Books, now: Callable[[], float], leading: Callable[[], bool]) -> None:
        self._books, self._now, self._leading = books, now, leading
        self._waiting: list[Event] = []
        self._refused: dict[tuple[str, str, str], int] = {}
        self._reads: dict[str, tuple[int, int]] = {}
        self._known: set[str] = set()
        self._told_at = 0.0

    def signed_in(self, by: str, how: str, role: str) -> None:
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(SignedIn(by, how, role))

    def refused(self, by: str, what: str, why: str) -> None:
        """``by`` is "" when nobody knows who it was."""
        key = (by[:80], what[:80], why[:200])
        if key in self._refused or len(self._refused) < MAX_WAITING:
            self._refused[key] = self._refused.get(key, 0) + 1

    def settings(self, settings: Settings) -> tuple[SettingsRead, ...]:
        """That these settings hold from now on, when they differ from the last ones."""
        parts = {name: _digest(value) for name, value in settings.model_dump(mode="json").items() if name != "folder"}
        before = self._books.state.settings
        if parts == before:
            return ()
        changed = sorted(name for name in parts.keys() | before.keys() if parts.get(name) != before.get(name))
        return (SettingsRead(parts, tuple(changed) if before else ()),)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            await self.write()

    async def write(self) -> None:
        """What was gathered goes into the journal; what cannot be written stays for the next time."""
        if not self._leading():
            return
        for reference, (read, failed) in READS.take().items():
            before = self._reads.get(reference, (0, 0))
            self._reads[reference] = (before[0] + read, before[1] + failed)
        reads = self._reads if self._reads_are_due() else {}
        if not (self._waiting or self._refused or reads):
            return
        async with self._books.turn:
            # What comes in while the journal is written is for the next time.
            waiting, self._waiting = self._waiting, []
            refused, self._refused = self._refused, {}
            events = [*waiting, *(AccessRefused(*key, times) for key, times in refused.items())]
            try:
                await self._books.append([*events, *([SecretsRead(reads)] if reads else [])], self._now())
            except JournalError:
                self._waiting = (waiting + self._waiting)[:MAX_WAITING]
                self._refused = {**self._refused, **{k: n + self._refused.get(k, 0) for k, n in refused.items()}}
                return
        if reads:
            self._known |= reads.keys()
            self._reads, self._told_at = {}, time.monotonic()

    def _reads_are_due(self) -> bool:
        """At once for one that was not read before or cannot be read, else once an hour."""
        new = not self._reads.keys() <= self._known or any(failed for _, failed in self._reads.values())
        return new or time.monotonic() - self._told_at >= SECRETS_SECONDS


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
