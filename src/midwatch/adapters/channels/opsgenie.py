"""Incidents at Opsgenie, for a team that stays there (its support ends in 2027): Alert API, create, acknowledge and close.

One incident of ours is one alert there, under the alias ``<source>/<incident>``; Opsgenie dedupes by it. Format:
docs.opsgenie.com/docs/alert-api (202 taken and done later, 422 what it cannot take, 429 slower; message 130 characters,
description 15,000, alias 512).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import quote

import httpx

from midwatch.adapters.channels.http import post
from midwatch.adapters.channels.pace import Pace
from midwatch.model.events import PageOrdered
from midwatch.model.standing import Standing

US: Final = "https://api.opsgenie.com"
RESOLVED: Final = "resolved"


class OpsgenieChannel:
    """``api_key`` (of an API integration) is asked at each send. ``teams`` are its responders, by name; without any the
    integration's own team is. ``source`` names this watch: two watches on one account need two."""

    def __init__(
        self,
        name: str,
        api_key: Callable[[], str],
        *,
        teams: Sequence[str] = (),
        source: str = "midwatch",
        api_url: str = US,
        timeout_seconds: float = 10.0,
    ) -> None:
        self._name, self._key, self._source = name, api_key, source
        self._teams, self._url, self._timeout = tuple(teams), f"{api_url.rstrip('/')}/v2/alerts", timeout_seconds
        self._pace = Pace()

    @property
    def name(self) -> str:
        return self._name

    async def send(self, page: PageOrdered) -> None:
        await self.page(page, Standing(page.incident, page.severity, page.subject, page.text, ""), "")

    async def page(self, page: PageOrdered, standing: Standing, place: str) -> str:
        place = place or f"{self._source}/{page.incident}"[:512]
        if page.topics == (RESOLVED,):
            if standing.over and standing.heard_on == self._name:
                return place  # it was said there
            await self._at(place, "close", {"note": page.subject[:25_000]})
            return place
        alert: dict[str, Any] = {
            "message": page.subject[:130],
            "alias": place,
            "description": page.text[:15_000],
            "priority": f"P{min(max(page.severity, 1), 5)}",
            "source": self._source[:100],
            "entity": page.incident[:512],
            "details": {
                "subject": page.subject[:1000],
                "key": page.key,
                "topics": ", ".join(page.topics),
                **dict(standing.links),
            },
        }
        if self._teams:
            alert["responders"] = [{"type": "team", "name": team} for team in self._teams]
        await self._post(self._url, alert)
        if standing.acknowledged_by:
            await self._at(place, "acknowledge", {"user": standing.acknowledged_by[:100]})
        return place

    async def follow(self, standing: Standing, place: str) -> None:
        if standing.heard_on == self._name:
            return  # it was said there
        if standing.over:
            await self._at(place, "close", {"note": standing.subject[:25_000]})
        elif standing.acknowledged_by:
            await self._at(place, "acknowledge", {"user": standing.acknowledged_by[:100]})

    async def _at(self, alias: str, what: str, body: dict[str, Any]) -> None:
        url = f"{self._url}/{quote(alias, safe='')}/{what}?identifierType=alias"
        await self._post(url, {"source": self._source[:100], **body})

    async def _post(self, url: str, body: dict[str, Any]) -> None:
        key = await asyncio.to_thread(self._key)
        async with self._pace.turn():
            await post(
                url,
                json.dumps(body, ensure_ascii=False).encode(),
                {"Content-Type": "application/json", "Authorization": f"GenieKey {key}"},
                whom="Opsgenie",
                timeout_seconds=self._timeout,
                secrets=(key,),
                why=_why,
            )


def _why(answer: httpx.Response) -> str:
    """Its own words: ``message`` and ``errors``."""
    try:
        read = answer.json()
    except ValueError:
        return ""
    if not isinstance(read, dict):
        return ""
    errors = read.get("errors")
    more = [f"{field}: {said}" for field, said in list(errors.items())[:3]] if isinstance(errors, dict) else []
    return "; ".join([str(read.get("message", "")), *more])
