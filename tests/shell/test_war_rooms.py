"""War rooms carried out: every moment at which a process may die leaves one room, and what is not possible is said."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.alerts.conftest import until
from tests.shell import war_room_lives
from tests.shell.test_regroup import Obedient
from tests.shell.test_slack_watch import POLICY, alert, entries, on_watch, settings_of, shown
from tests.shell.test_watch import journal_of, watch_of

from midwatch.adapters.channels.pace import Pace
from midwatch.adapters.channels.slack.channel import SlackChannel
from midwatch.adapters.channels.slack.commands import Typed
from midwatch.adapters.fakes.slack import FakeSlack
from midwatch.adapters.fakes.slack_rooms import EVERYTHING
from midwatch.faces.api import slack_words
from midwatch.model import events as e
from midwatch.model.fold import fold
from midwatch.model.state import State
from midwatch.model.war_room import WarRoomPolicy
from midwatch.shell.access_settings import AccessSettings
from midwatch.shell.channel_settings import SlackSettings
from midwatch.shell.config import Settings
from midwatch.shell.war_rooms import WarRooms

NAME = "inc-1-payment-errors"
OPENED = e.IncidentOpened("INC-1", "payment fails", 0.0, 2, "", (), ("service:payment",))


class Process:
    """One life of the watch over a journal that outlives it. ``dies_at``: the outcome that it does not live to write."""

    def __init__(self, fake: FakeSlack, journal: list[e.Event], dies_at: str = "") -> None:
        channel = SlackChannel(
            "team", lambda: fake.token, "C0INCIDENTS", people={"U0ANA": "ana"}, api_url=f"{fake.url}/api", pace=Pace()
        )
        self.journal, self.dies_at, self.dead = journal, dies_at, False
        self.tasks: set[asyncio.Task[None]] = set()
        self.troubles: dict[str, str] = {}
        self.leading = True
        self.rooms = WarRooms({"team": channel}, self.state, self.record, self.start, self.trouble, self.leads)

    def state(self) -> State:
        state = State()
        for n, event in enumerate(self.journal, 1):
            state = fold(state, e.Recorded(n, 1000.0 + n, event))
        return state

    async def record(self, event: e.Event) -> None:
        if isinstance(event, e.WarRoomEnded) and event.what == self.dies_at:
            self.dead = True
            raise asyncio.CancelledError
        self.journal.append(event)

    def start(self, work: Any) -> None:
        self.tasks.add(asyncio.get_running_loop().create_task(work))

    def trouble(self, part: str, why: str) -> None:
        self.troubles[part] = why

    async def leads(self) -> bool:
        return self.leading

    async def say(self, *events: e.Event) -> None:
        self.journal.extend(events)
        self.rooms.hear(events)
        await self.over()

    async def over(self) -> None:
        while self.tasks:
            await asyncio.gather(*self.tasks, return_exceptions=True)
            self.tasks = {t for t in self.tasks if not t.done()}


def ended(journal: list[e.Event]) -> list[tuple[str, bool]]:
    return [(one.what, one.done) for one in journal if isinstance(one, e.WarRoomEnded)]


ORDERS = (
    e.WarRoomOrdered("INC-1", "open", "team", NAME),
    e.WarRoomOrdered("INC-1", "invite", "team", person="ana"),
    e.IncidentResolved("INC-1", "calm"),
    e.WarRoomOrdered("INC-1", "archive", "team"),
)


@pytest.mark.parametrize("dies_at", ["", "open", "summary", "invite", "archive"])
def test_whenever_it_dies_there_is_one_room_one_summary_and_one_end(dies_at: str) -> None:
    async def go(fake: FakeSlack) -> None:
        journal: list[e.Event] = [OPENED]
        process = Process(fake, journal, dies_at)
        for order in ORDERS:
            await process.say(order)
            if process.dead:  # the next one reads the journal, and looks at what is there
                process = Process(fake, journal)
                process.rooms.reconcile()
                await process.over()
        assert ended(journal) == [("open", True), ("summary", True), ("invite", True), ("archive", True)]
        (room,) = fake.rooms.channels.values()
        assert room["name"] == NAME and room["is_archived"] and room["members"][1:] == ["U0ANA"]
        summaries = [m for m in fake.messages.values() if m.get("metadata")]
        assert len(summaries) == len(room["pins"]) == 1
        assert process.state().war_rooms["INC-1"].status == "closed"
        assert not any(process.troubles.values())

    with FakeSlack(created=1000.0) as fake:
        asyncio.run(go(fake))


def test_a_token_without_the_scope_is_named_and_the_page_remains() -> None:
    async def go(fake: FakeSlack) -> None:
        process = Process(fake, [OPENED])
        await process.say(ORDERS[0])
        room = process.state().war_rooms["INC-1"]
        assert room.status == "failed" and "lacks the scope channels:manage" in room.why
        assert "lacks the scope channels:manage" in process.troubles["war rooms"]
        asked = len(fake.requests)
        await process.say(e.DecisionMade("INC-1", "we go on here", "ana"))
        assert len(fake.requests) == asked, "once is enough"
        fake.rooms.scopes = EVERYTHING - {"pins:write"}
        second = e.IncidentOpened("INC-2", "x", 0.0, 1, "", (), ())
        await process.say(second, e.WarRoomOrdered("INC-2", "open", "team", "inc-2-x"))
        assert process.troubles["war rooms"] == "" and "pins:write" in process.troubles["war room pins"]
        held = process.state().war_rooms["INC-2"]
        assert held.usable and held.summary in fake.messages, "it is said, though it is not pinned"

    with FakeSlack(created=1000.0, scopes=frozenset({"chat:write"})) as fake:
        asyncio.run(go(fake))


def test_what_was_over_before_its_room_was_made_gets_none_unless_it_may_be_there() -> None:
    async def go(fake: FakeSlack) -> None:
        over = (OPENED, ORDERS[0], ORDERS[2])
        process = Process(fake, [*over])
        await process.say(ORDERS[0])
        assert ended(process.journal) == [("open", False)] and not fake.rooms.channels
        again = Process(fake, [*over])
        again.rooms.reconcile()
        await again.over()
        assert ended(again.journal)[0] == ("open", True), "it is found, so that it is not left behind"

    with FakeSlack(created=1000.0) as fake:
        asyncio.run(go(fake))


def test_what_people_archived_is_let_go() -> None:
    async def go(fake: FakeSlack) -> None:
        process = Process(fake, [OPENED])
        await process.say(ORDERS[0])
        fake.rooms.named(NAME)["is_archived"] = True
        await process.say(e.DecisionMade("INC-1", "we go on elsewhere", "ana"))
        assert process.state().war_rooms["INC-1"].status == "closed"
        assert "somebody archived" in [one for one in process.journal if isinstance(one, e.WarRoomEnded)][-1].why
        asked = len(fake.requests)
        await process.say(e.DecisionMade("INC-1", "more", "ana"))
        assert len(fake.requests) == asked

    with FakeSlack(created=1000.0) as fake:
        asyncio.run(go(fake))


def test_kill_9_again_and_again_leaves_one_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real processes over a real journal, each killed at its n-th append, before or after it is written."""
    points = random.Random(7)
    with FakeSlack() as fake:
        monkeypatch.setenv("SLACK_TOKEN", fake.token)
        settings = war_room_lives.settings_of(tmp_path, f"{fake.url}/api", fake.conversation)
        for _ in range(40):
            point = f"{points.choice(('before', 'after'))}_append:{points.choice((3, 4, 5))}"
            if ended_by_itself := war_room_lives.live(settings, point):
                break
        assert ended_by_itself or war_room_lives.live(settings, ""), "never at its end"
        (room,) = fake.rooms.channels.values()
        assert room["is_archived"] and room["members"][1:] == ["U0ANA"] and len(room["pins"]) == 1
        assert (
            len([m for m in fake.messages.values() if (m.get("metadata") or {}).get("event_type") == "midwatch_room"])
            == 1
        )
        held = war_room_lives.told(settings).war_rooms["INC-1"]
        assert (held.status, held.place, held.summary, held.invited) == (
            "closed",
            room["id"],
            room["pins"][0],
            {"ana": "in"},
        )


def test_what_is_typed_takes_the_role_that_it_takes_everywhere(settings: Settings) -> None:
    """And where several are open, a word says which."""
    roles = AccessSettings.model_validate({"people": {"ana": "responder", "vi": "viewer"}})
    slack = SlackSettings.model_validate(
        {"type": "slack", "token": "env:X", "channel": "C0TEAM", "people": {"U0ANA": "ana", "U0VI": "vi"}}
    )

    async def go() -> None:
        watch = watch_of(settings.model_copy(update={"access": roles}), Obedient())
        await watch.start()
        await watch.tick_once()

        async def type_in(text: str, user: str) -> str:
            return await slack_words.answer(watch, "team", slack, Typed(text, user, user.lower(), "C0TEAM"))

        assert "decide takes the role responder; vi has viewer" in await type_in("decide INC-1 stop", "U0VI")
        assert "say which incident: INC-" in await type_in("decide stop", "U0ANA")
        assert await type_in("decide INC-1 stop", "U0ANA") == "Heard: decide INC-1 stop, by ana."
        assert (await type_in("status", "U0VI")).count("INC-") == 2
        assert "declare takes the role responder; vi has viewer" in await type_in("declare it burns", "U0VI")
        assert "the words are missing" in await type_in("declare SEV2", "U0ANA")
        assert "settings name nobody" in await type_in("declare it burns", "U0EVE")
        assert "Heard: SEV1, by ana" in await type_in("declare sev1 printer: it burns", "U0ANA")
        await watch.tick_once()
        assert [one.by for one in watch.state.rooms["INC-1"].decisions] == ["ana"]
        await watch.stop()
        said = [r.event for r in journal_of(settings)]
        refused = [one for one in said if isinstance(one, e.AccessRefused)]
        assert [(one.by, one.what) for one in refused] == [("vi", "decide"), ("vi", "declare")]
        assert e.CommandGiven("declare", "ana", "", "1", "printer: it burns", "chat", "ana") in said

    asyncio.run(go())


def test_from_the_alert_to_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real watch: its loop orders, its journal knows, and its next process shows the room as it is."""
    policy = replace(POLICY, war_room=WarRoomPolicy("team", 2, link="https://watch.example", archive_seconds=0.5))

    async def go(fake: FakeSlack, settings: Any) -> None:
        async with on_watch(settings, policy) as (watch, client):
            await alert(client, 1)
            await until(lambda: watch.state.war_rooms, what="the order")
            await until(lambda: watch.state.war_rooms["INC-1"].summary, what="the room")
            name = watch.state.war_rooms["INC-1"].name
            room = fake.rooms.named(name)
            await until(lambda: room["topic"]["value"], what="its topic")
            assert room["topic"]["value"].startswith(
                "SEV2 · open · no commander yet · <https://watch.example/incidents/INC-1>"
            )
            place = watch.state.war_rooms["INC-1"].place
            await until(lambda: f"War room: <#{place}>" in shown(fake), what="the way to it")

            async def type_in(text: str, user: str = "U0ANA", channel: str = place) -> str:
                body, headers = fake.slash(text, watch.now(), user, channel)
                answer = await client.post("/in/slack/team", content=body, headers={**headers, "Host": "watch.example"})
                assert answer.status_code == 200 and answer.json()["response_type"] == "ephemeral"
                return str(answer.json()["text"])

            assert "midwatch_effects_rooms_total 1" in watch.metrics()
            assert await type_in("role commander") == "Heard: role INC-1 commander, by ana."
            await until(lambda: "commander ana" in room["topic"]["value"], what="its topic, anew")
            await until(lambda: "U0ANA" in room["members"], what="the commander in it")
            assert (
                await type_in("task @U0BO look at a &amp; <b>")
                == "Heard: task INC-1 u0bo look at a &amp;amp; &lt;b&gt;, by ana."
            )
            await until(lambda: watch.state.rooms["INC-1"].tasks)
            assert "task 1, u0bo: look at" in await type_in("status") and "commander: ana" in await type_in("status 1")
            assert "Nobody" not in await type_in("done 1")
            await until(lambda: watch.state.rooms["INC-1"].tasks[0].done_by == "ana")
            assert "ana did that already" in await type_in("done 1")
            assert "say which incident: INC-1" in await type_in("resolve", channel=fake.conversation), "not by a guess"
            assert "INC-1" in await type_in("status", user="U0EVE"), "who reads the room may look"
            for text, channel in (("decide we stop", place), ("ack", "C0ELSEWHERE"), ("status", "C0ELSEWHERE")):
                assert "you are U0EVE, and the settings name nobody" in await type_in(text, "U0EVE", channel)
            assert "there is no 'dance'" in await type_in("dance") and "/midwatch ack" in await type_in("help")
            for text in ("ack INC-9", "status 9", "escalate inc-02"):
                assert "you may ask about INC-1 only" in await type_in(text, "U0EVE"), text
            assert "SEV2" in await type_in("status inc-01", "U0EVE")
            assert "no incident '9'" in await type_in("ack INC-9"), "whom the settings name may name any"
            assert await type_in("ack", "U0EVE") == "Heard: ack INC-1, by u0eve (Slack)."
            await until(lambda: watch.state.incidents["INC-1"].acknowledged_by == "u0eve (Slack)")
            await until(lambda: any(m["text"] == "ana is commander." for m in fake.messages.values()), what="the word")
            await until(lambda: watch.state.war_rooms["INC-1"].invited.get("ana") == "in")
        async with on_watch(settings, policy) as (watch, client):
            await alert(client, 2)
            await until(lambda: watch.state.incidents["INC-1"].phase == "resolved")
            await until(lambda: watch.state.war_rooms["INC-1"].status == "closed", what="the archive")
        assert room["is_archived"] and len(fake.rooms.channels) == 1 and len(room["pins"]) == 1

    with FakeSlack() as fake:
        settings = settings_of(tmp_path, fake, monkeypatch)
        asyncio.run(go(fake, settings))
        said = [one for one in entries(settings) if isinstance(one, e.WarRoomOrdered | e.WarRoomEnded)]
        order = [(type(one).__name__[7:], one.what) for one in said if one.what != "invite"]
        assert order == [
            ("Ordered", "open"),
            ("Ended", "open"),
            ("Ended", "summary"),
            ("Ordered", "archive"),
            ("Ended", "archive"),
        ]
        given = [one for one in entries(settings) if isinstance(one, e.CommandGiven)]
        assert [(one.verb, one.by, one.credential, one.via) for one in given] == [
            ("role", "ana", "ana", "chat"),
            ("task", "ana", "ana", "chat"),
            ("task_done", "ana", "ana", "chat"),
            ("ack", "u0eve (Slack)", "", "chat"),
        ], "what was refused is no entry"
        assert fake.token.encode() not in settings.journal_file.read_bytes()
