"""Pages through Slack's Web API: ``chat.postMessage`` and ``chat.update``, with a bot token that has ``chat:write``.

The first page of an incident is a message, later ones are replies in its thread that are shown in the channel too, and
what happens between pages is a reply; the message itself always shows how the incident stands. Its place is
``<channel>:<ts>``, which the journal keeps. Slack takes no idempotency key: the page's key stands under the message and in
its metadata, so a page that was sent twice after a crash can be seen to be the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import httpx

from midwatch.adapters.channels.http import post
from midwatch.adapters.channels.pace import Pace
from midwatch.adapters.channels.slack.blocks import NEWS, escape, reply, root, said, short
from midwatch.model.errors import ChannelError, RateLimited
from midwatch.model.events import PageOrdered
from midwatch.model.standing import Standing

SLACK: Final = "https://slack.com/api"
EVERY_SECONDS: Final = 1.0  # "about one message per second per channel"; short bursts pass
BURST: Final = 3
PASSING: Final = frozenset(
    {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"}
)
LIMITED: Final = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
HINTS: Final = {
    "not_in_channel": "invite the app: /invite in that channel",
    "channel_not_found": "give the channel's id (C...), and invite the app to it",
    "invalid_auth": "the bot token is not one of this workspace",
    "missing_scope": "the bot token needs the scope chat:write",
    "is_archived": "the channel is archived: name another",
}


class SlackChannel:
    """``token`` is asked at each send; ``conversation`` is a channel's or a person's id, for pages that name no
    other (``to``)."""

    def __init__(
        self,
        name: str,
        token: Callable[[], str],
        conversation: str,
        *,
        mention: str = "",
        api_url: str = SLACK,
        timeout_seconds: float = 10.0,
        pace: Pace | None = None,
    ) -> None:
        self._name, self._token, self._conversation = name, token, conversation
        self._mention, self._api = mention, api_url.rstrip("/")
        self._timeout, self._pace = timeout_seconds, pace or Pace(EVERY_SECONDS, BURST)

    @property
    def name(self) -> str:
        return self._name

    async def send(self, page: PageOrdered) -> None:
        await self.page(page, Standing(page.incident, page.severity, page.subject, page.text, ""), "")

    async def page(self, page: PageOrdered, standing: Standing, place: str) -> str:
        metadata = {"event_type": "midwatch_page", "event_payload": {"key": page.key, "incident": page.incident}}
        message: dict[str, Any] = {"text": escape(short(page.subject, 3000)), "metadata": metadata}
        if not place:
            message["blocks"] = root(standing, page.text, page.key, self._mention)
            there = page.to or self._conversation
            async with self._pace.turn():
                answer = await self._call("chat.postMessage", {"channel": there, **message})
            return f"{answer.get('channel') or there}:{answer.get('ts', '')}"
        channel, _, ts = place.partition(":")
        message |= {"blocks": reply(page.text, page.key), "thread_ts": ts, "reply_broadcast": True}
        if self._mention and not standing.over:
            message["blocks"].insert(0, {"type": "section", "text": {"type": "mrkdwn", "text": self._mention}})
        async with self._pace.turn(sends=2):
            await self._call("chat.postMessage", {"channel": channel, **message})
            await self._show(standing, channel, ts)
        return place

    async def follow(self, standing: Standing, place: str) -> None:
        channel, _, ts = place.partition(":")
        news = short("\n".join(standing.happened), NEWS)
        async with self._pace.turn(sends=2 if news else 1):
            await self._show(standing, channel, ts)
            if news:
                message = {"channel": channel, "thread_ts": ts, "text": escape(news), "blocks": said(news)}
                await self._call("chat.postMessage", message)

    async def _show(self, standing: Standing, channel: str, ts: str) -> None:
        """The incident's message as it stands now. One that somebody deleted is not mourned."""
        message = {"channel": channel, "ts": ts, "text": escape(standing.subject)}
        await self._call(
            "chat.update", {**message, "blocks": root(standing, standing.text, "")}, fine="message_not_found"
        )

    async def _call(self, method: str, body: dict[str, Any], fine: str = "") -> dict[str, Any]:
        """One method of the Web API, within a turn. Slack answers 200 and says in the body whether it did it."""
        token = self._token()
        headers = {"Content-Type": "application/json; charset=utf-8", "Authorization": f"Bearer {token}"}
        encoded = json.dumps(body, ensure_ascii=False).encode()
        answer = await post(
            f"{self._api}/{method}",
            encoded,
            headers,
            whom="Slack",
            timeout_seconds=self._timeout,
            secrets=(token,),
            why=_why,
        )
        read = _json(answer)
        if read.get("ok") is True:
            return read
        error = str(read.get("error") or "an answer that is no answer")[:100]
        if fine and error == fine:
            return read
        raise _failed(method, error)


def _failed(method: str, error: str) -> ChannelError:
    text = f"Slack refused {method}: {error}"
    if error in LIMITED:
        return RateLimited(text, retry_after_seconds=EVERY_SECONDS * 5)
    return ChannelError(text, retry_after_seconds=2.0 if error in PASSING else None, hint=HINTS.get(error, ""))


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        read = answer.json()
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _why(answer: httpx.Response) -> str:
    return str(_json(answer).get("error", ""))[:100]
