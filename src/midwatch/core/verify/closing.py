"""The closing stage: an incident is over when users no longer feel it, there is data that says so, and nothing is
being verified. No data is not calm, and a young working set closes nothing."""

from __future__ import annotations

import math
from typing import Final

from msgspec.structs import replace

from midwatch.core.decide.sight import harm, sees_incident, under_way, warming_up
from midwatch.core.slo.measure import measure, total
from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.events import ActionDropped, IncidentCalmed, IncidentMitigated, IncidentResolved
from midwatch.model.findings import Impact, Incident

NORMAL_SECONDS: Final = 180.0  # before the onset
SIGHT_SECONDS: Final = 15.0  # shorter than elsewhere: old data must not look like calm


def close(turn: Turn) -> Turn:
    """Note calm and its end; resolve what has been calm long enough."""
    young = warming_up(turn.memory, turn.now)
    for incident in turn.state.open_incidents:
        if incident.told_by_alerts or not young:  # what other systems say is in state, and needs no telemetry
            turn = _close_one(turn, incident)
    return turn


def _close_one(turn: Turn, incident: Incident) -> Turn:
    hurts = bool(harm(turn.state, incident))
    calm = not hurts and (incident.told_by_alerts or sees_incident(turn.world, incident, SIGHT_SECONDS))
    since = incident.calm_since_at
    if calm != (since is not None):
        why = "" if calm or hurts else "there is no data of what hurt"
        return turn.emit(IncidentCalmed(incident.id, calm, why))
    if since is None or turn.now - since < turn.state.policy.resolve_after_seconds:
        return turn
    if any(under_way(r) for r in turn.state.actions_of(incident.id)):
        return turn
    by = mitigated_by(turn, incident)
    for record in turn.state.actions_of(incident.id):
        if record.status == "asked":
            turn = turn.emit(ActionDropped(record.action.id, f"{incident.id} is over"))
    why = f"calm for {turn.now - since:.0f} s, after {by}" if by != "itself" else f"calm for {turn.now - since:.0f} s"
    doubted = [r.action.id for r in turn.state.actions_of(incident.id) if r.status in ("in_doubt", "unknown")]
    if doubted:
        why += f"; what {', '.join(doubted)} did is not known"
    if incident.mitigated_at is None:
        turn = turn.emit(IncidentMitigated(incident.id, by))
    return turn.emit(IncidentResolved(incident.id, why, final_impact(turn, incident, since)))


def final_impact(turn: Turn, incident: Incident, calm_at: float) -> Impact | None:
    """What it came to in the end: the rating counted when it last got worse, and requests went on failing after that.

    Counted are the failing or slow requests at the entry from the onset to ``calm_at``, less what was normal before; of an
    incident longer than the World's window only what that still holds, so never less than was rated.
    """
    old = incident.impact
    slo = next((s for s in turn.state.slos if old and s.name == old.slo), None)
    signal = "error_ratio" if old and old.what == "errors" else f"slow_ratio:{slo.threshold_ms:g}" if slo else ""
    if old is None or old.what not in ("errors", "slow") or not signal:
        return old
    start = max(incident.onset_at, turn.world.series.start_at)
    seconds = calm_at - start
    if seconds <= 0:
        return old
    share = measure(turn.world, old.entry, signal, seconds, calm_at)
    normal = measure(turn.world, old.entry, signal, NORMAL_SECONDS, start - turn.world.series.step_seconds)
    requests = total(turn.world, old.entry, signals.REQUESTS, seconds, calm_at)
    counted = (share - (0.0 if math.isnan(normal) else normal)) * requests
    if not counted > old.affected_requests:  # also when there is no data of it
        return old
    more = counted / old.affected_requests if old.affected_requests > 0 else 1.0
    return replace(old, affected_requests=counted, budget_spent=old.budget_spent * more)


def mitigated_by(turn: Turn, incident: Incident) -> str:
    """The last action whose expectation was met and that was not taken back, or "itself"."""
    records = turn.state.actions_of(incident.id)
    taken_back = {r.action.undo_of for r in records if r.action.undo_of and r.status == "done"}
    met = [r for r in records if r.status == "met" and r.action.id not in taken_back]
    return max(met, key=lambda r: r.ended_at or 0.0).action.id if met else "itself"
