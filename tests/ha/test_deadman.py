"""The dead man pages when the watch falls silent, whatever happens to itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.ha.postgres import free_port
from tests.ha.replicas import Pager, until

from midwatch.model.errors import ChannelError, ConfigError
from midwatch.model.events import PageOrdered
from midwatch.shell import deadman as module
from midwatch.shell.deadman import STATE_FILE, Deadman
from midwatch.shell.heartbeat import Heartbeat

TOKEN = "a-token-of-enough-characters"


class Phone:
    name = "phone"

    def __init__(self) -> None:
        self.pages: list[PageOrdered] = []
        self.down = False

    async def send(self, page: PageOrdered) -> None:
        if self.down:
            raise ChannelError("no line")
        self.pages.append(page)


class World:
    """A dead man under a clock that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now, self.phone = folder, 1_000_000.0, Phone()
        self.start()

    def start(self) -> None:
        self.one = Deadman(
            self.folder, [self.phone], patience_seconds=180, repeat_seconds=900,
            wall=lambda: self.now, monotonic=lambda: self.now,
        )  # fmt: skip

    def passes(self, seconds: float) -> None:
        for _ in range(int(seconds / 5)):
            self.now += 5
            asyncio.run(self.one.look())

    def calls(self, seq: int = 7, hash: str = "aa", **more: Any) -> None:
        said = {"seq": seq, "hash": hash, "at": self.now, "last_tick_at": self.now, **more}
        asyncio.run(self.one.heard(json.dumps(said).encode()))

    def keys(self) -> list[str]:
        return [page.key for page in self.phone.pages]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_silence_pages_again_and_again_until_it_is_over(world: World) -> None:
    for _ in range(10):
        world.passes(60)
        world.calls(open_incidents=2)
    assert world.keys() == []
    world.passes(180)
    assert world.keys() == []
    world.passes(10)
    (page,) = world.phone.pages
    assert page.severity == 1 and "silent" in page.text and "2 incidents open" in page.text
    world.passes(900)
    assert world.keys() == ["deadman/1/0", "deadman/1/1"]
    world.calls()
    assert world.keys()[-1] == "deadman/1/over" and "heard again" in world.phone.pages[-1].text
    world.passes(170)
    assert len(world.keys()) == 3
    world.passes(30)
    assert world.keys()[-1] == "deadman/2/0", "another silence is another alarm"


def test_one_that_never_calls_is_silent_too(world: World) -> None:
    world.passes(190)
    assert "it never called" in world.phone.pages[0].text


def test_a_restart_forgets_nothing_and_its_own_downtime_is_nobody_elses(world: World) -> None:
    world.calls()
    world.passes(120)
    world.now += 3600  # it was down itself
    world.start()
    world.passes(50)
    assert world.keys() == []
    for _ in range(4):  # and restarts do not put it off
        world.start()
        world.passes(5)
    assert world.keys() == ["deadman/1/0"]
    world.start()
    world.passes(600)
    assert world.keys() == ["deadman/1/0"]
    world.passes(310)
    assert world.keys() == ["deadman/1/0", "deadman/1/1"]


def test_a_channel_that_is_down_is_tried_until_it_takes_the_page(world: World) -> None:
    world.phone.down = True
    world.passes(300)
    world.phone.down = False
    world.passes(20)
    assert world.keys() == ["deadman/1/0"]


def test_a_loop_that_hangs_is_a_silence_too(world: World) -> None:
    world.calls(last_tick_at=world.now - 400)
    world.passes(5)
    assert "has not turned for 400 s" in world.phone.pages[0].text
    world.calls()
    assert world.keys() == ["deadman/1/0", "deadman/1/over"]


def test_a_journal_that_was_cut_or_rewritten_is_noticed(world: World) -> None:
    world.calls(5, "aa")
    world.calls(9, "bb")
    world.calls(9, "bb")
    world.passes(5)
    assert world.keys() == []
    world.calls(9, "cc")
    world.passes(5)
    assert "cut or rewritten" in world.phone.pages[-1].text
    world.calls(7, "dd")
    world.passes(5)
    assert "shorter than it was" in world.phone.pages[-1].text
    kept = json.loads((world.folder / STATE_FILE).read_text())["heads"]
    assert [(one["seq"], one["hash"]) for one in kept] == [(5, "aa"), (9, "bb")], "what was known first stays known"


def test_what_is_remembered_is_bounded_and_anything_may_call(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HEADS", 10)
    for seq in range(1, 60):
        world.calls(seq, f"{seq:02d}")
    assert len(world.one.kept.heads) <= 10 and world.one.kept.heads[-1].seq == 59
    for body in (b"", b"\xff", b"[]", b'{"seq": "x"}', b"{"):
        world.passes(100)
        asyncio.run(world.one.heard(body))
    assert world.keys() == []


def test_a_broken_memory_is_said(tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        Deadman(tmp_path, [])


@pytest.mark.integration
def test_as_a_process_it_survives_kill_nine(tmp_path: Path) -> None:
    pager, port = Pager(), free_port()

    def start(patience_seconds: float) -> subprocess.Popen[bytes]:
        (tmp_path / "settings.yaml").write_text(
            f"channels: {{phone: {{type: webhook, url: '{pager.url}'}}}}\n"
            f"deadman: {{port: {port}, token: env:DEADMAN_TOKEN, patience_seconds: {patience_seconds}}}\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "midwatch", "deadman", "--folder", str(tmp_path)],
            stderr=subprocess.DEVNULL, env={**os.environ, "DEADMAN_TOKEN": TOKEN},
        )  # fmt: skip
        until(lambda: _status(port), 30)
        return process

    process = start(600)
    try:
        beats = Heartbeat(f"http://127.0.0.1:{port}/beat/{TOKEN}", lambda: {"seq": 3, "hash": "aa", "at": 1.0})

        async def beat() -> None:
            async with httpx.AsyncClient(trust_env=False) as client:
                await beats.beat(client)

        asyncio.run(beat())
        assert beats.pulse.ok
        with httpx.Client(trust_env=False) as client:
            assert client.post(f"http://127.0.0.1:{port}/beat/wrong").status_code == 404
            assert client.post(f"http://127.0.0.1:{port}/beat/{TOKEN}", content=b"x" * 100_000).status_code == 413
        process.kill()
        process.wait(10)
        process = start(0.5)
        until(lambda: pager.pages, 30)
        assert "silent" in pager.pages[0][1]["text"] and (_status(port) or {})["ok"] is False
        process.kill()
        process.wait(10)
        process = start(600)
        asyncio.run(beat())
        until(lambda: len(pager.pages) == 2, 30)
        assert [body["key"] for _, body in pager.pages] == ["deadman/1/0", "deadman/1/over"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        pager.close()


def _status(port: int) -> dict[str, Any] | None:
    try:
        with httpx.Client(trust_env=False, timeout=5) as client:
            return dict(client.get(f"http://127.0.0.1:{port}/healthz").json())
    except httpx.HTTPError:
        return None


def test_a_receiver_that_answers_without_end_holds_up_no_call() -> None:
    given = 0

    async def words() -> AsyncIterator[bytes]:
        nonlocal given
        while given < 1_000_000:
            given += 1000
            yield b" " * 1000

    async def beat() -> Heartbeat:
        one = Heartbeat("http://receiver/beat", dict)
        answering = httpx.MockTransport(lambda request: httpx.Response(200, content=words()))
        async with httpx.AsyncClient(transport=answering) as client:
            await one.beat(client)
        return one

    assert asyncio.run(beat()).pulse.ok and given < 10_000
