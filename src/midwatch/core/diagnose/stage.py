"""The diagnose stage: why is it broken? Evidence in, hypotheses with probabilities out, "don't know" included."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from midwatch.core.detect.stage import warming_up
from midwatch.core.diagnose import diagnose as engine
from midwatch.core.turn import Turn
from midwatch.model.events import CauseRanked
from midwatch.model.findings import Hypothesis, Incident
from midwatch.model.world import Change

EVERY_SECONDS: Final = 5.0
WATCH_SECONDS: Final = 240.0
MATERIAL: Final = 0.10  # a probability that moved by so much is worth a line in the journal


def diagnose(turn: Turn) -> Turn:
    """Rank the causes of every open incident; journal a ranking only when it changed materially."""
    if warming_up(turn):
        return turn
    still_open = {incident.id for incident in turn.state.open_incidents}
    turn = turn.remember(diagnosed={k: v for k, v in turn.memory.diagnosed.items() if k in still_open})
    for incident in turn.state.open_incidents:
        if incident.phase == "mitigated" or not _due(turn, incident):
            continue
        ranked = investigate(turn, incident)
        if ranked is None:
            continue
        hypotheses, unknown = ranked
        turn = turn.remember(diagnosed={**turn.memory.diagnosed, incident.id: turn.now})
        if _material(incident, hypotheses, unknown):
            turn = turn.emit(CauseRanked(incident.id, hypotheses, unknown, why=_why(hypotheses)))
    return turn


def _due(turn: Turn, incident: Incident) -> bool:
    """Every few seconds while it is young and nothing was done: once users are calm or a fix is under way, what is seen
    is the fix and no longer the fault."""
    if incident.calm_since_at is not None or incident.phase in ("mitigating", "verifying"):
        return False
    last_at = turn.memory.diagnosed.get(incident.id, 0.0)
    return turn.now - last_at >= EVERY_SECONDS and turn.now - incident.fresh_at <= WATCH_SECONDS


def investigate(turn: Turn, incident: Incident) -> tuple[tuple[Hypothesis, ...], float] | None:
    """Hypotheses and the mass on "none of these"; None when there is no normal time to compare with."""
    findings = [turn.state.findings[f] for f in incident.findings if f in turn.state.findings]
    gone = [i for i in turn.state.incidents.values() if i.phase == "resolved" and not i.merged_into]
    past = [i.calm_since_at or i.resolved_at or 0.0 for i in gone]
    over_at = max((at for at in past if at < incident.onset_at), default=0.0)
    ranking = engine.diagnose(
        turn.world,
        incident.onset_at,
        incident.symptoms,
        findings,
        _changes(turn),
        _priors(turn.state.causes_seen),
        over_at,
    )
    return None if ranking is None else (ranking.hypotheses, ranking.unknown)


def _changes(turn: Turn) -> tuple[Change, ...]:
    """Announced changes, and those inferred from telemetry that nobody announced."""
    announced = {c.id: c for c in turn.state.changes}
    told = {(c.entity, c.kind) for c in turn.state.changes}
    seen = (
        c
        for c in turn.world.changes
        if c.id not in announced and (c.source != "seen" or (c.entity, c.kind) not in told)
    )
    return (*announced.values(), *seen)


def _priors(causes_seen: Mapping[str, int]) -> dict[str, float]:
    """Log-priors by kind from confirmed causes, shrunk towards "all alike" (ten imaginary causes)."""
    whole = sum(causes_seen.values())
    if not whole:
        return {}
    return {kind: math.log((count + 10 / 20) / (whole + 10) * 20) / 2 for kind, count in causes_seen.items()}


def _material(incident: Incident, hypotheses: tuple[Hypothesis, ...], unknown: float) -> bool:
    if not incident.hypotheses:
        return bool(hypotheses)
    if not hypotheses:
        return False
    old, new = incident.hypotheses[0], hypotheses[0]
    return (old.entity, old.kind, old.scope) != (new.entity, new.kind, new.scope) or abs(
        old.probability - new.probability
    ) >= MATERIAL


def _why(hypotheses: tuple[Hypothesis, ...]) -> str:
    return hypotheses[0].evidence[0].text if hypotheses and hypotheses[0].evidence else ""
