"""Processes that get only a slice of the CPU that they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from midwatch.gym.faults.base import LEASE_SECONDS, Fault, Map, Target, rounded, services
from midwatch.gym.faults.traffic import BUSY
from midwatch.gym.faults.truth import Fix, Truth
from midwatch.model import faults
from midwatch.model.actions import Scalar
from midwatch.model.entity import name_of


class CpuStarved(Fault):
    name = "cpu_starved"
    kind = faults.CPU_STARVED
    summary = "a service is stopped for most of each 100 ms, as under a CPU limit; new processes land elsewhere"
    restart_cures = True

    def eligible(self, fleet: Map) -> Sequence[str]:
        # Measured: a twentieth of a core is plenty for the others.
        return services([name for name in fleet.reached if name in BUSY])

    def strength(self, rng: Random, fleet: Map, entity: str) -> dict[str, Scalar]:
        return {"duty": rounded(rng, 0.93, 0.95)}

    def fixes(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[Fix, ...]:
        return (Fix("scale_out", entity), Fix("restart", entity))

    async def inject(self, fleet: Target, truth: Truth) -> None:
        await fleet.dark.call(
            "stop_duty",
            service=name_of(truth.entity),
            duty=truth.strength["duty"],
            lifted_by=["scale_out", "restart"],
            lease_seconds=LEASE_SECONDS,
        )
