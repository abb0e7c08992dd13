"""What could not be read, said out loud: gaps are journaled when they open and when they close."""

from __future__ import annotations

from midwatch.core.slo.unseen import slo_gaps
from midwatch.core.turn import Turn
from midwatch.model.events import GapClosed, GapOpened

MAX_GAPS = 200


def gaps(turn: Turn) -> Turn:
    """GapOpened for every gap of the World and of promises that the journal does not know (a source that now fails
    otherwise is said again), GapClosed for those that are over."""
    seen = {gap.subject: gap.reason for gap in turn.world.gaps}
    seen |= slo_gaps(turn.state, turn.memory, turn.world, turn.now)
    known = turn.state.gaps
    opened = [
        GapOpened(s, reason) for s, reason in seen.items() if s not in known or (_sourced(s) and known[s] != reason)
    ]
    closed = [GapClosed(subject) for subject in known if subject not in seen]
    return turn.emit(*opened[: max(0, MAX_GAPS - len(known))], *closed)


def _sourced(subject: str) -> bool:
    """Whether the reason is a source's own words: they stay the same until it fails in another way."""
    return subject.startswith(("slo:", "source:"))


def blind(turn: Turn) -> bool:
    """Whether nothing at all arrives: then no absence means anything."""
    return any(gap.subject == "telemetry" and "nothing" in gap.reason for gap in turn.world.gaps)
