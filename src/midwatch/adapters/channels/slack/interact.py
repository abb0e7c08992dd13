"""What Slack sends when somebody presses a button: is it really Slack, is it new, and what does it say?

The signature (docs.slack.dev/authentication/verifying-requests-from-slack): ``v0=`` and the hex of HMAC-SHA256 under the
app's signing secret over ``v0:<X-Slack-Request-Timestamp>:<raw body>``. What is more than five minutes off is refused, and
so is a signature that was seen before within that time. Pure, apart from what ``Seen`` remembers.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections import OrderedDict
from typing import Any, Final
from urllib.parse import parse_qs

from msgspec import Struct

TOLERANCE_SECONDS: Final = 300.0
MAX_BODY_BYTES: Final = 64 * 1024
VERBS: Final = frozenset({"ack", "escalate", "approve", "refuse"})
_ID = re.compile(r"midwatch/([a-z_]{1,20})/([\w.-]{1,200})")


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """``v0=<hex>``."""
    return "v0=" + hmac.new(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()


def verify(secret: str, timestamp: str, body: bytes, signature: str, now: float) -> str:
    """ "" when Slack signed this within the last five minutes, else why it is refused. An empty secret verifies nothing."""
    if not secret:
        return "this channel has no signing secret"
    if not re.fullmatch(r"[0-9]{1,12}", timestamp):
        return "X-Slack-Request-Timestamp is missing or no number"
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        return "the request is more than five minutes off: look at the clock"
    if not hmac.compare_digest(sign(secret, timestamp, body).encode(), signature.encode("utf-8", "replace")):
        return "the signature is not right"
    return ""


class Seen:
    """Signatures of the last five minutes, at most ``most`` of them. ``again`` is true for one that was here before."""

    def __init__(self, most: int = 10_000) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._most = most

    def again(self, signature: str, now: float) -> bool:
        while self._seen and next(iter(self._seen.values())) < now - 2 * TOLERANCE_SECONDS:
            self._seen.popitem(last=False)
        if signature in self._seen:
            return True
        if len(self._seen) >= self._most:
            return True  # full of signatures that hold: refused rather than forgotten
        self._seen[signature] = now
        return False


class Pressed(Struct, frozen=True):
    """``user`` is Slack's id, ``name`` what the workspace calls them, ``answer_url`` where a word back may be sent."""

    verb: str
    target: str
    user: str
    name: str
    answer_url: str = ""


def pressed(body: bytes) -> Pressed | None:
    """The button of ours that a ``block_actions`` payload tells of; None for anything else. Raises ValueError for a body
    that is no form with a JSON payload."""
    forms = parse_qs(body.decode("utf-8"), max_num_fields=20)
    try:
        payload = json.loads(forms["payload"][0]) if "payload" in forms else None
    except RecursionError as error:
        raise ValueError("the payload is nested too deeply") from error
    if not isinstance(payload, dict):
        raise ValueError("no payload")
    actions = payload.get("actions")
    if payload.get("type") != "block_actions" or not isinstance(actions, list) or not actions:
        return None
    action, user = actions[0], payload.get("user")
    if not isinstance(action, dict) or not isinstance(user, dict):
        return None
    match = _ID.fullmatch(_text(action, "action_id"))
    if match is None or match[1] not in VERBS:
        return None
    name = _text(user, "username") or _text(user, "name")
    return Pressed(match[1], match[2], _text(user, "id")[:40], name[:40], _text(payload, "response_url")[:500])


def _text(read: dict[str, Any], key: str) -> str:
    value = read.get(key)
    return value if isinstance(value, str) else ""
