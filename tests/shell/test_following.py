"""What channels hear between pages: in order, put together while they are slow, and never a reason to fail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from midwatch.model.errors import ChannelError
from midwatch.model.events import (
    Event,
    IncidentAcknowledged,
    IncidentOpened,
    PageEnded,
    PageOrdered,
    Recorded,
    UpdateWritten,
)
from midwatch.model.fold import fold
from midwatch.model.standing import Standing
from midwatch.model.state import State
from midwatch.shell import following as module
from midwatch.shell.following import Following, place_of

OPENED = IncidentOpened("INC-1", "payment fails", 1.0, 2, "15 %", (), ("service:payment",))


class Board:
    """A follower that can be slow, and can fail as its script says."""

    name = "board"

    def __init__(self, *script: Exception) -> None:
        self.script, self.shown = list(script), []  # type: ignore[var-annotated]
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def send(self, page: PageOrdered) -> None: ...

    async def page(self, page: PageOrdered, standing: Standing, place: str) -> str:
        return place

    async def follow(self, standing: Standing, place: str) -> None:
        await self.go_on.wait()
        if self.script:
            raise self.script.pop(0)
        self.shown.append((place, standing.acknowledged_by, standing.happened))


class Bench:
    def __init__(self, board: Board) -> None:
        self.state, self.board = State(), board
        self.tasks: list[asyncio.Task[None]] = []
        self.following = Following(
            {"board": board}, lambda: self.state, lambda work: self.tasks.append(asyncio.ensure_future(work))
        )

    def said(self, *events: Event) -> None:
        for event in events:
            self.state = fold(self.state, Recorded(self.state.seq + 1, 1.0 + self.state.seq, event))
        self.following.hear(events)

    async def done(self) -> Sequence[tuple[str, str, tuple[str, ...]]]:
        while self.tasks:
            await self.tasks.pop()
        return self.board.shown


def page(number: int, to: str = "") -> PageOrdered:
    return PageOrdered(f"PAGE-{number}", "INC-1", f"INC-1/board/{number}", "board", "s", "t", to=to)


def test_it_waits_for_the_place_and_tells_everything_once() -> None:
    async def go() -> None:
        bench = Bench(Board())
        bench.said(OPENED, page(1))
        bench.said(UpdateWritten("INC-1", "Half fail."))
        assert not await bench.done(), "the page is on its way"
        bench.said(PageEnded("PAGE-1", "delivered", place="C0:1"))
        assert await bench.done() == [("C0:1", "", ("Half fail.",))]
        bench.said(IncidentAcknowledged("INC-1", "ana"))
        assert (await bench.done())[1:] == [("C0:1", "ana", ("ana acknowledged it.",))]

    asyncio.run(go())


def test_what_a_page_says_is_not_said_again_under_it() -> None:
    async def go() -> None:
        bench = Bench(Board())
        bench.said(OPENED, UpdateWritten("INC-1", "Half fail."), page(1, "U0ANA"))
        bench.said(PageEnded("PAGE-1", "delivered", place="D1:1"))
        assert not await bench.done(), "the page has said it"
        bench.said(page(2, "U0BO"), IncidentAcknowledged("INC-1", "ana"), UpdateWritten("INC-1", "All fail."))
        bench.said(PageEnded("PAGE-2", "delivered", place="D2:7"))
        assert sorted(await bench.done()) == [
            ("D1:1", "ana", ("ana acknowledged it.", "All fail.")),
            ("D2:7", "ana", ("ana acknowledged it.",)),
        ]

    asyncio.run(go())


def test_what_was_on_its_way_before_a_page_is_not_shown_last() -> None:
    async def go() -> None:
        board = Board()
        bench = Bench(board)
        bench.said(OPENED, page(1), PageEnded("PAGE-1", "delivered", place="C0:1"))
        board.go_on.clear()
        bench.said(UpdateWritten("INC-1", "Half fail."))
        await asyncio.sleep(0)
        bench.said(UpdateWritten("INC-1", "All fail."), page(2))
        board.go_on.set()
        assert await bench.done() == [("C0:1", "", ("Half fail.",)), ("C0:1", "", ())]

    asyncio.run(go())


def test_what_a_slow_channel_missed_is_put_together() -> None:
    async def go() -> None:
        board = Board()
        bench = Bench(board)
        bench.said(OPENED, page(1), PageEnded("PAGE-1", "delivered", place="C0:1"))
        board.go_on.clear()
        bench.said(UpdateWritten("INC-1", "one"))
        await asyncio.sleep(0)
        for word in ("two", "three"):
            bench.said(UpdateWritten("INC-1", word))
        bench.said(IncidentAcknowledged("INC-1", "ana"))
        board.go_on.set()
        assert [happened for _, _, happened in await bench.done()] == [
            ("one",),
            ("two", "three", "ana acknowledged it."),
        ]

    asyncio.run(go())


def test_each_person_has_a_place_of_their_own() -> None:
    async def go() -> None:
        bench = Bench(Board())
        bench.said(OPENED, page(1, "U0ANA"), page(2, "U0BO"))
        bench.said(PageEnded("PAGE-1", "delivered", place="D1:1"), PageEnded("PAGE-2", "delivered", place="D2:7"))
        assert place_of(bench.state, "INC-1", "board", "U0BO") == "D2:7"
        bench.said(IncidentAcknowledged("INC-1", "ana"))
        assert sorted(place for place, _, _ in await bench.done()) == ["D1:1", "D2:7"]

    asyncio.run(go())


def test_a_failure_is_tried_again_with_what_came_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        bench = Bench(Board(ChannelError("busy", retry_after_seconds=30.0)))
        bench.said(OPENED, page(1), PageEnded("PAGE-1", "delivered", place="C0:1"))

        async def meanwhile(seconds: float) -> None:
            assert seconds == 30.0
            bench.said(UpdateWritten("INC-1", "two"))

        monkeypatch.setattr(module.asyncio, "sleep", meanwhile)
        bench.said(UpdateWritten("INC-1", "one"))
        assert [happened for _, _, happened in await bench.done()] == [("one", "two")]

    asyncio.run(go())


@pytest.mark.parametrize("error", [ChannelError("no", retry_after_seconds=None), RuntimeError("broken")])
def test_what_will_never_work_is_counted_and_left(error: Exception) -> None:
    async def go() -> None:
        bench = Bench(Board(error))
        bench.said(OPENED, page(1), PageEnded("PAGE-1", "delivered", place="C0:1"))
        bench.said(UpdateWritten("INC-1", "one"))
        await bench.done()
        bench.said(UpdateWritten("INC-1", "two"))
        assert [happened for _, _, happened in await bench.done()] == [("two",)]
        assert bench.following.counters == {"followed": 1, "follow_failed": 1}

    asyncio.run(go())


def test_after_a_restart_each_open_place_is_shown_once() -> None:
    async def go() -> None:
        old = Bench(Board())
        old.said(OPENED, page(1), PageEnded("PAGE-1", "delivered", place="C0:1"), IncidentAcknowledged("INC-1", "ana"))
        await old.done()
        new = Bench(Board())
        new.state = old.state
        new.following.show_again(new.state)
        assert await new.done() == [("C0:1", "ana", ())]

    asyncio.run(go())
