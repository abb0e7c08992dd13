"""Writes an update when something worth telling changed: the severity, the cause, an action, calm. Numbers that merely
move are told once a minute at most."""

from __future__ import annotations

from typing import Final

from midwatch.core.oncall.words import update
from midwatch.core.turn import Turn
from midwatch.model.events import UpdateWritten
from midwatch.model.findings import Incident

NUMBERS_SECONDS: Final = 60.0
RESOLVED_SECONDS: Final = 60.0  # an incident that was over before is not told of again


def tell(turn: Turn) -> Turn:
    """Emit UpdateWritten per incident whose facts changed materially; idempotent within a tick."""
    told = dict(turn.memory.told)
    lives = [i for i in turn.state.incidents.values() if _is_news(i, turn.now)]
    for incident in lives:
        words = update(turn.state, incident, turn.now)
        before = told.get(incident.id)
        digest = f"{words.gist}#{words.pace}#{turn.now:.3f}"
        if before is None and incident.opened_at < turn.memory.started_at:
            told[incident.id] = digest  # the working set was lost: what it had told is not told again
            continue
        if before is not None:
            gist, pace, at = before.rsplit("#", 2)
            moved = pace != words.pace and turn.now - float(at) >= NUMBERS_SECONDS
            if gist == words.gist and not moved:
                continue
        turn = turn.emit(UpdateWritten(incident.id, words.text, words.facts))
        told[incident.id] = digest
    known = {i.id for i in lives}
    told = {k: v for k, v in told.items() if k in known}
    return turn if told == turn.memory.told else turn.remember(told=told)


def _is_news(incident: Incident, now: float) -> bool:
    return incident.resolved_at is None or now - incident.resolved_at < RESOLVED_SECONDS
