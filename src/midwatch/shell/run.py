"""The thin shell around the loop: reads the world, calls ``tick``, appends, carries out effects, journals outcomes.

One asyncio process. The journal lives on a thread of its own (``books.py``); the tick runs on another, so that telemetry
is taken in meanwhile (``intake.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from typing import Any, get_args

from msgspec.structs import replace

from midwatch.core.memory import Memory
from midwatch.model.errors import Deposed, JournalError, UsageError
from midwatch.model.events import (
    ChangeSeen,
    CommandGiven,
    CommandVerb,
    Event,
    PageOrdered,
    PolicyLoaded,
    Recorded,
    WatchStarted,
)
from midwatch.model.policy import Policy
from midwatch.model.ports import Actuator, Channel
from midwatch.model.state import State
from midwatch.model.world import Change, World, empty_world
from midwatch.shell.books import Books
from midwatch.shell.config import Settings, folder_token
from midwatch.shell.crash import CrashPoints
from midwatch.shell.effects import Effects, Hands, Limits
from midwatch.shell.folder import load_policy_that_can_be, open_folder, remove_running, write_running
from midwatch.shell.health import Health, health_report, metrics_text
from midwatch.shell.heartbeat import Heartbeat
from midwatch.shell.ingest.changes import known
from midwatch.shell.intake import Intake
from midwatch.shell.journal import Head, Journal, JournalReader
from midwatch.shell.leader import LEASE_SECONDS
from midwatch.shell.queries import find_incident
from midwatch.shell.servers import AsgiServer, bind
from midwatch.shell.sources import Poller, build_sources, seen_until
from midwatch.shell.timeline import Chronicle
from midwatch.shell.tokens import named_tokens

log = logging.getLogger("midwatch.watch")

Tick = Callable[[State, Memory, World, tuple[Event, ...], float], tuple[tuple[Event, ...], Memory]]
ConsoleFactory = Callable[["Watch"], Any]
COMMANDS: frozenset[str] = frozenset(get_args(CommandVerb))
MAX_INPUTS = 1000
MAX_UNJOURNALED = 1000
UNJOURNALED_REPEAT_SECONDS = 300.0
RENEW_SECONDS = 2.0
SETTLE_SECONDS = 1.6  # the World's builder counts a step as complete 1.5 s after its end
UNOBEYED_SECONDS = 600.0  # a command that a crash swallowed is still obeyed so long afterwards


def product_version() -> str:
    try:
        return version("midwatch")
    except PackageNotFoundError:
        return "0+unknown"


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
        self.otlp_port = self.console_port = 0
        self.hands = Hands(actuators)
        self.channels: Mapping[str, Channel] = {channel.name: channel for channel in channels}
        self.intake = Intake(self.vitals, clock)
        self.poller = Poller(
            build_sources(settings.sources),
            slos=lambda: self.state.slos,
            taken=lambda key: seen_until(self.memory.ledgers, key),
            trouble=self.vitals.trouble,
            clock=self.now,
        )
        self.heartbeat: Heartbeat | None = None
        self.crash_point = CrashPoints.from_environment()
        self.books = Books(self.vitals, self.now, self.crash_point)
        self.effects = Effects(
            hands=self.hands,
            channels=self.channels,
            record=self.books.record,
            state=lambda: self.books.state,
            hands_off_file=settings.hands_off_file,
            halted_by=lambda: self._halted_by,
            held=self.books.held,
            renew=self.books.renew,
            limits=limits,
            crash_point=self.crash_point,
        )
        self._given_policy, self._console, self._clock = policy, console, clock
        self._given_journal, self._tick_function = journal, tick
        self._tick_thread = ThreadPoolExecutor(1, thread_name_prefix="midwatch-tick")
        self._inputs: list[Recorded] = []
        self._halted_by = (
            ""  # who said hands off, from that moment on: neither file nor journal can keep it from holding
        )
        self._paged_unjournaled: dict[str, float] = {}
        self._stopping = asyncio.Event()
        self._servers: list[AsgiServer] = []
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
        listeners: list[socket.socket] = []
        try:
            was_running = open_folder(self.settings)
            self.api_token = folder_token(self.settings.folder, create=True)
            self.tokens = named_tokens(self.settings, [self.api_token])
            self._bind(listeners)
            epoch = await self.books.open(self._open_journal)
            self._tasks.append(asyncio.get_running_loop().create_task(self._renew()))
            self._last_now = self.state.at
            self.vitals.started_at = self.now()
            self._inputs = [r for r in self.books.unobeyed if self.now() - r.at < UNOBEYED_SECONDS]
            reason = "a fresh journal" if self.state.seq == 0 else "after a crash" if was_running else "after a stop"
            async with self.books.turn:
                await self.books.append([WatchStarted(product_version(), epoch, reason)], self.now())
                await self._load_policy()
            self.effects.reconcile(self.state)  # before the store: pages under way do not wait for it
            await self.intake.start(self.settings)
            self.memory = await self.intake.warm(self.state, self.now())
            await self._serve(listeners)
            self._background()
        except BaseException:
            await self.stop()
            for listener in listeners:
                listener.close()
            raise

    def _open_journal(self) -> Journal:
        if self._given_journal is not None:
            return self._given_journal
        from midwatch.shell.journal.sqlite import SqliteJournal

        return SqliteJournal(self.settings.journal_file, lease_seconds=self._lease_seconds())

    def _lease_seconds(self) -> float:
        """Longer than the longest effect, with room: a lease is renewed once a third of it is gone, and what is left then
        must still cover an effect and its margin. A restart on this machine does not wait for it."""
        longest = max((spec.timeout_seconds for spec in self.hands.verbs.values()), default=0.0)
        return max(LEASE_SECONDS, 1.5 * (longest + self.effects.limits.lease_margin_seconds) + 2.0)

    def _bind(self, listeners: list[socket.socket]) -> None:
        s = self.settings
        listeners.append(bind(s.otlp_host, s.otlp_port, "telemetry (OTLP)", "--otlp-port"))
        if self._console is not None:
            listeners.append(bind(s.console_host, s.console_port, "the console", "--console-port"))

    async def _serve(self, listeners: list[socket.socket]) -> None:
        otlp = AsgiServer(self.intake.app(self.change), listeners[0])
        self._servers.append(otlp)
        await otlp.start()
        self.otlp_port = otlp.port
        if self._console is not None:
            console = AsgiServer(self._console(self), listeners[1])
            self._servers.append(console)
            await console.start()
            self.console_port = console.port
        write_running(self.settings, self.otlp_port, self.console_port)

    def _background(self) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(self.poller.run()))
        if self.settings.heartbeat_url:
            self.heartbeat = Heartbeat(
                self.settings.heartbeat_url, self._pulse, every_seconds=self.settings.heartbeat_seconds
            )
            self._tasks.append(asyncio.get_running_loop().create_task(self.heartbeat.run()))

    async def run(self) -> None:
        """Tick until ``stop``, or until another process took the watch (Deposed).

        Turns lie a little after the multiples of ``tick_seconds``: a step of the World is complete only once stragglers
        had time to come in, and a turn right then sees it soonest.
        """
        every = self.settings.tick_seconds
        after = SETTLE_SECONDS if every > 2 * SETTLE_SECONDS else 0.0
        while not self._stopping.is_set():
            due = (math.floor((self._clock() - after) / every) + 1) * every + after
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), max(0.0, due - self._clock()))
                return
            if self._clock() - due > 1.0:
                self.vitals.ticks_late += 1
            await self.tick_once()

    def request_stop(self) -> None:
        """Ask ``run`` to end; safe from a signal handler of the event loop."""
        self._stopping.set()

    async def stop(self) -> None:
        """End in order: no new input, effects finished (or left to reconcile), journal closed. Idempotent."""
        self._stopping.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for server in self._servers:
            await server.stop()
        self._servers.clear()
        await self.effects.drain(5.0)
        await self.effects.cancel()
        await self.intake.keep_all(self.memory.ledgers)
        await self.intake.stop()
        await self.books.close()
        remove_running(self.settings)
        self._tick_thread.shutdown(wait=False)

    # -- one turn --

    async def tick_once(self) -> tuple[Recorded, ...]:
        """One turn of the loop: what it decided, as journaled. Raises Deposed only."""
        async with self.books.turn:
            now = self.now()
            began = time.perf_counter()
            await self._look_for_hands_off_file(now)
            await self.books.record_late()
            inputs = tuple(recorded.event for recorded in self._inputs)
            try:
                self.world = self.poller.shown(self.intake.world(now))
                events, memory = await asyncio.get_running_loop().run_in_executor(
                    self._tick_thread, self._tick(), self.state, self.memory, self.world, inputs, now
                )
            except Exception as error:
                self.vitals.tick_errors += 1
                first = "loop" not in self.vitals.troubles
                self.vitals.trouble("loop", f"a turn of the loop failed: {type(error).__name__}")
                log.exception("a turn of the loop failed; the next one tries again")
                if not first:
                    self._inputs.clear()  # a command that breaks the loop must not break it for ever
                return ()
            self.vitals.trouble("loop", "")
            try:
                recorded = await self.books.append(events, now)
            except Deposed:
                raise
            except JournalError:
                self._page_without_journal(events, now)
                return ()
            self.memory = memory
            self._inputs.clear()
            self.vitals.ticked(now, time.perf_counter() - began)
        self.effects.carry_out([one.event for one in recorded])
        self.intake.keep(self.memory.ledgers, now)
        await self.books.snapshot_when_due()
        return tuple(recorded)

    def _tick(self) -> Tick:
        if self._tick_function is None:
            from midwatch.core.loop import tick

            self._tick_function = tick
        return self._tick_function

    async def _look_for_hands_off_file(self, now: float) -> None:
        """The file is the switch that works even when nothing else does; its word is journaled like any other."""
        there = bool(self._halted_by) or self._hands_off_file_is_there()
        pending = any(isinstance(r.event, CommandGiven) and r.event.verb == "hands_off" for r in self._inputs)
        if there and not self.state.hands_off and not pending:
            await self._input(CommandGiven("hands_off", self._halted_by or "file", via="file"), now)
        elif not there and self.state.hands_off and self.state.hands_off_by == "file":
            await self._input(CommandGiven("hands_on", "file", via="file"), now)

    def _hands_off_file_is_there(self) -> bool:
        """A folder that cannot be looked into counts as yes."""
        try:
            return self.settings.hands_off_file.exists()
        except OSError:
            return True

    async def _input(self, event: Event, now: float) -> Recorded | None:
        try:
            (recorded,) = await self.books.append([event], now)
        except Deposed:
            raise
        except JournalError:
            return None
        self._inputs.append(recorded)
        return recorded

    def _page_without_journal(self, events: Sequence[Event], now: float) -> None:
        """Paging comes before bookkeeping: no action, but the page goes out and says that nothing is written down."""
        for order in events:
            if not isinstance(order, PageOrdered):
                continue
            if now - self._paged_unjournaled.get(order.key, -math.inf) < UNJOURNALED_REPEAT_SECONDS:
                continue
            if len(self._paged_unjournaled) >= MAX_UNJOURNALED:
                self._paged_unjournaled.clear()
            self._paged_unjournaled[order.key] = now
            self.vitals.pages_unjournaled += 1
            note = "\n\nmidwatch cannot write its journal and takes no action: " + self.vitals.troubles.get(
                "journal", ""
            )
            self.effects.page_anyway(replace(order, text=order.text + note))

    async def _load_policy(self) -> None:
        sources: tuple[str, ...] = ("given",)
        if self._given_policy is not None:
            policy = self._given_policy
        else:
            loaded = load_policy_that_can_be(self.settings)
            policy, sources = loaded.policy, loaded.sources
            for problem in loaded.problems:
                log.warning("a promise is left out: %s", problem)
            left_out = "; ".join(str(p) for p in loaded.problems[:3])
            more = f"; and {len(loaded.problems) - 3} more" if len(loaded.problems) > 3 else ""
            self.vitals.trouble("promises", left_out and f"left out: {left_out}{more}")
        if self.settings.mode is not None:
            policy = replace(policy, mode=self.settings.mode)
        policy = replace(
            policy,
            verbs={**policy.verbs, **self.hands.verbs},
            paging=policy.paging if policy.paging.channels else replace(policy.paging, channels=tuple(self.channels)),
        )
        if policy != self.state.policy:
            await self.books.append([PolicyLoaded(policy, sources)], self.now())

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            if not await self.books.renew():
                self._stopping.set()
                return

    # -- what people and webhooks say --

    async def command(
        self,
        verb: str,
        by: str,
        target: str = "",
        value: str = "",
        note: str = "",
        via: str = "api",
        credential: str = "",
    ) -> Recorded:
        """Journal a command; the next turn obeys it. ``hands_off`` holds at once. ``credential`` is the name of the token
        that was shown, and then ``by`` is that, whatever was said. Raises UsageError, JournalError."""
        if not credential and by in self.tokens:
            raise UsageError(f"{by} has a token of their own", hint="send that token, or say another name")
        by = credential or by
        if verb not in COMMANDS:
            raise UsageError(f"there is no command {verb!r}", hint="one of: " + ", ".join(sorted(COMMANDS)))
        if any(len(text) > 2000 for text in (by, target, value, note)):
            raise UsageError("that is too long: 2,000 characters at most")
        if verb == "hands_off":
            # Before anything is waited for: effects look at both. The file outlives this process.
            self._halted_by = by or "a person"
            with contextlib.suppress(OSError):
                self.settings.hands_off_file.write_text(f"{by} via {via}\n", "utf-8")
        async with self.books.turn:
            if len(self._inputs) >= MAX_INPUTS:
                raise UsageError("too many commands are waiting", hint="try again in a few seconds")
            (recorded,) = await self.books.append(
                [CommandGiven(verb, by, target, value, note, via, credential=credential)], self.now()
            )
            self._inputs.append(recorded)
            if verb == "hands_off":
                self._halted_by = by or "a person"  # a hands_on that was waiting before it may have released it
            elif verb == "hands_on":  # only now: nothing releases the switch that is not written down
                self._release()
        self.vitals.commands += 1
        return recorded

    def _release(self) -> None:
        """Raises UsageError when the file stays: then hands stay off."""
        try:
            self.settings.hands_off_file.unlink(missing_ok=True)
        except OSError as error:
            file = self.settings.hands_off_file
            raise UsageError(f"{file} cannot be removed: {error.strerror}", hint="remove it by hand") from error
        self._halted_by = ""

    async def change(self, change: Change) -> Recorded | None:
        """Journal a change event (a deploy, a flag) and show it to the World. None when it is one of the changes that state
        remembers (``MAX_CHANGES``, over restarts too): a sender's retry is no second change."""
        async with self.books.turn:
            if known(change, self.state.changes):
                return None
            (recorded,) = await self.books.append([ChangeSeen(change)], self.now())
            if len(self._inputs) < MAX_INPUTS:
                self._inputs.append(recorded)
        await self.intake.add_change(change)
        self.vitals.changes += 1
        return recorded

    # -- what faces read --

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
        return self.state.hands_off or bool(self._halted_by) or self._hands_off_file_is_there()

    async def wait_changed(self, after_seq: int, timeout_seconds: float = 15.0) -> int:
        """Wait until the journal has an entry after ``after_seq`` (or time is up); the newest seq. For live pages."""
        return await self.books.wait_changed(after_seq, timeout_seconds)

    def metrics(self) -> str:
        """Prometheus text."""
        return metrics_text(self)

    @property
    def inputs_waiting(self) -> int:
        """Commands and changes that the next turn will see."""
        return len(self._inputs)

    def health(self) -> dict[str, Any]:
        """About midwatch itself, for people; ``degraded`` are sentences."""
        return health_report(self)

    def _pulse(self) -> dict[str, Any]:
        return {
            "seq": self.books.head.seq,
            "hash": self.books.head.hash,
            "at": self.now(),
            "last_tick_at": self.vitals.last_tick_at,
            "open_incidents": len(self.state.open_incidents),
            "troubles": sorted(self.vitals.troubles),
        }

    def now(self) -> float:
        """The clock, which never goes back here whatever the machine's does."""
        self._last_now = max(self._last_now, self._clock())
        return self._last_now
