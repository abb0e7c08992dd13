"""The paging stage: which channel to page, about what, until somebody acknowledges. A function of (state, now): a restart, a
lost working set or a replay page the same. Whom the people files name is woken by ``wake.py`` instead.

What an incident pages about are its *topics*: its severity (``sev2``), a finding that pages, an action that needs a
person (``asked-ACT-3``). A new topic pages at once. Topics that nobody acknowledged are repeated. When it is over, those
who were paged are told once.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from midwatch.core.decide.sight import place
from midwatch.core.oncall.owners import by_people
from midwatch.core.oncall.said import headline
from midwatch.core.oncall.words import at_target, did, phone, to_do
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
    """Order the pages that are due to channels now: about what nobody of the people files can be woken for."""
    state = turn.state  # what one incident pages about changes nothing for another
    orders: list[PageOrdered] = []
    for incident in state.incidents.values():
        if incident.phase != RESOLVED and by_people(state, incident, turn.now):
            continue
        for channel in state.policy.paging.channels:
            order = due(state, incident, channel, turn.now)
            if order is not None:
                orders.append(replace(order, page=f"PAGE-{state.next_page + len(orders)}"))
    return turn.emit(*orders)


def topics(state: State, incident: Incident, now: float) -> dict[str, str]:
    """What the open incident has to page about now: topic -> the reason, in words."""
    if now - incident.opened_at < state.policy.settle_seconds and not incident.told_by_alerts:
        return {}  # a page that says why is worth these seconds; who sends alerts has waited already
    return _reasons(state, incident, now)


def wakes_nobody(state: State, incident: Incident, now: float) -> str:
    """That the open incident is too mild for a page, in words, for whoever looks at it or at its alerts; "" when it pages,
    or did."""
    if incident.phase == RESOLVED or state.pages_of(incident.id) or _reasons(state, incident, now):
        return ""
    return f"wakes nobody: SEV{incident.severity}, and page_severity is {state.policy.paging.page_severity}"


def _reasons(state: State, incident: Incident, now: float) -> dict[str, str]:
    found: dict[str, str] = {}
    if incident.severity <= state.policy.paging.page_severity:
        found[severity_topic(incident)] = f"SEV{incident.severity}: {incident.severity_reason}."
    for ident in incident.findings:
        finding = state.findings.get(ident)
        if finding is not None and finding.pages:
            found.setdefault("burn", f"{finding.detail or place(finding.entity)}.")
    for record in state.actions_of(incident.id):
        reason = _needs_a_person(record, now)
        if reason and not (record.status == "asked" and incident.only_dying):
            found[f"{'stuck' if record.status == 'ordered' else record.status}-{record.action.id}"] = reason
    return found


def _needs_a_person(record: ActionRecord, now: float) -> str:
    action = record.action
    name = f"{action.id}, {to_do(action.verb)}{at_target(action.verb, action.target)},"
    match record.status:
        case "asked":
            return f"{name} waits for a yes ({record.verdict.why})."
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
    sent = [p for p in state.pages_of(incident.id) if p.ordered.channel == channel and not p.ordered.person]
    told = [*sent, *_inherited(state, incident, channel)]
    if incident.phase == RESOLVED:
        return _resolved(state, incident, channel, sent, told, now)
    current = topics(state, incident, now)
    new = tuple(t for t in current if _told_at(t, told) is None)
    if new:
        return _order(state, incident, channel, sent, new, current)
    unanswered = tuple(t for t in current if not _answered(incident, _told_at(t, told)))
    if not unanswered:
        return None
    last = max(told, key=lambda p: p.ordered_at)
    wait = state.policy.paging.repeat_seconds
    wait = min(wait, FAILED_REPEAT_SECONDS) if last.status == "failed" else wait
    if _repeats(told) >= state.policy.paging.max_repeats:
        wait *= SELDOM  # nobody answered for hours: rarer, but never silent
    if now - last.ordered_at < wait:
        return None
    return _order(state, incident, channel, sent, unanswered, current)


def _inherited(state: State, incident: Incident, channel: str) -> list[PageRecord]:
    """What the channel was told of it under another name: by the incidents that became part of it, and by the one that it
    was taken out of. Regrouping wakes nobody for what they know."""
    sources = (*incident.absorbed, incident.split_from) if incident.split_from else incident.absorbed
    pages = (p for ident in sources for p in state.pages_of(ident) if p.ordered.channel == channel)
    known = (p for p in pages if not p.ordered.person and p.ordered_at <= incident.fresh_at)
    return [p for p in known if RESOLVED not in p.ordered.topics]


def _told_at(topic: str, sent: list[PageRecord]) -> float | None:
    """When this topic was first paged. A severity counts as told when the same or a worse one was."""
    first = [p.ordered_at for p in sent if any(covers(told, topic) for told in p.ordered.topics)]
    return min(first, default=None)


def severity_topic(incident: Incident) -> str:
    """``sev2``; ``sev2.1`` once it got worse again after it was milder: who was told before may have gone back to sleep."""
    return f"sev{incident.severity}.{incident.rises}" if incident.rises else f"sev{incident.severity}"


def covers(told: str, topic: str) -> bool:
    if told.startswith("sev") and topic.startswith("sev"):
        (worst, rises), (severity, risen) = _rating(told), _rating(topic)
        return worst <= severity and rises >= risen
    return told == topic


def _rating(topic: str) -> tuple[int, int]:
    severity, _, rises = topic[3:].partition(".")
    return int(severity), int(rises or "0")


def _answered(incident: Incident, told_at: float | None) -> bool:
    """Acknowledged after it was told. In the same instant does not count: nobody reads that fast."""
    return told_at is not None and incident.acknowledged_at is not None and incident.acknowledged_at > told_at


def _repeats(sent: list[PageRecord]) -> int:
    """Pages since the last one that told something new."""
    known: set[str] = set()
    count = 0
    for record in sorted(sent, key=lambda p: p.ordered_at):
        fresh = [t for t in record.ordered.topics if not any(covers(k, t) for k in known)]
        count = 0 if fresh else count + 1
        known.update(record.ordered.topics)
    return count


def _resolved(
    state: State, incident: Incident, channel: str, sent: list[PageRecord], told: list[PageRecord], now: float
) -> PageOrdered | None:
    if not told or any(RESOLVED in p.ordered.topics for p in sent) or incident.resolved_at is None:
        return None
    if now - incident.resolved_at > RESOLVED_WITHIN_SECONDS:
        return None
    return _order(state, incident, channel, sent, (RESOLVED,), {RESOLVED: ending(incident)})


def ending(incident: Incident) -> str:
    """What a last page says beside that it is over."""
    return f"Pages about it come from {incident.merged_into}." if incident.merged_into else ""


def _order(
    state: State,
    incident: Incident,
    channel: str,
    sent: list[PageRecord],
    about: tuple[str, ...],
    reasons: dict[str, str],
) -> PageOrdered:
    repeat = max((p.ordered.repeat for p in sent), default=-1) + 1
    said = f"Merged into {incident.merged_into}:" if incident.merged_into else "Resolved"
    head = f"{said if about == (RESOLVED,) else f'SEV{incident.severity}'} {incident.id}"
    return PageOrdered(
        page=f"PAGE-{state.next_page}",
        incident=incident.id,
        key=f"{incident.id}/{channel}/{repeat}",
        channel=channel,
        subject=f"{head}: {headline(state, incident)}",
        text=phone(state, incident, tuple(reasons[t] for t in about)),
        severity=incident.severity,
        repeat=repeat,
        topics=about,
    )
