"""What could not be read, said out loud: gaps are journaled when they open and when they close."""

from __future__ import annotations

from collections.abc import Iterable

from midwatch.core.slo.discover import left_without
from midwatch.core.slo.unseen import PREFIXES, slo_gaps
from midwatch.core.turn import Turn
from midwatch.model.events import GapClosed, GapOpened

MAX_GAPS = 200  # open at once, of the World and of promises each: promises never take the room of the World's


def gaps(turn: Turn) -> Turn:
    """GapOpened for every gap of the World and of promises that the journal does not know (a source that now fails
    otherwise is said again), GapClosed for those that are over."""
    seen = {gap.subject: gap.reason for gap in turn.world.gaps}
    if turn.memory.habits is not None and turn.memory.habits.refused:
        seen["habits"] = "the bound of series whose habits are known is reached: the newer ones are judged without"
    if why := left_without(turn.state, turn.world):
        seen["promises"] = why
    seen |= slo_gaps(turn.state, turn.memory, turn.world, turn.now)
    known = turn.state.gaps
    again = [s for s in seen if s in known and _sourced(s) and known[s] != seen[s]]
    fresh = [s for s in seen if s not in known]
    still = [s for s in known if s in seen]
    fresh = _within(fresh, still, promises=False) + _within(fresh, still, promises=True)
    closed = [GapClosed(subject) for subject in known if subject not in seen]
    return turn.emit(*(GapOpened(s, seen[s]) for s in again + fresh), *closed)


def _within(fresh: list[str], known: Iterable[str], *, promises: bool) -> list[str]:
    """Those of one kind that there is room for, what says most first: all telemetry, then a whole source."""
    room = MAX_GAPS - sum(subject.startswith(PREFIXES) == promises for subject in known)
    kind = [subject for subject in fresh if subject.startswith(PREFIXES) == promises]
    return sorted(kind, key=lambda s: s != "telemetry" and not s.startswith("source:"))[: max(0, room)]


def _sourced(subject: str) -> bool:
    """Whether the reason is a source's own words: they stay the same until it fails in another way."""
    return subject.startswith(("slo:", "source:"))


def blind(turn: Turn) -> bool:
    """Whether nothing at all arrives: then no absence means anything."""
    return any(gap.subject == "telemetry" and "nothing" in gap.reason for gap in turn.world.gaps)
