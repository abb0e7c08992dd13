"""A leak of database connections: jobs check them out and never give them back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from midwatch.gym.faults.base import LEASE_SECONDS, Fault, Map, Target, services
from midwatch.gym.faults.truth import Fix, Truth
from midwatch.model import faults
from midwatch.model.actions import Scalar
from midwatch.model.entity import name_of


class PoolExhausted(Fault):
    name = "pool_exhausted"
    kind = faults.POOL_EXHAUSTED
    summary = "jobs hold every connection of a service's pool; a larger pool has room for both"

    def eligible(self, fleet: Map) -> Sequence[str]:
        return services(fleet.having("database", "pool"))

    def strength(self, rng: Random, fleet: Map, entity: str) -> dict[str, Scalar]:
        # The jobs want as many as there are, or a few more, which they get from a pool that grows too little.
        pool = int(fleet.services[name_of(entity)]["pool"])
        return {"hold_pool": pool + rng.choice((0, 0, 1))}

    def fixes(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[Fix, ...]:
        return (Fix("resize_pool", entity),)

    async def inject(self, fleet: Target, truth: Truth) -> None:
        # The jobs come back with the process: a restart does not cure it.
        await fleet.dark.call(
            "knob",
            service=name_of(truth.entity),
            values=dict(truth.strength),
            persist=True,
            lease_seconds=LEASE_SECONDS,
        )
