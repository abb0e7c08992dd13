"""Roles per team: every verb, every role, one's own team and another one; and that each door asks."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.shell.conftest import make_settings
from tests.shell.test_access import access

import midwatch
from midwatch.adapters.channels.slack.interact import sign
from midwatch.adapters.fakes.opsgenie import FakeOpsgenie
from midwatch.adapters.fakes.pagerduty import FakePagerDuty
from midwatch.faces.front import console_factory
from midwatch.model import events as e
from midwatch.model.actions import Action, Verdict
from midwatch.model.adjustments import Adjustment
from midwatch.model.alerts import Alert
from midwatch.model.errors import Forbidden
from midwatch.model.findings import Impact
from midwatch.model.fold import fold_all
from midwatch.model.items import ActionItem
from midwatch.model.people import EscalationPolicy, Level, Override, People, Person, Schedule, Swap, Target, Team
from midwatch.model.policy import Policy
from midwatch.model.slo import Slo
from midwatch.model.state import State
from midwatch.shell.access import NEEDS, ROLES, Access
from midwatch.shell.run import Watch

TEAMS: Final = {"shop": "1", "data": "2", "": "3"}
"""Team -> the number that everything of its has here; "" owns what nobody does."""


def people() -> People:
    named = [name for name in TEAMS if name]
    return People(
        (Person("bo", known_as=("PBO", "bo@example.org")),),
        tuple(Team(name, services=(f"service:s{TEAMS[name]}",), escalation=name) for name in named),
        tuple(Schedule(f"rota-{TEAMS[name]}") for name in named),
        tuple(EscalationPolicy(name, (Level((Target("schedule", f"rota-{TEAMS[name]}"),)),)) for name in named),
    )


def one_of_each(n: str, ident: str = "") -> list[Any]:
    """An incident of the service ``s<n>``, and everything else that a command can be about."""
    ident, entity = ident or f"INC-{n}", f"service:s{n}"
    return [
        e.IncidentOpened(ident, "it", 1.0, 2, "", (), (entity,), Impact(entity, 0.0, 0.0, 1.0)),
        e.ActionJudged(
            Action(f"ACT-{n}", f"k{n}", ident, "book", "restart", entity), Verdict("ask", "autonomy", "why")
        ),
        e.PageOrdered(f"PAGE-{n}", ident, f"{ident}/0", "pager", "it", "it"),
        e.ItemOpened(ActionItem(f"AI-{n}", ident, "do it", "bo", 9.0)),
        e.AlertsReceived((Alert(f"prom:{n}", "prom", "firing", 1.0, 1.0, 2, "Down", "down", entity),)),
        e.BudgetAdjusted(Adjustment(f"ADJ-{n}", "exclude", f"slo-{n}", 0.0, 1.0, "bo", "why", 1.0)),
        e.OverrideSet(Override(f"rota-{n}", "bo", 1.0, 9.0, ident=f"OVR-{n}")),
        e.SwapAsked(Swap(f"SWP-{n}", f"rota-{n}", "bo", 1.0, 9.0)),
    ]


def state() -> State:
    slos = tuple(Slo(f"slo-{n}", f"service:s{n}", "ratio", 0.99) for n in TEAMS.values())
    told = [
        e.PolicyLoaded(Policy(people=people(), slos=slos)),
        *(one for n in TEAMS.values() for one in one_of_each(n)),
    ]
    return fold_all([e.Recorded(seq, 1.0, event) for seq, event in enumerate(told, 1)])


STATE: Final = state()
EVERYWHERE: Final = {"hands_off": "", "hands_on": "", "autonomy": "book", "silence": "service=s1", "unsilence": "SIL-1"}
"""Verbs that are about no team."""
ABOUT: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(NEEDS.keys() - EVERYWHERE.keys(), ("INC-{}", "PAGE-{}", "ACT-{}")),
    **dict.fromkeys(("approve", "refuse", "undo"), ("ACT-{}",)),
    "item_done": ("AI-{}",),
    **dict.fromkeys(("move_alert", "close_alert"), ("prom:{}",)),
    "declare": ("service:s{}",),
    "adjust": ("slo-{}", "ADJ-{}"),
    **dict.fromkeys(("override", "swap"), ("rota-{}",)),
    "override_end": ("OVR-{}",),
    "swap_answer": ("SWP-{}",),
}
"""Verb -> what it can be about: an incident, unless another thing is listed."""
FREE: Final = {"move_alert": "new"}
OTHERS: Final = {"merge": "INC-{}", "move": "INC-{} s1", "move_alert": "INC-{}"}
"""Verbs whose value names another incident, and how."""


def may(one: Access, verb: str, target: str, value: str = "") -> bool:
    try:
        one.check(e.CommandGiven(verb, "bo", target, value, credential="bo"), STATE)
    except Forbidden:
        return False
    return True


@pytest.mark.parametrize("elsewhere", ["", *ROLES])
@pytest.mark.parametrize("own", ROLES)
def test_every_verb_takes_its_role_in_the_team_that_owns_what_it_is_about(own: str, elsewhere: str) -> None:
    given = {"shop": own, **({"*": elsewhere} if elsewhere else {})}
    one = access(people={"bo": given})

    def strong(team: str, verb: str) -> bool:
        has = own if team == "shop" else elsewhere
        return bool(has) and ROLES.index(has) >= ROLES.index(NEEDS[verb])

    for verb, target in EVERYWHERE.items():
        assert may(one, verb, target) == strong("", verb), verb
    for verb, targets in ABOUT.items():
        for team, n in TEAMS.items():
            for target in targets:
                assert may(one, verb, target.format(n), FREE.get(verb, "")) == strong(team, verb), (verb, target, team)
            for other, m in TEAMS.items() if verb in OTHERS else ():
                value = OTHERS[verb].format(m)
                both = strong(team, verb) and strong(other, verb)
                assert may(one, verb, targets[0].format(n), value) == both, (verb, team, other)


def test_a_word_about_a_page_is_about_its_incident_however_strong_elsewhere() -> None:
    one = access(people={"bo": {"data": "viewer", "*": "operator"}})
    assert not may(one, "ack", "PAGE-2") and not may(one, "approve", "ACT-2") and may(one, "ack", "PAGE-1")


def test_nothing_but_the_watch_s_own_command_reaches_the_desk() -> None:
    """There the role is asked for: a door that went around it would be open."""
    folder = Path(midwatch.__file__).parent
    found = {
        str(f.relative_to(folder)) for f in folder.rglob("*.py") if re.search(r"desk\.command\(", f.read_text("utf-8"))
    }
    assert found == {"shell/run.py"}


# -- the doors --

SLACK, TOKEN, BO = "s" * 32, "t" * 24, "b" * 24
AMONG_DOORS: Final = ("api", "console", "slack", "slack-stranger", "pagerduty", "opsgenie", "machine")
MAY: Final = frozenset(AMONG_DOORS) - {"slack-stranger"}


class Doors:
    """Says ``ack`` through each door, as bo or as the program."""

    def __init__(self, watch: Watch, client: httpx.AsyncClient, pager: FakePagerDuty, genie: FakeOpsgenie) -> None:
        self.watch, self.client, self.pager, self.genie = watch, client, pager, genie
        self.csrf = ""

    async def ack(self, door: str, ident: str) -> None:
        now, place = self.watch.now(), f"midwatch/{ident}"
        match door:
            case "api" | "machine":
                answer = await self.client.post(
                    "/api/v1/commands",
                    json={"verb": "ack", "target": ident},
                    headers={"Authorization": f"Bearer {BO if door == 'api' else TOKEN}"},
                )
                assert answer.status_code in (202, 403)
            case "console":
                await self.client.post("/do", data={"verb": "ack", "target": ident, "csrf": await self._signed_in()})
            case "slack" | "slack-stranger":
                user = {"id": "U0BO" if door == "slack" else "U0EVE", "username": "eve"}
                pressed = {"type": "block_actions", "user": user, "actions": [{"action_id": f"midwatch/ack/{ident}"}]}
                body = httpx.Request("POST", "http://x", data={"payload": json.dumps(pressed)}).content
                headers = {
                    "X-Slack-Request-Timestamp": f"{now:.0f}",
                    "X-Slack-Signature": sign(SLACK, f"{now:.0f}", body),
                }
                assert (await self.client.post("/in/slack/chat", content=body, headers=headers)).status_code == 200
            case "pagerduty":
                body, headers = self.pager.does("acknowledged", place, now, user=("PBO", "Bo B"))
                assert (await self.client.post("/in/pagerduty/pager", content=body, headers=headers)).status_code == 202
            case _:
                body, headers = self.genie.does("Acknowledge", place, now, user="bo@example.org")
                assert (await self.client.post("/in/opsgenie/genie", content=body, headers=headers)).status_code == 202

    async def _signed_in(self) -> str:
        if not self.csrf:
            assert (await self.client.post("/login", data={"token": BO})).status_code == 303
            page = (await self.client.get("/")).text
            found = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
            assert found, page[:500]
            self.csrf = found[1]
        return self.csrf


def test_each_door_asks_for_the_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pager, genie = FakePagerDuty(), FakeOpsgenie()
    secrets = {"PD": pager.webhook_secrets[0], "OG": genie.webhook_secret, "SLACK": SLACK, "BO": BO, "CI": TOKEN}
    for name, value in secrets.items():
        monkeypatch.setenv(f"DOOR_{name}", value)
    roles = {"shop": "responder", "*": "viewer"}
    settings = make_settings(
        tmp_path,
        tokens={"bo": "env:DOOR_BO"},
        access={
            "people": {"bo": roles},
            "machines": {"ci": {"token": "env:DOOR_CI", "scopes": ["commands"], "role": roles}},
        },
        channels={
            "pager": {"type": "pagerduty", "routing_key": "env:DOOR_PD", "webhook_secret": "env:DOOR_PD"},
            "genie": {"type": "opsgenie", "api_key": "env:DOOR_OG", "webhook_secret": "env:DOOR_OG"},
            "chat": {
                "type": "slack", "token": "env:DOOR_SLACK", "signing_secret": "env:DOOR_SLACK", "channel": "C0123",
                "people": {"U0BO": "bo"}, "api_url": "http://127.0.0.1:9",
            },
        },
    )  # fmt: skip

    async def go() -> None:
        watch = Watch(settings, policy=Policy(people=people()), console=console_factory())
        await watch.start()
        try:
            idents = {(door, team): f"INC-{door}-{team}" for door in AMONG_DOORS for team in ("shop", "data")}
            told: list[Any] = []
            for (_, team), ident in idents.items():
                told.append(one_of_each(TEAMS[team], ident)[0])
                told += [
                    e.PageOrdered(f"P{c}-{ident}", ident, f"{c}{ident}", c, "it", "it") for c in ("pager", "genie")
                ]
            async with watch.books.turn:
                await watch.books.append(told, watch.now())
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{watch.console_port}") as client:
                doors = Doors(watch, client, pager, genie)
                for (door, _), ident in idents.items():
                    await doors.ack(door, ident)
            await watch.audit.write()
            found = [one.event for one in watch.journal.read()]
            given = {one.target for one in found if isinstance(one, e.CommandGiven)}
            assert given == {idents[door, "shop"] for door in MAY}
            refused = Counter(one.by for one in found if isinstance(one, e.AccessRefused) for _ in range(one.times))
            assert refused == {"bo": 5, "ci": 1, "eve (Slack)": 2}
            credentials = {one.credential for one in found if isinstance(one, e.CommandGiven)}
            assert credentials == {"bo", "ci"}
        finally:
            await watch.stop()

    asyncio.run(go())
