"""Virtual time: an asyncio loop that never waits. Real ``sleep`` and ``wait_for`` run under it at no wall time."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any, Final

STUCK_AFTER: Final = 200_000
"""Iterations of the loop without virtual time passing, after which a run is called stuck."""


class _Instant(selectors.SelectSelector):
    """Instead of waiting for input it lets virtual time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._idle = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("the simulation waits for something that can never happen")
        self._idle = 0 if timeout > 0 else self._idle + 1
        if self._idle > STUCK_AFTER:
            raise RuntimeError("the simulation turns without time passing")
        # Tiny waits must move the clock in spite of rounding.
        self.now += max(timeout, 1e-7) if timeout > 0 else 0.0
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """``time()`` starts at 0 and jumps from one timer to the next."""

    def __init__(self) -> None:
        self._instant = _Instant()
        super().__init__(self._instant)

    def time(self) -> float:
        return self._instant.now


def run_virtually(work: Any) -> Any:
    """Run a coroutine to its end in virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()
