"""Every event that the journal can hold. State is the fold of these; the tag is the name, ``v`` the version.

Old journals stay readable: a field may be added with a default; anything else is a new event with a new tag.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct, field

from midwatch.model.actions import Action, Outcome, Scalar, Verdict
from midwatch.model.adjustments import Adjustment
from midwatch.model.alerts import Alert, Judged, Silence
from midwatch.model.findings import Finding, Hypothesis, Impact
from midwatch.model.items import ActionItem
from midwatch.model.people import Override, Swap
from midwatch.model.policy import Policy
from midwatch.model.slo import Slo
from midwatch.model.world import Change


class Base(Struct, frozen=True, tag_field="event", omit_defaults=True):
    pass


# -- the watch itself --


class WatchStarted(Base, frozen=True, tag="watch_started"):
    """A process took the watch. ``reason`` says whether it starts fresh or after a crash."""

    version: str
    epoch: int
    reason: str = ""
    v: int = 1


class PolicyLoaded(Base, frozen=True, tag="policy_loaded"):
    policy: Policy
    sources: tuple[str, ...] = ()
    v: int = 1


class SloDiscovered(Base, frozen=True, tag="slo_discovered"):
    """A promise that nobody wrote down, proposed from normal traffic."""

    slo: Slo
    why: str
    v: int = 1


class SloWithdrawn(Base, frozen=True, tag="slo_withdrawn"):
    """The promise ``slo`` that nobody wrote down makes room: what it was about has been gone for days."""

    slo: str
    why: str
    v: int = 1


class GapOpened(Base, frozen=True, tag="gap_opened"):
    subject: str
    reason: str
    v: int = 1


class GapClosed(Base, frozen=True, tag="gap_closed"):
    subject: str
    v: int = 1


# -- inputs: what people and webhooks say (journaled before the tick reads them) --

CommandVerb = Literal[
    "ack",
    "unack",
    "approve",
    "refuse",
    "undo",
    "confirm_cause",
    "hands_off",
    "hands_on",
    "resolve",
    "autonomy",
    "note",
    "adjust",
    "silence",
    "unsilence",
    "item",
    "item_done",
    "merge",
    "split",
    "move",
    "escalate",
    "override",
    "override_end",
    "swap",
    "swap_answer",
    "move_alert",
    "close_alert",
    "declare",
    "role",
    "decide",
    "tick",
    "untick",
    "task",
    "task_give",
    "task_done",
    "severity",
]
MAX_SAID: Final = 2000
"""Characters of each text of a command: what is longer is refused at the door, so nothing cuts it later."""


class CommandGiven(Base, frozen=True, tag="command_given"):
    """``target`` is an incident, action or page id, or a playbook's name; ``via`` is page, cli, api, chat, file, pagerduty
    or opsgenie. ``credential`` names the token that ``by`` was taken from; "" when the caller merely said who it is. What
    was done at another product has the ``channel`` through which it came, and its ``key`` there: the same key is the same
    word."""

    verb: str
    by: str
    target: str = ""
    value: str = ""
    note: str = ""
    via: str = "cli"
    credential: str = ""
    channel: str = ""
    key: str = ""
    v: int = 1


class ChangeSeen(Base, frozen=True, tag="change_seen"):
    change: Change
    v: int = 1


# -- alerts of other systems --


class AlertsReceived(Base, frozen=True, tag="alerts_received"):
    """What came in together, journaled before its senders are told so. ``alerts`` said something new, in the order in which
    they came; ``again`` counts by key how often a known alert was said once more."""

    alerts: tuple[Alert, ...] = ()
    again: dict[str, int] = field(default_factory=dict)
    v: int = 1


class AlertsJudged(Base, frozen=True, tag="alerts_judged"):
    """Where triage put these alerts; only those that it put elsewhere than before."""

    judged: tuple[Judged, ...]
    v: int = 1


class AlertNoted(Base, frozen=True, tag="alert_noted"):
    key: str
    by: str
    text: str
    v: int = 1


class SilenceSet(Base, frozen=True, tag="silence_set"):
    silence: Silence
    v: int = 1


class SilenceEnded(Base, frozen=True, tag="silence_ended"):
    """``why``: its time is over, or who ended it. ``firing`` alerts were under it then: they are looked at anew."""

    silence: str
    why: str
    firing: int = 0
    by: str = ""
    v: int = 1


# -- detect --


class FindingOpened(Base, frozen=True, tag="finding_opened"):
    finding: Finding
    v: int = 1


class FindingClosed(Base, frozen=True, tag="finding_closed"):
    finding_id: str
    why: str = "back to normal"
    v: int = 1


# -- incidents --


class IncidentOpened(Base, frozen=True, tag="incident_opened"):
    incident: str
    title: str
    onset_at: float
    severity: int
    severity_reason: str
    findings: tuple[str, ...]
    symptoms: tuple[str, ...]
    impact: Impact | None = None
    why: str = ""  # why it is an incident of its own, where one would expect otherwise
    split_from: str = ""  # the incident that a person took it out of
    v: int = 1


class IncidentGrew(Base, frozen=True, tag="incident_grew"):
    """More findings belong to it; ``why`` says by what (time, topology)."""

    incident: str
    findings: tuple[str, ...]
    symptoms: tuple[str, ...]
    why: str
    v: int = 1


class IncidentRated(Base, frozen=True, tag="incident_rated"):
    """``by`` a person, or "" for the facts. A person's word holds while ``facts`` (what these rated it then) is no worse;
    with ``facts`` 0 it is given back to them."""

    incident: str
    severity: int
    reason: str
    impact: Impact | None = None
    title: str = ""
    by: str = ""
    facts: int = 0
    v: int = 1


class CauseRanked(Base, frozen=True, tag="cause_ranked"):
    """The diagnosis as it stands. ``unknown`` is the probability of "none of these"."""

    incident: str
    hypotheses: tuple[Hypothesis, ...]
    unknown: float
    why: str = ""
    v: int = 1


class CauseConfirmed(Base, frozen=True, tag="cause_confirmed"):
    incident: str
    entity: str
    kind: str
    by: str
    v: int = 1


class IncidentCalmed(Base, frozen=True, tag="incident_calmed"):
    """Users no longer feel it (``calm`` true), or that cannot be said any more (false): they feel it again, or ``why``."""

    incident: str
    calm: bool
    why: str = ""
    v: int = 1


class IncidentMitigated(Base, frozen=True, tag="incident_mitigated"):
    incident: str
    by: str  # an action id, or "itself"
    v: int = 1


class IncidentResolved(Base, frozen=True, tag="incident_resolved"):
    incident: str
    why: str
    impact: Impact | None = None
    channel: str = ""  # as in IncidentAcknowledged
    v: int = 1


class IncidentMerged(Base, frozen=True, tag="incident_merged"):
    """A person said that ``absorbed`` is part of ``incident``: its findings, its actions under way and its alerts count
    there from now on, and it is over as an incident of its own."""

    incident: str
    absorbed: str
    by: str
    why: str = ""
    v: int = 1


class IncidentSplit(Base, frozen=True, tag="incident_split"):
    """A person said that ``findings`` (about ``symptoms``) are not part of ``incident`` but of ``into``: a new incident
    (IncidentOpened follows) or another open one (IncidentGrew follows)."""

    incident: str
    into: str
    findings: tuple[str, ...]
    symptoms: tuple[str, ...]
    by: str
    why: str = ""
    v: int = 1


class GroupingLearned(Base, frozen=True, tag="grouping_learned"):
    """What merging or splitting ``incident`` teaches: these ``pairs`` of entities belong together, or they don't."""

    incident: str
    pairs: tuple[tuple[str, str], ...]
    together: bool
    by: str
    v: int = 1


class RoleTaken(Base, frozen=True, tag="role_taken"):
    """``person`` has ``role`` in this incident from now on; "" frees it. ``by`` is who said so."""

    incident: str
    role: str
    person: str
    by: str
    v: int = 1


class DecisionMade(Base, frozen=True, tag="decision_made"):
    incident: str
    text: str
    by: str
    v: int = 1


class StepTicked(Base, frozen=True, tag="step_ticked"):
    """A ``step`` of the incident's checklist, in its words, is done."""

    incident: str
    step: str
    by: str
    v: int = 1


class StepUnticked(Base, frozen=True, tag="step_unticked"):
    """It is not done after all."""

    incident: str
    step: str
    by: str
    v: int = 1


class TaskSet(Base, frozen=True, tag="task_set"):
    """Something is to be done while the incident runs, by ``person`` ("" for nobody yet). ``number`` is its own within the
    incident, from 1."""

    incident: str
    number: int
    what: str
    person: str
    by: str
    v: int = 1


class TaskGiven(Base, frozen=True, tag="task_given"):
    """``person`` does it from now on; "" for nobody."""

    incident: str
    number: int
    person: str
    by: str
    v: int = 1


class TaskDone(Base, frozen=True, tag="task_done"):
    incident: str
    number: int
    by: str
    v: int = 1


class WarRoomOrdered(Base, frozen=True, tag="war_room_ordered"):
    """Intent, journaled before the effect: to ``open`` a room called ``name`` in the chat behind ``channel``, to ``invite``
    ``person`` into it, to ``archive`` it. The shell carries it out and journals WarRoomEnded."""

    incident: str
    what: Literal["open", "invite", "archive"]
    channel: str
    name: str = ""
    person: str = ""
    v: int = 1


class WarRoomEnded(Base, frozen=True, tag="war_room_ended"):
    """What came of it: ``done``, or ``why`` not. ``place`` and ``url`` are where the room is, ``name`` as the chat has it,
    ``summary`` the message that is pinned. Written by the shell."""

    incident: str
    what: Literal["open", "summary", "invite", "archive"]
    done: bool
    why: str = ""
    person: str = ""
    name: str = ""
    place: str = ""
    url: str = ""
    summary: str = ""
    v: int = 1


class UpdateWritten(Base, frozen=True, tag="update_written"):
    """Words for people, made from facts; ``facts`` are the numbers in the text, by name."""

    incident: str
    text: str
    facts: dict[str, Scalar] = field(default_factory=dict)
    v: int = 1


class PostmortemWritten(Base, frozen=True, tag="postmortem_written"):
    incident: str
    markdown: str
    v: int = 1


# -- actions --


class ActionJudged(Base, frozen=True, tag="action_judged"):
    """An action was considered. Only a verdict "run" may be followed by ActionOrdered."""

    action: Action
    verdict: Verdict
    v: int = 1


class ActionOrdered(Base, frozen=True, tag="action_ordered"):
    """Intent, journaled before the effect. The shell carries it out and journals ActionEnded."""

    action_id: str
    approved_by: tuple[str, ...] = ()
    v: int = 1


class ActionEnded(Base, frozen=True, tag="action_ended"):
    """What became of the effect. Written by the shell."""

    action_id: str
    outcome: Outcome
    reconciled: bool = False
    v: int = 1


class ActionApproved(Base, frozen=True, tag="action_approved"):
    """One person said yes. What is irreversible needs two different people, and two different ``credential``s."""

    action_id: str
    by: str
    credential: str = ""
    v: int = 1


class ActionDropped(Base, frozen=True, tag="action_dropped"):
    """A proposal that nobody will carry out any more: refused by a person, or its incident is over."""

    action_id: str
    why: str
    by: str = ""
    v: int = 1


class ExpectationJudged(Base, frozen=True, tag="expectation_judged"):
    """``result``: met, missed (undo follows, through the guards) or unknown (hold, and page)."""

    action_id: str
    result: str
    why: str
    v: int = 1


class AutonomyChanged(Base, frozen=True, tag="autonomy_changed"):
    playbook: str
    level: str
    why: str
    by: str = "midwatch"
    v: int = 1


class HandsOffChanged(Base, frozen=True, tag="hands_off_changed"):
    """The kill switch. While on, no action is carried out; pages still are."""

    on: bool
    by: str
    via: str = ""
    v: int = 1


# -- pages --


class PageOrdered(Base, frozen=True, tag="page_ordered"):
    """Intent to page; ``key`` is sent to the receiver, who dedupes by it. ``repeat`` counts from 0."""

    page: str
    incident: str
    key: str
    channel: str
    subject: str
    text: str
    severity: int = 3
    repeat: int = 0
    topics: tuple[str, ...] = ()  # what it pages about: sev2, asked-ACT-3, resolved ...
    person: str = ""  # whom it is for; "" when the channel is all that is known
    to: str = ""  # where the channel finds them: a reference, resolved as it is sent
    level: int = 0  # of the escalation, from 1
    run: int = 0  # which of the incident's escalations, from 1
    v: int = 1


class PageEnded(Base, frozen=True, tag="page_ended"):
    """``status``: delivered, failed (``why``; the shell has then tried as often as the channel allows), or withdrawn: by the
    time it was to be sent, nobody needed it any more."""

    page: str
    status: str
    why: str = ""
    attempts: int = 1
    place: str = ""  # where its channel keeps the incident (``Follower`` in ports.py)
    v: int = 1


class IncidentAcknowledged(Base, frozen=True, tag="incident_acknowledged"):
    """``channel``: where it was said, if that was at another product: it is not told what it said."""

    incident: str
    by: str
    channel: str = ""
    v: int = 1


class AcknowledgementExpired(Base, frozen=True, tag="acknowledgement_expired"):
    """``by`` acknowledged the incident; its time is over while the incident still hurts, or it was taken back: it pages
    again."""

    incident: str
    by: str
    why: str
    v: int = 1


class CommandRefused(Base, frozen=True, tag="command_refused"):
    """A command that could not be obeyed, and why."""

    verb: str
    target: str
    by: str
    why: str
    v: int = 1


# -- people --


class EscalationStarted(Base, frozen=True, tag="escalation_started"):
    """From now on the ``policy`` of ``team`` says who is woken for the incident, and ``why`` them. ``number`` counts the
    incident's escalations from 1, ``turn`` those of the policy from 0. ``by`` is who asked for it, if somebody did.
    ``holder``, who acknowledged it before, is woken first, and the first level only ``holder_seconds`` later."""

    incident: str
    policy: str
    team: str
    why: str
    number: int = 1
    turn: int = 0
    by: str = ""
    holder: str = ""
    holder_seconds: float = 0.0
    v: int = 1


class EscalationAdvanced(Base, frozen=True, tag="escalation_advanced"):
    """The level (from 1) is woken before its time: ``by`` wanted it, or nobody before it could be reached."""

    incident: str
    level: int
    ahead_seconds: float
    why: str
    by: str = ""
    v: int = 1


class OverrideSet(Base, frozen=True, tag="override_set"):
    override: Override
    v: int = 1


class OverrideEnded(Base, frozen=True, tag="override_ended"):
    override: str
    by: str
    v: int = 1


class SwapAsked(Base, frozen=True, tag="swap_asked"):
    swap: Swap
    v: int = 1


class SwapAnswered(Base, frozen=True, tag="swap_answered"):
    """Once accepted, the overrides that it comes to follow as events of their own."""

    swap: str
    answer: Literal["accepted", "refused", "withdrawn"]
    by: str
    v: int = 1


class OnCallChanged(Base, frozen=True, tag="on_call_changed"):
    """``person`` ("" for nobody) is on call in the schedule from now on, after ``was``."""

    schedule: str
    person: str
    was: str = ""
    why: str = ""
    v: int = 1


# -- budgets --


class BudgetAdjusted(Base, frozen=True, tag="budget_adjusted"):
    """Somebody corrected what was counted. Its numbers follow in AdjustmentCounted once its window is over."""

    adjustment: Adjustment
    v: int = 1


class AdjustmentCounted(Base, frozen=True, tag="adjustment_counted"):
    """Good and total of the adjustment's window per ledger key, as they were: the ledgers forget, the journal does not."""

    adjustment: str
    counts: dict[str, tuple[float, float]]
    v: int = 1


class AdjustmentWithdrawn(Base, frozen=True, tag="adjustment_withdrawn"):
    adjustment: str
    by: str
    reason: str
    v: int = 1


class BudgetCrossed(Base, frozen=True, tag="budget_crossed"):
    """The budget of ledger ``key`` crossed a rule's threshold ``at``: ``over``, or back below its release. ``action`` (tell,
    demote, freeze) holds in between. ``covered_seconds`` is how much of its period had been counted."""

    key: str
    slo: str
    action: str
    at: float
    spent: float
    over: bool
    why: str = ""
    covered_seconds: float = 0.0
    v: int = 1


# -- action items --


class ItemOpened(Base, frozen=True, tag="item_opened"):
    """Something is left to be done after an incident. The shell files it with a tracker, if there is one."""

    item: ActionItem
    v: int = 1


class ItemFiled(Base, frozen=True, tag="item_filed"):
    """The tracker has it, under ``ref``. Written by the shell."""

    item: str
    tracker: str
    ref: str
    url: str = ""
    v: int = 1


class ItemSeenAgain(Base, frozen=True, tag="item_seen_again"):
    """``incident`` had the cause that this item was to take away."""

    item: str
    incident: str
    v: int = 1


class ItemLate(Base, frozen=True, tag="item_late"):
    """It is due and open: its owner is reminded."""

    item: str
    v: int = 1


class ItemClosed(Base, frozen=True, tag="item_closed"):
    """``by`` a person, or the tracker in which it was closed."""

    item: str
    by: str
    why: str = ""
    v: int = 1


# -- mail to those who subscribed to the page for customers --


class MailingOrdered(Base, frozen=True, tag="mailing_ordered"):
    """Intent: what the page for customers says of the incident goes to its subscribers, as ``phase`` (investigating,
    identified, monitoring, resolved, withdrawn). Whom it goes to is kept outside of the journal, by the mailing's id."""

    mailing: str
    incident: str
    phase: str
    components: tuple[str, ...]
    subject: str
    text: str
    v: int = 1


class MailingEnded(Base, frozen=True, tag="mailing_ended"):
    """How many got it. ``in_doubt``: nobody knows whether the mail server took it, so it is not sent again; ``dropped``:
    something newer was to be said first."""

    mailing: str
    sent: int
    failed: int = 0
    in_doubt: int = 0
    dropped: int = 0
    v: int = 1


class SubscribersTouched(Base, frozen=True, tag="subscribers_touched"):
    """``by`` added, removed or looked at subscribers (``what``). Addresses are not in the journal: ``subscriber`` is an id
    that means nothing once it is removed."""

    what: Literal["added", "removed", "listed"]
    by: str
    subscriber: str = ""
    count: int = 1
    v: int = 1


# -- access: what an audit asks for besides commands --


class SignedIn(Base, frozen=True, tag="signed_in"):
    """``how``: token, oidc or proxy. ``role`` is the one outside of any team; "" for none there."""

    by: str
    how: str
    role: str = ""
    v: int = 1


class AccessRefused(Base, frozen=True, tag="access_refused"):
    """``by`` is "" when nobody knows who it was; ``times`` within the minute before."""

    by: str
    what: str
    why: str
    times: int = 1
    v: int = 1


class SecretsRead(Base, frozen=True, tag="secrets_read"):
    """``reads``: reference -> how often it was read, and how often it could not be, since the last such entry."""

    reads: dict[str, tuple[int, int]]
    v: int = 1


class TextErased(Base, frozen=True, tag="text_erased"):
    """``by`` erased the free text of the entries ``seqs``, from this journal and so from its copies."""

    seqs: tuple[int, ...]
    by: str
    why: str
    v: int = 1


class SettingsRead(Base, frozen=True, tag="settings_read"):
    """The settings that hold from now on: a digest of each part, and which parts differ from the last ones."""

    parts: dict[str, str]
    changed: tuple[str, ...] = ()
    v: int = 1


Event = (
    WatchStarted
    | PolicyLoaded
    | SloDiscovered
    | SloWithdrawn
    | GapOpened
    | GapClosed
    | CommandGiven
    | ChangeSeen
    | FindingOpened
    | FindingClosed
    | IncidentOpened
    | IncidentGrew
    | IncidentRated
    | CauseRanked
    | CauseConfirmed
    | IncidentCalmed
    | IncidentMitigated
    | IncidentResolved
    | IncidentMerged
    | IncidentSplit
    | GroupingLearned
    | UpdateWritten
    | PostmortemWritten
    | ActionJudged
    | ActionOrdered
    | ActionEnded
    | ActionApproved
    | ActionDropped
    | ExpectationJudged
    | AutonomyChanged
    | HandsOffChanged
    | PageOrdered
    | PageEnded
    | IncidentAcknowledged
    | CommandRefused
    | BudgetAdjusted
    | AdjustmentCounted
    | AdjustmentWithdrawn
    | BudgetCrossed
    | AlertsReceived
    | AlertsJudged
    | AlertNoted
    | SilenceSet
    | SilenceEnded
    | AcknowledgementExpired
    | EscalationStarted
    | EscalationAdvanced
    | OverrideSet
    | OverrideEnded
    | SwapAsked
    | SwapAnswered
    | OnCallChanged
    | ItemOpened
    | ItemFiled
    | ItemSeenAgain
    | ItemLate
    | ItemClosed
    | SignedIn
    | AccessRefused
    | SecretsRead
    | SettingsRead
    | TextErased
    | RoleTaken
    | DecisionMade
    | StepTicked
    | StepUnticked
    | TaskSet
    | TaskGiven
    | TaskDone
    | WarRoomOrdered
    | WarRoomEnded
    | MailingOrdered
    | MailingEnded
    | SubscribersTouched
)


class Recorded(Struct, frozen=True):
    """An event with its place in the journal: ``seq`` from 1, ``at`` in unix seconds, never going back."""

    seq: int
    at: float
    event: Event
