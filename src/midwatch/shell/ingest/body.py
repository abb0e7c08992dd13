"""Reading the body of a request, bounded in size and in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from midwatch.model.errors import IngestError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

BODY_SECONDS: Final = 30.0  # a sender slower than this is cut off
_DISCARDED_BODIES: Final = 4  # how many times the limit is read before a sender is cut off


class Gone(Exception):
    """The sender closed the connection before its body was complete."""


async def read_body(
    headers: Mapping[str, str], receive: Receive, limit: int, *, patience: int = 0, seconds: float = BODY_SECONDS
) -> bytes:
    """The whole body, at most ``limit`` bytes (IngestError 413), within ``seconds`` (408). Raises Gone.

    Of one that is too large so many bytes are read and thrown away (``patience``, or four times the limit) that its sender
    gets to read why; beyond that it is cut off.
    """
    length = headers.get("content-length", "")
    most = max(patience, _DISCARDED_BODIES * limit)
    too_large = IngestError(f"the body has more than {limit} bytes", status=413)
    if length.isascii() and length.isdigit() and int(length) > most:
        raise too_large
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                piece = message.get("body", b"")
                size += len(piece)
                if size <= limit:
                    pieces.append(piece)
                else:  # read on without keeping it: a sender that is cut off in the middle never sees why
                    pieces.clear()
                    if size > most:
                        raise too_large
                if not message.get("more_body", False):
                    if size > limit:
                        raise too_large
                    return b"".join(pieces)
    except TimeoutError as problem:
        raise IngestError("the body took too long", status=408) from problem
