"""The obey stage: what people said becomes events, or a refusal with its reason. It comes first in every tick.

Inputs are journaled already; ``CommandRefused`` makes sure that nobody waits for something that will not happen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from midwatch.core.decide.correct import adjust
from midwatch.core.decide.hush import silence, unsilence
from midwatch.core.decide.items import add_item, close_item
from midwatch.core.decide.propose import OPEN
from midwatch.core.decide.regroup import merge, move, split
from midwatch.core.decide.room import VERBS as OF_ROOMS
from midwatch.core.decide.room import obey_room
from midwatch.core.decide.severity import say_severity
from midwatch.core.decide.sight import under_way
from midwatch.core.decide.stage import judged, put, undo_action, undo_of
from midwatch.core.turn import Turn
from midwatch.model.actions import AUTONOMY_LADDER
from midwatch.model.entity import ENTITY_KINDS, kind_of
from midwatch.model.events import (
    ActionApproved,
    ActionDropped,
    AutonomyChanged,
    CauseConfirmed,
    CommandGiven,
    CommandRefused,
    HandsOffChanged,
    IncidentAcknowledged,
    IncidentMitigated,
    IncidentResolved,
)
from midwatch.model.faults import FAULT_KINDS
from midwatch.model.findings import Incident
from midwatch.model.state import ActionRecord, State

_ONE_TOKEN: Final = (
    "came with the same token, so both may be one person: "
    "the second yes needs a token of its own (tokens: in settings.yaml)"
)


OF_PEOPLE: Final = frozenset({"unack", "escalate", "override", "override_end", "swap", "swap_answer"})
"""Commands about shifts, which the stage that knows who is on call obeys."""
OF_ALERTS: Final = frozenset({"move_alert", "close_alert", "declare"})
"""Commands about single alerts, which the stage that groups them obeys."""


def obey(turn: Turn) -> Turn:
    """Carry out every command of this tick, in order."""
    for event in turn.inputs:
        if isinstance(event, CommandGiven) and event.verb not in OF_PEOPLE | OF_ALERTS:
            turn = _VERBS.get(event.verb, _unknown)(turn, event)
    return turn


def _refused(turn: Turn, said: CommandGiven, why: str) -> Turn:
    return turn.emit(CommandRefused(said.verb, said.target, said.by, why))


def _unknown(turn: Turn, said: CommandGiven) -> Turn:
    return _refused(turn, said, f"there is no command {said.verb!r}; there are {', '.join(sorted(_VERBS))}")


def incident_of(state: State, target: str) -> Incident | None:
    """The incident that ``target`` (an incident, action or page id) is about."""
    if target in state.actions:
        target = state.actions[target].action.incident
    elif target in state.pages:
        target = state.pages[target].ordered.incident
    return state.incidents.get(target)


def _ack(turn: Turn, said: CommandGiven) -> Turn:
    incident = incident_of(turn.state, said.target)
    if incident is None:
        return _refused(turn, said, f"no incident, action or page is called {said.target!r}")
    if incident.phase == "resolved":
        return _refused(turn, said, f"{incident.id} is resolved")
    if has_it(turn.state, incident, said.by):
        return _refused(turn, said, f"you acknowledged {incident.id} already")
    return turn.emit(IncidentAcknowledged(incident.id, said.by, said.channel))


def has_it(state: State, incident: Incident, by: str) -> bool:
    """Whether ``by`` acknowledged the incident, and nothing was paged about it since that a second word would answer."""
    since = incident.acknowledged_at
    paged_since = since is None or any(p.ordered_at >= since for p in state.pages_of(incident.id))
    return incident.acknowledged_by == by and not paged_since


def _approve(turn: Turn, said: CommandGiven) -> Turn:
    record = turn.state.actions.get(said.target)
    if record is None:
        return _refused(turn, said, f"no action is called {said.target!r}")
    if record.status not in OPEN:
        return _refused(turn, said, f"{said.target} is not waiting for a yes: it is {record.status.replace('_', ' ')}")
    incident = turn.state.incidents.get(record.action.incident)
    if incident is not None and incident.phase == "resolved" and not record.action.undo_of:
        return _refused(turn, said, f"{incident.id} is resolved: there is nothing left to mitigate")
    if said.by in record.approved_by and record.status == "asked":
        return _refused(turn, said, f"{said.by} approved {said.target} already; another person must")
    if not said.by:
        return _refused(turn, said, "an approval needs a name")
    if record.verdict.rule == "irreversible" and said.credential in record.credentials:
        return _refused(turn, said, f"the yes of {' and '.join(record.approved_by)} {_ONE_TOKEN}")
    people = tuple(dict.fromkeys((*record.approved_by, said.by)))
    verdict = judged(turn, record.action, people, (*record.credentials, said.credential))
    if verdict.decision in ("refuse", "rehearse"):
        return _refused(turn, said, f"{verdict.rule}: {verdict.why}")
    turn = turn.emit(ActionApproved(record.action.id, said.by, credential=said.credential))
    return put(turn, record.action, verdict, turn.state.actions[record.action.id])


def _refuse(turn: Turn, said: CommandGiven) -> Turn:
    """No to a proposal; or "settled" to an action that is in doubt or whose effect nobody could see."""
    record = turn.state.actions.get(said.target)
    if record is None:
        return _refused(turn, said, f"no action is called {said.target!r}")
    if record.status not in (*OPEN, "in_doubt", "unknown"):
        return _refused(turn, said, f"{said.target} is {record.status}: there is nothing to refuse")
    return turn.emit(ActionDropped(said.target, said.note or f"refused by {said.by}", said.by))


def _undo(turn: Turn, said: CommandGiven) -> Turn:
    record = turn.state.actions.get(said.target)
    why = _no_undo(turn, said.target, record)
    action = undo_action(turn, record, f"{said.by} took {said.target} back") if record and not why else None
    if record is None or action is None:
        return _refused(turn, said, why or f"{said.target} cannot be taken back")
    verdict = judged(turn, action, (said.by,), (said.credential,))
    before = turn.state.actions.get(action.id)
    if verdict.decision != "run":
        turn = put(turn, action, verdict, before)
        return _refused(turn, said, f"{verdict.rule}: {verdict.why}")
    if under_way(record):
        turn = turn.emit(ActionDropped(record.action.id, f"taken back by {said.by}", said.by))
    return put(turn, action, verdict, before, said)


def _no_undo(turn: Turn, target: str, record: ActionRecord | None) -> str:
    """Why the action cannot be taken back; "" when it can."""
    if record is None:
        return f"no action is called {target!r}"
    if record.action.undo_of:
        return f"{target} is itself an undo"
    if not record.action.undo_verb:
        return f"{record.action.verb} has no undo: it is {record.action.action_class}"
    if record.outcome is None or record.outcome.status != "done":
        return f"{target} is {record.status.replace('_', ' ')}: it is not known to have taken effect"
    before = undo_of(turn, target)
    if before is not None and before.status not in (*OPEN, "dropped", "failed"):
        return f"{before.action.id} takes it back already ({before.status.replace('_', ' ')})"
    return ""


def _confirm_cause(turn: Turn, said: CommandGiven) -> Turn:
    """``value`` is a rank (1), ``kind``, or ``entity kind``; a rank or kind is looked up in the diagnosis."""
    incident = incident_of(turn.state, said.target)
    if incident is None:
        return _refused(turn, said, f"no incident is called {said.target!r}")
    words = (said.value or "1").replace(",", " ").split()
    if len(words) == 2 and kind_of(words[0]) in ENTITY_KINDS and words[1] in FAULT_KINDS:
        return _confirmed(turn, said, incident, words[0], words[1])
    for rank, hypothesis in enumerate(incident.hypotheses, start=1):
        if len(words) == 1 and words[0] in (str(rank), hypothesis.kind):
            return _confirmed(turn, said, incident, hypothesis.entity, hypothesis.kind)
    return _refused(turn, said, "say a rank of the diagnosis (1), or entity and kind (service:payment pool_exhausted)")


def _confirmed(turn: Turn, said: CommandGiven, incident: Incident, entity: str, kind: str) -> Turn:
    if incident.confirmed_cause == f"{entity} {kind}":  # once: confirmed causes are counted
        return _refused(turn, said, f"the cause of {incident.id} is confirmed as that already")
    return turn.emit(CauseConfirmed(incident.id, entity, kind, said.by))


def _hands(turn: Turn, said: CommandGiven) -> Turn:
    on = said.verb == "hands_off"
    if turn.state.hands_off == on:
        return turn
    return turn.emit(HandsOffChanged(on, said.by, said.via))


def _resolve(turn: Turn, said: CommandGiven) -> Turn:
    incident = incident_of(turn.state, said.target)
    if incident is None:
        return _refused(turn, said, f"no incident is called {said.target!r}")
    if incident.phase == "resolved":
        return _refused(turn, said, f"{incident.id} is resolved already")
    busy = [r.action.id for r in turn.state.actions_of(incident.id) if r.status in ("approved", "ordered")]
    if busy:
        return _refused(turn, said, f"{busy[0]} is being carried out: resolve it when that is over")
    for record in turn.state.actions_of(incident.id):
        if record.status == "asked" or (record.status == "done" and not record.action.undo_of):
            turn = turn.emit(ActionDropped(record.action.id, f"{said.by} resolved {incident.id}", said.by))
    if incident.mitigated_at is None:
        turn = turn.emit(IncidentMitigated(incident.id, said.by))
    why = f"{said.by} said so" + (f": {said.note}" if said.note else "")
    return turn.emit(IncidentResolved(incident.id, why, incident.impact, said.channel))


def _autonomy(turn: Turn, said: CommandGiven) -> Turn:
    if said.target not in turn.state.playbooks:
        return _refused(turn, said, f"no playbook is called {said.target!r}")
    if said.value not in AUTONOMY_LADDER:
        return _refused(turn, said, f"{said.value!r} is no level; there are {', '.join(AUTONOMY_LADDER)}")
    return turn.emit(AutonomyChanged(said.target, said.value, said.note or f"{said.by} said so", said.by))


def _note(turn: Turn, said: CommandGiven) -> Turn:
    """The command itself is the note in the journal; it only has to be about something."""
    if incident_of(turn.state, said.target) is None:
        return _refused(turn, said, f"no incident, action or page is called {said.target!r}")
    return turn


_VERBS: Final[dict[str, Callable[[Turn, CommandGiven], Turn]]] = {
    "ack": _ack,
    "approve": _approve,
    "refuse": _refuse,
    "undo": _undo,
    "confirm_cause": _confirm_cause,
    "hands_off": _hands,
    "hands_on": _hands,
    "resolve": _resolve,
    "autonomy": _autonomy,
    "note": _note,
    "adjust": adjust,
    "silence": silence,
    "unsilence": unsilence,
    "item": add_item,
    "item_done": close_item,
    "merge": merge,
    "split": split,
    "move": move,
    **dict.fromkeys(sorted(OF_ROOMS), obey_room),
    "severity": say_severity,
}
