"""Alerts of one name about one entity are one finding; findings join the incident that they belong to (``homes.py``), or
open one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from midwatch.core.detect.impact import impact_of
from midwatch.core.detect.incidents import rate, severity_of, title_of
from midwatch.core.oncall.homes import Home, Index, entity_of, finding_of, home_of, index_of, reach
from midwatch.core.turn import Turn
from midwatch.model.alerts import Alert, AlertRecord, Judged
from midwatch.model.entity import name_of
from midwatch.model.events import FindingOpened, IncidentGrew, IncidentOpened
from midwatch.model.findings import ALERT, Finding

MAX_FINDINGS: Final = 100
"""Findings of alerts in one incident; further alerts join it without one of their own."""


def group(turn: Turn, passing: Iterable[AlertRecord], shared: Mapping[str, str]) -> tuple[Turn, list[Judged]]:
    """Put the ``passing`` alerts where they belong. ``shared``: ``homes.remembered``."""
    index = index_of(turn, shared)
    judged: list[Judged] = []
    grown: dict[str, tuple[list[Finding], list[str]]] = {}
    for record in sorted(passing, key=lambda r: (r.alert.severity, r.alert.since_at, r.alert.key)):
        alert, ident = record.alert, finding_of(record.alert)
        home = home_of(turn, index, alert)
        if home is None:
            turn, home = _open(turn, finding_for(ident, alert))
            index.findings[home.incident] = 1
            index.near[home.incident] = turn.state.incidents[home.incident]
            index.young.append(home.incident)
            _taken(turn, index, ident, alert, home.incident)
        elif index.by_finding.get(ident) != home.incident:
            if index.findings.get(home.incident, 0) >= MAX_FINDINGS:
                ident = f"{ALERT}|{home.incident}|more"
            if index.by_finding.get(ident) != home.incident:
                opened, whys = grown.setdefault(home.incident, ([], []))
                opened.append(finding_for(ident, alert))
                if home.why not in whys:
                    whys.append(home.why)
                index.findings[home.incident] = index.findings.get(home.incident, 0) + 1
                _taken(turn, index, ident, alert, home.incident)
        index.by_entity.setdefault(entity_of(alert), home.incident)
        if alert.group:
            index.by_group.setdefault(alert.group, home.incident)
        judged.append(Judged(alert.key, "grouped", home.why, ident, home.incident))
    for incident, (opened, whys) in grown.items():
        turn = turn.emit(*(FindingOpened(f) for f in opened))
        known = turn.state.incidents[incident].symptoms
        symptoms = tuple(dict.fromkeys(f.entity for f in opened if f.entity not in known))
        turn = turn.emit(IncidentGrew(incident, tuple(f.id for f in opened), symptoms, "; ".join(whys[:3])))
    return turn, judged


def _taken(turn: Turn, index: Index, ident: str, alert: Alert, incident: str) -> None:
    index.by_finding[ident] = incident
    reach(turn, index, entity_of(alert), incident)


def rerate(turn: Turn, records: Iterable[AlertRecord], counts: Mapping[str, int]) -> Turn:
    """Say again the findings that one of ``records`` rates worse than they were opened with, or otherwise than before where
    that alert is all that the finding ``counts``; and rate their incidents."""
    worst: dict[str, AlertRecord] = {}
    touched: dict[str, None] = {}
    for record in records:
        touched.setdefault(record.incident)
        known = worst.get(record.finding)
        if known is None or record.alert.severity < known.alert.severity:
            worst[record.finding] = record
    for ident, record in worst.items():
        old = turn.state.findings.get(ident)
        if old is None or record.alert.severity == old.severity:
            continue
        if record.alert.severity < old.severity or (record.firing and counts.get(ident) == 1):
            turn = turn.emit(FindingOpened(finding_for(ident, record.alert, old)))
    for ident in touched:
        incident = turn.state.incidents.get(ident)
        if incident is not None and incident.phase != "resolved" and incident.told_by_alerts:
            turn = rate(turn, incident)
    return turn


def finding_for(ident: str, alert: Alert, old: Finding | None = None) -> Finding:
    what = alert.summary or alert.name or alert.key
    entity = old.entity if old else entity_of(alert)
    since = min(alert.since_at, old.since_at) if old else alert.since_at
    said = f"{alert.name}: {alert.summary}" if alert.name and alert.summary not in ("", alert.name) else what
    runbook = alert.runbook or (old.runbook if old else "")
    lines = alert.page_lines or (old.page_lines if old else ())
    return Finding(
        ident,
        ALERT,
        entity,
        since,
        1.0,
        0.0,
        "alerts",
        detail=said,
        severity=alert.severity,
        runbook=runbook,
        page_lines=lines,
    )


def _open(turn: Turn, finding: Finding) -> tuple[Turn, Home]:
    return open_incident(turn, finding), Home(
        f"INC-{turn.state.next_incident}", f"nothing open was about {name_of(finding.entity)}"
    )


def open_incident(turn: Turn, finding: Finding) -> Turn:
    """Open the next incident with ``finding`` as all that is known of it."""
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
    return turn.emit(opened)
