"""What a person's merging and splitting teaches: pairs of entities that belong to one incident, or that do not. The group
stage reads them from state (``detect/together.py``)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Final

from midwatch.core.turn import Turn
from midwatch.model.events import GroupingLearned, IncidentMerged, IncidentSplit

MAX_SIDE: Final = 5
"""Entities of each side that are paired, those first that were hurt first: the tail of a mass outage teaches nothing."""


def regrouped(turn: Turn) -> Turn:
    """A GroupingLearned per merge and per split of this turn."""
    for event in turn.events:
        if isinstance(event, IncidentMerged):
            theirs = _symptoms(turn, event.absorbed)
            turn = _learn(turn, event.incident, _symptoms(turn, event.incident), theirs, True, event.by)
        elif isinstance(event, IncidentSplit):
            turn = _learn(turn, event.incident, _symptoms(turn, event.incident), event.symptoms, False, event.by)
            turn = _learn(turn, event.into, _symptoms(turn, event.into), event.symptoms, True, event.by)
    return turn


def _symptoms(turn: Turn, incident: str) -> tuple[str, ...]:
    found = turn.state.incidents.get(incident)
    return found.symptoms if found else ()


def _learn(turn: Turn, incident: str, mine: Iterable[str], theirs: tuple[str, ...], together: bool, by: str) -> Turn:
    here = [s for s in mine if s not in theirs][:MAX_SIDE]
    pairs = tuple(product(here, theirs[:MAX_SIDE]))
    return turn.emit(GroupingLearned(incident, pairs, together, by)) if pairs else turn
