"""Slack's Web API and its buttons, as docs.slack.dev documents them: ``chat.postMessage``, ``chat.update``, block and text
bounds, ``ok: false`` with HTTP 200, 429 with ``Retry-After``, and signed ``block_actions`` requests and slash commands;
channels in ``slack_rooms.py``.

Not played: several workspaces, preferences of a workspace, guests, retries of Slack's own.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any, Final
from urllib.parse import urlencode

from midwatch.adapters.channels.slack.interact import sign
from midwatch.adapters.fakes.server import Answer, Asked, FakeApi
from midwatch.adapters.fakes.slack_rooms import EVERYTHING, FakeRooms

BLOCKS: Final = frozenset({"header", "section", "context", "actions", "divider"})


class FakeSlack(FakeApi):
    """``messages`` by ts, in order, each as it was last updated; ``told`` is what went to a ``response_url``. A message to a
    person (U...) is in their direct messages (D...)."""

    def __init__(
        self,
        token: str = "xoxb-fake",
        signing_secret: str = "shhh",
        conversation: str = "C0INCIDENTS",
        *,
        scopes: frozenset[str] = EVERYTHING,
        users: frozenset[str] = frozenset({"U0ANA", "U0BO"}),
        created: float | None = None,
    ) -> None:
        super().__init__()
        self.rooms = FakeRooms(scopes, users, time.time() if created is None else created)
        self.token, self.signing_secret, self.conversation = token, signing_secret, conversation
        self.messages: dict[str, dict[str, Any]] = {}
        self.told: list[str] = []
        self._typed = 0

    def answer(self, asked: Asked) -> Answer:
        if asked.path.startswith("/answer/"):
            self.told.append(str((asked.read or {}).get("text", "")))
            return Answer(200, {"ok": True})
        if asked.headers.get("authorization") != f"Bearer {self.token}":
            return _no("invalid_auth")
        method = asked.path.removeprefix("/api/")
        if (told := self.rooms.answer(method, asked, self.messages)) is not None:
            return told
        body = asked.read
        if not isinstance(body, dict) or not asked.headers.get("content-type", "").startswith("application/json"):
            return _no("invalid_json")
        there = str(body.get("channel", ""))
        room = self.rooms.channels.get(there)
        if there != self.conversation and there[:1] not in "UD" and room is None:
            return _no("channel_not_found")
        if room is not None and room["is_archived"]:
            return _no("is_archived")
        if error := _wrong(body):
            return _no(error)
        if asked.path == "/api/chat.postMessage":
            return self._post(body)
        if asked.path == "/api/chat.update":
            return self._update(body)
        return _no("unknown_method")

    def _post(self, body: dict[str, Any]) -> Answer:
        if (thread := body.get("thread_ts")) is not None and thread not in self.messages:
            return _no("thread_not_found")
        ts = f"1790000000.{len(self.messages) + 1:06d}"
        there = body["channel"].replace("U", "D", 1) if body["channel"].startswith("U") else body["channel"]
        self.messages[ts] = {**body, "channel": there}
        return Answer(200, {"ok": True, "channel": there, "ts": ts, "message": body})

    def _update(self, body: dict[str, Any]) -> Answer:
        ts = body.get("ts")
        if ts not in self.messages or self.messages[ts]["channel"] != body["channel"]:
            return _no("message_not_found")
        self.messages[ts] = {**self.messages[ts], **body}
        return Answer(200, {"ok": True, "channel": body["channel"], "ts": ts, "text": body.get("text", "")})

    @property
    def roots(self) -> list[dict[str, Any]]:
        return [m for m in self.messages.values() if "thread_ts" not in m]

    def thread(self, number: int = 0) -> list[dict[str, Any]]:
        ts = [ts for ts, m in self.messages.items() if "thread_ts" not in m][number]
        return [m for m in self.messages.values() if m.get("thread_ts") == ts]

    def press(
        self, label: str, at: float, user: str = "U0ANA", message: dict[str, Any] | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """Body and headers of the request that Slack sends when ``user`` presses the button ``label`` (unix seconds
        ``at``). Raises LookupError when there is no such button."""
        shown = message or self.roots[-1]
        found = [e for block in shown["blocks"] for e in block.get("elements", ()) if e.get("type") == "button"]
        button = next((e for e in found if e["text"]["text"] == label), None)
        if button is None:
            raise LookupError(f"no button {label!r}; there are {[e['text']['text'] for e in found]}")
        payload = {
            "type": "block_actions",
            "user": {"id": user, "username": user.lower(), "team_id": "T0"},
            "api_app_id": "A0",
            "container": {"type": "message", "channel_id": self.conversation},
            "trigger_id": f"{at:.0f}.1",
            "channel": {"id": self.conversation, "name": "incidents"},
            "response_url": f"{self.url}/answer/1",
            "actions": [{**button, "block_id": "b1", "action_ts": f"{at:.6f}"}],
        }
        return self.signed(urlencode({"payload": json.dumps(payload)}).encode(), at)

    def slash(
        self, text: str, at: float, user: str = "U0ANA", channel: str = "", escaped: bool = True
    ) -> tuple[bytes, dict[str, str]]:
        """Body and headers of the request that Slack sends when ``user`` types ``/midwatch <text>`` in ``channel``.
        ``escaped``: as with *Escape channels, users, and links*, where ``@U0BO`` becomes ``<@U0BO|u0bo>``."""
        self._typed += 1  # no two requests of Slack's are the same
        if escaped:
            text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            text = re.sub(r"@([UW][A-Z0-9]+)", lambda m: f"<@{m[1]}|{m[1].lower()}>", text)
        form = {"token": "deprecated", "team_id": "T0", "team_domain": "t", "api_app_id": "A0"}
        form |= {"channel_id": channel or self.conversation, "channel_name": "incidents", "user_id": user}
        form |= {
            "user_name": user.lower(),
            "command": "/midwatch",
            "text": text,
            "trigger_id": f"{at:.0f}.{self._typed}",
        }
        return self.signed(urlencode({**form, "response_url": f"{self.url}/answer/2"}).encode(), at)

    def signed(self, body: bytes, at: float) -> tuple[bytes, dict[str, str]]:
        stamp = f"{at:.0f}"
        return body, {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": sign(self.signing_secret, stamp, body),
        }


def _no(error: str) -> Answer:
    return Answer(200, {"ok": False, "error": error})


def _wrong(body: dict[str, Any]) -> str:
    """The documented error of a message that breaks a documented bound."""
    if not body.get("text") and not body.get("blocks"):
        return "no_text"
    if len(body.get("text", "")) > 40_000:
        return "msg_too_long"
    blocks = body.get("blocks", [])
    if len(blocks) > 50 or any(block.get("type") not in BLOCKS for block in blocks):
        return "invalid_blocks"
    if len(json.dumps(blocks, ensure_ascii=False)) > 13_000:
        return "msg_blocks_too_long"
    for block in blocks:
        text, elements = block.get("text", {}), block.get("elements", [])
        if block["type"] == "header" and not (text.get("type") == "plain_text" and 0 < len(text["text"]) <= 150):
            return "invalid_blocks"
        if block["type"] == "section" and not 0 < len(text.get("text", "")) <= 3000:
            return "invalid_blocks"
        if block["type"] == "context" and not 0 < len(elements) <= 10:
            return "invalid_blocks"
        if block["type"] == "actions" and not (0 < len(elements) <= 25 and all(map(_button_holds, elements))):
            return "invalid_blocks"
        ids = [e.get("action_id") for e in elements if "action_id" in e]
        if len(set(ids)) < len(ids):
            return "invalid_blocks"
    return ""


def _button_holds(button: dict[str, Any]) -> bool:
    confirm = button.get("confirm")
    return (
        button.get("type") == "button"
        and button["text"]["type"] == "plain_text"
        and 0 < len(button["text"]["text"]) <= 75
        and 0 < len(button["action_id"]) <= 255
        and len(button.get("value", "")) <= 2000
        and len(button.get("url", "https://")) <= 3000
        and button.get("style", "primary") in ("primary", "danger")
        and (confirm is None or (len(confirm["title"]["text"]) <= 100 and len(confirm["text"]["text"]) <= 300))
    )
