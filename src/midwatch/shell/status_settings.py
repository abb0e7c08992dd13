"""The settings of the page for customers."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from midwatch.core.oncall.status_page import Component
from midwatch.shell.setting_kinds import Part


def _public_address(value: str) -> str:
    parts = urlsplit(value)
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    if not parts.hostname or parts.query or parts.fragment or parts.username or not (parts.scheme == "https" or local):
        raise ValueError(
            "must be an https address, such as https://status.example.org: people type their address there"
        )
    return value.rstrip("/")


PublicAddress = Annotated[str, Field(max_length=300), AfterValidator(_public_address)]


class ComponentSettings(Part):
    """One component: its name for customers, the promise (``slo``) that is its uptime, and further services of it; or only a
    ``service``, where nobody keeps a promise."""

    name: str = Field(min_length=1, max_length=100)
    slo: str = Field(default="", max_length=200)
    service: str = Field(default="", max_length=200)
    services: tuple[str, ...] = Field(default=(), max_length=100)

    @model_validator(mode="after")
    def _is_about_something(self) -> Self:
        if not (self.slo or self.service or self.services):
            raise ValueError("name the promise that is its uptime (slo), or its service: else no incident concerns it")
        return self

    @property
    def about(self) -> tuple[str, ...]:
        """Services whose incidents concern it, whatever its promise is about."""
        return (self.service, *self.services) if self.service else self.services


class SubscriberSettings(Part):
    """Mail to whoever wants it, ``through`` a channel of type email: its server and its sender. ``url`` is under which
    address customers reach what midwatch serves at ``status_page.port``: links in mails lead there."""

    through: str = Field(min_length=1, max_length=80)
    url: PublicAddress | None = None
    max_subscribers: int = Field(default=2000, ge=1, le=20_000)
    per_minute: float = Field(default=60.0, ge=1, le=600)


class StatusPageSettings(Part):
    """``out`` is a folder that gets the page as static files each ``every_seconds``; with a ``port`` midwatch serves it too,
    on ``host``. ``url`` is where customers read it; incidents of ``severity`` or worse are shown. Without components there
    is no page."""

    title: str = Field(default="Status", min_length=1, max_length=100)
    url: str = Field(default="", max_length=300)
    components: tuple[ComponentSettings, ...] = Field(default=(), max_length=100)
    severity: int = Field(default=2, ge=1, le=4)
    out: Path | None = None
    every_seconds: float = Field(default=60.0, ge=1, le=3600)
    host: str = "127.0.0.1"
    port: int | None = Field(default=None, ge=0, le=65535)  # 0: any free one
    subscribers: SubscriberSettings | None = None

    @model_validator(mode="after")
    def _links_lead_somewhere(self) -> Self:
        if self.subscribers is not None and (self.subscribers.url is None) != (self.port is None):
            raise ValueError(
                "subscribers.url and port come together: midwatch serves the form and the links in mails at the port,"
                " and the url says how customers reach it"
            )
        return self

    @property
    def door(self) -> str:
        """Where customers reach the form; "" where none is served."""
        return (self.subscribers.url or "") if self.subscribers is not None else ""

    def unkept(self, kept: Collection[str]) -> dict[int, ComponentSettings]:
        """Components whose promise is none of ``kept``, by their number: customers see "no data" of them."""
        return {n: one for n, one in enumerate(self.components) if one.slo and one.slo not in kept}

    def parts(self) -> tuple[Component, ...]:
        return tuple(Component(c.name, c.slo, c.about) for c in self.components)
