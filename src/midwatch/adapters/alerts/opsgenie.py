"""A server for Opsgenie's Alert API: what its requests say, and how it answers. Source: its documentation, "Alert API" and
"Response".

An alert's id is its alias: who gives none gets a new one. Processing is asynchronous in that API, so "accepted" (202) means
journaled here, and what became of a request can be asked for by its id.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from midwatch.adapters.alerts.common import (
    RETRY_SECONDS,
    Answer,
    Decoded,
    Headers,
    Rules,
    alert,
    clip,
    entity_key,
    entity_of,
    labels_of,
    read,
)
from midwatch.model.alerts import Alert
from midwatch.model.entity import ENTITY_KINDS, kind_of
from midwatch.model.errors import IngestError

MAX_BYTES: Final = 512 * 1024
MAX_ALIAS: Final = 512
PRIORITIES: Final = ("P1", "P2", "P3", "P4", "P5")
MAX_NOTE: Final = 2000


class _Created(msgspec.Struct):
    message: str = ""
    alias: str | None = None
    description: str | None = None
    tags: list[str] | None = None
    details: Any = None
    entity: str | None = None
    source: str | None = None
    priority: str | None = None
    user: str | None = None
    note: str | None = None


class _Said(msgspec.Struct):
    user: str | None = None
    source: str | None = None
    note: str | None = None


def unprocessable(errors: Mapping[str, str]) -> IngestError:
    """422: the JSON is sound and says what cannot be done. ``errors`` by field."""
    return IngestError("Request body is not processable. Please check the errors.", status=422, fields=errors)


def decode_create(body: bytes, headers: Headers, rules: Rules, now: float) -> Decoded:
    """``now`` is unix seconds. Raises IngestError 400 for what is no JSON, 422 for what it lacks."""
    said = read(body, _Created, "an alert")
    errors = {}
    if not said.message.strip():
        errors["message"] = "Message can not be empty."
    if said.alias is not None and len(said.alias) > MAX_ALIAS:
        errors["alias"] = f"Alias can not be longer than {MAX_ALIAS} characters."
    if said.priority is not None and said.priority not in PRIORITIES:
        errors["priority"] = "Priority should be one of [ P1, P2, P3, P4, P5 ]"
    if errors:
        raise unprocessable(errors)
    one = _alert(said, rules, now)
    return Decoded((one,), notes=_notes(one.key, said.user or said.source, said.note))


def _alert(said: _Created, rules: Rules, now: float) -> Alert:
    labels = labels_of(said.details)
    given = {
        "entity": said.entity,
        "origin": said.source,
        "tags": ",".join(said.tags or ()),
        "description": said.description,
    }
    entity = said.entity or ""
    if entity and kind_of(entity) not in ENTITY_KINDS:
        entity = entity_key("service", entity)
    return alert(
        rules,
        said.alias or str(uuid.uuid4()),
        "firing",
        now,
        severity=said.priority or "P3",
        name=said.message,
        summary=said.description or said.message,
        entity=entity or entity_of(labels, rules.service),
        labels={name: value for name, value in given.items() if value} | labels,
    )


def decode_told(state: str, alias: str, body: bytes, rules: Rules, now: float) -> Decoded:
    """Close, acknowledge (``state``) or a mere note ("") about the alert ``alias``."""
    said = read(body or b"{}", _Said, "a request")
    by = clip(said.user or said.source or rules.source, 200)
    key = f"{rules.source}:{alias}"
    if not state and not (said.note or "").strip():
        raise unprocessable({"note": "Note can not be empty."})
    alerts = (alert(rules, alias, state, now, by=by),) if state else ()
    return Decoded(alerts, notes=_notes(key, by, said.note))


def _notes(key: str, by: str | None, text: str | None) -> tuple[tuple[str, str, str], ...]:
    return ((key, clip(by or "its sender", 200), clip(text, MAX_NOTE)),) if text else ()


def answer(status: int, told: dict[str, Any], request: str = "", wait: int = 0) -> Answer:
    """Every answer says how long it took and which request it was."""
    whole = {**told, "took": 0.001, "requestId": request or str(uuid.uuid4())}
    return Answer(status, msgspec.json.encode(whole), retry_after_seconds=wait)


def refused(problem: IngestError) -> Answer:
    """Its documented errors: 400 no JSON, 401, 403 not supported, 404, 422 with the fields, 429, 5xx."""
    wait = RETRY_SECONDS.get(problem.status, 0)
    match problem.status:
        case 401:
            return answer(401, {"message": "Could not authenticate"})
        case 422:
            return answer(422, {"message": str(problem), "errors": problem.fields})
        case 429:
            return answer(429, {"message": "You are making too many requests!"}, wait=wait)
    return answer(problem.status, {"message": str(problem)}, wait=wait)
