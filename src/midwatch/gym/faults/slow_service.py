"""A service that takes its time, and nothing that is measured of it says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from midwatch.gym.faults.base import ENTRY, LEASE_SECONDS, Fault, Map, Target, services
from midwatch.gym.faults.truth import Fix, Truth
from midwatch.model import faults
from midwatch.model.actions import Scalar
from midwatch.model.entity import name_of


class SlowService(Fault):
    name = "slow_downstream"
    kind = faults.SLOW_SERVICE
    summary = (
        "every request of a service waits for nothing anybody sees; its processes got there slowly, a restart cures"
    )
    restart_cures = True

    def eligible(self, fleet: Map) -> Sequence[str]:
        return services([name for name in fleet.reached if name != ENTRY])

    def strength(self, rng: Random, fleet: Map, entity: str) -> dict[str, Scalar]:
        return {"delay_ms": rng.randrange(700, 1600, 50)}

    def fixes(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[Fix, ...]:
        return (Fix("restart", entity),)

    async def inject(self, fleet: Target, truth: Truth) -> None:
        await fleet.dark.call(
            "knob", service=name_of(truth.entity), values=dict(truth.strength), lease_seconds=LEASE_SECONDS
        )
