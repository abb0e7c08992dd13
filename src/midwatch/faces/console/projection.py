"""What the pages need of the journal besides state: the latest words, post-mortems and the events of each incident.

It begins ``TAIL`` entries before the newest, so that the first page does not wait for a whole year to be decoded, and reads
the time of an older incident when its page is asked for. In slices, so that it does not hold up the loop; bounded per
incident and in all.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from itertools import islice

from midwatch.faces.console.view import JournalView
from midwatch.model import events as e
from midwatch.model.events import Recorded
from midwatch.model.findings import Incident
from midwatch.model.state import State
from midwatch.shell.recall import AFTER_SECONDS, LEAD_SECONDS

MAX_INCIDENTS = 250
MAX_EVENTS = 1500
MAX_COMMON = 3000
MAX_POSTMORTEM_CHARS = 200_000
SLICE = 2000
TAIL = 5000
MAX_OLD = 8
NOT_OURS = ("alerts_received", "alerts_judged")
"""What no page needs of the journal, and may be most of it: alerts are shown from state."""


class Story:
    """One incident as the journal tells it."""

    def __init__(self) -> None:
        self.events: deque[Recorded] = deque(maxlen=MAX_EVENTS)
        self.update: tuple[float, e.UpdateWritten] | None = None
        self.postmortem: tuple[float, str] | None = None


class JournalProjection:
    """``await catch_up()`` before reading. ``seq`` is the last entry that was seen."""

    def __init__(self, journal: JournalView) -> None:
        self._journal = journal
        self.seq = 0
        self.stories: OrderedDict[str, Story] = OrderedDict()
        self._common: deque[Recorded] = deque(maxlen=MAX_COMMON)  # findings, changes, hands: of no one incident
        self.refusals: deque[Recorded] = deque(maxlen=10)  # commands that could not be obeyed
        self.hands: Recorded | None = None  # the newest hands off / hands on that took effect
        self._owner: OrderedDict[str, str] = OrderedDict()  # action and page ids -> incident
        self._first: int | None = None  # the entry that it began after
        self._recalled: OrderedDict[str, JournalProjection] = OrderedDict()
        self._lock = asyncio.Lock()

    async def catch_up(self, head_seq: int, state: State | None = None) -> None:
        """Read on to ``head_seq``. ``state`` says whose older actions and pages are."""
        if self.seq >= head_seq:
            return
        async with self._lock:
            if self._first is None:
                self._begin(max(0, head_seq - TAIL), state)
            while self.seq < head_seq:
                # Off the loop: the journal may be a database behind a network that is slow or dark.
                some = await asyncio.to_thread(lambda: list(islice(self._journal.read(self.seq, NOT_OURS), SLICE)))
                for recorded in some:
                    self._take(recorded)
                if len(some) < SLICE:
                    self.seq = max(self.seq, head_seq)
                await asyncio.sleep(0)

    def _begin(self, after_seq: int, state: State | None) -> None:
        self.seq = self._first = after_seq
        if after_seq and state is not None:
            for incident in state.incidents:
                self._own(incident, incident)
            for action in state.actions.values():
                self._own(action.action.id, action.action.incident)
            for page in state.pages.values():
                self._own(page.ordered.page, page.ordered.incident)

    async def recall(self, incident: Incident) -> JournalProjection:
        """A projection that holds the whole story of ``incident``: this one, unless it opened before this one begins.
        Call ``catch_up`` before. Raises JournalError."""
        if not self._first:
            return self
        before = await asyncio.to_thread(self._journal.seq_before, incident.onset_at - LEAD_SECONDS)
        if before >= self._first:
            return self
        known = self._recalled.get(incident.id)
        if known is None:
            known = self._recalled[incident.id] = JournalProjection(self._journal)
            known._begin(before, None)
            while len(self._recalled) > MAX_OLD:
                self._recalled.popitem(last=False)
        last = self.seq
        if incident.resolved_at is not None:
            over_at = incident.resolved_at + AFTER_SECONDS
            last = min(last, await asyncio.to_thread(self._journal.seq_before, over_at))
        await known.catch_up(last)
        return known

    def story(self, incident: str) -> Story:
        return self.stories.get(incident) or Story()

    def about(self, incident: str) -> list[Recorded]:
        """The incident's events and what happened around it until its last one, in journal order."""
        events = self.story(incident).events
        if not events:
            return []
        last = events[-1].seq
        return sorted((*events, *(r for r in self._common if r.seq <= last)), key=lambda r: r.seq)

    def _take(self, recorded: Recorded) -> None:
        self.seq = recorded.seq
        event = recorded.event
        if isinstance(event, e.ChangeSeen | e.FindingOpened | e.FindingClosed | e.HandsOffChanged):
            self._common.append(recorded)
        if isinstance(event, e.CommandRefused):
            self.refusals.append(recorded)
        if isinstance(event, e.HandsOffChanged):
            self.hands = recorded
        incident = self._incident_of(event)
        if not incident:
            return
        story = self.stories.get(incident)
        if story is None:
            story = self.stories[incident] = Story()
            while len(self.stories) > MAX_INCIDENTS:
                self.stories.popitem(last=False)
        if isinstance(event, e.IncidentMerged):
            self._merge(story, recorded, event)
        story.events.append(recorded)
        if isinstance(event, e.UpdateWritten):
            story.update = (recorded.at, event)
        elif isinstance(event, e.PostmortemWritten):
            story.postmortem = (recorded.at, event.markdown[:MAX_POSTMORTEM_CHARS])

    def _merge(self, story: Story, recorded: Recorded, event: e.IncidentMerged) -> None:
        """What happened to the incident that is gone is part of this story; its own keeps the merge as its last word."""
        for ident, incident in self._owner.items():
            if incident == event.absorbed and ident != event.absorbed:
                self._owner[ident] = event.incident
        if (theirs := self.stories.get(event.absorbed)) is not None:
            both = sorted((*story.events, *theirs.events), key=lambda r: r.seq)
            story.events = deque(both, maxlen=MAX_EVENTS)
            theirs.events.append(recorded)

    def _incident_of(self, event: e.Event) -> str:
        if isinstance(event, e.ActionJudged):
            self._own(event.action.id, event.action.incident)
            return event.action.incident
        if isinstance(event, e.PageOrdered):
            self._own(event.page, event.incident)
            return event.incident
        if isinstance(
            event, e.ActionApproved | e.ActionOrdered | e.ActionEnded | e.ActionDropped | e.ExpectationJudged
        ):
            return self._owner.get(event.action_id, "")
        if isinstance(event, e.PageEnded):
            return self._owner.get(event.page, "")
        if isinstance(event, e.CommandGiven | e.CommandRefused):
            return event.target if event.target in self.stories else self._owner.get(event.target, "")
        return str(getattr(event, "incident", ""))

    def _own(self, ident: str, incident: str) -> None:
        self._owner[ident] = incident
        while len(self._owner) > 20 * MAX_INCIDENTS:
            self._owner.popitem(last=False)
