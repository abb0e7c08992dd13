"""The watch's books: the journal on a thread of its own, and the state that is its fold.

Everything that changes state holds ``turn``, one at a time, so that state is always exactly the fold of what the journal
holds, and ids that derive from sequence numbers never collide.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from midwatch.model.errors import Deposed, JournalError
from midwatch.model.events import (
    AccessRefused,
    ActionEnded,
    AlertNoted,
    AlertsReceived,
    ChangeSeen,
    CommandGiven,
    Event,
    ItemClosed,
    ItemFiled,
    MailingEnded,
    MailingOrdered,
    PageEnded,
    PolicyLoaded,
    Recorded,
    SecretsRead,
    SettingsRead,
    SignedIn,
    SubscribersTouched,
    TextErased,
    WarRoomEnded,
    WatchStarted,
)
from midwatch.model.findings import Incident
from midwatch.model.fold import fold
from midwatch.model.state import State
from midwatch.shell.health import Health
from midwatch.shell.journal import Head, Journal, Replicated
from midwatch.shell.recall import entries_of
from midwatch.shell.timeline import Chronicle

log = logging.getLogger("midwatch.books")

MAX_UNRECORDED = 1000
NOT_OF_A_TURN = (
    *(WatchStarted, PolicyLoaded, SettingsRead, SignedIn, AccessRefused, SecretsRead, TextErased),
    *(ActionEnded, PageEnded, AlertsReceived, AlertNoted, ItemFiled, ItemClosed),
    *(MailingOrdered, MailingEnded, SubscribersTouched, WarRoomEnded),
)
"""What the shell writes between turns: such an entry does not say that a command before it was seen by the loop."""
_T = TypeVar("_T")


class Books:
    """Open, append, fold, tell. ``now`` is the watch's clock; ``crash_point`` is passed before and after each append."""

    def __init__(self, health: Health, now: Callable[[], float], crash_point: Callable[[str], None]) -> None:
        self.state = State()
        self.chronicle = Chronicle()
        self.head = Head(0, "", 0.0)
        self.turn = asyncio.Lock()
        self._health, self._now, self._crash_point = health, now, crash_point
        self._journal: Journal | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="midwatch-journal")
        self._unrecorded: deque[Event] = deque(maxlen=MAX_UNRECORDED)
        self._outcomes: list[Event] = []
        self._recording: asyncio.Task[None] | None = None  # has not begun to write: what ends meanwhile goes with it
        self._behind = False  # an append failed: the journal may hold more than was folded
        self._late: list[Recorded] = []
        self._changed = asyncio.Event()
        self.unobeyed: list[Recorded] = []
        self._opened_seq = 0  # timelines since then are in the chronicle; those from before are read when asked for
        self._recalled: set[str] = set()
        self._keeping: asyncio.Task[None] | None = None

    async def open(self, make: Callable[[], Journal]) -> int:
        """Open the journal and fold it; the lease's epoch. Raises JournalError."""
        self._journal = journal = await self._on_thread(make)
        self.state = await self._on_thread(journal.load_state)
        self.head = await self._on_thread(journal.head)
        self.chronicle, self._opened_seq = Chronicle(self.state), self.head.seq
        await self.look_back()
        return journal.epoch

    async def look_back(self) -> None:
        """Find the inputs that an earlier process journaled but died before it could obey them: they stand at the end."""
        await self._on_thread(self._read, self.journal)

    def _read(self, journal: Journal) -> None:
        self.unobeyed.clear()
        for recorded in journal.read(max(0, self.head.seq - MAX_UNRECORDED)):
            if isinstance(recorded.event, CommandGiven | ChangeSeen):
                self.unobeyed.append(recorded)
            elif not isinstance(recorded.event, NOT_OF_A_TURN):
                self.unobeyed.clear()  # a turn of the loop came after: it has seen them

    @property
    def replica(self) -> Replicated | None:
        """The journal, where several processes share it."""
        return cast(Replicated, self._journal) if hasattr(self._journal, "try_take") else None

    async def try_take(self) -> str:
        """As ``Replicated.try_take``; "" where nobody shares the journal."""
        return await self._on_thread(self.replica.try_take) if self.replica is not None else ""

    async def follow(self) -> list[Recorded]:
        """Fold what others have written since, or what was written though an append failed. The caller holds ``turn``.
        Raises JournalError."""
        journal, after = self.journal, self.state.seq
        found = await self._on_thread(lambda: list(journal.read(after)))
        if found:
            self._fold(found)
            self.head = await self._on_thread(journal.head)
        self._behind = False
        return found

    def take_late(self) -> list[Recorded]:
        """What turned out to have been written after its append had failed, once: nobody has acted on it yet."""
        late, self._late = self._late, []
        return late

    @property
    def journal(self) -> Journal:
        """Raises JournalError once it is closed."""
        if self._journal is None:
            raise JournalError("the journal is closed")
        return self._journal

    def held(self, margin_seconds: float) -> bool:
        return self._journal is not None and self._journal.held(margin_seconds)

    async def append(self, events: Sequence[Event], at: float) -> list[Recorded]:
        """Journal and fold. The caller holds ``turn``. Raises JournalError (nothing was written, state is as before)
        and its kind Deposed. Who is cancelled meanwhile ends here all the same: what is on disk is folded."""
        if not events:
            return []
        journal = self.journal
        if self._behind:
            await self._on_thread(journal.renew)  # raises Deposed: then what was written since is another's
            if late := await self.follow():
                self._late += late
                raise JournalError("the journal has moved on: what was in doubt was written", hint="try again")
        self._crash_point("before_append")
        writing = asyncio.ensure_future(self._on_thread(journal.append, list(events), at))
        cancelled: asyncio.CancelledError | None = None
        while not writing.done():
            try:
                await asyncio.wait({writing})
            except asyncio.CancelledError as error:
                cancelled = error
        try:
            recorded = writing.result()
        except JournalError as error:
            self._health.append_failures += 1
            self._behind = True
            if self._health.trouble("journal", str(error)):
                log.error("the journal cannot be written, so no action will be taken: %s", error)
            raise
        self._crash_point("after_append")
        if self._health.trouble("journal", ""):
            log.warning("the journal can be written again")
        self._health.events_appended += len(recorded)
        self.head = journal.written
        self._fold(recorded)
        if cancelled is not None:
            raise cancelled
        return recorded

    def _fold(self, recorded: Sequence[Recorded]) -> None:
        for one in recorded:
            self.state = fold(self.state, one)
            self.chronicle.add(one)
        self._changed.set()
        self._changed = asyncio.Event()

    async def recall(self, incident: Incident) -> Chronicle:
        """The chronicle with the whole timeline of one incident in it, of its time before this process as well. Raises
        JournalError."""
        if incident.id in self._recalled:
            return self.chronicle
        entries = await asyncio.to_thread(entries_of, self.journal, incident, self._opened_seq)
        if incident.id not in self._recalled:  # somebody else may have asked meanwhile
            self.chronicle.recall(incident.id, entries)
            self._recalled = {incident.id, *(ident for ident in self._recalled if ident in self.state.incidents)}
        return self.chronicle

    async def record(self, event: Event) -> None:
        """Journal the outcome of an effect; outcomes that wait for the same entry to be written are one entry more, however
        many they are, and wait in one place: what a person says comes after one of them, not after hundreds. When that
        fails they are kept and tried again at each turn; if the process dies first, the order has no end in the journal and
        is reconciled at the next start."""
        self._outcomes.append(event)
        if self._recording is None:
            self._recording = asyncio.get_running_loop().create_task(self._record())
        await asyncio.shield(self._recording)

    async def _record(self) -> None:
        async with self.turn:
            self._recording = None
            outcomes, self._outcomes = self._outcomes, []
            try:
                await self.append(outcomes, self._now())
            except JournalError:
                self._unrecorded.extend(outcomes)

    async def record_late(self) -> None:
        """Try again what could not be journaled. The caller holds ``turn``. Raises Deposed only."""
        while self._unrecorded:
            try:
                await self.append([self._unrecorded[0]], self._now())
            except Deposed:
                raise
            except JournalError:
                return
            self._unrecorded.popleft()

    def forget_unrecorded(self) -> None:
        """Another process leads, and asks for itself how these ended."""
        self._unrecorded.clear()

    @property
    def unrecorded(self) -> int:
        return len(self._unrecorded)

    async def renew(self) -> bool:
        """Keep the lease; False when another process has taken the watch."""
        try:
            if self._journal is not None:
                await self._on_thread(self._journal.renew)
                tight = await self._on_thread(self._journal.tight)
                if self._health.trouble("disk", tight) and tight:
                    log.error("%s", tight)
            self._health.trouble("lease", "")
        except Deposed as error:
            log.error("another process took the watch: %s", error)
            self._health.trouble("lease", str(error))
            return False
        except JournalError as error:
            self._health.trouble("lease", f"the lease could not be renewed: {error}")
        return True

    def snapshot_when_due(self) -> None:
        """Beside the journal's thread, so that what is said meanwhile does not wait until a large state is encoded."""
        journal = self._journal
        if journal is not None and journal.snapshot_due and (self._keeping is None or self._keeping.done()):
            self._keeping = asyncio.get_running_loop().create_task(_keep(journal, self.state))

    async def wait_changed(self, after_seq: int, timeout_seconds: float) -> int:
        """Wait until there is an entry after ``after_seq``, or time is up; the newest seq."""
        if self.state.seq <= after_seq:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), timeout_seconds)
        return self.state.seq

    async def close(self) -> None:
        """Snapshot, release the lease, close. Idempotent."""
        if self._recording is not None:
            await self._recording
        if self._keeping is not None:
            await self._keeping
        if self._journal is not None:
            journal, self._journal = self._journal, None
            if self.state.seq and journal.held(0.0):
                with contextlib.suppress(JournalError):
                    await self._on_thread(journal.snapshot, self.state)
            with contextlib.suppress(JournalError):
                await self._on_thread(journal.close)
        self._thread.shutdown(wait=False)

    async def _on_thread(self, work: Callable[..., _T], *args: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args))


async def _keep(journal: Journal, state: State) -> None:
    with contextlib.suppress(JournalError):
        await asyncio.to_thread(journal.snapshot, state)
