"""One instance of a service is bad, its twin in the other region is well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from midwatch.gym.faults.base import LEASE_SECONDS, Fault, Map, Target, rounded
from midwatch.gym.faults.builds import EXCEPTIONS
from midwatch.gym.faults.truth import Fix, Truth
from midwatch.model import faults
from midwatch.model.actions import Scalar
from midwatch.model.entity import name_of


class BadInstance(Fault):
    name = "bad_instance"
    kind = faults.BAD_INSTANCE
    summary = "one of two instances fails or dawdles, also after a restart: its place is bad"

    def eligible(self, fleet: Map) -> Sequence[str]:
        return tuple(f"instance:{service}-{region}-1" for service in fleet.reached for region in fleet.regions)

    def strength(self, rng: Random, fleet: Map, entity: str) -> dict[str, Scalar]:
        if rng.random() < 0.6:
            return {"error_ratio": rounded(rng, 0.4, 0.95), "exception": rng.choice((*EXCEPTIONS, "OSError"))}
        return {"delay_ms": rng.randrange(800, 1800, 50)}

    def aliases(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[str, ...]:
        return (f"service:{name_of(entity).rsplit('-', 2)[0]}",)

    def fixes(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[Fix, ...]:
        return (Fix("drain_instance", entity),)

    async def inject(self, fleet: Target, truth: Truth) -> None:
        await fleet.dark.call(
            "knob",
            instance=name_of(truth.entity),
            values=dict(truth.strength),
            persist=True,
            lease_seconds=LEASE_SECONDS,
        )
