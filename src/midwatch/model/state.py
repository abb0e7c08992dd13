"""Decision state: what the fold of the journal (``fold/``) comes to, and nothing else. It stays small; samples never come
here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import Struct, field

from midwatch.model import events as e
from midwatch.model.actions import Action, Outcome, Verdict
from midwatch.model.adjustments import Adjustment, Crossing, SloEdit
from midwatch.model.alerts import AlertRecord, Silence
from midwatch.model.deed_steps import Deed
from midwatch.model.findings import Finding, Hindsight, Incident
from midwatch.model.items import ItemRecord
from midwatch.model.mailings import Mailing
from midwatch.model.people import Escalation, OnCall, Override, Swap
from midwatch.model.policy import Policy
from midwatch.model.regroup_steps import Pairing
from midwatch.model.room import Room
from midwatch.model.slo import Slo
from midwatch.model.war_room import WarRoom
from midwatch.model.world import Change


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
