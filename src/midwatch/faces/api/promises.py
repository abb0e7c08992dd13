"""The routes about promises: budgets, the alerts' table, the past, the report of a month. All of them only read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query

from midwatch.core.slo import forecast
from midwatch.core.slo.tiers import in_force
from midwatch.model.errors import UsageError
from midwatch.shell import history, queries, slo_views
from midwatch.shell.run import Watch
from midwatch.shell.slo_past import past_of
from midwatch.shell.slo_report import month_report, render


def add_promise_routes(routes: APIRouter, watch: Watch, read: Sequence[Any]) -> None:
    """Put them into ``routes``, under ``/api/v1/slos``. ``read`` are the dependencies of whatever reads."""
    one_report = asyncio.Lock()  # seconds of work where there are a thousand promises: beside the loop, one at a time

    @routes.get("/api/v1/slos", dependencies=read)
    async def slos() -> list[dict[str, Any]]:
        """A row for each promise and each of its groups, with its budget now."""
        return slo_views.promises(watch.state, watch.memory, watch.now())

    @routes.get("/api/v1/slos/report", dependencies=read)
    async def report(
        month: Annotated[str, Query(max_length=10)] = "",
        form: Annotated[str, Query(pattern="^(md|html)$")] = "md",
        time_zone: Annotated[str, Query(max_length=60)] = "UTC",
    ) -> dict[str, Any]:
        """The report of a month (``2026-10``; without one, of that which is running in ``time_zone``) as text."""
        known_zone(time_zone)
        month = month or datetime.fromtimestamp(watch.now(), ZoneInfo(time_zone)).strftime("%Y-%m")
        async with one_report:
            state, ledgers, now = watch.state, dict(watch.memory.ledgers), watch.now()  # the loop goes on meanwhile

            def written() -> str:
                facts = month_report(state, ledgers, month, now=now, time_zone=time_zone)
                return render(facts, "html" if form == "html" else "md")

            try:
                text = await asyncio.to_thread(written)
            except (ValueError, OverflowError) as error:  # the latter at either end of the calendar
                raise UsageError(f"no report of {month}: {error}", hint="month is YYYY-MM, like 2026-10") from error
        return {"month": month, "form": form, "text": text}

    @routes.get("/api/v1/slos/{name:path}/history", dependencies=read)
    async def past(
        name: str,
        since: Annotated[float, Query(ge=0, allow_inf_nan=False)],
        until: Annotated[float | None, Query(gt=0, allow_inf_nan=False)] = None,
    ) -> dict[str, Any]:
        """What the watch still knows of good and total per step, oldest first: coarse far back, fine lately."""
        slo = slo_views.find(watch.state.slos, name)
        counts, notes = await past_of(watch.memory, watch.intake.store, slo.name, since, watch.now())
        end = watch.now() if until is None else until
        told = await asyncio.to_thread(lambda: history.as_json([history.cut(one, since, end) for one in counts]))
        return {"slo": slo.name, "notes": notes, "counts": told}

    @routes.get("/api/v1/slos/{name:path}/forecast", dependencies=read)
    async def foreseen(name: str) -> dict[str, Any]:
        """When the budget will be gone, with an 80 % interval."""
        slo = slo_views.find(watch.state.slos, name)
        ledger = watch.memory.ledgers.get(slo.name)
        if ledger is None:
            raise UsageError(f"nothing was counted of {slo.name} yet")
        now = watch.now()
        found = await asyncio.to_thread(forecast.of_ledger, slo, ledger, watch.state.adjustments, now)
        return {"slo": slo.name, **queries.plain(found)}

    @routes.get("/api/v1/slos/{name:path}/alerts", dependencies=read)
    async def alerts(
        name: str, per_minute: Annotated[float | None, Query(ge=0, allow_inf_nan=False)] = None
    ) -> dict[str, Any]:
        """When each tier would fire and fall silent, and what is spent by then; ``per_minute`` in the usual traffic's
        place."""
        slo = slo_views.find(watch.state.slos, name)
        ledger, now = watch.memory.ledgers.get(slo.name), watch.now()
        usual = slo_views.per_minute(ledger, now) if per_minute is None else per_minute
        policy = in_force(slo, watch.state.policy)
        return slo_views.alerts(slo, policy, usual, slo_views.habit(slo, ledger, now))

    @routes.get("/api/v1/slos/{name:path}", dependencies=read)
    async def slo(name: str) -> dict[str, Any]:
        return slo_views.promise(watch.state, watch.memory, watch.now(), name)


def known_zone(name: str) -> None:
    """Raises UsageError for what is no time zone, a folder of zones or a path among them."""
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise UsageError(f"there is no time zone {name!r}", hint="a name like Europe/Berlin") from error
