"""Incident command, by people's word: who has which role, what was decided, which step of the checklist is done, and what
else is to be done by whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from midwatch.core.turn import Turn
from midwatch.model.events import (
    CommandGiven,
    CommandRefused,
    DecisionMade,
    Event,
    RoleTaken,
    StepTicked,
    StepUnticked,
    TaskDone,
    TaskGiven,
    TaskSet,
)
from midwatch.model.findings import Incident
from midwatch.model.room import ROLES, Room, Task
from midwatch.model.state import State

NOBODY: Final = "-"
MAX_DECISION: Final = 1000
MAX_TASK: Final = 500
MAX_NAME: Final = 80


def why_not(state: State, said: CommandGiven) -> str:
    """Why a word about who does what would come to nothing; "" when it may be obeyed."""
    if why := why_not_about(state, said.target):
        return why
    incident = state.incidents[said.target]
    return _WHY_NOT[said.verb](state, incident, state.rooms.get(incident.id, Room()), said)


def why_not_about(state: State, ident: str) -> str:
    """Why nothing can be said about an incident any more; "" while it is open and stands for itself."""
    incident = state.incidents.get(ident)
    if incident is None:
        return f"no incident is called {ident!r}"
    if incident.merged_into:
        return f"{incident.id} is part of {incident.merged_into}: say it there"
    return f"{incident.id} is resolved" if incident.phase == "resolved" else ""


def _no_role(state: State, incident: Incident, room: Room, said: CommandGiven) -> str:
    role, person = _role(said)
    if role not in ROLES:
        return f"{role!r} is no role; there are {', '.join(ROLES)}"
    held = room.roles.get(role, "")
    if person == NOBODY:
        return "" if held else f"nobody is {role}"
    return _no_name(person) or (f"{person} is {role} already" if person == held else "")


def _no_name(person: str) -> str:
    return "" if person and len(person) <= MAX_NAME else f"say who, in at most {MAX_NAME} characters"


def _no_decision(state: State, incident: Incident, room: Room, said: CommandGiven) -> str:
    return "" if said.note.strip() else "say what was decided"


def _no_step(state: State, incident: Incident, room: Room, said: CommandGiven) -> str:
    steps = checklist(state, incident)
    step = _step(steps, said.value)
    if not step and said.verb == "untick" and said.value.strip() in room.ticked:
        return ""  # of another severity's list
    if not steps:
        return f"there is no checklist for SEV{incident.severity}"
    if not step:
        return f"the checklist of {incident.id} has the steps 1 to {len(steps)}"
    if said.verb == "untick":
        return "" if step in room.ticked else "nobody ticked that"
    return f"{room.ticked[step]} ticked that already" if step in room.ticked else ""


def _no_task(state: State, incident: Incident, room: Room, said: CommandGiven) -> str:
    if not said.note.strip():
        return "say what is to be done"
    person = _person(said.value)
    return _no_name(person) if person else ""


def _no_change(state: State, incident: Incident, room: Room, said: CommandGiven) -> str:
    task, person = _task(room, said)
    if task is None:
        known = ", ".join(str(t.number) for t in room.tasks if t.done_at is None)
        return f"{incident.id} has the tasks {known}: say a number" if known else f"{incident.id} has no open task"
    if task.done_at is not None:
        return f"{task.done_by} did that already"
    if said.verb == "task_done":
        return ""
    if person == NOBODY:
        return "" if task.person else "nobody has that task"
    return _no_name(person) or (f"{person} has that task already" if person == task.person else "")


def _role(said: CommandGiven) -> tuple[str, str]:
    """Without a name it is whoever says so."""
    role, person = (*said.value.split(None, 1), "", "")[:2]
    return role, _person(person) or said.by


def _person(given: str) -> str:
    return " ".join(given.split())


def _task(room: Room, said: CommandGiven) -> tuple[Task | None, str]:
    """The task that ``value`` begins with the number of, and the name after it; without one, whoever says so."""
    number, person = (*said.value.split(None, 1), "", "")[:2]
    return next((t for t in room.tasks if str(t.number) == number), None), _person(person) or said.by


def checklist(state: State, incident: Incident) -> tuple[str, ...]:
    """The steps for the incident's severity now."""
    return state.policy.checklists.get(incident.severity, ())


def _step(steps: tuple[str, ...], named: str) -> str:
    """A step by its number, from 1, or its words; "" when there is none."""
    named = named.strip()
    numbered = {str(number): step for number, step in enumerate(steps, start=1)}
    return numbered.get(named, named if named in steps else "")


def obey_room(turn: Turn, said: CommandGiven) -> Turn:
    """``role``: ``value`` is a role and a name, or ``-`` to free it. ``decide``: ``note`` is what was decided. ``tick`` and
    ``untick``: ``value`` is a step's number, from 1, or its words. ``task``: ``note`` is what is to be done, ``value`` who
    does it, if that is known. ``task_give`` and ``task_done``: ``value`` begins with a task's number; who has it from now
    on (``-`` for nobody) follows."""
    if why := why_not(turn.state, said):
        return turn.emit(CommandRefused(said.verb, said.target, said.by, why))
    return turn.emit(_event(turn.state, said))


def _event(state: State, said: CommandGiven) -> Event:
    ident = said.target
    room = state.rooms.get(ident, Room())
    match said.verb:
        case "role":
            role, person = _role(said)
            return RoleTaken(ident, role, "" if person == NOBODY else person, said.by)
        case "decide":
            return DecisionMade(ident, said.note.strip()[:MAX_DECISION], said.by)
        case "task":
            person = _person(said.value)
            what = said.note.strip()[:MAX_TASK]
            return TaskSet(ident, room.next_task, what, "" if person == NOBODY else person, said.by)
        case "task_give" | "task_done":
            task, person = _task(room, said)
            number = task.number if task else 0
            if said.verb == "task_done":
                return TaskDone(ident, number, said.by)
            return TaskGiven(ident, number, "" if person == NOBODY else person, said.by)
    step = _step(checklist(state, state.incidents[ident]), said.value) or said.value.strip()
    return (StepTicked if said.verb == "tick" else StepUnticked)(ident, step, said.by)


_WHY_NOT: Final[dict[str, Callable[[State, Incident, Room, CommandGiven], str]]] = {
    "role": _no_role,
    "decide": _no_decision,
    "tick": _no_step,
    "untick": _no_step,
    "task": _no_task,
    "task_give": _no_change,
    "task_done": _no_change,
}
VERBS: Final = frozenset(_WHY_NOT)
