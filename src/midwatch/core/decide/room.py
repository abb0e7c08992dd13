"""Incident command, by people's word: who has which role, what was decided, which step of the checklist is done."""

from __future__ import annotations

from typing import Final

from midwatch.core.turn import Turn
from midwatch.model.events import CommandGiven, CommandRefused, DecisionMade, RoleTaken, StepTicked
from midwatch.model.findings import Incident
from midwatch.model.room import ROLES, Room
from midwatch.model.state import State

VERBS: Final = frozenset({"role", "decide", "tick"})
NOBODY: Final = "-"
MAX_DECISION: Final = 1000
MAX_NAME: Final = 80


def why_not(state: State, said: CommandGiven) -> str:
    """Why a role, decision or tick would come to nothing; "" when it may be obeyed."""
    incident = state.incidents.get(said.target)
    if incident is None:
        return f"no incident is called {said.target!r}"
    if incident.merged_into:
        return f"{incident.id} is part of {incident.merged_into}: say it there"
    if incident.phase == "resolved":
        return f"{incident.id} is resolved"
    room = state.rooms.get(incident.id, Room())
    if said.verb == "role":
        return _no_role(room, said)
    if said.verb == "decide":
        return "" if said.note.strip() else "say what was decided"
    steps = checklist(state, incident)
    step = _step(steps, said.value)
    if not steps:
        return f"there is no checklist for SEV{incident.severity}"
    if not step:
        return f"the checklist of {incident.id} has the steps 1 to {len(steps)}"
    return f"{room.ticked[step]} ticked that already" if step in room.ticked else ""


def _no_role(room: Room, said: CommandGiven) -> str:
    role, person = _role(said)
    if role not in ROLES:
        return f"{role!r} is no role; there are {', '.join(ROLES)}"
    held = room.roles.get(role, "")
    if person == NOBODY:
        return "" if held else f"nobody is {role}"
    if not person or len(person) > MAX_NAME:
        return f"say who, in at most {MAX_NAME} characters"
    return f"{person} is {role} already" if person == held else ""


def _role(said: CommandGiven) -> tuple[str, str]:
    """Without a name it is whoever says so."""
    role, person = (*said.value.split(None, 1), "", "")[:2]
    return role, " ".join(person.split()) or said.by


def checklist(state: State, incident: Incident) -> tuple[str, ...]:
    """The steps for the incident's severity now."""
    return state.policy.checklists.get(incident.severity, ())


def _step(steps: tuple[str, ...], named: str) -> str:
    """A step by its number, from 1, or its words; "" when there is none."""
    named = named.strip()
    numbered = {str(number): step for number, step in enumerate(steps, start=1)}
    return numbered.get(named, named if named in steps else "")


def take_role(turn: Turn, said: CommandGiven) -> Turn:
    """``value`` is a role and a name, or ``-`` to free it."""
    if why := why_not(turn.state, said):
        return _refused(turn, said, why)
    role, person = _role(said)
    return turn.emit(RoleTaken(said.target, role, "" if person == NOBODY else person, said.by))


def decide(turn: Turn, said: CommandGiven) -> Turn:
    """``note`` is what was decided."""
    if why := why_not(turn.state, said):
        return _refused(turn, said, why)
    return turn.emit(DecisionMade(said.target, said.note.strip()[:MAX_DECISION], said.by))


def tick_step(turn: Turn, said: CommandGiven) -> Turn:
    """``value`` is a step's number, from 1, or its words."""
    if why := why_not(turn.state, said):
        return _refused(turn, said, why)
    step = _step(checklist(turn.state, turn.state.incidents[said.target]), said.value)
    return turn.emit(StepTicked(said.target, step, said.by))


def _refused(turn: Turn, said: CommandGiven, why: str) -> Turn:
    return turn.emit(CommandRefused(said.verb, said.target, said.by, why))
