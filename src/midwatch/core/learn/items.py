"""Action items: what an incident leaves to be done. Opened when it is over, linked to later incidents of the same cause
instead of written twice, and chased when they are late.

An incident that nobody was paged for and nothing was done about leaves none, a SEV4 that woke nobody only what was begun and
not ended, and an unknown cause one item and not two: a tracker full of issues that nobody asked for is read by nobody.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from midwatch.core.decide.sight import place
from midwatch.core.oncall.owners import team_of
from midwatch.core.oncall.words import PROBABLE, at_target, did
from midwatch.core.turn import Turn
from midwatch.model.events import IncidentResolved, ItemLate, ItemOpened, ItemSeenAgain
from midwatch.model.faults import DESCRIPTIONS
from midwatch.model.findings import Incident
from midwatch.model.items import ActionItem, ItemRecord
from midwatch.model.room import Room
from midwatch.model.state import ActionRecord, State

DUE_DAYS: Final = {1: 7, 2: 14, 3: 30, 4: 60}
MILDEST: Final = 4
DAY_SECONDS: Final = 86400.0
REMIND_SECONDS: Final = 7 * DAY_SECONDS
NOTICED_LATE_SECONDS: Final = 60.0


class Todo(Struct, frozen=True):
    """``kind`` says what is the same thing again, after another incident."""

    kind: str
    what: str
    owner: str


def cause_of(incident: Incident) -> str:
    """``service:payment pool_exhausted``: confirmed, else probable; "" when neither."""
    if incident.confirmed_cause:
        return incident.confirmed_cause
    top = incident.hypotheses[0] if incident.hypotheses else None
    return f"{top.entity} {top.kind}" if top and top.probability >= PROBABLE else ""


def about(incident: Incident) -> str:
    """The cause, or where it was felt when there is none; of what only alerts tell also which alert: a full disk and slow
    answers of one service are two things to find out."""
    felt = incident.impact.entry if incident.impact else ""
    alert = " ".join(min(incident.findings).split("|")[1:3]) if incident.told_by_alerts else ""
    return cause_of(incident) or felt or alert or (incident.symptoms[0] if incident.symptoms else incident.title)


def cause_phrase(cause: str) -> str:
    entity, _, kind = cause.partition(" ")
    return f"{DESCRIPTIONS.get(kind, kind)} in {place(entity)}" if kind else place(entity)


def todo(state: State, incident: Incident) -> list[Todo]:
    """What is left to do, with an owner: whoever keeps the affected promise, else the team whose it is, else who is on
    call."""
    owner = owner_of(state, incident)
    found: list[Todo] = []
    records = [r for r in state.actions_of(incident.id) if not r.action.undo_of]
    undone = {r.action.undo_of for r in state.actions_of(incident.id) if r.action.undo_of and r.status == "done"}
    for record in records:
        if record.status in ("met", "done", "unknown", "in_doubt"):
            found += _after(incident, record, undone, owner)
    slept = incident.worst >= MILDEST and not state.pages_of(incident.id)
    if not incident.confirmed_cause and not slept:
        found.append(Todo("cause", f"find the cause, then `midwatch confirm-cause {incident.id}`", owner))
    for record in records:
        if record.status == "missed":
            book = record.action.playbook
            found.append(Todo(f"book {book}", f"why did the playbook {book} not help? Correct or retire it", owner))
    if cause_of(incident) and not slept and not any(r.status == "met" for r in records):
        found.append(Todo("no book", "write a playbook for this cause, or say why it needs a person", owner))
    room = state.rooms.get(incident.id, Room())
    found += [  # a task that was given and not done does not end with the incident
        Todo(f"task {incident.id} {t.number}", t.what, t.person or owner) for t in room.tasks if t.done_at is None
    ]
    if incident.opened_at - incident.onset_at > NOTICED_LATE_SECONDS and not slept:
        found.append(Todo("notice", "notice it sooner: which SLO or signal would have shown it?", owner))
    return list({one.kind: one for one in reversed(found)}.values())[::-1]


def owner_of(state: State, incident: Incident) -> str:
    slo = next((s for s in state.slos if incident.impact and s.name == incident.impact.slo), None)
    team, _ = team_of(state, incident)
    return (slo.owner if slo else "") or (team.name if team else "") or state.policy.paging.owner


def _after(incident: Incident, record: ActionRecord, undone: set[str], owner: str) -> list[Todo]:
    action = record.action
    what = f"{did(action.verb)}{at_target(action.verb, action.target)}"
    if action.verb.startswith("drain_") and action.id not in undone:
        text = (
            f"{place(action.target)} is still drained: find out what is wrong with it, then `midwatch undo {action.id}`"
        )
        return [Todo(f"drained {action.target}", text, incident.acknowledged_by or owner)]
    if action.verb in ("shed_load", "bypass_cache") and action.id not in undone:
        text = f"midwatch {what} and left it so: `midwatch undo {action.id}` when it can be"
        return [Todo(f"left {action.verb} {action.target}", text, owner)]
    if record.status == "met":
        cause = cause_of(incident)
        of = f" of {cause_phrase(cause)}" if cause else ""
        return [Todo("last", f"make it last: {what} is a mitigation{of}", owner)]
    return []


def items_of(state: State, incident: str) -> list[ItemRecord]:
    """Those that were written down for the incident."""
    return [r for r in state.items.values() if r.item.incident == incident]


def same_before(state: State, incident: Incident) -> list[ItemRecord]:
    """Open items of earlier incidents with the same cause; where it is unknown, those that ask for the cause of what was
    felt at the same place."""
    known, where = cause_of(incident), about(incident)
    return [
        r
        for r in state.items.values()
        if r.status == "open"
        and r.item.about == where
        and r.item.incident != incident.id
        and (known or r.item.kind == "cause")
    ]


def follow_up(turn: Turn) -> Turn:
    """Open, link and chase items; what is late is said once a week."""
    for event in turn.events:
        incident = turn.state.incidents.get(event.incident) if isinstance(event, IncidentResolved) else None
        if incident is not None:
            turn = _opened(turn, incident)
    for ident, record in turn.state.items.items():
        late = record.status == "open" and turn.now > record.item.due_at
        if late and turn.now - record.late_at >= REMIND_SECONDS:
            turn = turn.emit(ItemLate(ident))
    return turn


def _opened(turn: Turn, incident: Incident) -> Turn:
    state = turn.state
    acted = any(r.ordered_at is not None for r in state.actions_of(incident.id))
    mattered = acted or state.pages_of(incident.id) or state.rooms.get(incident.id, Room()).tasks
    for record in same_before(state, incident) if mattered or cause_of(incident) else ():
        turn = turn.emit(ItemSeenAgain(record.item.id, incident.id))
    if not mattered:
        return turn
    known = {(r.item.kind, r.item.about) for r in state.items.values() if r.status == "open"}
    for one in todo(state, incident):
        if (one.kind, about(incident)) in known:
            continue
        due_at = turn.now + DUE_DAYS.get(incident.worst, 30) * DAY_SECONDS
        ident = f"AI-{turn.state.next_item}"
        turn = turn.emit(
            ItemOpened(ActionItem(ident, incident.id, one.what, one.owner, due_at, one.kind, about(incident)))
        )
    return turn
