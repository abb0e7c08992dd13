"""Incidents from the first finding to the end: that part of the fold. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from midwatch.model import (
    alert_steps,
    deed_steps,
    people_steps,
    rating_steps,
    regroup_steps,
    room_steps,
)
from midwatch.model import events as e
from midwatch.model.findings import HARMFUL, Hindsight, Incident
from midwatch.model.fold.registry import incident_with, on
from midwatch.model.state import ActionRecord, State

MAX_CLOSED_INCIDENTS = 200
MAX_HINDSIGHT = 1000


@on(e.IncidentOpened)
def _incident_opened(state: State, event: e.IncidentOpened, at: float) -> State:
    incident = Incident(
        id=event.incident,
        opened_at=at,
        onset_at=event.onset_at,
        severity=event.severity,
        title=event.title,
        findings=event.findings,
        symptoms=event.symptoms,
        impact=event.impact,
        severity_reason=event.severity_reason,
        split_from=event.split_from,
        regrouped_at=at if event.split_from else None,
    )
    kept = _without_oldest_resolved(state)
    return replace(
        kept,
        incidents={**kept.incidents, incident.id: incident},
        next_incident=state.next_incident + 1,
        escalations=people_steps.carried(kept.escalations, event.split_from, incident.id),
    )


def _without_oldest_resolved(state: State) -> State:
    """Bound what state remembers: the journal still has it all."""
    resolved = [i for i in state.incidents.values() if i.phase == "resolved"]
    if len(resolved) < MAX_CLOSED_INCIDENTS:
        return state
    gone = {i.id for i in sorted(resolved, key=lambda i: i.opened_at)[: len(resolved) - MAX_CLOSED_INCIDENTS + 1]}
    return replace(
        state,
        incidents={k: v for k, v in state.incidents.items() if k not in gone},
        actions={k: v for k, v in state.actions.items() if v.action.incident not in gone},
        pages={k: v for k, v in state.pages.items() if v.ordered.incident not in gone},
        escalations={k: v for k, v in state.escalations.items() if k not in gone},
        rooms={k: v for k, v in state.rooms.items() if k not in gone},
        war_rooms={k: v for k, v in state.war_rooms.items() if k not in gone},
        mailings={k: v for k, v in state.mailings.items() if k not in gone},
        deeds={k: v for k, v in state.deeds.items() if k not in gone},
    )


@on(e.IncidentGrew)
def _incident_grew(state: State, event: e.IncidentGrew, at: float) -> State:
    old = state.incidents.get(event.incident)
    if old is None:
        return state
    findings = (*old.findings, *(f for f in event.findings if f not in old.findings))
    symptoms = (*old.symptoms, *(s for s in event.symptoms if s not in old.symptoms))
    return incident_with(state, event.incident, findings=findings, symptoms=symptoms)


@on(e.IncidentRated)
def _incident_rated(state: State, event: e.IncidentRated, at: float) -> State:
    old = state.incidents.get(event.incident)
    if old is None:
        return state
    return replace(state, incidents={**state.incidents, old.id: rating_steps.rated(old, event, at)})


@on(e.CauseRanked)
def _cause_ranked(state: State, event: e.CauseRanked, at: float) -> State:
    return incident_with(state, event.incident, hypotheses=event.hypotheses, unknown=event.unknown, diagnosed_at=at)


@on(e.CauseConfirmed)
def _cause_confirmed(state: State, event: e.CauseConfirmed, at: float) -> State:
    incident = state.incidents.get(event.incident)
    if incident is None:
        return state
    seen = {**state.causes_seen, event.kind: state.causes_seen.get(event.kind, 0) + 1}
    hindsight = state.hindsight
    if (said := next(iter(incident.first_ranked or incident.hypotheses), None)) is not None:
        right = (said.entity, said.kind) == (event.entity, event.kind)
        others = tuple(one for one in hindsight if one.incident != incident.id)
        hindsight = (*others, Hindsight(incident.id, said.probability, right, event.by, at))[-MAX_HINDSIGHT:]
    confirmed = incident_with(state, event.incident, confirmed_cause=f"{event.entity} {event.kind}")
    return replace(confirmed, causes_seen=seen, hindsight=hindsight)


@on(e.IncidentCalmed)
def _incident_calmed(state: State, event: e.IncidentCalmed, at: float) -> State:
    return incident_with(state, event.incident, calm_since_at=at if event.calm else None)


@on(e.IncidentMitigated)
def _incident_mitigated(state: State, event: e.IncidentMitigated, at: float) -> State:
    return incident_with(state, event.incident, phase="mitigated", mitigated_at=at)


@on(e.IncidentResolved)
def _incident_resolved(state: State, event: e.IncidentResolved, at: float) -> State:
    old = state.incidents.get(event.incident)
    if old is None:
        return state
    changes = {"resolved_at": at, "impact": event.impact or old.impact, "heard_on": event.channel}
    after = incident_with(state, event.incident, phase="resolved", **changes)
    # Findings that belong to a closed incident are closed with it: a harmful one that is still there opens a new one.
    gone = {f for f in old.findings if f in after.findings and after.findings[f].kind in HARMFUL}
    return replace(
        after,
        findings={k: v for k, v in after.findings.items() if k not in gone},
        alerts=alert_steps.closed_with(after.alerts, old.id, at),
    )


@on(e.IncidentMerged)
def _incident_merged(state: State, event: e.IncidentMerged, at: float) -> State:
    kept, absorbed = state.incidents.get(event.incident), state.incidents.get(event.absorbed)
    if kept is None or absorbed is None or kept is absorbed:
        return state
    both = {kept.id: regroup_steps.keeper(kept, absorbed, at), absorbed.id: regroup_steps.gone(absorbed, kept.id, at)}
    actions = {ident: _carried(record, absorbed.id, kept.id) for ident, record in state.actions.items()}
    alerts = alert_steps.moved(state.alerts, absorbed.id, kept.id, frozenset(absorbed.findings))
    runs = people_steps.carried(state.escalations, absorbed.id, kept.id)
    rooms = room_steps.merged(state.rooms, absorbed.id, kept.id)
    incidents = {**state.incidents, **both}
    told = deed_steps.merged(state.deeds, absorbed.id, kept.id)
    return replace(
        state, incidents=incidents, actions=actions, alerts=alerts, escalations=runs, rooms=rooms, deeds=told
    )


def _carried(record: ActionRecord, source: str, into: str) -> ActionRecord:
    """An action goes along with its incident; what was only proposed stays behind, and is proposed anew."""
    if record.action.incident != source or record.status in ("asked", "rehearsed", "refused", "dropped"):
        return record
    return replace(record, action=replace(record.action, incident=into))


@on(e.IncidentSplit)
def _incident_split(state: State, event: e.IncidentSplit, at: float) -> State:
    old = state.incidents.get(event.incident)
    if old is None:
        return state
    alerts = alert_steps.moved(state.alerts, event.incident, event.into, frozenset(event.findings))
    incidents = {**state.incidents, old.id: regroup_steps.rest(old, event.findings, event.symptoms, at)}
    if (other := incidents.get(event.into)) is not None:
        incidents[other.id] = replace(other, regrouped_at=at)
    return replace(state, incidents=incidents, alerts=alerts)


@on(e.GroupingLearned)
def _grouping_learned(state: State, event: e.GroupingLearned, at: float) -> State:
    learned = regroup_steps.learned(state.pairings, event.pairs, event.together, event.incident, event.by, at)
    return replace(state, pairings=learned)


@on(e.IncidentAcknowledged)
def _incident_acknowledged(state: State, event: e.IncidentAcknowledged, at: float) -> State:
    changes = {"acknowledged_by": event.by, "acknowledged_at": at, "heard_on": event.channel}
    return incident_with(state, event.incident, **changes)


@on(e.PostmortemWritten)
def _postmortem_written(state: State, event: e.PostmortemWritten, at: float) -> State:
    return replace(state, deeds={k: v for k, v in state.deeds.items() if k != event.incident})
