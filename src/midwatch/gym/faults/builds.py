"""Faults that a deploy brings: a build with a defect is registered out of sight, then deployed like any other."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from random import Random

from midwatch.gym.faults.base import Fault, Map, Target, services
from midwatch.gym.faults.truth import Fix, Truth
from midwatch.model.actions import Scalar
from midwatch.model.entity import name_of

EXCEPTIONS = ("KeyError", "ValueError", "TypeError", "AttributeError", "IndexError", "ZeroDivisionError")


def version(rng: Random) -> str:
    """A version that looks like every other."""
    return f"2.{rng.randrange(1, 60)}.{rng.randrange(0, 10)}"


class DeployFault(Fault):
    """A deploy of a build with ``defect``; cured by running another version."""

    def eligible(self, fleet: Map) -> Sequence[str]:
        return services(fleet.reached)

    @abstractmethod
    def defect(self, rng: Random, entity: str) -> dict[str, Scalar]:
        """Knobs of the build."""

    def strength(self, rng: Random, fleet: Map, entity: str) -> dict[str, Scalar]:
        return {"version": version(rng), **self.defect(rng, entity)}

    def fixes(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[Fix, ...]:
        return (Fix("rollback_deploy", entity),)

    async def inject(self, fleet: Target, truth: Truth) -> None:
        service, build = name_of(truth.entity), str(truth.strength["version"])
        defect = {knob: value for knob, value in truth.strength.items() if knob != "version"}
        await fleet.dark.call("register_build", service=service, version=build, defect=defect)
        await fleet.op("deploy", service, {"version": build}, by="ci")
