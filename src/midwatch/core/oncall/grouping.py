"""Which incident an alert belongs to, and why. Alerts of one name about one entity are one finding; findings join the
incident that they belong to, or open one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from midwatch.core.decide.sight import place
from midwatch.core.detect.impact import impact_of
from midwatch.core.detect.incidents import JOIN_SECONDS, rate, severity_of, title_of
from midwatch.core.turn import Turn
from midwatch.model.alerts import Alert, AlertRecord, Judged
from midwatch.model.entity import name_of
from midwatch.model.events import FindingOpened, IncidentGrew, IncidentOpened
from midwatch.model.findings import ALERT, Finding, Incident

STORM_INCIDENTS: Final = 5
STORM_SECONDS: Final = 300.0
MAX_FINDINGS: Final = 100
"""Findings of alerts in one incident; further alerts join it without one of their own."""


class Home(NamedTuple):
    incident: str
    why: str


@dataclass
class Index:
    """The open incidents by what alerts may have in common with them. Filled once per turn, extended as alerts join."""

    by_finding: dict[str, str] = field(default_factory=dict)
    by_entity: dict[str, str] = field(default_factory=dict)
    by_group: dict[str, str] = field(default_factory=dict)
    by_component: dict[str, str] = field(default_factory=dict)
    findings: dict[str, int] = field(default_factory=dict)  # incident -> findings of alerts in it


def entity_of(alert: Alert) -> str:
    return alert.entity or f"external:{alert.name or alert.key}"


def finding_of(alert: Alert) -> str:
    return f"{ALERT}|{entity_of(alert)}|{alert.name}"


def index_of(turn: Turn) -> Index:
    index = Index()
    near: set[str] = set()
    for incident in turn.state.open_incidents:
        index.findings[incident.id] = sum(f.startswith(f"{ALERT}|") for f in incident.findings)
        index.by_finding.update((f, incident.id) for f in incident.findings if f in turn.state.findings)
        if turn.now - incident.opened_at <= JOIN_SECONDS:
            near.add(incident.id)
            for entity in incident.symptoms:
                _reach(turn, index, entity, incident.id)
    for record in turn.state.alerts.values():
        if record.incident in near and record.place == "grouped":
            index.by_entity.setdefault(entity_of(record.alert), record.incident)
            if record.alert.group:
                index.by_group.setdefault(record.alert.group, record.incident)
    return index


def _reach(turn: Turn, index: Index, entity: str, incident: str) -> None:
    index.by_entity.setdefault(entity, incident)
    if (component := turn.world.components.get(entity)) is not None:
        index.by_component.setdefault(component, incident)


def home_of(turn: Turn, index: Index, alert: Alert) -> Home | None:
    """The open incident that the alert joins; None: it opens one."""
    entity = entity_of(alert)
    if ident := index.by_finding.get(finding_of(alert)):
        return Home(ident, f"the same alert of {place(entity)} is in it")
    if ident := index.by_entity.get(entity):
        return Home(ident, f"it is about {place(entity)} as well")
    if alert.group and (ident := index.by_group.get(alert.group)):
        return Home(ident, f"{alert.source} groups it with alerts of that")
    component = turn.world.components.get(entity)
    if component is not None and (ident := index.by_component.get(component)):
        return Home(ident, f"calls connect {place(entity)} with what it is about")
    return _storm(turn)


def _storm(turn: Turn) -> Home | None:
    young = [
        i
        for i in turn.state.incidents.values()
        if i.told_by_alerts and turn.now - i.opened_at <= STORM_SECONDS
    ]  # fmt: skip
    unanswered = [i for i in young if i.phase != "resolved" and not i.acknowledged_by]
    if len(young) < STORM_INCIDENTS or not unanswered:
        return None
    why = f"{len(young)} incidents were opened by alerts within {STORM_SECONDS / 60:.0f} min: a storm is one incident"
    return Home(unanswered[0].id, why)


def group(
    turn: Turn, passing: Iterable[AlertRecord], findings: dict[str, list[AlertRecord]]
) -> tuple[Turn, list[Judged]]:
    """Put the ``passing`` alerts where they belong. ``findings`` (id -> firing alerts that count for it) is extended."""
    index = index_of(turn)
    judged: list[Judged] = []
    grown: dict[str, tuple[list[Finding], list[str]]] = {}
    touched: set[str] = set()
    for record in sorted(passing, key=lambda r: (r.alert.severity, r.alert.since_at, r.alert.key)):
        home = home_of(turn, index, record.alert)
        fresh: Finding | None = None
        ident = finding_of(record.alert)
        if home is None:
            fresh = _finding(ident, record.alert)
            turn, home = _open(turn, fresh)
            index.findings[home.incident] = 1
        elif index.by_finding.get(ident) != home.incident:
            if index.findings.get(home.incident, 0) >= MAX_FINDINGS:
                ident = f"{ALERT}|{home.incident}|more"
            if index.by_finding.get(ident) != home.incident:
                fresh = _finding(ident, record.alert)
                opened, whys = grown.setdefault(home.incident, ([], []))
                opened.append(fresh)
                if home.why not in whys:
                    whys.append(home.why)
                index.findings[home.incident] = index.findings.get(home.incident, 0) + 1
        if fresh is not None:
            index.by_finding[ident] = home.incident
            _reach(turn, index, fresh.entity, home.incident)
        index.by_entity.setdefault(entity_of(record.alert), home.incident)
        if record.alert.group:
            index.by_group.setdefault(record.alert.group, home.incident)
        findings.setdefault(ident, []).append(record)
        touched.add(home.incident)
        judged.append(Judged(record.alert.key, "grouped", home.why, ident, home.incident))
    for incident, (opened, whys) in grown.items():
        turn = turn.emit(*(FindingOpened(f) for f in opened))
        known = turn.state.incidents[incident].symptoms
        symptoms = tuple(dict.fromkeys(f.entity for f in opened if f.entity not in known))
        turn = turn.emit(IncidentGrew(incident, tuple(f.id for f in opened), symptoms, "; ".join(whys[:3])))
    return turn, judged


def worse(turn: Turn, findings: dict[str, list[AlertRecord]]) -> Turn:
    """Say again the findings whose alerts are rated worse than when they were opened, and rate their incidents."""
    for ident, records in findings.items():
        old = turn.state.findings.get(ident)
        worst = min(records, key=lambda r: r.alert.severity)
        if old is not None and worst.alert.severity < old.severity:
            turn = turn.emit(FindingOpened(_finding(ident, worst.alert, old)))
    for incident in turn.state.open_incidents:
        if incident.told_by_alerts:
            turn = rate(turn, incident)
    return turn


def _finding(ident: str, alert: Alert, old: Finding | None = None) -> Finding:
    what = alert.summary or alert.name or alert.key
    entity = old.entity if old else entity_of(alert)
    since = min(alert.since_at, old.since_at) if old else alert.since_at
    said = f"{alert.name}: {alert.summary}" if alert.name and alert.summary else what
    return Finding(ident, ALERT, entity, since, 1.0, 0.0, "alerts", detail=said, severity=alert.severity)


def _open(turn: Turn, finding: Finding) -> tuple[Turn, Home]:
    ident = f"INC-{turn.state.next_incident}"
    turn = turn.emit(FindingOpened(finding))
    impact = impact_of(turn, finding.since_at, (finding,))
    severity, reason = severity_of(turn, impact, (finding,))
    opened = IncidentOpened(
        incident=ident,
        title=title_of(finding, impact),
        onset_at=finding.since_at,
        severity=severity,
        severity_reason=reason,
        findings=(finding.id,),
        symptoms=(finding.entity,),
        impact=impact,
    )
    return turn.emit(opened), Home(ident, f"nothing open was about {name_of(finding.entity)}")


def is_open(incident: Incident | None) -> bool:
    return incident is not None and incident.phase != "resolved"
