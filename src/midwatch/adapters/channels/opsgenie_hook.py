"""What Opsgenie's outgoing webhook sends when somebody does something to an alert there.

Source: support.atlassian.com/opsgenie, "Integrate Opsgenie with outgoing webhooks" and "alert action data". Nothing is
signed: a header of one's own, or a user and password in the address, say who it is. There is no id of the event either:
the alert, the action and ``updatedAt`` (nanoseconds, or milliseconds) stand for one. Pure.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

from midwatch.adapters.alerts.common import header_key
from midwatch.adapters.channels.heard import MAX_NAME, MAX_TEXT, Heard, Who, part, read, text

VERBS: Final[Mapping[str, str]] = {
    "Acknowledge": "ack",
    "UnAcknowledge": "unack",
    "Close": "resolve",
    "AddNote": "note",
    "AssignOwnership": "role",
    "TakeOwnership": "role",
}
"""Action -> what it is here."""
MIN_CHARS: Final = 16
"""As for the keys of integrations: nothing but this stands in front of the door."""
_NOBODY: Final = ("", "system", "api", "alert api")


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> str:
    """ "" when ``Authorization`` shows the secret (``Bearer``, or the password of ``Basic``), else why it is refused."""
    if not secret:
        return "this channel has no webhook_secret"
    if len(secret) < MIN_CHARS:
        return f"the webhook_secret of this channel is shorter than {MIN_CHARS} characters"
    right = hmac.compare_digest(secret.encode(), header_key(headers, body).encode("utf-8", "replace"))
    return "" if right else "the secret is not right"


def decode(body: bytes, source: str) -> Heard:
    """Raises ValueError for what is no alert action. ``source`` is what midwatch calls itself there: what it did is not done
    again."""
    said = read(body)
    alert, action = part(said, "alert"), text(said, "action", 100)
    if not action or not text(alert, "alertId"):
        raise ValueError("no alert action: it has no action and alertId")
    by = _who(text(alert, "username", 320), text(alert, "userId", 100))
    verb = VERBS.get(action, "")
    why = "" if verb else f"{action} changes nothing here"
    through = part(said, "source")
    if verb and text(through, "type", 20).lower() == "api" and text(through, "name", 100) == source:
        verb, why = "", "midwatch did it"
    elif verb and by is None and verb != "unack":
        verb, why = "", "no person did it"
    to = by if action == "TakeOwnership" else _who(text(alert, "owner", 320))
    if verb == "role" and to is None:
        verb, why = "", "nobody got it"
    note = text(alert, "note", MAX_TEXT) if verb == "note" else ""
    if verb == "note" and not note:
        verb, why = "", "it says nothing"
    return Heard(
        key=_key(alert, action, body),
        at=_moment(alert.get("updatedAt")),
        place=text(alert, "alias"),
        incident=text(alert, "alertId"),
        title=text(alert, "message", 200),
        verb=verb,
        why=why,
        by=by,
        to=to if verb == "role" else None,
        text=note,
    )


def _key(alert: dict[str, Any], action: str, body: bytes) -> str:
    changed = alert.get("updatedAt")
    at = str(changed) if isinstance(changed, int) else hashlib.sha256(body).hexdigest()[:32]
    return f"{text(alert, 'alertId', 100)}/{action}/{at}"


def _moment(changed: Any) -> float:
    """Unix seconds of nanoseconds or milliseconds; 0 for neither."""
    if not isinstance(changed, int) or isinstance(changed, bool) or not 0 < changed < 10**19:
        return 0.0
    return changed / (1e9 if changed > 10**16 else 1e3)


def _who(username: str, ident: str = "") -> Who | None:
    """People's names there are their e-mail addresses. None for what Opsgenie does by itself."""
    if username.lower() in _NOBODY:
        return None
    return Who(ident, username if "@" in username else "", username[:MAX_NAME])
