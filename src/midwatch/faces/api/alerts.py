"""The routes about alerts of other systems: which there are, where each was put and why; silences; who sends. They read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query

from midwatch.shell import alert_views
from midwatch.shell.run import Watch


def add_alert_routes(routes: APIRouter, watch: Watch, read: Sequence[Any]) -> None:
    """Put them into ``routes``, under ``/api/v1``. ``read`` are the dependencies of whatever reads."""

    @routes.get("/api/v1/alerts", dependencies=read)
    async def alerts(
        q: Annotated[str, Query(max_length=500)] = "",
        place: Annotated[
            str, Query(pattern="^(|all|grouped|silenced|maintenance|inhibited|informs|flapping|over)$")
        ] = "",
        source: Annotated[str, Query(max_length=40)] = "",
        incident: Annotated[str, Query(max_length=40)] = "",
        limit: Annotated[int, Query(ge=1, le=alert_views.MAX_LIMIT)] = 50,
        offset: Annotated[int, Query(ge=0, le=alert_views.MAX_OFFSET)] = 0,
    ) -> dict[str, Any]:
        """Those that fire first. ``q``: words, or matchers in braces; without ``place`` every one that is not over."""
        asked = alert_views.Asked(q, place, source, incident, limit, offset)
        found = await asyncio.to_thread(alert_views.find, watch.state, asked)
        rows = [alert_views.row(watch.state, record, watch.now()) for record in found.records]
        return {"total": found.total, "counts": dict(found.counts), "alerts": rows}

    @routes.get("/api/v1/alerts/{key:path}", dependencies=read)
    async def alert(key: str) -> dict[str, Any]:
        """One alert, its labels, links and notes."""
        return await asyncio.to_thread(alert_views.whole, watch.state, key, watch.now())

    @routes.get("/api/v1/silences", dependencies=read)
    async def silences() -> list[dict[str, Any]]:
        """Silences and maintenance windows that are not over, and how many alerts each holds back."""
        return await asyncio.to_thread(alert_views.silences, watch.state, watch.now())

    @routes.get("/api/v1/senders", dependencies=read)
    async def senders() -> list[dict[str, Any]]:
        """What each integration sent since the start, and what was not taken and why."""
        return watch.senders()
