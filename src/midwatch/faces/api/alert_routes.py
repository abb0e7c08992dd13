"""Where other systems send alerts: plain ASGI in front of the console, so that a storm costs little. Each request is
answered in its sender's own words, and with 2xx only once what it said is journaled.

The key says who sends; it is compared in constant time, and neither it nor a body is ever logged.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from midwatch.adapters.alerts import alertmanager, cloudevents, generic, grafana, mail, pagerduty
from midwatch.adapters.alerts.common import Answer, Decoded, Format, Headers
from midwatch.faces.api import opsgenie_routes
from midwatch.faces.api.opsgenie_routes import OpsgenieRoutes, Reading
from midwatch.model.errors import IngestError, JournalError
from midwatch.shell.ingest.body import Gone, Receive, read_body
from midwatch.shell.ingest.decode import inflate
from midwatch.shell.integrations import Integration
from midwatch.shell.run import Watch

log = logging.getLogger("midwatch.alerts")

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

ROUTES: Final[dict[str, Format]] = {
    "/v2/enqueue": pagerduty.FORMAT,
    "/v2/change/enqueue": pagerduty.CHANGES,
    "/in/alertmanager": alertmanager.FORMAT,
    "/in/grafana": grafana.FORMAT,
    "/in/cloudevents": cloudevents.FORMAT,
    "/in/json": generic.FORMAT,
    "/in/email": mail.FORMAT,
}
"""POST path -> the wire format that is spoken there. Opsgenie's paths are in ``opsgenie_routes``."""
MAX_READ: Final = 16 * 1024 * 1024
"""Bytes that are read of a body that is too large, so that its sender hears why."""
MAX_AT_ONCE: Final = 400
"""Requests of senders under way; the rest of the server's places are people's."""


class AlertRoutes:
    """ASGI middleware: takes the paths of ``ROUTES``, and leaves everything else to ``app``."""

    def __init__(self, app: App, watch: Watch) -> None:
        self._app, self._watch = app, watch
        self._opsgenie = OpsgenieRoutes(lambda: watch.state.alerts, watch.now)
        self._at_once = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        spoken = self._spoken(scope) if scope["type"] == "http" else None
        if spoken is None:
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self._at_once += 1
        try:
            answer = await self._answer(spoken, scope["method"], headers, receive)
        except Gone:
            self._watch.inbox.drop("", "the sender went away")
            return
        finally:
            self._at_once -= 1
        await _send(send, answer)

    def _spoken(self, scope: Scope) -> Format | None:
        path = str(scope["path"])
        if path == opsgenie_routes.PREFIX or path.startswith(f"{opsgenie_routes.PREFIX}/"):
            query = scope.get("query_string", b"").decode("latin-1")
            return self._opsgenie.spoken(scope["method"], scope.get("raw_path", b"").decode("latin-1") or path, query)
        return ROUTES.get(path)

    async def _answer(self, spoken: Format, method: str, headers: Headers, receive: Receive) -> Answer:
        source = ""
        try:
            if method != "POST" and not isinstance(spoken, Reading):
                raise IngestError("only POST is understood here", status=405)
            if self._at_once > MAX_AT_ONCE:
                raise IngestError("too many requests at once", status=429, hint="try again in a few seconds")
            body = await read_body(headers, receive, spoken.max_bytes, patience=MAX_READ)
            body = inflate(body, headers.get("content-encoding", ""), spoken.max_bytes)
            sender = self._sender(spoken, headers, body)
            source = sender.name
            if isinstance(spoken, Reading) and spoken.read is not None:
                return await asyncio.to_thread(spoken.read, source)
            decoded = await self._taken(spoken, sender, headers, body)
        except IngestError as problem:
            return self._refused(spoken, source, problem)
        except JournalError:
            return self._refused(spoken, source, IngestError("the journal cannot be written", status=503))
        except Exception:
            log.exception("a request of %s failed", source or "an unknown sender")
            return self._refused(spoken, source, IngestError("internal error", status=500))
        return spoken.accepted(decoded)

    def _sender(self, spoken: Format, headers: Headers, body: bytes) -> Integration:
        sender = self._watch.integrations.holder(spoken.kind, spoken.key_of(headers, body))
        if sender is None:
            raise IngestError(f"no {spoken.kind} integration has that key", status=401)
        return sender

    async def _taken(self, spoken: Format, sender: Integration, headers: Headers, body: bytes) -> Decoded:
        decoded = spoken.decode(body, headers, sender.rules, self._watch.now())
        if not sender.allowance.take(max(1, len(decoded.alerts)), time.monotonic()):
            self._watch.inbox.drop(sender.name, "more than it may send in a minute", max(1, len(decoded.alerts)))
            raise IngestError(f"{sender.name} may send {sender.allowance.per_minute} alerts a minute", status=429)
        if decoded.problems:
            self._watch.inbox.drop(sender.name, "could not be read", len(decoded.problems))
            more = f" (and {len(decoded.problems) - 1} more)" if len(decoded.problems) > 1 else ""
            log.warning("%s sent something that was left out: %s%s", sender.name, decoded.problems[0], more)
        await self._watch.take_alerts(sender.name, decoded.alerts, decoded.notes)
        for change in decoded.changes:
            await self._watch.change(change)
        return decoded

    def _refused(self, spoken: Format, source: str, problem: IngestError) -> Answer:
        self._watch.inbox.drop(source, f"refused with {problem.status}")
        return spoken.refused(problem)


async def _send(send: Send, answer: Answer) -> None:
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if answer.retry_after_seconds:
        headers.append((b"retry-after", str(answer.retry_after_seconds).encode()))
    if answer.status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
