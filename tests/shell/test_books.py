"""The books: state is the fold of the journal, whatever happens to whoever writes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Sequence

from midwatch.model.errors import JournalError
from midwatch.model.events import Event, GapClosed, GapOpened, Recorded
from midwatch.model.state import fold_all
from midwatch.shell.books import Books
from midwatch.shell.health import Health
from midwatch.shell.journal import Head
from midwatch.shell.journal.memory import MemoryJournal


class Slow(MemoryJournal):
    """Writes when it is let go, and then cannot be read."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.blind = threading.Event(), False

    def append(self, events: Sequence[Event], at: float) -> list[Recorded]:
        self.go.wait(5)
        return super().append(events, at)

    def head(self) -> Head:
        if self.blind:
            raise JournalError("the disk is gone")
        return super().head()


async def opened(journal: MemoryJournal) -> Books:
    books = Books(Health(), lambda: 1.0, lambda _: None)
    await books.open(lambda: journal)
    return books


def test_what_was_written_while_its_writer_was_cancelled_is_folded() -> None:
    async def go() -> None:
        journal = Slow()
        books = await opened(journal)
        writer = asyncio.create_task(books.append([GapOpened("service:payment", "silent")], 1.0))
        await asyncio.sleep(0.02)
        writer.cancel()
        await asyncio.sleep(0.02)
        journal.go.set()
        with contextlib.suppress(asyncio.CancelledError):
            await writer
        assert writer.cancelled() and books.state == fold_all(journal.read()) and books.state.seq == 1
        await books.close()

    asyncio.run(go())


def test_an_entry_that_was_written_counts_though_the_head_cannot_be_read() -> None:
    async def go() -> None:
        journal = Slow()
        journal.go.set()
        books = await opened(journal)
        journal.blind = True
        await books.append([GapOpened("service:payment", "silent")], 1.0)
        assert books.state.seq == 1 and "service:payment" in books.state.gaps
        await books.close()

    asyncio.run(go())


class Counting(MemoryJournal):
    """Remembers how many events each append held."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def append(self, events: Sequence[Event], at: float) -> list[Recorded]:
        self.sizes.append(len(events))
        return super().append(events, at)


def test_outcomes_that_wait_together_are_written_together() -> None:
    """So that a thousand pages at once hold up nobody who waits for the journal after them."""

    async def go() -> None:
        journal = Counting()
        books = await opened(journal)
        async with books.turn:
            outcomes = [asyncio.create_task(books.record(GapClosed(f"service:{n}"))) for n in range(100)]
            await asyncio.sleep(0.02)
        await asyncio.gather(*outcomes)
        assert journal.sizes == [100] and books.state.seq == 100
        await books.close()

    asyncio.run(go())
