"""Where Slack sends a pressed button and a slash command: ``POST /in/slack/<channel>``, plain ASGI in front of the console.

Slack signs each request with the app's signing secret; that is who it is, so no token and no host name is asked for. What
was pressed or typed becomes a command like any other, journaled before the 2xx. Whoever may read the channel may acknowledge
and escalate; a yes or a no to an action is taken only from people whom the settings name. The answer to a slash command
(``slack_words.py``) is shown to whoever typed it; that to a button to nobody, so for a button a word back goes, after the
answer, to the ``response_url`` of the request, if that is Slack's.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

from midwatch.adapters.channels.http import post
from midwatch.adapters.channels.slack import commands, interact
from midwatch.adapters.channels.slack.blocks import escape
from midwatch.adapters.channels.slack.interact import Pressed, Seen
from midwatch.faces.api import slack_words
from midwatch.model.errors import ChannelError, ConfigError, IngestError, JournalError, UsageError
from midwatch.model.events import CommandGiven
from midwatch.shell.channel_settings import SlackSettings
from midwatch.shell.config import resolve
from midwatch.shell.ingest.body import Gone, Receive, read_body
from midwatch.shell.queries import cannot, find_action, find_incident, has_already
from midwatch.shell.run import Watch

log = logging.getLogger("midwatch.slack")

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PREFIX: Final = "/in/slack/"
NAMED: Final = frozenset({"approve", "refuse"})


class SlackRoutes:
    """ASGI middleware: takes ``/in/slack/``, and leaves everything else to ``app``."""

    def __init__(self, app: App, watch: Watch) -> None:
        self._app, self._watch, self._seen = app, watch, Seen()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        back: tuple[str, str] | None = None
        try:
            if scope["method"] != "POST":
                raise IngestError("only POST is understood here", status=405)
            body = await read_body(headers, receive, interact.MAX_BODY_BYTES)
            answer, back = await self._hear(scope["path"].removeprefix(PREFIX), headers, body)
            status = 200
        except Gone:
            return
        except IngestError as problem:
            status, answer = problem.status, _json({"error": str(problem)})
        except JournalError as error:  # or this replica only stands by: a proxy may ask the next one
            status, answer = 503, _json({"error": str(error)})
        except Exception:
            log.exception("a request of Slack failed")
            status, answer = 500, _json({"error": "internal error"})
        await _send(send, status, answer)
        if back is not None:
            await _say(*back)

    async def _hear(self, name: str, headers: dict[str, str], body: bytes) -> tuple[bytes, tuple[str, str] | None]:
        """The answer's body, and where to send what back to whoever pressed it. Raises IngestError, JournalError."""
        settings = self._watch.settings.channels.get(name)
        if not isinstance(settings, SlackSettings):
            raise IngestError("there is no such Slack channel here", status=404)
        signature = headers.get("x-slack-signature", "")
        secret = await asyncio.to_thread(_secret, settings)  # a command may be asked for it
        now = self._watch.now()
        why = interact.verify(secret, headers.get("x-slack-request-timestamp", ""), body, signature, now)
        if why:
            raise IngestError(why, status=401)
        if self._seen.again(signature, now):
            raise IngestError("this request was here before", status=409)
        try:
            typed = commands.typed(body)
            one = None if typed else interact.pressed(body)
        except ValueError as error:
            raise IngestError("neither a slash command nor a form with a JSON payload", status=400) from error
        if typed is not None:
            words = await slack_words.answer(self._watch, name, settings, typed)
            return _json({"response_type": "ephemeral", "text": escape(words)}), None
        # A link that was followed, a button of somebody else: nothing to do.
        return b"", await self._press(one, settings) if one else None

    async def _press(self, one: Pressed, settings: SlackSettings) -> tuple[str, str] | None:
        """Where to send what back to whoever pressed it. Raises JournalError."""
        person = settings.people.get(one.user, "")
        if one.verb in NAMED and not person:
            words = (
                f"{one.verb}: you are {one.user}, and the settings name nobody for that (people: under this channel)."
            )
        else:
            try:
                words = await self._obey(one, person)
            except UsageError as error:
                words = f"That could not be done: {error}. {error.hint}".strip()
        return (one.answer_url, words) if _slacks(one.answer_url, settings.api_url) else None

    async def _obey(self, one: Pressed, person: str) -> str:
        target = _target(self._watch, one)
        by = person or f"{one.name or one.user} (Slack)"
        if words := has_already(self._watch.state, one.verb, target, by):
            return words
        await self._watch.command(CommandGiven(one.verb, by, target, via="chat", credential=person))
        return f"Heard: {one.verb} {target}, by {by}."


def _target(watch: Watch, one: Pressed) -> str:
    """A button outlives its message: what it is about may be over. Raises UsageError."""
    if one.verb in NAMED:
        record = find_action(watch.state, one.target)
        if why := cannot(one.verb, record):
            raise UsageError(why)
        return record.action.id
    return find_incident(watch.state, one.target).id


def _secret(settings: SlackSettings) -> str:
    try:
        return resolve(settings.signing_secret)
    except ConfigError:
        return ""


def _slacks(url: str, api_url: str) -> bool:
    """Whether ``url`` leads to Slack, or to what stands in for it."""
    try:
        there, api = urlsplit(url), urlsplit(api_url)
    except ValueError:
        return False
    if there.netloc == api.netloc and there.scheme == api.scheme:
        return True
    return there.scheme == "https" and there.netloc.endswith((".slack.com", ".slack-gov.com"))


async def _say(url: str, words: str) -> None:
    """Only whoever pressed it sees it; that it does not arrive hurts nobody."""
    body = _json({"response_type": "ephemeral", "replace_original": False, "text": escape(words)})
    try:
        await post(url, body, {"Content-Type": "application/json"}, whom="Slack", timeout_seconds=5.0)
    except ChannelError as error:
        log.warning("whoever pressed a button was not told what became of it: %s", error)


def _json(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, ensure_ascii=False).encode()


async def _send(send: Send, status: int, body: bytes) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
