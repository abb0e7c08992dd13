"""The route that answers a person's question about a stretch of the past. It only reads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query

from midwatch.model.errors import UsageError
from midwatch.shell.inquiry import apart
from midwatch.shell.investigate import Question
from midwatch.shell.run import Watch


def add_inquiry_routes(routes: APIRouter, watch: Watch, read: Sequence[Any]) -> None:
    """Put it into ``routes``. ``read`` are the dependencies of whatever reads."""
    one_inquiry = asyncio.Lock()  # a core is busy with it: one at a time

    @routes.get("/api/v1/investigate", dependencies=read)
    async def investigate(
        since: Annotated[float, Query(ge=0, allow_inf_nan=False)],
        until: Annotated[float, Query(gt=0, allow_inf_nan=False)],
        symptom: Annotated[str, Query(max_length=300)] = "",
    ) -> dict[str, Any]:
        """Causes of what was wrong between two moments (unix seconds): ``shell/investigate.py``, ``Inquiry.as_json``."""
        store = watch.intake.store
        if store is None:
            raise UsageError(
                "this watch keeps no telemetry (store: none)",
                hint="record it, and: midwatch investigate --recording DIR",
            )
        if one_inquiry.locked():
            raise UsageError("another inquiry is under way", hint="try again in a minute")
        async with one_inquiry:
            return await apart(store, Question(since, until, symptom), watch.state)
