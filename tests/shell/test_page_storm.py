"""Many pages at once through a channel that may only be used slowly: all arrive, none twice, none given up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from midwatch.adapters.channels import pace as module
from midwatch.adapters.channels.pace import Pace
from midwatch.adapters.channels.slack.channel import SlackChannel
from midwatch.adapters.fakes.server import Answer
from midwatch.adapters.fakes.slack import FakeSlack
from midwatch.model.events import Event, IncidentAcknowledged, IncidentOpened, PageOrdered, Recorded
from midwatch.model.fold import fold
from midwatch.model.state import State
from midwatch.shell.effects import Effects, Hands

PAGES = 50


def test_fifty_pages_through_slack_at_its_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAIT_SECONDS", 0.08)  # 50 times faster than life, as the pace below

    async def go(fake: FakeSlack) -> State:
        state = State()

        async def record(event: Event) -> None:
            nonlocal state
            state = fold(state, Recorded(state.seq + 1, 1.0 + state.seq, event))

        channel = SlackChannel(
            "team", lambda: fake.token, fake.conversation, api_url=f"{fake.url}/api", pace=Pace(0.02, 3)
        )
        effects = Effects(
            hands=Hands([]),
            channels={"team": channel},
            record=record,
            state=lambda: state,
            hands_off_file=tmp_path / "HANDS-OFF",
        )
        fake.answers += [Answer(429, None, {"Retry-After": "0"})]
        events: list[Event] = []
        for number in range(PAGES):
            ident = f"INC-{number}"
            opened = IncidentOpened(ident, "payment fails", 1.0, 2, "15 %", (), ("service:payment",))
            events += [opened, PageOrdered(f"PAGE-{number}", ident, f"{ident}/team/0", "team", "s", "t", 2)]
        for event in events:
            await record(event)
        effects.carry_out(events)
        taken = [
            IncidentAcknowledged(f"INC-{number}", "ana") for number in range(PAGES)
        ]  # while pages are on their way
        for one in taken:
            await record(one)
        effects.carry_out(taken)
        assert await effects.drain(60)
        return state

    with FakeSlack() as fake:
        state = asyncio.run(go(fake))
        assert [p.status for p in state.pages.values()] == ["delivered"] * PAGES
        assert len(fake.roots) == PAGES and len({p.place for p in state.pages.values()}) == PAGES
        shown = [str(root["blocks"]) for root in fake.roots]
        assert all("acknowledged by ana" in one for one in shown)
