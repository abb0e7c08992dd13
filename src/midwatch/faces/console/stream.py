"""The live stream: server-sent events, one per visible tab.

A message carries the inside of the page, rendered anew; its id is the journal's sequence number. Nothing is queued: a
slow reader gets the newest state, never a backlog, so that memory is bounded by the number of streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from midwatch.faces.console.render import Renderer
from midwatch.faces.console.sessions import Session
from midwatch.faces.console.view import WatchView

MAX_STREAMS = 64
LOOK_SECONDS = 0.25
BEAT_SECONDS = 10.0
QUIET_SECONDS = 2.0  # telemetry alone redraws a page no oftener than this; a decision does so at once


class EndQuietly:
    """ASGI middleware: a stream that is still open when the server stops ends like any other answer, not in a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if scope.get("path") != "/stream":
                raise
            await send({"type": "http.response.body", "body": b"", "more_body": False})


class Streams:
    def __init__(self, watch: WatchView, renderer: Renderer) -> None:
        self._watch, self._renderer = watch, renderer
        self.open_now = 0

    def open(self, request: Request, page: str, session: Session) -> Response:
        """503 with Retry-After when there are too many already."""
        if self.open_now >= MAX_STREAMS:
            return PlainTextResponse("Too many live pages.\n", status_code=503, headers={"Retry-After": "10"})
        seen = request.headers.get("last-event-id", "")
        known = int(seen) if seen.isdigit() and len(seen) < 19 else -1
        return StreamingResponse(
            self._events(page, session, known),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no", "Cache-Control": "no-store"},
        )

    async def _events(self, page: str, session: Session, known: int) -> AsyncIterator[str]:
        self.open_now += 1
        loop = asyncio.get_running_loop()
        try:
            watch = self._watch
            shown = (known, watch.world.now, self._pending())
            if known != watch.state.seq:
                shown = (-1, -1.0, False)  # the page may be older than the state: send it at once
            drawn = beat = loop.time()
            yield f"event: beat\ndata: {watch.state.seq}\n\n"
            while True:
                now = loop.time()
                fresh = (watch.state.seq, watch.world.now, self._pending())
                decided = fresh[0] != shown[0] or fresh[2] != shown[2]
                if decided or (fresh != shown and now - drawn >= QUIET_SECONDS) or now - drawn >= BEAT_SECONDS:
                    text, _ = await self._renderer.inside(page, session)
                    lines = "".join(f"data: {line}\n" for line in text.splitlines() if line.strip())
                    yield f"id: {fresh[0]}\n{lines}\n"
                    shown, drawn = fresh, now
                if now - beat >= BEAT_SECONDS:
                    yield f"event: beat\ndata: {fresh[0]}\n\n"
                    beat = now
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self.open_now -= 1

    def _pending(self) -> bool:
        return self._renderer.pending_hands(self._renderer.clock()) is not None
