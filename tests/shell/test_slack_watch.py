"""An incident from the alert to the button: a real watch, its journal and loop, Slack's contract fake at the other end."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import which
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from tests.alerts.conftest import recorded_bodies, until
from tests.alerts.test_alertmanager import _answers
from tests.shell.conftest import RecordingHands, make_settings
from tests.sources.prom import free_port

from midwatch.adapters.fakes.slack import FakeSlack
from midwatch.faces.front import console_factory
from midwatch.model.actions import Action, Verdict
from midwatch.model.events import ActionJudged, CommandGiven, IncidentAcknowledged, PageEnded
from midwatch.model.people import Contact, EscalationPolicy, Level, People, Person, Target, Team
from midwatch.model.policy import PagePolicy, Policy
from midwatch.shell.channels import build_channels
from midwatch.shell.config import IntegrationSettings, Settings
from midwatch.shell.journal.sqlite import open_readonly
from midwatch.shell.run import Watch

KEY = "0123456789abcdef0123456789abcdef"
POLICY = Policy(paging=PagePolicy(("team",), repeat_seconds=3600.0), resolve_after_seconds=0.5)


def settings_of(folder: Path, fake: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("SLACK_TOKEN", fake.token)
    monkeypatch.setenv("SLACK_SIGNING", fake.signing_secret)
    monkeypatch.setenv("AM_KEY", KEY)
    team = {
        "type": "slack",
        "token": "env:SLACK_TOKEN",
        "signing_secret": "env:SLACK_SIGNING",
        "channel": fake.conversation,
        "people": {"U0ANA": "ana"},
        "api_url": f"{fake.url}/api",
    }
    integrations = {"prom": IntegrationSettings(kind="alertmanager", key="env:AM_KEY")}
    return make_settings(folder, channels={"team": team}, integrations=integrations)


@asynccontextmanager
async def on_watch(settings: Settings, policy: Policy = POLICY) -> AsyncIterator[tuple[Watch, httpx.AsyncClient]]:
    watch = Watch(
        settings,
        channels=build_channels(settings),
        actuators=[RecordingHands()],
        policy=policy,
        console=console_factory(),
    )
    await watch.start()
    running = asyncio.create_task(watch.run())
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{watch.console_port}") as client:
            yield watch, client
    finally:
        watch.request_stop()
        await running
        await watch.stop()


async def alert(client: httpx.AsyncClient, number: int) -> None:
    answer = await client.post(
        "/in/alertmanager", content=recorded_bodies()[number], headers={"Authorization": f"Bearer {KEY}"}
    )
    assert answer.status_code == 200


def entries(settings: Settings) -> list[Any]:
    journal = open_readonly(settings.journal_file)
    try:
        assert journal.verify().ok
        return [one.event for one in journal.read()]
    finally:
        journal.close()


def shown(fake: FakeSlack) -> str:
    return json.dumps(fake.roots[0], ensure_ascii=False) if fake.roots else ""


def test_an_incident_pages_and_the_button_acknowledges_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go(fake: FakeSlack, settings: Settings) -> None:
        async with on_watch(settings) as (watch, client):
            await alert(client, 1)
            await until(lambda: fake.roots, what="the message in Slack")
            await until(lambda: watch.state.pages_of("INC-1")[0].place, what="its place in the journal")
            body, headers = fake.press("Acknowledge", watch.now())
            answer = await client.post("/in/slack/team", content=body, headers={**headers, "Host": "watch.example.org"})
            assert (answer.status_code, answer.content) == (200, b"")
            await until(lambda: watch.state.incidents["INC-1"].acknowledged_by == "ana")
            await until(lambda: "acknowledged by ana" in shown(fake), what="the message says so")
            await until(lambda: any("ana acknowledged it" in m["text"] for m in fake.thread()), what="and its thread")
            assert fake.told == ["Heard: ack INC-1, by ana."]
            again = await client.post("/in/slack/team", content=body, headers=headers)
            assert again.status_code == 409, "replayed"
            body, headers = fake.signed(body, watch.now() + 1)
            assert (await client.post("/in/slack/team", content=body, headers=headers)).status_code == 200
            await until(
                lambda: fake.told[1:] == ["You have INC-1 already."], what="a kind answer, and nothing journaled"
            )
        # The next process knows the place: it shows the message as it stands, and makes no second one.
        async with on_watch(settings) as (watch, client):
            await alert(client, 2)
            await until(lambda: watch.state.incidents["INC-1"].phase == "resolved")
            await until(lambda: "Resolved INC-1" in shown(fake), what="the end in the message")
            assert len(fake.roots) == 1 and "button" not in shown(fake)

    with FakeSlack() as fake:
        settings = settings_of(tmp_path, fake, monkeypatch)
        asyncio.run(go(fake, settings))
        said = entries(settings)
        (given,) = [e for e in said if isinstance(e, CommandGiven)]
        assert (given.verb, given.target, given.by, given.via, given.credential) == (
            "ack",
            "INC-1",
            "ana",
            "chat",
            "ana",
        )
        assert [e.by for e in said if isinstance(e, IncidentAcknowledged)] == ["ana"]
        assert {e.place for e in said if isinstance(e, PageEnded)} == {"C0INCIDENTS:1790000000.000001"}
        everything = settings.journal_file.read_bytes()
        assert fake.token.encode() not in everything and fake.signing_secret.encode() not in everything


def test_who_may_press_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    action = Action("ACT-1", "key-1", "INC-1", "book", "restart", "service:payment")

    async def go(fake: FakeSlack, settings: Settings) -> None:
        async with on_watch(settings) as (watch, client):
            await alert(client, 1)
            await until(lambda: fake.roots and watch.state.pages_of("INC-1")[0].place)
            async with watch.books.turn:
                recorded = await watch.books.append(
                    [ActionJudged(action, Verdict("ask", "autonomy", "a person decides"))], watch.now()
                )
            watch.effects.carry_out([one.event for one in recorded])
            await until(lambda: "Refuse ACT-1" in shown(fake))

            async def press(label: str, user: str, **changes: str) -> int:
                body, headers = fake.press(label, watch.now(), user)
                return (await client.post("/in/slack/team", content=body, headers={**headers, **changes})).status_code

            assert await press("Refuse ACT-1", "U0EVE") == 200
            await until(lambda: fake.told)
            assert "U0EVE" in fake.told[-1] and watch.state.actions["ACT-1"].status == "asked"
            assert await press("Refuse ACT-1", "U0ANA", **{"X-Slack-Signature": "v0=" + "0" * 64}) == 401
            assert await press("Refuse ACT-1", "U0ANA", **{"X-Slack-Request-Timestamp": "1"}) == 401
            assert await press("Refuse ACT-1", "U0ANA") == 200
            await until(lambda: watch.state.actions["ACT-1"].status == "dropped")
            await until(lambda: "Refuse ACT-1" not in shown(fake), what="nothing left to answer")
            assert await press("Acknowledge", "U0EVE") == 200
            await until(lambda: watch.state.incidents["INC-1"].acknowledged_by == "u0eve (Slack)")
            for path, body, status in (
                ("/in/slack/phone", b"", 404),
                ("/in/slack/team", b"x" * 70_000, 413),
                ("/in/slack/team", b"", 401),
            ):
                assert (await client.post(path, content=body)).status_code == status
            body, headers = fake.signed(b"payload=%7B", watch.now())
            assert (await client.post("/in/slack/team", content=body, headers=headers)).status_code == 400
            assert (await client.get("/in/slack/team")).status_code == 405

    with FakeSlack() as fake:
        asyncio.run(go(fake, settings_of(tmp_path, fake, monkeypatch)))


def test_levels_are_woken_in_their_own_direct_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = People(
        (Person("ana", contacts=(Contact("team", "U0ANA"),)), Person("bo", contacts=(Contact("team", "U0BO"),))),
        (Team("shop", ("ana", "bo"), escalation="shop"),),
        escalations=(
            EscalationPolicy(
                "shop", (Level((Target("person", "ana"),), 3600.0), Level((Target("person", "bo"),), 3600.0))
            ),
        ),
        catch_all="shop",
    )

    async def go(fake: FakeSlack, settings: Settings) -> None:
        async with on_watch(settings, replace(POLICY, people=people)) as (watch, client):
            await alert(client, 1)
            await until(lambda: [m["channel"] for m in fake.roots] == ["D0ANA"], what="the first level")
            await until(lambda: watch.state.pages_of("INC-1")[0].place)
            body, headers = fake.press("Escalate", watch.now())
            assert (await client.post("/in/slack/team", content=body, headers=headers)).status_code == 200
            await until(lambda: [m["channel"] for m in fake.roots] == ["D0ANA", "D0BO"], what="the second level")
            await until(lambda: all(p.place for p in watch.state.pages_of("INC-1")))
            body, headers = fake.press("Acknowledge", watch.now(), "U0BO", fake.roots[1])
            assert (await client.post("/in/slack/team", content=body, headers=headers)).status_code == 200
            await until(
                lambda: all("acknowledged by u0bo" in json.dumps(m) for m in fake.roots), what="both see who took it"
            )
            assert len(fake.roots) == 2

    with FakeSlack() as fake:
        asyncio.run(go(fake, settings_of(tmp_path, fake, monkeypatch)))


@pytest.mark.integration
@pytest.mark.skipif(which("prometheus-alertmanager") is None, reason="needs Debian's prometheus-alertmanager")
def test_from_a_real_alertmanager_to_the_button(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go(fake: FakeSlack, settings: Settings) -> None:
        async with on_watch(settings) as (watch, client):
            url = f"http://127.0.0.1:{watch.console_port}/in/alertmanager"
            hook = {"url": url, "http_config": {"authorization": {"credentials": KEY}}}
            route = {"receiver": "midwatch", "group_wait": "1ms", "group_interval": "1s", "group_by": ["alertname"]}
            file = tmp_path / "alertmanager.yml"
            file.write_text(
                json.dumps({"route": route, "receivers": [{"name": "midwatch", "webhook_configs": [hook]}]})
            )
            port = free_port()
            alertmanager = subprocess.Popen(
                [
                    "prometheus-alertmanager", f"--config.file={file}", f"--storage.path={tmp_path}/am",
                    f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--log.level=error",
                ],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                await _answers(client, f"http://127.0.0.1:{port}/api/v2/status")
                labels = {"alertname": "QueueStuck", "service": "shipping", "severity": "critical"}
                began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
                sent = await client.post(
                    f"http://127.0.0.1:{port}/api/v2/alerts", json=[{"labels": labels, "startsAt": began}]
                )
                sent.raise_for_status()
                await until(lambda: fake.roots, 30, "the message in Slack")
                assert "SEV2 INC-1: QueueStuck at shipping" in shown(fake)
                await until(lambda: watch.state.pages_of("INC-1")[0].place)
                body, headers = fake.press("Acknowledge", watch.now())
                assert (await client.post("/in/slack/team", content=body, headers=headers)).status_code == 200
                await until(lambda: "acknowledged by ana" in shown(fake), 30)
            finally:
                alertmanager.terminate()
                alertmanager.wait(10)

    with FakeSlack() as fake:
        asyncio.run(go(fake, settings_of(tmp_path, fake, monkeypatch)))
