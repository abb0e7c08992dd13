"""What goes on in a healthy shop anyway: good deploys, settings, flags. So "what changed last" is no answer key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from random import Random

from msgspec import Struct

from midwatch.gym.faults.bad_flag import FLAGS
from midwatch.gym.faults.base import Map, Target
from midwatch.gym.faults.builds import version
from midwatch.gym.faults.settings import harmless_config


class Routine(Struct, frozen=True):
    """One healthy change: ``what`` is deploy, config or flag; ``at_seconds`` counts from the injection (negative:
    before)."""

    what: str
    service: str
    value: str
    at_seconds: float


def draw(
    rng: Random, fleet: Map, *, normal_seconds: float, watch_seconds: float, spare: Sequence[str]
) -> tuple[Routine, ...]:
    """Two or three changes before the injection and one or two in the minute after it.

    After the injection the services in ``spare`` are left alone: a deploy there would restart the fault away.
    """
    times = [-rng.uniform(3, max(4, normal_seconds - 5)) for _ in range(rng.choice((2, 3)))]
    times += [rng.uniform(1, min(60, watch_seconds)) for _ in range(rng.choice((1, 2)))]
    found = []
    for at in sorted(times):
        service = rng.choice([s for s in fleet.reached if at < 0 or s not in spare])
        what = rng.choice(("deploy", "config", "flag"))
        value = {"deploy": version(rng), "config": harmless_config(rng), "flag": f"{rng.choice(FLAGS)}-v2"}[what]
        found.append(Routine(what, service, value, round(at, 1)))
    return tuple(found)


async def carry_out(fleet: Target, routine: Routine) -> None:
    """Do it, as the people of the shop would."""
    if routine.what == "deploy":
        await fleet.dark.call("register_build", service=routine.service, version=routine.value, defect={})
        await fleet.op("deploy", routine.service, {"version": routine.value}, by="ci")
    elif routine.what == "config":
        await fleet.op("apply_config", routine.service, {"config": routine.value}, by="ops")
    else:
        await fleet.dark.call("register_flag", service=routine.service, flag=routine.value, defect={})
        await fleet.op("set_flag", routine.service, {"flag": routine.value, "on": True}, by="product")


async def play(fleet: Target, routines: Sequence[Routine], injected_at: float) -> None:
    """Carry ``routines`` out at their times around ``injected_at`` (unix seconds); those in the past at once."""
    for routine in routines:
        await asyncio.sleep(max(0.0, injected_at + routine.at_seconds - time.time()))
        await carry_out(fleet, routine)
