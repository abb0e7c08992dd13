"""Reads the past of promises back from their sources, behind what is new: a piece of each promise in turn.

At most ``BACK_AT_ONCE`` questions beside those for what is new, and no piece is asked for before the ledger has taken the
one before it. A source that answers fast is asked for twice as much the next time.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Final

from midwatch.model.slo import Slo
from midwatch.shell.asked import Asked, weighed
from midwatch.shell.reading_back import PIECE_SECONDS, coarse_step, weight
from midwatch.shell.served import Served, backoff

log = logging.getLogger("midwatch.sources")

BACK_AT_ONCE: Final = 2
LONGEST_PIECE_SECONDS: Final = 8 * PIECE_SECONDS
FAST_SECONDS: Final = 0.5


class PastReader:
    """``asked`` are the promises by name, ``serving`` says which source counts one, ``counters`` is the poller's."""

    def __init__(
        self,
        asked: Mapping[str, Asked],
        *,
        serving: Callable[[Slo], Served | None],
        clock: Callable[[], float],
        counters: dict[str, int],
    ) -> None:
        self._asked, self._serving, self._clock, self._counters = asked, serving, clock, counters

    def queue(self) -> str:
        """Queue whoever's past is not read yet; how far all are, in a sentence, empty when nothing is missing."""
        behind, there = 0, 0.0
        for name, asked in self._asked.items():
            edge = asked.edge()
            if edge <= asked.oldest:
                continue
            behind += 1
            there += (asked.seen - edge) / (asked.seen - asked.oldest) if math.isfinite(edge) else 0.0
            served = self._serving(asked.slo)
            if not asked.queued and served is not None:
                asked.queued = True
                served.behind.append(name)
        if not behind:
            return ""
        many = len(self._asked)
        return (
            f"the past of {behind:,} of {many:,} promises is still being read back from their source, "
            f"{(many - behind + there) / many:.0%} of all is there: until then their budgets are those of what has been "
            "counted"
        )

    def due(self, served: Served) -> bool:
        """Whether one more task should read back from this source."""
        return bool(served.behind) and served.failures == 0 and served.reading_back < BACK_AT_ONCE

    async def read(self, served: Served) -> None:
        """One piece after another, until none waits or what is new needs the slot; ``served.reading_back`` counts this task
        until it ends. Never raises."""
        try:
            while (asked := self._next(served)) is not None:
                await self._piece(asked, served)
                if served.slots.locked():
                    return
        finally:
            served.reading_back -= 1

    def _next(self, served: Served) -> Asked | None:
        """The promise whose turn it is, of those whose ledger has taken all that was read."""
        now = self._clock()
        for _ in range(len(served.behind)):
            name = served.behind.popleft()
            asked = self._asked.get(name)
            if asked is None or self._serving(asked.slo) is not served or asked.edge() <= asked.oldest:
                if asked is not None:
                    asked.queued = False
                continue
            served.behind.append(name)
            if not asked.reading and now >= asked.back_again and asked.taken_all():
                return asked
        return None

    async def _piece(self, asked: Asked, served: Served) -> None:
        """Read one piece before what is there."""
        slo, step = asked.slo, coarse_step(asked.slo, served.settings.step_seconds)
        end = math.floor(asked.edge() / step) * step
        begin = max(math.floor(asked.oldest / step) * step, end - served.piece_seconds)
        if begin >= end:
            asked.back = asked.oldest
            return
        asked.reading = True
        try:
            async with served.slots:
                began = time.monotonic()
                self._counters["source_questions"] += 1
                found = await served.source.counts(slo, begin, end, step)
        except Exception as error:  # a source is foreign code
            self._counters["source_failures"] += 1
            asked.back_failures += 1
            asked.back_again = self._clock() + backoff(asked.back_failures)
            served.piece_seconds = max(PIECE_SECONDS, served.piece_seconds / 2)
            log.info("the past of %s could not be read, it is tried again: %s", slo.name, error)
            return
        finally:
            asked.reading = False
        wider = served.piece_seconds * (2 if time.monotonic() - began < FAST_SECONDS else 0.5)
        served.piece_seconds = min(max(wider, PIECE_SECONDS), LONGEST_PIECE_SECONDS)
        worth = weight(slo, step, served.settings.step_seconds)
        asked.take_back([weighed(one, worth) for one in found], begin)
