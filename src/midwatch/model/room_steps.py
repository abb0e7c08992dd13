"""How events change the rooms of incidents: that part of the fold. Pure."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from midwatch.model.room import Decision, Room

MAX_DECISIONS: Final = 100
MAX_TICKED: Final = 100

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


def merged(rooms: Rooms, absorbed: str, kept: str) -> Rooms:
    """What was said about ``absorbed`` goes along. Who has a role in both keeps it where the incident stays."""
    theirs = rooms.get(absorbed)
    if theirs is None:
        return rooms
    ours = rooms.get(kept, Room())
    both = Room(
        {**theirs.roles, **ours.roles},
        tuple(sorted((*theirs.decisions, *ours.decisions), key=lambda d: d.at))[-MAX_DECISIONS:],
        _newest({**theirs.ticked, **ours.ticked}),
    )
    return {**{ident: room for ident, room in rooms.items() if ident != absorbed}, kept: both}


def _changed(rooms: Rooms, incident: str, **changes: Any) -> Rooms:
    return {**rooms, incident: replace(rooms.get(incident, Room()), **changes)}


def _newest(done: dict[str, str]) -> dict[str, str]:
    return dict(list(done.items())[-MAX_TICKED:])
