"""People files while a watch runs: read anew when one of them changed, or with a new year: calendars reach further then."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from midwatch.model.errors import ConfigError, JournalError
from midwatch.model.events import PolicyLoaded
from midwatch.model.people import People
from midwatch.shell.config import Settings
from midwatch.shell.folder import load_policy_that_can_be, people_paths, unknown_channels

if TYPE_CHECKING:
    from midwatch.shell.books import Books

log = logging.getLogger("midwatch.watch")

LOOK_SECONDS = 15.0
MAX_FILES = 2000
_Mark = tuple[str, int, int]


@dataclass(frozen=True)
class Read:
    """What the files say now; ``people`` is None when they are wrong, and ``why`` says how."""

    people: People | None
    sources: tuple[str, ...] = ()
    why: str = ""


class PeopleFiles:
    """``look`` says what changed since the last look. The first one compares with when this was made."""

    def __init__(self, settings: Settings, channels: Collection[str]) -> None:
        self._settings, self._channels = settings, channels
        self._seen = self._marks()

    def look(self) -> Read | None:
        """None when nothing changed."""
        try:
            marks = self._marks()
        except OSError:  # a folder went away while it was read: the next look sees what is there then
            return None
        if marks == self._seen:
            return None
        self._seen = marks
        try:
            loaded = load_policy_that_can_be(self._settings)
        except ConfigError as error:
            return Read(None, why=str(error))
        if loaded.people_problems:
            return Read(None, why=str(loaded.people_problems[0]))
        return Read(loaded.policy.people, loaded.sources)

    def _marks(self) -> tuple[int, tuple[_Mark, ...]]:
        files = (
            file for path in people_paths(self._settings) for file in (path.rglob("*") if path.is_dir() else (path,))
        )
        return time.gmtime().tm_year, tuple(
            sorted(mark for file in files if (mark := _mark(file)) is not None)[:MAX_FILES]
        )

    async def follow(
        self, books: Books, now: Callable[[], float], leading: Callable[[], bool], trouble: Callable[[str, str], object]
    ) -> None:
        """Journal the people anew whenever their files change, until cancelled. What is wrong is said and not taken."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not leading():
                continue
            read = await asyncio.to_thread(self.look)
            if read is not None:
                await self._take(read, books, now, trouble)

    async def _take(
        self, read: Read, books: Books, now: Callable[[], float], trouble: Callable[[str, str], object]
    ) -> None:
        trouble("people", f"the people as they were hold, because {read.why}" if read.people is None else "")
        if read.people is None:
            log.warning("the people files are wrong, and the people as they were hold: %s", read.why)
            return
        trouble("contacts", unknown_channels(read.people, self._channels))
        async with books.turn:
            if read.people == books.state.policy.people:
                return
            try:
                await books.append([PolicyLoaded(replace(books.state.policy, people=read.people), read.sources)], now())
            except JournalError as error:
                log.error("the people files changed, and that could not be journaled: %s", error)
                self._seen = (0, ())  # the next look tries again


def _mark(file: Path) -> _Mark | None:
    try:
        if not file.is_file():
            return None
        stat = file.stat()
    except OSError:
        return None
    return str(file), stat.st_mtime_ns, stat.st_size
