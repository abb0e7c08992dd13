"""Incidents at PagerDuty, for a team that stays there: Events API v2, trigger, acknowledge and resolve.

One incident of ours is one alert there, under the dedup key ``<source>/<incident>``; a repeat lands on the same alert, and
PagerDuty's own escalation does the waking. Format: developer.pagerduty.com/docs/events-api-v2 (202 taken, 400 not
understood, 429 slower, 5xx again; summary 1,024 characters, dedup key 255, body 512 KB).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

import httpx

from midwatch.adapters.channels.http import post
from midwatch.adapters.channels.pace import Pace
from midwatch.model.events import PageOrdered
from midwatch.model.standing import Standing

US: Final = "https://events.pagerduty.com"
SEVERITIES: Final = {1: "critical", 2: "error", 3: "warning", 4: "info"}
RESOLVED: Final = "resolved"
MAX_TEXT: Final = 20_000


class PagerDutyChannel:
    """``routing_key`` is asked at each send. ``source`` names this watch: two watches on one service need two."""

    def __init__(
        self,
        name: str,
        routing_key: Callable[[], str],
        *,
        source: str = "midwatch",
        api_url: str = US,
        timeout_seconds: float = 10.0,
    ) -> None:
        self._name, self._key, self._source = name, routing_key, source
        self._url, self._timeout = f"{api_url.rstrip('/')}/v2/enqueue", timeout_seconds
        self._pace = Pace()

    @property
    def name(self) -> str:
        return self._name

    async def send(self, page: PageOrdered) -> None:
        await self.page(page, Standing(page.incident, page.severity, page.subject, page.text, ""), "")

    async def page(self, page: PageOrdered, standing: Standing, place: str) -> str:
        place = place or f"{self._source}/{page.incident}"[:255]
        if page.topics == (RESOLVED,):
            if standing.over and standing.heard_on == self._name:
                return place  # it was said there
            await self._event({"event_action": "resolve", "dedup_key": place})
            return place
        await self._event(
            {
                "event_action": "trigger",
                "dedup_key": place,
                "client": "midwatch",
                **_links(standing),
                "payload": {
                    "summary": page.subject[:1024],
                    "source": self._source,
                    "severity": SEVERITIES.get(page.severity, "error"),
                    "component": page.incident,
                    "custom_details": {
                        "text": page.text[:MAX_TEXT],
                        "key": page.key,
                        "topics": list(page.topics),
                        "repeat": page.repeat,
                    },
                },
            }
        )
        if standing.acknowledged_by:  # a trigger does not wake anybody who has it in hand already
            await self._event({"event_action": "acknowledge", "dedup_key": place})
        return place

    async def follow(self, standing: Standing, place: str) -> None:
        if standing.heard_on == self._name:
            return  # it was said there
        if standing.over:
            await self._event({"event_action": "resolve", "dedup_key": place})
        elif standing.acknowledged_by:
            await self._event({"event_action": "acknowledge", "dedup_key": place})

    async def _event(self, event: dict[str, Any]) -> None:
        key = await asyncio.to_thread(self._key)
        body = json.dumps({"routing_key": key, **event}, ensure_ascii=False).encode()
        async with self._pace.turn():
            await post(
                self._url,
                body,
                {"Content-Type": "application/json"},
                whom="PagerDuty",
                timeout_seconds=self._timeout,
                secrets=(key,),
                why=_why,
            )


def _links(standing: Standing) -> dict[str, Any]:
    """The incident's page, and the runbooks beside it."""
    if not standing.links:
        return {}
    page = dict(standing.links).get("Incident", "")
    links = [{"href": link, "text": what} for what, link in standing.links]
    return {"client_url": page, "links": links} if page else {"links": links}


def _why(answer: httpx.Response) -> str:
    """Its own words: ``message`` and ``errors``."""
    try:
        read = answer.json()
    except ValueError:
        return ""
    if not isinstance(read, dict):
        return ""
    errors = read.get("errors")
    more = [str(one) for one in errors[:3]] if isinstance(errors, list) else []
    return "; ".join([str(read.get("message", "")), *more])
