"""What people say about action items: a new one, or that one is done. Part of the obey stage."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Final

from midwatch.core.turn import Turn
from midwatch.model.events import CommandGiven, CommandRefused, ItemClosed, ItemOpened
from midwatch.model.items import ActionItem

MAX_WHAT: Final = 500


def add_item(turn: Turn, said: CommandGiven) -> Turn:
    """``target`` is the incident, ``note`` what is to be done, ``value`` a date and whose it is: ``2026-12-24 payments``."""
    incident = turn.state.incidents.get(said.target)
    day, _, owner = said.value.strip().partition(" ")
    due_at = _end_of(day)
    why = ""
    if incident is None:
        why = f"no incident is called {said.target!r}"
    elif not said.note.strip():
        why = "it does not say what is to be done"
    elif due_at is None or not owner.strip():
        why = "value must be a date and an owner, such as 2026-12-24 payments"
    if incident is None or due_at is None or why:
        return turn.emit(CommandRefused(said.verb, said.target, said.by, why))
    item = ActionItem(
        f"AI-{turn.state.next_item}",
        incident.id,
        said.note.strip()[:MAX_WHAT],
        owner.strip(),
        due_at,
        kind="said",
        about=incident.confirmed_cause,
        by=said.by,
    )
    return turn.emit(ItemOpened(item))


def close_item(turn: Turn, said: CommandGiven) -> Turn:
    """``target`` is the item; ``note`` says how it ended."""
    record = turn.state.items.get(said.target)
    if record is None or record.status != "open":
        why = f"no open action item is called {said.target!r}"
        return turn.emit(CommandRefused(said.verb, said.target, said.by, why))
    return turn.emit(ItemClosed(said.target, said.by, said.note.strip()[:MAX_WHAT] or "done"))


def _end_of(day: str) -> float | None:
    """The last second of an ISO date, UTC."""
    with suppress(ValueError, OverflowError):
        found = date.fromisoformat(day)
        return datetime(found.year, found.month, found.day, 23, 59, 59, tzinfo=UTC).timestamp()
    return None
