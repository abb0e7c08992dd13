"""What people did about an incident, as it was said: kept in state until its post-mortem is written, which tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from midwatch.model import events as e

MAX_DEEDS: Final = 200
"""Of each incident, the newest: the journal has them all."""
_NOTED: Final = frozenset({"ack", "escalate", "confirm_cause", "approve", "undo"})
"""Commands whose note no event of what followed repeats."""

Kept = (
    e.CommandGiven
    | e.IncidentAcknowledged
    | e.AcknowledgementExpired
    | e.EscalationStarted
    | e.EscalationAdvanced
    | e.RoleTaken
    | e.DecisionMade
    | e.ActionApproved
    | e.CauseConfirmed
    | e.IncidentRated
    | e.IncidentMitigated
    | e.IncidentResolved
)


class Deed(Struct, frozen=True):
    """``at`` in unix seconds."""

    at: float
    event: Kept


def told(known: dict[str, tuple[Deed, ...]], incident: str, event: Kept, at: float) -> dict[str, tuple[Deed, ...]]:
    """``known`` and this about the ``incident``, unless another event says the same or nobody said it."""
    if isinstance(event, e.CommandGiven) and not _worth_keeping(event):
        return known
    if isinstance(event, e.IncidentRated) and not event.by:
        return known
    return {**known, incident: (*known.get(incident, ()), Deed(at, event))[-MAX_DEEDS:]}


def _worth_keeping(said: e.CommandGiven) -> bool:
    return said.verb in ("note", "resolve") or (said.verb in _NOTED and bool(said.note))


def merged(known: Mapping[str, tuple[Deed, ...]], absorbed: str, into: str) -> dict[str, tuple[Deed, ...]]:
    """What was done about the one that is gone belongs to the one that stays."""
    both = sorted((*known.get(into, ()), *known.get(absorbed, ())), key=lambda deed: deed.at)
    left = {incident: deeds for incident, deeds in known.items() if incident != absorbed}
    return {**left, into: tuple(both[-MAX_DEEDS:])} if both else left
