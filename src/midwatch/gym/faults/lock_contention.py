"""A session holds a lock and does nothing; everybody who needs the table waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from midwatch.gym.faults.base import DATABASE, LEASE_SECONDS, Fault, Map, Target
from midwatch.gym.faults.truth import Fix, Truth
from midwatch.model import faults
from midwatch.model.actions import Scalar


class LockContention(Fault):
    name = "lock_contention"
    kind = faults.LOCK_CONTENTION
    summary = "a session sits idle in a transaction that locks a table"

    def eligible(self, fleet: Map) -> Sequence[str]:
        return (DATABASE,) if self._tables(fleet) else ()

    def strength(self, rng: Random, fleet: Map, entity: str) -> dict[str, Scalar]:
        return {"table": rng.choice(self._tables(fleet))}

    def _tables(self, fleet: Map) -> tuple[str, ...]:
        return tuple(sorted(table for table, service in fleet.tables.items() if service in fleet.reached))

    def fixes(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[Fix, ...]:
        return (Fix("kill_session", entity),)

    async def inject(self, fleet: Target, truth: Truth) -> None:
        await fleet.dark.call("hold_lock", table=truth.strength["table"], lease_seconds=LEASE_SECONDS)
