"""``midwatch gym faults --check``: does each fault do what it says?

For each: users are harmed; a restart of the place cures it if, and only if, the fault says so; an accepted fix,
carried out by the very hands that midwatch uses, cures it. Healthy controls must harm nobody.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from midwatch.adapters.actuators.load import fleet_section, load_actuators
from midwatch.gym.faults.base import Map
from midwatch.gym.faults.catalog import BY_NAME, Case, draw_case, named
from midwatch.gym.faults.truth import Fix
from midwatch.gym.fleet import Fleet, FleetError
from midwatch.gym.score.reset import put_back
from midwatch.gym.score.users import Request, bad_share, first_harm
from midwatch.gym.score.witness import Witness
from midwatch.gym.watched import catalogue
from midwatch.model.actions import Action, Scalar
from midwatch.model.errors import ActuatorError
from midwatch.model.ports import Actuator
from midwatch.shell.config import resolve

HARM_SECONDS = 75.0
CURE_SECONDS = 45.0
CALM_SECONDS = 12.0
FREE: Mapping[str, Mapping[str, Scalar]] = {
    "resize_pool": {"size": 16},
    "scale_out": {"count": 2},
    "shed_load": {"ratio": 0.6},
}


class Checked(Struct, frozen=True):
    """What was seen of one fault. ``cured_by`` names the fix that was tried; None means "not tried"."""

    fault: str
    entity: str
    strength: dict[str, Scalar]
    harm_seconds: float | None
    bad_share: float
    restart_cures: bool | None
    says_restart_cures: bool
    cured_by: str
    cured_seconds: float | None
    problems: tuple[str, ...] = ()


class Checker:
    """Checks faults on one running fleet, one after the other."""

    def __init__(self, fleet: Fleet, say: Callable[[str], None] = print) -> None:
        self.fleet, self.say = fleet, say
        self.hands: list[Actuator] = load_actuators(fleet_section(fleet.directory, catalogue()), resolve)
        self.witness = Witness(fleet)
        self.actions = 0

    async def check(self, name: str, seed: int) -> Checked:
        """One fault, from healthy to healthy."""
        fault = named(name)
        known = Map.read(await self.fleet.dark.call("targets"))
        case = draw_case(seed, 0, fault, known)
        await self._calm()
        await fault.prepare(self.fleet, case.truth)
        if not await self._good(30.0):
            return self._checked(case, None, 1.0, None, "", None, "not healthy before the injection")
        injected = time.time()
        await fault.inject(self.fleet, case.truth)
        case = replace(case, truth=replace(case.truth, injected_at=injected))
        harm = await self._harm(injected, HARM_SECONDS if case.truth.harmful else 45.0)
        if not case.truth.harmful:
            why = "" if harm is None else "a healthy control harmed users"
            return self._checked(case, harm, self._bad(injected), None, "", None, why)
        if harm is None:
            return self._checked(case, None, self._bad(injected), None, "", None, "nobody felt it")
        await asyncio.sleep(10)
        share = self._bad(injected + harm)
        cured = await self._restarted(case)
        if cured:
            await fault.clear(self.fleet)
            await self._calm()
            await fault.prepare(self.fleet, case.truth)
            await fault.inject(self.fleet, case.truth)
            await self._harm(time.time(), HARM_SECONDS)
        fix, seconds, problem = await self._fixed(case)
        return self._checked(case, harm, share, cured, fix, seconds, problem)

    def _checked(
        self,
        case: Case,
        harm: float | None,
        share: float,
        restart: bool | None,
        fix: str,
        seconds: float | None,
        problem: str,
    ) -> Checked:
        problems = [problem] if problem else []
        says = named(case.truth.fault).restart_cures
        if restart is not None and restart != says:
            problems.append(f"a restart {'cures' if restart else 'does not cure'} it, and it says otherwise")
        truth = case.truth
        return Checked(
            truth.fault, truth.entity, dict(truth.strength), harm, share, restart, says, fix, seconds, tuple(problems)
        )

    async def _calm(self) -> None:
        await put_back(self.fleet, Map.read(await self.fleet.dark.call("targets")).regions)
        self.witness.forget()
        if not await self._good(90.0):
            raise FleetError("the fleet is not healthy after a reset")

    async def _good(self, patience_seconds: float) -> bool:
        """Wait until nobody was harmed for a while."""
        since = time.time()
        while time.time() - since < patience_seconds:
            await self.witness.watch(CALM_SECONDS)
            now = time.time()
            if self._bad(now - CALM_SECONDS + 1) <= 0.005:
                return True
        return False

    async def _harm(self, since: float, patience_seconds: float) -> float | None:
        while time.time() < since + patience_seconds:
            await self.witness.watch(2.0)
            harm = first_harm(self.requests(since), since)
            if harm is not None:
                return harm - since
        return None

    async def _restarted(self, case: Case) -> bool | None:
        """Restart the place; whether users are served well afterwards. None when it has no processes of its own."""
        entity = case.truth.entity.partition(">")[0]
        if entity.partition(":")[0] not in ("service", "instance", "cache"):
            return None
        try:
            await self._apply(Fix("restart", entity))
        except ActuatorError as error:
            self.say(f"  restart: {error}")
            return None
        return await self._cured() is not None

    async def _fixed(self, case: Case) -> tuple[str, float | None, str]:
        fixes = [fix for fix in case.truth.fixes if fix.verb != "restart"] or list(case.truth.fixes)
        chosen = [fix for fix in fixes if fix.verb == fixes[0].verb]
        words = ", ".join(f"{fix.verb} {fix.target}" for fix in chosen)
        begun = time.time()
        for fix in chosen:
            try:
                said = await self._apply(fix)
            except ActuatorError as error:
                return words, None, f"{fix.verb} {fix.target} failed: {error}"
            self.say(f"  {fix.verb} {fix.target}: {said}")
        seconds = await self._cured()
        return (
            words,
            None if seconds is None else time.time() - begun - CALM_SECONDS,
            ("" if seconds is not None else f"{words} does not cure it"),
        )

    async def _cured(self) -> float | None:
        begun = time.time()
        while time.time() < begun + CURE_SECONDS:
            await self.witness.watch(CALM_SECONDS)
            if self._bad(time.time() - CALM_SECONDS + 1) <= 0.01:
                return time.time() - begun
        return None

    async def _apply(self, fix: Fix) -> str:
        self.actions += 1
        parameters = {**FREE.get(fix.verb, {}), **fix.parameters}
        action = Action(
            f"C{self.actions}", f"check-{time.time_ns()}", "", "", fix.verb, fix.target, parameters=parameters
        )
        for hand in self.hands:
            if fix.verb in hand.verbs:
                outcome = await hand.apply(action)
                if outcome.status != "done":
                    raise ActuatorError(f"{outcome.status}: {outcome.result}")
                return outcome.result
        raise ActuatorError(f"no hands for {fix.verb}")

    def requests(self, since: float) -> list[Request]:
        return self.witness.requests(since)

    def _bad(self, since: float) -> float:
        """The share of bad requests on the worst route since a time, if it is more than a stray one."""
        routes: dict[str, list[Request]] = {}
        for request in self.requests(since):
            routes.setdefault(request.route, []).append(request)
        shares = [bad_share(group, since, time.time()) for group in routes.values() if sum(r.bad for r in group) > 1]
        return max(shares, default=0.0 if routes else 1.0)


def words(one: Checked) -> str:
    harm = "no harm" if one.harm_seconds is None else f"harm after {one.harm_seconds:.0f} s, {one.bad_share:.0%} bad"
    restart = {None: "", True: ", restart cures", False: ", restart does not cure"}[one.restart_cures]
    cured = (
        ""
        if not one.cured_by
        else f", {one.cured_by}: "
        + ("no cure" if one.cured_seconds is None else f"cured in {max(0.0, one.cured_seconds):.0f} s")
    )
    verdict = "ok  " if not one.problems else "BAD "
    return f"{verdict}{one.fault} {one.entity} {one.strength}: {harm}{restart}{cured} {'; '.join(one.problems)}"


async def selfcheck(
    names: Sequence[str] = (),
    seed: int = 1,
    *,
    say: Callable[[str], None] = print,
) -> list[Checked]:
    """Check the named faults (all of them by default) on a fleet of its own."""
    found = []
    with tempfile.TemporaryDirectory(prefix="midwatch-check-") as work:
        async with Fleet(Path(work), seed=seed) as fleet:
            checker = Checker(fleet, say)
            for name in names or BY_NAME:
                one = await checker.check(name, seed)
                found.append(one)
                say(words(one))
    return found
