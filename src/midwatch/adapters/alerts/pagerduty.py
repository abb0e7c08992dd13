"""A server for PagerDuty's Events API v2: ``/v2/enqueue`` and ``/v2/change/enqueue``. Source: its documentation, "Events API
v2 Overview", "Send an alert event", "Send a change event".

The routing key stands in the body. An event without a ``dedup_key`` gets one that its content makes, so that a sender's
retry is no second alert.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from midwatch.adapters.alerts.beside import lines
from midwatch.adapters.alerts.common import (
    RETRY_SECONDS,
    Answer,
    Decoded,
    Format,
    Headers,
    Rules,
    alert,
    clip,
    entity_key,
    entity_of,
    labels_of,
    moment,
    read,
)
from midwatch.model.alerts import INFORMS, Alert
from midwatch.model.errors import IngestError
from midwatch.model.world import Change

MAX_BYTES: Final = 512 * 1024
MAX_DEDUP_KEY: Final = 255
ACTIONS: Final = {"trigger": "firing", "acknowledge": "acknowledged", "resolve": "resolved"}
RATED: Final = {"critical": 2, "error": 3, "warning": 3, "info": INFORMS}
"""There, every event that triggers pages unless its service says otherwise: here a warning pages too."""
INVALID: Final = "Event object is invalid"


class _Link(msgspec.Struct):
    href: str = ""
    text: str = ""


class _Image(msgspec.Struct):
    src: str = ""
    href: str = ""
    alt: str = ""


class _Payload(msgspec.Struct):
    summary: str = ""
    source: str = ""
    severity: str = ""
    timestamp: str | None = None
    component: str | None = None
    group: str | None = None
    class_: str | None = msgspec.field(default=None, name="class")
    custom_details: Any = None


class _Event(msgspec.Struct):
    event_action: str = ""
    dedup_key: str | None = None
    payload: _Payload | None = None
    links: list[_Link] | None = None
    images: list[_Image] | None = None
    client: str | None = None
    client_url: str | None = None


class _Key(msgspec.Struct):
    routing_key: str = ""


_key = msgspec.json.Decoder(_Key)


def key_of(headers: Headers, body: bytes) -> str:
    try:
        return _key.decode(body).routing_key
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def decode(body: bytes, headers: Headers, rules: Rules, now: float) -> Decoded:
    """``now`` is unix seconds. Raises IngestError with all that is wrong, in the API's words."""
    event = read(body, _Event, "an event")
    payload = event.payload
    wrong = _wrong(event)
    if wrong:
        raise IngestError("; ".join(wrong))
    key = event.dedup_key or hashlib.blake2b(body, digest_size=16).hexdigest()
    if payload is None or event.event_action != "trigger":
        return Decoded((alert(rules, key, ACTIONS[event.event_action], now, by=event.client or ""),))
    return Decoded((_triggered(event, payload, key, rules, now),))


def _triggered(event: _Event, payload: _Payload, key: str, rules: Rules, now: float) -> Alert:
    given = {
        "source": payload.source,
        "component": payload.component,
        "group": payload.group,
        "class": payload.class_,
        "client": event.client,
    }
    labels = {name: value for name, value in given.items() if value} | labels_of(payload.custom_details)
    at = moment(payload.timestamp or "")
    links = [(link.text, link.href) for link in event.links or ()]
    links += [(image.alt or "Image", image.href or image.src) for image in event.images or ()]
    return alert(
        rules,
        key,
        "firing",
        now if at is None else min(at, now),
        severity=rules.severities.get(payload.severity, RATED[payload.severity]),
        name=payload.class_ or payload.summary,
        summary=payload.summary,
        entity=entity_of(labels, rules.service) or entity_key("host", payload.source),
        labels=labels,
        links=(*(address for _, address in links), event.client_url or ""),
        page_lines=lines(links, (event.client or "", event.client_url or ""), payload.custom_details),
    )


def _wrong(event: _Event) -> list[str]:
    found = []
    if event.event_action not in ACTIONS:
        found.append("'event_action' is missing or invalid (must be one of: 'trigger', 'acknowledge' or 'resolve')")
    if event.dedup_key is not None and len(event.dedup_key) > MAX_DEDUP_KEY:
        found.append(f"Length of 'dedup_key' is incorrect (should be less than or equal to {MAX_DEDUP_KEY} characters)")
    if event.event_action in ("acknowledge", "resolve") and not event.dedup_key:
        found.append("'dedup_key' is missing or blank")
    if event.event_action == "trigger":
        payload = event.payload or _Payload()
        found += [
            f"'payload.{n}' is missing or blank" for n in ("summary", "source") if not getattr(payload, n).strip()
        ]
        if payload.severity not in RATED:
            found.append(
                "'payload.severity' is invalid (must be one of the following: 'critical', 'warning', 'error' or 'info')"
            )
    return found


def accepted(decoded: Decoded) -> Answer:
    key = decoded.alerts[0].key.partition(":")[2]
    return Answer(202, msgspec.json.encode({"status": "success", "message": "Event processed", "dedup_key": key}))


def refused(problem: IngestError) -> Answer:
    """The API knows 400, 429 and 5xx: what is wrong with an event, its key and its size included, is 400."""
    wait = RETRY_SECONDS.get(problem.status, 0)
    if problem.status == 429:
        told = "Requests for this service are arriving too quickly. Please retry later."
        return Answer(
            429, msgspec.json.encode({"status": "throttle exceeded", "message": told}), retry_after_seconds=wait
        )
    if problem.status >= 500:
        said = {"status": "internal error", "message": str(problem)}
        return Answer(problem.status, msgspec.json.encode(said), retry_after_seconds=wait)
    errors = ["'routing_key' is not known here"] if problem.status == 401 else str(problem).split("; ")
    told_all = {"status": "invalid event", "message": INVALID, "errors": errors}
    return Answer(405 if problem.status == 405 else 400, msgspec.json.encode(told_all))


FORMAT: Final = Format("pagerduty", MAX_BYTES, decode, accepted, refused, key_of)


class _What(msgspec.Struct):
    """What else an event may say, a severity for one, means nothing of a change."""

    summary: str = ""
    source: str = ""
    timestamp: str | None = None
    custom_details: Any = None


class _Changed(msgspec.Struct):
    payload: _What
    links: list[_Link] | None = None


def decode_change(body: bytes, headers: Headers, rules: Rules, now: float) -> Decoded:
    """A change event; ``custom_details`` may say kind (deploy, config, flag, scale, infra), before, after and by."""
    event = read(body, _Changed, "a change event")
    payload = event.payload
    if not payload.summary.strip():
        raise IngestError("'payload.summary' is missing or blank")
    details = labels_of(payload.custom_details)
    at = moment(payload.timestamp or "")
    entity = entity_of(details, rules.service) or entity_key("service", payload.source or rules.source)
    change = Change(
        id=f"{rules.source}:{hashlib.blake2b(body, digest_size=16).hexdigest()}",
        at=now if at is None else min(at, now),
        kind=details["kind"] if details.get("kind") in ("deploy", "config", "flag", "scale", "infra") else "deploy",
        entity=entity,
        summary=clip(payload.summary, 500),
        before=details.get("before", ""),
        after=details.get("after", ""),
        by=details.get("by") or details.get("user") or rules.source,
    )
    return Decoded(changes=(change,))


def change_accepted(decoded: Decoded) -> Answer:
    return Answer(202, msgspec.json.encode({"status": "success", "message": "Change event processed"}))


CHANGES: Final = Format("pagerduty", MAX_BYTES, decode_change, change_accepted, refused, key_of)
