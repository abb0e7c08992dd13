"""Where an alert belongs among the open incidents, and why. The first answer that holds is taken, and the alert says it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from midwatch.core.decide.sight import place
from midwatch.core.detect.incidents import JOIN_SECONDS
from midwatch.core.detect.together import word_about
from midwatch.core.turn import Turn
from midwatch.model.alerts import Alert, AlertRecord
from midwatch.model.findings import ALERT, Incident

STORM_INCIDENTS: Final = 5
STORM_SECONDS: Final = 300.0


class Home(NamedTuple):
    incident: str
    why: str


@dataclass
class Index:
    """The open incidents by what alerts may have in common with them. Filled once per turn, extended as alerts join.

    ``shared`` is what ``remembered`` gives; only those of its incidents count that are ``near``: open, and not too old.
    """

    shared: Mapping[str, str]
    near: dict[str, Incident] = field(default_factory=dict)
    by_finding: dict[str, str] = field(default_factory=dict)
    by_entity: dict[str, str] = field(default_factory=dict)
    by_group: dict[str, str] = field(default_factory=dict)
    by_component: dict[str, str] = field(default_factory=dict)
    findings: dict[str, int] = field(default_factory=dict)  # incident -> findings of alerts in it
    young: list[str] = field(default_factory=list)  # opened by alerts within a storm's time

    def lately(self, kind: str, value: str) -> str:
        ident = self.shared.get(f"{kind}|{value}", "")
        return ident if ident in self.near else ""


def entity_of(alert: Alert) -> str:
    return alert.entity or f"external:{alert.name or alert.key}"


def finding_of(alert: Alert) -> str:
    return f"{ALERT}|{entity_of(alert)}|{alert.name}"


def remembered(known: Mapping[str, str], records: Iterable[AlertRecord]) -> dict[str, str]:
    """``known`` with what ``records`` have in common with the incident that they are in, or were until they were over:
    ``e|entity`` and ``g|group`` -> incident, the oldest of several. A function of the set of records, whatever their
    order."""
    found = dict(known)
    for record in records:
        if record.incident:
            keys = [f"e|{entity_of(record.alert)}"] + ([f"g|{record.alert.group}"] if record.alert.group else [])
            for key in keys:
                old = found.get(key)
                if old is None or _number(record.incident) < _number(old):
                    found[key] = record.incident
    return found


def _number(ident: str) -> int:
    digits = ident.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


def index_of(turn: Turn, shared: Mapping[str, str]) -> Index:
    index = Index(shared)
    for incident in turn.state.open_incidents:
        index.findings[incident.id] = sum(f.startswith(f"{ALERT}|") for f in incident.findings)
        index.by_finding.update((f, incident.id) for f in incident.findings if f in turn.state.findings)
        if turn.now - incident.fresh_at <= JOIN_SECONDS:
            index.near[incident.id] = incident
            for entity in incident.symptoms:
                reach(turn, index, entity, incident.id)
    recent = (i for i in turn.state.incidents.values() if turn.now - i.opened_at <= STORM_SECONDS)
    index.young = [i.id for i in recent if i.told_by_alerts]
    return index


def reach(turn: Turn, index: Index, entity: str, incident: str) -> None:
    index.by_entity.setdefault(entity, incident)
    if (component := turn.world.components.get(entity)) is not None:
        index.by_component.setdefault(component, incident)


def home_of(turn: Turn, index: Index, alert: Alert) -> Home | None:
    """The open incident that the alert joins; None: it opens one."""
    entity = entity_of(alert)
    if ident := index.by_finding.get(finding_of(alert)):
        return Home(ident, f"the same alert of {place(entity)} is in it")
    if ident := index.by_entity.get(entity) or index.lately("e", entity):
        return Home(ident, f"it is about {place(entity)} as well")
    if alert.group and (ident := index.by_group.get(alert.group) or index.lately("g", alert.group)):
        return Home(ident, f"{alert.source} groups it with alerts of that")
    if turn.state.pairings:
        for incident in index.near.values():
            word = word_about(turn.state.pairings, entity, incident.symptoms, turn.now)
            if word is not None and word.together:
                return Home(incident.id, word.why)
    component = turn.world.components.get(entity)
    if component is not None and (ident := index.by_component.get(component)):
        known = turn.state.incidents[ident]
        if word_about(turn.state.pairings, entity, known.symptoms, turn.now) is None:
            return Home(ident, f"calls connect {place(entity)} with what it is about")
    return _storm(turn, index)


def _storm(turn: Turn, index: Index) -> Home | None:
    if len(index.young) < STORM_INCIDENTS:
        return None
    open_ones = (turn.state.incidents[ident] for ident in index.young)
    unanswered = next((i.id for i in open_ones if i.phase != "resolved" and not i.acknowledged_by), "")
    why = f"{len(index.young)} incidents were opened by alerts within {STORM_SECONDS / 60:.0f} min"
    return Home(unanswered, f"{why}: a storm is one incident") if unanswered else None
