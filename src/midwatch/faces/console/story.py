"""The timeline of an incident as rows of words. Uses ``core/learn/timeline.py`` where it can, so that page, CLI and
post-mortem tell the same story."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from midwatch.faces.console import words
from midwatch.model import events as e
from midwatch.model.events import Recorded


class Row(Struct, frozen=True):
    at: float
    text: str
    tone: str = "idle"
    seq: int = 0


def rows(recorded: Sequence[Recorded], incident: str) -> list[Row]:
    """Newest last."""
    found = []
    for one in recorded:
        said = _words(one.event)
        if said is not None:
            found.append(Row(one.at, said[0], said[1], one.seq))
    return found


def _words(event: e.Event) -> tuple[str, str] | None:
    match event:
        case e.IncidentOpened():
            return f"Incident opened, SEV{event.severity}: {event.title}", "bad"
        case e.IncidentGrew():
            return f"It grew: {', '.join(words.entity(s) for s in event.symptoms) or event.why} ({event.why})", "warn"
        case e.IncidentRated():
            return f"Rated SEV{event.severity}: {event.reason}", "warn"
        case e.CauseRanked():
            if not event.hypotheses:
                return "Diagnosis: don't know", "nodata"
            top = event.hypotheses[0]
            return (
                f"Likely cause: {words.entity(top.entity)}, {words.fault(top.kind)} ({words.percent(top.probability)})",
                "info",
            )
        case e.CauseConfirmed():
            return f"{event.by} confirmed the cause: {words.entity(event.entity)}, {words.fault(event.kind)}", "info"
        case e.IncidentCalmed():
            return ("Users no longer feel it", "ok") if event.calm else ("Users feel it again", "bad")
        case e.IncidentMitigated():
            return f"Mitigated by {event.by}", "ok"
        case e.IncidentResolved():
            return f"Resolved: {event.why}", "ok"
        case e.PostmortemWritten():
            return "Post-mortem written", "idle"
        case e.ActionJudged():
            said = {"run": "will do", "ask": "asks", "rehearse": "rehearsed", "refuse": "refused"}
            verb = event.action.verb.replace("_", " ")
            what = said[event.verdict.decision]
            return f"{what[:1].upper() + what[1:]}: {verb} {words.entity(event.action.target)}. {event.verdict.why}", "info"
        case e.ActionOrdered():
            return f"Ordered {event.action_id}" + (f", approved by {', '.join(event.approved_by)}" if event.approved_by else ""), "info"
        case e.ActionEnded():
            return f"{event.action_id} {event.outcome.status.replace('_', ' ')}: {event.outcome.result}", (
                "ok" if event.outcome.status == "done" else "bad"
            )
        case e.ActionDropped():
            return f"{event.action_id} dropped: {event.why}", "idle"
        case e.ExpectationJudged():
            tone = {"met": "ok", "missed": "bad"}.get(event.result, "nodata")
            return f"Expectation of {event.action_id} {event.result}: {event.why}", tone
        case e.PageOrdered():
            return f"Page to {event.channel}: {event.subject}", "warn"
        case e.PageEnded():
            return (f"Page {event.page} {event.status}" + (f": {event.why}" if event.why else "")), (
                "idle" if event.status == "delivered" else "bad"
            )
        case e.IncidentAcknowledged():
            return f"{event.by} acknowledged", "info"
        case e.CommandGiven():
            return f"{event.by} said {event.verb.replace('_', ' ')}" + (f": {event.note}" if event.note else ""), "info"
        case e.CommandRefused():
            return f"{event.verb.replace('_', ' ')} of {event.by} was not possible: {event.why}", "warn"
    return None
