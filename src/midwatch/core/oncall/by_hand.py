"""What people say about single alerts: that one belongs to another incident, or is over; and what they see that nothing else
told, which is an alert of theirs. It is part of the obey stage, and stands here because it needs to know how alerts are
grouped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from midwatch.core.oncall.grouping import finding_for, open_incident
from midwatch.core.oncall.homes import entity_of, finding_of
from midwatch.core.turn import Turn
from midwatch.model.alerts import MAX_NAME, MAX_SUMMARY, Alert, AlertRecord, Judged
from midwatch.model.entity import ENTITY_KINDS, kind_of
from midwatch.model.events import (
    AlertsJudged,
    AlertsReceived,
    CommandGiven,
    CommandRefused,
    FindingOpened,
    IncidentGrew,
)
from midwatch.model.state import State

NEW: Final = "new"
"""The incident to say for one of its own."""
PEOPLE: Final = "people"
"""The source of alerts that were declared."""
MAX_DECLARED: Final = 100


def by_hand(turn: Turn) -> Turn:
    """Carry out what this tick's commands say about alerts, in order."""
    for said in turn.inputs:
        if isinstance(said, CommandGiven) and said.verb in VERBS:
            why = why_not(turn.state, said)
            turn = (
                turn.emit(CommandRefused(said.verb, said.target, said.by, why)) if why else VERBS[said.verb](turn, said)
            )
    return turn


def why_not(state: State, said: CommandGiven) -> str:
    """Why it would come to nothing; "" when it may be obeyed."""
    if said.verb == "declare":
        return _why_not_declared(state, said)
    record = state.alerts.get(said.target)
    if record is None:
        return f"no alert is called {said.target!r}"
    if not record.firing:
        return "that alert is over"
    if said.verb == "close_alert" or said.value == NEW:
        return ""
    incident = state.incidents.get(said.value)
    if incident is None or incident.phase == "resolved":
        return f"say an open incident, or {NEW!r} for one of its own: {said.value!r} is none"
    return f"it is in {incident.id} already" if record.incident == incident.id and record.place == "grouped" else ""


def _move(turn: Turn, said: CommandGiven) -> Turn:
    """Put the alert ``target`` into the incident ``value``, with a finding of its own, so that those that stay behind keep
    theirs; there it stays until one of the two is over."""
    record = turn.state.alerts[said.target]
    old = f" from {record.incident}" if record.place == "grouped" else ""
    ident = f"{finding_of(record.alert)}|{turn.state.seq}"
    finding = finding_for(ident, record.alert)
    why = f"{said.by} moved it here{old}" + (f": {said.note[:500]}" if said.note else "")
    if said.value == NEW:
        into = f"INC-{turn.state.next_incident}"
        turn = open_incident(turn, finding)
    else:
        into = said.value
        turn = turn.emit(FindingOpened(finding))
        known = turn.state.incidents[into].symptoms
        fresh = () if finding.entity in known else (finding.entity,)
        turn = turn.emit(
            IncidentGrew(into, (ident,), fresh, f"{said.by} moved an alert of {entity_of(record.alert)} here{old}")
        )
    return turn.emit(AlertsJudged((Judged(said.target, "grouped", why, ident, into),)))


def _close(turn: Turn, said: CommandGiven) -> Turn:
    """As if its sender had said that it is over; when the sender says it again, it opens again."""
    record: AlertRecord = turn.state.alerts[said.target]
    return turn.emit(AlertsReceived((replace(record.alert, state="resolved", at=turn.now, by=said.by),)))


def _why_not_declared(state: State, said: CommandGiven) -> str:
    if not said.note.strip():
        return "say in a few words what is wrong"
    if said.value not in ("1", "2", "3", "4"):
        return f"how bad it is is said by 1 (worst), 2, 3 or 4, not by {said.value!r}"
    strange = len(said.target) > MAX_NAME or not said.target.isprintable() or any(c in said.target for c in "|>")
    if said.target and (strange or kind_of(said.target) not in ENTITY_KINDS):
        return f"{said.target[:MAX_NAME]!r} is no entity: say service:payment, or nothing"
    if sum(r.firing and r.alert.source == PEOPLE for r in state.alerts.values()) >= MAX_DECLARED:
        return f"{MAX_DECLARED} things that people declared are open: resolve those that are over"
    return ""


def _declare(turn: Turn, said: CommandGiven) -> Turn:
    """Something is wrong with ``target`` (an entity, "" where nobody knows), as bad as ``value``, in the words of ``note``.
    It goes the way of every alert: silences, grouping, rating, pages. It is over when its incident is resolved."""
    words = " ".join(said.note.replace("|", "/").split())  # the ids of findings are parted by that
    alert = Alert(
        f"{PEOPLE}:{turn.state.seq}",
        PEOPLE,
        "firing",
        turn.now,
        turn.now,
        int(said.value),
        name=words[:MAX_NAME],
        summary=words[:MAX_SUMMARY] if len(words) > MAX_NAME else "",
        entity=said.target,
        labels={"declared_by": said.by},
        page_lines=(f"Declared by {said.by or 'somebody'}.",),
    )
    return turn.emit(AlertsReceived((alert,)))


VERBS: Final[dict[str, Callable[[Turn, CommandGiven], Turn]]] = {
    "move_alert": _move,
    "close_alert": _close,
    "declare": _declare,
}
