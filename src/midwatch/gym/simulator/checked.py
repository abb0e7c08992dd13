"""What a checker gives back, and how it walks a trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

from midwatch.gym.simulator.trace import Trace
from midwatch.model.events import Recorded
from midwatch.model.fold import fold
from midwatch.model.state import State

LAST_WORDS_SECONDS: Final = 120.0
"""What was ordered so shortly before the end of a run need not have ended."""
_T = TypeVar("_T")


@dataclass
class Checked:
    """``checked`` counts what was looked at; ``skipped`` says what was not and why; ``wrong`` is a sentence each."""

    name: str
    checked: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def skip(self, why: str) -> None:
        self.skipped[why] = self.skipped.get(why, 0) + 1

    def claim(self, holds: bool, otherwise: str) -> None:
        self.checked += 1
        if not holds and len(self.wrong) < 20:
            self.wrong.append(otherwise)


def of(trace: Trace, kind: type[_T]) -> Iterator[tuple[Recorded, _T]]:
    for recorded in trace.journal:
        if isinstance(recorded.event, kind):
            yield recorded, recorded.event


def states(trace: Trace) -> Iterator[tuple[State, Recorded]]:
    """The state before each entry, and the entry."""
    state = State()
    for recorded in trace.journal:
        yield state, recorded
        state = fold(state, recorded)
