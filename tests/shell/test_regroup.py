"""Merging and splitting through a real watch: its API, the command line, the journal and what is told of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
from tests.decide.worlds import finding
from tests.shell.test_watch import journal_of, watch_of
from typer.testing import CliRunner, Result

from midwatch.core.decide.obey import obey
from midwatch.core.learn.stage import learn
from midwatch.core.memory import Memory
from midwatch.core.turn import Turn
from midwatch.faces.api.app import api_app
from midwatch.faces.cli.app import app
from midwatch.model.events import Event, FindingOpened, IncidentGrew, IncidentOpened
from midwatch.model.fold import fold_all
from midwatch.model.state import State
from midwatch.model.world import World
from midwatch.shell.config import Settings

PAYMENT, CART, SEARCH = (finding(f"service:{name}") for name in ("payment", "cart", "search"))
BEGIN: tuple[Event, ...] = (
    FindingOpened(PAYMENT),
    FindingOpened(CART),
    FindingOpened(SEARCH),
    IncidentOpened("INC-1", "payment fails", 1.0, 2, "15 %", (PAYMENT.id,), (PAYMENT.entity,)),
    IncidentGrew("INC-1", (CART.id,), (CART.entity,), "calls"),
    IncidentOpened("INC-2", "search is slow", 2.0, 3, "1 %", (SEARCH.id,), (SEARCH.entity,)),
)


class Obedient:
    """The begin of a story, and from then on what people say."""

    def __init__(self) -> None:
        self.begun = False

    def __call__(
        self, state: State, memory: Memory, world: World, inputs: tuple[Event, ...], now: float
    ) -> tuple[tuple[Event, ...], Memory]:
        if not self.begun:
            self.begun = True
            return BEGIN, memory
        turn = learn(obey(Turn(state, memory, world, now, inputs)))
        return turn.events, turn.memory


def test_people_regroup_through_the_api_and_the_command_line(settings: Settings) -> None:
    def midwatch(*words: str) -> Result:
        args = [*words, "--folder", str(settings.folder)]
        return CliRunner().invoke(app, args, env={"COLUMNS": "160", "MIDWATCH_TOKEN": ""})

    async def go() -> None:
        watch = watch_of(settings, Obedient(), console=api_app)
        await watch.start()
        await watch.tick_once()

        async def say(*words: str) -> Any:
            told = await asyncio.to_thread(midwatch, *words)
            await watch.tick_once()
            return told

        wrong = await say("split", "1", "moon")
        assert wrong.exit_code == 2 and "INC-1 is not about 'moon'; it is about payment, cart" in wrong.stderr
        assert "midwatch show INC-1" in wrong.stderr
        assert (await say("merge", "1", "9")).exit_code == 2
        assert (await say("merge", "1", "1")).exit_code == 2
        done = await say("move", "1", "2", "cart", "--by", "ana")
        assert done.exit_code == 0 and watch.state.incidents["INC-2"].symptoms == (SEARCH.entity, CART.entity)
        done = await say("split", "2", "cart", "--by", "ana")
        assert done.exit_code == 0 and watch.state.incidents["INC-3"].split_from == "INC-2"
        body = {"verb": "merge", "by": "bo", "target": "2", "value": "3", "note": "one cable"}
        bearer = {"Authorization": f"Bearer {watch.api_token}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{watch.console_port}", trust_env=False) as client:
            assert (await client.post("/api/v1/commands", json=body, headers=bearer)).status_code == 202
            await watch.tick_once()
            twice = await client.post("/api/v1/commands", json=body, headers=bearer)
            assert twice.status_code == 400 and "INC-3 is part of INC-2 already" in twice.json()["error"]
            told = (await client.get("/api/v1/incidents/2")).json()
            gone = (await client.get("/api/v1/incidents/3")).json()
        assert told["runner_up"] is None and told["track_record"] is None and "ana said on" in told["taught"][0]
        assert told["absorbed"] == ["INC-3"] and gone["merged_into"] == "INC-2" and gone["split_from"] == "INC-2"
        assert [line["text"] for line in told["timeline"]][-2].startswith("INC-3 became part of INC-2: one cable")
        shown = json.loads((await asyncio.to_thread(midwatch, "show", "3", "--json")).stdout)
        assert any("became part of INC-2" in line["text"] for line in shown["timeline"])
        await watch.stop()
        assert fold_all(journal_of(settings)) == watch.state, "state is the fold of the journal"
        pairs = {(p.first, p.second): p.net for p in watch.state.pairings}
        assert pairs == {(CART.entity, PAYMENT.entity): -1, (CART.entity, SEARCH.entity): 1}

    asyncio.run(go())
