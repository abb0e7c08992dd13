"""The live stream without a browser: ids, silence when nothing changed, and bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from midwatch.faces.console import stream as module
from midwatch.faces.console.app import console_app
from midwatch.faces.console.fakes import FakeWatch
from midwatch.faces.console.render import Renderer
from midwatch.faces.console.sessions import Sessions
from midwatch.faces.console.stream import Streams
from midwatch.model import events as e

NOW = 1_790_000_000.0


def opened(watch: FakeWatch, known: int, page: str = "/") -> AsyncIterator[str]:
    sessions = Sessions(None, lambda: watch.now)
    streams = Streams(watch, Renderer(watch, sessions, lambda: watch.now))
    return streams._events(page, sessions.issue("", False), known)


async def soon(stream: AsyncIterator[str], seconds: float = 30.0) -> str | None:
    """The next message, or None when none comes in time (the stream is then over)."""
    try:
        return await asyncio.wait_for(stream.__anext__(), seconds)
    except TimeoutError:
        return None


def test_a_reader_that_is_behind_is_brought_up_to_date_at_once() -> None:
    async def go() -> None:
        watch = FakeWatch("incident", NOW)
        stream = opened(watch, watch.state.seq - 3)
        assert (await soon(stream) or "").startswith("event: beat")
        message = await soon(stream) or ""
        assert message.startswith(f"id: {watch.state.seq}\n") and "Resized the pool" in message
        assert all(line.startswith(("id: ", "data: ")) for line in message.strip().splitlines())
        watch.say(NOW + 1, e.HandsOffChanged(True, "ada", "cli"))
        message = await soon(stream) or ""
        assert message.startswith(f"id: {watch.state.seq}\n") and "Hands are off" in message

    asyncio.run(go())


def test_nothing_is_sent_again_to_a_reader_that_has_it() -> None:
    async def go() -> None:
        watch = FakeWatch("incident", NOW)
        stream = opened(watch, watch.state.seq)
        await soon(stream)
        assert await soon(stream, 0.8) is None

    asyncio.run(go())


def test_telemetry_alone_redraws_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.1)

    async def go() -> None:
        watch = FakeWatch("healthy", NOW)
        stream = opened(watch, watch.state.seq)
        await soon(stream)
        watch.pass_time(5.0)
        assert "All quiet" in (await soon(stream) or "")

    asyncio.run(go())


def test_too_many_streams_are_refused() -> None:
    async def go() -> None:
        app = console_app(FakeWatch("healthy", NOW), clock=lambda: NOW)
        app.state.streams.open_now = module.MAX_STREAMS
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            answer = await client.get("/stream?page=/")
            assert answer.status_code == 503 and answer.headers["retry-after"] == "10"

    asyncio.run(go())
