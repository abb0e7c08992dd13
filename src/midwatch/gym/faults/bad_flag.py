"""A feature flag that should have stayed off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from midwatch.gym.faults.base import Fault, Map, Target, rounded, services
from midwatch.gym.faults.builds import EXCEPTIONS
from midwatch.gym.faults.truth import Fix, Truth
from midwatch.model import faults
from midwatch.model.actions import Scalar
from midwatch.model.entity import name_of

FLAGS = ("new-ranking", "async-receipts", "fast-path", "dual-write", "smart-retries", "eager-load", "lean-cards")


class BadFlag(Fault):
    name = "bad_flag"
    kind = faults.BAD_FLAG
    summary = "a flag turns on code that fails or dawdles; no process restarts, so only the announcement tells"

    def eligible(self, fleet: Map) -> Sequence[str]:
        return services(fleet.reached)

    def strength(self, rng: Random, fleet: Map, entity: str) -> dict[str, Scalar]:
        flag = {"flag": rng.choice(FLAGS)}
        if rng.random() < 0.5:
            return {**flag, "error_ratio": rounded(rng, 0.25, 0.8), "exception": rng.choice(EXCEPTIONS)}
        return {**flag, "delay_ms": rng.randrange(700, 1600, 50)}

    def fixes(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[Fix, ...]:
        return (Fix("set_flag", entity, {"flag": strength["flag"], "on": False}),)

    async def inject(self, fleet: Target, truth: Truth) -> None:
        service, flag = name_of(truth.entity), str(truth.strength["flag"])
        defect = {knob: value for knob, value in truth.strength.items() if knob != "flag"}
        await fleet.dark.call("register_flag", service=service, flag=flag, defect=defect)
        await fleet.op("set_flag", service, {"flag": flag, "on": True}, by="product")
