"""The learn stage: levels of autonomy, confirmed causes, what is one incident, and the post-mortem when one is over."""

from __future__ import annotations

from midwatch.core.learn.autonomy import earned
from midwatch.core.learn.grouping import regrouped
from midwatch.core.learn.items import follow_up
from midwatch.core.learn.postmortem import postmortem
from midwatch.core.turn import Turn
from midwatch.model.events import CauseConfirmed, ExpectationJudged, IncidentResolved, PostmortemWritten


def learn(turn: Turn) -> Turn:
    """Read what this turn decided, and draw the lessons."""
    for event in turn.events:
        if isinstance(event, ExpectationJudged):
            turn = _from_outcome(turn, event)
    turn = follow_up(regrouped(turn))
    for event in turn.events:
        if isinstance(event, IncidentResolved) and event.incident in turn.state.incidents:
            turn = turn.emit(PostmortemWritten(event.incident, postmortem(turn.state, event.incident)))
    return turn


def _from_outcome(turn: Turn, judged: ExpectationJudged) -> Turn:
    record = turn.state.actions.get(judged.action_id)
    if record is None or record.action.undo_of:
        return turn
    action = record.action
    playbook = next((p for p in turn.state.policy.playbooks if p.name == action.playbook), None)
    standing = turn.state.playbooks.get(action.playbook)
    change = earned(playbook, standing, judged.result) if playbook and standing else None
    if change is not None:
        turn = turn.emit(change)
    incident = turn.state.incidents.get(action.incident)
    # A restart helps against too much to say what it was; a fix that is particular to the cause confirms it.
    particular = action.action_class == "reversible" and action.hypothesis_kind and action.hypothesis_entity
    if judged.result == "met" and particular and incident is not None and not incident.confirmed_cause:
        turn = turn.emit(CauseConfirmed(incident.id, action.hypothesis_entity, action.hypothesis_kind, action.id))
    return turn
