"""Change events as JSON: our own shape, or a CloudEvents envelope (CDEvents included)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final

import msgspec

from midwatch.model.entity import ENTITY_KINDS
from midwatch.model.errors import IngestError
from midwatch.model.world import Change

KINDS: Final = ("deploy", "config", "flag", "scale", "infra")
_MAX_CHANGES: Final = 500
_MAX_CHARS: Final = 2000
AGAIN_SECONDS: Final = 120.0
"""A change that says neither its id nor its time, posted again with the same words within this, is a sender's retry."""
_UNTOLD: Final = "change-now-"  # the id of such a change begins so
_WORDS: Final = (
    ("rollback", "deploy"), ("deploy", "deploy"), ("release", "deploy"), ("upgrade", "deploy"), ("service", "deploy"),
    ("config", "config"), ("setting", "config"), ("flag", "flag"), ("toggle", "flag"), ("scale", "scale"),
)  # fmt: skip


def parse_changes(body: bytes, now: float | None = None) -> list[Change]:
    """The changes in ``body``: one JSON object or a list of them; raises IngestError (400). ``now`` (unix seconds) is
    the time of changes that do not say theirs; without it they are refused."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as problem:
        raise IngestError(f"not valid JSON: {str(problem)[:200]}") from problem
    items = found if isinstance(found, list) else [found]
    if len(items) > _MAX_CHANGES:
        raise IngestError(f"more than {_MAX_CHANGES} changes at once", status=413)
    return [_change(item, number, now) for number, item in enumerate(items)]


def _change(item: Any, number: int, now: float | None) -> Change:
    where = f"change {number}"
    if not isinstance(item, dict):
        raise IngestError(f"{where} is no JSON object")
    if "specversion" in item or "context" in item:
        item = _from_envelope(item)
    kind = str(item.get("kind", "") or "deploy").lower()
    if kind not in KINDS:
        raise IngestError(f"{where}: kind {kind[:40]!r} is none of {', '.join(KINDS)}")
    entity = str(item.get("entity") or item.get("service") or "").replace(">", "_")[:200]
    if not entity:
        raise IngestError(f"{where}: it names no entity", hint='"entity": "service:payment"')
    if entity.partition(":")[0] not in ENTITY_KINDS:
        entity = f"service:{entity}"
    at = _moment(item.get("at", item.get("time")), where, now)
    text = {key: str(item.get(key) if item.get(key) is not None else "")[:_MAX_CHARS] for key in _TEXTS}
    identity = str(item.get("id") or "")[:200]
    if not identity:
        made = "change-" if item.get("at", item.get("time")) else _UNTOLD
        said = repr((kind, entity, at, sorted(text.items()))).encode()
        identity = f"{made}{blake2b(said, digest_size=8).hexdigest()}"
    return Change(identity, at, kind, entity, text["summary"], text["before"], text["after"], text["by"])


def known(change: Change, told: Iterable[Change]) -> bool:
    """Whether ``change`` is one of ``told``: by its id, or, where its sender gave neither id nor time, by its words within
    ``AGAIN_SECONDS``."""
    return any(one.id == change.id or _said_again(change, one) for one in told)


def _said_again(change: Change, before: Change) -> bool:
    if not (change.id.startswith(_UNTOLD) and before.id.startswith(_UNTOLD)):
        return False
    same = msgspec.structs.replace(before, id=change.id, at=change.at) == change
    return same and abs(change.at - before.at) <= AGAIN_SECONDS


_TEXTS: Final = ("summary", "before", "after", "by")


def _moment(stated: Any, where: str, now: float | None) -> float:
    if stated is None or stated == "":
        if now is None:
            raise IngestError(f"{where}: it has no time", hint='"at": "2026-01-01T09:41:00Z"')
        return now
    try:
        if isinstance(stated, str) and not stated.replace(".", "", 1).isdigit():
            moment = datetime.fromisoformat(stated)
            at = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
        else:
            at = float(stated)
            at = at / 1000.0 if at > 1e11 else at
    except (ValueError, TypeError, OverflowError) as problem:
        raise IngestError(f"{where}: {str(stated)[:60]!r} is no time", hint="RFC 3339 or unix seconds") from problem
    if not math.isfinite(at) or at <= 0:
        raise IngestError(f"{where}: {str(stated)[:60]!r} is no time", hint="RFC 3339 or unix seconds")
    return at


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _from_envelope(item: dict[str, Any]) -> dict[str, Any]:
    """A CloudEvents envelope with our shape as its data, or a CDEvent (``context`` and ``subject``), as our shape."""
    data = _dict(item.get("data")) if "specversion" in item else item
    context, subject = _dict(data.get("context")), _dict(data.get("subject"))
    if not context and not subject:
        kind = data.get("kind") or _kind_of(str(item.get("type", "")))
        named = data.get("entity") or data.get("service") or item.get("subject")
        return {"id": item.get("id"), "at": item.get("time"), "by": item.get("source"), **data, "kind": kind,
                "entity": named}  # fmt: skip
    content = _dict(subject.get("content"))
    artifact = str(content.get("artifactId") or "")
    version = artifact.partition("@")[2] or artifact.rpartition(":")[2]
    environment = _dict(content.get("environment")).get("id", "")
    kind_text = str(context.get("type") or item.get("type") or "")
    return {
        "id": context.get("id") or item.get("id"),
        "at": context.get("timestamp") or item.get("time"),
        "kind": _kind_of(kind_text),
        "entity": str(subject.get("id") or "").rpartition("/")[2],
        "summary": " ".join(part for part in (kind_text, artifact, f"in {environment}" if environment else "") if part),
        "after": version,
        "by": context.get("source") or item.get("source"),
    }


def _kind_of(text: str) -> str:
    lower = text.lower()
    return next((kind for word, kind in _WORDS if word in lower), "infra")
