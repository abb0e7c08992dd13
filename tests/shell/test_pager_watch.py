"""What people do in PagerDuty and Opsgenie comes back: a real watch, its journal and loop, both contract fakes at the other
end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from tests.alerts.conftest import until
from tests.shell.conftest import make_settings
from tests.shell.test_slack_watch import KEY, alert, entries, on_watch

from midwatch.adapters.fakes.opsgenie import FakeOpsgenie
from midwatch.adapters.fakes.pagerduty import FakePagerDuty
from midwatch.faces.api import pager_routes
from midwatch.model.errors import JournalError
from midwatch.model.events import AcknowledgementExpired, CommandGiven, CommandRefused, IncidentAcknowledged
from midwatch.model.people import Contact, People, Person
from midwatch.model.policy import PagePolicy, Policy
from midwatch.model.room import Room
from midwatch.model.state import State
from midwatch.shell.config import IntegrationSettings, Settings
from midwatch.shell.run import Watch

PEOPLE = People(
    (
        Person("ana", contacts=(Contact("mail", "ana@example.org"),), known_as=("PLH1HKV",)),
        Person("bo", known_as=("PBO", "bo@example.org")),
    )
)
POLICY = Policy(
    paging=PagePolicy(("pager", "genie"), repeat_seconds=3600.0), resolve_after_seconds=3600.0, people=PEOPLE
)
PLACE = "midwatch/INC-1"
Done = tuple[bytes, dict[str, str]]


def settings_of(
    folder: Path, pager: FakePagerDuty, genie: FakeOpsgenie, monkeypatch: pytest.MonkeyPatch, **more: Any
) -> Settings:
    for name, value in (
        ("PD_KEY", pager.routing_key), ("PD_HOOK", pager.webhook_secrets[0]), ("OG_KEY", genie.api_key),
        ("OG_HOOK", genie.webhook_secret), ("AM_KEY", KEY),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    channels = {
        "pager": {
            "type": "pagerduty", "routing_key": "env:PD_KEY", "webhook_secret": "env:PD_HOOK", "api_url": pager.url,
        },
        "genie": {"type": "opsgenie", "api_key": "env:OG_KEY", "webhook_secret": "env:OG_HOOK", "api_url": genie.url},
        "silent": {"type": "pagerduty", "routing_key": "env:PD_KEY", "api_url": pager.url},
    }  # fmt: skip
    integrations = {"prom": IntegrationSettings(kind="alertmanager", key="env:AM_KEY")}
    return make_settings(folder, channels=channels, integrations=integrations, **more)


class Sender:
    """Delivers what a fake says, and reads what becomes of it."""

    def __init__(self, client: httpx.AsyncClient, watch: Watch, pager: FakePagerDuty, genie: FakeOpsgenie) -> None:
        self.client, self.watch, self.fakes = client, watch, {"pager": pager, "genie": genie}

    async def deliver(self, channel: str, done: Done, **headers: str) -> tuple[int, str]:
        product = "opsgenie" if channel == "genie" else "pagerduty"
        body, given = done
        answer = await self.client.post(f"/in/{product}/{channel}", content=body, headers={**given, **headers})
        read = answer.json()
        return answer.status_code, read.get("status", read.get("error"))

    def does(self, channel: str, what: str, place: str = PLACE, *, ago: float = 0.0, **how: Any) -> Done:
        return self.fakes[channel].does(what, place, self.watch.now() - ago, **how)

    async def done(self, channel: str, what: str, place: str = PLACE, **how: Any) -> tuple[int, str]:
        return await self.deliver(channel, self.does(channel, what, place, **how))


def played(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *acts: Callable[[Sender], Any],
    policy: Policy = POLICY,
    **more: Any,
) -> tuple[list[Any], FakePagerDuty, FakeOpsgenie, Settings]:
    """Each of ``acts`` with a watch of its own on the same folder; what is in the journal afterwards."""
    with FakePagerDuty() as pager, FakeOpsgenie() as genie:
        settings = settings_of(folder, pager, genie, monkeypatch, **more)

        async def go() -> None:
            for act in acts:
                async with on_watch(settings, policy) as (watch, client):
                    await act(Sender(client, watch, pager, genie))

        asyncio.run(go())
        return entries(settings), pager, genie, settings


async def paged(one: Sender) -> None:
    await alert(one.client, 1)
    await until(lambda: PLACE in one.fakes["pager"].alerts and PLACE in one.fakes["genie"].alerts, what="both paged")
    await until(lambda: all(p.place for p in one.watch.state.pages_of("INC-1")), what="the places in the journal")


def sent(fake: Any, what: str) -> int:
    """How often midwatch told the product ``what``."""
    told = [
        r.read["event_action"] if isinstance(fake, FakePagerDuty) else r.path.rpartition("/")[2] for r in fake.requests
    ]
    return told.count(what)


def test_what_people_do_there_is_done_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Done] = []

    def incident(one: Sender) -> Any:
        return one.watch.state.incidents["INC-1"]

    async def first(one: Sender) -> None:
        await paged(one)
        genie = one.fakes["genie"]
        kept.append(one.does("pager", "acknowledged"))
        assert await one.deliver("pager", kept[0]) == (202, "taken")
        await until(lambda: incident(one).acknowledged_by == "ana")
        await until(lambda: genie.alerts[PLACE] == "acknowledged", what="the other product hears of it")
        assert await one.deliver("pager", kept[0]) == (202, "known"), "delivered again"
        assert await one.done("pager", "acknowledged") == (202, "ignored"), "once more, by the same person"
        echo = {"user": "ana", "through": "api", "name": "midwatch"}
        assert await one.done("genie", "Acknowledge", **echo) == (202, "ignored"), "midwatch did that itself"
        assert await one.done("pager", "acknowledged", user=None) == (202, "ignored"), "an API did that"
        assert await one.done("pager", "annotated", note="look at the pool", user=("PZED", "Zed")) == (202, "taken")
        assert await one.done("pager", "reassigned", to=("PBO", "Bo B")) == (202, "taken")
        await until(lambda: one.watch.state.rooms.get("INC-1", Room()).roles == {"commander": "bo"})
        assert await one.done("genie", "TakeOwnership", user="bo@example.org") == (202, "ignored"), "he is it already"
        assert await one.done("pager", "unacknowledged", user=None) == (202, "taken"), "its time there is over"
        await until(lambda: not incident(one).acknowledged_by)
        assert await one.done("genie", "Acknowledge", basic=True) == (202, "taken")
        await until(lambda: incident(one).acknowledged_by == "ana" and sent(one.fakes["pager"], "acknowledge") == 1)

    async def second(one: Sender) -> None:
        assert await one.deliver("pager", kept[0]) == (202, "known"), "the journal remembers"
        assert await one.done("genie", "AddNote", note="pool is 5") == (202, "taken")
        assert await one.done("pager", "resolved", merged=True) == (202, "ignored"), "merged there is not over"
        assert await one.done("genie", "Close", user="System") == (202, "ignored"), "a policy is no person"
        assert await one.done("genie", "Close") == (202, "taken")
        await until(lambda: incident(one).phase == "resolved" and sent(one.fakes["pager"], "resolve"))
        assert await one.done("pager", "acknowledged") == (202, "ignored"), "it is over"

    said, pager, genie, settings = played(tmp_path, monkeypatch, first, second)
    given = [(e.verb, e.by, e.via, e.channel, e.value or e.note) for e in said if isinstance(e, CommandGiven)]
    assert given == [
        ("ack", "ana", "pagerduty", "pager", ""),
        ("note", "Zed (PagerDuty)", "pagerduty", "pager", "look at the pool"),
        ("role", "ana", "pagerduty", "pager", "commander bo"),
        ("unack", "PagerDuty", "pagerduty", "pager", ""),
        ("ack", "ana", "opsgenie", "genie", ""),
        ("note", "ana", "opsgenie", "genie", "pool is 5"),
        ("resolve", "ana", "opsgenie", "genie", ""),
    ]
    assert len([e for e in said if isinstance(e, IncidentAcknowledged)]) == 2
    assert [e.why for e in said if isinstance(e, AcknowledgementExpired)] == ["PagerDuty took it back"]
    assert not [e for e in said if isinstance(e, CommandRefused)]
    assert sent(genie, "acknowledge") == 1 and sent(genie, "close") == 0, "what came from there is not sent back"
    everything = settings.journal_file.read_bytes()
    for secret in (pager.routing_key, genie.api_key, genie.webhook_secret, *pager.webhook_secrets):
        assert secret.encode() not in everything


def test_what_is_forged_old_broken_or_about_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(one: Sender) -> None:
        await paged(one)
        pager, genie = one.fakes["pager"], one.fakes["genie"]
        right = one.does("pager", "acknowledged")
        assert (await one.deliver("pager", (right[0] + b" ", right[1])))[0] == 401
        assert (await one.deliver("pager", (right[0], {})))[0] == 401
        assert (await one.deliver("silent", right)) == (401, "this channel has no webhook_secret")
        assert (await one.deliver("genie", one.does("genie", "Acknowledge"), Authorization="Bearer wrong"))[0] == 401
        assert (await one.deliver("genie", right))[0] == 401
        assert (await one.deliver("nobody", right))[0] == 404
        assert (await one.done("pager", "acknowledged", ago=7 * 3600.0))[0] == 409
        assert (await one.done("genie", "Acknowledge", ago=-7200.0))[0] == 409
        assert (await one.client.get("/in/pagerduty/pager")).status_code == 405
        assert (await one.deliver("pager", (b"x" * 300_000, {})))[0] == 413
        assert (await one.client.post("/in/pagerduty/genie", content=b"{}")).status_code == 404
        shown = {"Authorization": f"Bearer {genie.webhook_secret}"}
        for body in (b"", b"{", b"[]", b"{}", b'{"action": 3, "alert": []}', b'{"alert":' * 20_000, b'"\\ud800"'):
            assert (await one.deliver("genie", (body, shown)))[0] == 400, body[:20]
        assert await one.deliver("pager", pager.signed("pagey.ping", one.watch.now(), {"type": "ping"})) == (
            202,
            "ignored",
        )
        for place in ("other/INC-1", "midwatch/INC-9", "d3640fbd41094207a1c11e58e46b1662"):
            assert await one.done("pager", "acknowledged", place) == (202, "ignored")
        assert not one.watch.state.incidents["INC-1"].acknowledged_by
        pager.webhook_secrets.insert(0, "n" * 40)  # being replaced: the old one signs too
        assert await one.done("pager", "acknowledged") == (202, "taken")
        dropped = {reason: count for (source, reason), count in one.watch.inbox.dropped.items() if source == "pager"}
        assert dropped == {"refused with 401": 2, "refused with 405": 1, "refused with 409": 1, "refused with 413": 1}

    said, *_ = played(tmp_path, monkeypatch, act)
    assert len([e for e in said if isinstance(e, CommandGiven)]) == 1


def test_a_standby_has_it_sent_to_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pager, genie = FakePagerDuty(), FakeOpsgenie()
    pager.url = genie.url = "http://127.0.0.1:9"
    watch = SimpleNamespace(
        settings=settings_of(tmp_path, pager, genie, monkeypatch),
        duty=SimpleNamespace(leading=False, words=lambda: "another replica is on watch"),
        state=State(),
        now=lambda: 1.8e9,
    )

    async def go() -> list[tuple[int, str]]:
        routes: Any = pager_routes.PagerRoutes(cast(Any, None), cast(Any, watch))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(routes), base_url="http://watch") as client:
            one = Sender(client, cast(Any, watch), pager, genie)
            ping = pager.signed("pagey.ping", 1.8e9, {"type": "ping"})
            return [await one.done("pager", "acknowledged"), await one.deliver("pager", ping)]

    assert asyncio.run(go()) == [(503, "another replica is on watch"), (202, "ignored")]


def test_people_there_have_the_roles_that_they_have_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pager_routes, "PER_MINUTE", 5)

    async def act(one: Sender) -> None:
        await paged(one)
        assert await one.done("genie", "Acknowledge") == (202, "refused"), "ana may only look"
        assert await one.done("pager", "resolved", user=("PZED", "Zed")) == (202, "refused"), "nobody knows Zed"
        assert await one.done("pager", "acknowledged", user=("PBO", "Bo B")) == (202, "taken")
        await until(lambda: one.watch.state.incidents["INC-1"].acknowledged_by == "bo")
        assert await one.done("pager", "unacknowledged", user=None) == (202, "taken")
        await until(lambda: not one.watch.state.incidents["INC-1"].acknowledged_by)
        late = one.does("pager", "resolved", user=("PBO", "Bo B"))
        with monkeypatch.context() as patch:
            patch.setattr(one.watch, "command", unwritten)
            assert (await one.deliver("pager", late))[0] == 503
        assert await one.deliver("pager", late) == (202, "taken"), "it comes again, and is not taken for known"
        assert 429 in [(await one.deliver("pager", late))[0] for _ in range(20)], "a flood waits"
        assert await one.done("genie", "AddTags") == (202, "ignored"), "and others are served"

    async def unwritten(given: CommandGiven) -> None:
        raise JournalError("the disk is full")

    access = {"people": {"ana": "viewer", "bo": "responder"}}
    said, *_ = played(tmp_path, monkeypatch, act, access=access)
    assert [e.verb for e in said if isinstance(e, CommandGiven)] == ["ack", "unack", "resolve"]
