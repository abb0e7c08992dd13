"""``access:`` of settings.yaml: who may do what, how people sign in, and which programs have a token. docs/access.md."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from midwatch.shell.setting_kinds import Part, Person, Secret

Role = Literal["viewer", "responder", "operator", "admin"]
Scope = Literal["read", "changes", "commands"]
Team = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Roles = Role | dict[Team, Role]
"""One role everywhere, or one per team; ``*`` stands for every other team and for what belongs to none."""


def _network(value: str) -> str:
    try:
        ip_network(value, strict=False)
    except ValueError as error:
        raise ValueError("must be an address or a network, such as 10.0.0.7 or 10.0.0.0/8") from error
    return value


def encrypted(url: str) -> bool:
    """Whether secrets may be sent there: https, or plain on this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    return bool(parts.hostname) and not parts.username and (parts.scheme == "https" or local)


Network = Annotated[str, AfterValidator(_network)]
Header = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,60}$")]


class MachineSettings(Part):
    """A program's token. ``read``: what the API shows; ``changes``: announce changes; ``commands``: say what its ``role``
    may say, under its own name."""

    token: Secret = Field(min_length=1)
    scopes: tuple[Scope, ...] = ("read",)
    role: Roles = "viewer"


class OidcSettings(Part):
    """An OpenID Connect provider. ``url`` is where people reach the console; the provider sends them back to
    ``url``/login/oidc/back. ``name`` is the claim that says who it is, ``groups`` the one that lists groups; ``roles`` gives
    a group its roles. Who is in none of them gets ``default``; ``none`` lets nobody else in. ``email_verified``: what a
    provider that says nothing of an e-mail address is taken to mean by that."""

    issuer: str
    client_id: str = Field(min_length=1, max_length=300)
    client_secret: Secret = ""
    url: str
    name: str = "email"
    email_verified: Literal["required", "assumed"] = "required"
    groups: str = "groups"
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    roles: dict[str, Roles] = Field(default_factory=dict)
    default: Role | Literal["none"] = "none"
    session_seconds: float = Field(default=12 * 3600.0, ge=60, le=7 * 86400)

    @field_validator("issuer", "url")
    @classmethod
    def _encrypted(cls, value: str) -> str:
        if not encrypted(value):
            raise ValueError("must be an https address")
        return value.rstrip("/")


class ProxySettings(Part):
    """A reverse proxy in front of the console. What its headers say is believed only from ``addresses``: ``user`` and
    ``groups`` (separated by commas) if it signs people in, and X-Forwarded-Proto."""

    addresses: tuple[Network, ...] = Field(min_length=1)
    user: Header | None = None
    groups: Header | None = None
    roles: dict[str, Roles] = Field(default_factory=dict)
    default: Role | Literal["none"] = "none"


class TlsSettings(Part):
    certificate: Path
    key: Path


class AccessSettings(Part):
    """``people``: what the persons of ``tokens``, and those who sign in otherwise, may do. Without any of this whoever is
    let in may do everything."""

    people: dict[Person, Roles] = Field(default_factory=dict)
    machines: dict[Person, MachineSettings] = Field(default_factory=dict)
    oidc: OidcSettings | None = None
    proxy: ProxySettings | None = None
    tls: TlsSettings | None = None

    @model_validator(mode="after")
    def _one_of_each_name(self) -> Self:
        if both := self.people.keys() & self.machines.keys():
            raise ValueError(f"{', '.join(sorted(both))}: a person and a machine cannot have one name")
        return self
