"""The watch in-process: real journal, real HTTP, a scripted loop where the loop is not what is tested."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.alerts.conftest import until
from tests.shell.conftest import RecordingChannel, RecordingHands, make_settings

from midwatch.adapters.testing import Receiver, sample_page
from midwatch.core.memory import Memory
from midwatch.faces.api.app import api_app
from midwatch.faces.cli.common import Running
from midwatch.model.actions import Action, Verdict
from midwatch.model.errors import ConfigError, JournalError, UsageError
from midwatch.model.events import (
    MAX_SAID,
    ActionEnded,
    ActionJudged,
    ActionOrdered,
    ChangeSeen,
    CommandGiven,
    Event,
    HandsOffChanged,
    IncidentAcknowledged,
    IncidentOpened,
    IncidentResolved,
    PageEnded,
    Recorded,
    WatchStarted,
)
from midwatch.model.fold import fold_all
from midwatch.model.policy import Policy
from midwatch.model.state import State
from midwatch.model.world import Change, World
from midwatch.shell.config import TOKEN_FILE, Settings
from midwatch.shell.effects import Limits
from midwatch.shell.folder import read_running
from midwatch.shell.journal.memory import MemoryJournal
from midwatch.shell.journal.sqlite import open_readonly
from midwatch.shell.run import Watch

ACTION = Action("ACT-1", "key-1", "INC-1", "book", "restart", "service:payment")
OPENED = IncidentOpened("INC-1", "payment fails", 1.0, 2, "15 %", (), ("service:payment",))


class Script:
    """A loop that says what the test wants, turn by turn, and remembers its inputs."""

    def __init__(self, *turns: Sequence[Event]) -> None:
        self.turns = list(turns)
        self.inputs: list[tuple[Event, ...]] = []

    def __call__(
        self, state: State, memory: Memory, world: World, inputs: tuple[Event, ...], now: float
    ) -> tuple[tuple[Event, ...], Memory]:
        self.inputs.append(inputs)
        said = tuple(self.turns.pop(0)) if self.turns else ()
        extra = tuple(HandsOffChanged(i.verb == "hands_off", i.by) for i in inputs if _switches(i))  # as obey does
        return said + extra, memory


def _switches(event: Event) -> bool:
    return isinstance(event, CommandGiven) and event.verb in ("hands_off", "hands_on")


def watch_of(settings: Settings, script: Any = None, **options: Any) -> Watch:
    values: dict[str, Any] = {"actuators": [RecordingHands()], "channels": [RecordingChannel()], "policy": Policy()}
    values["limits"] = Limits(late_seconds=0.01)
    return Watch(settings, tick=script or Script(), **{**values, **options})


def journal_of(settings: Settings) -> list[Recorded]:
    journal = open_readonly(settings.journal_file)
    try:
        assert journal.verify().ok
        return list(journal.read())
    finally:
        journal.close()


def test_orders_are_journaled_before_they_are_carried_out_and_so_is_what_became_of_them(settings: Settings) -> None:
    async def go() -> None:
        page = sample_page(channel="phone")
        script = Script([OPENED, ActionJudged(ACTION, Verdict("run", "all", "")), ActionOrdered("ACT-1"), page])
        hands, channel = RecordingHands(), RecordingChannel()
        watch = watch_of(settings, script, actuators=[hands], channels=[channel])
        await watch.start()
        await watch.tick_once()
        await watch.effects.drain(5)
        assert list(hands.done) == ["key-1"] and channel.pages == [page]
        assert watch.state.actions["ACT-1"].status == "done"
        assert watch.state.pages[page.page].status == "delivered"
        texts = [entry.text for entry in watch.chronicle.of("INC-1")]
        assert any("ACT-1: restarted payment" in text for text in texts)
        await watch.stop()
        assert fold_all(journal_of(settings)) == watch.state, "state is the fold of the journal"

    asyncio.run(go())


def test_a_step_that_fails_at_the_end_leaves_the_journal_closed_all_the_same(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise OSError("the disk is gone")

    async def go() -> None:
        watch = watch_of(settings)
        await watch.start()
        monkeypatch.setattr(watch.effects, "cancel", broken)
        monkeypatch.setattr(watch.status, "close", broken)
        with pytest.raises(OSError, match="the disk is gone"):
            await watch.stop()
        assert read_running(settings.folder) is None
        again = watch_of(settings)
        await again.start()  # the lease was given back, the ports are free
        await again.stop()

    asyncio.run(go())


def test_a_busy_port_says_what_to_do(tmp_path: Path) -> None:
    async def go() -> None:
        first = watch_of(make_settings(tmp_path))
        await first.start()
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        try:
            with pytest.raises(ConfigError, match="in use") as caught:
                await watch_of(make_settings(tmp_path / "other", otlp_port=listener.getsockname()[1])).start()
            assert "--otlp-port" in caught.value.hint
        finally:
            listener.close()
            await first.stop()

    asyncio.run(go())


def test_an_unwritable_folder_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as caught:
        asyncio.run(watch_of(make_settings(tmp_path, folder=tmp_path / "file")).start())
    assert "--folder" in caught.value.hint


def test_orders_without_an_end_are_settled_at_the_next_start(tmp_path: Path) -> None:
    """The first watch dies between the order and the effect: nothing of its memory is left but the journal."""

    async def die() -> None:
        script = Script(
            [
                OPENED,
                ActionJudged(ACTION, Verdict("run", "all", "")),
                ActionOrdered("ACT-1"),
                sample_page(channel="phone"),
            ]
        )
        watch = watch_of(make_settings(tmp_path), script)
        watch.effects.carry_out = lambda events: None  # type: ignore[method-assign]
        await watch.start()
        await watch.tick_once()
        watch.books._journal.close()  # type: ignore[union-attr]
        await watch.effects.cancel()
        await watch.doors.close()
        for task in watch._tasks:
            task.cancel()

    async def revive() -> None:
        hands, channel = RecordingHands(), RecordingChannel()
        watch = watch_of(make_settings(tmp_path), actuators=[hands], channels=[channel])
        await watch.start()
        await watch.effects.drain(5)
        assert channel.pages == [sample_page(channel="phone")], "the same page under the same key"
        assert hands.done == {}, "an action is asked about, never repeated"
        ended = [r.event for r in watch.journal.read() if isinstance(r.event, ActionEnded)]
        assert [(e.outcome.status, e.reconciled) for e in ended] == [("failed", True)]
        started = [r.event for r in watch.journal.read() if isinstance(r.event, WatchStarted)]
        assert [s.reason for s in started] == ["a fresh journal", "after a crash"]
        assert started[1].epoch > started[0].epoch
        await watch.stop()

    asyncio.run(die())
    asyncio.run(revive())


def test_a_command_that_a_crash_swallowed_is_still_obeyed(tmp_path: Path) -> None:
    async def go() -> None:
        first = watch_of(make_settings(tmp_path))
        await first.start()
        await first.command(CommandGiven("ack", "alice", "INC-1"))
        await first.stop()
        script = Script()
        second = watch_of(make_settings(tmp_path), script)
        await second.start()
        await second.tick_once()
        assert [e.verb for e in script.inputs[0] if isinstance(e, CommandGiven)] == ["ack"]
        await second.tick_once()
        assert script.inputs[1] == ()
        await second.stop()

    asyncio.run(go())


def test_the_hands_off_file_is_honoured_before_any_turn_saw_it(settings: Settings) -> None:
    async def go() -> None:
        script = Script([ActionJudged(ACTION, Verdict("run", "all", "")), ActionOrdered("ACT-1")])
        hands = RecordingHands()
        watch = watch_of(settings, script, actuators=[hands])
        await watch.start()
        original = watch.effects.carry_out

        def file_first(events: Sequence[Event]) -> None:
            settings.hands_off_file.touch()  # between the order and the effect
            original(events)

        watch.effects.carry_out = file_first  # type: ignore[method-assign]
        await watch.tick_once()
        await watch.effects.drain(5)
        assert hands.done == {} and watch.state.actions["ACT-1"].status == "failed"
        await watch.tick_once()
        assert watch.state.hands_off and watch.state.hands_off_by == "file"
        settings.hands_off_file.unlink()
        await watch.tick_once()
        assert not watch.state.hands_off, "made by hand, taken away by hand"
        await watch.stop()

    asyncio.run(go())


def test_hands_off_holds_at_once_even_when_neither_file_nor_journal_can_say_so(settings: Settings) -> None:
    class Full(MemoryJournal):
        def append(self, events: Sequence[Event], at: float) -> list[Recorded]:
            if any(isinstance(event, CommandGiven) for event in events):
                raise JournalError("no room")
            return super().append(events, at)

    async def go() -> None:
        script = Script([ActionJudged(ACTION, Verdict("run", "all", "")), ActionOrdered("ACT-1")])
        hands = RecordingHands()
        watch = watch_of(settings, script, actuators=[hands], journal=Full())
        await watch.start()
        settings.hands_off_file.mkdir()  # the file cannot be written
        with pytest.raises(JournalError):
            await watch.command(CommandGiven("hands_off", "alice", via="page"))
        settings.hands_off_file.rmdir()
        assert watch.hands_off
        await watch.tick_once()
        await watch.effects.drain(5)
        assert hands.done == {}, "what a person said holds, written down or not"
        assert "alice" in str(watch.state.actions["ACT-1"].outcome)
        await watch.stop()

    asyncio.run(go())


def test_hands_on_is_written_down_before_the_file_goes(settings: Settings) -> None:
    class Full(MemoryJournal):
        def append(self, events: Sequence[Event], at: float) -> list[Recorded]:
            if any(isinstance(event, CommandGiven) and event.verb == "hands_on" for event in events):
                raise JournalError("no room")
            return super().append(events, at)

    async def go() -> None:
        watch = watch_of(settings, journal=Full())
        await watch.start()
        settings.hands_off_file.touch()
        with pytest.raises(JournalError):
            await watch.command(CommandGiven("hands_on", "alice"))
        assert settings.hands_off_file.exists() and watch.hands_off
        await watch.stop()

    asyncio.run(go())


def test_the_hands_off_command_holds_at_once_and_outlives_the_process(settings: Settings) -> None:
    async def go() -> None:
        watch = watch_of(settings)
        await watch.start()
        await watch.command(CommandGiven("hands_off", "alice", via="page"))
        assert settings.hands_off_file.exists() and watch.hands_off and not watch.state.hands_off
        await watch.tick_once()
        assert watch.state.hands_off_by == "alice"
        settings.hands_off_file.unlink()
        await watch.tick_once()
        assert watch.hands_off, "a removed file does not undo what a person said"
        await watch.command(CommandGiven("hands_on", "alice"))
        await watch.tick_once()
        assert not watch.hands_off
        with pytest.raises(UsageError):
            await watch.command(CommandGiven("explode", "alice"))
        with pytest.raises(UsageError, match="2,000 characters at most"):
            await watch.command(CommandGiven("note", "alice", "INC-1", note="x" * (MAX_SAID + 1)))
        await watch.stop()

    asyncio.run(go())


class FullDisk(MemoryJournal):
    full = False

    def append(self, events: Sequence[Event], at: float) -> list[Recorded]:
        if self.full:
            raise JournalError("no space left on device")
        return super().append(events, at)


def test_when_the_journal_fails_it_pages_anyway_and_does_not_act(settings: Settings) -> None:
    async def go() -> None:
        page = sample_page(channel="phone")
        turn = [ActionJudged(ACTION, Verdict("run", "all", "")), ActionOrdered("ACT-1"), page]
        journal, hands, channel = FullDisk(), RecordingHands(), RecordingChannel()
        watch = watch_of(settings, Script(turn, turn, turn), journal=journal, actuators=[hands], channels=[channel])
        await watch.start()
        journal.full = True
        before = watch.state
        for _ in range(2):
            await watch.tick_once()
            await watch.effects.drain(5)
        assert watch.state == before and hands.done == {}
        assert [p.key for p in channel.pages] == [page.key], "once, not at each turn"
        assert "cannot write its journal" in channel.pages[0].text
        assert any("no space left" in line for line in watch.health()["degraded"])
        assert 'midwatch_trouble{part="journal"} 1' in watch.metrics()
        journal.full = False
        await watch.tick_once()
        await watch.effects.drain(5)
        assert list(hands.done) == ["key-1"] and "journal" not in watch.vitals.troubles
        ended = [r.event.page for r in journal.read() if isinstance(r.event, PageEnded)]
        assert ended, "what became of the page is journaled once it can be"
        await watch.stop()

    asyncio.run(go())


def test_a_turn_that_raises_does_not_end_the_watch(settings: Settings) -> None:
    async def go() -> None:
        def broken(*_: Any) -> Any:
            raise ZeroDivisionError("a bug")

        watch = watch_of(settings)
        await watch.start()
        watch._tick = broken
        assert await watch.tick_once() == ()
        assert watch.vitals.tick_errors == 1 and "loop" in watch.vitals.troubles
        watch._tick = Script()
        await watch.tick_once()
        assert "loop" not in watch.vitals.troubles
        await watch.stop()

    asyncio.run(go())


def test_it_runs_turns_on_time_and_stops_when_asked(settings: Settings) -> None:
    async def go() -> None:
        script = Script()
        watch = watch_of(settings, script)
        await watch.start()
        began = time.monotonic()
        running = asyncio.create_task(watch.run())
        await until(lambda: len(script.inputs) >= 5)
        took = time.monotonic() - began
        assert 4 * settings.tick_seconds - 0.05 <= took < 30, "no turn before its time; a busy machine may be late"
        watch.request_stop()
        await asyncio.wait_for(running, 30)
        await watch.stop()
        await watch.stop()
        assert len(script.inputs) <= 6
        assert read_running(settings.folder) is None

    asyncio.run(go())


def test_the_dead_man_call_carries_the_head(settings: Settings) -> None:
    async def go() -> None:
        with Receiver() as receiver:
            changed = settings.model_copy(update={"heartbeat_url": receiver.url, "heartbeat_seconds": 0.1})
            watch = watch_of(changed)
            await watch.start()
            await until(lambda: len(receiver.received) >= 2)
            head = watch.head
            await watch.stop()
            said = json.loads(receiver.received[-1].body)
            assert (said["seq"], said["hash"]) == (head.seq, head.hash) and head.seq > 0

    asyncio.run(go())


def test_the_api_reads_freely_on_loopback_and_changes_only_with_the_token(settings: Settings) -> None:
    async def go() -> None:
        script = Script([OPENED], [IncidentAcknowledged("INC-1", "alice")], [IncidentResolved("INC-1", "calm")])
        watch = watch_of(settings, script, console=api_app)
        await watch.start()
        await watch.tick_once()
        assert (settings.folder / TOKEN_FILE).stat().st_mode & 0o777 == 0o600
        told = read_running(settings.folder)
        assert told is not None
        async with httpx.AsyncClient(base_url=told["api"], trust_env=False) as client:
            status = (await client.get("/api/v1/status")).json()
            assert status["open_incidents"][0]["id"] == "INC-1" and status["journal"]["seq"] == watch.state.seq
            assert (await client.get("/api/v1/incidents/1")).json()["timeline"]
            assert (await client.get("/api/v1/incidents/INC-9")).status_code == 404
            assert (await client.get("/api/v1/incidents/INC-1/postmortem")).status_code == 404
            assert (await client.get("/healthz")).json()["ok"] is True
            assert "midwatch_tick_duration_seconds_count 1" in (await client.get("/metrics")).text
            assert (await client.get("/api/v1/status", headers={"Host": "evil.example"})).status_code == 421

            body = {"verb": "ack", "by": "alice", "target": "1"}
            assert (await client.post("/api/v1/commands", json=body)).status_code == 401
            wrong = {"Authorization": "Bearer wrong"}
            assert (await client.post("/api/v1/commands", json=body, headers=wrong)).status_code == 401
            right = {"Authorization": f"Bearer {watch.api_token}"}
            answer = await client.post("/api/v1/commands", json=body, headers=right)
            assert answer.status_code == 202 and answer.json()["target"] == "INC-1"
            for bad, code in [
                ({**body, "verb": "explode"}, 400),
                ({**body, "target": "77"}, 404),
                ({**body, "extra": 1}, 422),
                ({**body, "by": ""}, 422),
            ]:
                assert (await client.post("/api/v1/commands", json=bad, headers=right)).status_code == code, bad
            await watch.tick_once()
            journaled = watch.head.seq
            twice = await client.post("/api/v1/commands", json=body, headers=right)
            assert twice.status_code == 202 and twice.json()["seq"] is None and watch.head.seq == journaled
            await watch.tick_once()
            assert (await client.post("/api/v1/commands", json=body, headers=right)).status_code == 400, "it is over"
            change = {"id": "d1", "at": 5.0, "kind": "deploy", "entity": "payment", "summary": "v2"}
            assert (await client.post("/api/v1/changes", json=change, headers=right)).status_code == 202
            again = await client.post("/api/v1/changes", json=change, headers=right)
            assert again.status_code == 202 and again.json()["seq"] is None
        seen = [r.event for r in watch.journal.read() if isinstance(r.event, ChangeSeen)]
        assert seen == [ChangeSeen(Change("d1", 5.0, "deploy", "service:payment", "v2"))]
        await watch.stop()

    asyncio.run(go())


def test_a_change_that_is_posted_again_is_one_change_over_a_restart_too(settings: Settings) -> None:
    """As ``curl --retry`` does it when an answer was lost; the one without id and time is the README's."""
    named = {"id": "d7", "at": 1000.0, "kind": "deploy", "entity": "payment", "after": "4.2"}
    bare = {"kind": "deploy", "entity": "payment", "before": "4.1", "after": "4.2"}

    async def go() -> None:
        for news in (3, 0):
            watch = watch_of(settings, Script())
            await watch.start()
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{watch.otlp_port}", trust_env=False) as client:
                for change in (named, bare, named, bare, {**bare, "after": "4.3"}):
                    assert (await client.post("/v1/changes", json=change)).status_code == 200
            assert [c.after for c in watch.state.changes] == ["4.2", "4.2", "4.3"]
            assert watch.vitals.changes == news
            await watch.stop()
        journaled = [r.event for r in journal_of(settings) if isinstance(r.event, ChangeSeen)]
        assert [c.change.after for c in journaled] == ["4.2", "4.2", "4.3"]

    asyncio.run(go())


def test_a_token_of_one_s_own_says_who_it_is(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANA", "a" * 20)
    own = settings.model_copy(update={"tokens": {"ana": "env:ANA"}})

    async def go() -> None:
        watch = watch_of(own, Script([OPENED]), console=api_app)
        await watch.start()
        await watch.tick_once()
        told = read_running(own.folder)
        assert told is not None
        hers, folders = ({"Authorization": f"Bearer {t}"} for t in ("a" * 20, watch.api_token))
        async with httpx.AsyncClient(base_url=told["api"], trust_env=False) as client:
            assert (await client.get("/api/v1/status")).status_code == 401
            assert (await client.get("/api/v1/status", headers=hers)).status_code == 200
            body = {"verb": "ack", "target": "1"}
            for by in ({}, {"by": "bo"}):
                answer = await client.post("/api/v1/commands", json={**body, **by}, headers=hers)
                assert answer.status_code == 202 and answer.json()["by"] == "ana"
            claimed = await client.post("/api/v1/commands", json={**body, "by": "ana"}, headers=folders)
            assert claimed.status_code == 400 and "token of their own" in claimed.json()["error"]
            assert (await client.post("/api/v1/commands", json=body, headers=folders)).status_code == 422
            mine = await client.post("/api/v1/commands", json={**body, "by": "bo"}, headers=folders)
            assert mine.status_code == 202
        monkeypatch.setenv("MIDWATCH_TOKEN", "a" * 20)
        cli = await asyncio.to_thread(Running(own.folder).post, "/api/v1/commands", {**body, "by": "root"})
        assert cli["by"] == "ana"
        said = [r.event for r in watch.journal.read() if isinstance(r.event, CommandGiven)]
        assert [(c.by, c.credential) for c in said] == [("ana", "ana"), ("ana", "ana"), ("bo", ""), ("ana", "ana")]
        await watch.stop()

    asyncio.run(go())
