"""Pages as a signed HTTP POST.

What a receiver gets::

    POST <url>
    Content-Type: application/json
    Idempotency-Key: <page key>              the same page carries the same key, however often it is sent: dedupe by it
    X-Midwatch-Timestamp: <unix seconds>
    X-Midwatch-Signature: v1=<hex>           HMAC-SHA256(secret, "<timestamp>." + body)

    {"version": 1, "key", "page", "incident", "severity", "repeat", "subject", "text", "topics", "person", "to", "level",
     "sent_at"}

To verify: recompute the signature over the raw body, compare in constant time (``verify`` below does), and refuse a
timestamp more than five minutes off. Answer 2xx when the page is taken. 408, 425, 429 and 5xx are tried again
(``Retry-After`` is honoured); any other answer is taken as "never".
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable

from midwatch.adapters.channels.http import post
from midwatch.adapters.channels.pace import Pace
from midwatch.model.events import PageOrdered

SIGNATURE_HEADER = "X-Midwatch-Signature"
TIMESTAMP_HEADER = "X-Midwatch-Timestamp"
KEY_HEADER = "Idempotency-Key"
TOLERANCE_SECONDS = 300.0


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """``v1=<hex>``: HMAC-SHA256 over ``timestamp.body``."""
    return "v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def verify(secret: str, timestamp: str, body: bytes, signature: str, now: float) -> bool:
    """What a receiver does: right signature, and not older (or newer) than five minutes."""
    try:
        fresh = abs(now - float(timestamp)) <= TOLERANCE_SECONDS
    except ValueError:
        return False
    return hmac.compare_digest(sign(secret, timestamp, body).encode(), signature.encode()) and fresh


class WebhookChannel:
    """``url`` and ``secret`` are functions, asked at each send: a rotated secret needs no restart, and none is kept."""

    def __init__(
        self,
        name: str,
        url: Callable[[], str],
        secret: Callable[[], str] | None = None,
        *,
        timeout_seconds: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name, self._url, self._secret = name, url, secret
        self._timeout, self._clock = timeout_seconds, clock
        self._pace = Pace()

    @property
    def name(self) -> str:
        return self._name

    async def send(self, page: PageOrdered) -> None:
        url = await asyncio.to_thread(self._url)
        secret = await asyncio.to_thread(self._secret) if self._secret else ""
        now = self._clock()
        body = json.dumps(
            {
                "version": 1,
                "key": page.key,
                "page": page.page,
                "incident": page.incident,
                "severity": page.severity,
                "repeat": page.repeat,
                "subject": page.subject,
                "text": page.text,
                "topics": list(page.topics),
                "person": page.person,
                "to": page.to,
                "level": page.level,
                "sent_at": now,
            },
            ensure_ascii=False,
        ).encode()
        timestamp = f"{now:.0f}"
        headers = {"Content-Type": "application/json", KEY_HEADER: page.key, TIMESTAMP_HEADER: timestamp}
        if secret:
            headers[SIGNATURE_HEADER] = sign(secret, timestamp, body)
        async with self._pace.turn():
            await post(
                url,
                body,
                headers,
                whom="the webhook",
                timeout_seconds=self._timeout,
                secrets=(secret,),
                clock=self._clock,
            )
