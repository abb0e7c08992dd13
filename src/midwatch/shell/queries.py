"""Read models: what the CLI, the API and the console show, as plain values that become JSON as they are.

Pure functions of state (and of a Chronicle for timelines). Times are unix seconds here; faces render them.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from midwatch.core.decide.obey import has_it
from midwatch.core.decide.propose import OPEN
from midwatch.core.decide.room import checklist
from midwatch.core.detect.together import sentence
from midwatch.core.diagnose.runner_up import runner_up
from midwatch.core.learn import hindsight
from midwatch.core.learn.items import items_of, same_before
from midwatch.core.oncall.page import wakes_nobody
from midwatch.core.oncall.words import cause_words
from midwatch.model.errors import NotFound, UsageError
from midwatch.model.findings import Incident
from midwatch.model.items import ItemRecord
from midwatch.model.room import ROLES, Room
from midwatch.model.state import ActionRecord, State
from midwatch.shell.timeline import Chronicle


def status(state: State) -> dict[str, Any]:
    """The watch at a glance."""
    policy = state.policy
    return {
        "seq": state.seq,
        "at": state.at or None,
        "epoch": state.epoch,
        "mode": policy.mode,
        "hands_off": state.hands_off,
        "hands_off_by": state.hands_off_by,
        "open_incidents": [incident_row(state, i) for i in newest_first(state) if i.phase != "resolved"],
        "waiting_for_you": [action_row(r) for r in state.actions.values() if r.status == "asked"],
        "findings": [
            {"id": f.id, "kind": f.kind, "entity": f.entity, "since_at": f.since_at, "value": f.value, "unit": f.unit}
            for f in state.findings.values()
        ],
        "gaps": dict(state.gaps),
        "slos": [
            {"name": s.name, "entity": s.entity, "sli": s.sli, "target": s.target, "source": s.source}
            for s in state.slos
        ],
        "playbooks": {
            name: {"level": r.level, "met": r.met, "missed": r.missed} for name, r in sorted(state.playbooks.items())
        },
    }


def newest_first(state: State) -> list[Incident]:
    """Open ones first, each group newest first."""
    return sorted(state.incidents.values(), key=lambda i: (i.phase == "resolved", -i.opened_at, i.id))


def incident_row(state: State, incident: Incident) -> dict[str, Any]:
    first = incident.hypotheses[0] if incident.hypotheses else None
    return {
        "id": incident.id,
        "severity": incident.severity,
        "worst_severity": incident.worst,
        "phase": incident.phase,
        "title": incident.title,
        "opened_at": incident.opened_at,
        "onset_at": incident.onset_at,
        "resolved_at": incident.resolved_at,
        "acknowledged_by": incident.acknowledged_by,
        "commander": state.rooms.get(incident.id, Room()).roles.get(ROLES[0], ""),
        "wakes_nobody": wakes_nobody(state, incident, state.at),
        "symptoms": list(incident.symptoms),
        "cause": cause_words(first) if first else "",
        "probability": first.probability if first else None,
        "unknown": incident.unknown,
        "confirmed_cause": incident.confirmed_cause,
    }


def action_row(record: ActionRecord) -> dict[str, Any]:
    action = record.action
    return {
        "id": action.id,
        "incident": action.incident,
        "verb": action.verb,
        "target": action.target,
        "parameters": dict(action.parameters),
        "class": action.action_class,
        "playbook": action.playbook,
        "status": record.status,
        "decision": record.verdict.decision,
        "rule": record.verdict.rule,
        "why": record.verdict.why,
        "approved_by": list(record.approved_by),
        "judged_at": record.judged_at,
        "ordered_at": record.ordered_at,
        "ended_at": record.ended_at,
        "result": record.outcome.result if record.outcome else "",
        "expectation": record.result_why,
        "undo": action.undo_verb,
        "undo_of": action.undo_of,
    }


def find_incident(state: State, given: str) -> Incident:
    """By id, in any case, or by its number alone (``3`` for ``INC-3``). Raises NotFound with what there is."""
    wanted = given.strip().lower()
    for incident in state.incidents.values():
        if incident.id.lower() == wanted or incident.id.lower().rpartition("-")[2].lstrip("0") == wanted.lstrip("0"):
            return incident
    known = ", ".join(i.id for i in newest_first(state)[:5])
    raise NotFound(f"there is no incident {given!r}", hint=f"the latest are {known}" if known else "there are none yet")


def has_already(state: State, verb: str, target: str, by: str) -> str:
    """What whoever acknowledges an incident once more is told, in place of an entry in the journal; "" for all else. Raises
    UsageError when the incident is over."""
    incident = state.incidents.get(target) if verb == "ack" else None
    if incident is None:
        return ""
    if incident.phase == "resolved":
        raise UsageError(f"{incident.id} is over", hint="midwatch incidents shows what is open")
    return f"You have {target} already." if has_it(state, incident, by) else ""


def find_action(state: State, given: str) -> ActionRecord:
    """By id, in any case, or by its number alone. Raises NotFound."""
    wanted = given.strip().lower()
    for record in state.actions.values():
        ident = record.action.id.lower()
        if ident == wanted or ident.rpartition("-")[2].lstrip("0") == wanted.lstrip("0"):
            return record
    known = ", ".join(r.action.id for r in list(state.actions.values())[-5:])
    raise NotFound(f"there is no action {given!r}", hint=f"the latest are {known}" if known else "there are none yet")


def cannot(verb: str, record: ActionRecord) -> str:
    """Why ``approve``, ``refuse`` or ``undo`` of this action would come to nothing; "" when the next turn may obey."""
    ident, status = record.action.id, record.status.replace("_", " ")
    if verb == "approve" and record.status not in OPEN:
        return f"{ident} does not wait for a yes: it is {status}"
    if verb == "approve" and record.verdict is not None and record.verdict.rule == "unknown_verb":
        return f"{ident} cannot be carried out: {record.verdict.why}"
    if verb == "refuse" and record.status not in (*OPEN, "in_doubt", "unknown"):
        return f"{ident} does not wait for an answer: it is {status}"
    if verb == "undo" and record.outcome is None and record.ordered_at is None:
        return f"there is nothing to take back: {ident} was not carried out (it is {status})"
    return ""


def incident(state: State, ident: str, chronicle: Chronicle | None = None) -> dict[str, Any]:
    """Everything about one incident. Raises NotFound."""
    found = find_incident(state, ident)
    told = chronicle.updates.get(found.id) if chronicle else None
    return {
        **incident_row(state, found),
        "severity_reason": found.severity_reason,
        "severity_said_by": found.said_by,
        "impact": plain(found.impact),
        "mitigated_at": found.mitigated_at,
        "absorbed": list(found.absorbed),
        "merged_into": found.merged_into,
        "split_from": found.split_from,
        "update": told.text if told else "",
        "facts": dict(told.facts) if told else {},
        "findings": [plain(state.findings[f]) if f in state.findings else {"id": f} for f in found.findings],
        "hypotheses": [plain(h) for h in found.hypotheses],
        "runner_up": _runner_up(found),
        "track_record": _track_record(state, found),
        "taught": [sentence(p) for p in state.pairings if {p.first, p.second} & set(found.symptoms)],
        "actions": [action_row(r) for r in state.actions_of(found.id)],
        "pages": [
            {"page": p.ordered.page, "channel": p.ordered.channel, "status": p.status, "at": p.ordered_at, "why": p.why}
            for p in state.pages_of(found.id)
        ],
        **_room(state, found),
        "items": [item_row(r) for r in items_of(state, found.id)],
        "items_of_this_cause": [item_row(r) for r in same_before(state, found)],
        "timeline": [plain(entry) for entry in chronicle.of(found.id)] if chronicle else [],
        "has_postmortem": bool(chronicle and found.id in chronicle.postmortems),
    }


def _room(state: State, incident: Incident) -> dict[str, Any]:
    """Who does what, what was decided, and the checklist: ``done_by`` is "" for a step that is still to do."""
    room = state.rooms.get(incident.id, Room())
    steps = checklist(state, incident)
    return {
        "roles": {role: room.roles.get(role, "") for role in ROLES},
        "decisions": [plain(one) for one in room.decisions],
        "checklist": [{"step": step, "done_by": room.ticked.get(step, "")} for step in steps],
        "tasks": [plain(one) for one in room.tasks],
        "war_room": plain(state.war_rooms.get(incident.id)),
    }


def item_row(record: ItemRecord) -> dict[str, Any]:
    """An action item, as lists show it."""
    item = record.item
    return {
        "id": item.id,
        "incident": item.incident,
        "what": item.what,
        "owner": item.owner,
        "due_at": item.due_at,
        "status": record.status,
        "tracker": record.tracker,
        "ref": record.ref,
        "url": record.url,
        "seen_in": list(record.seen_in),
        "closed_by": record.closed_by,
        "why": record.why,
    }


def _runner_up(incident: Incident) -> dict[str, Any] | None:
    """What separates the first two hypotheses, most first: ``speaks_for`` one of them, moving the odds ``times``."""
    found = runner_up(incident.hypotheses)
    if found is None:
        return None
    return {
        "times_as_probable": found.times if math.isfinite(found.times) else None,
        "check": found.check,
        "differences": [
            {
                "kind": d.kind,
                "speaks_for": "first" if d.nats > 0 else "second",
                "times": d.times,
                "first": d.first.text if d.first else "",
                "second": d.second.text if d.second else "",
            }
            for d in found.differences
        ],
    }


def _track_record(state: State, incident: Incident) -> dict[str, Any] | None:
    """How often verdicts about as sure as this one were right, of those whose cause was confirmed."""
    if not incident.hypotheses:
        return None
    record = hindsight.similar(state.hindsight, incident.hypotheses[0].probability)
    interval = {"least": record.least, "most": record.most} if record.cases else {}
    return {"cases": record.cases, "right": record.right, "said": hindsight.sentence(record), **interval}


def postmortem(state: State, ident: str, chronicle: Chronicle) -> str:
    """Markdown. Raises NotFound when there is none (yet)."""
    found = find_incident(state, ident)
    text = chronicle.postmortems.get(found.id)
    if text is None:
        why = "it is written when the incident is resolved" if found.phase != "resolved" else "none was written"
        raise NotFound(f"{found.id} has no post-mortem", hint=why)
    return text


def plain(value: Any) -> Any:
    """Builtins only, with NaN and infinities as None: JSON knows neither."""
    return _finite(msgspec.to_builtins(value))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
