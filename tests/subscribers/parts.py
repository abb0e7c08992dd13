"""A page with one incident, a watch that mails what it says, and a mail server that takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.shell.conftest import make_settings

from midwatch.faces.status.app import status_app
from midwatch.model.events import (
    Event,
    IncidentMitigated,
    IncidentOpened,
    IncidentRated,
    IncidentResolved,
    PolicyLoaded,
)
from midwatch.model.findings import Impact
from midwatch.model.policy import Policy
from midwatch.model.slo import Slo
from midwatch.shell.config import Settings
from midwatch.shell.journal.memory import MemoryJournal
from midwatch.shell.run import Watch

SLO = Slo("checkout", "service:gateway", "ratio", 0.999)
DOOR = "http://localhost:8485"
PARTS = (
    {"name": "Shop", "slo": "checkout"},
    {"name": "Mail", "slo": "none", "services": ("mailer",)},
)


def settings(folder: Path, smtp_port: int, **changes: Any) -> Settings:
    post = {
        "type": "email", "host": "localhost", "port": smtp_port, "security": "none",
        "sender": "status@example.org", "to": ("ops@example.org",), "timeout_seconds": 30,
    }  # fmt: skip
    more = changes.pop("more", {})
    subscribers = {"through": "post", "url": DOOR, "per_minute": 600, **changes.pop("subscribers", {})}
    page = {"title": "Example", "components": PARTS, "port": 0, "subscribers": subscribers, **changes}
    return make_settings(folder, channels={"post": post}, status_page=page, tick_seconds=60, **more)


def watch(using: Settings, journal: Any = None) -> Watch:
    """Its journal is in memory, where the settings name none and none is given."""
    shared = bool(using.journal.postgres)
    return Watch(
        using,
        policy=Policy(slos=(SLO,), mode="shadow"),
        journal=journal if journal is not None or shared else MemoryJournal(),
        public=lambda one: status_app(one.status, one.gate),
    )


def began(ident: str = "INC-1", at: float = 0.0, severity: int = 2) -> tuple[Event, ...]:
    impact = Impact("service:gateway", 0.15, 120.0, at, "failing", "checkout")
    return (
        PolicyLoaded(Policy(slos=(SLO,), mode="shadow"), ()),
        IncidentOpened(ident, "secret-billing fails", at, severity, "15 %", (), ("service:gateway",), impact),
        IncidentRated(ident, severity, "15 %", impact),
    )


EASED: tuple[Event, ...] = (IncidentMitigated("INC-1", "itself"),)
OVER: tuple[Event, ...] = (IncidentResolved("INC-1", "calm"),)


async def tell(one: Watch, *events: Event) -> None:
    async with one.books.turn:
        await one.books.append(events, one.now())


async def until(true: Callable[[], Any], seconds: float = 60.0) -> None:
    """Waits until it is; fails when it does not become so."""
    for _ in range(int(seconds / 0.02)):
        found = true()
        if await found if isinstance(found, Awaitable) else found:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to that")
