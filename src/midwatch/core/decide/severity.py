"""How bad an incident is, by people's word: it goes before the facts until these are worse than they were then."""

from __future__ import annotations

from typing import Final

from midwatch.core.decide.room import why_not_about
from midwatch.core.detect.incidents import facts_of
from midwatch.core.turn import Turn
from midwatch.model.events import CommandGiven, CommandRefused, IncidentRated
from midwatch.model.state import State

FACTS: Final = "-"


def why_not(state: State, said: CommandGiven) -> str:
    """Why a rating would come to nothing; "" when it may be obeyed."""
    if why := why_not_about(state, said.target):
        return why
    incident, given = state.incidents[said.target], _given(said)
    if given == FACTS:
        return "" if incident.said_severity else f"nobody rated {incident.id}: the facts do"
    if given not in ("1", "2", "3", "4"):
        return "say 1 (worst) to 4, or - for what the facts say"
    return f"{incident.said_by} said SEV{given} already" if incident.said_severity == int(given) else ""


def _given(said: CommandGiven) -> str:
    return said.value.strip().upper().removeprefix("SEV")


def say_severity(turn: Turn, said: CommandGiven) -> Turn:
    """``value`` is 1 to 4, or ``-`` to leave it to the facts again; ``note`` is why."""
    if why := why_not(turn.state, said):
        return turn.emit(CommandRefused(said.verb, said.target, said.by, why))
    incident, note = turn.state.incidents[said.target], said.note.strip()
    if _given(said) == FACTS:
        why = f"{said.by} leaves it to the facts" + (f": {note}" if note else "")
        return turn.emit(IncidentRated(incident.id, incident.severity, why, by=said.by))
    why = f"{said.by} said so" + (f": {note}" if note else "")
    rated = IncidentRated(incident.id, int(_given(said)), why, by=said.by, facts=facts_of(turn, incident))
    return turn.emit(rated)
