"""The decide stage: for each incident that hurts, the best fix that was not tried, judged; ordered when it may run."""

from __future__ import annotations

from typing import Final

from midwatch.core.decide.expectation import holds
from midwatch.core.decide.guards import TRY_NEXT, judge
from midwatch.core.decide.guards.context import Context
from midwatch.core.decide.propose import OPEN, Candidate, propose
from midwatch.core.decide.sight import harm, under_way
from midwatch.core.slo.measure import measure
from midwatch.core.turn import Turn
from midwatch.model.actions import Action, Verdict
from midwatch.model.events import ActionApproved, ActionJudged, ActionOrdered, CommandGiven
from midwatch.model.findings import Incident
from midwatch.model.state import ActionRecord

REJUDGE_SECONDS: Final = 60.0
HELPING_SECONDS: Final = 90.0
MAX_REFUSED: Final = 12
"""Refused proposals per incident that are written down; further ones are not even proposed."""


def decide(turn: Turn) -> Turn:
    """Propose, judge and order for every open incident, the worst first. One action at a time per incident."""
    settled = turn.now - turn.state.policy.settle_seconds
    for incident in sorted(turn.state.open_incidents, key=lambda i: (i.severity, i.opened_at, i.id)):
        if incident.opened_at > settled:
            continue  # the first look at a fault is at half a step of it: wait for a whole one
        records = turn.state.actions_of(incident.id)
        if harm(turn.state, incident) and not any(under_way(r) or _helping(turn, r) for r in records):
            turn = _decide_one(turn, incident)
    return turn


def _helping(turn: Turn, record: ActionRecord) -> bool:
    """Whether a fix that met its expectation a moment ago still keeps it: what is left of the harm is given the time to
    fade before anything else is touched."""
    if record.status != "met" or record.action.undo_of or record.ended_at is None or record.action.expectation is None:
        return False
    return turn.now - record.ended_at < HELPING_SECONDS and not any(
        holds(c, measure(turn.world, c.subject, c.signal, c.window_seconds)) is False
        for c in record.action.expectation.checks
    )


def _decide_one(turn: Turn, incident: Incident) -> Turn:
    skipped: set[str] = set()
    while True:
        candidates = propose(turn.state, turn.world, incident, turn.now)
        candidate = next((c for c in candidates if c.action.key not in skipped), None)
        if candidate is None or _too_many(turn, incident, candidate):
            return turn
        skipped.add(candidate.action.key)
        before = candidate.before
        action = candidate.action if before is None or before.status != "asked" else before.action
        context = Context(
            turn.state,
            turn.memory,
            turn.world,
            turn.now,
            incident,
            candidate.hypothesis,
            candidate.playbook,
            before.approved_by if before else (),
            before.credentials if before else (),
        )
        verdict = judge(action, context)
        turn = put(turn, action, verdict, before)
        if verdict.decision != "refuse" or verdict.rule not in TRY_NEXT:
            return turn


def _too_many(turn: Turn, incident: Incident, candidate: Candidate) -> bool:
    """Bounded: an incident holds at most ``MAX_REFUSED`` refused proposals."""
    refused = sum(r.status == "refused" for r in turn.state.actions_of(incident.id))
    return candidate.before is None and refused >= MAX_REFUSED


def put(
    turn: Turn, action: Action, verdict: Verdict, before: ActionRecord | None, said: CommandGiven | None = None
) -> Turn:
    """Journal a verdict when it says something new, and order the action when it may run.

    Every ActionOrdered of the product is emitted here, right after the "run" that allows it. Whoever ``said`` so
    approves it with this very verdict (a person who commands an undo).
    """
    if verdict.decision != "run":
        return turn.emit(ActionJudged(action, verdict)) if _is_news(verdict, before, turn.now) else turn
    turn = turn.emit(ActionJudged(action, verdict))
    if said is not None:
        turn = turn.emit(ActionApproved(action.id, said.by, credential=said.credential))
    return turn.emit(ActionOrdered(action.id, turn.state.actions[action.id].approved_by))


def _is_news(verdict: Verdict, before: ActionRecord | None, now: float) -> bool:
    """Numbers in the why move all the time; a different decision or rule is news, and from one refusal to another only
    after a while, so that two rules cannot fill the journal by taking turns."""
    if before is None:
        return True
    old = before.verdict
    if (old.decision, old.rule) == (verdict.decision, verdict.rule):
        return False
    if (old.decision, verdict.decision) == ("refuse", "refuse"):
        return now - before.judged_at >= REJUDGE_SECONDS
    return True


def undo_action(turn: Turn, record: ActionRecord, why: str) -> Action | None:
    """The action that takes ``record`` back; None when it has no undo or never took effect."""
    done = record.action
    if not done.undo_verb or done.undo_of or record.outcome is None:
        return None
    before = undo_of(turn, done.id)
    again = before is not None and before.status not in OPEN  # a person asks once more: it needs a key of its own
    number = sum(r.action.undo_of == done.id for r in turn.state.actions.values()) + 1
    spec = turn.state.policy.verbs.get(done.undo_verb)
    return Action(
        id=before.action.id if before and not again else f"ACT-{turn.state.next_action}",
        key=f"{done.key}/undo/{number}" if again else before.action.key if before else f"{done.key}/undo",
        incident=done.incident,
        playbook=done.playbook,
        verb=done.undo_verb,
        target=done.target,
        parameters=record.outcome.undo_parameters,
        action_class=spec.action_class if spec else "reversible",
        permissions=spec.permissions if spec else done.permissions,
        blast_radius=spec.blast_radius if spec else done.blast_radius,
        undo_of=done.id,
        why=why,
        hypothesis_kind=done.hypothesis_kind,
        hypothesis_entity=done.hypothesis_entity,
        timeout_seconds=spec.timeout_seconds if spec else done.timeout_seconds,
    )


def undo_of(turn: Turn, action_id: str) -> ActionRecord | None:
    """What was journaled of an action's undo, the latest when there were several."""
    undos = [r for r in turn.state.actions.values() if r.action.undo_of == action_id]
    return max(undos, key=lambda r: r.judged_at, default=None)


def judged(turn: Turn, action: Action, approved_by: tuple[str, ...] = (), credentials: tuple[str, ...] = ()) -> Verdict:
    """The guards' verdict on ``action`` as things stand, with the diagnosis that it rests on."""
    incident = turn.state.incidents.get(action.incident)
    cause = (action.hypothesis_entity, action.hypothesis_kind)
    hypothesis = next((h for h in incident.hypotheses if (h.entity, h.kind) == cause), None) if incident else None
    playbook = next((p for p in turn.state.policy.playbooks if p.name == action.playbook), None)
    if action.undo_of:
        hypothesis = playbook = None
    return judge(
        action,
        Context(
            turn.state, turn.memory, turn.world, turn.now, incident, hypothesis, playbook, approved_by, credentials
        ),
    )
