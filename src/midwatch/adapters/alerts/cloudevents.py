"""CloudEvents 1.0 over HTTP, in the binary, structured and batched content modes. Source: the specification, its JSON format
and its HTTP protocol binding; answers as its "HTTP 1.1 Web Hooks" has them.

An event is read as an alert with the integration's ``fields`` over ``{id, source, type, subject, time, data}`` and the usual
names within ``data``. What those leave open the event's own attributes say: its subject (else its type) makes the key, and
the last word of its type may say the state, as in ``com.example.disk.resolved``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from midwatch.adapters.alerts.common import (
    MAX_ALERTS,
    Answer,
    Decoded,
    Format,
    Headers,
    Rules,
    header_key,
    plain_refused,
    text_of,
)
from midwatch.adapters.alerts.generic import STATES, USUAL, alert_of
from midwatch.model.alerts import Alert
from midwatch.model.errors import IngestError

MAX_BYTES: Final = 1024 * 1024
REQUIRED: Final = ("id", "source", "specversion", "type")


def decode(body: bytes, headers: Headers, rules: Rules, now: float) -> Decoded:
    """``now`` is unix seconds. Raises IngestError 400 for what is no event, 415 for a format other than JSON."""
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == "application/cloudevents-batch+json":
        many = _json(body)
        if not isinstance(many, list):
            raise IngestError("a batch is a JSON array")
        found: list[Alert] = []
        problems: list[str] = []
        for number, event in enumerate(many[:MAX_ALERTS]):
            try:
                found.append(_alert(_checked(event), rules, now))
            except (IngestError, ValueError) as error:
                problems.append(f"event {number}: {error}")
        if len(many) > MAX_ALERTS:
            problems.append(f"{len(many) - MAX_ALERTS} events beyond the first {MAX_ALERTS}")
        return Decoded(tuple(found), tuple(problems))
    if media == "application/cloudevents+json":
        event = _checked(_json(body))
    elif media.startswith("application/cloudevents"):
        raise IngestError(f"{media[:60]} is not understood", status=415, hint="send JSON")
    else:
        event = _binary(body, media, headers)
    try:
        return Decoded((_alert(event, rules, now),))
    except ValueError as error:
        raise IngestError(str(error)) from error


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise IngestError(f"not JSON: {str(error)[:200]}") from error


def _binary(body: bytes, media: str, headers: Headers) -> dict[str, Any]:
    event: dict[str, Any] = {name[3:]: unquote(value) for name, value in headers.items() if name.startswith("ce-")}
    if media in ("", "application/json", "text/json") or media.endswith("+json"):
        event["data"] = _json(body) if body else None
    elif media.startswith("text/"):
        event["data"] = body.decode("utf-8", "replace")
    else:
        raise IngestError(f"data of {media[:60]!r} cannot be read", status=415, hint="send JSON or text")
    return _checked(event)


def _checked(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise IngestError("an event is a JSON object")
    event: dict[str, Any] = given
    missing = [name for name in REQUIRED if not (isinstance(event.get(name), str) and event[name])]
    if missing:
        raise IngestError(f"the event lacks {', '.join(missing)}")
    if not event["specversion"].startswith("1."):
        raise IngestError(f"specversion {event['specversion'][:20]!r} is not known", hint="1.0 is understood")
    if "data" not in event and isinstance(event.get("data_base64"), str):
        try:
            event = {**event, "data": _json(base64.b64decode(event["data_base64"], validate=True))}
        except (binascii.Error, ValueError) as error:
            raise IngestError("data_base64 is no base64") from error
    return event


def _alert(event: Mapping[str, Any], rules: Rules, now: float) -> Alert:
    """Raises ValueError. The usual names are looked for in the data, never among the event's own attributes."""
    data = event.get("data")
    stem, _, last = event["type"].rpartition(".")
    state = STATES.get(last.lower(), "")
    kind, subject = stem if state else event["type"], text_of(event.get("subject") or "")
    fields = {
        "key": f"={event['source']}|{subject or kind}",
        "state": f"={state or 'firing'}",
        "name": f"={kind.rpartition('.')[2] or kind}",
        "summary": f"={data if isinstance(data, str) else f'{kind} {subject}'.strip()}",
        "at": "time",
        "labels": "data",
    }
    inside = data if isinstance(data, dict) else {}
    for name, candidates in USUAL.items():
        found = next((one for one in candidates if inside.get(one) is not None), None)
        if found is not None and name not in ("key", "alerts"):
            fields[name] = f"data.{found}"
    fields |= rules.fields
    return alert_of(event, Rules(rules.source, rules.severities, rules.service, fields), now)


def accepted(decoded: Decoded) -> Answer:
    """ "Accepted", with what was left out."""
    told = {"accepted": len(decoded.alerts), "left_out": decoded.problems[:20]}
    return Answer(202, msgspec.json.encode(told))


FORMAT: Final = Format("cloudevents", MAX_BYTES, decode, accepted, plain_refused, header_key)
