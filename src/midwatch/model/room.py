"""The room where people work on one incident: who has which role, what was decided, what of the checklist is done, and who
does what else."""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

ROLES: Final = ("commander", "communications", "operations", "scribe")

CHECKLISTS: Final[dict[int, tuple[str, ...]]] = {
    1: (
        "Somebody has each of the four roles",
        "Customers were told on the status page",
        "Support and executives were told",
        "Risky changes elsewhere are stopped",
        "The next decision and its time are said",
    ),
    2: (
        "Somebody is commander, and somebody speaks for it",
        "Customers were told, or it was decided not to",
        "Support was told",
        "Recent changes were looked at",
    ),
    3: ("Somebody is commander", "Recent changes were looked at", "Support was told, if users notice"),
    4: ("Somebody looks after it by the next working day",),
}
"""Severity -> what is easily forgotten, in its order. ``checklists:`` in midwatch.yaml says otherwise."""


class Decision(Struct, frozen=True):
    """``at`` in unix seconds."""

    at: float
    by: str
    text: str


class Task(Struct, frozen=True):
    """Something to be done while the incident runs: ``number`` counts from 1 within it, ``person`` is who does it ("" for
    nobody yet). Times in unix seconds."""

    number: int
    what: str
    person: str
    by: str
    at: float
    done_by: str = ""
    done_at: float | None = None


class Room(Struct, frozen=True):
    """``roles``: role -> person. ``decisions``: the newest last. ``ticked``: step of a checklist, in its words -> who did
    it; by its words, so that it stays done when the severity changes and the other list has it too. ``tasks`` by number;
    ``next_task`` is the next one's."""

    roles: dict[str, str] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()
    ticked: dict[str, str] = field(default_factory=dict)
    tasks: tuple[Task, ...] = ()
    next_task: int = 1
