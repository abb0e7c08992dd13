"""The closing stage: an incident is over when users no longer feel it, there is data that says so, and nothing is
being verified. No data is not calm, and a young working set closes nothing."""

from __future__ import annotations

from typing import Final

from midwatch.core.decide.sight import harm, sees_incident, under_way, warming_up
from midwatch.core.turn import Turn
from midwatch.model.events import ActionDropped, IncidentCalmed, IncidentMitigated, IncidentResolved
from midwatch.model.findings import Incident

SIGHT_SECONDS: Final = 15.0  # shorter than elsewhere: old data must not look like calm


def close(turn: Turn) -> Turn:
    """Note calm and its end; resolve what has been calm long enough."""
    if warming_up(turn.memory, turn.now):
        return turn
    for incident in turn.state.open_incidents:
        turn = _close_one(turn, incident)
    return turn


def _close_one(turn: Turn, incident: Incident) -> Turn:
    hurts = bool(harm(turn.state, incident))
    calm = not hurts and sees_incident(turn.world, incident, SIGHT_SECONDS)
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
    return turn.emit(IncidentResolved(incident.id, why, incident.impact))


def mitigated_by(turn: Turn, incident: Incident) -> str:
    """The last action whose expectation was met and that was not taken back, or "itself"."""
    records = turn.state.actions_of(incident.id)
    taken_back = {r.action.undo_of for r in records if r.action.undo_of and r.status == "done"}
    met = [r for r in records if r.status == "met" and r.action.id not in taken_back]
    return max(met, key=lambda r: r.ended_at or 0.0).action.id if met else "itself"
