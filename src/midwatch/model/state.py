"""Decision state: the fold of the journal, and nothing else.

``fold(state, recorded)`` is total: it never raises on an event that was valid when it was written, and an event about
something unknown changes nothing. State stays small; samples never come here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from midwatch.model import (
    alert_steps,
    deed_steps,
    item_steps,
    people_steps,
    rating_steps,
    regroup_steps,
    room_steps,
    war_room,
)
from midwatch.model import events as e
from midwatch.model.actions import Action, Outcome, Verdict
from midwatch.model.adjustments import Adjustment, Crossing, SloEdit
from midwatch.model.alerts import AlertNote, AlertRecord, Silence
from midwatch.model.deed_steps import Deed, Kept
from midwatch.model.findings import HARMFUL, Finding, Hindsight, Incident
from midwatch.model.items import ItemRecord
from midwatch.model.mailings import Mailing, mailing_ended, mailing_ordered
from midwatch.model.people import Escalation, OnCall, Override, Swap
from midwatch.model.policy import Policy
from midwatch.model.regroup_steps import Pairing
from midwatch.model.room import Decision, Room, Task
from midwatch.model.slo import Slo
from midwatch.model.war_room import WarRoom
from midwatch.model.world import Change

MAX_CHANGES = 200
MAX_CLOSED_INCIDENTS = 200
MAX_OLD_PAGES = 500  # of incidents that are over
MAX_PAGES = 10_000  # who was told of an open incident is not forgotten before
PAGES_AT_ONCE = 50  # so many more there may be, so that not each page looks through all
MAX_ADJUSTMENTS = 500
MAX_SLO_EDITS = 200
MAX_HINDSIGHT = 1000
MAX_HEARD = 2000
HEARD_SECONDS = 8 * 3600.0  # longer than what is done elsewhere may take to get here


class ActionRecord(Struct, frozen=True):
    """An action's life. ``status``: asked, rehearsed, refused, ordered, done, failed, in_doubt, met, missed, unknown,
    dropped."""

    action: Action
    verdict: Verdict
    status: str
    judged_at: float
    ordered_at: float | None = None
    ended_at: float | None = None
    outcome: Outcome | None = None
    approved_by: tuple[str, ...] = ()
    result_why: str = ""
    credentials: tuple[str, ...] = ()  # by which the yeses came, each once; "" is the shared token


class PageRecord(Struct, frozen=True):
    """A page's life. ``status``: ordered (due to be sent, or in doubt after a crash), delivered, failed, withdrawn."""

    ordered: e.PageOrdered
    ordered_at: float
    status: str = "ordered"
    ended_at: float | None = None
    why: str = ""
    place: str = ""


class PlaybookRecord(Struct, frozen=True):
    """What a playbook has earned: its level, and its verified outcomes."""

    level: str
    met: int = 0
    missed: int = 0
    why: str = ""
    streak: int = 0  # met on end since the last miss or change of level


class State(Struct, frozen=True):
    seq: int = 0
    at: float = 0.0
    epoch: int = 0
    policy: Policy = Policy()
    discovered_slos: dict[str, Slo] = field(default_factory=dict)
    hands_off: bool = False
    hands_off_by: str = ""
    gaps: dict[str, str] = field(default_factory=dict)
    findings: dict[str, Finding] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    actions: dict[str, ActionRecord] = field(default_factory=dict)
    pages: dict[str, PageRecord] = field(default_factory=dict)
    playbooks: dict[str, PlaybookRecord] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    next_incident: int = 1
    next_action: int = 1
    next_page: int = 1
    causes_seen: dict[str, int] = field(default_factory=dict)  # confirmed or verified causes by fault kind
    hindsight: tuple[Hindsight, ...] = ()  # one per incident whose cause was confirmed, the newest last
    adjustments: tuple[Adjustment, ...] = ()  # in the order in which they were said
    next_adjustment: int = 1
    crossings: dict[str, Crossing] = field(default_factory=dict)  # budget rules that hold, by ``BudgetRule.ident``
    slo_edits: tuple[SloEdit, ...] = ()
    pairings: tuple[Pairing, ...] = ()  # which entities belong to one incident, as people said; the newest last
    alerts: dict[str, AlertRecord] = field(default_factory=dict)  # of other systems, by ``Alert.key``
    silences: dict[str, Silence] = field(default_factory=dict)  # those that are not over
    next_silence: int = 1
    items: dict[str, ItemRecord] = field(default_factory=dict)  # what incidents left to be done
    next_item: int = 1
    escalations: dict[str, Escalation] = field(default_factory=dict)  # the newest of each incident, by its id
    turns: dict[str, int] = field(default_factory=dict)  # how many escalations each policy has begun
    on_call: dict[str, OnCall] = field(default_factory=dict)  # by schedule, as last journaled
    overrides: tuple[Override, ...] = ()  # that people said since, in order
    next_override: int = 1
    swaps: tuple[Swap, ...] = ()
    next_swap: int = 1
    settings: dict[str, str] = field(default_factory=dict)  # part of the settings -> its digest
    rooms: dict[str, Room] = field(default_factory=dict)  # who does what, by incident
    war_rooms: dict[str, WarRoom] = field(default_factory=dict)  # the chat channel of each incident that has one
    heard: dict[str, float] = field(default_factory=dict)  # keys of what was done at other products, and when it came
    mailings: dict[str, Mailing] = field(default_factory=dict)  # the newest of each incident, by its id
    deeds: dict[str, tuple[Deed, ...]] = field(default_factory=dict)  # of people, until the post-mortem tells them

    @property
    def open_incidents(self) -> tuple[Incident, ...]:
        return tuple(i for i in self.incidents.values() if i.phase != "resolved")

    @property
    def slos(self) -> tuple[Slo, ...]:
        """Written promises, and the discovered ones for entities that have none in writing."""
        written = {slo.entity for slo in self.policy.slos}
        return self.policy.slos + tuple(s for s in self.discovered_slos.values() if s.entity not in written)

    def actions_of(self, incident: str) -> tuple[ActionRecord, ...]:
        return _by_incident(self.actions, lambda r: r.action.incident).get(incident, ())

    def pages_of(self, incident: str) -> tuple[PageRecord, ...]:
        return _by_incident(self.pages, lambda r: r.ordered.incident).get(incident, ())


_R = TypeVar("_R")
_GROUPED: deque[tuple[Any, Any]] = deque(maxlen=6)


def _by_incident(records: dict[str, _R], incident_of: Callable[[_R], str]) -> dict[str, tuple[_R, ...]]:
    """``records`` by incident. A turn asks for each of a thousand incidents, so the last few answers are kept by the very
    mapping that was asked about: what is in a state never changes."""
    for known, grouped in tuple(_GROUPED):
        if known is records:
            return grouped  # type: ignore[no-any-return]
    found: dict[str, list[_R]] = {}
    for record in records.values():
        found.setdefault(incident_of(record), []).append(record)
    told = {incident: tuple(some) for incident, some in found.items()}
    _GROUPED.append((records, told))
    return told


def fold(state: State, recorded: e.Recorded) -> State:
    """The state after one more event."""
    step = _STEPS.get(type(recorded.event))
    after = step(state, recorded.event, recorded.at) if step else state
    if isinstance(recorded.event, Kept) and (ident := _about(state, recorded.event)):
        after = replace(after, deeds=deed_steps.told(after.deeds, ident, recorded.event, recorded.at))
    return replace(after, seq=recorded.seq, at=max(state.at, recorded.at))


def _about(state: State, event: Kept) -> str:
    """The open incident that somebody did something about; "" when it is about none that state knows."""
    ident = event.target if isinstance(event, e.CommandGiven) else getattr(event, "incident", "")
    ident = ident or getattr(event, "action_id", "")
    if ident in state.actions:
        ident = state.actions[ident].action.incident
    elif ident in state.pages:
        ident = state.pages[ident].ordered.incident
    return ident if ident in state.incidents and state.incidents[ident].phase != "resolved" else ""


def fold_all(recorded: Iterable[e.Recorded], state: State | None = None) -> State:
    """The state after all of ``recorded``, from ``state`` or from nothing."""
    state = state or State()
    for one in recorded:
        state = fold(state, one)
    return state


_Step = Callable[[State, Any, float], State]
_STEPS: dict[type, _Step] = {}
_F = TypeVar("_F", bound=_Step)


def _on(kind: type) -> Callable[[_F], _F]:
    def register(step: _F) -> _F:
        _STEPS[kind] = step
        return step

    return register


def _incident(state: State, ident: str, **changes: Any) -> State:
    old = state.incidents.get(ident)
    if old is None:
        return state
    return replace(state, incidents={**state.incidents, ident: replace(old, **changes)})


def _action(state: State, ident: str, **changes: Any) -> State:
    old = state.actions.get(ident)
    if old is None:
        return state
    return replace(state, actions={**state.actions, ident: replace(old, **changes)})


@_on(e.WatchStarted)
def _watch_started(state: State, event: e.WatchStarted, at: float) -> State:
    return replace(state, epoch=event.epoch)


@_on(e.PolicyLoaded)
def _policy_loaded(state: State, event: e.PolicyLoaded, at: float) -> State:
    before = {p.name: p.autonomy for p in state.policy.playbooks}
    playbooks: dict[str, PlaybookRecord] = {}
    for book in event.policy.playbooks:
        known = state.playbooks.get(book.name)
        if known is None:
            known = PlaybookRecord(level=book.autonomy)
        elif before.get(book.name) != book.autonomy:  # its file says another level now: a person's word, like any other
            known = replace(known, level=book.autonomy, why="its file says so", streak=0)
        playbooks[book.name] = known
    edits = _slo_edits(state.policy.slos, event.policy.slos, at) if state.policy.slos else ()
    return replace(
        state, policy=event.policy, playbooks=playbooks, slo_edits=(*state.slo_edits, *edits)[-MAX_SLO_EDITS:]
    )


def _slo_edits(before: tuple[Slo, ...], after: tuple[Slo, ...], at: float) -> tuple[SloEdit, ...]:
    """What a new policy says differently about promises of the same name: their history goes on under the new words."""
    known = {slo.name: slo for slo in before}
    found = []
    for slo in after:
        old = known.get(slo.name)
        if old is None or old == slo:
            continue
        names = (f for f in Slo.__struct_fields__ if f not in ("source", "description", "annotations"))
        changed = [f for f in names if getattr(old, f) != getattr(slo, f)]
        plain = {f for f in changed if isinstance(getattr(slo, f), str | float) and f != "name"}
        said = [
            f"{f.replace('_', ' ')} {getattr(old, f)!s} -> {getattr(slo, f)!s}" if f in plain else f for f in changed
        ]
        if said:
            found.append(SloEdit(at, slo.name, ", ".join(said)))
    return tuple(found)


@_on(e.SloDiscovered)
def _slo_discovered(state: State, event: e.SloDiscovered, at: float) -> State:
    return replace(state, discovered_slos={**state.discovered_slos, event.slo.name: event.slo})


@_on(e.CommandGiven)
def _command_given(state: State, event: e.CommandGiven, at: float) -> State:
    if not event.key:
        return state
    kept = [(key, then) for key, then in state.heard.items() if at - then < HEARD_SECONDS and key != event.key]
    return replace(state, heard=dict([*kept, (event.key, at)][-MAX_HEARD:]))


@_on(e.GapOpened)
def _gap_opened(state: State, event: e.GapOpened, at: float) -> State:
    return replace(state, gaps={**state.gaps, event.subject: event.reason})


@_on(e.GapClosed)
def _gap_closed(state: State, event: e.GapClosed, at: float) -> State:
    return replace(state, gaps={k: v for k, v in state.gaps.items() if k != event.subject})


@_on(e.ChangeSeen)
def _change_seen(state: State, event: e.ChangeSeen, at: float) -> State:
    if any(c.id == event.change.id for c in state.changes):
        return state
    return replace(state, changes=(*state.changes, event.change)[-MAX_CHANGES:])


@_on(e.FindingOpened)
def _finding_opened(state: State, event: e.FindingOpened, at: float) -> State:
    return replace(state, findings={**state.findings, event.finding.id: event.finding})


@_on(e.FindingClosed)
def _finding_closed(state: State, event: e.FindingClosed, at: float) -> State:
    return replace(state, findings={k: v for k, v in state.findings.items() if k != event.finding_id})


@_on(e.IncidentOpened)
def _incident_opened(state: State, event: e.IncidentOpened, at: float) -> State:
    incident = Incident(
        id=event.incident,
        opened_at=at,
        onset_at=event.onset_at,
        severity=event.severity,
        title=event.title,
        findings=event.findings,
        symptoms=event.symptoms,
        impact=event.impact,
        severity_reason=event.severity_reason,
        split_from=event.split_from,
        regrouped_at=at if event.split_from else None,
    )
    kept = _without_oldest_resolved(state)
    return replace(
        kept,
        incidents={**kept.incidents, incident.id: incident},
        next_incident=state.next_incident + 1,
        escalations=people_steps.carried(kept.escalations, event.split_from, incident.id),
    )


def _without_oldest_resolved(state: State) -> State:
    """Bound what state remembers: the journal still has it all."""
    resolved = [i for i in state.incidents.values() if i.phase == "resolved"]
    if len(resolved) < MAX_CLOSED_INCIDENTS:
        return state
    gone = {i.id for i in sorted(resolved, key=lambda i: i.opened_at)[: len(resolved) - MAX_CLOSED_INCIDENTS + 1]}
    return replace(
        state,
        incidents={k: v for k, v in state.incidents.items() if k not in gone},
        actions={k: v for k, v in state.actions.items() if v.action.incident not in gone},
        pages={k: v for k, v in state.pages.items() if v.ordered.incident not in gone},
        escalations={k: v for k, v in state.escalations.items() if k not in gone},
        rooms={k: v for k, v in state.rooms.items() if k not in gone},
        war_rooms={k: v for k, v in state.war_rooms.items() if k not in gone},
        mailings={k: v for k, v in state.mailings.items() if k not in gone},
        deeds={k: v for k, v in state.deeds.items() if k not in gone},
    )


@_on(e.IncidentGrew)
def _incident_grew(state: State, event: e.IncidentGrew, at: float) -> State:
    old = state.incidents.get(event.incident)
    if old is None:
        return state
    findings = (*old.findings, *(f for f in event.findings if f not in old.findings))
    symptoms = (*old.symptoms, *(s for s in event.symptoms if s not in old.symptoms))
    return _incident(state, event.incident, findings=findings, symptoms=symptoms)


@_on(e.IncidentRated)
def _incident_rated(state: State, event: e.IncidentRated, at: float) -> State:
    old = state.incidents.get(event.incident)
    if old is None:
        return state
    return replace(state, incidents={**state.incidents, old.id: rating_steps.rated(old, event, at)})


@_on(e.CauseRanked)
def _cause_ranked(state: State, event: e.CauseRanked, at: float) -> State:
    return _incident(state, event.incident, hypotheses=event.hypotheses, unknown=event.unknown, diagnosed_at=at)


@_on(e.CauseConfirmed)
def _cause_confirmed(state: State, event: e.CauseConfirmed, at: float) -> State:
    incident = state.incidents.get(event.incident)
    if incident is None:
        return state
    seen = {**state.causes_seen, event.kind: state.causes_seen.get(event.kind, 0) + 1}
    hindsight = state.hindsight
    if (said := next(iter(incident.first_ranked or incident.hypotheses), None)) is not None:
        right = (said.entity, said.kind) == (event.entity, event.kind)
        others = tuple(one for one in hindsight if one.incident != incident.id)
        hindsight = (*others, Hindsight(incident.id, said.probability, right, event.by, at))[-MAX_HINDSIGHT:]
    confirmed = _incident(state, event.incident, confirmed_cause=f"{event.entity} {event.kind}")
    return replace(confirmed, causes_seen=seen, hindsight=hindsight)


@_on(e.IncidentCalmed)
def _incident_calmed(state: State, event: e.IncidentCalmed, at: float) -> State:
    return _incident(state, event.incident, calm_since_at=at if event.calm else None)


@_on(e.IncidentMitigated)
def _incident_mitigated(state: State, event: e.IncidentMitigated, at: float) -> State:
    return _incident(state, event.incident, phase="mitigated", mitigated_at=at)


@_on(e.IncidentResolved)
def _incident_resolved(state: State, event: e.IncidentResolved, at: float) -> State:
    old = state.incidents.get(event.incident)
    if old is None:
        return state
    changes = {"resolved_at": at, "impact": event.impact or old.impact, "heard_on": event.channel}
    after = _incident(state, event.incident, phase="resolved", **changes)
    # Findings that belong to a closed incident are closed with it: a harmful one that is still there opens a new one.
    gone = {f for f in old.findings if f in after.findings and after.findings[f].kind in HARMFUL}
    return replace(
        after,
        findings={k: v for k, v in after.findings.items() if k not in gone},
        alerts=alert_steps.closed_with(after.alerts, old.id, at),
    )


@_on(e.IncidentMerged)
def _incident_merged(state: State, event: e.IncidentMerged, at: float) -> State:
    kept, absorbed = state.incidents.get(event.incident), state.incidents.get(event.absorbed)
    if kept is None or absorbed is None or kept is absorbed:
        return state
    both = {kept.id: regroup_steps.keeper(kept, absorbed, at), absorbed.id: regroup_steps.gone(absorbed, kept.id, at)}
    actions = {ident: _carried(record, absorbed.id, kept.id) for ident, record in state.actions.items()}
    alerts = alert_steps.moved(state.alerts, absorbed.id, kept.id, frozenset(absorbed.findings))
    runs = people_steps.carried(state.escalations, absorbed.id, kept.id)
    rooms = room_steps.merged(state.rooms, absorbed.id, kept.id)
    incidents = {**state.incidents, **both}
    told = deed_steps.merged(state.deeds, absorbed.id, kept.id)
    return replace(
        state, incidents=incidents, actions=actions, alerts=alerts, escalations=runs, rooms=rooms, deeds=told
    )


def _carried(record: ActionRecord, source: str, into: str) -> ActionRecord:
    """An action goes along with its incident; what was only proposed stays behind, and is proposed anew."""
    if record.action.incident != source or record.status in ("asked", "rehearsed", "refused", "dropped"):
        return record
    return replace(record, action=replace(record.action, incident=into))


@_on(e.IncidentSplit)
def _incident_split(state: State, event: e.IncidentSplit, at: float) -> State:
    old = state.incidents.get(event.incident)
    if old is None:
        return state
    alerts = alert_steps.moved(state.alerts, event.incident, event.into, frozenset(event.findings))
    incidents = {**state.incidents, old.id: regroup_steps.rest(old, event.findings, event.symptoms, at)}
    if (other := incidents.get(event.into)) is not None:
        incidents[other.id] = replace(other, regrouped_at=at)
    return replace(state, incidents=incidents, alerts=alerts)


@_on(e.RoleTaken)
def _role_taken(state: State, event: e.RoleTaken, at: float) -> State:
    if event.incident not in state.incidents:
        return state
    return replace(state, rooms=room_steps.taken(state.rooms, event.incident, event.role, event.person))


@_on(e.DecisionMade)
def _decision_made(state: State, event: e.DecisionMade, at: float) -> State:
    if event.incident not in state.incidents:
        return state
    decision = Decision(at, event.by, event.text)
    return replace(state, rooms=room_steps.decided(state.rooms, event.incident, decision))


@_on(e.StepTicked)
def _step_ticked(state: State, event: e.StepTicked, at: float) -> State:
    if event.incident not in state.incidents:
        return state
    return replace(state, rooms=room_steps.ticked(state.rooms, event.incident, event.step, event.by))


@_on(e.StepUnticked)
def _step_unticked(state: State, event: e.StepUnticked, at: float) -> State:
    if event.incident not in state.incidents:
        return state
    return replace(state, rooms=room_steps.unticked(state.rooms, event.incident, event.step))


@_on(e.TaskSet)
def _task_set(state: State, event: e.TaskSet, at: float) -> State:
    if event.incident not in state.incidents:
        return state
    task = Task(event.number, event.what, event.person, event.by, at)
    return replace(state, rooms=room_steps.tasked(state.rooms, event.incident, task))


@_on(e.TaskGiven)
def _task_given(state: State, event: e.TaskGiven, at: float) -> State:
    return replace(state, rooms=room_steps.task_changed(state.rooms, event.incident, event.number, person=event.person))


@_on(e.TaskDone)
def _task_done(state: State, event: e.TaskDone, at: float) -> State:
    changes = {"done_by": event.by, "done_at": at}
    return replace(state, rooms=room_steps.task_changed(state.rooms, event.incident, event.number, **changes))


@_on(e.WarRoomOrdered)
def _war_room_ordered(state: State, event: e.WarRoomOrdered, at: float) -> State:
    if event.incident not in state.incidents:
        return state
    told = (event.incident, event.what, event.channel, event.name, event.person, at)
    return replace(state, war_rooms=war_room.ordered(state.war_rooms, *told))


@_on(e.WarRoomEnded)
def _war_room_ended(state: State, event: e.WarRoomEnded, at: float) -> State:
    found = {key: getattr(event, key) for key in ("name", "place", "url", "summary", "person")}
    after = war_room.ended(state.war_rooms, event.incident, event.what, event.done, event.why, **found)
    return replace(state, war_rooms=after)


@_on(e.GroupingLearned)
def _grouping_learned(state: State, event: e.GroupingLearned, at: float) -> State:
    learned = regroup_steps.learned(state.pairings, event.pairs, event.together, event.incident, event.by, at)
    return replace(state, pairings=learned)


@_on(e.IncidentAcknowledged)
def _incident_acknowledged(state: State, event: e.IncidentAcknowledged, at: float) -> State:
    changes = {"acknowledged_by": event.by, "acknowledged_at": at, "heard_on": event.channel}
    return _incident(state, event.incident, **changes)


_JUDGED_STATUS = {"run": "approved", "rehearse": "rehearsed", "ask": "asked", "refuse": "refused"}


@_on(e.PostmortemWritten)
def _postmortem_written(state: State, event: e.PostmortemWritten, at: float) -> State:
    return replace(state, deeds={k: v for k, v in state.deeds.items() if k != event.incident})


@_on(e.ActionJudged)
def _action_judged(state: State, event: e.ActionJudged, at: float) -> State:
    new = event.action.id not in state.actions
    before = state.actions.get(event.action.id)
    record = ActionRecord(
        event.action,
        event.verdict,
        _JUDGED_STATUS[event.verdict.decision],
        at,
        approved_by=before.approved_by if before else (),
        credentials=before.credentials if before else (),
    )
    if event.verdict.decision != "refuse":
        state = _freeze_first_rank(state, event.action.incident)
    return replace(
        state,
        actions={**state.actions, event.action.id: record},
        next_action=state.next_action + 1 if new else state.next_action,
    )


def _freeze_first_rank(state: State, incident: str) -> State:
    """The ranking as it stood at the first page or action is what diagnosis is scored on."""
    old = state.incidents.get(incident)
    if old is None or old.first_ranked or not old.hypotheses:
        return state
    return _incident(state, incident, first_ranked=old.hypotheses)


@_on(e.ActionOrdered)
def _action_ordered(state: State, event: e.ActionOrdered, at: float) -> State:
    record = state.actions.get(event.action_id)
    if record is None:
        return state
    state = _action(state, event.action_id, status="ordered", ordered_at=at, approved_by=event.approved_by)
    incident = state.incidents.get(record.action.incident)
    if incident is not None and incident.phase in ("open", "mitigating", "verifying"):
        state = _incident(state, incident.id, phase="mitigating")
    return state


@_on(e.ActionEnded)
def _action_ended(state: State, event: e.ActionEnded, at: float) -> State:
    record = state.actions.get(event.action_id)
    if record is None:
        return state
    state = _action(state, event.action_id, status=event.outcome.status, ended_at=at, outcome=event.outcome)
    incident = state.incidents.get(record.action.incident)
    if incident is not None and incident.phase == "mitigating" and event.outcome.status == "done":
        # An undo puts things back as they were: nothing is verified, the incident is open again.
        state = _incident(state, incident.id, phase="open" if record.action.undo_of else "verifying")
    return state


@_on(e.ActionApproved)
def _action_approved(state: State, event: e.ActionApproved, at: float) -> State:
    record = state.actions.get(event.action_id)
    if record is None or event.by in record.approved_by:
        return state
    credentials = tuple(dict.fromkeys((*record.credentials, event.credential)))
    return _action(state, event.action_id, approved_by=(*record.approved_by, event.by), credentials=credentials)


@_on(e.ActionDropped)
def _action_dropped(state: State, event: e.ActionDropped, at: float) -> State:
    return _action(state, event.action_id, status="dropped", result_why=event.why)


@_on(e.ExpectationJudged)
def _expectation_judged(state: State, event: e.ExpectationJudged, at: float) -> State:
    record = state.actions.get(event.action_id)
    if record is None:
        return state
    state = _action(state, event.action_id, status=event.result, result_why=event.why)
    book = state.playbooks.get(record.action.playbook)
    if book is not None and not record.action.undo_of and event.result in ("met", "missed"):
        streak = book.streak + 1 if event.result == "met" else 0
        book = replace(book, streak=streak, **{event.result: getattr(book, event.result) + 1})
        state = replace(state, playbooks={**state.playbooks, record.action.playbook: book})
    incident = state.incidents.get(record.action.incident)
    if incident is not None and incident.phase == "verifying" and event.result != "met":
        state = _incident(state, incident.id, phase="open")
    return state


@_on(e.AutonomyChanged)
def _autonomy_changed(state: State, event: e.AutonomyChanged, at: float) -> State:
    old = state.playbooks.get(event.playbook, PlaybookRecord(level=event.level))
    return replace(
        state, playbooks={**state.playbooks, event.playbook: replace(old, level=event.level, why=event.why, streak=0)}
    )


@_on(e.HandsOffChanged)
def _hands_off_changed(state: State, event: e.HandsOffChanged, at: float) -> State:
    return replace(state, hands_off=event.on, hands_off_by=event.by if event.on else "")


@_on(e.PageOrdered)
def _page_ordered(state: State, event: e.PageOrdered, at: float) -> State:
    pages = state.pages
    if len(pages) >= MAX_OLD_PAGES and len(pages) % PAGES_AT_ONCE == 0:
        pages = _pages_kept(pages, {i.id for i in state.open_incidents})
    state = _freeze_first_rank(state, event.incident)
    return replace(
        state,
        pages={**pages, event.page: PageRecord(event, at)},
        next_page=state.next_page + 1,
        escalations=people_steps.paged(state.escalations, event, at),
    )


def _pages_kept(pages: dict[str, PageRecord], live: set[str]) -> dict[str, PageRecord]:
    """Without the oldest of incidents that are over; a page under way is never forgotten."""
    done = [(k, p.ordered.incident in live) for k, p in pages.items() if p.status != "ordered"]
    gone = set([k for k, is_live in done if not is_live][: len(pages) - MAX_OLD_PAGES])
    left = max(0, len(pages) - len(gone) - MAX_PAGES)
    gone.update([k for k, is_live in done if is_live][:left])
    return {k: p for k, p in pages.items() if k not in gone}


@_on(e.PageEnded)
def _page_ended(state: State, event: e.PageEnded, at: float) -> State:
    old = state.pages.get(event.page)
    if old is None:
        return state
    return replace(
        state,
        pages={
            **state.pages,
            event.page: replace(old, status=event.status, ended_at=at, why=event.why, place=event.place),
        },
    )


@_on(e.BudgetAdjusted)
def _budget_adjusted(state: State, event: e.BudgetAdjusted, at: float) -> State:
    said = replace(event.adjustment, said_at=event.adjustment.said_at or at)
    kept = (*state.adjustments, said)[-MAX_ADJUSTMENTS:]
    return replace(state, adjustments=kept, next_adjustment=state.next_adjustment + 1)


@_on(e.AdjustmentCounted)
def _adjustment_counted(state: State, event: e.AdjustmentCounted, at: float) -> State:
    return _adjustment(state, event.adjustment, counts=event.counts, counted=True)


@_on(e.AdjustmentWithdrawn)
def _adjustment_withdrawn(state: State, event: e.AdjustmentWithdrawn, at: float) -> State:
    return _adjustment(state, event.adjustment, withdrawn_by=event.by)


def _adjustment(state: State, ident: str, **changes: Any) -> State:
    changed = tuple(replace(a, **changes) if a.id == ident else a for a in state.adjustments)
    return replace(state, adjustments=changed)


@_on(e.BudgetCrossed)
def _budget_crossed(state: State, event: e.BudgetCrossed, at: float) -> State:
    ident = f"{event.key}|{event.action}|{event.at:g}"
    left = {k: v for k, v in state.crossings.items() if k != ident}
    if event.over:
        left[ident] = Crossing(event.key, event.slo, event.action, event.at, event.spent, at, event.covered_seconds)
    return replace(state, crossings=left)


@_on(e.AlertsReceived)
def _alerts_received(state: State, event: e.AlertsReceived, at: float) -> State:
    return replace(state, alerts=alert_steps.received(state.alerts, event.alerts, event.again, at))


@_on(e.AlertsJudged)
def _alerts_judged(state: State, event: e.AlertsJudged, at: float) -> State:
    return replace(state, alerts=alert_steps.judged(state.alerts, event.judged))


@_on(e.AlertNoted)
def _alert_noted(state: State, event: e.AlertNoted, at: float) -> State:
    return replace(state, alerts=alert_steps.noted(state.alerts, event.key, AlertNote(at, event.by, event.text)))


@_on(e.SilenceSet)
def _silence_set(state: State, event: e.SilenceSet, at: float) -> State:
    silences = {**state.silences, event.silence.id: event.silence}
    return replace(state, silences=silences, next_silence=state.next_silence + 1)


@_on(e.SilenceEnded)
def _silence_ended(state: State, event: e.SilenceEnded, at: float) -> State:
    return replace(state, silences={k: v for k, v in state.silences.items() if k != event.silence})


@_on(e.AcknowledgementExpired)
def _acknowledgement_expired(state: State, event: e.AcknowledgementExpired, at: float) -> State:
    return _incident(state, event.incident, acknowledged_by="", acknowledged_at=None, heard_on="")


@_on(e.EscalationStarted)
def _escalation_started(state: State, event: e.EscalationStarted, at: float) -> State:
    if event.incident not in state.incidents:
        return state
    turns = {**state.turns, event.policy: event.turn + 1}
    return replace(state, escalations=people_steps.started(state.escalations, event, at), turns=turns)


@_on(e.EscalationAdvanced)
def _escalation_advanced(state: State, event: e.EscalationAdvanced, at: float) -> State:
    return replace(state, escalations=people_steps.advanced(state.escalations, event, at))


@_on(e.OverrideSet)
def _override_set(state: State, event: e.OverrideSet, at: float) -> State:
    kept = people_steps.overridden(state.overrides, event.override, at)
    return replace(state, overrides=kept, next_override=state.next_override + 1)


@_on(e.OverrideEnded)
def _override_ended(state: State, event: e.OverrideEnded, at: float) -> State:
    return replace(state, overrides=people_steps.override_ended(state.overrides, event.override, at))


@_on(e.SwapAsked)
def _swap_asked(state: State, event: e.SwapAsked, at: float) -> State:
    return replace(state, swaps=people_steps.asked(state.swaps, event.swap, at), next_swap=state.next_swap + 1)


@_on(e.SwapAnswered)
def _swap_answered(state: State, event: e.SwapAnswered, at: float) -> State:
    return replace(state, swaps=people_steps.answered(state.swaps, event.swap, event.answer, event.by))


@_on(e.OnCallChanged)
def _on_call_changed(state: State, event: e.OnCallChanged, at: float) -> State:
    return replace(state, on_call={**state.on_call, event.schedule: OnCall(event.person, at)})


@_on(e.ItemOpened)
def _item_opened(state: State, event: e.ItemOpened, at: float) -> State:
    return replace(state, items=item_steps.opened(state.items, event.item, at), next_item=state.next_item + 1)


@_on(e.ItemFiled)
def _item_filed(state: State, event: e.ItemFiled, at: float) -> State:
    changes = {"tracker": event.tracker, "ref": event.ref, "url": event.url}
    return replace(state, items=item_steps.changed(state.items, event.item, **changes))


@_on(e.ItemSeenAgain)
def _item_seen_again(state: State, event: e.ItemSeenAgain, at: float) -> State:
    return replace(state, items=item_steps.seen_again(state.items, event.item, event.incident))


@_on(e.ItemLate)
def _item_late(state: State, event: e.ItemLate, at: float) -> State:
    return replace(state, items=item_steps.changed(state.items, event.item, late_at=at))


@_on(e.ItemClosed)
def _item_closed(state: State, event: e.ItemClosed, at: float) -> State:
    changes = {"status": "closed", "closed_at": at, "closed_by": event.by, "why": event.why}
    return replace(state, items=item_steps.changed(state.items, event.item, **changes))


@_on(e.MailingOrdered)
def _mailing_ordered(state: State, event: e.MailingOrdered, at: float) -> State:
    return replace(state, mailings=mailing_ordered(state.mailings, event, at))


@_on(e.MailingEnded)
def _mailing_ended(state: State, event: e.MailingEnded, at: float) -> State:
    return replace(state, mailings=mailing_ended(state.mailings, event))


@_on(e.SettingsRead)
def _settings_read(state: State, event: e.SettingsRead, at: float) -> State:
    return replace(state, settings=event.parts)
