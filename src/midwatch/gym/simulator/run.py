"""One incident from its seed to its trace: the clock, the fleet, the people, and midwatch in the middle."""

from __future__ import annotations

import asyncio
import logging
import traceback
from dataclasses import dataclass
from typing import Final

import numpy as np

from midwatch.core.memory import Memory
from midwatch.gym.simulator.clock import run_virtually
from midwatch.gym.simulator.policy import policy_of
from midwatch.gym.simulator.scenario import EPOCH, STEP_SECONDS, Scenario
from midwatch.gym.simulator.target import Target
from midwatch.gym.simulator.telemetry import Telemetry
from midwatch.gym.simulator.trace import Amnesia, Ticked, Trace
from midwatch.gym.simulator.watch import Crashed, JournalDisk, SimulatedWatch, Switch, Tick
from midwatch.model.events import ChangeSeen, CommandGiven
from midwatch.model.fold import fold_all
from midwatch.model.state import State
from midwatch.model.world import Change, Gap, World, empty_world

LATE_SECONDS: Final = 0.3
"""How long after a step's end its tick begins."""
WATCHED_TURNS: Final = 3
"""Turns after a loss of memory that are looked at: as long as the loop calls itself warming up."""


def run(scenario: Scenario, tick: Tick | None = None) -> Trace:
    """Simulate ``scenario``. A bug that raises is caught and kept in ``Trace.broken``."""
    if tick is None:
        from midwatch.core.loop import tick as real_tick

        tick = real_tick
    stage = _Stage(scenario, tick)
    quiet = logging.getLogger("midwatch.effects")
    level, quiet_before = logging.CRITICAL, quiet.level
    quiet.setLevel(level)
    try:
        run_virtually(stage.play())
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        stage.trace.broken = f"{type(error).__name__}: {error} ({last.filename}:{last.lineno} in {last.name})"
        stage.finish()
    finally:
        quiet.setLevel(quiet_before)
    return stage.trace


@dataclass
class _Twin:
    """The same watch had it lost nothing: decides on the same state with the old working set, and does nothing."""

    loss: Amnesia
    memory: Memory
    seen_since: int

    def turn(self, tick: Tick, watch: SimulatedWatch, world: World) -> None:
        inputs = [recorded.event for recorded in watch.inputs]
        events, self.memory = tick(watch.state, self.memory, world, inputs, watch.now())
        self.loss.with_memory.append(events)


def _regroupings(state: State, who: str, rng: np.random.Generator) -> list[CommandGiven]:
    """Now and then somebody thinks that two incidents are one, or that one is two."""
    found: list[CommandGiven] = []
    ids = [i.id for i in state.open_incidents]
    if len(ids) > 1 and rng.random() < 0.5:
        one, other = (str(i) for i in rng.permutation(ids)[:2])
        found.append(CommandGiven("merge", who, one, other))
        first = state.incidents[other]
        found += [CommandGiven("move", who, other, f"{one} {s}") for s in first.symptoms[:1]]
    for incident in state.open_incidents[:2]:
        if len(incident.symptoms) > 1 and rng.random() < 0.3:
            found.append(CommandGiven("split", who, incident.id, incident.symptoms[-1]))
    return found


class _Stage:
    def __init__(self, scenario: Scenario, tick: Tick) -> None:
        self.scenario, self.tick = scenario, tick
        # One stream per concern: what one of them draws does not move the others.
        streams = np.random.SeedSequence((scenario.seed, 7)).spawn(3)
        telemetry_rng, target_rng, self.rng = (np.random.default_rng(s) for s in streams)
        capacity = scenario.warm_steps + scenario.ticks + sum(scenario.jumps.values()) + 1
        self.telemetry = Telemetry(scenario.fleet, telemetry_rng, EPOCH, capacity, STEP_SECONDS)
        self.target = Target(scenario, target_rng, self.now)
        self.switch = Switch("HANDS-OFF")
        self.disk = JournalDisk(self.now, scenario.full)
        self.trace = Trace(scenario, full=list(scenario.full), started_at=scenario.started_at)
        self.offset = 0.0
        self.changes: tuple[Change, ...] = ()
        self.seen_since = 0  # the first step that the working set still has
        self.watch: SimulatedWatch | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.lost: Memory | None = None  # the working set of a process that died
        self.twins: list[_Twin] = []
        self.hands: set[tuple[str, int]] = set()

    def now(self) -> float:
        return self.scenario.started_at + self.offset + (self.loop.time() if self.loop else 0.0)

    async def play(self) -> None:
        scenario, self.loop = self.scenario, asyncio.get_running_loop()
        if scenario.warm_steps:
            self.telemetry.advance(self.target.conditions(EPOCH), scenario.warm_steps)
        restart_at = 0
        for number in range(scenario.ticks):
            await self._until((number + 1) * STEP_SECONDS)
            self._one_step(number)
            await self._until((number + 1) * STEP_SECONDS + LATE_SECONDS)
            try:
                if self.watch is None and number >= restart_at:
                    self._start()
                if self.watch is not None:
                    self._people(number)
                    self._turn(number)
            except Crashed:
                pass
            if await self._settle():
                restart_at = number + 1 + int(self.rng.integers(0, 3))
        await self._until(scenario.ticks * STEP_SECONDS + LATE_SECONDS)
        if self.watch is not None:
            self.trace.unanswered = self.watch.effects.waiting
            await self.watch.bury()
        self.finish()

    async def _until(self, at: float) -> None:
        assert self.loop is not None
        while self.loop.time() < at:
            # Small strides while something is under way: a death is noticed before anything else happens.
            busy = self.watch is not None and self.watch.effects.waiting > 0
            await asyncio.sleep(min(0.25, at - self.loop.time()) if busy else at - self.loop.time())
            await self._settle()

    async def _settle(self) -> bool:
        """Bury a watch that died. Its memory is gone; what it had folded must be what the journal folds to."""
        watch = self.watch
        if watch is None or not watch.dead:
            return False
        self.watch, self.lost = None, watch.memory
        await watch.bury()
        folded = fold_all(self.disk.journal.read())
        # Killed between the append and its fold, the live state may lag; it is never ahead and never different.
        same = folded == watch.state or watch.state == fold_all(
            r for r in self.disk.journal.read() if r.seq <= watch.state.seq
        )
        self.trace.folds.append((folded.seq, same and folded == self.disk.journal.load_state()))
        return True

    def _one_step(self, number: int) -> None:
        jump = self.scenario.jumps.get(number, 0)
        if jump:
            self.telemetry.skip(jump)
            self.offset += jump * STEP_SECONDS
        at = self.telemetry.now
        conditions = self.target.conditions(at)
        self.telemetry.advance(conditions, 1, self.scenario.blackouts)
        self.trace.pain.append((at, float(self.telemetry.errors_at_gateway[self.telemetry.steps - 1])))
        if conditions.versions:
            self.telemetry.relabel(conditions.versions)

    def _start(self) -> None:
        lost_memory = self.disk.seq > 0
        watch = SimulatedWatch(
            self.tick, self.disk, self.target, self.switch, self.trace, self.now, set(self.scenario.crash_at)
        )
        self.watch = watch
        try:
            watch.start(policy_of(self.scenario))
        except Exception:
            if not self.disk.is_full:
                raise
            self.watch = None  # it cannot take the watch while it cannot write; it tries again
            return
        if lost_memory:
            before = self.seen_since
            if self.rng.random() < 0.5:
                self.seen_since = self.telemetry.steps  # no store to read back from: the World is gone too
            self._watch_closely("crash", self.lost or Memory(), before)

    def _world(self, since: int) -> World:
        window = min(self.scenario.window_steps, self.telemetry.steps - since)
        now = self.watch.now() if self.watch else self.now()
        if window <= 0:
            return empty_world(now, STEP_SECONDS)
        gaps = tuple(
            Gap(subject, b.start_at, "nothing was reported")
            for b in self.scenario.blackouts
            if b.start_at <= now < b.end_at
            for subject in (sorted(b.subjects) or ["telemetry"])
        )
        return self.telemetry.world(now, window, self.changes, gaps)

    def _turn(self, number: int) -> None:
        watch = self.watch
        assert watch is not None
        if number in self.scenario.forget_at:
            before, how = self.seen_since, "memory"
            if self.rng.random() < 0.5:
                self.seen_since, how = self.telemetry.steps - int(self.rng.integers(0, 2)), "memory and World"
            self._watch_closely(how, watch.memory, before)
            watch.memory = Memory()
        world = self._world(self.seen_since)
        for twin in self.twins:
            twin.turn(self.tick, watch, self._world(twin.seen_since))
        self.trace.world = world
        before_seq, at = self.disk.seq, watch.now()
        recorded = watch.turn(world)
        events = tuple(one.event for one in recorded)
        recent = world.series.values[: self.scenario.fleet.size, -6:]
        self.trace.ticks.append(Ticked(at, before_seq + 1, self.disk.seq, bool(np.isfinite(recent).any())))
        for twin in self.twins:
            twin.loss.without.append(events)
        self.twins = [twin for twin in self.twins if len(twin.loss.without) < WATCHED_TURNS]

    def _watch_closely(self, how: str, memory: Memory, seen_since: int) -> None:
        loss = Amnesia(self.now(), how, [], [])
        self.trace.amnesias.append(loss)
        self.twins.append(_Twin(loss, memory, seen_since))

    # -- people and webhooks --

    def _people(self, number: int) -> None:
        scenario, watch, rng = self.scenario, self.watch, self.rng
        assert watch is not None
        now = self.now()
        due = [c for f in scenario.faults for c in f.changes if c.at <= now and c not in self.changes]
        for change in due:
            if watch.input(ChangeSeen(change)):
                self.changes = (*self.changes, change)
        for index, (start, end, via) in enumerate(scenario.hands_off):
            self._flip("hands_off", index, via, start, now)
            self._flip("hands_on", index, via, end, now)
        if rng.random() < scenario.people:
            command = self._opinion()
            if command is not None:
                watch.input(command)
                if rng.random() < 0.1:
                    watch.input(command)  # pressed twice
        if rng.random() < scenario.nonsense:
            verb = str(rng.choice(["ack", "approve", "undo", "resolve", "autonomy", "note", "sing"]))
            watch.input(
                CommandGiven(verb, "mallory", f"{rng.choice(['INC', 'ACT', 'x'])}-{rng.integers(99)}", "\u2603")
            )
            if self.changes:
                watch.input(ChangeSeen(self.changes[int(rng.integers(len(self.changes)))]))

    def _flip(self, verb: str, index: int, via: str, at: float, now: float) -> None:
        if now < at or (verb, index) in self.hands:
            return
        assert self.watch is not None
        self.switch.on = verb == "hands_off"
        if via == "file" or self.watch.input(CommandGiven(verb, "ann", via=via)):
            self.hands.add((verb, index))

    def _opinion(self) -> CommandGiven | None:
        """Something that a person might say now."""
        assert self.watch is not None
        state, rng = self.watch.state, self.rng
        who = str(rng.choice(["ann", "bob"]))
        asked = [a for a, r in state.actions.items() if r.status == "asked"]
        ended = [a for a, r in state.actions.items() if r.status in ("done", "met", "missed", "unknown", "in_doubt")]
        incidents = [i.id for i in state.open_incidents]
        choices: list[CommandGiven] = []
        for action in asked[:2]:
            choices += [CommandGiven("approve", who, action)] * 4 + [CommandGiven("refuse", who, action, note="no")]
        choices += [CommandGiven("undo", who, action) for action in ended[:1]]
        choices += [CommandGiven("refuse", who, action) for action in ended[:1]]
        for incident in incidents[:2]:
            choices += [CommandGiven("ack", who, incident)] * 3
            choices += [
                CommandGiven("confirm_cause", who, incident, "1"),
                CommandGiven("note", who, incident, note="hm"),
            ]
            choices += [CommandGiven("resolve", who, incident)] if rng.random() < 0.2 else []
        choices += _regroupings(self.watch.state, who, rng)
        if rng.random() < 0.1:
            book = str(rng.choice(sorted(state.playbooks)))
            choices.append(CommandGiven("autonomy", who, book, str(rng.choice(["shadow", "ask", "auto"]))))
        return choices[int(rng.integers(len(choices)))] if choices else None

    def finish(self) -> None:
        trace = self.trace
        trace.journal = list(self.disk.journal.read())
        trace.executed = dict(self.target.executed)
        trace.state = fold_all(trace.journal)
        if self.watch is not None:
            trace.memory = self.watch.memory
            trace.folds.append((self.watch.state.seq, self.watch.state == trace.state))
        trace.truth = self.telemetry.world(self.now(), self.telemetry.steps) if self.telemetry.steps else None
        trace.ended_at = self.now()
        cured = [a.cured_at for a in self.target.active if a.cured_at is not None]
        trace.cured_at = min(cured) if cured else None
        trace.received = dict(self.target.received)
