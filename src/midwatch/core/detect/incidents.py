"""The group stage: findings that belong together are one incident, rated by an explicit table.

Together means at about the same time and connected through calls or shared evidence: one mass outage is one incident, not
fifty. A person may say otherwise, and that is remembered (``together.py``).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from msgspec.structs import replace

from midwatch.core.detect.impact import MAX_WINDOW_SECONDS, impact_of
from midwatch.core.detect.rating import Facts, Word, hold, rerated
from midwatch.core.detect.shared import shared_evidence
from midwatch.core.detect.stage import warming_up
from midwatch.core.detect.together import word_about
from midwatch.core.memory import Easing
from midwatch.core.slo.alerts import judged_at
from midwatch.core.slo.ledger import burn_rate
from midwatch.core.slo.seen import sees
from midwatch.core.turn import Turn
from midwatch.model.entity import kind_of, name_of
from midwatch.model.events import IncidentGrew, IncidentOpened, IncidentRated
from midwatch.model.findings import ALERT, DYING, HARMFUL, SLOW_BURN, Finding, Impact, Incident
from midwatch.model.world import World

JOIN_SECONDS: Final = 1800.0
RERATE_FACTOR: Final = 1.5


def group(turn: Turn) -> Turn:
    """Attach harmful findings to the incident they belong to, open one for those that belong to none, re-rate. What alerts
    tell of needs no telemetry to be rated."""
    young = warming_up(turn)
    turn = turn if young else _gathered(turn)
    for incident in turn.state.open_incidents:
        if incident.told_by_alerts or not young:
            turn = rate(turn, incident)
    return turn


def _gathered(turn: Turn) -> Turn:
    taken = {f for incident in turn.state.open_incidents for f in incident.findings}
    loose = [f for f in turn.state.findings.values() if f.kind in HARMFUL and f.kind != ALERT and f.id not in taken]
    for finding in sorted(loose, key=lambda f: (f.since_at, f.id)):
        home, why = _home(turn, finding)
        turn = _join(turn, home, finding, why) if home else _open(turn, finding, why)
    return turn


def _home(turn: Turn, finding: Finding) -> tuple[Incident | None, str]:
    """The open incident that the finding belongs to, or None, and why. What people said goes before what calls or
    evidence connect."""
    near = [i for i in turn.state.open_incidents if turn.now - i.fresh_at <= JOIN_SECONDS]
    apart = because = ""
    home: Incident | None = None
    for incident in near:
        if finding.entity in incident.symptoms:
            return incident, "same entity"
    for incident in near:
        word = word_about(turn.state.pairings, finding.entity, incident.symptoms, turn.now)
        if word is not None and word.together:
            return incident, word.why
        why = _why_together(turn, finding.entity, incident)
        if why and word is not None:
            apart = apart or f"kept out of {incident.id}: {word.why}"
        elif why and home is None:
            home, because = incident, why
    return (home, because) if home is not None else (None, apart)


def _why_together(turn: Turn, entity: str, incident: Incident) -> str:
    """By topology, or by evidence that they share; "" when nothing says so."""
    if _connected(turn.world, entity, incident.symptoms):
        return "connected through calls, while it was open"
    return shared_evidence(turn.world, turn.state.findings.values(), entity, incident.symptoms)


def _connected(world: World, entity: str, others: tuple[str, ...]) -> bool:
    """Whether a chain of calls (in any direction) joins ``entity`` to one of ``others``. Where nobody knows who calls whom,
    time alone decides: one outage is one incident."""
    group_of = world.components
    mine = group_of.get(entity)
    return any(mine is None or group_of.get(other) in (None, mine) for other in others)


def _join(turn: Turn, incident: Incident, finding: Finding, why: str) -> Turn:
    symptoms = () if finding.entity in incident.symptoms else (finding.entity,)
    return turn.emit(IncidentGrew(incident.id, (finding.id,), symptoms, why))


def _open(turn: Turn, finding: Finding, why: str) -> Turn:
    impact = impact_of(turn, finding.since_at, (finding,))
    severity, reason = severity_of(turn, impact, (finding,))
    return turn.emit(
        IncidentOpened(
            incident=f"INC-{turn.state.next_incident}",
            title=title_of(finding, impact),
            onset_at=finding.since_at,
            severity=severity,
            severity_reason=reason,
            findings=(finding.id,),
            symptoms=(finding.entity,),
            impact=impact,
            why=why,
        )
    )


def rate(turn: Turn, incident: Incident) -> Turn:
    """Worse at once, milder after a while (``rating.py``); and again when more users are hit than were told of."""
    findings, known = _held(turn, incident)
    if not findings:
        return _eased(turn, incident.id, None)
    impact = impact_of(turn, incident.onset_at, findings)
    severity, reason = severity_of(turn, impact, findings)
    seen = known and _visible(turn.world, incident)
    facts = Facts(severity, reason) if severity < incident.severity or seen else None
    word = Word(incident.said_severity, incident.said_facts)
    seconds = hold(turn.state.policy.milder_after_seconds, incident.rises)
    new, easing = rerated(incident.severity, facts, word, turn.memory.easing.get(incident.id), turn.now, seconds)
    turn = _eased(turn, incident.id, easing)
    old = incident.impact
    grew = impact is not None and (old is None or impact.affected_ratio > RERATE_FACTOR * old.affected_ratio)
    if new is None and not grew:
        return turn
    new = new or Facts(incident.severity, reason if severity == incident.severity else incident.severity_reason)
    worst = max(findings, key=lambda f: f.log_bayes)
    title = title_of(worst, impact or old)
    return turn.emit(IncidentRated(incident.id, new.severity, new.reason, _counted(old, impact), title))


def facts_of(turn: Turn, incident: Incident) -> int:
    """How the facts rate it now, whatever it is rated; as it is where nothing says anything."""
    findings, _ = _held(turn, incident)
    if not findings:
        return incident.severity
    return severity_of(turn, impact_of(turn, incident.onset_at, findings), findings)[0]


def _held(turn: Turn, incident: Incident) -> tuple[tuple[Finding, ...], bool]:
    """Its findings that are open, those of budgets with how fast these burn now, and whether that is known of all. Of one
    that nobody counts any more (the working set was lost) it stays as it was found; but that makes nothing worse that has
    been milder since."""
    told: list[Finding] = []
    known = True
    for finding in (turn.state.findings[f] for f in incident.findings if f in turn.state.findings):
        if finding.kind == "burn_rate":
            burns = _burns(turn, finding)
            if math.isnan(burns):
                known, burns = False, 0.0 if incident.worst_severity else finding.value
            finding = replace(finding, value=burns)
        told.append(finding)
    return tuple(told), known


def _burns(turn: Turn, finding: Finding) -> float:
    """Over the last five minutes, as impact is measured; until these are over, as bad as when it was found. NaN where nobody
    counted for so long."""
    key = finding.id.split("|", 2)[-1].rpartition("/")[0]
    ledger, slo = turn.memory.ledgers.get(key), next((s for s in turn.state.slos if s.name == finding.slo), None)
    if ledger is None or slo is None:
        return math.nan
    at = judged_at(slo, ledger, turn.now)
    if at - ledger.first_at < MAX_WINDOW_SECONDS:
        return math.nan
    burns = burn_rate(ledger, slo, MAX_WINDOW_SECONDS, at)
    return burns if at - finding.since_at >= MAX_WINDOW_SECONDS else max(burns, finding.value)


def _visible(world: World, incident: Incident) -> bool:
    """Whether there is data of what hurts: what other systems say is in state, and needs none."""
    if incident.told_by_alerts:
        return True
    where = (incident.impact.entry,) if incident.impact and incident.impact.entry else incident.symptoms
    return any(sees(world, subject) for subject in where)


def _eased(turn: Turn, ident: str, easing: Easing | None) -> Turn:
    if turn.memory.easing.get(ident) == easing:
        return turn
    others = {k: v for k, v in turn.memory.easing.items() if k != ident and k in turn.state.incidents}
    return turn.remember(easing={**others, ident: easing} if easing else others)


def _counted(old: Impact | None, new: Impact | None) -> Impact | None:
    """What was hit stays hit, though fewer are now."""
    if old is None or new is None or old.entry != new.entry:
        return new
    pairs = ((getattr(old, n), getattr(new, n)) for n in ("affected_requests", "budget_spent"))
    requests, spent = (float(np.fmax(was, now)) for was, now in pairs)  # what is not known of one is known of the other
    return replace(new, affected_requests=requests, budget_spent=spent)


def severity_of(turn: Turn, impact: Impact | None, findings: tuple[Finding, ...]) -> tuple[int, str]:
    """As users feel it, or as the senders of its alerts rate it: what is worse, with its reason."""
    told = min((f for f in findings if f.severity), key=lambda f: f.severity, default=None)
    felt = _felt(turn, impact, tuple(f for f in findings if f.kind != ALERT))
    if told is not None and told.severity <= felt[0]:
        return told.severity, f"so rated by its sender: {told.detail}"
    return felt


def _felt(turn: Turn, impact: Impact | None, findings: tuple[Finding, ...]) -> tuple[int, str]:
    """First matching row of the policy's severity table, with its reason in numbers."""
    if findings and all(f.kind == SLOW_BURN for f in findings):
        return 4, "errors crept above the budget: to be looked into, nobody is woken for it"
    if findings and all(f.kind == DYING for f in findings):
        return 4, "processes keep dying and users feel nothing yet: to be looked into, nobody is woken for it"
    ratio = impact.affected_ratio if impact else 0.0
    burn = max((f.value for f in findings if f.kind == "burn_rate" and f.pages), default=0.0)
    if impact is None and burn == 0.0 and any(f.kind == "queue_lag" for f in findings):
        return 3, "messages wait and nobody takes them"
    for rule in turn.state.policy.severities:
        if ratio >= rule.min_affected_ratio or burn >= rule.min_burn:
            where = f" ({ratio:.1%} of {name_of(impact.entry)})" if impact else " (no entry point shows harm)"
            return rule.severity, rule.reason + where
    return 4, "no rule of the severity table matched"


def title_of(finding: Finding, impact: Impact | None) -> str:
    """A first title from the symptom; the words get better once the cause is known."""
    if finding.kind == ALERT:
        name, where = finding.id.split("|")[2] or "Alert", name_of(finding.entity)
        return name if name == where else f"{name} at {where}"
    what = {
        "error_shift": "Elevated error rates in",
        "latency_shift": "Slow responses from",
        "traffic_drop": "Missing traffic at",
        "queue_lag": "Messages waiting in",
        DYING: "Processes keep dying in",
        "slow_burn": "Errors above the budget in",
        "burn_rate": "Error budget burning at",
    }[finding.kind]
    where = impact.entry if impact and kind_of(finding.entity) != "queue" and finding.kind != DYING else finding.entity
    return f"{what} {name_of(where)}"
