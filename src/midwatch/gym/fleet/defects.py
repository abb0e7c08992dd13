"""What can be wrong inside a process: knobs of the dark channel, of a bad build or of a bad flag, carried out for real."""

from __future__ import annotations

import asyncio
import builtins
import os
import random
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from midwatch.gym.fleet.service import Service


class Dropped(Exception):
    """The request is dropped without an answer."""


MESSAGES = {
    "KeyError": "currency",
    "ValueError": "invalid literal for int() with base 10: ''",
    "TypeError": "unsupported operand type(s) for +: 'NoneType' and 'int'",
    "ZeroDivisionError": "division by zero",
    "IndexError": "list index out of range",
    "AttributeError": "'NoneType' object has no attribute 'total'",
}


class Defects:
    """Knobs by source (build, flags, dark); the strongest value of each counts."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.sources: dict[str, dict[str, Any]] = {}
        self.requests = 0
        self.leaked: list[bytearray] = []
        self.held: list[Any] = []
        self.holder: asyncio.Task[None] | None = None

    def set(self, source: str, values: dict[str, Any]) -> None:
        before = self.value("crash_after_requests")
        self.sources[source] = dict(values)
        if not before and self.value("crash_after_requests"):
            self.requests = 0
        if not self.value("leak_bytes_per_request"):
            self.leaked.clear()

    def value(self, name: str) -> Any:
        values = [source[name] for source in self.sources.values() if source.get(name)]
        return max(values, key=lambda value: value if isinstance(value, (int, float)) else 0) if values else 0

    async def settle(self) -> None:
        """Bring what holds resources (the connections of ``hold_pool``) in line with the knobs."""
        wanted = int(self.value("hold_pool"))
        if wanted and self.holder is None and self.service.out.pool is not None:
            self.holder = asyncio.create_task(self._hold())
        elif not wanted and self.holder is not None:
            self.holder.cancel()
            self.holder = None
            pool = self.service.out.pool
            while self.held and pool is not None:
                await pool.putconn(self.held.pop())

    async def _hold(self) -> None:
        """An export job that checks connections out one after the other and never returns them."""
        pool = self.service.out.pool
        while pool is not None:
            wanted = int(self.value("hold_pool"))
            if len(self.held) >= wanted:
                await asyncio.sleep(0.2)
                continue
            try:
                connection = await pool.getconn(timeout=5.0)
            except Exception:
                await asyncio.sleep(0.1)
                continue
            self.held.append(connection)

    async def region_dark(self) -> bool:
        """True when the request must be reset; holds it for a minute first when the region is a black hole."""
        mode = self.value("region_dark")
        if not mode:
            return False
        if mode == "blackhole":
            for _ in range(600):
                await asyncio.sleep(0.1)
                if not self.value("region_dark"):
                    break
        return True

    async def before(self, template: str) -> None:
        """What a request suffers before its handler runs; raises the exception of ``error_ratio``."""
        for source in list(self.sources.values()):
            if not source:
                continue
            only = source.get("route")
            if only and only not in template:
                continue
            leak = int(source.get("leak_bytes_per_request", 0))
            if leak:
                block = bytearray(leak)
                for offset in range(0, leak, 4096):
                    block[offset] = 1  # touch each page: real memory
                self.leaked.append(block)
            burn = float(source.get("burn_ms", 0))
            if burn:
                until = time.thread_time() + burn / 1000
                while time.thread_time() < until:
                    sum(range(500))
            delay = float(source.get("delay_ms", 0))
            if delay:
                await asyncio.sleep(delay / 1000 * random.uniform(0.8, 1.2))
            ratio = float(source.get("error_ratio", 0))
            if ratio and random.random() < ratio:
                raise self._exception(str(source.get("exception", "RuntimeError")))

    def _exception(self, name: str) -> Exception:
        kind = getattr(builtins, name, None)
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            kind = RuntimeError
        return kind(MESSAGES.get(name, "inconsistent state"))

    def count_request(self) -> None:
        self.requests += 1
        limit = int(self.value("crash_after_requests"))
        if limit and self.requests >= limit:
            os._exit(70)
