"""Action items are filed with the trackers that the settings name, chased there when they are late, and closed here when
they are closed there.

The item is in the journal before it is filed; a crash in between is settled at the next start, when the tracker is asked for
the item's mark first. What a tracker refuses for good is said as a trouble of the watch and tried again after a restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from midwatch.adapters.trackers.github import GitHubTracker
from midwatch.adapters.trackers.gitlab import GitLabTracker
from midwatch.adapters.trackers.jira import JiraTracker
from midwatch.model.errors import ConfigError, TrackerError
from midwatch.model.events import Event, ItemClosed, ItemFiled, ItemLate, ItemOpened, ItemSeenAgain
from midwatch.model.items import Issue, ItemRecord
from midwatch.model.ports import Tracker
from midwatch.model.state import State
from midwatch.shell.config import resolve
from midwatch.shell.tracker_settings import GitHubSettings, GitLabSettings, TrackerSettings

log = logging.getLogger("midwatch.trackers")
T = TypeVar("T")

LOOK_SECONDS: Final = 3600.0
MAX_LOOKED_AT: Final = 200
MAX_WAITING: Final = 500
MAX_WAIT_SECONDS: Final = 3600.0
FIRST_WAIT_SECONDS: Final = 5.0
TIMEOUT_SECONDS: Final = 60.0


class Tracking:
    """``run`` works until it is cancelled, while ``wanted`` (of several replicas only the leader files). ``trackers`` in the
    order in which they are asked whether an item is theirs."""

    def __init__(
        self,
        trackers: Sequence[tuple[Tracker, frozenset[str]]],
        *,
        state: Callable[[], State],
        record: Callable[[Event], Awaitable[None]],
        trouble: Callable[[str, str], object],
        wanted: Callable[[], bool] = lambda: True,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._trackers = tuple(trackers)
        self._named = {tracker.name: tracker for tracker, _ in trackers}
        self._state, self._record, self._trouble = state, record, trouble
        self._wanted, self._look_seconds = wanted, look_seconds
        # Each has its own: one that is away holds up none of the others.
        self._queues: dict[str, asyncio.Queue[Event]] = {name: asyncio.Queue(MAX_WAITING) for name in self._named}
        self.counters = {"filed": 0, "said": 0, "failed": 0}

    def hear(self, events: Sequence[Event]) -> None:
        """What was just journaled. Returns at once; at the bound the rest waits for the next start."""
        for event in events:
            if not isinstance(event, ItemOpened | ItemSeenAgain | ItemLate):
                continue
            ident = event.item.id if isinstance(event, ItemOpened) else event.item
            record = self._state().items.get(ident)
            tracker = self._tracker_for(record) if record else None
            if tracker is None:
                continue
            try:
                self._queues[tracker.name].put_nowait(event)
            except asyncio.QueueFull:
                self.counters["failed"] += 1
                self._trouble("trackers", f"too much waits for {tracker.name}; the rest is filed after a restart")

    def reconcile(self) -> None:
        """File what an earlier process left unfiled."""
        self.hear([ItemOpened(r.item) for r in self._state().items.values() if r.status == "open" and not r.ref])

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for queue in self._queues.values():
                group.create_task(self._work(queue))
            if self._queues:
                group.create_task(self._look())

    async def _work(self, queue: asyncio.Queue[Event]) -> None:
        while True:
            event = await queue.get()
            if self._wanted():
                await self._do(event)

    async def _do(self, event: Event) -> None:
        match event:
            case ItemOpened():
                await self._file(event.item.id)
            case ItemSeenAgain():
                words = f"It happened again, in {event.incident}."
                await self._say(event.item, f"{event.item}/again/{event.incident}", words)
            case ItemLate():
                record = self._state().items.get(event.item)
                if record is not None:
                    due = _day(record.item.due_at)
                    words = f"This was due on {due}, and {record.item.owner} has it. What stands in the way?"
                    again = ", ".join(record.seen_in)
                    words += f"\n\nSince then it came back in {again}." if again else ""
                    await self._say(event.item, f"{event.item}/late/{record.late_at:.0f}", words)

    async def _file(self, ident: str) -> None:
        record = self._state().items.get(ident)
        tracker = self._tracker_for(record) if record else None
        if record is None or tracker is None or record.ref or record.status != "open":
            return
        filed = await self._tried(tracker, partial(tracker.file, issue_of(record)), ident)
        if filed is not None:
            self.counters["filed"] += 1
            await self._record(ItemFiled(ident, tracker.name, filed.ref, filed.url))

    async def _say(self, ident: str, key: str, text: str) -> None:
        record = self._state().items.get(ident)
        tracker = self._named.get(record.tracker) if record else None
        if record is None or tracker is None:
            return

        async def said() -> bool:
            await tracker.say(record.ref, key, text)
            return True

        if await self._tried(tracker, said, ident):
            self.counters["said"] += 1

    def _tracker_for(self, record: ItemRecord) -> Tracker | None:
        """The one that has it, else the first that takes its owner's."""
        if record.tracker:
            return self._named.get(record.tracker)
        fitting = (t for t, owners in self._trackers if not owners or record.item.owner in owners)
        return next(fitting, None)

    async def _tried(self, tracker: Tracker, what: Callable[[], Awaitable[T]], ident: str) -> T | None:
        """What came of it; None once it can never work. Whatever may pass is waited for, ever longer."""
        wait = FIRST_WAIT_SECONDS
        again: float | None
        while True:
            try:
                done = await asyncio.wait_for(what(), TIMEOUT_SECONDS)
                self._trouble("trackers", "")
                return done
            except TimeoutError:
                why, again = f"{tracker.name} did not answer in time", wait
            except TrackerError as error:
                after = error.retry_after_seconds
                why, again = str(error), None if after is None else max(after, wait)
            except Exception as error:
                log.exception("the tracker %s broke", tracker.name)
                why, again = f"the tracker broke: {type(error).__name__}", None
            self.counters["failed"] += 1
            self._trouble("trackers", f"{ident} is not with {tracker.name}: {why}")
            if again is None:
                return None
            await asyncio.sleep(min(again, MAX_WAIT_SECONDS))
            wait = min(wait * 2, MAX_WAIT_SECONDS)

    async def _look(self) -> None:
        """Ask once an hour which of the open ones were closed there."""
        while True:
            await asyncio.sleep(self._look_seconds)
            if self._wanted():
                await self.look_once()

    async def look_once(self) -> None:
        open_ones = [(i, r) for i, r in self._state().items.items() if r.status == "open" and r.ref]
        for ident, record in open_ones[:MAX_LOOKED_AT]:
            tracker = self._named.get(record.tracker)
            if tracker is None:
                continue
            try:
                how = await asyncio.wait_for(tracker.closed(record.ref), TIMEOUT_SECONDS)
            except (TrackerError, TimeoutError) as error:
                log.warning("%s cannot be looked at in %s: %s", ident, tracker.name, error or "no answer in time")
                return  # whatever it is, it is that for the others too; the next hour asks again
            if how:
                await self._record(ItemClosed(ident, tracker.name, f"{how} in {tracker.name}"))


def issue_of(record: ItemRecord) -> Issue:
    """The item in words that stand by themselves. A title of a person's is one line."""
    item = record.item
    body = [item.what, "", f"- Incident: {item.incident}", f"- Owner: {item.owner}", f"- Due: {_day(item.due_at)}"]
    if item.about:
        body.append(f"- About: `{item.about}`")
    body += [f"- Said by: {item.by}"] if item.by else []
    body += ["", f"midwatch wrote this ({item.id}). Close it here and it is closed there."]
    title = f"{item.incident}: {' '.join(item.what.replace('`', '').split())}"
    key = f"{item.id}/{item.incident}/{record.opened_at:.3f}"  # two watches may have an AI-1 in one tracker
    return Issue(key, title[:200], "\n".join(body), item.owner, _day(item.due_at))


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def build_trackers(settings: Mapping[str, TrackerSettings]) -> list[tuple[Tracker, frozenset[str]]]:
    """Each with the owners whose items it takes, everybody's where none are named."""
    return [(_built(name, one), frozenset(one.owners)) for name, one in settings.items()]


def _built(name: str, one: TrackerSettings) -> Tracker:
    token = partial(_resolved, one.token)
    if isinstance(one, GitHubSettings):
        return GitHubTracker(
            name,
            one.repository,
            token,
            people=one.people,
            labels=one.labels,
            api_url=one.api_url,
            timeout_seconds=one.timeout_seconds,
        )
    if isinstance(one, GitLabSettings):
        return GitLabTracker(
            name,
            one.project,
            token,
            people=one.people,
            labels=one.labels,
            api_url=one.api_url,
            timeout_seconds=one.timeout_seconds,
        )
    return JiraTracker(
        name,
        one.site,
        one.project,
        token,
        user=partial(_resolved, one.user) if one.user else None,
        issue_type=one.issue_type,
        people=one.people,
        labels=one.labels,
        timeout_seconds=one.timeout_seconds,
    )


def _resolved(reference: str) -> str:
    try:
        return resolve(reference)
    except ConfigError as error:
        raise TrackerError(str(error), hint=error.hint) from error
