"""One turn of the loop: what a stage gets and gives back.

A stage is a function ``(Turn) -> Turn``. It reads ``state`` (decisions so far, this turn's included), ``memory`` (the
working set), ``world`` (what was seen), ``inputs`` (what people said, already journaled) and ``now``; it answers with
``turn.emit(...)`` for decisions and ``turn.remember(...)`` for working memory. It knows no clock, no I/O, no randomness.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from midwatch.core.memory import Memory
from midwatch.model.events import Event, Recorded
from midwatch.model.fold import fold
from midwatch.model.state import State
from midwatch.model.world import World


@dataclass(frozen=True)
class Turn:
    state: State
    memory: Memory
    world: World
    now: float
    inputs: tuple[Event, ...] = ()
    events: tuple[Event, ...] = field(default=())

    def emit(self, *events: Event) -> Turn:
        """Decide: the events are folded at once, so that the next stage sees them."""
        state = self.state
        for event in events:
            state = fold(state, Recorded(state.seq + 1, self.now, event))
        return replace(self, state=state, events=(*self.events, *events))

    def remember(self, **changes: Any) -> Turn:
        """Replace fields of the working memory."""
        return replace(self, memory=replace(self.memory, **changes))
