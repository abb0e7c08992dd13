"""The channel of a chat in which people work on one incident, besides the incident's own page: what was ordered, what came
of it, and how that part of the fold goes. Pure."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

MAX_INVITED: Final = 60
AGAIN_SECONDS: Final = (300.0, 1200.0)
"""After that long a room that could not be opened is ordered once more, and then once more."""


class WarRoomPolicy(Struct, frozen=True):
    """``channel`` names a channel of pages that can open rooms ("" for none: off); incidents of ``severity`` and worse get
    one, called ``<prefix>-<number>-<where>-<what>``. ``archive_seconds`` after the end it is archived; 0: it is left.
    ``link`` is where people reach the console, when that is another than the policy's ``console_url``."""

    channel: str = ""
    severity: int = 2
    prefix: str = "inc"
    private: bool = False
    archive_seconds: float = 0.0
    link: str = ""


class RoomAt(Struct, frozen=True):
    """Where a room is: the chat's own id, its name as the chat has it, and its address ("" if that is not known)."""

    place: str
    name: str
    url: str = ""


class WarRoom(Struct, frozen=True):
    """``status``: ordered, open, failed (``why``; the ``tries``-th time, and when it is ordered again, 0 for never), closing
    (its archiving is ordered), closed. ``ordered_at`` is when it first was: the room is known by that. ``place`` is the
    chat's own id, ``summary`` that of the message that is pinned. ``invited``: person -> "" while it is under way, ``in``,
    or why not."""

    channel: str
    name: str
    ordered_at: float
    status: str = "ordered"
    place: str = ""
    url: str = ""
    summary: str = ""
    why: str = ""
    invited: dict[str, str] = field(default_factory=dict)
    tries: int = 1
    again_at: float = 0.0

    @property
    def usable(self) -> bool:
        """Whether anything can be said in it."""
        return bool(self.place) and self.status in ("open", "closing")


WarRooms = dict[str, WarRoom]


def ordered(rooms: WarRooms, incident: str, what: str, channel: str, name: str, person: str, at: float) -> WarRooms:
    """An intent: to open, to invite ``person``, to archive."""
    if what == "open" and incident in rooms:
        return _changed(
            rooms, incident, channel=channel, status="ordered", tries=rooms[incident].tries + 1, again_at=0.0
        )
    if what == "open":
        return {**rooms, incident: WarRoom(channel, name, at)}
    if what == "archive":
        return _changed(rooms, incident, status="closing")
    if incident not in rooms or len(rooms[incident].invited) >= MAX_INVITED:
        return rooms
    return _changed(rooms, incident, invited={**rooms[incident].invited, person: ""})


def ended(rooms: WarRooms, incident: str, what: str, done: bool, why: str, at: float, **found: str) -> WarRooms:
    """What came of it. ``found``: name, place, url, summary, person."""
    room = rooms.get(incident)
    if room is None:
        return rooms
    if what == "invite":
        person = found.get("person", "")
        return _changed(rooms, incident, invited={**room.invited, person: "in" if done else why or "not possible"})
    if what == "archive":
        return _changed(rooms, incident, status="closed" if done else "open", why="" if done else why)
    told = {key: found[key] for key in ("name", "place", "url", "summary") if found.get(key)}
    if what == "summary":
        return _changed(rooms, incident, **told)
    if done:
        return _changed(rooms, incident, status="open", why="", **told)
    again = at + AGAIN_SECONDS[room.tries - 1] if room.tries <= len(AGAIN_SECONDS) else 0.0
    return _changed(rooms, incident, status="failed", why=why, again_at=again, **told)


def _changed(rooms: WarRooms, incident: str, **changes: Any) -> WarRooms:
    return {**rooms, incident: replace(rooms[incident], **changes)} if incident in rooms else rooms
