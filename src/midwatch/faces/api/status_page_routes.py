"""The page for customers, and who gets mail of it, over HTTP.

Addresses are personal data: an admin's business, and every look at them is in the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from midwatch.model.errors import Forbidden
from midwatch.shell.access import ROLES
from midwatch.shell.run import Watch


class NewSubscriber(BaseModel):
    """``confirmed``: whoever adds them knows that they agreed; else they are asked by mail."""

    model_config = ConfigDict(extra="forbid")
    address: str = Field(min_length=3, max_length=254)
    components: list[str] = Field(default_factory=list, max_length=100)
    confirmed: bool = False
    by: str = Field("", max_length=80)


class Who(BaseModel):
    """``who``: an id or an address, in the body so that no log has it; not needed to list."""

    model_config = ConfigDict(extra="forbid")
    who: str = Field("", max_length=254)
    by: str = Field("", max_length=80)


def add_status_page_routes(routes: APIRouter, watch: Watch, read: Sequence[Any], holder_of: Any) -> None:
    """``read`` are the dependencies of whatever reads; ``holder_of`` gives the name of the token's holder."""

    def admin(holder: str, by: str) -> str:
        if watch.gate.access.role(holder) != ROLES[-1]:
            watch.gate.refused(holder, "subscribers", "not an admin")
            raise Forbidden("subscribers are an admin's business", hint="roles are given in the settings, under access")
        return holder or by or "somebody"

    @routes.get("/api/v1/status-page", dependencies=list(read))
    async def status_page() -> dict[str, str]:
        """The page for customers: file name -> text."""
        return {name: content.decode() for name, content in (await asyncio.to_thread(watch.status.files)).items()}

    @routes.post("/api/v1/status-page/subscribers/add", status_code=201)
    async def add(given: NewSubscriber, holder: str = holder_of) -> dict[str, Any]:
        by = admin(holder, given.by)
        return await watch.status.add(given.address, given.components, given.confirmed, by)

    @routes.post("/api/v1/status-page/subscribers/remove")
    async def remove(given: Who, holder: str = holder_of) -> dict[str, str]:
        return {"removed": await watch.status.remove(given.who, admin(holder, given.by))}

    @routes.post("/api/v1/status-page/subscribers/list")
    async def listed(given: Who, holder: str = holder_of) -> dict[str, Any]:
        """POST, since it leaves a trace: that somebody looked is journaled."""
        by = admin(holder, given.by)
        return {"subscribers": await watch.status.all(by), "counts": watch.status.report()}
