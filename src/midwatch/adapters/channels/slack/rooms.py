"""War rooms in Slack: a channel for an incident, who is in it, its topic, a pinned summary, and its archiving.

Every method may be called again after a crash: a name that is taken by a channel of ours from this incident is that channel,
a summary that was posted under its key is found, and who is in already, what is pinned already and what is archived already
is as it should be. Bot token scopes: ``channels:manage``, ``chat:write``, ``pins:write``, and to find again what a crash
left, ``channels:read`` and ``channels:history``; for private rooms ``groups:write``, ``groups:read``, ``groups:history``.
Sources: docs.slack.dev/reference/methods, conversations.* and pins.add.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any, Final

from midwatch.adapters.channels.pace import Pace
from midwatch.adapters.channels.slack.api import SlackApi
from midwatch.adapters.channels.slack.blocks import NEWS, escape, root, said, short
from midwatch.model.errors import ChannelError, RoomGone
from midwatch.model.standing import Standing
from midwatch.model.war_room import RoomAt

EVERY_SECONDS: Final = 0.5  # what creates and archives may be called 20 times a minute, what invites 50 times
BURST: Final = 6
MAX_NAME: Final = 80
NAMES: Final = 5  # the name, and with -2 to -5
SKEW_SECONDS: Final = 600.0  # by which Slack's clock may be behind ours
PAGES: Final = 20
PAGE: Final = 200  # what Slack recommends at most
HISTORY: Final = 15
MAX_TOPICS: Final = 200
GONE: Final = frozenset({"is_archived", "already_archived", "channel_not_found", "not_in_channel"})


class SlackRooms:
    """``api`` is shared with the channel that pages; ``people``: Slack's id of a user -> person."""

    def __init__(self, api: SlackApi, people: Mapping[str, str], pace: Pace | None = None) -> None:
        self._api, self._pace = api, pace or Pace(EVERY_SECONDS, BURST)
        self._users = {person: user for user, person in people.items()}
        self._topics: dict[str, str] = {}  # as this process set or saw them, the newest last

    async def open(self, name: str, mark: str, since_at: float, private: bool) -> RoomAt:
        """A channel called ``name``, or the next free name of its kind. One that is there already is ours when this bot
        made it since ``since_at`` (unix seconds) and its purpose is ``mark`` or still empty. Raises ChannelError."""
        me = await self._call("auth.test", {}, form=True)
        for number in range(1, NAMES + 1):
            wanted = name if number == 1 else f"{name[: MAX_NAME - 2]}-{number}"
            made = await self._call(
                "conversations.create", {"name": wanted, "is_private": private}, fine=("name_taken",)
            )
            if made.get("ok"):
                found = made.get("channel") or {}
            else:
                found = await self._ours(wanted, mark, since_at, private, str(me.get("user_id", "")))
            if place := str(found.get("id") or ""):
                if not _value(found, "purpose"):
                    await self._call("conversations.setPurpose", {"channel": place, "purpose": mark})
                where = str(me.get("url") or "").rstrip("/")
                return RoomAt(place, str(found.get("name") or wanted), f"{where}/archives/{place}" if where else "")
        raise ChannelError(f"Slack has channels called {name} to {name}-{NAMES} already", retry_after_seconds=None)

    async def _ours(self, name: str, mark: str, since_at: float, private: bool, me: str) -> dict[str, Any]:
        """The channel of that name if a crash left it to us; {} when it is somebody else's, or nobody may look."""
        kind = "private_channel" if private else "public_channel"
        cursor = ""
        for _ in range(PAGES):
            asked = {"types": kind, "exclude_archived": "true", "limit": PAGE, "cursor": cursor}
            answer = await self._call("conversations.list", asked, form=True, fine=("missing_scope",))
            for one in answer.get("channels") or ():
                if one.get("name") != name:
                    continue
                recent = float(one.get("created") or 0) >= since_at - SKEW_SECONDS
                ours = one.get("creator") == me and recent and _value(one, "purpose") in ("", mark)
                return dict(one) if ours else {}
            cursor = str((answer.get("response_metadata") or {}).get("next_cursor") or "")
            if not cursor:
                break
        return {}

    async def invite(self, place: str, person: str, to: str) -> None:
        """Who is in already, or is the bot itself, is where they should be. Raises ChannelError."""
        user = to if to[:1] in ("U", "W") else self._users.get(person, "")
        if not user:
            raise ChannelError(
                f"nobody says which Slack user {person} is", retry_after_seconds=None, hint="people: under this channel"
            )
        fine = ("already_in_channel", "cant_invite_self")
        await self._call("conversations.invite", {"channel": place, "users": user}, fine=fine)

    async def summarise(self, place: str, standing: Standing, key: str, look: bool) -> str:
        """Post how the incident stands under ``key``; the message's ts. ``look``: a crash may have left one. Raises
        ChannelError."""
        if look and (ts := await self._posted(place, key)):
            return ts
        metadata = {"event_type": "midwatch_room", "event_payload": {"key": key, "incident": standing.incident}}
        message = {"channel": place, "text": escape(standing.subject), "metadata": metadata}
        answer = await self._call("chat.postMessage", {**message, "blocks": root(standing, standing.text, key)})
        return str(answer.get("ts", ""))

    async def pin(self, place: str, summary: str) -> None:
        """Raises ChannelError."""
        await self._call("pins.add", {"channel": place, "timestamp": summary}, form=True, fine=("already_pinned",))

    async def _posted(self, place: str, key: str) -> str:
        """The ts of the summary that was posted under ``key``; "" for none, or when nobody may look."""
        asked = {"channel": place, "limit": HISTORY, "include_all_metadata": "true", "oldest": "0"}
        answer = await self._call("conversations.history", asked, form=True, fine=("missing_scope",))
        for message in answer.get("messages") or ():
            if key == ((message.get("metadata") or {}).get("event_payload") or {}).get("key"):
                return str(message.get("ts", ""))
        return ""

    async def show(self, place: str, summary: str, standing: Standing, topic: str) -> None:
        """The pinned summary and the topic as they are to be now; a topic that says so already is left alone. Raises
        ChannelError."""
        if summary:
            message = {"channel": place, "ts": summary, "text": escape(standing.subject)}
            fine = ("message_not_found",)  # one that somebody deleted is not mourned
            await self._call("chat.update", {**message, "blocks": root(standing, standing.text, "")}, fine=fine)
        if place not in self._topics:  # setting it says so in the channel: not again after each restart
            info = await self._call("conversations.info", {"channel": place}, form=True, fine=("missing_scope",))
            self._topics[place] = html.unescape(_value(info.get("channel") or {}, "topic"))
            while len(self._topics) > MAX_TOPICS:
                self._topics.pop(next(iter(self._topics)))
        if _bare(self._topics[place]) != _bare(topic):
            await self._call("conversations.setTopic", {"channel": place, "topic": topic})
            self._topics[place] = topic

    async def say(self, place: str, text: str) -> None:
        """Raises ChannelError."""
        news = short(text, NEWS)
        await self._call("chat.postMessage", {"channel": place, "text": escape(news), "blocks": said(news)})

    async def archive(self, place: str) -> None:
        """Raises ChannelError, and RoomGone for one that is archived or gone already."""
        await self._call("conversations.archive", {"channel": place})
        self._topics.pop(place, None)

    async def _call(
        self, method: str, body: dict[str, Any], *, form: bool = False, fine: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        async with self._pace.turn():
            answer = await self._api.call(method, body, form=form, fine=(*fine, *GONE))
        if (error := answer.get("error")) in GONE and not answer.get("ok"):
            raise RoomGone(f"Slack says {error}: somebody archived or deleted the room, or took midwatch out of it")
        return answer


def _value(channel: dict[str, Any], key: str) -> str:
    held = channel.get(key)
    return str(held.get("value") or "") if isinstance(held, dict) else ""


def _bare(topic: str) -> str:
    """Slack puts links into angle brackets."""
    return topic.replace("<", "").replace(">", "")
