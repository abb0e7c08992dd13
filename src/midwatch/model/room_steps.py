"""How events change the rooms of incidents: that part of the fold. Pure."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from midwatch.model.room import Decision, Room, Task

MAX_DECISIONS: Final = 100
MAX_TICKED: Final = 100
MAX_TASKS: Final = 100

Rooms = dict[str, Room]


def taken(rooms: Rooms, incident: str, role: str, person: str) -> Rooms:
    """``person`` "" frees the role."""
    others = {name: who for name, who in rooms.get(incident, Room()).roles.items() if name != role}
    return _changed(rooms, incident, roles={**others, role: person} if person else others)


def decided(rooms: Rooms, incident: str, decision: Decision) -> Rooms:
    before = rooms.get(incident, Room()).decisions
    return _changed(rooms, incident, decisions=(*before, decision)[-MAX_DECISIONS:])


def ticked(rooms: Rooms, incident: str, step: str, by: str) -> Rooms:
    return _changed(rooms, incident, ticked=_newest({**rooms.get(incident, Room()).ticked, step: by}))


def unticked(rooms: Rooms, incident: str, step: str) -> Rooms:
    left = {name: who for name, who in rooms.get(incident, Room()).ticked.items() if name != step}
    return _changed(rooms, incident, ticked=left)


def tasked(rooms: Rooms, incident: str, task: Task) -> Rooms:
    """At the bound the oldest that is done goes first, then the oldest."""
    room = rooms.get(incident, Room())
    return _changed(
        rooms, incident, tasks=_bounded((*room.tasks, task)), next_task=max(room.next_task, task.number + 1)
    )


def task_changed(rooms: Rooms, incident: str, number: int, **changes: Any) -> Rooms:
    """About a task that nobody knows: nothing."""
    if incident not in rooms:
        return rooms
    tasks = tuple(replace(t, **changes) if t.number == number else t for t in rooms[incident].tasks)
    return _changed(rooms, incident, tasks=tasks)


def _bounded(tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    over = len(tasks) - MAX_TASKS
    if over <= 0:
        return tasks
    gone = {t.number for t in sorted(tasks, key=lambda t: (t.done_at is None, t.number))[:over]}
    return tuple(t for t in tasks if t.number not in gone)


def merged(rooms: Rooms, absorbed: str, kept: str) -> Rooms:
    """What was said about ``absorbed`` goes along. Who has a role in both keeps it where the incident stays; tasks that
    come along are numbered on."""
    theirs = rooms.get(absorbed)
    if theirs is None:
        return rooms
    ours = rooms.get(kept, Room())
    both = Room(
        {**theirs.roles, **ours.roles},
        tuple(sorted((*theirs.decisions, *ours.decisions), key=lambda d: d.at))[-MAX_DECISIONS:],
        _newest({**theirs.ticked, **ours.ticked}),
        _bounded((*ours.tasks, *(replace(t, number=ours.next_task + n) for n, t in enumerate(theirs.tasks)))),
        ours.next_task + len(theirs.tasks),
    )
    return {**{ident: room for ident, room in rooms.items() if ident != absorbed}, kept: both}


def _changed(rooms: Rooms, incident: str, **changes: Any) -> Rooms:
    return {**rooms, incident: replace(rooms.get(incident, Room()), **changes)}


def _newest(done: dict[str, str]) -> dict[str, str]:
    return dict(list(done.items())[-MAX_TICKED:])
