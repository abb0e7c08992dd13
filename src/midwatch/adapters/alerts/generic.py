"""Any JSON: an integration's ``fields`` say where things stand, and what they leave open is looked for under the usual
names. ``alerts`` leads to a list, when one body holds several.

A path is names and numbers with dots between (``data.labels.service``, ``items.0.id``); ``=text`` is that text itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from midwatch.adapters.alerts.common import (
    MAX_ALERTS,
    Decoded,
    Format,
    Headers,
    Rules,
    alert,
    entity_key,
    header_key,
    labels_of,
    moment,
    plain_accepted,
    plain_refused,
    text_of,
)
from midwatch.model.alerts import Alert
from midwatch.model.entity import ENTITY_KINDS, kind_of
from midwatch.model.errors import IngestError

MAX_BYTES: Final = 1024 * 1024

USUAL: Final[Mapping[str, tuple[str, ...]]] = {
    "key": ("key", "dedup_key", "alias", "fingerprint", "alert_id", "alertId", "incident_id", "id"),
    "state": ("state", "status", "event_action", "action", "alert_status"),
    "severity": ("severity", "priority", "level", "urgency"),
    "name": ("name", "alertname", "alert_name", "title", "rule", "check", "monitor"),
    "summary": ("summary", "message", "description", "text", "body", "details"),
    "entity": ("entity",),
    "group": ("group", "group_key", "groupKey"),
    "at": ("at", "timestamp", "time", "date"),
    "since": ("since", "started_at", "startsAt", "start_time"),
    "labels": ("labels", "tags", "details", "custom_details"),
    "link": ("link", "url", "runbook_url", "html_url"),
    "by": ("by", "user"),
    "alerts": ("alerts",),
}
"""What is looked for, and under which names when the mapping does not say."""
_PLACES: Final = ("service", "service_name", "host", "hostname", "instance", "database", "queue", "component", "app")

STATES: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            "firing", "fire", "open", "opened", "triggered", "trigger", "alarm", "alert", "alerting", "active", "problem",
            "critical", "warning", "error", "failed", "failure", "down", "created", "create", "bad", "true", "1",
        ),
        "firing",
    ),
    **dict.fromkeys(
        (
            "resolved", "resolve", "ok", "closed", "close", "recovered", "recovery", "normal", "cleared", "clear", "up",
            "healthy", "inactive", "passed", "success", "good", "false", "0",
        ),
        "resolved",
    ),
    **dict.fromkeys(("acknowledged", "acknowledge", "ack", "acked"), "acknowledged"),
}  # fmt: skip
"""What senders say -> firing, resolved or acknowledged."""


def decode(body: bytes, headers: Headers, rules: Rules, now: float) -> Decoded:
    """``now`` is unix seconds. Raises IngestError for what is no JSON; what is no alert in a list is left out."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise IngestError(f"not JSON: {str(error)[:200]}") from error
    many = document if isinstance(document, list) else look(document, rules.fields, "alerts")
    if not isinstance(many, list):
        try:
            return Decoded((alert_of(document, rules, now),))
        except ValueError as error:
            raise IngestError(str(error), hint="fields: of the integration says where things stand") from error
    found: list[Alert] = []
    problems: list[str] = []
    for number, one in enumerate(many[:MAX_ALERTS]):
        try:
            found.append(alert_of(one, rules, now))
        except ValueError as error:
            problems.append(f"alert {number}: {error}")
    if len(many) > MAX_ALERTS:
        problems.append(f"{len(many) - MAX_ALERTS} alerts beyond the first {MAX_ALERTS}")
    return Decoded(tuple(found), tuple(problems))


def alert_of(document: Any, rules: Rules, now: float) -> Alert:
    """Raises ValueError that says what is missing."""
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")

    def text(name: str) -> str:
        value = look(document, rules.fields, name)
        return "" if value is None or isinstance(value, dict | list) else text_of(value).strip()

    name, summary = text("name"), text("summary")
    state = state_of(text("state") or "firing")
    labels = labels_of(look(document, rules.fields, "labels"))
    labels = {place: text_of(document[place]) for place in _PLACES if isinstance(document.get(place), str)} | labels
    key = text("key") or name
    if not key:
        raise ValueError("nothing says which alert it is (key, id or name)")
    if not (name or summary or state != "firing"):
        raise ValueError("nothing says what is wrong (name, title, summary or message)")
    said, since = when(text("at")), when(text("since"))
    at = now if said is None else min(said, now)
    entity = text("entity")
    if entity and kind_of(entity) not in ENTITY_KINDS:
        entity = entity_key("service", entity)
    return alert(
        rules, key, state, at, since_at=since, severity=text("severity"), name=name or summary, summary=summary,
        entity=entity, group=text("group"), labels=labels, links=(text("link"),), by=text("by"),
    )  # fmt: skip


def look(document: Any, fields: Mapping[str, str], name: str) -> Any:
    """What the mapping's path leads to, or else the first of the usual names; None when there is nothing."""
    path = fields.get(name)
    if path is not None:
        return path[1:] if path.startswith("=") else _at(document, path)
    if not isinstance(document, dict):
        return None
    return next((document[usual] for usual in USUAL[name] if document.get(usual) is not None), None)


def _at(document: Any, path: str) -> Any:
    for step in path.split("."):
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return None
    return document


def state_of(word: str) -> str:
    """Raises ValueError for a word that nobody knows: guessing would page, or worse, not."""
    state = STATES.get(word.strip().lower())
    if state is None:
        raise ValueError(f"state {word[:40]!r} is neither firing nor resolved")
    return state


def when(text: str) -> float | None:
    """Unix seconds of an RFC 3339 time, of unix seconds or of milliseconds; None for what is none."""
    try:
        value = float(text)
    except ValueError:
        return moment(text)
    value = value / 1000 if value > 1e11 else value
    return value if math.isfinite(value) and 1e8 < value < 1e11 else None


FORMAT: Final = Format("json", MAX_BYTES, decode, plain_accepted, plain_refused, header_key)
