"""Calls between two services stall or break on the way, in one region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from midwatch.gym.faults.base import LEASE_SECONDS, Fault, Map, Target, rounded
from midwatch.gym.faults.truth import Fix, Truth
from midwatch.model import faults
from midwatch.model.actions import Scalar
from midwatch.model.entity import name_of, split_edge


class NetworkFault(Fault):
    name = "network_fault"
    kind = faults.NETWORK_FAULT
    summary = "calls of one service to another stall or are reset on the way out of one region; both ends are well"

    def eligible(self, fleet: Map) -> Sequence[str]:
        return tuple(
            sorted(f"service:{a}>service:{b}" for a, b in fleet.edges if a in fleet.reached and b in fleet.services)
        )

    def strength(self, rng: Random, fleet: Map, entity: str) -> dict[str, Scalar]:
        mode = rng.choice(("stall", "reset"))
        return {"region": rng.choice(sorted(fleet.regions)), "mode": mode, "ratio": rounded(rng, 0.4, 0.9)}

    def by_kind(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[str, ...]:
        """Said of one end, of the instance on the way, or of the region: all mean this way, if the kind is right."""
        caller, callee = split_edge(entity)
        instance = f"instance:{name_of(caller)}-{strength['region']}-1"
        return (caller, callee, instance, f"{instance}>{callee}", f"region:{strength['region']}")

    def fixes(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[Fix, ...]:
        caller, _ = split_edge(entity)
        region = strength["region"]
        return (
            Fix("drain_region", f"region:{region}"),
            Fix("drain_instance", f"instance:{name_of(caller)}-{region}-1"),
        )

    async def inject(self, fleet: Target, truth: Truth) -> None:
        caller, callee = split_edge(truth.entity)
        await fleet.dark.call(
            "edge_fault",
            caller=name_of(caller),
            callee=name_of(callee),
            lease_seconds=LEASE_SECONDS,
            **truth.strength,
        )
