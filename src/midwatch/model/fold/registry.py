"""Which event is folded by which step, and what several steps share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from msgspec.structs import replace

from midwatch.model.state import State

Step = Callable[[State, Any, float], State]
STEPS: dict[type, Step] = {}
_F = TypeVar("_F", bound=Step)


def on(kind: type) -> Callable[[_F], _F]:
    def register(step: _F) -> _F:
        STEPS[kind] = step
        return step

    return register


def incident_with(state: State, ident: str, **changes: Any) -> State:
    old = state.incidents.get(ident)
    if old is None:
        return state
    return replace(state, incidents={**state.incidents, ident: replace(old, **changes)})


def action_with(state: State, ident: str, **changes: Any) -> State:
    old = state.actions.get(ident)
    if old is None:
        return state
    return replace(state, actions={**state.actions, ident: replace(old, **changes)})


def freeze_first_rank(state: State, incident: str) -> State:
    """The ranking as it stood at the first page or action is what diagnosis is scored on."""
    old = state.incidents.get(incident)
    if old is None or old.first_ranked or not old.hypotheses:
        return state
    return incident_with(state, incident, first_ranked=old.hypotheses)
