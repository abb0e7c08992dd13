"""War rooms in Slack against the contract fake: names, what a crash left, what the token may not do, and what is gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from midwatch.adapters.channels.pace import Pace
from midwatch.adapters.channels.slack.channel import SlackChannel
from midwatch.adapters.fakes.server import Answer
from midwatch.adapters.fakes.slack import FakeSlack
from midwatch.adapters.fakes.slack_rooms import EVERYTHING
from midwatch.adapters.testing_rooms import check_rooms
from midwatch.model.errors import ChannelError, RateLimited, RoomGone
from midwatch.model.ports import Convener, Rooms
from midwatch.model.standing import Standing

NOW = 1_790_000_000.0
MARK = "midwatch INC-12, 1790000000.000"
NAME = "inc-12-payment-errors"
STANDING = Standing("INC-12", 2, "SEV2 INC-12: payment & co", "Elevated error rates in payment.", "open")


def rooms_of(fake: FakeSlack) -> Rooms:
    people = {"U0ANA": "ana", "U0BO": "bo"}
    channel = SlackChannel(
        "team", lambda: fake.token, fake.conversation, people=people, api_url=f"{fake.url}/api", pace=Pace()
    )
    assert isinstance(channel, Convener)
    return channel.rooms


def with_rooms(what: Callable[[FakeSlack, Rooms], Awaitable[Any]], **options: Any) -> Any:
    with FakeSlack(created=NOW, **options) as fake:
        return asyncio.run(what(fake, rooms_of(fake)))  # type: ignore[arg-type]


def test_every_step_twice_comes_to_the_same() -> None:
    async def go(fake: FakeSlack, _: Rooms) -> None:
        def shown() -> str:
            channels = [{k: v for k, v in c.items() if k != "members"} for c in fake.rooms.channels.values()]
            return json.dumps([channels, list(fake.messages.values())])

        place = await check_rooms(lambda: rooms_of(fake), NOW, "ana", lambda: len(fake.rooms.channels), shown)
        assert fake.rooms.channels[place]["is_archived"] and fake.rooms.channels[place]["members"][1:] == ["U0ANA"]

    with_rooms(go)


def test_a_room_from_its_name_to_its_archive() -> None:
    async def go(fake: FakeSlack, rooms: Rooms) -> None:
        made = await rooms.open(NAME, MARK, NOW, False)
        assert (made.name, made.url) == (NAME, f"https://t.slack.com/archives/{made.place}")
        channel = fake.rooms.channels[made.place]
        assert channel["purpose"]["value"] == MARK
        summary = await rooms.summarise(made.place, STANDING, MARK, False)
        await rooms.pin(made.place, summary)
        await rooms.pin(made.place, summary)
        assert channel["pins"] == [summary] and fake.messages[summary]["text"] == "SEV2 INC-12: payment &amp; co"
        for person, to in (("ana", ""), ("ana", ""), ("cy", "U0BO")):
            await rooms.invite(made.place, person, to)
        assert channel["members"][1:] == ["U0ANA", "U0BO"]
        topic = "SEV2 · open · no commander yet · https://watch.example/incidents/INC-12?a&b"
        for _ in range(2):
            await rooms.show(made.place, summary, STANDING, topic)
        await rooms_of(fake).show(made.place, summary, STANDING, topic)  # the next process
        assert channel["topics_set"] == 1 and "&amp;b>" in channel["topic"]["value"], "said once, as Slack keeps it"
        await rooms.say(made.place, "ana acknowledged it <!channel>.")
        assert list(fake.messages.values())[-1]["text"] == "ana acknowledged it &lt;!channel&gt;."
        await rooms.archive(made.place)
        assert channel["is_archived"]
        for late in (rooms.archive(made.place), rooms.say(made.place, "more"), rooms.invite("C0NONE", "ana", "")):
            with pytest.raises(RoomGone):
                await late

    with_rooms(go)


@pytest.mark.parametrize(("purpose", "private"), [(MARK, False), ("", False), ("", True)])
def test_what_a_crash_left_is_found(purpose: str, private: bool) -> None:
    async def go(fake: FakeSlack, rooms: Rooms) -> None:
        for n in range(450):
            fake.rooms.add(f"other-{n}", is_private=private)
        left = fake.rooms.add(NAME, purpose={"value": purpose}, is_private=private)
        made = await rooms.open(NAME, MARK, NOW, private)
        assert (made.place, left["purpose"]["value"]) == (left["id"], MARK)
        first = await rooms.summarise(made.place, STANDING, MARK, True)
        await rooms.say(made.place, "something else")
        assert await rooms_of(fake).summarise(made.place, STANDING, MARK, True) == first
        assert len([m for m in fake.messages.values() if m["channel"] == made.place]) == 2

    with_rooms(go)


@pytest.mark.parametrize(
    "other",
    [
        {"creator": "U0EVE"},
        {"created": NOW - 3600},
        {"purpose": {"value": "midwatch INC-12, 1690000000.000"}},
        {"is_archived": True},
    ],
)
def test_a_channel_of_that_name_that_is_not_ours_is_left_alone(other: dict[str, Any]) -> None:
    async def go(fake: FakeSlack, rooms: Rooms) -> None:
        long = "inc-12-" + "x" * 73
        assert len(long) == 80
        for name in (NAME, long):
            fake.rooms.add(name, **other)
        assert (await rooms.open(NAME, MARK, NOW, False)).name == f"{NAME}-2"
        assert (await rooms.open(long, MARK, NOW, False)).name == f"{long[:78]}-2"
        for number in range(2, 6):
            fake.rooms.add(f"full-{number}", creator="U0EVE")
        fake.rooms.add("full", creator="U0EVE")
        with pytest.raises(ChannelError, match="called full to full-5 already") as caught:
            await rooms.open("full", MARK, NOW, False)
        assert caught.value.retry_after_seconds is None

    with_rooms(go)


def test_the_scope_that_is_missing_is_named() -> None:
    async def go(fake: FakeSlack, rooms: Rooms) -> None:
        for scopes, private, needed in ((set(), False, "channels:manage"), ({"channels:manage"}, True, "groups:write")):
            fake.rooms.scopes = frozenset({"chat:write", *scopes})
            with pytest.raises(ChannelError, match=f"missing_scope, the app lacks the scope {needed}$") as caught:
                await rooms.open(NAME, MARK, NOW, private)
            assert caught.value.retry_after_seconds is None and f"scope {needed}" in caught.value.hint

    with_rooms(go)


def test_without_a_look_at_what_is_there_it_still_works() -> None:
    async def go(fake: FakeSlack, rooms: Rooms) -> None:
        fake.rooms.add(NAME)
        made = await rooms.open(NAME, MARK, NOW, False)
        assert made.name == f"{NAME}-2", "nobody may look whose the other one is"
        summary = await rooms.summarise(made.place, STANDING, MARK, True)
        await rooms.show(made.place, summary, STANDING, "SEV2")
        assert fake.rooms.channels[made.place]["topic"]["value"] == "SEV2"

    with_rooms(go, scopes=EVERYTHING - {"channels:read", "channels:history"})


def test_who_cannot_be_called_in_is_said_and_a_pause_holds_for_all() -> None:
    async def go(fake: FakeSlack, rooms: Rooms) -> None:
        made = await rooms.open(NAME, MARK, NOW, False)
        for person, to, why in (("cy", "", "which Slack user cy is"), ("cy", "U0GONE", "user_not_found")):
            with pytest.raises(ChannelError, match=why) as caught:
                await rooms.invite(made.place, person, to)
            assert caught.value.retry_after_seconds is None
        fake.answers.append(Answer(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "30"}))
        with pytest.raises(RateLimited) as limited:
            await rooms.say(made.place, "x")
        assert limited.value.retry_after_seconds == 30
        before = len(fake.requests)
        with pytest.raises(ChannelError):
            await rooms.archive(made.place)
        assert len(fake.requests) == before, "it was told not to come back yet"

    with_rooms(go)
