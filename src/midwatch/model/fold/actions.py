"""Actions and what playbooks may do by themselves: that part of the fold. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from midwatch.model import events as e
from midwatch.model.fold.registry import action_with, freeze_first_rank, incident_with, on
from midwatch.model.state import ActionRecord, PlaybookRecord, State

_JUDGED_STATUS = {"run": "approved", "rehearse": "rehearsed", "ask": "asked", "refuse": "refused"}


@on(e.ActionJudged)
def _action_judged(state: State, event: e.ActionJudged, at: float) -> State:
    new = event.action.id not in state.actions
    before = state.actions.get(event.action.id)
    record = ActionRecord(
        event.action,
        event.verdict,
        _JUDGED_STATUS[event.verdict.decision],
        at,
        approved_by=before.approved_by if before else (),
        credentials=before.credentials if before else (),
    )
    if event.verdict.decision != "refuse":
        state = freeze_first_rank(state, event.action.incident)
    return replace(
        state,
        actions={**state.actions, event.action.id: record},
        next_action=state.next_action + 1 if new else state.next_action,
    )


@on(e.ActionOrdered)
def _action_ordered(state: State, event: e.ActionOrdered, at: float) -> State:
    record = state.actions.get(event.action_id)
    if record is None:
        return state
    state = action_with(state, event.action_id, status="ordered", ordered_at=at, approved_by=event.approved_by)
    incident = state.incidents.get(record.action.incident)
    if incident is not None and incident.phase in ("open", "mitigating", "verifying"):
        state = incident_with(state, incident.id, phase="mitigating")
    return state


@on(e.ActionEnded)
def _action_ended(state: State, event: e.ActionEnded, at: float) -> State:
    record = state.actions.get(event.action_id)
    if record is None:
        return state
    state = action_with(state, event.action_id, status=event.outcome.status, ended_at=at, outcome=event.outcome)
    incident = state.incidents.get(record.action.incident)
    if incident is not None and incident.phase == "mitigating" and event.outcome.status == "done":
        # An undo puts things back as they were: nothing is verified, the incident is open again.
        state = incident_with(state, incident.id, phase="open" if record.action.undo_of else "verifying")
    return state


@on(e.ActionApproved)
def _action_approved(state: State, event: e.ActionApproved, at: float) -> State:
    record = state.actions.get(event.action_id)
    if record is None or event.by in record.approved_by:
        return state
    credentials = tuple(dict.fromkeys((*record.credentials, event.credential)))
    return action_with(state, event.action_id, approved_by=(*record.approved_by, event.by), credentials=credentials)


@on(e.ActionDropped)
def _action_dropped(state: State, event: e.ActionDropped, at: float) -> State:
    return action_with(state, event.action_id, status="dropped", result_why=event.why)


@on(e.ExpectationJudged)
def _expectation_judged(state: State, event: e.ExpectationJudged, at: float) -> State:
    record = state.actions.get(event.action_id)
    if record is None:
        return state
    state = action_with(state, event.action_id, status=event.result, result_why=event.why)
    book = state.playbooks.get(record.action.playbook)
    if book is not None and not record.action.undo_of and event.result in ("met", "missed"):
        streak = book.streak + 1 if event.result == "met" else 0
        book = replace(book, streak=streak, **{event.result: getattr(book, event.result) + 1})
        state = replace(state, playbooks={**state.playbooks, record.action.playbook: book})
    incident = state.incidents.get(record.action.incident)
    if incident is not None and incident.phase == "verifying" and event.result != "met":
        state = incident_with(state, incident.id, phase="open")
    return state


@on(e.AutonomyChanged)
def _autonomy_changed(state: State, event: e.AutonomyChanged, at: float) -> State:
    old = state.playbooks.get(event.playbook, PlaybookRecord(level=event.level))
    return replace(
        state, playbooks={**state.playbooks, event.playbook: replace(old, level=event.level, why=event.why, streak=0)}
    )


@on(e.HandsOffChanged)
def _hands_off_changed(state: State, event: e.HandsOffChanged, at: float) -> State:
    return replace(state, hands_off=event.on, hands_off_by=event.by if event.on else "")
