"""The OTLP/HTTP receiver as a plain ASGI app.

POST /v1/metrics, /v1/logs, /v1/traces, /v1/changes and GET /healthz. A payload is acknowledged only when ``on_batch`` has
returned, which it does once the batch is stored. Bodies and requests in flight are bounded; beyond the bound senders
are told when to try again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from midwatch.model.errors import IngestError, StoreError
from midwatch.model.world import Change
from midwatch.shell.ingest import replies
from midwatch.shell.ingest.body import Gone, Receive, read_body
from midwatch.shell.ingest.changes import parse_changes
from midwatch.shell.ingest.decode import JSON_TYPE, PROTOBUF_TYPE, decode, inflate
from midwatch.shell.ingest.rows import Batch, Limits

log = logging.getLogger("midwatch.receiver")

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
OnBatch = Callable[[Batch, str], Awaitable[Any]]
OnChange = Callable[[Change], Awaitable[Any]]

_RETRY_AFTER_SECONDS: Final = 5
_LOG_LINES_PER_MINUTE: Final = 10
_CHANGE_BYTES: Final = 1024 * 1024
_THREAD_BYTES: Final = 256 * 1024  # larger bodies are decoded off the event loop
_PATHS: Final = {"/v1/metrics": "metrics", "/v1/logs": "logs", "/v1/traces": "traces"}


@dataclass
class Receiver:
    """The app (callable as ASGI). ``counters``: requests, items and what was refused by reason.

    ``on_batch`` may raise IngestError with status 429 or 503 (overloaded, store down) or StoreError (503): the sender is
    told to try again. ``on_change`` is awaited per change; without it /v1/changes is 404.
    """

    on_batch: OnBatch
    on_change: OnChange | None = None
    limits: Limits = field(default_factory=Limits)
    clock: Callable[[], float] = time.time
    counters: dict[str, int] = field(default_factory=dict)
    _in_flight: int = 0
    _log_minute: int = 0
    _logged: int = 0

    def count(self, reason: str, by: int = 1) -> None:
        self.counters[reason] = self.counters.get(reason, 0) + by

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        path, method = str(scope["path"]).rstrip("/"), scope["method"]
        if path == "/healthz" and method in ("GET", "HEAD"):
            await _answer(send, 200, b"ok\n", "text/plain")
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        content_type = headers.get("content-type", "")
        encoding = PROTOBUF_TYPE if "protobuf" in content_type.lower() else JSON_TYPE
        try:
            if self._in_flight >= self.limits.requests_in_flight:
                raise IngestError("too many requests at once, try again", status=429)
            self._in_flight += 1
            try:
                status, body = await self._handle(path, method, headers, receive, encoding)
            finally:
                self._in_flight -= 1
        except IngestError as problem:
            await self._refuse(send, problem, encoding, path)
        except StoreError as problem:
            await self._refuse(send, IngestError(f"not stored: {problem}", status=503), encoding, path)
        except Gone:
            self.count("sender went away")
        except Exception:
            log.exception("a request to %s failed", path[:80])
            await self._refuse(send, IngestError("internal error", status=500), encoding, path)
        else:
            await _answer(send, status, body, encoding)

    async def _handle(
        self, path: str, method: str, headers: dict[str, str], receive: Receive, encoding: str
    ) -> tuple[int, bytes]:
        signal = _PATHS.get(path)
        if signal is None and not (path == "/v1/changes" and self.on_change is not None):
            raise IngestError("no such path", status=404)
        if method != "POST":
            raise IngestError("only POST is understood here", status=405)
        if signal is None:
            return await self._changes(headers, receive)
        body = await read_body(headers, receive, self.limits.body_bytes)
        content_type, coding = headers.get("content-type", ""), headers.get("content-encoding", "")
        if len(body) > _THREAD_BYTES:
            batch = await asyncio.to_thread(decode, signal, body, content_type, coding, self.limits)
        else:
            batch = decode(signal, body, content_type, coding, self.limits)
        self.count(f"{signal}_requests")
        self.count(f"{signal}_items", len(batch))
        for reason, times in batch.notes.items():
            self.count(reason, times)
        if batch.notes:
            self._say("%s: kept %d, rejected %d: %s", signal, len(batch), batch.rejected, batch.notes)
        await self.on_batch(batch, signal)
        why = ", ".join(f"{reason} ({times})" for reason, times in batch.notes.items())[:500]
        return 200, replies.accepted(signal, encoding, batch.rejected, why)

    async def _changes(self, headers: dict[str, str], receive: Receive) -> tuple[int, bytes]:
        body = await read_body(headers, receive, _CHANGE_BYTES)
        changes = parse_changes(inflate(body, headers.get("content-encoding", ""), _CHANGE_BYTES), self.clock())
        assert self.on_change is not None
        for change in changes:
            await self.on_change(change)
        self.count("changes", len(changes))
        return 200, msgspec.json.encode({"accepted": len(changes), "ids": [change.id for change in changes]})

    async def _refuse(self, send: Send, problem: IngestError, encoding: str, path: str) -> None:
        self.count(f"refused_{problem.status}")
        self._say("refused a request to %s: %d %s", path[:80], problem.status, str(problem)[:300])
        why = f"{problem} ({problem.hint})" if problem.hint else str(problem)
        extra = [(b"retry-after", str(_RETRY_AFTER_SECONDS).encode())] if problem.status in (429, 503) else []
        if problem.status == 405:
            extra.append((b"allow", b"POST"))
        if problem.status in (408, 413):
            extra.append((b"connection", b"close"))
        await _answer(send, problem.status, replies.refused(encoding, problem.status, why), encoding, extra)

    def _say(self, text: str, *values: object) -> None:
        """A log line, but only so many a minute: bad senders do not stop."""
        minute = int(time.monotonic() // 60)
        if minute != self._log_minute:
            if self._logged > _LOG_LINES_PER_MINUTE:
                log.warning("%d more lines of this kind were not logged", self._logged - _LOG_LINES_PER_MINUTE)
            self._log_minute, self._logged = minute, 0
        self._logged += 1
        if self._logged <= _LOG_LINES_PER_MINUTE:
            log.warning(text, *values)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _answer(
    send: Send, status: int, body: bytes, content_type: str, extra: list[tuple[bytes, bytes]] | None = None
) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode()), *(extra or ())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def otlp_app(
    on_batch: OnBatch,
    *,
    on_change: OnChange | None = None,
    limits: Limits | None = None,
    clock: Callable[[], float] = time.time,
) -> Receiver:
    """The ASGI app for port 4318."""
    return Receiver(on_batch, on_change, limits or Limits(), clock)
