"""Actuators from the ``actuators:`` section of the settings.

    actuators:
      platform: {url: "http://127.0.0.1:7000", token: "env:PLATFORM_TOKEN"}
      haproxy:  {address: /run/haproxy/admin.sock}
      postgres:
        dsn: "file:/etc/midwatch/postgres.dsn"
        database: shop
        indexes: {orders_by_user: "CREATE INDEX orders_by_user ON orders (user_id)"}
      valkey:   {url: "env:VALKEY_URL", cache: valkey}

A secret is never written into that file: it is a reference, ``env:NAME``, ``file:/path``, ``file:/path#key`` (one key of a
JSON file) or ``command:PROGRAM ...``, or the same as a mapping: ``{env: NAME}``, ``{file: PATH, key: NAME}``. What is not
secret may stand as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from midwatch.adapters.actuators.haproxy.actuator import HaproxyActuator
from midwatch.adapters.actuators.platform.actuator import PlatformActuator
from midwatch.adapters.actuators.postgres.actuator import PostgresActuator
from midwatch.adapters.actuators.valkey.actuator import ValkeyActuator
from midwatch.model.errors import ActuatorError, ConfigError
from midwatch.model.ports import Actuator

Resolve = Callable[[str], str]
"""Looks a reference up, and gives other text as it is. Raises ConfigError."""


def load_actuators(config: Mapping[str, Any], resolve: Resolve, *, path: str = "midwatch.yaml") -> list[Actuator]:
    """Actuators as ``config`` (the section's content) names them, in a fixed order; raises ConfigError with the key. Secrets
    are looked up now, with ``resolve``."""
    for name in config:
        if name not in _BUILDERS:
            raise ConfigError(
                "no such actuator", path=path, key=f"actuators.{name}", hint=f"known: {', '.join(sorted(_BUILDERS))}"
            )
    found = []
    for name, build in _BUILDERS.items():
        section = config.get(name)
        if section is None:
            continue
        if not isinstance(section, Mapping):
            raise ConfigError("must be a mapping", path=path, key=f"actuators.{name}")
        found.append(build(_Section(section, resolve, path, f"actuators.{name}")))
    return found


class _Section:
    """One actuator's settings: each key is read once, a key that nobody reads is an error."""

    def __init__(self, values: Mapping[str, Any], resolve: Resolve, path: str, key: str) -> None:
        self._values, self._resolve, self._path, self._key = values, resolve, path, key

    def allow(self, *names: str) -> None:
        for name in self._values:
            if name not in names:
                raise self.wrong(name, "no such setting", f"known: {', '.join(names)}")

    def wrong(self, name: str, message: str, hint: str = "") -> ConfigError:
        return ConfigError(message, path=self._path, key=f"{self._key}.{name}", hint=hint)

    def text(self, name: str, default: str | None = None) -> str:
        value = self._values.get(name, default)
        if value is None:
            raise self.wrong(name, "is missing")
        try:
            return self._resolve(self._reference(name, value) if isinstance(value, Mapping) else str(value))
        except ConfigError as error:
            raise self.wrong(name, str(error), error.hint) from error

    def secret(self, name: str, default: str | None = None) -> str:
        """Text that must be a reference where it holds a secret, or may."""
        value = self._values.get(name, default)
        if isinstance(value, str) and value and _holds(name, value):
            raise self.wrong(name, "holds a secret", "refer to it: env:NAME, file:/path or command:PROGRAM")
        return self.text(name, default)

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._values.get(name, ())
        if isinstance(value, str) or not isinstance(value, list | tuple):
            raise self.wrong(name, "must be a list")
        return tuple(str(item) for item in value)

    def mapping(self, name: str) -> dict[str, str]:
        value = self._values.get(name) or {}
        if not isinstance(value, Mapping):
            raise self.wrong(name, "must be a mapping")
        return {str(k): str(v) for k, v in value.items()}

    def _reference(self, name: str, given: Mapping[str, Any]) -> str:
        if len(given) == 1 and (kind := next(iter(given))) in ("env", "file", "command"):
            return f"{kind}:{given[kind]}"
        if set(given) == {"file", "key"}:
            return f"file:{given['file']}#{given['key']}"
        raise self.wrong(
            name, "not a reference", "{env: NAME}, {file: PATH}, {file: PATH, key: NAME} or {command: PROGRAM}"
        )


def _holds(name: str, value: str) -> bool:
    """A token, or an address with a password in it; a reference holds nothing."""
    if value.startswith(("env:", "file:", "command:")):
        return False
    return name == "token" or "password" in value or "@" in value


def _platform(section: _Section) -> Actuator:
    section.allow("url", "token", "verbs")
    return PlatformActuator(section.text("url"), section.secret("token", ""), only=section.texts("verbs"))


def _haproxy(section: _Section) -> Actuator:
    section.allow("address", "socket")
    return HaproxyActuator(section.text("socket", "") or section.text("address"))


def _postgres(section: _Section) -> Actuator:
    section.allow("dsn", "database", "indexes")
    try:
        return PostgresActuator(
            section.secret("dsn"),
            database=section.text("database", ""),
            indexes=section.mapping("indexes"),
        )
    except ActuatorError as error:
        raise section.wrong("indexes", str(error)) from error


def _valkey(section: _Section) -> Actuator:
    section.allow("url", "cache")
    return ValkeyActuator(section.secret("url"), cache=section.text("cache", "valkey"))


_BUILDERS: dict[str, Callable[[_Section], Actuator]] = {
    "platform": _platform,
    "haproxy": _haproxy,
    "postgres": _postgres,
    "valkey": _valkey,
}


def fleet_section(directory: Path, indexes: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The section for a fleet that lists its addresses in ``directory/fleet.json``: every secret is a reference into that
    file. ``indexes`` is the catalogue of its database."""
    said = f"file:{Path(directory).absolute() / 'fleet.json'}#"
    return {
        "platform": {"url": f"{said}platform_url", "token": f"{said}token"},
        "haproxy": {"address": f"{said}haproxy_socket"},
        "postgres": {"dsn": f"{said}postgres_dsn", "database": "shop, shop-db", "indexes": dict(indexes or {})},
        "valkey": {"url": f"{said}valkey_url"},
    }
