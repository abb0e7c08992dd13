"""One request to a receiver, with every way in which it can go wrong as a ChannelError that says so without secrets.

No redirect is followed: a page and what proves who sent it go where the configuration says, nowhere else.
"""

from __future__ import annotations

import email.utils
import ssl
import time
from collections.abc import Callable, Mapping
from functools import cache

import httpx

from midwatch.adapters.bounded import beginning
from midwatch.adapters.channels.redact import redact
from midwatch.model.errors import ChannelError, RateLimited

DEFAULT_RETRY_SECONDS = 2.0
RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
MAX_ANSWER_BYTES = 4 * 1024 * 1024


@cache
def _trusted() -> ssl.SSLContext:
    """Read once: a client of its own for each page would read all certificates each time, 20 ms on the event loop."""
    return httpx.create_ssl_context()


async def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    whom: str,
    method: str = "POST",
    timeout_seconds: float,
    secrets: tuple[str, ...] = (),
    why: Callable[[httpx.Response], str] = lambda _: "",
    clock: Callable[[], float] = time.time,
) -> httpx.Response:
    """The answer, when it is 2xx, with as much of its body as ``MAX_ANSWER_BYTES``. ``whom`` names the receiver in errors;
    ``why`` reads the reason out of its answer.

    Raises ChannelError: 408, 425, 429 and 5xx may be tried again (after ``Retry-After``), as may silence and a refused
    connection; any other answer is final.
    """
    try:
        async with (
            httpx.AsyncClient(timeout=timeout_seconds, follow_redirects=False, verify=_trusted()) as client,
            client.stream(method, url, content=body, headers=dict(headers)) as streamed,
        ):
            answer = await _read(streamed)
    except httpx.TimeoutException as error:
        raise ChannelError(f"{whom} did not answer in time", retry_after_seconds=DEFAULT_RETRY_SECONDS) from error
    except httpx.InvalidURL as error:
        raise ChannelError(f"{whom}'s URL is not a URL", retry_after_seconds=None) from error
    except httpx.UnsupportedProtocol as error:
        raise ChannelError(f"{whom}'s URL is neither http nor https", retry_after_seconds=None) from error
    except (httpx.LocalProtocolError, UnicodeError):  # its words would repeat the header, token and all
        raise ChannelError(
            f"{whom} cannot be asked: a secret or the URL holds a character that HTTP does not take",
            retry_after_seconds=None,
            hint="look for a line break at its end",
        ) from None
    except httpx.HTTPError as error:
        reason = redact(str(error) or type(error).__name__, (url, *secrets))
        raise ChannelError(f"{whom} cannot be reached: {reason}", retry_after_seconds=DEFAULT_RETRY_SECONDS) from error
    if answer.is_success:
        return answer
    said = redact(why(answer), (url, *secrets))
    text = f"{whom} answered {answer.status_code}" + (f": {said}" if said else "")
    if answer.status_code == 429:
        raise RateLimited(text, retry_after_seconds=retry_after(answer.headers.get("Retry-After", ""), clock()))
    if answer.status_code in RETRYABLE:
        raise ChannelError(text, retry_after_seconds=retry_after(answer.headers.get("Retry-After", ""), clock()))
    raise ChannelError(text, retry_after_seconds=None)


async def _read(streamed: httpx.Response) -> httpx.Response:
    """What was asked for was done, or not, whatever else it says: more than is of use is not read."""
    body = await beginning(streamed, MAX_ANSWER_BYTES)
    headers = [(name, value) for name, value in streamed.headers.raw if name.lower() != b"content-encoding"]
    return httpx.Response(streamed.status_code, headers=headers, content=body[:MAX_ANSWER_BYTES])


def retry_after(value: str, now: float, default: float = DEFAULT_RETRY_SECONDS) -> float:
    """Seconds, from either form of the header (RFC 9110, 10.2.3)."""
    if value.strip().isdecimal():
        return float(value)
    parsed = email.utils.parsedate_tz(value) if value else None
    return max(0.0, email.utils.mktime_tz(parsed) - now) if parsed else default
