"""The dead-man call: a URL outside that alarms when we stop calling it.

Each call carries the journal head's sequence number and hash, so that a chain rewritten whole is noticed by whoever
kept yesterday's heartbeat.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from midwatch.model.errors import ConfigError
from midwatch.shell.config import resolve

log = logging.getLogger("midwatch.heartbeat")


@dataclass
class Pulse:
    """How the last call went; ``ok`` is None before the first."""

    ok: bool | None = None
    why: str = ""


class Heartbeat:
    """Calls ``url`` (or the reference to it) every ``every_seconds`` with ``payload()`` while ``wanted()``.

    Never raises; never retries within a period: the receiver's patience is counted in periods."""

    def __init__(
        self,
        url: str,
        payload: Callable[[], dict[str, Any]],
        *,
        every_seconds: float = 60.0,
        timeout_seconds: float = 5.0,
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._url, self._payload = url, payload
        self._every, self._timeout, self._wanted = every_seconds, timeout_seconds, wanted
        self.pulse = Pulse()

    async def run(self) -> None:
        """Until cancelled."""
        async with httpx.AsyncClient(timeout=self._timeout, follow_redirects=False) as client:
            while True:
                began = time.monotonic()
                if self._wanted():
                    await self.beat(client)
                await asyncio.sleep(max(0.0, self._every - (time.monotonic() - began)))

    async def beat(self, client: httpx.AsyncClient) -> None:
        pulse = self.pulse
        try:
            url = await asyncio.to_thread(resolve, self._url)  # a command may be asked for it
            async with client.stream("POST", url, json=self._payload()) as answer:  # what else it says is not read
                pulse.ok = answer.status_code < 400
                pulse.why = "" if pulse.ok else f"the receiver answered {answer.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # The exception's text can hold the URL, and such URLs are secrets.
            pulse.ok, pulse.why = False, type(error).__name__
        except ConfigError as error:
            pulse.ok, pulse.why = False, str(error)
        if not pulse.ok:
            log.warning("the dead-man call failed: %s", pulse.why)
