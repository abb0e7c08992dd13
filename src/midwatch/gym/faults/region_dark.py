"""A region that does not answer from outside, while its own health checks pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from midwatch.gym.faults.base import LEASE_SECONDS, Fault, Map, Target
from midwatch.gym.faults.truth import Fix, Truth
from midwatch.model import faults
from midwatch.model.actions import Scalar
from midwatch.model.entity import name_of


class RegionDark(Fault):
    name = "region_dark"
    kind = faults.REGION_DARK
    summary = "requests into one region are refused or never answered; the other region can carry everything"

    def eligible(self, fleet: Map) -> Sequence[str]:
        return tuple(f"region:{region}" for region in sorted(fleet.regions)) if len(fleet.regions) > 1 else ()

    def strength(self, rng: Random, fleet: Map, entity: str) -> dict[str, Scalar]:
        return {"mode": rng.choice(("refuse", "blackhole"))}

    def fixes(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[Fix, ...]:
        return (Fix("drain_region", entity),)

    async def inject(self, fleet: Target, truth: Truth) -> None:
        await fleet.dark.call(
            "region_fault", region=name_of(truth.entity), mode=truth.strength["mode"], lease_seconds=LEASE_SECONDS
        )
