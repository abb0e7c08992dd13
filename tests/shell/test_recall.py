"""Timelines from before a start are read when somebody asks, and only the time of their incident."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from midwatch.model import events as e
from midwatch.model.actions import Action, Outcome, Verdict
from midwatch.model.events import Recorded
from midwatch.shell import books as books_module
from midwatch.shell.books import Books
from midwatch.shell.health import Health
from midwatch.shell.journal.memory import MemoryJournal
from midwatch.shell.journal.sqlite import SqliteJournal
from midwatch.shell.recall import AFTER_SECONDS, entries_of
from midwatch.shell.timeline import Chronicle

AT, DAY = 1_790_000_000.0, 86400.0
QUIET = 3000  # entries between two incidents


def story(number: int, at: float) -> list[tuple[float, e.Event]]:
    """An incident of ten minutes with an action, an update and a post-mortem."""
    ident, act = f"INC-{number}", f"ACT-{number}"
    action = Action(act, f"k{number}", ident, "restart-slow", "restart", "service:payment")
    return [
        (at, e.IncidentOpened(ident, "payment is slow", at - 20, 2, "15 %", (), ("service:payment",))),
        (at + 10, e.ActionJudged(action, Verdict("run", "autonomy", "may"))),
        (at + 10, e.ActionOrdered(act)),
        (at + 20, e.ActionEnded(act, Outcome("done", "restarted"))),
        (at + 30, e.UpdateWritten(ident, f"words of {ident}")),
        (at + 600, e.IncidentResolved(ident, "calm")),
        (at + 600, e.PostmortemWritten(ident, f"# {ident}")),
    ]


def written() -> list[tuple[float, e.Event]]:
    """Two incidents, a month of little things between them and after them."""
    quiet = [(AT + 700 + i * 30 * DAY / QUIET, e.GapOpened(f"service:s{i % 7}", "silent")) for i in range(QUIET)]
    second = story(2, AT + 31 * DAY)
    later = [(AT + 32 * DAY + i, e.GapClosed(f"service:s{i % 7}")) for i in range(QUIET)]
    return [*story(1, AT), *quiet, *second, *later]


def filled(journal: MemoryJournal | SqliteJournal) -> MemoryJournal | SqliteJournal:
    events = written()
    for at in sorted({at for at, _ in events}):
        journal.append([event for when, event in events if when == at], at)
    return journal


class Counting(MemoryJournal):
    """Counts what is read of it."""

    def read(self, after_seq: int = 0) -> Iterator[Recorded]:
        for one in super().read(after_seq):
            self.counted = getattr(self, "counted", 0) + 1
            yield one


@pytest.mark.parametrize("at", [0.0, AT, AT + 10, AT + 10.5, AT + 600, AT + 40 * DAY])
def test_the_last_entry_before_a_moment(tmp_path: Path, at: float) -> None:
    few = story(1, AT)
    for journal in (MemoryJournal(), SqliteJournal(tmp_path / "j.sqlite", ballast_bytes=0)):
        assert journal.seq_before(at) == 0
        for when, event in few:
            journal.append([event], when)
        assert journal.seq_before(at) == sum(when < at for when, _ in few)
        journal.close()


def test_a_start_reads_little_and_an_old_incident_is_told_as_if_all_had_been_read() -> None:
    async def go() -> None:
        journal = Counting()
        filled(journal)
        whole = Chronicle().read(MemoryJournal.read(journal))
        state = journal.load_state()
        journal.snapshot(state)
        journal.counted = 0
        books = Books(Health(), lambda: AT + 60 * DAY, lambda _: None)
        await books.open(lambda: journal)
        assert journal.counted <= books_module.MAX_UNRECORDED
        assert books.chronicle.of("INC-2") == () and not books.chronicle.postmortems
        # What is said after the start belongs to the incident though its action is older than the process.
        await books.append([e.ActionDropped("ACT-2", "settled", "ana")], AT + 60 * DAY)
        (live,) = books.chronicle.of("INC-2")
        for ident in ("INC-1", "INC-2"):
            told = await books.recall(books.state.incidents[ident])
            assert (await books.recall(books.state.incidents[ident])) is told
            assert told.of(ident) == whole.of(ident) + ((live,) if ident == "INC-2" else ())
            assert told.updates[ident] == whole.updates[ident] and told.postmortems[ident] == f"# {ident}"
        await books.close()

    asyncio.run(go())


def test_only_the_time_of_the_incident_is_read() -> None:
    journal = filled(MemoryJournal())
    state = journal.load_state()
    first = entries_of(journal, state.incidents["INC-1"], state.seq)
    assert first[0].seq == 1 and first[-1].at < AT + 600 + AFTER_SECONDS
    assert len(first) < 7 + QUIET / 3
    second = entries_of(journal, state.incidents["INC-2"], state.seq)
    assert isinstance(second[0].event, e.IncidentOpened) or second[0].at > AT + 30 * DAY
    assert entries_of(journal, state.incidents["INC-2"], 5) == []
