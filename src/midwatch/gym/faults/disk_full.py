"""The database's volume is full: reads go on, writes fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from midwatch.gym.faults.base import DATABASE, LEASE_SECONDS, Fault, Map, Target
from midwatch.gym.faults.truth import Fix, Truth
from midwatch.model import faults
from midwatch.model.actions import Scalar


class DiskFull(Fault):
    name = "disk_full"
    kind = faults.DISK_FULL
    summary = "no table of the database can grow any more"

    def eligible(self, fleet: Map) -> Sequence[str]:
        return (DATABASE,) if fleet.having("database") else ()

    def fixes(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[Fix, ...]:
        return (Fix("free_disk", entity),)

    async def inject(self, fleet: Target, truth: Truth) -> None:
        await fleet.dark.call("fill_disk", ratio=0.99, lease_seconds=LEASE_SECONDS)
