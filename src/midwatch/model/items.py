"""Action items: what an incident left to be done, by whom, until when."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class ActionItem(Struct, frozen=True):
    """``kind`` and ``about`` (the cause, or where users felt it) say what is the same item again; ``by`` is whoever wrote
    it, "" for the post-mortem."""

    id: str
    incident: str
    what: str
    owner: str
    due_at: float
    kind: str = ""
    about: str = ""
    by: str = ""


class ItemRecord(Struct, frozen=True):
    """An item's life. ``tracker``, ``ref`` and ``url`` are where it was filed; ``seen_in`` are later incidents that it would
    have prevented or eased; ``late_at`` is when somebody was last reminded."""

    item: ActionItem
    opened_at: float
    status: Literal["open", "closed"] = "open"
    tracker: str = ""
    ref: str = ""
    url: str = ""
    seen_in: tuple[str, ...] = ()
    late_at: float = 0.0
    closed_at: float = 0.0
    closed_by: str = ""
    why: str = ""


class Issue(Struct, frozen=True):
    """An action item as a tracker is told of it. ``body`` is Markdown; ``due`` an ISO date."""

    key: str
    title: str
    body: str
    owner: str
    due: str


class Filed(Struct, frozen=True):
    """Where it is: ``ref`` is how the tracker names it (a number, ``OPS-12``), ``url`` for people."""

    ref: str
    url: str = ""
