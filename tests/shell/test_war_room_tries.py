"""What is asked of a chat more than once, or not at all: pauses, outages, lost answers, a lost lease."""

from __future__ import annotations

import asyncio

import pytest
from tests.shell.test_war_rooms import OPENED, ORDERS, Process, ended

from midwatch.adapters.fakes.server import Answer, Asked
from midwatch.adapters.fakes.slack import FakeSlack
from midwatch.model import events as e
from midwatch.shell import war_rooms


def test_a_pause_is_waited_out_and_an_outage_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float, *_: object) -> None:
        waits.append(seconds)
        await real(0)

    async def go(fake: FakeSlack) -> None:
        process = Process(fake, [OPENED])
        fake.answers += [Answer(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "3"}), Answer(503)]
        await process.say(ORDERS[0])
        assert ended(process.journal)[0] == ("open", True) and waits.count(3.0) == 1
        fake.answers += [Answer(503)] * war_rooms.ATTEMPTS
        await process.say(ORDERS[1])
        assert ended(process.journal)[-1] == ("invite", False)
        assert "503" in process.state().war_rooms["INC-1"].invited["ana"]

    monkeypatch.setattr(war_rooms.asyncio, "sleep", sleep)
    with FakeSlack(created=1000.0) as fake:
        asyncio.run(go(fake))


class Forgetful(FakeSlack):
    """Posts the first summary, and its answer is lost."""

    def answer(self, asked: Asked) -> Answer:
        said = super().answer(asked)
        return Answer(503) if asked.path == "/api/chat.postMessage" and len(self.messages) == 1 else said


def test_a_summary_whose_answer_was_lost_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = asyncio.sleep

    async def sleep(_: float) -> None:
        await real(0)

    async def go(fake: FakeSlack) -> None:
        process = Process(fake, [OPENED])
        await process.say(ORDERS[0])
        assert ended(process.journal) == [("open", True), ("summary", True)]
        assert list(fake.messages) == [process.state().war_rooms["INC-1"].summary]

    monkeypatch.setattr(war_rooms.asyncio, "sleep", sleep)
    with Forgetful(created=1000.0) as fake:
        asyncio.run(go(fake))


def test_nothing_is_asked_of_the_chat_without_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    real = asyncio.sleep

    async def go(fake: FakeSlack) -> None:
        process = Process(fake, [OPENED])
        returns = False

        async def sleep(_: float) -> None:
            process.leading = returns
            await real(0)

        monkeypatch.setattr(war_rooms.asyncio, "sleep", sleep)
        process.leading = False
        await process.say(ORDERS[0])
        assert fake.requests == [] and process.state().war_rooms["INC-1"].why == "the lease of this watch is not held"
        process = Process(fake, [OPENED])
        process.leading, returns = False, True
        await process.say(ORDERS[0])
        assert ended(process.journal) == [("open", True), ("summary", True)], "it came back before the last try"

    with FakeSlack(created=1000.0) as fake:
        asyncio.run(go(fake))


def test_who_waits_for_the_next_try_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    real = asyncio.sleep

    async def go(fake: FakeSlack) -> None:
        process = Process(fake, [OPENED, e.IncidentOpened("INC-2", "x", 0.0, 1, "", (), ())])
        fake.answers.append(Answer(503))
        orders = (ORDERS[0], e.WarRoomOrdered("INC-2", "open", "team", "inc-2-x"))
        process.journal.extend(orders)
        process.rooms.hear(orders[:1])
        (first,) = process.tasks

        async def sleep(_: float) -> None:
            for _turn in range(500 if asyncio.current_task() is first else 0):
                if ended(process.journal):
                    break
                await real(0.02)
            await real(0)

        monkeypatch.setattr(war_rooms.asyncio, "sleep", sleep)
        process.rooms.hear(orders[1:])
        await process.over()
        opened = [one.incident for one in process.journal if isinstance(one, e.WarRoomEnded) and one.what == "open"]
        assert opened == ["INC-2", "INC-1"]

    monkeypatch.setattr(war_rooms, "AT_ONCE", 1)
    with FakeSlack(created=1000.0) as fake:
        asyncio.run(go(fake))
