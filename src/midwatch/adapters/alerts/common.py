"""What all decoders share: bounds, severities, which entity an alert is about."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from midwatch.model.alerts import (
    INFORMS,
    MAX_KEY,
    MAX_LABEL_CHARS,
    MAX_LABELS,
    MAX_LINK_CHARS,
    MAX_LINKS,
    MAX_NAME,
    MAX_SUMMARY,
    Alert,
)
from midwatch.model.errors import IngestError
from midwatch.model.world import Change

MAX_ALERTS: Final = 2000
"""Alerts in one body."""
MAX_AHEAD_SECONDS: Final = 300.0  # a sender's clock may go so far ahead of ours
RETRY_SECONDS: Final[Mapping[int, int]] = {429: 5, 503: 5}

SEVERITIES: Final[Mapping[str, int]] = {
    "critical": 2, "page": 2, "emergency": 1, "disaster": 1, "fatal": 1, "p1": 1, "sev1": 1,
    "error": 3, "high": 2, "major": 3, "p2": 2, "sev2": 2, "alert": 2, "average": 3,
    "p3": 3, "sev3": 3, "medium": 3, "moderate": 3,
    "warning": 4, "warn": 4, "minor": 4, "low": 4, "ticket": 4, "p4": 4, "sev4": 4,
    "info": INFORMS, "information": INFORMS, "informational": INFORMS, "none": INFORMS, "notice": INFORMS,
    "debug": INFORMS, "p5": INFORMS, "ok": INFORMS,
}  # fmt: skip
"""What senders call it -> 1 to 4 as incidents have it, or 5: it informs. An integration's own words go before these."""
UNRATED: Final = 3  # somebody wanted it sent to a pager

ENTITY_LABELS: Final[tuple[tuple[str, str], ...]] = (
    ("service", "service"), ("service_name", "service"), ("service.name", "service"), ("app", "service"),
    ("application", "service"), ("app_kubernetes_io_name", "service"), ("component", "service"),
    ("deployment", "service"), ("queue", "queue"), ("database", "database"), ("datname", "database"),
    ("job", "service"), ("host", "host"), ("hostname", "host"), ("node", "host"), ("instance", "host"),
)  # fmt: skip
"""(label, kind of entity): the first that an alert has says what it is about."""

T = TypeVar("T")


@dataclass(frozen=True)
class Rules:
    """What one integration says about its alerts. ``source`` is its name; ``severities`` are its own words for them;
    ``service`` is what an alert is about that names nothing; ``fields`` is the mapping of generic JSON (field -> path)."""

    source: str
    severities: Mapping[str, int] = field(default_factory=dict)
    service: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Decoded:
    """``problems`` are sentences about alerts that were left out; ``notes`` are words about an alert: (its key, by, text);
    ``changes`` were announced in the place of an alert."""

    alerts: tuple[Alert, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[tuple[str, str, str], ...] = ()
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What the sender is told. ``retry_after_seconds`` becomes a header."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    retry_after_seconds: int = 0


Headers = Mapping[str, str]
"""Names in lower case."""


@dataclass(frozen=True)
class Format:
    """One wire format: how its requests are read and answered, in the sender's own words.

    ``decode(body, headers, rules, now)`` raises IngestError; ``refused`` makes the sender's documented error of one;
    ``key_of`` finds what the sender shows as its key, "" for none.
    """

    kind: str
    max_bytes: int
    decode: Callable[[bytes, Headers, Rules, float], Decoded]
    accepted: Callable[[Decoded], Answer]
    refused: Callable[[IngestError], Answer]
    key_of: Callable[[Headers, bytes], str]


def header_key(headers: Headers, body: bytes = b"") -> str:
    """The secret of ``Authorization``: ``Bearer``, ``GenieKey`` or the password of ``Basic``."""
    scheme, _, given = headers.get("authorization", "").strip().partition(" ")
    given = given.strip()
    match scheme.lower():
        case "bearer" | "geniekey":
            return given
        case "basic":
            try:
                return base64.b64decode(given, validate=True).decode().partition(":")[2]
            except (binascii.Error, ValueError):
                return ""
    return ""


def plain_accepted(decoded: Decoded) -> Answer:
    """200, with how many were taken and what was left out."""
    told = {"accepted": len(decoded.alerts), "left_out": decoded.problems[:20]}
    return Answer(200, msgspec.json.encode(told))


def plain_refused(problem: IngestError) -> Answer:
    told = {"error": str(problem), "hint": problem.hint}
    return Answer(problem.status, msgspec.json.encode(told), retry_after_seconds=RETRY_SECONDS.get(problem.status, 0))


def read(body: bytes, kind: type[T], what: str) -> T:
    """``body`` as JSON of ``kind``; raises IngestError 400 that says what is wrong and where."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise IngestError(f"not {what}: {str(error)[:200]}") from error


def alert(
    rules: Rules,
    key: str,
    state: str,
    at: float,
    *,
    since_at: float | None = None,
    severity: str | int = "",
    name: str = "",
    summary: str = "",
    entity: str = "",
    group: str = "",
    labels: Mapping[str, Any] | None = None,
    links: Iterable[str] = (),
    by: str = "",
    runbook: str = "",
    page_lines: tuple[str, ...] = (),
) -> Alert:
    """An Alert within its bounds: what is too long is cut. ``entity`` "" is looked for among the labels."""
    kept = {clip(name, MAX_NAME): clip(text_of(value), MAX_LABEL_CHARS) for name, value in _first(labels or {}) if name}
    return Alert(
        key=clip(f"{rules.source}:{key}", MAX_KEY),
        source=rules.source,
        state=state,
        at=at,
        since_at=min(at if since_at is None else since_at, at + MAX_AHEAD_SECONDS),
        severity=severity if isinstance(severity, int) else rated(rules, severity),
        name=clip(name, MAX_NAME),
        summary=clip(summary, MAX_SUMMARY),
        entity=entity or entity_of(kept, rules.service),
        group=clip(f"{rules.source}:{group}", MAX_KEY) if group else "",
        labels=kept,
        links=tuple(one[:MAX_LINK_CHARS] for one in links if safe_link(one))[:MAX_LINKS],
        by=clip(by, MAX_NAME),
        runbook=runbook if safe_link(runbook) and len(runbook) <= MAX_LINK_CHARS else "",
        page_lines=page_lines,
    )


def rated(rules: Rules, word: str) -> int:
    """The severity that ``word`` stands for; ``UNRATED`` when nothing says so."""
    word = word.strip().lower()
    return rules.severities.get(word) or SEVERITIES.get(word, UNRATED)


def entity_of(labels: Mapping[str, str], service: str = "") -> str:
    """The key of the entity that the labels name, else of ``service``, else ""."""
    for label, kind in ENTITY_LABELS:
        if value := labels.get(label, "").strip():
            if service and kind == "host":
                break  # a host says less than the service that the integration is for
            return entity_key(kind, value.rpartition(":")[0] or value if kind == "host" else value)
    return entity_key("service", service) if service else ""


def entity_key(kind: str, name: str) -> str:
    return f"{kind}:{clip(name.replace('>', '_'), MAX_NAME)}"


def moment(text: str) -> float | None:
    """Unix seconds of an RFC 3339 time; None for what is none, and for the year 1, which stands for "not yet"."""
    try:
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        return at.timestamp() if at.year > 1970 else None
    except (ValueError, OverflowError, TypeError):
        return None


def text_of(value: Any) -> str:
    """A label's value as text: what is no plain value as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: ""}[value]
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else ""
    return str(value) if isinstance(value, int) else msgspec.json.encode(value).decode()


def labels_of(details: Any) -> dict[str, str]:
    """Whatever a sender added, as labels: an object's members, anything else under ``details``."""
    if isinstance(details, dict):
        return {str(name): text_of(value) for name, value in _first(details)}
    return {"details": text_of(details)} if details not in (None, "", [], ()) else {}


def clip(text: str, most: int) -> str:
    """At most ``most`` characters, none of which a terminal or a log would obey."""
    text = text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def safe_link(link: str) -> bool:
    """Whether a page may show it as one: http or https, nothing that runs."""
    return link.startswith(("https://", "http://")) and link.isprintable() and " " not in link


def _first(labels: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list(labels.items())[:MAX_LABELS]
