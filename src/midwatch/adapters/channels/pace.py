"""How fast a channel may be used: its own pace, and the pause that its receiver asked for.

A receiver that says "not before 30 s" means everybody who writes to it, not only the page that was refused; so the pause
is kept here, per channel, and what comes meanwhile waits or is told to come back, without a request. Where a receiver
counts per conversation, pages have a lane for each: whoever is woken last does not wait for those before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from midwatch.model.errors import Busy, RateLimited

MAX_WAIT_SECONDS = 4.0  # longer pauses are the caller's to wait out: a send must end within its timeout


MAX_LANES = 1000


class Pace:
    """At most one send per ``every_seconds`` in each lane, ``burst`` at once; ``clock`` is monotonic seconds."""

    def __init__(
        self, every_seconds: float = 0.0, burst: int = 1, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._every, self._burst, self._clock = every_seconds, burst, clock
        self._free_at: dict[str, float] = {}  # lane -> when its next send is due, were there no burst
        self._paused_until = 0.0

    @asynccontextmanager
    async def turn(self, sends: int = 1, lane: str = "") -> AsyncIterator[None]:
        """Wait for a turn, then send so many times within: what belongs together is not begun and then sent back into the
        queue. A RateLimited that asks for a pause is kept, and holds in every lane. Raises Busy at once when the turn is
        further off than ``MAX_WAIT_SECONDS``."""
        now = self._clock()
        rested = now - self._every * (self._burst - 1)
        if len(self._free_at) >= MAX_LANES:
            self._free_at = {name: at for name, at in self._free_at.items() if at > rested}
            lane = lane if len(self._free_at) < MAX_LANES else ""
        mine = max(self._free_at.get(lane, rested), rested)
        wait = max(mine, self._paused_until) - now
        if wait > MAX_WAIT_SECONDS:
            # Back as soon as the queue is short enough to stand in: whoever came later would else be first.
            again = wait - MAX_WAIT_SECONDS + 2 * self._every
            raise Busy(f"the channel is asked to pause for {wait:.0f} s more", retry_after_seconds=again)
        self._free_at[lane] = mine + sends * self._every
        if wait > 0:
            await asyncio.sleep(wait)
        try:
            yield
        except RateLimited as error:
            self._paused_until = max(self._paused_until, self._clock() + (error.retry_after_seconds or 0.0))
            raise
