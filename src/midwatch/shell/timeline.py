"""What happened to each incident, in order and in words: a projection of the journal, bounded. The words themselves are
``core/learn/timeline.py``'s."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from midwatch.core.learn.timeline import sentence, who
from midwatch.model import events as e
from midwatch.model.actions import Action
from midwatch.model.state import State

MAX_INCIDENTS = 250
MAX_ENTRIES = 400
MAX_KNOWN = 20 * MAX_INCIDENTS  # actions and pages whose incident is remembered
_T = TypeVar("_T")


class Entry(Struct, frozen=True):
    """One line of a timeline. ``kind`` is the event's tag; ``actor`` is midwatch or who gave the command."""

    seq: int
    at: float
    kind: str
    text: str
    incident: str
    action: str = ""
    actor: str = "midwatch"


class Chronicle:
    """Timelines by incident, the latest updates, and the post-mortems. Feed it every Recorded in order.

    With a ``state`` it begins there: it knows whose action and page is whose, and ``recall`` brings what happened before.
    """

    def __init__(self, state: State | None = None) -> None:
        self.postmortems: OrderedDict[str, str] = OrderedDict()
        self.updates: OrderedDict[str, e.UpdateWritten] = OrderedDict()
        self._by_incident: OrderedDict[str, deque[Entry]] = OrderedDict()
        self._actions: OrderedDict[str, Action] = OrderedDict()
        self._pages: OrderedDict[str, str] = OrderedDict()  # page id -> incident
        for incident in sorted(state.incidents.values(), key=lambda i: i.resolved_at or math.inf) if state else ():
            _keep(self._by_incident, incident.id, deque(maxlen=MAX_ENTRIES), MAX_INCIDENTS)
        for ident, record in state.actions.items() if state else ():
            _keep(self._actions, ident, record.action, MAX_KNOWN)
        for ident, page in state.pages.items() if state else ():
            _keep(self._pages, ident, page.ordered.incident, MAX_KNOWN)

    def read(self, recorded: Iterable[e.Recorded]) -> Chronicle:
        for one in recorded:
            self.add(one)
        return self

    def recall(self, incident: str, earlier: Iterable[e.Recorded]) -> None:
        """Put what ``earlier`` says of ``incident`` before what is known of it."""
        older = Chronicle().read(earlier)
        lines = deque((*older.of(incident), *self.of(incident)), maxlen=MAX_ENTRIES)
        _keep(self._by_incident, incident, lines, MAX_INCIDENTS)
        if incident in older.updates:
            self.updates.setdefault(incident, older.updates[incident])
        if incident in older.postmortems:
            self.postmortems.setdefault(incident, older.postmortems[incident])

    def of(self, incident: str) -> tuple[Entry, ...]:
        return tuple(self._by_incident.get(incident, ()))

    def add(self, recorded: e.Recorded) -> None:
        event = recorded.event
        if isinstance(event, e.ActionJudged):
            _keep(self._actions, event.action.id, event.action, MAX_KNOWN)
        elif isinstance(event, e.PageOrdered):
            _keep(self._pages, event.page, event.incident, MAX_KNOWN)
        elif isinstance(event, e.PostmortemWritten):
            _keep(self.postmortems, event.incident, event.markdown, MAX_INCIDENTS)
        elif isinstance(event, e.UpdateWritten):
            _keep(self.updates, event.incident, event, MAX_INCIDENTS)
        elif isinstance(event, e.IncidentMerged):
            self._merged(recorded, event)
        action, incident = self._about(event)
        text = sentence(event, self._actions) if incident else ""
        if not text:
            return
        lines = self._by_incident.get(incident)
        if lines is None:
            lines = deque(maxlen=MAX_ENTRIES)
            _keep(self._by_incident, incident, lines, MAX_INCIDENTS)
        lines.append(_entry(recorded, text, incident, action))

    def _merged(self, recorded: e.Recorded, event: e.IncidentMerged) -> None:
        """What was told of the one that is gone belongs to the story of the one that stays; it keeps its own lines too."""
        both = sorted((*self.of(event.incident), *self.of(event.absorbed)), key=lambda line: line.seq)
        _keep(self._by_incident, event.incident, deque(both, maxlen=MAX_ENTRIES), MAX_INCIDENTS)
        if (theirs := self._by_incident.get(event.absorbed)) is not None:
            theirs.append(_entry(recorded, sentence(event), event.absorbed))
        for ident, action in self._actions.items():
            if action.incident == event.absorbed:
                self._actions[ident] = replace(action, incident=event.incident)

    def _about(self, event: e.Event) -> tuple[str, str]:
        """The action and the incident that an event is about, "" for none."""
        if isinstance(event, e.ActionJudged):
            return event.action.id, event.action.incident
        if isinstance(event, e.PageEnded):
            return "", self._pages.get(event.page, "")
        if isinstance(event, e.CommandGiven | e.CommandRefused):
            target = event.target
            if target in self._actions:
                return target, self._actions[target].incident
            return "", self._pages.get(target, target if target in self._by_incident else "")
        ident = str(getattr(event, "action_id", ""))
        known = self._actions.get(ident)
        return ident, known.incident if known else str(getattr(event, "incident", ""))


def _entry(recorded: e.Recorded, text: str, incident: str, action: str = "") -> Entry:
    event = recorded.event
    tag = str(type(event).__struct_config__.tag)
    return Entry(recorded.seq, recorded.at, tag, text, incident, action, who(event))


def _keep(kept: OrderedDict[str, _T], key: str, value: _T, bound: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > bound:
        kept.popitem(last=False)
