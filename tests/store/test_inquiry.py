"""An inquiry over a real store, by a process of its own, as a running watch has it made."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from tests.shell import recording
from tests.shell.conftest import make_settings
from tests.shell.recording import FAULT_SECONDS, NORMAL_SECONDS, write_recording
from tests.shell.test_watch import watch_of
from tests.store.test_store import with_store
from typer.testing import CliRunner

from midwatch.faces.api.app import api_app
from midwatch.faces.cli.app import app
from midwatch.model.errors import UsageError
from midwatch.model.state import State
from midwatch.shell.ingest.recording import read_changes, read_recording
from midwatch.shell.inquiry import apart
from midwatch.shell.investigate import Question, from_recording
from midwatch.shell.store.store import Store

pytestmark = pytest.mark.integration


def test_what_the_store_holds_is_answered_as_the_recording_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = float(int(time.time()) // 5 * 5 - 900)  # on a step, as the recording's usual begin is
    monkeypatch.setattr(recording, "START", start)
    folder = write_recording(tmp_path / "recording")
    question = Question(start + NORMAL_SECONDS, start + NORMAL_SECONDS + FAULT_SECONDS, "storefront")
    expected = from_recording(folder, question).as_json()["answers"][0]

    async def use(store: Store) -> None:
        for _, batch in read_recording(folder):
            await store.write(batch)
        found = await apart(store, question, State(changes=tuple(read_changes(folder))))
        (answer,) = found["answers"]
        assert found["rows"] > 0 and answer["detected"] and answer["symptoms"] == expected["symptoms"]
        assert answer["hypotheses"][0]["kind"] == "bad_deploy", "the journal's changes were not handed on"
        for mine, theirs in zip(answer["hypotheses"], expected["hypotheses"], strict=True):
            assert (mine["entity"], mine["kind"]) == (theirs["entity"], theirs["kind"])
            assert mine["probability"] == pytest.approx(theirs["probability"], abs=0.05)
        with pytest.raises(UsageError, match="holds no telemetry") as caught:
            await apart(store, Question(start - 4000, start - 3000), State())
        assert caught.value.hint.startswith("it holds ")
        with pytest.raises(UsageError, match="nothing called") as caught:
            await apart(store, Question(question.since_at, question.until_at, "storefrond"), State())
        assert caught.value.hint == "did you mean storefront?"

    with_store(tmp_path / "store", use)


def test_the_command_asks_the_running_watch_and_opens_the_store_when_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = float(int(time.time()) // 5 * 5 - 900)
    monkeypatch.setattr(recording, "START", start)
    recorded = write_recording(tmp_path / "recording")
    settings = make_settings(tmp_path, store="embedded")
    words = ["investigate", "--folder", str(settings.folder), "--from", str(start + NORMAL_SECONDS), "--json"]
    words += ["--to", str(start + NORMAL_SECONDS + FAULT_SECONDS), "--symptom", "payment"]

    def ask() -> list[dict[str, str]]:
        told = CliRunner().invoke(app, words, env={"COLUMNS": "160", "MIDWATCH_TOKEN": ""})
        assert told.exit_code == 0, told.output
        (answer,) = json.loads(told.stdout)["answers"]
        assert answer["detected"]
        return [{"entity": h["entity"], "kind": h["kind"]} for h in answer["hypotheses"][:1]]

    async def go() -> list[dict[str, str]]:
        watch = watch_of(settings, console=api_app)
        await watch.start()
        store = watch.intake.store
        assert store is not None
        for _, batch in read_recording(recorded):
            await store.write(batch)
        found = await asyncio.to_thread(ask)
        await watch.stop()
        return found

    alive = asyncio.run(go())
    assert alive == ask() and alive[0]["entity"] == "service:payment"
