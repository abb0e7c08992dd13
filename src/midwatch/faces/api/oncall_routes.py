"""Who is on call, over HTTP: JSON for programs, iCalendar for calendars that can send a header.

A feed takes the same token as everything else here, in the header and never in the address. Where a calendar can only be
given an address, ``midwatch oncall feed`` writes the file for a web server of yours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from midwatch.core.oncall.lint import HORIZON_SECONDS, flaws
from midwatch.core.oncall.schedule import shifts
from midwatch.model.errors import NotFound
from midwatch.shell import oncall
from midwatch.shell.feeds import person_feed, schedule_feed
from midwatch.shell.run import Watch

DAY_SECONDS = 86400.0


def add_oncall_routes(routes: APIRouter, watch: Watch, read: Sequence[Any]) -> None:
    """Put them into ``routes``. ``read`` are the dependencies of whatever reads."""

    @routes.get("/api/v1/oncall", dependencies=read)
    async def who(
        at: Annotated[float | None, Query(ge=0, le=1e11, allow_inf_nan=False)] = None,
    ) -> list[dict[str, Any]]:
        """Each schedule: who is on call at a moment (unix seconds; now without one), until when, and who is next."""
        return oncall.who(watch.state, watch.now() if at is None else at)

    @routes.get("/api/v1/oncall/service/{name}", dependencies=read)
    async def service(name: str) -> dict[str, Any]:
        """Whom an incident of the service would wake now, level by level."""
        return oncall.who_for(watch.state, name, watch.now())

    @routes.get("/api/v1/oncall/schedules/{name}", dependencies=read)
    async def schedule(name: str, days: Annotated[int, Query(ge=1, le=400)] = 28) -> list[dict[str, Any]]:
        """The shifts of the next days."""
        state, now = watch.state, watch.now()
        one = state.policy.people.schedule(name)
        if one is None:
            raise NotFound(f"there is no schedule {name!r}")
        found = await asyncio.to_thread(
            shifts, state.policy.people, one, state.overrides, now, now + days * DAY_SECONDS
        )
        return [asdict(shift) for shift in found]

    @routes.get("/api/v1/oncall/schedules/{name}/calendar.ics", dependencies=read)
    async def feed(name: str) -> Response:
        return _calendar(await asyncio.to_thread(schedule_feed, watch.state, name, watch.now()))

    @routes.get("/api/v1/oncall/people/{ident}/calendar.ics", dependencies=read)
    async def own_feed(ident: str) -> Response:
        return _calendar(await asyncio.to_thread(person_feed, watch.state, ident, watch.now()))

    @routes.get("/api/v1/oncall/check", dependencies=read)
    async def check() -> list[dict[str, Any]]:
        """What will go wrong in the next 90 days, as ``midwatch oncall check`` says it."""
        now = watch.now()
        found = await asyncio.to_thread(flaws, watch.state, now, now + HORIZON_SECONDS, set(watch.channels))
        return [asdict(flaw) for flaw in found]

    @routes.get("/api/v1/oncall/fairness", dependencies=read)
    async def fairness(days: Annotated[int, Query(ge=1, le=400)] = 90) -> list[dict[str, Any]]:
        """Who carried how much in the last days."""
        now = watch.now()
        return await asyncio.to_thread(oncall.loads, watch.state, watch.journal, now - days * DAY_SECONDS, now)


def _calendar(text: bytes) -> Response:
    return Response(text, media_type="text/calendar; charset=utf-8")
