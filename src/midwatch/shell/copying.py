"""Keeps a copy of the journal in another folder while the watch runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from midwatch.model.errors import JournalError
from midwatch.shell.books import Books
from midwatch.shell.health import Health

if TYPE_CHECKING:
    from midwatch.shell.journal.backup import Backup
    from midwatch.shell.subscribers.book import Book

log = logging.getLogger("midwatch.copying")


class Copying:
    """Copies what is new, and the subscribers' ``book`` when there is one, to ``folder`` each ``every_seconds``; ``seq`` is
    where the copy ends. What is wrong with it is said as the trouble ``backup``; the watch goes on."""

    def __init__(
        self,
        books: Books,
        vitals: Health,
        folder: Path,
        every_seconds: float,
        book: Callable[[], Book | None] = lambda: None,
    ) -> None:
        self.seq = 0
        self._book = book
        self._books, self._vitals = books, vitals
        self._folder, self._every = folder, every_seconds
        self._backup: Backup | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._every)
            await self.copy()

    async def copy(self) -> None:
        """Once; what the journal holds now is in the copy afterwards, or the trouble says why not."""
        why = ""
        try:
            await asyncio.to_thread(self._copy)
        except JournalError as error:
            why = f"the journal is not backed up beyond entry {self.seq}: {error}"
            self._backup = None  # its folder may come back as another one
        if self._vitals.trouble("backup", why) and why:
            log.warning("%s", why)

    def _copy(self) -> None:
        from midwatch.shell.journal.backup import Backup
        from midwatch.shell.journal.reader import SqlReader
        from midwatch.shell.subscribers.copied import take

        journal = self._books.journal
        if not isinstance(journal, SqlReader):
            raise JournalError("only a journal on disk can be backed up")
        self._backup = self._backup or Backup(self._folder)
        self._backup.take(journal)
        self.seq = self._backup.head.seq
        if (book := self._book()) is not None:
            take(book, self._folder)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            if self._backup is not None:
                self._backup.close()
