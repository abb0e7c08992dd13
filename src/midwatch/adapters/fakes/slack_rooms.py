"""The channels of Slack's contract fake: ``conversations.*`` and ``pins.add`` as docs.slack.dev documents them, with names,
members, topics, archiving, pages of a list, and the scope that each method takes of a bot token."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from midwatch.adapters.fakes.server import Answer, Asked

SCOPES: Final = {
    "conversations.create": ("channels:manage", "groups:write"),
    "conversations.invite": ("channels:manage", "groups:write"),
    "conversations.setTopic": ("channels:manage", "groups:write"),
    "conversations.setPurpose": ("channels:manage", "groups:write"),
    "conversations.archive": ("channels:manage", "groups:write"),
    "conversations.list": ("channels:read", "groups:read"),
    "conversations.info": ("channels:read", "groups:read"),
    "conversations.history": ("channels:history", "groups:history"),
    "pins.add": ("pins:write", "pins:write"),
}
"""Method -> the scope for a public and for a private channel."""
FORM_ONLY: Final = frozenset(
    {"pins.add", "conversations.list", "conversations.info", "conversations.history", "auth.test"}
)
EVERYTHING: Final = frozenset({"chat:write", *(scope for both in SCOPES.values() for scope in both)})
ME: Final = "U0MIDWATCH"


class FakeRooms:
    """``channels`` by id. ``scopes`` are the token's; ``users`` may be invited."""

    def __init__(self, scopes: frozenset[str], users: frozenset[str], created: float) -> None:
        self.scopes, self.users, self.created = scopes, users, created
        self.channels: dict[str, dict[str, Any]] = {}

    def named(self, name: str) -> dict[str, Any]:
        """Raises LookupError."""
        return next(c for c in self.channels.values() if c["name"] == name)

    def add(self, name: str, **changes: Any) -> dict[str, Any]:
        """A channel; one of this bot's, empty and new unless ``changes`` say otherwise."""
        ident = f"C0ROOM{len(self.channels) + 1}"
        made = {"id": ident, "name": name, "creator": ME, "created": int(self.created), "is_private": False}
        made |= {"is_archived": False, "topic": {"value": ""}, "purpose": {"value": ""}}
        made |= {"members": [ME], "pins": [], "topics_set": 0}
        self.channels[ident] = {**made, **changes}
        return self.channels[ident]

    def answer(self, method: str, asked: Asked, messages: Mapping[str, dict[str, Any]]) -> Answer | None:
        """None for a method that is not about channels."""
        if method == "auth.test":
            return _yes(user_id=ME, team="t", url="https://t.slack.com/")
        if method not in SCOPES:
            return None
        if method in FORM_ONLY:
            body: dict[str, Any] = dict(parse_qsl(asked.body.decode(), keep_blank_values=True))
        else:
            body = asked.read if isinstance(asked.read, dict) else {}
        channel = self.channels.get(str(body.get("channel", "")))
        private = channel["is_private"] if channel else body.get("is_private") or body.get("types") == "private_channel"
        needed = SCOPES[method][1 if private else 0]
        if needed not in self.scopes:
            return Answer(
                200, {"ok": False, "error": "missing_scope", "needed": needed, "provided": ",".join(self.scopes)}
            )
        if method == "conversations.create":
            return self._create(body)
        if method == "conversations.list":
            return self._list(body, bool(private))
        if channel is None:
            return _no("channel_not_found")
        if method == "conversations.info":
            return _yes(channel=channel)
        if ME not in channel["members"]:
            return _no("not_in_channel")
        if method == "conversations.history":
            return _history(body, channel, messages)
        if channel["is_archived"]:
            return _no("already_archived" if method == "conversations.archive" else "is_archived")
        return self._change(method, body, channel, messages)

    def _create(self, body: dict[str, Any]) -> Answer:
        name = str(body.get("name", ""))
        if not name:
            return _no("invalid_name_required")
        if len(name) > 80:
            return _no("invalid_name_maxlength")
        if not re.fullmatch(r"[a-z0-9_-]+", name):
            return _no("invalid_name_specials")
        if not re.search(r"[a-z0-9]", name):
            return _no("invalid_name_punctuation")
        if any(c["name"] == name for c in self.channels.values()):
            return _no("name_taken")
        return _yes(channel=self.add(name, is_private=bool(body.get("is_private"))))

    def _list(self, body: dict[str, Any], private: bool) -> Answer:
        fitting = [c for c in self.channels.values() if c["is_private"] == private]
        if body.get("exclude_archived") == "true":
            fitting = [c for c in fitting if not c["is_archived"]]
        start, most = int(body.get("cursor") or 0), int(body.get("limit") or 100)
        if not 0 < most <= 1000:
            return _no("invalid_limit")
        onward = str(start + most) if start + most < len(fitting) else ""
        return _yes(channels=fitting[start : start + most], response_metadata={"next_cursor": onward})

    def _change(
        self, method: str, body: dict[str, Any], channel: dict[str, Any], messages: Mapping[str, dict[str, Any]]
    ) -> Answer:
        match method:
            case "conversations.invite":
                user = str(body.get("users", ""))
                if user == ME:
                    return _no("cant_invite_self")
                if user in channel["members"]:
                    return _no("already_in_channel")
                if user not in self.users:
                    return Answer(
                        200, {"ok": False, "error": "user_not_found", "errors": [{"user": user, "ok": False}]}
                    )
                channel["members"].append(user)
            case "conversations.setTopic":
                if len(str(body.get("topic", ""))) > 250:
                    return _no("too_long")
                channel["topic"] = {"value": re.sub(r"(https?://\S+)", r"<\1>", _escaped(str(body.get("topic", ""))))}
                channel["topics_set"] += 1
            case "conversations.setPurpose":
                channel["purpose"] = {"value": _escaped(str(body.get("purpose", "")))}
            case "conversations.archive":
                channel["is_archived"] = True
            case "pins.add":
                ts = body.get("timestamp")
                if ts not in messages or messages[str(ts)]["channel"] != channel["id"]:
                    return _no("message_not_found")
                if ts in channel["pins"]:
                    return _no("already_pinned")
                channel["pins"].append(ts)
        return _yes(channel=channel)


def _history(body: dict[str, Any], channel: dict[str, Any], messages: Mapping[str, dict[str, Any]]) -> Answer:
    found = [{"ts": ts, **m} for ts, m in messages.items() if m["channel"] == channel["id"] and "thread_ts" not in m]
    if body.get("include_all_metadata") != "true":
        found = [{k: v for k, v in m.items() if k != "metadata"} for m in found]
    return _yes(messages=found[::-1][: int(body.get("limit") or 100)])


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _yes(**more: Any) -> Answer:
    return Answer(200, {"ok": True, **more})


def _no(error: str) -> Answer:
    return Answer(200, {"ok": False, "error": error})
