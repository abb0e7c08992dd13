"""Pages through Slack's Web API: ``chat.postMessage`` and ``chat.update``, with a bot token that has ``chat:write``.

The first page of an incident is a message, later ones are replies in its thread that are shown in the channel too, and
what happens between pages is a reply; the message itself always shows how the incident stands. Its place is
``<channel>:<ts>``, which the journal keeps. Slack takes no idempotency key: the page's key stands under the message and in
its metadata, so a page that was sent twice after a crash can be seen to be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from midwatch.adapters.channels.pace import Pace
from midwatch.adapters.channels.slack.api import EVERY_SECONDS, SLACK, SlackApi
from midwatch.adapters.channels.slack.blocks import NEWS, escape, reply, root, said, short
from midwatch.adapters.channels.slack.rooms import SlackRooms
from midwatch.model.events import PageOrdered
from midwatch.model.standing import Standing

BURST: Final = 3


class SlackChannel:
    """``token`` is asked at each send; ``conversation`` is a channel's or a person's id, for pages that name no
    other (``to``). ``people``: Slack's id of a user -> person, for who is called into a war room."""

    def __init__(
        self,
        name: str,
        token: Callable[[], str],
        conversation: str,
        *,
        mention: str = "",
        people: Mapping[str, str] | None = None,
        api_url: str = SLACK,
        timeout_seconds: float = 10.0,
        pace: Pace | None = None,
    ) -> None:
        self._name, self._conversation, self._mention = name, conversation, mention
        self._api = SlackApi(token, api_url, timeout_seconds)
        self._pace = pace or Pace(EVERY_SECONDS, BURST)
        self.rooms = SlackRooms(self._api, people or {}, pace)

    @property
    def name(self) -> str:
        return self._name

    async def send(self, page: PageOrdered) -> None:
        await self.page(page, Standing(page.incident, page.severity, page.subject, page.text, ""), "")

    async def page(self, page: PageOrdered, standing: Standing, place: str) -> str:
        metadata = {"event_type": "midwatch_page", "event_payload": {"key": page.key, "incident": page.incident}}
        message: dict[str, Any] = {"text": escape(short(page.subject, 3000)), "metadata": metadata}
        if not place:
            message["blocks"] = root(standing, page.text, page.key, self._mention, self._room(standing))
            there = page.to or self._conversation
            async with self._pace.turn(lane=there):
                answer = await self._api.call("chat.postMessage", {"channel": there, **message})
            return f"{answer.get('channel') or there}:{answer.get('ts', '')}"
        channel, _, ts = place.partition(":")
        message |= {"blocks": reply(standing, page.text, page.key), "thread_ts": ts, "reply_broadcast": True}
        if self._mention and not standing.over:
            message["blocks"].insert(0, {"type": "section", "text": {"type": "mrkdwn", "text": self._mention}})
        async with self._pace.turn(sends=2, lane=channel):
            await self._api.call("chat.postMessage", {"channel": channel, **message})
            await self._show(standing, channel, ts)
        return place

    async def follow(self, standing: Standing, place: str) -> None:
        channel, _, ts = place.partition(":")
        news = short("\n".join(standing.happened), NEWS)
        async with self._pace.turn(sends=2 if news else 1):  # no page waits for it
            await self._show(standing, channel, ts)
            if news:
                message = {"channel": channel, "thread_ts": ts, "text": escape(news), "blocks": said(news)}
                await self._api.call("chat.postMessage", message)

    def _room(self, standing: Standing) -> str:
        """A room in another chat is of no use here."""
        return standing.room if standing.room_at == self._name else ""

    async def _show(self, standing: Standing, channel: str, ts: str) -> None:
        """The incident's message as it stands now. One that somebody deleted is not mourned."""
        message = {"channel": channel, "ts": ts, "text": escape(standing.subject)}
        await self._api.call(
            "chat.update",
            {**message, "blocks": root(standing, standing.text, "", room=self._room(standing))},
            fine=("message_not_found",),
        )
