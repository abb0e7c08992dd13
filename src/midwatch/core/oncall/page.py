"""The paging stage: whom to wake, about what, until somebody acknowledges. A function of (state, now): a restart, a
lost working set or a replay page the same.

What an incident pages about are its *topics*: its severity (``sev2``), a finding that pages, an action that needs a
person (``asked-ACT-3``). A new topic pages at once. Topics that nobody acknowledged are repeated. When it is over, those
who were paged are told once.
"""

from __future__ import annotations

from typing import Final

from midwatch.core.decide.sight import place
from midwatch.core.oncall.words import clock, did, phone, to_do
from midwatch.core.turn import Turn
from midwatch.model.events import PageOrdered
from midwatch.model.findings import Incident
from midwatch.model.state import ActionRecord, PageRecord, State

RESOLVED: Final = "resolved"
RESOLVED_WITHIN_SECONDS: Final = 600.0
FAILED_REPEAT_SECONDS: Final = 60.0
SELDOM: Final = 12  # times the usual pause, once max_repeats went unanswered
STUCK_SECONDS: Final = 60.0  # beyond its timeout, an ordered action without an outcome needs a person


def page(turn: Turn) -> Turn:
    """Order the pages that are due now."""
    for incident in tuple(turn.state.incidents.values()):
        for channel in turn.state.policy.paging.channels:
            order = due(turn.state, incident, channel, turn.now)
            if order is not None:
                turn = turn.emit(order)
    return turn


def topics(state: State, incident: Incident, now: float) -> dict[str, str]:
    """What the open incident has to page about now: topic -> the reason, in words."""
    found: dict[str, str] = {}
    if now - incident.opened_at < state.policy.settle_seconds and not incident.told_by_alerts:
        return found  # a page that says why is worth these seconds; who sends alerts has waited already
    if incident.severity <= state.policy.paging.page_severity:
        found[f"sev{incident.severity}"] = f"SEV{incident.severity}: {incident.severity_reason}."
    for ident in incident.findings:
        finding = state.findings.get(ident)
        if finding is not None and finding.pages:
            found.setdefault("burn", f"{finding.detail or place(finding.entity)}.")
    for record in state.actions_of(incident.id):
        reason = _needs_a_person(record, now)
        if reason:
            found[f"{'stuck' if record.status == 'ordered' else record.status}-{record.action.id}"] = reason
    return found


def _needs_a_person(record: ActionRecord, now: float) -> str:
    action = record.action
    name = f"{action.id} ({to_do(action.verb)}, {place(action.target)})"
    match record.status:
        case "asked":
            return f"{name} waits for a yes: {record.verdict.why}."
        case "in_doubt":
            return f"Nobody knows whether {name} took effect. Look, then: midwatch refuse {action.id}."
        case "unknown":
            return f"No data shows whether {action.id} ({did(action.verb)}) helped: {record.result_why}."
        case "missed":
            return f"{action.id} ({did(action.verb)}) did not help: {record.result_why}."
        case "ordered" if record.ordered_at is not None:
            waited = now - record.ordered_at
            if waited > action.timeout_seconds + STUCK_SECONDS:
                return f"{name} was ordered {waited:.0f} s ago and nothing was heard of it."
    return ""


def due(state: State, incident: Incident, channel: str, now: float) -> PageOrdered | None:
    """The page that ``channel`` should get about the incident now, if any."""
    sent = [p for p in state.pages_of(incident.id) if p.ordered.channel == channel]
    if incident.phase == RESOLVED:
        return _resolved(state, incident, channel, sent, now)
    current = topics(state, incident, now)
    new = tuple(t for t in current if _told_at(t, sent) is None)
    if new:
        return _order(state, incident, channel, sent, new, current)
    unanswered = tuple(t for t in current if not _answered(incident, _told_at(t, sent)))
    if not unanswered:
        return None
    last = max(sent, key=lambda p: p.ordered_at)
    wait = state.policy.paging.repeat_seconds
    wait = min(wait, FAILED_REPEAT_SECONDS) if last.status == "failed" else wait
    if _repeats(sent) >= state.policy.paging.max_repeats:
        wait *= SELDOM  # nobody answered for hours: rarer, but never silent
    if now - last.ordered_at < wait:
        return None
    return _order(state, incident, channel, sent, unanswered, current)


def _told_at(topic: str, sent: list[PageRecord]) -> float | None:
    """When this topic was first paged. A severity counts as told when the same or a worse one was."""
    first = [p.ordered_at for p in sent if any(_covers(told, topic) for told in p.ordered.topics)]
    return min(first, default=None)


def _covers(told: str, topic: str) -> bool:
    if told.startswith("sev") and topic.startswith("sev"):
        return int(told[3:]) <= int(topic[3:])
    return told == topic


def _answered(incident: Incident, told_at: float | None) -> bool:
    """Acknowledged after it was told. In the same instant does not count: nobody reads that fast."""
    return told_at is not None and incident.acknowledged_at is not None and incident.acknowledged_at > told_at


def _repeats(sent: list[PageRecord]) -> int:
    """Pages since the last one that told something new."""
    known: set[str] = set()
    count = 0
    for record in sorted(sent, key=lambda p: p.ordered_at):
        fresh = [t for t in record.ordered.topics if not any(_covers(k, t) for k in known)]
        count = 0 if fresh else count + 1
        known.update(record.ordered.topics)
    return count


def _resolved(state: State, incident: Incident, channel: str, sent: list[PageRecord], now: float) -> PageOrdered | None:
    if not sent or any(RESOLVED in p.ordered.topics for p in sent) or incident.resolved_at is None:
        return None
    if now - incident.resolved_at > RESOLVED_WITHIN_SECONDS:
        return None
    return _order(
        state, incident, channel, sent, (RESOLVED,), {RESOLVED: f"Over at {clock(incident.resolved_at)} UTC."}
    )


def _order(
    state: State,
    incident: Incident,
    channel: str,
    sent: list[PageRecord],
    about: tuple[str, ...],
    reasons: dict[str, str],
) -> PageOrdered:
    repeat = max((p.ordered.repeat for p in sent), default=-1) + 1
    where = place(incident.impact.entry) if incident.impact and incident.impact.entry else ""
    head = f"{'Resolved' if about == (RESOLVED,) else f'SEV{incident.severity}'} {incident.id}"
    subject = f"{head}: {incident.title or where or 'incident'}"
    return PageOrdered(
        page=f"PAGE-{state.next_page}",
        incident=incident.id,
        key=f"{incident.id}/{channel}/{repeat}",
        channel=channel,
        subject=subject,
        text=phone(state, incident, tuple(reasons[t] for t in about)),
        severity=incident.severity,
        repeat=repeat,
        topics=about,
    )
