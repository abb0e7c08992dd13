"""The thin shell around the loop: reads the world, calls ``tick``, appends, carries out effects, journals outcomes.

One asyncio process. The journal lives on a thread of its own (``books.py``); the tick runs on another, so that telemetry
is taken in meanwhile (``intake.py``). What people say comes in at the ``desk``, effects go out through ``effects``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from msgspec.structs import replace

from midwatch.core.loop import tick as the_loop
from midwatch.core.memory import Memory
from midwatch.core.oncall.wake import unwanted
from midwatch.model.alerts import Alert
from midwatch.model.errors import Deposed, Forbidden, JournalError
from midwatch.model.events import ChangeSeen, CommandGiven, Event, PageOrdered, Recorded
from midwatch.model.policy import Policy
from midwatch.model.ports import Actuator, Channel
from midwatch.model.state import State
from midwatch.model.world import Change, World, empty_world
from midwatch.shell import alert_views
from midwatch.shell.access import Access
from midwatch.shell.asked import counted_span
from midwatch.shell.audit import Audit
from midwatch.shell.books import Books
from midwatch.shell.config import Settings, folder_token
from midwatch.shell.copying import Copying
from midwatch.shell.crash import CrashPoints
from midwatch.shell.desk import Desk
from midwatch.shell.doors import Doors
from midwatch.shell.duty import Duty, Letter
from midwatch.shell.effects import Effects, Hands, Limits
from midwatch.shell.folder import open_folder, remove_running, write_running
from midwatch.shell.gate import Gate
from midwatch.shell.handover import Handover
from midwatch.shell.health import Health, beat, health_report, metrics_text
from midwatch.shell.heartbeat import Heartbeat
from midwatch.shell.inbox import Inbox, Note
from midwatch.shell.intake import Intake
from midwatch.shell.integrations import Integrations
from midwatch.shell.journal import Head, Journal, JournalReader
from midwatch.shell.killswitch import KillSwitch
from midwatch.shell.people_files import PeopleFiles
from midwatch.shell.poller import Poller
from midwatch.shell.queries import find_incident
from midwatch.shell.sources import build_sources
from midwatch.shell.status_files import page_of
from midwatch.shell.subscribers.office import StatusOffice
from midwatch.shell.timeline import Chronicle
from midwatch.shell.tokens import named_tokens
from midwatch.shell.tracking import Tracking, build_trackers
from midwatch.shell.unjournaled import Unjournaled

log = logging.getLogger("midwatch.watch")

Tick = Callable[[State, Memory, World, tuple[Event, ...], float], tuple[tuple[Event, ...], Memory]]
ConsoleFactory = Callable[["Watch"], Any]
MIN_PAUSE_SECONDS = 0.1  # between two turns
SETTLE_SECONDS = 1.6  # the World's builder counts a step as complete 1.5 s after its end


class Watch:
    """One process on watch. ``start`` once, then ``run`` until ``stop``; tests call ``tick_once`` instead of ``run``.

    ``state`` (decisions), ``world`` (what was last seen), ``health``, ``chronicle`` (timelines) are there to be read by
    faces on the same event loop. ``policy`` None loads the files named in the settings.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        actuators: Sequence[Actuator] = (),
        channels: Sequence[Channel] = (),
        policy: Policy | None = None,
        console: ConsoleFactory | None = None,
        public: ConsoleFactory | None = None,
        clock: Callable[[], float] = time.time,
        limits: Limits | None = None,
        journal: Journal | None = None,
        tick: Tick | None = None,
    ) -> None:
        self.settings = settings
        self.memory = Memory()
        self.world = empty_world(0.0)
        self.vitals = Health()
        self.token: str | None = None  # what the console asks for: nothing on loopback
        self.api_token = ""
        self.tokens: Mapping[str, str] = {}  # person -> secret; with any, the console and reading ask for one too
        self.doors = Doors()
        self.hands = Hands(actuators)
        self.channels: Mapping[str, Channel] = {channel.name: channel for channel in channels}
        self.intake = Intake(self.vitals, clock)
        self.poller = Poller(
            build_sources(settings.sources),
            slos=lambda: self.state.slos,
            span=lambda key: counted_span(self.memory.ledgers, key),
            trouble=self.vitals.trouble,
            clock=self.now,
            wait=lambda: self.intake.reading_back,
        )
        self.heartbeat: Heartbeat | None = None
        self.copying: Copying | None = None
        self.crash_point = CrashPoints.from_environment()
        self.books = Books(self.vitals, self.now, self.crash_point)
        self.switch = KillSwitch(settings.hands_off_file)
        self.access = Access(settings.access)
        self.desk = Desk(
            self.books, self.switch, self.now, lambda: {**self.tokens, **dict.fromkeys(self.access.names, "")}
        )
        self.effects = Effects(
            hands=self.hands,
            channels=self.channels,
            record=self.books.record,
            state=lambda: self.books.state,
            hands_off_file=settings.hands_off_file,
            halted_by=lambda: self.switch.by,
            unwanted=lambda order: unwanted(self.books.state, order, self.now()),
            trouble=self.vitals.trouble,
            held=self.books.held,
            renew=self.books.renew,
            limits=limits or (Limits.of_replicas() if settings.journal.postgres else None),
            crash_point=self.crash_point,
        )
        self.tracking = Tracking(
            build_trackers(settings.trackers),
            state=lambda: self.books.state,
            record=self.books.record,
            trouble=self.vitals.trouble,
            wanted=lambda: self.duty.leading,
        )
        self._console, self._public, self._clock = console, public, clock
        self._people_files = PeopleFiles(settings, self.channels)
        self._follows_people = policy is None
        self._tick = tick or the_loop
        self._tick_thread = ThreadPoolExecutor(1, thread_name_prefix="midwatch-tick")
        self._unjournaled = Unjournaled()
        self._stopping = asyncio.Event()
        self._stirred = asyncio.Event()  # there is something that should not wait for the next turn in time
        self._hurry = asyncio.Event()  # and not for the pause after the last one either
        self.handover = Handover(self, policy, journal, self._decide, self._stirred.set)
        self.duty = Duty(
            self.books,
            self.vitals,
            settings.journal.replica or f"{socket.gethostname()}:{settings.console_port}",
            lambda: (
                f"{settings.console_scheme}://{settings.console_host}:{self.console_port}" if self.console_port else ""
            ),
            lead=self.handover.take_over,
            rehearse=self.handover.rehearse,
            deliver=self.handover.deliver,
        )
        self.audit = Audit(self.books, self.now, lambda: self.duty.leading)
        self.gate = Gate(settings.access, self.access, signed_in=self.audit.signed_in, refused=self.audit.refused)
        self.inbox = Inbox(self.books, self.now, self._stirred.set)
        self.status = StatusOffice(
            settings,
            page=lambda: page_of(settings.status_page, self.state, self.memory.ledgers, self.now()),
            books=self.books,
            vitals=self.vitals,
            now=self.now,
            leading=lambda: self.duty.leading,
            crash_point=self.crash_point,
        )
        self.integrations = Integrations(Settings())  # none, until ``start`` has looked up their keys
        self._tasks: list[asyncio.Task[None]] = []
        self._last_now = 0.0

    @property
    def state(self) -> State:
        """Decision state: the fold of the journal."""
        return self.books.state

    @property
    def chronicle(self) -> Chronicle:
        """Timelines, updates and post-mortems since the start; ``recall`` reaches further back."""
        return self.books.chronicle

    async def recall(self, ident: str) -> Chronicle:
        """The chronicle with the whole timeline of the incident ``ident``. Raises NotFound, JournalError."""
        return await self.books.recall(find_incident(self.state, ident))

    # -- life --

    async def start(self) -> None:
        """Open everything. Raises MidwatchError with a hint when something is in the way; nothing is left open then."""
        try:
            was_running = open_folder(self.settings)
            self.api_token = folder_token(self.settings.folder, create=True)
            self.tokens = named_tokens(self.settings, [self.api_token])
            self.integrations = Integrations(self.settings, [self.api_token, *self.tokens.values()])
            self.doors.bind(self.settings, self._console is not None, self._public is not None)
            await self.books.open(self.handover.open_journal)
            self._task(self.handover.renew())
            self.not_before(self.state.at)
            self.vitals.started_at = self.now()
            if self.duty.replicated:
                self.handover.policy()  # what is wrong with the files is said now, not when this replica has to lead
                self._task(self.duty.report())
                self._task(self.duty.collect())
            else:
                reason = (
                    "a fresh journal" if self.state.seq == 0 else "after a crash" if was_running else "after a stop"
                )
                await self.handover.lead(reason)  # before the store: pages under way do not wait for it
            await self.status.open()
            await self.intake.start(self.settings)
            self.memory = await self.intake.warm(self.state, self.now())
            await self._serve()
            self._background()
        except BaseException:
            await self.stop()
            raise

    async def _serve(self) -> None:
        await self.doors.open_telemetry(self.intake.app(self.change))
        if self._console is not None:
            await self.doors.open_console(self._console(self), self.settings.access.tls)
        if self._public is not None:
            await self.doors.open_status(self._public(self), self.settings.access.tls)
        write_running(self.settings, self.otlp_port, self.console_port)

    def _background(self) -> None:
        if self._follows_people:
            self._task(self._people_files.follow(self.books, self.now, lambda: self.duty.leading, self.vitals.trouble))
        self._task(self.audit.run())
        self._task(self.poller.run())
        self._task(self.tracking.run())
        if (backup := self.settings.journal.backup) is not None:
            seconds = self.settings.journal.backup_seconds
            self.copying = Copying(self.books, self.vitals, backup, seconds, lambda: self.status.book)
            self._task(self.copying.run())
        for work in self.status.work():
            self._task(work)
        if self.settings.heartbeat_url:
            self.heartbeat = Heartbeat(
                self.settings.heartbeat_url,
                lambda: beat(self),
                every_seconds=self.settings.heartbeat_seconds,
                wanted=lambda: self.duty.leading,
            )
            self._task(self.heartbeat.run())

    async def run(self) -> None:
        """Tick until ``stop``, or until another process took the watch (Deposed).

        Turns lie a little after the multiples of ``tick_seconds``: a step of the World is complete only once stragglers
        had time to come in, and a turn right then sees it soonest. What people say does not wait for that, and alerts wait
        no longer than the last turn took, so that a storm does not take all the time there is.
        """
        every = self.settings.tick_seconds
        after = SETTLE_SECONDS if every > 2 * SETTLE_SECONDS else 0.0
        while not self._stopping.is_set():
            if not self.duty.leading:
                await self.duty.stand_by(self._stopping, every)
                continue
            due = (math.floor((self._clock() - after) / every) + 1) * every + after
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), max(0.0, due - self._clock()))
            if self._stopping.is_set():
                return
            if self._stirred.is_set():
                self._stirred.clear()
                self._hurry.clear()
            elif self._clock() - due > 1.0:
                self.vitals.ticks_late += 1
            try:
                await self.tick_once()
            except Deposed:
                if not self.duty.replicated:
                    raise
                self.handover.step_down()
            pause = max(MIN_PAUSE_SECONDS, self.vitals.last_tick_seconds)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), min(pause, every))

    def request_stop(self) -> None:
        """Ask ``run`` to end; safe from a signal handler of the event loop."""
        self._stopping.set()
        self._stirred.set()
        self._hurry.set()

    async def stop(self) -> None:
        """End in order: no new input, effects finished (or left to reconcile), journal closed. Idempotent."""
        self._stopping.set()
        async with contextlib.AsyncExitStack() as then:  # read it upwards: what is named last ends first
            then.callback(self._tick_thread.shutdown, wait=False)
            then.callback(remove_running, self.settings)
            then.push_async_callback(self.books.close)  # whatever a step raises: the lease is given back
            then.push_async_callback(self.duty.sign_off)
            then.push_async_callback(self.status.close)
            then.push_async_callback(self.audit.write)
            if self.copying is not None:
                then.callback(self.copying.close)
                then.push_async_callback(self.copying.copy)  # the last entries too
            then.push_async_callback(self.intake.stop)
            then.push_async_callback(self._keep)
            then.push_async_callback(self.effects.cancel)
            then.push_async_callback(self.effects.drain, 5.0)
            then.push_async_callback(self.doors.close)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._tasks.clear()

    async def _keep(self) -> None:
        if self.duty.leading:
            await self.intake.keep_all(self.memory.ledgers)
            await self.intake.remember_all(self.memory)

    def _task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=getattr(work, "__qualname__", None))
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """What goes on beside the loop is to go on until the watch stops: that it broke is said, not missed weeks later."""
        if not task.cancelled() and (error := task.exception()) is not None:
            name = task.get_name()
            self.vitals.trouble(name, f"{name} broke ({type(error).__name__}) and does no more: restart midwatch")
            log.error("%s broke; the rest of the watch goes on", name, exc_info=error)

    # -- one turn --

    async def tick_once(self) -> tuple[Recorded, ...]:
        """One turn of the loop: what it decided, as journaled. Raises Deposed only."""
        async with self.books.turn:
            now = self.now()
            began = time.perf_counter()
            self._act_late()
            await self.desk.look_at_switch(now)
            await self.books.record_late()
            decided = await self._decide(now)
            if decided is None:
                return ()
            events, memory = decided
            try:
                recorded = await self.books.append(events, now)
            except Deposed:
                raise
            except JournalError:
                self._page_without_journal(events, now)
                return ()
            self.memory = memory
            self.desk.waiting.clear()
            self.vitals.ticked(now, time.perf_counter() - began)
        self.effects.carry_out([one.event for one in recorded])
        self.tracking.hear([one.event for one in recorded])
        self.intake.keep(self.memory.ledgers, now)
        self.intake.remember(self.memory, now)
        self.books.snapshot_when_due()
        return tuple(recorded)

    async def _decide(self, now: float) -> tuple[tuple[Event, ...], Memory] | None:
        """Look at the world and call ``tick`` on its thread. None when the turn failed, which is said."""
        inputs = tuple(recorded.event for recorded in self.desk.waiting)
        try:
            self.world = self.poller.shown(self.intake.world(now))
            self.memory = await self.intake.caught_up(self.memory)
            decided = await asyncio.get_running_loop().run_in_executor(
                self._tick_thread, self._tick, self.state, self.memory, self.world, inputs, now
            )
        except Exception as error:
            self.vitals.tick_errors += 1
            first = "loop" not in self.vitals.troubles
            self.vitals.trouble("loop", f"a turn of the loop failed: {type(error).__name__}")
            log.exception("a turn of the loop failed; the next one tries again")
            if not first:
                self.desk.waiting.clear()  # a command that breaks the loop must not break it for ever
            return None
        self.vitals.trouble("loop", "")
        return decided

    def _act_late(self) -> None:
        """What was in doubt and turned out to be in the journal: hear it and carry it out now."""
        if not (late := self.books.take_late()):
            return
        self.desk.waiting += [one for one in late if isinstance(one.event, CommandGiven | ChangeSeen)]
        unsent = {ident for ident, page in self.state.pages.items() if page.status == "ordered"}
        events = [one.event for one in late]
        self.effects.carry_out([e for e in events if not isinstance(e, PageOrdered) or e.page in unsent])

    def _page_without_journal(self, events: Sequence[Event], now: float) -> None:
        """No action, but the page goes out and says that nothing is written down."""
        if self.duty.leaves_paging():
            return
        why = self.vitals.troubles.get("journal", "")
        note = f"\n\nmidwatch cannot write its journal and takes no action: {why}"
        for order in self._unjournaled.due(events, now):
            self.vitals.pages_unjournaled += 1
            self.effects.page_anyway(replace(order, text=order.text + note))

    # -- what people and webhooks say --

    async def take_alerts(self, source: str, alerts: Sequence[Alert], notes: Sequence[Note] = ()) -> None:
        """Returns once they are journaled; a turn follows at once. Raises IngestError 429, JournalError."""
        if self.duty.leading:
            await self.inbox.put(source, alerts, notes)
        else:
            await self.duty.post(Letter(source, tuple(alerts), tuple(notes)))

    async def command(self, given: CommandGiven) -> Recorded:
        """Journal a command; the next turn obeys it. ``hands_off`` holds at once. Raises UsageError, JournalError."""
        if not self.duty.leading:
            raise JournalError(self.duty.words(), hint="say it on the page of the one that is on watch")
        try:
            self.access.check(given, self.state)
        except Forbidden as error:
            self.audit.refused(given.credential or given.by, given.verb, str(error))
            raise
        recorded = await self.desk.command(given)
        self.vitals.commands += 1
        self._stirred.set()
        self._hurry.set()
        return recorded

    async def change(self, change: Change) -> Recorded | None:
        """Journal a change event (a deploy, a flag) and show it to the World; None for a sender's retry of one that is
        known. Raises JournalError."""
        if not self.duty.leading:
            await self.duty.post(Letter(change=change))
            await self.intake.add_change(change)
            return None
        recorded = await self.desk.change(change)
        if recorded is not None:
            await self.intake.add_change(change)
            self.vitals.changes += 1
        return recorded

    # -- what faces read --

    @property
    def otlp_port(self) -> int:
        """0 until it is open."""
        return self.doors.telemetry_port

    @property
    def console_port(self) -> int:
        """0 until it is open."""
        return self.doors.console_port

    @property
    def journal(self) -> JournalReader:
        """For reading only."""
        return self.books.journal

    @property
    def mode(self) -> str:
        """The ceiling for every playbook."""
        return self.state.policy.mode

    @property
    def head(self) -> Head:
        """The journal's newest entry, as last written by this process."""
        return self.books.head

    @property
    def hands_off(self) -> bool:
        """State, word or file: what the next effect will find."""
        return self.state.hands_off or self.switch.thrown

    async def wait_changed(self, after_seq: int, timeout_seconds: float = 15.0) -> int:
        """Wait until the journal has an entry after ``after_seq`` (or time is up); the newest seq. For live pages."""
        return await self.books.wait_changed(after_seq, timeout_seconds)

    def metrics(self) -> str:
        """Prometheus text."""
        return metrics_text(self)

    @property
    def inputs_waiting(self) -> int:
        """Commands and changes that the next turn will see."""
        return len(self.desk.waiting)

    def senders(self) -> list[dict[str, Any]]:
        """What each system that sends alerts sent since the start, and what was not taken and why."""
        return alert_views.senders(self.inbox.accepted, self.inbox.dropped)

    def health(self) -> dict[str, Any]:
        """About midwatch itself, for people; ``degraded`` are sentences."""
        return health_report(self)

    def not_before(self, at: float) -> None:
        """``now`` is never earlier than ``at`` from here on: somebody has written down that it was."""
        self._last_now = max(self._last_now, at)

    def now(self) -> float:
        """The clock, which never goes back here whatever the machine's does."""
        self._last_now = max(self._last_now, self._clock())
        return self._last_now
