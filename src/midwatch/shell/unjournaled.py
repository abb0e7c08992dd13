"""Paging comes before bookkeeping: what is paged while the journal cannot be written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from midwatch.model.events import Event, PageOrdered

REPEAT_SECONDS = 300.0
MAX_REMEMBERED = 1000


class Unjournaled:
    """Turns of the loop order the same page again and again, as nothing remembers it: each is due once in a while."""

    def __init__(self) -> None:
        self._paged_at: dict[str, float] = {}

    def due(self, events: Sequence[Event], now: float) -> Iterator[PageOrdered]:
        """The pages among ``events`` that are to be sent now; no action is."""
        for order in events:
            if not isinstance(order, PageOrdered):
                continue
            if now - self._paged_at.get(order.key, -math.inf) < REPEAT_SECONDS:
                continue
            if len(self._paged_at) >= MAX_REMEMBERED:
                self._paged_at.clear()
            self._paged_at[order.key] = now
            yield order
