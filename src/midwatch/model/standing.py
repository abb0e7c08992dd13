"""How an incident stands, for channels that keep a place for it: a message and its thread, an alert at another product."""

from __future__ import annotations

from msgspec import Struct


class Asked(Struct, frozen=True):
    """An action that waits for a yes. ``two_people``: it cannot be undone."""

    action: str
    words: str
    two_people: bool = False


class Standing(Struct, frozen=True):
    """``happened`` is new since the place was last told, in words, oldest first. ``heard_on`` is the channel at which the
    acknowledgement, or the end, was said: it knows. ``room`` is the place of its war room in the chat of the channel
    ``room_at``, while it can be used. ``links`` are (what is there, its address)."""

    incident: str
    severity: int
    subject: str
    text: str
    phase: str
    acknowledged_by: str = ""
    asked: tuple[Asked, ...] = ()
    happened: tuple[str, ...] = ()
    heard_on: str = ""
    room: str = ""
    room_at: str = ""
    links: tuple[tuple[str, str], ...] = ()

    @property
    def over(self) -> bool:
        return self.phase == "resolved"
