"""midwatch in the simulator: the shell's thin loop around the real ``tick``, the real fold and the real effects.

It mirrors ``shell/run.py`` with a journal in memory and virtual time. It can be killed at every point where the real one
can: before and after an append, before and after an effect. What survives is the journal; the next process starts from it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from midwatch.core.memory import Memory
from midwatch.core.oncall.wake import unwanted
from midwatch.gym.simulator.target import SimulatedChannel, SimulatedHands, Target
from midwatch.gym.simulator.trace import Trace, Tried
from midwatch.model.errors import JournalError
from midwatch.model.events import (
    ActionEnded,
    CommandGiven,
    Event,
    PageOrdered,
    PolicyLoaded,
    Recorded,
    WatchStarted,
)
from midwatch.model.fold import fold
from midwatch.model.policy import Policy
from midwatch.model.state import State
from midwatch.model.world import World
from midwatch.shell.effects import Effects
from midwatch.shell.journal.memory import MemoryJournal

Tick = Callable[[State, Memory, World, Sequence[Event], float], tuple[tuple[Event, ...], Memory]]
UNJOURNALED_REPEAT_SECONDS: Final = 300.0
FORGOTTEN_INPUT_SECONDS: Final = 30.0


class Crashed(BaseException):
    """The process was killed here. Not an Exception: nothing in the product may catch it."""


class Switch(type(Path())):  # type: ignore[misc]
    """The HANDS-OFF file without a disk."""

    on: bool = False

    def exists(self, **_: Any) -> bool:
        return self.on


class JournalDisk:
    """The disk under the journal: it outlives every process and is full at times."""

    def __init__(self, now: Callable[[], float], full: tuple[tuple[float, float], ...]) -> None:
        self.journal = MemoryJournal()
        self._now, self._full = now, full
        self._seq = 0

    @property
    def seq(self) -> int:
        return self._seq

    @property
    def is_full(self) -> bool:
        return any(start <= self._now() < end for start, end in self._full)

    def append(self, events: Sequence[Event], at: float) -> list[Recorded]:
        if self.is_full:
            raise JournalError("no space left on the journal's disk")
        recorded = self.journal.append(events, at)
        self._seq = recorded[-1].seq
        return recorded


class SimulatedWatch:
    """One process: from its start to its end or death."""

    def __init__(
        self,
        tick: Tick,
        disk: JournalDisk,
        target: Target,
        switch: Switch,
        trace: Trace,
        now: Callable[[], float],
        crash_numbers: set[int],
    ) -> None:
        self._tick, self.disk, self._target, self.switch, self.trace = tick, disk, target, switch, trace
        self._clock, self._crash_numbers = now, crash_numbers
        self.state = disk.journal.load_state()
        self.memory = Memory()
        self.inputs: list[Recorded] = []
        self.dead = False
        self._last_now = self.state.at
        self._unrecorded: deque[Event] = deque(maxlen=1000)
        self._paged_unjournaled: dict[str, float] = {}
        self.effects = Effects(
            hands=SimulatedHands(target, self._note),
            channels={name: SimulatedChannel(name, target, self._note) for name in ("pager", "chat")},
            record=self._record,
            state=lambda: self.state,
            hands_off_file=switch,
            unwanted=lambda order: unwanted(self.state, order, self.now()),
            crash_point=self.crash_point,
        )

    # -- life --

    def start(self, policy: Policy) -> None:
        after_crash = self.state.seq > 0
        forgotten = self._forgotten_inputs() if after_crash else []
        reason = "after a crash" if after_crash else "a fresh journal"
        self._append([WatchStarted("simulated", self.state.epoch + 1, reason)])
        if policy != self.state.policy:
            self._append([PolicyLoaded(policy, ("simulated",))])
        self.inputs = forgotten
        self.effects.reconcile(self.state)

    def _forgotten_inputs(self) -> list[Recorded]:
        """Commands that were journaled shortly before the crash may never have been obeyed: they are obeyed now, and the
        loop refuses those that it had carried out."""
        recent = [r for r in self.disk.journal.read() if r.at >= self.state.at - FORGOTTEN_INPUT_SECONDS]
        return [r for r in recent if isinstance(r.event, CommandGiven)]

    async def bury(self) -> None:
        """After a crash: nothing of this process goes on."""
        self.dead = True
        await self.effects.cancel()

    def crash_point(self, name: str) -> None:
        if self.dead:
            raise Crashed
        self.trace.crash_points += 1
        if self.trace.crash_points in self._crash_numbers:
            self.dead = True
            self.trace.crashes.append((self._clock(), self.disk.seq, name))
            raise Crashed(name)

    # -- one turn --

    def turn(self, world: World) -> list[Recorded]:
        """One turn of the loop; the same order of things as ``Watch.tick_once``."""
        now = self.now()
        self._look_for_switch()
        self._record_late_outcomes()
        inputs = [recorded.event for recorded in self.inputs]
        events, memory = self._tick(self.state, self.memory, world, inputs, now)
        try:
            recorded = self._append(events)
        except JournalError:
            self._page_without_journal(events, now)
            return []
        self.memory = memory
        self.inputs = []
        self.effects.carry_out([one.event for one in recorded])
        return recorded

    def input(self, event: Event) -> bool:
        """Journal what somebody said; False when the journal is full."""
        try:
            recorded = self._append([event])
        except JournalError:
            return False
        self.inputs += recorded
        return True

    def now(self) -> float:
        self._last_now = max(self._last_now, self._clock())
        return self._last_now

    def _look_for_switch(self) -> None:
        pending = any(isinstance(r.event, CommandGiven) and r.event.verb == "hands_off" for r in self.inputs)
        if self.switch.on and not self.state.hands_off and not pending:
            self.input(CommandGiven("hands_off", "file", via="file"))
        elif not self.switch.on and self.state.hands_off and self.state.hands_off_by == "file":
            self.input(CommandGiven("hands_on", "file", via="file"))

    def _page_without_journal(self, events: Sequence[Event], now: float) -> None:
        for order in events:
            if not isinstance(order, PageOrdered):
                continue
            if now - self._paged_unjournaled.get(order.key, -math.inf) < UNJOURNALED_REPEAT_SECONDS:
                continue
            self._paged_unjournaled[order.key] = now
            self.effects.page_anyway(order)

    def _append(self, events: Sequence[Event]) -> list[Recorded]:
        if not events:
            return []
        self.crash_point("before_append")
        recorded = self.disk.append(events, self.now())
        for one in recorded:
            self.state = fold(self.state, one)
        self.crash_point("after_append")
        self._last_now = max(self._last_now, self.state.at)
        return recorded

    async def _record(self, event: Event) -> None:
        try:
            self._append([event])
        except JournalError:
            self._unrecorded.append(event)

    def _record_late_outcomes(self) -> None:
        while self._unrecorded:
            event = self._unrecorded[0]
            if not (isinstance(event, ActionEnded) and event.action_id not in self.state.actions):
                try:
                    self._append([event])
                except JournalError:
                    return
            self._unrecorded.popleft()

    def _note(self, what: str, key: str, ident: str) -> None:
        if self.dead:
            raise Crashed
        known = ident in self.state.actions or ident in self.state.pages
        self.trace.tried.append(
            Tried(
                what,
                self._clock(),
                self.state.seq,
                key,
                ident,
                stopped=self.state.hands_off or self.switch.on,
                unjournaled=what == "send" and not known,
            )
        )
