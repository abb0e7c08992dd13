"""One method of Slack's Web API, with a bot token. Slack answers 200 and says in the body whether it did it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from midwatch.adapters.channels.http import post
from midwatch.model.errors import ChannelError, RateLimited

SLACK: Final = "https://slack.com/api"
EVERY_SECONDS: Final = 1.0  # "about one message per second per channel"; short bursts pass
PASSING: Final = frozenset(
    {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"}
)
LIMITED: Final = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
HINTS: Final = {
    "not_in_channel": "invite the app: /invite in that channel",
    "channel_not_found": "give the channel's id (C...), and invite the app to it",
    "invalid_auth": "the bot token is not one of this workspace",
    "is_archived": "the channel is archived: name another",
    "restricted_action": "a preference of the workspace forbids it to apps",
}


class SlackApi:
    """``token`` is asked at each call."""

    def __init__(self, token: Callable[[], str], api_url: str = SLACK, timeout_seconds: float = 10.0) -> None:
        self._token, self._url, self._timeout = token, api_url.rstrip("/"), timeout_seconds

    async def call(
        self, method: str, body: Mapping[str, Any], *, form: bool = False, fine: Collection[str] = ()
    ) -> dict[str, Any]:
        """Slack's answer. ``form``: this method takes no JSON. An error in ``fine`` is an answer like any other. Raises
        ChannelError; which scope the token lacks is said."""
        token = await asyncio.to_thread(self._token)  # a command may be asked for it
        kind = "application/x-www-form-urlencoded" if form else "application/json; charset=utf-8"
        encoded = urlencode(body) if form else json.dumps(body, ensure_ascii=False)
        answer = await post(
            f"{self._url}/{method}",
            encoded.encode(),
            {"Content-Type": kind, "Authorization": f"Bearer {token}"},
            whom="Slack",
            timeout_seconds=self._timeout,
            secrets=(token,),
            why=_why,
        )
        read = _json(answer)
        error = str(read.get("error") or "an answer that is no answer")[:100]
        if read.get("ok") is True or error in fine:
            return read
        raise _failed(method, error, read)


def _failed(method: str, error: str, read: Mapping[str, Any]) -> ChannelError:
    text = f"Slack refused {method}: {error}"
    if error in LIMITED:
        return RateLimited(text, retry_after_seconds=EVERY_SECONDS * 5)
    hint = HINTS.get(error, "")
    if error == "missing_scope":
        needed = str(read.get("needed") or "chat:write")[:200]
        text = f"{text}, the app lacks the scope {needed}"  # no word that would be taken for a secret and hidden
        hint = f"add the bot token scope {needed} at api.slack.com/apps, and install the app again"
    return ChannelError(text, retry_after_seconds=2.0 if error in PASSING else None, hint=hint)


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        read = answer.json()
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _why(answer: httpx.Response) -> str:
    return str(_json(answer).get("error", ""))[:100]
