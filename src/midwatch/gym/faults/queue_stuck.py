"""A consumer that takes no more messages; they pile up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from midwatch.gym.faults.base import LEASE_SECONDS, Fault, Map, Target
from midwatch.gym.faults.truth import Fix, Truth
from midwatch.model import faults
from midwatch.model.actions import Scalar
from midwatch.model.entity import name_of


class QueueStuck(Fault):
    name = "queue_stuck"
    kind = faults.QUEUE_STUCK
    summary = "a queue's consumer hangs while its process looks well; a restart cures"
    restart_cures = True

    def eligible(self, fleet: Map) -> Sequence[str]:
        return tuple(sorted(f"service:{name}" for name, what in fleet.services.items() if what.get("consumer")))

    def aliases(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[str, ...]:
        return ("queue:orders",)

    def fixes(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[Fix, ...]:
        return (Fix("restart", entity),)

    async def inject(self, fleet: Target, truth: Truth) -> None:
        await fleet.dark.call(
            "knob", service=name_of(truth.entity), values={"consumer_stuck": True}, lease_seconds=LEASE_SECONDS
        )
