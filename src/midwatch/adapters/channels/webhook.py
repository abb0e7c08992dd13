"""Pages as a signed HTTP POST.

What a receiver gets::

    POST <url>
    Content-Type: application/json
    Idempotency-Key: <page key>              the same page carries the same key, however often it is sent: dedupe by it
    X-Midwatch-Timestamp: <unix seconds>
    X-Midwatch-Signature: v1=<hex>           HMAC-SHA256(secret, "<timestamp>." + body)

    {"version": 1, "key", "page", "incident", "severity", "repeat", "subject", "text", "topics", "sent_at"}

To verify: recompute the signature over the raw body, compare in constant time (``verify`` below does), and refuse a
timestamp more than five minutes off. Answer 2xx when the page is taken. 408, 425, 429 and 5xx are tried again
(``Retry-After`` is honoured); any other answer is taken as "never".
"""

from __future__ import annotations

import email.utils
import hashlib
import hmac
import json
import time
from collections.abc import Callable

import httpx

from midwatch.adapters.channels.redact import redact
from midwatch.model.errors import ChannelError
from midwatch.model.events import PageOrdered

SIGNATURE_HEADER = "X-Midwatch-Signature"
TIMESTAMP_HEADER = "X-Midwatch-Timestamp"
KEY_HEADER = "Idempotency-Key"
TOLERANCE_SECONDS = 300.0
DEFAULT_RETRY_SECONDS = 2.0
RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})


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

    @property
    def name(self) -> str:
        return self._name

    async def send(self, page: PageOrdered) -> None:
        url = self._url()
        secret = self._secret() if self._secret else ""
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
                "sent_at": now,
            },
            ensure_ascii=False,
        ).encode()
        timestamp = f"{now:.0f}"
        headers = {"Content-Type": "application/json", KEY_HEADER: page.key, TIMESTAMP_HEADER: timestamp}
        if secret:
            headers[SIGNATURE_HEADER] = sign(secret, timestamp, body)
        try:
            # No redirects: a page and its signature go where the configuration says, nowhere else.
            async with httpx.AsyncClient(timeout=self._timeout, follow_redirects=False) as client:
                answer = await client.post(url, content=body, headers=headers)
        except httpx.TimeoutException as error:
            raise ChannelError(
                "the webhook did not answer in time", retry_after_seconds=DEFAULT_RETRY_SECONDS
            ) from error
        except httpx.InvalidURL as error:
            raise ChannelError("the webhook's URL is not a URL", retry_after_seconds=None) from error
        except httpx.UnsupportedProtocol as error:
            raise ChannelError("the webhook's URL is neither http nor https", retry_after_seconds=None) from error
        except httpx.HTTPError as error:
            why = redact(str(error) or type(error).__name__, (url, secret))
            raise ChannelError(
                f"the webhook cannot be reached: {why}", retry_after_seconds=DEFAULT_RETRY_SECONDS
            ) from error
        if answer.is_success:
            return
        said = f"the webhook answered {answer.status_code}"
        if answer.status_code in RETRYABLE:
            raise ChannelError(said, retry_after_seconds=_retry_after(answer.headers.get("Retry-After", ""), now))
        raise ChannelError(said, retry_after_seconds=None)


def _retry_after(value: str, now: float) -> float:
    """Seconds, from either form of the header (RFC 9110, 10.2.3)."""
    if value.strip().isdigit():
        return float(value)
    parsed = email.utils.parsedate_tz(value) if value else None
    return max(0.0, email.utils.mktime_tz(parsed) - now) if parsed else DEFAULT_RETRY_SECONDS
