"""One sentence in plain words per journaled event: the timeline of an incident, and the journal as people read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from midwatch.core.decide.room import VERBS as ROOM_VERBS
from midwatch.core.decide.sight import place
from midwatch.core.oncall.words import at_target, cause_words, clock, did, doing, percent, plain, to_do
from midwatch.model import events as e
from midwatch.model.actions import Action
from midwatch.model.faults import DESCRIPTIONS
from midwatch.model.people import Override
from midwatch.model.world import Change

LEAD_SECONDS: Final = 900.0  # changes so long before the onset belong to the story


@dataclass(frozen=True)
class TimelineRow:
    """``at`` in unix seconds; ``who`` is midwatch, a person, or the source of a change; ``text`` one sentence."""

    at: float
    who: str
    text: str


def timeline(recorded: Iterable[e.Recorded], incident_id: str) -> list[TimelineRow]:
    """What happened in one incident, in journal order: its own events, commands about it, its findings, and changes
    from 15 minutes before its onset until its end."""
    events = list(recorded)
    opened = next((r for r in events if _opens(r.event, incident_id)), None)
    if opened is None or not isinstance(opened.event, e.IncidentOpened):
        return []
    ended = next((r.at for r in events if _ends(r.event, incident_id)), 1e18)
    since = opened.event.onset_at - LEAD_SECONDS
    ours = {incident_id}  # it, and what became part of it
    for r in reversed(events):
        if isinstance(r.event, e.IncidentMerged) and r.event.incident in ours:
            ours.add(r.event.absorbed)
    findings: set[str] = set()
    for r in events:
        if isinstance(r.event, e.IncidentOpened | e.IncidentGrew) and r.event.incident in ours:
            findings.update(r.event.findings)
        if isinstance(r.event, e.IncidentOpened) and r.event.incident in ours:
            since = min(since, r.event.onset_at - LEAD_SECONDS)
    actions: dict[str, Action] = {}
    pages: set[str] = set()
    rows: list[TimelineRow] = []
    for r in events:
        event = r.event
        if isinstance(event, e.ActionJudged) and event.action.incident in ours:
            actions[event.action.id] = event.action
        if isinstance(event, e.PageOrdered) and event.incident in ours:
            pages.add(event.page)
        if isinstance(event, e.ChangeSeen):
            if since <= event.change.at <= ended:
                rows.append(
                    TimelineRow(event.change.at, event.change.by or event.change.source, change_words(event.change))
                )
        elif _is_about(event, ours, actions, pages, findings) and since <= r.at:
            text = sentence(event, actions)
            if text:
                rows.append(TimelineRow(r.at, who(event), text))
    return sorted(rows, key=lambda row: row.at)


def _opens(event: e.Event, incident_id: str) -> bool:
    return isinstance(event, e.IncidentOpened) and event.incident == incident_id


def _ends(event: e.Event, incident_id: str) -> bool:
    if isinstance(event, e.IncidentMerged):
        return event.absorbed == incident_id
    return isinstance(event, e.IncidentResolved) and event.incident == incident_id


def _is_about(event: Any, ours: set[str], actions: dict[str, Action], pages: set[str], findings: set[str]) -> bool:
    match event:
        case e.FindingOpened(finding=finding):
            return finding.id in findings
        case e.FindingClosed(finding_id=ident):
            return ident in findings
        case e.ActionJudged(action=action):
            return action.incident in ours
        case e.CommandGiven(target=target) | e.CommandRefused(target=target):
            return target in (*ours, *actions, *pages)
        case e.HandsOffChanged():
            return True
        case e.PageEnded(page=page):
            return page in pages
        case e.IncidentMerged(absorbed=absorbed) if absorbed in ours:
            return True
        case e.IncidentSplit(into=into) if into in ours:
            return True
        case e.PostmortemWritten():
            return False
    action_id = getattr(event, "action_id", None)
    return action_id in actions if action_id is not None else getattr(event, "incident", None) in ours


def who(event: Any) -> str:
    """Whose doing it was."""
    by = getattr(event, "by", "") or ""
    if isinstance(event, e.GroupingLearned | e.AcknowledgementExpired):  # by whom it was made, not by whom it ended
        return "midwatch"
    return by if by and not by.startswith("ACT-") and by != "itself" else "midwatch"


def change_words(change: Change) -> str:
    """``deploy of payment: 1.4 -> 1.5``; a summary that says already what it became is told only what it was."""
    moved = f"{change.before} -> {change.after}" if change.before or change.after else ""
    told = ", ".join(part for part in (change.summary, moved) if part)
    if change.after and change.summary.endswith(change.after):
        told = f"{change.summary}, before {change.before}" if change.before else change.summary
    return f"{change.kind} of {place(change.entity)}" + (f": {told}" if told else "")


def sentence(event: Any, actions: dict[str, Action] | None = None) -> str:
    """The event in plain words; "" for one that no timeline needs. ``actions`` name actions by what they do."""
    words = _SENTENCES.get(type(event))
    return words(event, actions or {}) if words else ""


def _name(ident: str, actions: dict[str, Action]) -> str:
    action = actions.get(ident)
    return f"{ident} ({to_do(action.verb)}{at_target(action.verb, action.target)})" if action else ident


def _finding(event: e.FindingOpened, actions: dict[str, Action]) -> str:
    f = event.finding
    what = f.kind.replace("_", " ")
    if f.unit == "ratio":
        numbers = f"{percent(f.value)} %, before {percent(f.baseline)} %"
    else:
        numbers = f"{plain(f.value)} {f.unit}, before {plain(f.baseline)} {f.unit}"
    return f"{what} in {place(f.entity)}: {f.detail or numbers}"


def _ranked(event: e.CauseRanked, actions: dict[str, Action]) -> str:
    if not event.hypotheses:
        return "no cause found yet"
    top = event.hypotheses[0]
    others = len(event.hypotheses) - 1
    more = f" ({others} other{'s' if others > 1 else ''})" if others else ""
    return f"likely cause: {cause_words(top)}, {percent(top.probability)} %{more}"


def _judged(event: e.ActionJudged, actions: dict[str, Action]) -> str:
    action, verdict = event.action, event.verdict
    given = ", ".join(f"{name} {value}" for name, value in sorted(action.parameters.items()))
    what = f"{to_do(action.verb)}{at_target(action.verb, action.target)}" + (f" ({given})" if given else "")
    match verdict.decision:
        case "run":
            return f"{action.id}: {what} may run ({verdict.why})"
        case "rehearse":
            return f"{action.id}: would {what} ({verdict.why})"
        case "ask":
            return f"{action.id}: wants to {what} and asks ({verdict.why})"
    return f"{action.id}: does not {what} ({verdict.rule}: {verdict.why})"


def _ended(event: e.ActionEnded, actions: dict[str, Action]) -> str:
    action = actions.get(event.action_id)
    done = f"{did(action.verb)}{at_target(action.verb, action.target)}" if action else "done"
    result = f": {event.outcome.result}" if event.outcome.result else ""
    asked = " (as found out afterwards)" if event.reconciled else ""
    match event.outcome.status:
        case "done":
            return f"{event.action_id}: {done}{result}{asked}"
        case "failed":
            return f"{_name(event.action_id, actions)} failed{result}{asked}"
    return f"nobody knows whether {_name(event.action_id, actions)} took effect{result}{asked}"


def _ordered(event: e.ActionOrdered, actions: dict[str, Action]) -> str:
    action = actions.get(event.action_id)
    what = f"{doing(action.verb)}{at_target(action.verb, action.target)}" if action else "ordered"
    yes = f", approved by {' and '.join(event.approved_by)}" if event.approved_by else ""
    return f"{event.action_id}: {what}{yes}"


def _command(event: e.CommandGiven, actions: dict[str, Action]) -> str:
    if event.verb in ROOM_VERBS or event.verb == "severity":
        return ""  # the event that follows says it, or that it was not obeyed
    about = f" {_name(event.target, actions)}" if event.target else ""
    value = f" {event.value}" if event.value else ""
    if event.verb == "note":
        return event.note or event.value
    there = {"pagerduty": " in PagerDuty", "opsgenie": " in Opsgenie"}.get(event.via, "")
    return f"{event.verb.replace('_', ' ')}{about}{value}{there}" + (f": {event.note}" if event.note else "")


_RESULTS: Final[dict[str, str]] = {
    "met": "helped",
    "missed": "did not help",
    "unknown": "had an effect that nobody could see",
}
_Words = Callable[[Any, dict[str, Action]], str]
_SENTENCES: Final[dict[type, _Words]] = {
    e.WatchStarted: lambda v, a: f"midwatch {v.version} took the watch" + (f" ({v.reason})" if v.reason else ""),
    e.PolicyLoaded: lambda v, a: (
        f"policy loaded: mode {v.policy.mode}, {len(v.policy.slos)} SLOs, {len(v.policy.playbooks)} playbooks"
    ),
    e.SloDiscovered: lambda v, a: f"proposes the SLO {v.slo.name}: {v.why}",
    e.SloWithdrawn: lambda v, a: f"withdrew the proposed SLO {v.slo}: {v.why}",
    e.GapOpened: lambda v, a: _gap(v.subject, v.reason),
    e.GapClosed: lambda v, a: _gap(v.subject, ""),
    e.CommandGiven: _command,
    e.ChangeSeen: lambda v, a: change_words(v.change),
    e.FindingOpened: _finding,
    e.FindingClosed: lambda v, a: _closed(v),
    e.IncidentOpened: lambda v, a: (
        f"{v.incident} opened, SEV{v.severity} ({v.severity_reason}): {v.title}" + (f" ({v.why})" if v.why else "")
    ),
    e.IncidentGrew: lambda v, a: f"grew by {', '.join(place(s) for s in v.symptoms) or 'more findings'} ({v.why})",
    e.IncidentRated: lambda v, a: f"rated SEV{v.severity}: {v.reason}",
    e.CauseRanked: _ranked,
    e.CauseConfirmed: lambda v, a: (
        f"cause confirmed: {DESCRIPTIONS.get(v.kind, v.kind)} in {place(v.entity)} (by {v.by})"
    ),
    e.IncidentCalmed: lambda v, a: (
        "users no longer feel it" if v.calm else f"calm is not certain: {v.why}" if v.why else "users feel it again"
    ),
    e.IncidentMitigated: lambda v, a: f"mitigated by {_name(v.by, a)}",
    e.IncidentResolved: lambda v, a: f"resolved: {v.why}",
    e.IncidentMerged: lambda v, a: f"{v.absorbed} became part of {v.incident}" + (f": {v.why}" if v.why else ""),
    e.IncidentSplit: lambda v, a: (
        f"split from {v.incident}: {', '.join(place(s) for s in v.symptoms) or f'{len(v.findings)} findings'} "
        f"belongs to {v.into}" + (f": {v.why}" if v.why else "")
    ),
    e.GroupingLearned: lambda v, a: _learned(v),
    e.RoleTaken: lambda v, a: f"{v.person} is {v.role} now" if v.person else f"nobody is {v.role} now",
    e.DecisionMade: lambda v, a: f"decided: {v.text}",
    e.StepTicked: lambda v, a: f"done: {v.step}",
    e.StepUnticked: lambda v, a: f"not done after all: {v.step}",
    e.TaskSet: lambda v, a: f"task {v.number} for {v.person or 'whoever takes it'}: {v.what}",
    e.TaskGiven: lambda v, a: f"task {v.number} is {v.person}'s now" if v.person else f"nobody has task {v.number} now",
    e.TaskDone: lambda v, a: f"task {v.number} is done",
    e.WarRoomOrdered: lambda v, a: _WAR_ROOM[v.what].format(person=v.person),
    e.WarRoomEnded: lambda v, a: _war_room(v),
    e.UpdateWritten: lambda v, a: f"update: {v.text}",
    e.PostmortemWritten: lambda v, a: f"wrote the post-mortem of {v.incident}",
    e.ActionJudged: _judged,
    e.ActionOrdered: _ordered,
    e.ActionEnded: _ended,
    e.ActionApproved: lambda v, a: f"said yes to {_name(v.action_id, a)}",
    e.ActionDropped: lambda v, a: f"{_name(v.action_id, a)} dropped: {v.why}",
    e.ExpectationJudged: lambda v, a: f"{_name(v.action_id, a)} {_RESULTS.get(v.result, v.result)}: {v.why}",
    e.AutonomyChanged: lambda v, a: f"playbook {v.playbook} is now at {v.level}: {v.why}",
    e.HandsOffChanged: lambda v, a: "hands off: midwatch touches nothing" if v.on else "hands on again",
    e.PageOrdered: lambda v, a: _paged(v),
    e.PageEnded: lambda v, a: "" if v.status == "delivered" else f"page {v.page} {v.status}: {v.why}",
    e.IncidentAcknowledged: lambda v, a: f"acknowledged {v.incident}",
    e.AcknowledgementExpired: lambda v, a: f"the acknowledgement of {v.by or 'somebody'} holds no longer: {v.why}",
    e.EscalationStarted: lambda v, a: f"escalation {v.number} begins, policy {v.policy}: {v.why}",
    e.EscalationAdvanced: lambda v, a: f"level {v.level} is woken now: {v.why}",
    e.OverrideSet: lambda v, a: _override(v.override),
    e.OverrideEnded: lambda v, a: f"ended {v.override}",
    e.SwapAsked: lambda v, a: (
        f"{v.swap.by} asks {v.swap.to or 'anybody'} to take a shift of {v.swap.schedule} ({v.swap.ident})"
    ),
    e.SwapAnswered: lambda v, a: f"{v.swap} was {v.answer}",
    e.AlertsReceived: lambda v, a: (
        f"{len(v.alerts)} alerts came in" + (f", {sum(v.again.values())} were said again" if v.again else "")
    ),
    e.AlertsJudged: lambda v, a: (
        "; ".join(
            f"alert {one.key}: {one.place}{f' in {one.incident}' if one.incident else ''} ({one.why})"
            for one in v.judged[:3]
        )
        + (f"; and {len(v.judged) - 3} more" if len(v.judged) > 3 else "")
    ),
    e.AlertNoted: lambda v, a: f"note on the alert {v.key}: {v.text}",
    e.SilenceSet: lambda v, a: (
        f"{v.silence.id} holds back alerts until {clock(v.silence.end_at)} UTC: {v.silence.reason}"
    ),
    e.SilenceEnded: lambda v, a: (
        f"{v.silence} ended: {v.why}" + (f", {v.firing} alerts still fire" if v.firing else "")
    ),
    e.SignedIn: lambda v, a: f"signed in by {v.how}" + (f" as {v.role}" if v.role else ""),
    e.AccessRefused: lambda v, a: (
        f"{v.by or 'somebody'} may not {v.what}: {v.why}" + (f" ({v.times} times)" if v.times > 1 else "")
    ),
    e.SecretsRead: lambda v, a: f"{len(v.reads)} secrets were read",
    e.SettingsRead: lambda v, a: f"settings read: {', '.join(v.changed) or 'nothing'} changed",
    e.TextErased: lambda v, a: f"erased the text of {len(v.seqs)} entries of the journal: {v.why}",
    e.OnCallChanged: lambda v, a: f"on call in {v.schedule}: {v.person or 'nobody'}, after {v.was or 'nobody'}",
    e.CommandRefused: lambda v, a: f"{v.by}'s {v.verb.replace('_', ' ')} was not obeyed: {v.why}",
    e.BudgetAdjusted: lambda v, a: _adjusted(v),
    e.AdjustmentCounted: lambda v, a: (
        f"{v.adjustment}: {sum(t for _, t in v.counts.values()):.6g} events, "
        f"{sum(t - g for g, t in v.counts.values()):.6g} of them bad"
    ),
    e.AdjustmentWithdrawn: lambda v, a: f"withdrew {v.adjustment}: {v.reason}",
    e.BudgetCrossed: lambda v, a: v.why,
    e.MailingOrdered: lambda v, a: f"mail to the status page's subscribers: {v.subject}",
    e.MailingEnded: lambda v, a: (
        f"{v.mailing}: {v.sent} mails taken, {v.failed} not, {v.in_doubt} in doubt, {v.dropped} not needed any more"
    ),
    e.SubscribersTouched: lambda v, a: f"{v.what} {v.count} of the status page's subscribers",
    e.ItemOpened: lambda v, a: f"{v.item.id} for {v.item.owner}: {v.item.what}",
    e.ItemFiled: lambda v, a: f"{v.item} is {v.ref} in {v.tracker}",
    e.ItemSeenAgain: lambda v, a: f"{v.item} is still open, and {v.incident} is another case of it",
    e.ItemLate: lambda v, a: f"{v.item} is late",
    e.ItemClosed: lambda v, a: f"{v.item} closed: {v.why}",
}


_WAR_ROOM: Final[dict[str, str]] = {
    "open": "opens a war room in the chat",
    "invite": "calls {person} into the war room",
    "archive": "archives the war room",
}


def _war_room(event: e.WarRoomEnded) -> str:
    why = f": {event.why}" if event.why else ""
    if event.what == "open":
        return f"war room #{event.name} is open" if event.done else f"no war room in the chat{why}"
    if event.what == "invite" and not event.done:
        return f"{event.person} is not in the war room{why}"
    if event.what == "archive" and (why or not event.done):
        return f"the war room is {'closed' if event.done else 'not archived'}{why}"
    return f"the summary in the war room is not pinned{why}" if event.what == "summary" and why else ""


def _learned(event: e.GroupingLearned) -> str:
    said = [f"{place(one)} and {place(other)}" for one, other in event.pairs[:3]]
    more = len(event.pairs) - len(said)
    how = "belong to one incident" if event.together else "are separate incidents"
    return f"learned that {', '.join(said)}{f' and {more} more' if more else ''} {how}, when next in doubt"


def _gap(subject: str, reason: str) -> str:
    kind, _, name = subject.partition(":")
    if kind in ("counts", "groups"):
        return f"{name}: {reason}" if reason else f"{name}: its counts are as they should be again"
    where = name if kind in ("slo", "source") else place(subject)
    return f"no data of {where}: {reason}" if reason else f"data of {where} is back"


def _adjusted(event: e.BudgetAdjusted) -> str:
    one = event.adjustment
    what = "excludes" if one.kind == "exclude" else "gives back the bad events of"
    seconds = f"{(one.until_at - one.since_at) / 60:.4g} min from {clock(one.since_at)} UTC"
    return f"{one.id} {what} {seconds} for {one.slo or 'every promise'}: {one.reason}"


def _override(one: Override) -> str:
    relieved = f" instead of {one.instead_of}" if one.instead_of else ""
    return f"{one.person or 'nobody'} stands in for {one.schedule}{relieved} ({one.ident})"


def _paged(event: e.PageOrdered) -> str:
    whom = f"{event.person} over {event.channel}" if event.person else event.channel
    if "resolved" in event.topics:
        return f"told {whom} that it is over"
    return f"paged {whom}" + (f" (page {event.repeat + 1})" if event.repeat else "")


def _closed(event: e.FindingClosed) -> str:
    kind, _, rest = event.finding_id.partition("|")
    return f"{kind.replace('_', ' ')} in {place(rest.partition('|')[0])} ended: {event.why}"
