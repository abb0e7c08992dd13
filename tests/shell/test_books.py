"""The books: state is the fold of the journal, whatever happens to whoever writes."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path

from midwatch import shell
from midwatch.model import events
from midwatch.model.errors import JournalError
from midwatch.model.events import (
    CommandGiven,
    Event,
    GapClosed,
    GapOpened,
    IncidentAcknowledged,
    ItemClosed,
    Recorded,
    WarRoomEnded,
)
from midwatch.model.fold import fold_all
from midwatch.shell.books import NOT_OF_A_TURN, Books
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


def test_what_a_person_says_waits_for_one_entry_of_the_outcomes_before_it() -> None:
    """However many they are, and though each that is written is followed by another one."""

    async def go() -> None:
        journal = Counting()
        books = await opened(journal)

        async def two(number: int) -> None:
            await books.record(GapClosed(f"service:{number}"))
            await books.record(GapClosed(f"host:{number}"))

        async def person() -> tuple[int, ...]:
            async with books.turn:
                return tuple(journal.sizes)

        async with books.turn:
            pages = [asyncio.create_task(two(number)) for number in range(100)]
            await asyncio.sleep(0.02)
            said = asyncio.create_task(person())
            await asyncio.sleep(0.02)
        assert await said == (100,)
        await asyncio.gather(*pages)
        assert books.state.seq == 200
        await books.close()

    asyncio.run(go())


def written_by_the_shell() -> set[str]:
    """Names of all events that a file of the shell makes."""
    kinds = {name for name, kind in vars(events).items() if isinstance(kind, type) and issubclass(kind, events.Base)}
    made: set[str] = set()
    for path in Path(shell.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                made |= {node.func.id} & kinds
    return made


def test_what_the_shell_writes_between_turns_is_taken_for_no_turn() -> None:
    """Else a command that was answered with 202 is lost when the process dies before it is obeyed."""
    inputs = {"CommandGiven", "ChangeSeen"}
    never_written = {"PageOrdered", "ItemOpened"}  # the dead man's own page; an old item that is heard again
    known = {kind.__name__ for kind in NOT_OF_A_TURN}
    assert written_by_the_shell() - inputs - never_written <= known


def test_a_command_before_the_end_of_an_effect_is_still_to_be_obeyed() -> None:
    async def go() -> None:
        journal = MemoryJournal()
        said = CommandGiven("ack", "ana", "INC-1")
        journal.append([said, WarRoomEnded("INC-1", "invite", True), ItemClosed("AI-1", "jira", "Done in jira")], 1.0)
        assert [one.event for one in (await opened(journal)).unobeyed] == [said]
        journal.append([IncidentAcknowledged("INC-1", "ana")], 2.0)
        assert (await opened(journal)).unobeyed == []

    asyncio.run(go())
