"""Incident command from outside: the command line and the API, up to the journal."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
from tests.shell.test_regroup import Obedient
from tests.shell.test_watch import journal_of, watch_of
from typer.testing import CliRunner, Result

from midwatch.faces.api.app import api_app
from midwatch.faces.cli.app import app
from midwatch.model.fold import fold_all
from midwatch.model.room import CHECKLISTS
from midwatch.shell.config import Settings


def test_roles_decisions_and_ticks_through_the_api_and_the_command_line(settings: Settings) -> None:
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

        assert (await say("role", "1", "commander", "Ana K", "--by", "bo")).exit_code == 0
        assert (await say("role", "1", "scribe", "--by", "bo")).exit_code == 0
        assert watch.state.rooms["INC-1"].roles == {"commander": "Ana K", "scribe": "bo"}
        assert (await say("role", "1", "scribe", "-")).exit_code == 0
        assert (await say("role", "1", "king")).exit_code == 2
        wrong = await say("role", "1", "scribe", "-")
        assert wrong.exit_code == 2 and "nobody is scribe" in wrong.stderr and "midwatch show INC-1" in wrong.stderr
        assert (await say("decide", "1", "fail over to eu", "--by", "ana")).exit_code == 0
        assert (await say("tick", "1", "2", "--by", "ana")).exit_code == 0
        assert (await say("tick", "1", "3", "--by", "bo")).exit_code == 0
        assert (await say("untick", "1", "3", "--by", "bo")).exit_code == 0
        assert (await say("task", "1", "look at the replica", "--who", "bo", "--by", "ana")).exit_code == 0
        assert (await say("task", "1", "call the bank", "--by", "ana")).exit_code == 0
        assert (await say("task-give", "1", "2", "cy", "--by", "ana")).exit_code == 0
        assert (await say("task-done", "1", "1", "--by", "bo")).exit_code == 0
        assert (await say("severity", "1", "3", "--by", "ana", "--note", "only batch jobs")).exit_code == 0
        assert watch.state.incidents["INC-1"].said_by == "ana"
        twice = await say("severity", "1", "3", "--by", "bo")
        assert twice.exit_code == 2 and "ana said SEV3 already" in twice.stderr
        told = await asyncio.to_thread(midwatch, "show", "1")
        assert "SEV3, was SEV2: ana said so: only batch jobs" in told.stdout and "rated SEV3" in told.stdout
        assert (await say("severity", "1", "2", "--by", "ana")).exit_code == 0
        bearer = {"Authorization": f"Bearer {watch.api_token}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{watch.console_port}", trust_env=False) as client:
            body = {"verb": "tick", "by": "bo", "target": "1", "value": CHECKLISTS[2][1]}
            twice = await client.post("/api/v1/commands", json=body, headers=bearer)
            assert twice.status_code == 400 and "ana ticked that already" in twice.json()["error"]
            told = (await client.get("/api/v1/incidents/1")).json()
        assert told["roles"] == {"commander": "Ana K", "communications": "", "operations": "", "scribe": ""}
        assert [(one["by"], one["text"]) for one in told["decisions"]] == [("ana", "fail over to eu")]
        assert [one["done_by"] for one in told["checklist"]] == ["", "ana", "", ""]
        shown = await asyncio.to_thread(midwatch, "show", "1")
        assert "roles: commander Ana K" in shown.stdout and "decided: fail over to eu" in shown.stdout
        assert (
            "[x] task 1: look at the replica (bo)" in shown.stdout and "[ ] task 2: call the bank (cy)" in shown.stdout
        )
        assert [(one["number"], one["person"], one["done_by"]) for one in told["tasks"]] == [
            (1, "bo", "bo"),
            (2, "cy", ""),
        ]
        assert f"[x] 2. {CHECKLISTS[2][1]} (ana)" in shown.stdout and f"[ ] 1. {CHECKLISTS[2][0]}" in shown.stdout
        assert json.loads((await asyncio.to_thread(midwatch, "show", "2", "--json")).stdout)["decisions"] == []
        await watch.stop()
        assert fold_all(journal_of(settings)) == watch.state, "state is the fold of the journal"

    asyncio.run(go())
