"""An incident that a person declares, from the command line to the journal."""

from __future__ import annotations

import asyncio
import json

from tests.shell.test_watch import journal_of, watch_of
from typer.testing import CliRunner, Result

from midwatch.core.loop import tick
from midwatch.faces.api.app import api_app
from midwatch.faces.cli.app import app
from midwatch.model.fold import fold_all
from midwatch.shell.config import Settings


def test_from_the_command_line_to_the_page(settings: Settings) -> None:
    def midwatch(*words: str) -> Result:
        args = [*words, "--folder", str(settings.folder)]
        return CliRunner().invoke(app, args, env={"COLUMNS": "160", "MIDWATCH_TOKEN": ""})

    async def go() -> None:
        watch = watch_of(settings, tick, console=api_app)
        await watch.start()
        await watch.tick_once()
        words = ("declare", "the printer burns", "--at", "printer", "--severity", "1", "--by", "ann")
        told = await asyncio.to_thread(midwatch, *words)
        assert told.exit_code == 0 and "midwatch incidents" in told.stdout
        await watch.tick_once()
        (ident,) = watch.state.incidents
        shown = json.loads((await asyncio.to_thread(midwatch, "show", ident, "--json")).stdout)
        assert shown["title"] == "the printer burns at printer" and shown["severity"] == 1
        wrong = await asyncio.to_thread(midwatch, "declare", " ", "--at", "printer")
        assert wrong.exit_code == 2 and "in a few words" in wrong.stderr and "midwatch declare --help" in wrong.stderr
        await watch.stop()
        assert fold_all(journal_of(settings)) == watch.state, "state is the fold of the journal"

    asyncio.run(go())
