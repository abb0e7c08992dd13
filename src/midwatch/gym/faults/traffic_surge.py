"""More traffic than a service can serve, and clients that try again at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from random import Random

from midwatch.gym.faults.base import ENTRY, LEASE_SECONDS, Fault, Map, Target, rounded, services
from midwatch.gym.faults.truth import Fix, Truth
from midwatch.model import faults
from midwatch.model.actions import Scalar
from midwatch.model.entity import name_of


class TrafficSurge(Fault):
    """The drawn service is the one without headroom: each of its requests holds a worker for a while, and it has
    few workers. That is so from the beginning of the case (``prepare``); it serves its usual traffic well."""

    name = "traffic_surge"
    kind = faults.TRAFFIC_SURGE
    summary = "arrivals multiply, a service runs out of workers, failed requests are repeated at once"

    def eligible(self, fleet: Map) -> Sequence[str]:
        return services([name for name in fleet.reached if name in HOLD_MS])

    def strength(self, rng: Random, fleet: Map, entity: str) -> dict[str, Scalar]:
        return {
            "factor": rounded(rng, 3.5, 4.5),
            "retries": rng.choice((1, 2)),
            "hold_ms": HOLD_MS[name_of(entity)],
            "workers": WORKERS,
        }

    def by_kind(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[str, ...]:
        """Where the surge comes in."""
        return (f"service:{ENTRY}",)

    def fixes(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[Fix, ...]:
        return (Fix("scale_out", entity), Fix("shed_load", f"service:{ENTRY}"))

    async def prepare(self, fleet: Target, truth: Truth) -> None:
        service = name_of(truth.entity)
        limits = {"workers": truth.strength["workers"], "queue_limit": 2 * int(truth.strength["workers"])}
        await fleet.op("apply_config", service, {"config": json.dumps(limits)}, by="ops")
        await fleet.dark.call(
            "knob",
            service=service,
            values={"delay_ms": truth.strength["hold_ms"]},
            persist=True,
            lease_seconds=LEASE_SECONDS,
        )

    async def inject(self, fleet: Target, truth: Truth) -> None:
        await fleet.dark.call(
            "surge",
            factor=truth.strength["factor"],
            retries=truth.strength["retries"],
            lease_seconds=LEASE_SECONDS,
        )


WORKERS = 2
# How long a request holds its worker: two workers in each of two regions are then busy for about a third of the time at
# 25 user requests per second (four times that is more than they can do). Services with a small share of the traffic
# are missing: they would have to be slow at all times.
HOLD_MS: dict[str, int] = {
    "catalog": 40,
    "pricing": 55,
    "storefront": 70,
    "recommend": 85,
    "review": 95,
    "inventory": 125,
    "user": 140,
}
