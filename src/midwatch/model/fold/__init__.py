"""Decision state is the fold of the journal, and nothing else; a file for each part.

``fold(state, recorded)`` is total: it never raises on an event that was valid when it was written, and an event about
something unknown changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from midwatch.model import deed_steps
from midwatch.model import events as e
from midwatch.model.deed_steps import Kept
from midwatch.model.fold import actions, budgets, command, incidents, oncall, watch
from midwatch.model.fold.registry import STEPS
from midwatch.model.state import State

PARTS = (watch, incidents, command, actions, oncall, budgets)
"""Imported for their steps, which register themselves."""


def fold(state: State, recorded: e.Recorded) -> State:
    """The state after one more event."""
    step = STEPS.get(type(recorded.event))
    after = step(state, recorded.event, recorded.at) if step else state
    if isinstance(recorded.event, Kept) and (ident := _about(state, recorded.event)):
        after = replace(after, deeds=deed_steps.told(after.deeds, ident, recorded.event, recorded.at))
    return replace(after, seq=recorded.seq, at=max(state.at, recorded.at))


def _about(state: State, event: Kept) -> str:
    """The open incident that somebody did something about; "" when it is about none that state knows."""
    ident = event.target if isinstance(event, e.CommandGiven) else getattr(event, "incident", "")
    ident = ident or getattr(event, "action_id", "")
    if ident in state.actions:
        ident = state.actions[ident].action.incident
    elif ident in state.pages:
        ident = state.pages[ident].ordered.incident
    return ident if ident in state.incidents and state.incidents[ident].phase != "resolved" else ""


def fold_all(recorded: Iterable[e.Recorded], state: State | None = None) -> State:
    """The state after all of ``recorded``, from ``state`` or from nothing."""
    state = state or State()
    for one in recorded:
        state = fold(state, one)
    return state
