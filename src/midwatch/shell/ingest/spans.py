"""What one span means: did it fail, whom did it call, which route or statement was it?

Tolerant to the older and the newer semantic conventions (``http.status_code`` / ``http.response.status_code``,
``db.system`` / ``db.system.name`` and so on).
"""

from __future__ import annotations

import re
from typing import Any, Final

from midwatch.shell.ingest.resources import database_kind, host_of, is_bare_address
from midwatch.shell.ingest.rows import CLIENT, CONSUMER, PRODUCER, SERVER, STATUS_ERROR, Span

# A client span that fails with one of these never reached the callee: the caller had no connection to give.
_POOL: Final = re.compile(r"pool|too many clients in the queue|connection.?limit", re.I)
# The database refused what the caller asked for: wrong statements and broken constraints are the caller's errors.
_CALLER_FAULT: Final = re.compile(
    r"integrity|unique|notnull|foreign.?key|syntax|undefined|programming|invalidtext|datatype|data.?error", re.I
)
_TIMEOUT: Final = re.compile(r"time.?out|deadline|cancel", re.I)
_UNSAFE: Final = re.compile(r"[>\s]+")


def http_status(attributes: dict[str, Any]) -> int:
    """The HTTP status, 0 when there is none."""
    status = attributes.get("http.response.status_code")
    if status is None:
        status = attributes.get("http.status_code", 0)
    try:
        return int(status)
    except (TypeError, ValueError):
        return 0


def failed(span: Span) -> bool:
    """True when the span is an error: status ERROR or HTTP >= 500. An HTTP 4xx is the client's affair (but a caller that
    got 408 or 429 was let down)."""
    if span.kind == SERVER or span.kind == CLIENT:
        status = http_status(span.attributes)
        if status >= 500:
            return True
        if 400 <= status < 500:
            return span.kind == CLIENT and status in (408, 429)
    return span.status == STATUS_ERROR


def trouble(span: Span) -> str:
    """Type and text of what went wrong, for matching and for people."""
    kind = span.exception_type or str(span.attributes.get("error.type", ""))
    return " ".join(part for part in (kind, span.exception_message or span.message) if part)


def callers_own_fault(span: Span) -> bool:
    """A failing client span whose error began at the caller: no connection free in its pool, or a statement that the
    database rightly refused."""
    text = trouble(span)
    return bool(_POOL.search(text)) or (is_database(span) and bool(_CALLER_FAULT.search(text)))


def gave_up(span: Span) -> bool:
    """The caller stopped waiting."""
    return bool(_TIMEOUT.search(trouble(span)))


def is_database(span: Span) -> bool:
    return "db.system.name" in span.attributes or "db.system" in span.attributes


def clean(name: object) -> str:
    """A name fit for an entity key."""
    return _UNSAFE.sub("_", str(name))[:200]


def destination(attributes: dict[str, Any]) -> str:
    return clean(
        attributes.get("messaging.destination.name")
        or attributes.get("messaging.destination")
        or attributes.get("messaging.kafka.topic")
        or attributes.get("messaging.system")
        or "unknown"
    )


def store_of(span: Span) -> str:
    """The entity key of the database or cache that a client span calls, "" when it calls none."""
    attributes = span.attributes
    system = attributes.get("db.system.name") or attributes.get("db.system")
    if not system:
        return ""
    name = attributes.get("peer.service") or attributes.get("db.namespace") or attributes.get("db.name")
    if not name or str(name).isdigit():  # Redis numbers its databases
        address = host_of(str(attributes.get("server.address") or attributes.get("net.peer.name") or ""))
        name = address if address and not is_bare_address(address) else system
    return f"{database_kind(system)}:{clean(name)}"


def queue_of(span: Span) -> str:
    """The entity key of the queue of a messaging span, "" for other spans."""
    attributes = span.attributes
    if span.kind in (PRODUCER, CONSUMER) or "messaging.system" in attributes:
        return f"queue:{destination(attributes)}"
    return ""


def only_receives(span: Span) -> bool:
    """A poll for messages: waiting for one is neither work nor a request."""
    operation = span.attributes.get("messaging.operation.type") or span.attributes.get("messaging.operation")
    return operation in ("receive", "poll")


def route_of(span: Span) -> str:
    """The low-cardinality name of what a server span served."""
    attributes = span.attributes
    route = attributes.get("http.route")
    if route:
        return clean(route)
    method = attributes.get("rpc.method")
    if method:
        service = attributes.get("rpc.service")
        return clean(f"{service}/{method}" if service else method)
    verb, _, rest = span.name.partition(" ")
    return clean(rest if rest and verb.isupper() else span.name or "unnamed")


def statement_of(span: Span) -> str:
    """The low-cardinality name of what a database span asked, "" when it does not say."""
    attributes = span.attributes
    summary = attributes.get("db.query.summary")
    if summary:
        return clean(summary)
    operation = attributes.get("db.operation.name") or attributes.get("db.operation")
    collection = attributes.get("db.collection.name") or attributes.get("db.sql.table")
    return clean("_".join(str(part) for part in (operation, collection) if part))
