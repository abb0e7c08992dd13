"""What the links in mails say: what for, for whom (a random id, never an address) and until when, signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final, Literal

Purpose = Literal["confirm", "leave"]
MAX_TOKEN: Final = 200
_MAC_BYTES: Final = 18


def token(key: bytes, purpose: Purpose, ident: str, expires_at: float = 0.0) -> str:
    """``expires_at`` in unix seconds; 0 for one that holds as long as its subscriber is known."""
    body = f"{ident}.{expires_at:.0f}"
    return f"{body}.{_mac(key, purpose, body)}"


def read(key: bytes, purpose: Purpose, given: str, now: float) -> str:
    """The id that it is for; "" when it was not signed here, not for this purpose, or is too old."""
    body, _, mac = given.rpartition(".")
    ident, _, until = body.partition(".")
    if len(given) > MAX_TOKEN or not given.isascii() or not hmac.compare_digest(mac, _mac(key, purpose, body)):
        return ""
    try:
        expires_at = float(until)
    except ValueError:
        return ""
    return ident if not expires_at or now < expires_at else ""


def _mac(key: bytes, purpose: Purpose, body: str) -> str:
    digest = hmac.new(key, f"{purpose}\0{body}".encode(), hashlib.sha256).digest()[:_MAC_BYTES]
    return base64.urlsafe_b64encode(digest).decode()
