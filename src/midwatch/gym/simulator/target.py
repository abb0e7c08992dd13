"""What is true outside: the fleet's settings as actions change them, and who was paged.

Actions land here. An accepted fix cures its fault after a few seconds; some wrong ones make things worse until they are
undone. ``SimulatedHands`` and ``SimulatedChannel`` stand in front of it and misbehave as the seed says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from midwatch.adapters.actuators.registry import VERBS
from midwatch.gym.simulator.conditions import Conditions
from midwatch.gym.simulator.faults import Active, apply_fault
from midwatch.gym.simulator.fleet import REGIONS
from midwatch.gym.simulator.scenario import Scenario
from midwatch.model.actions import Action, Outcome, VerbSpec
from midwatch.model.errors import ActuatorError, ChannelError, InDoubt
from midwatch.model.events import PageOrdered

HARM_SHARE: Final = 0.15
"""How often a fix that cures nothing does harm."""


class Target:
    """The fleet as it is. ``executed`` counts how often each idempotency key was carried out: more than once is a bug
    of midwatch, because not every target takes conditional writes."""

    def __init__(self, scenario: Scenario, rng: np.random.Generator, now: Callable[[], float]) -> None:
        self.scenario, self.rng, self.now = scenario, rng, now
        self.active = [Active(fault) for fault in scenario.faults]
        self.executed: dict[str, int] = {}
        self.received: dict[str, int] = {}
        self._done: dict[str, Action] = {}
        self._cured: dict[str, list[Active]] = {}
        self._harm: dict[str, int] = {}  # action id -> service that suffers until it is undone
        self._restarting: list[tuple[float, int]] = []

    def carry_out(self, action: Action) -> Outcome:
        self.executed[action.key] = self.executed.get(action.key, 0) + 1
        self._done[action.id] = action
        if action.undo_of:
            self._take_back(action.undo_of)
            return Outcome("done", f"{action.verb} taken back")
        fits = [a for a in self.active if (action.verb, action.target) in a.fault.accepted and a.cured_at is None]
        cured = [] if self.scenario.stubborn else fits
        for active in cured:
            active.cured_at = self.now() + float(self.rng.uniform(1, 8))
        self._cured[action.id] = cured
        number = self.scenario.fleet.number_of.get(action.target, -1)
        if action.verb == "restart" and 0 <= number < self.scenario.fleet.size:
            self._restarting.append((self.now(), number))
        if not cured and self.rng.random() < HARM_SHARE:
            self._harm[action.id] = number if 0 <= number < self.scenario.fleet.size else 0
        return Outcome("done", f"{action.verb} {action.target}", dict(action.parameters))

    def _take_back(self, ident: str) -> None:
        self._harm.pop(ident, None)
        for active in self._cured.pop(ident, []):
            active.cured_at = None

    def did(self, action: Action) -> bool:
        return action.key in self.executed

    def conditions(self, now: float) -> Conditions:
        """The physics of this moment: the active faults, and what actions did."""
        conditions = Conditions(self.scenario.fleet)
        for active in self.active:
            if active.acts(now):
                apply_fault(conditions, active.fault, now)
        for number in self._harm.values():
            conditions.failing[number] = np.maximum(conditions.failing[number], 0.25)
        for at, number in self._restarting:
            if at <= now < at + 5:
                conditions.down[number, int(now - at > 2) % len(REGIONS)] = 0.4
                conditions.restarts[number] += 1
        return conditions


class SimulatedHands:
    """Every verb there is, in front of the target, with the seed's misbehaviour. ``note(what, key, ident)`` traces."""

    def __init__(self, target: Target, note: Callable[[str, str, str], None]) -> None:
        self._target, self._note = target, note
        self._rng, self._rates = target.rng, target.scenario.rates
        self._pending: set[str] = set()

    @property
    def verbs(self) -> Mapping[str, VerbSpec]:
        return VERBS

    async def apply(self, action: Action) -> Outcome:
        self._note("apply", action.key, action.id)
        draw, rates = self._rng.random(), self._rates
        if draw < rates.apply_fails:
            await asyncio.sleep(0.2)
            raise ActuatorError("the platform said no")
        draw -= rates.apply_fails
        if draw < rates.apply_doubt:
            return await self._doubtful(action)
        slow = self._rng.random() < rates.apply_slow
        wait = float(self._rng.uniform(0.5, 1.5 * action.timeout_seconds)) if slow else 0.05
        await asyncio.sleep(wait / 2)
        outcome = self._target.carry_out(action)
        await asyncio.sleep(wait / 2)
        return outcome

    async def _doubtful(self, action: Action) -> Outcome:
        """The answer is lost: before it took effect, after, or while the request still waits in somebody's queue."""
        fate = self._rng.random()
        await asyncio.sleep(0.1)
        if fate < 0.4:
            self._target.carry_out(action)
        elif fate < 0.6:
            self._pending.add(action.key)
            asyncio.get_running_loop().call_later(float(self._rng.uniform(1, 10)), self._land, action)
        raise InDoubt("connection reset while waiting for the answer")

    def _land(self, action: Action) -> None:
        self._pending.discard(action.key)
        self._target.carry_out(action)

    async def observe(self, action: Action) -> Outcome:
        self._note("observe", action.key, action.id)
        await asyncio.sleep(0.05)
        if self._rng.random() < self._rates.observe_fails:
            raise InDoubt("the platform does not answer")
        if action.key in self._pending:
            return Outcome("in_doubt", "still queued")
        if self._target.did(action):
            return Outcome("done", "it took effect", dict(action.parameters))
        return Outcome("failed", "it did not take effect")


class SimulatedChannel:
    """A receiver that dedupes by key, behind a network that loses things."""

    def __init__(self, name: str, target: Target, note: Callable[[str, str, str], None]) -> None:
        self.name, self._target, self._note = name, target, note
        self._rng, self._rates = target.rng, target.scenario.rates

    async def send(self, page: PageOrdered) -> None:
        self._note("send", page.key, page.page)
        await asyncio.sleep(0.05)
        draw = self._rng.random()
        if draw < self._rates.page_lost:
            if self._rng.random() < 0.5:
                self._deliver(page)
            await asyncio.sleep(60.0)  # nobody answers: the sender's timeout ends this
        if draw < self._rates.page_lost + self._rates.page_fails:
            permanent = self._rng.random() < 0.05
            raise ChannelError("503 from the receiver", retry_after_seconds=None if permanent else 2.0)
        self._deliver(page)

    def _deliver(self, page: PageOrdered) -> None:
        self._target.received[page.key] = self._target.received.get(page.key, 0) + 1
