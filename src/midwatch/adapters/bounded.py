"""What others answer is read to a bound: a receiver may be broken, or not who it should be."""

from __future__ import annotations

import httpx


async def beginning(answer: httpx.Response, limit: int) -> bytes:
    """The body of a streamed answer; of one longer than ``limit`` bytes its first ``limit`` + 1, so that it can be told.
    Raises httpx.HTTPError."""
    body = bytearray()
    async for part in answer.aiter_bytes():
        body += part
        if len(body) > limit:
            break
    return bytes(body[: limit + 1])
