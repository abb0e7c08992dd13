"""The settings of the page for customers."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from midwatch.core.oncall.status_page import Component
from midwatch.shell.setting_kinds import Part


class ComponentSettings(Part):
    """One component: its name for customers, the promise (``slo``) that is its uptime, and further services of it."""

    name: str = Field(min_length=1, max_length=100)
    slo: str = Field(min_length=1, max_length=200)
    services: tuple[str, ...] = Field(default=(), max_length=100)


class StatusPageSettings(Part):
    """``out`` is a folder that gets the page as static files each ``every_seconds``; ``url`` is where customers read it;
    incidents of ``severity`` or worse are shown. Without components there is no page."""

    title: str = Field(default="Status", min_length=1, max_length=100)
    url: str = Field(default="", max_length=300)
    components: tuple[ComponentSettings, ...] = Field(default=(), max_length=100)
    severity: int = Field(default=2, ge=1, le=4)
    out: Path | None = None
    every_seconds: float = Field(default=60.0, ge=1, le=3600)

    def parts(self) -> tuple[Component, ...]:
        return tuple(Component(c.name, c.slo, c.services) for c in self.components)
