"""What PagerDuty sends when somebody does something there (V3 webhooks): is it PagerDuty, and what was done by whom?

Source: developer.pagerduty.com/docs/webhooks. ``X-PagerDuty-Signature`` holds one ``v1=`` and the hex of HMAC-SHA256 over
the raw body for each secret in force, separated by commas. One event a body; ``event.id`` is the same whenever it is
delivered again (at least once, within about 20 minutes). A 4xx drops it for good, and three in a row end the subscription
for a day: so what is right and of no use is taken, and only what is forged, broken or old is refused. Pure.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

from midwatch.adapters.alerts.common import moment
from midwatch.adapters.channels.heard import MAX_NAME, MAX_TEXT, Heard, Who, part, read, text

SIGNATURE: Final = "x-pagerduty-signature"
MAX_SIGNATURES: Final = 10
VERBS: Final[Mapping[str, str]] = {
    "incident.acknowledged": "ack",
    "incident.unacknowledged": "unack",
    "incident.resolved": "resolve",
    "incident.reassigned": "role",
    "incident.annotated": "note",
}
"""Event type -> what it is here. ``incident.triggered`` is of use as well: it says which incident has which key."""


def sign(secret: str, body: bytes) -> str:
    """``v1=<hex>``."""
    return "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> str:
    """ "" when one of the signatures is right, else why it is refused. An empty secret verifies nothing."""
    if not secret:
        return "this channel has no webhook_secret"
    given = headers.get(SIGNATURE, "").split(",")[:MAX_SIGNATURES]
    right = sign(secret, body).encode()
    found = [hmac.compare_digest(right, one.strip().encode("utf-8", "replace")) for one in given]
    return "" if any(found) else "no signature is right"


def decode(body: bytes, source: str) -> Heard:
    """Raises ValueError for what is no V3 event. ``source`` is of no use here: what midwatch did itself has no user."""
    event = part(read(body), "event")
    ident, kind = text(event, "id"), text(event, "event_type", 100)
    if not ident or not kind:
        raise ValueError("no V3 event: it has no id and type")
    data = part(event, "data")
    about = part(data, "incident") if kind == "incident.annotated" else data
    by = _who(part(event, "agent"))
    verb = VERBS.get(kind, "")
    why = "" if verb else f"{kind} changes nothing here"
    if verb and by is None and verb != "unack":
        verb, why = "", "no person did it"
    if verb == "resolve" and text(part(data, "resolve_reason"), "type") == "merge_resolve_reason":
        verb, why = "", "it became part of another incident there"
    assigned = data.get("assignees")
    to = next(filter(None, map(_who, assigned)), None) if verb == "role" and isinstance(assigned, list) else None
    if verb == "role" and to is None:
        verb, why = "", "nobody got it"
    note = text(data, "content", MAX_TEXT) if verb == "note" else ""
    if verb == "note" and not note:
        verb, why = "", "it says nothing"
    return Heard(
        key=ident,
        at=moment(text(event, "occurred_at", 40)) or 0.0,
        place=text(data, "incident_key"),
        incident=text(about, "id", 100),
        title=text(about, "summary", 1024) or text(about, "title", 1024),
        verb=verb,
        why=why,
        by=by,
        to=to,
        text=note,
    )


def _who(reference: Any) -> Who | None:
    """A reference to a user: its id and the name that people there read. None for an integration, a service, nobody."""
    if not isinstance(reference, dict) or text(reference, "type", 40) not in ("user_reference", "user"):
        return None
    ident = text(reference, "id", 100)
    return Who(ident, text(reference, "email", 320), text(reference, "summary", MAX_NAME)) if ident else None
