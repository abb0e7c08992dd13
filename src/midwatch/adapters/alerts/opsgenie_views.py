"""Alerts as Opsgenie's Alert API shows them: one, a page of a list, and the queries that a list understands."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from midwatch.adapters.alerts.opsgenie import PRIORITIES, unprocessable
from midwatch.model.alerts import AlertRecord

MAX_LIMIT: Final = 100
MAX_OFFSET: Final = 20_000
_TIMES: Final = {
    "createdAt": lambda r: r.first_at,
    "updatedAt": lambda r: r.seen_at,
    "lastOccurredAt": lambda r: r.seen_at,
}


def alias_of(record: AlertRecord) -> str:
    return record.alert.key.partition(":")[2]


def brief(record: AlertRecord) -> dict[str, Any]:
    """One alert in a list."""
    alert, alias = record.alert, alias_of(record)
    told = {
        "id": alias,
        "tinyId": alias[-4:],
        "alias": alias,
        "message": alert.name,
        "status": "open" if record.firing else "closed",
        "acknowledged": alert.state == "acknowledged",
        "isSeen": alert.state == "acknowledged",
        "tags": [tag for tag in alert.labels.get("tags", "").split(",") if tag],
        "snoozed": False,
        "count": record.count,
        "lastOccurredAt": _time(record.seen_at),
        "createdAt": _time(record.first_at),
        "updatedAt": _time(record.seen_at),
        "source": alert.labels.get("origin", alert.source),
        "owner": alert.by if alert.state == "acknowledged" else "",
        "priority": PRIORITIES[alert.severity - 1],
        "responders": [],
        "integration": {"id": alert.source, "name": alert.source, "type": "API"},
    }
    return told


def whole(record: AlertRecord) -> dict[str, Any]:
    """One alert with all that is known of it."""
    labels = record.alert.labels
    details = {k: v for k, v in labels.items() if k not in ("tags", "description", "entity", "origin")}
    details["midwatch"] = f"{record.place}: {record.why}" if record.place else "not yet looked at"
    more = {"actions": [], "entity": labels.get("entity", ""), "description": labels.get("description", "")}
    return {**brief(record), **more, "details": details}


def notes(record: AlertRecord) -> list[dict[str, Any]]:
    """Newest first."""
    found = enumerate(record.notes)
    return [{"note": n.text, "owner": n.by, "createdAt": _time(n.at), "offset": str(i)} for i, n in found][::-1]


def page(records: Iterable[AlertRecord], query: dict[str, str]) -> list[dict[str, Any]]:
    """The alerts that ``query`` (query, sort, order, offset, limit) asks for. Raises IngestError 422."""
    errors = {}
    sort, order = query.get("sort", "createdAt"), query.get("order", "desc")
    if sort not in _TIMES:
        errors["sort"] = f"Sort field should be one of [ {', '.join(_TIMES)} ]"
    if order not in ("asc", "desc"):
        errors["order"] = "Order should be one of [ asc, desc ]"
    limit, offset = _count(query.get("limit", "20"), MAX_LIMIT), _count(query.get("offset", "0"), MAX_OFFSET)
    if limit is None or limit < 1:
        errors["limit"] = f"Limit should be between 1 and {MAX_LIMIT}"
    if offset is None:
        errors["offset"] = f"Offset should be between 0 and {MAX_OFFSET}"
    if errors or limit is None or offset is None:
        raise unprocessable(errors)
    wanted = _wanted(query.get("query", ""))
    pick = heapq.nlargest if order == "desc" else heapq.nsmallest
    found = pick(offset + limit, (r for r in records if all(holds(r) for holds in wanted)), key=_TIMES[sort])
    return [brief(record) for record in found[offset:]]


def _wanted(query: str) -> list[Callable[[AlertRecord], bool]]:
    """``status: open AND priority: P1``; a word alone is looked for in the message. Raises IngestError 422."""
    found: list[Callable[[AlertRecord], bool]] = []
    text = query.replace(" AND ", " ").replace(" and ", " ")
    for sign in (":", "="):
        while f"{sign} " in text:
            text = text.replace(f"{sign} ", sign)
        text = text.replace(f" {sign}", sign)
    for word in text.split():
        name, sign, value = word.partition(":") if ":" in word else word.partition("=")
        found.append(_one(name, value.strip('"')) if sign else _says(word.lower()))
    return found


def _one(name: str, value: str) -> Callable[[AlertRecord], bool]:
    match name:
        case "status":
            return lambda r: ("open" if r.firing else "closed") == value
        case "acknowledged":
            return lambda r: (r.alert.state == "acknowledged") == (value == "true")
        case "priority":
            return lambda r: PRIORITIES[r.alert.severity - 1] == value
        case "alias" | "id":
            return lambda r: alias_of(r) == value
        case "tag" | "tags":
            return lambda r: value in r.alert.labels.get("tags", "").split(",")
        case "entity":
            return lambda r: r.alert.labels.get("entity", "") == value
        case "message":
            return _says(value.lower())
    raise unprocessable({"query": f"{name[:40]!r} cannot be asked for: status, priority, alias, tag, entity, message"})


def _says(word: str) -> Callable[[AlertRecord], bool]:
    return lambda r: word in r.alert.name.lower()


def _count(text: str, most: int) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 and int(text) <= most else None


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
