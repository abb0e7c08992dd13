"""What happened to an incident, in order and in words: a projection of the journal, bounded."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from midwatch.model import events as e
from midwatch.model.entity import name_of
from midwatch.model.faults import DESCRIPTIONS

MAX_INCIDENTS = 200
MAX_ENTRIES = 400
MAX_RECENT = 300


class Entry(Struct, frozen=True):
    """One line of a timeline. ``kind`` is the event's tag; ``actor`` is midwatch or who gave the command."""

    seq: int
    at: float
    kind: str
    text: str
    incident: str = ""
    action: str = ""
    actor: str = "midwatch"


class Chronicle:
    """Timelines by incident, the newest lines of all, and the post-mortems. Feed it every Recorded in order."""

    def __init__(self) -> None:
        self.postmortems: OrderedDict[str, str] = OrderedDict()
        self.updates: OrderedDict[str, e.UpdateWritten] = OrderedDict()
        self.recent: deque[Entry] = deque(maxlen=MAX_RECENT)
        self._by_incident: OrderedDict[str, deque[Entry]] = OrderedDict()
        self._action: OrderedDict[str, tuple[str, str]] = OrderedDict()  # action id -> incident, "verb target"
        self._page: OrderedDict[str, tuple[str, str]] = OrderedDict()  # page id -> incident, channel

    def read(self, recorded: Iterable[e.Recorded]) -> Chronicle:
        for one in recorded:
            self.add(one)
        return self

    def of(self, incident: str) -> tuple[Entry, ...]:
        return tuple(self._by_incident.get(incident, ()))

    def add(self, recorded: e.Recorded) -> None:
        event = recorded.event
        if isinstance(event, e.ActionJudged):
            _keep(self._action, event.action.id, (event.action.incident, _doing(event.action)), MAX_INCIDENTS * 20)
        elif isinstance(event, e.PageOrdered):
            _keep(self._page, event.page, (event.incident, event.channel), MAX_INCIDENTS * 20)
        elif isinstance(event, e.PostmortemWritten):
            _keep(self.postmortems, event.incident, event.markdown, MAX_INCIDENTS)
        elif isinstance(event, e.UpdateWritten):
            _keep(self.updates, event.incident, event, MAX_INCIDENTS)
        entry = self._entry(recorded)
        if entry is None:
            return
        self.recent.append(entry)
        if entry.incident:
            lines = self._by_incident.get(entry.incident)
            if lines is None:
                lines = deque(maxlen=MAX_ENTRIES)
                _keep(self._by_incident, entry.incident, lines, MAX_INCIDENTS)
            lines.append(entry)

    def _entry(self, recorded: e.Recorded) -> Entry | None:
        event = recorded.event
        say = _SAY.get(type(event))
        if say is None:
            return None
        action = getattr(event, "action_id", "")
        incident = getattr(event, "incident", "")
        subject = ""
        if isinstance(event, e.ActionJudged):
            action, incident, subject = event.action.id, event.action.incident, _doing(event.action)
        elif action:
            incident, subject = self._action.get(action, ("", action))
        elif isinstance(event, e.PageEnded):
            incident, subject = self._page.get(event.page, ("", event.page))
        elif isinstance(event, e.CommandGiven):
            incident = self._action.get(event.target, (event.target if event.target.startswith("INC") else "", ""))[0]
        return Entry(
            seq=recorded.seq,
            at=recorded.at,
            kind=str(type(event).__struct_config__.tag),
            text=say(event, subject),
            incident=incident,
            action=action,
            actor=getattr(event, "by", "") or "midwatch",
        )


def _keep(kept: OrderedDict[str, Any], key: str, value: Any, bound: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > bound:
        kept.popitem(last=False)


def _doing(action: Any) -> str:
    parameters = ", ".join(f"{k}={v}" for k, v in action.parameters.items())
    return f"{action.verb} {name_of(action.target)}" + (f" ({parameters})" if parameters else "")


def _ranked(event: e.CauseRanked, _: str) -> str:
    if not event.hypotheses:
        return f"No likely cause yet: {event.why or 'nothing stands out'}"
    first = event.hypotheses[0]
    what = DESCRIPTIONS.get(first.kind, first.kind)
    return (
        f"Likely cause: {what} at {name_of(first.entity)} ({first.probability:.0%}; none of these {event.unknown:.0%})"
    )


def _ended(event: e.ActionEnded, subject: str) -> str:
    said = {"done": "carried out", "failed": "failed", "in_doubt": "in doubt"}[event.outcome.status]
    how = "asked what is true: " if event.reconciled else ""
    return f"{how}{subject}: {said}" + (f" ({event.outcome.result})" if event.outcome.result else "")


def _commanded(event: e.CommandGiven, _: str) -> str:
    words = " ".join(part for part in (event.verb.replace("_", " "), event.target, event.value) if part)
    return f"{event.by} said: {words} (by {event.via})" + (f": {event.note}" if event.note else "")


def _decided(event: e.ActionJudged, subject: str) -> str:
    said = {
        "run": "may run",
        "rehearse": "would be done, nothing is touched",
        "ask": "waits for a yes",
        "refuse": "is refused",
    }[event.verdict.decision]
    return f"{subject} {said}: {event.verdict.why} (rule {event.verdict.rule})"


# One line per event that a reader of a timeline wants; what is missing here is not shown.
_SAY: dict[type, Callable[[Any, str], str]] = {
    e.WatchStarted: lambda ev, _: f"The watch began ({ev.reason or 'start'}, version {ev.version}, epoch {ev.epoch})",
    e.PolicyLoaded: lambda ev, _: (
        f"Policy loaded: mode {ev.policy.mode}, {len(ev.policy.slos)} SLOs, {len(ev.policy.playbooks)} playbooks"
    ),
    e.SloDiscovered: lambda ev, _: f"Promise proposed: {ev.slo.name} ({ev.why})",
    e.GapOpened: lambda ev, _: f"No data from {ev.subject}: {ev.reason}",
    e.GapClosed: lambda ev, _: f"Data from {ev.subject} again",
    e.CommandGiven: _commanded,
    e.ChangeSeen: lambda ev, _: (
        f"{ev.change.kind} of {name_of(ev.change.entity)}: {ev.change.summary or ev.change.after or ev.change.id}"
    ),
    e.IncidentOpened: lambda ev, _: f"Opened as SEV{ev.severity}: {ev.title} ({ev.severity_reason})",
    e.IncidentGrew: lambda ev, _: f"More belongs to it: {', '.join(map(name_of, ev.symptoms)) or 'findings'} ({ev.why})",
    e.IncidentRated: lambda ev, _: f"Now SEV{ev.severity}: {ev.reason}",
    e.CauseRanked: _ranked,
    e.CauseConfirmed: lambda ev, _: (
        f"Cause confirmed: {DESCRIPTIONS.get(ev.kind, ev.kind)} at {name_of(ev.entity)} by {ev.by}"
    ),
    e.IncidentCalmed: lambda ev, _: "Users no longer feel it" if ev.calm else "Users feel it again",
    e.IncidentMitigated: lambda ev, _: f"Mitigated by {ev.by}",
    e.IncidentResolved: lambda ev, _: f"Resolved: {ev.why}",
    e.IncidentAcknowledged: lambda ev, _: f"Acknowledged by {ev.by}",
    e.UpdateWritten: lambda ev, _: ev.text,
    e.PostmortemWritten: lambda ev, _: "Post-mortem written",
    e.ActionJudged: _decided,
    e.ActionApproved: lambda ev, subject: f"{ev.by} said yes to: {subject}",
    e.ActionOrdered: lambda ev, subject: (
        f"Ordered: {subject}" + (f", approved by {', '.join(ev.approved_by)}" if ev.approved_by else "")
    ),
    e.ActionEnded: _ended,
    e.ActionDropped: lambda ev, subject: f"Dropped: {subject} ({ev.why})",
    e.ExpectationJudged: lambda ev, subject: f"Expectation {ev.result}: {subject} ({ev.why})",
    e.AutonomyChanged: lambda ev, _: f"Playbook {ev.playbook} is now at {ev.level}: {ev.why}",
    e.HandsOffChanged: lambda ev, _: (
        f"Hands off: no action any more, by {ev.by}" if ev.on else f"Hands on again, by {ev.by}"
    ),
    e.PageOrdered: lambda ev, _: f"Paging {ev.channel}: {ev.subject}" + (f" (repeat {ev.repeat})" if ev.repeat else ""),
    e.PageEnded: lambda ev, subject: (
        f"Page to {subject} {ev.status}" + (f" after {ev.attempts} attempts" if ev.attempts > 1 else "")
        + (f": {ev.why}" if ev.why else "")
    ),
    e.CommandRefused: lambda ev, _: f"Not obeyed: {ev.verb} {ev.target}: {ev.why}",
}  # fmt: skip
