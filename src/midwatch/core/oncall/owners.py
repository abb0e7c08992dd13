"""Whose incident it is: the team that owns the likely cause, else what users feel, else a promise, else the catch-all."""

from __future__ import annotations

from collections.abc import Iterator

from midwatch.core.decide.sight import place
from midwatch.core.oncall.escalation import contacts_of, people_of
from midwatch.core.oncall.words import PROBABLE
from midwatch.model.findings import Incident
from midwatch.model.people import EscalationPolicy, People, Team
from midwatch.model.state import State


def team_of(state: State, incident: Incident) -> tuple[Team | None, str]:
    """The team, and why it is theirs; None when nobody owns it and there is no catch-all."""
    people = state.policy.people
    for entity, why in _candidates(incident):
        team = people.owner(entity)
        if team is not None:
            return team, f"{team.name} owns {place(entity)}, {why}"
    for finding in (state.findings[f] for f in incident.findings if f in state.findings):
        slo = next((s for s in state.slos if s.name == finding.slo), None) if finding.slo else None
        team = people.team(slo.owner) if slo else None
        if slo is not None and team is not None:
            return team, f"{team.name} owns the promise {slo.name}"
    team = people.team(people.catch_all)
    return team, f"nobody owns what is broken, and {team.name} takes the rest" if team else "nobody owns what is broken"


def _candidates(incident: Incident) -> Iterator[tuple[str, str]]:
    if incident.confirmed_cause:
        yield incident.confirmed_cause.partition(" ")[0], "the confirmed cause"
    if incident.hypotheses and incident.hypotheses[0].probability >= PROBABLE:
        yield incident.hypotheses[0].entity, "the likely cause"
    if incident.impact is not None:
        yield incident.impact.entry, "where users feel it"
    for symptom in incident.symptoms:
        yield symptom, "where it shows"


def escalation_of(state: State, incident: Incident) -> EscalationPolicy | None:
    """The policy that a running escalation began with, while it is there; else that of the owner, or of the catch-all team
    where the owner has none."""
    people = state.policy.people
    run = state.escalations.get(incident.id)
    known = people.escalation(run.policy) if run else None
    if known is not None and known.levels:
        return known
    team, _ = team_of(state, incident)
    return policy_of(people, team)


def policy_of(people: People, team: Team | None) -> EscalationPolicy | None:
    for one in (team, people.team(people.catch_all)):
        policy = people.escalation(one.escalation) if one else None
        if policy is not None and policy.levels:
            return policy
    return None


def by_people(state: State, incident: Incident, now: float) -> bool:
    """Whether there is anybody at all whom the incident's escalation can wake at this moment, on whatever level."""
    policy = escalation_of(state, incident) if state.policy.people.escalations else None
    if policy is None:
        return False
    return any(contacts_of(state, p) for level in policy.levels for p, _ in people_of(state, level, now))
