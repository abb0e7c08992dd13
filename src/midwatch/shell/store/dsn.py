"""``clickhouse://user:password@host:port/database?secure=1&cluster=name``: an own ClickHouse instead of the embedded one."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, unquote, urlsplit

from midwatch.model.errors import StoreError


@dataclass(frozen=True)
class Dsn:
    """``password`` never shows in a repr; ``str()`` has neither user nor password."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    secure: bool = False
    cluster: str = ""

    def __str__(self) -> str:
        return f"clickhouse://{self.host}:{self.port}/{self.database}"

    def with_password(self) -> str:
        """What ``parse_dsn`` takes: for a process of ours, never for a log."""
        user, password = quote(self.user, safe=""), quote(self.password, safe="")
        options = f"?secure={int(self.secure)}&cluster={quote(self.cluster, safe='')}"
        return f"clickhouse://{user}:{password}@{self.host}:{self.port}/{self.database}{options}"


def parse_dsn(text: str) -> Dsn:
    """Raises StoreError, without repeating the text: it may hold a password."""
    hint = "write clickhouse://user:password@host:8123/database?secure=1&cluster=name"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise StoreError("the store's address cannot be read", hint=hint) from error
    if parts.scheme not in ("clickhouse", "clickhouses") or not parts.hostname:
        raise StoreError("the store's address must begin with clickhouse://", hint=hint)
    options = parse_qs(parts.query)
    unknown = set(options) - {"secure", "cluster"}
    if unknown:
        raise StoreError(f"the store's address has unknown options: {', '.join(sorted(unknown))}", hint=hint)
    secure = parts.scheme == "clickhouses" or options.get("secure", ["0"])[0] in ("1", "true")
    return Dsn(
        parts.hostname, port or (8443 if secure else 8123), unquote(parts.username or "default"),
        unquote(parts.password or ""), parts.path.strip("/") or "midwatch", secure, options.get("cluster", [""])[0],
    )  # fmt: skip
