"""An index is gone, and a query that was quick reads the whole table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from midwatch.gym.faults.base import DATABASE, LEASE_SECONDS, Fault, Map, Target
from midwatch.gym.faults.truth import Fix, Truth
from midwatch.model import faults
from midwatch.model.actions import Scalar

# Measured: without one of these a user waits; without the others a scan of a table of this size costs 20 to 40 ms more,
# which nobody feels.
FELT = frozenset({"reviews_product"})


class SlowQuery(Fault):
    name = "slow_query"
    kind = faults.SLOW_QUERY
    summary = "an index was dropped"

    def eligible(self, fleet: Map) -> Sequence[str]:
        return (DATABASE,) if self._indexes(fleet) else ()

    def strength(self, rng: Random, fleet: Map, entity: str) -> dict[str, Scalar]:
        return {"index": rng.choice(self._indexes(fleet))}

    def _indexes(self, fleet: Map) -> tuple[str, ...]:
        return tuple(sorted(i for i, what in fleet.indexes.items() if i in FELT and what["service"] in fleet.reached))

    def by_kind(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[str, ...]:
        """The service whose query it is."""
        return (f"service:{fleet.indexes[str(strength['index'])]['service']}",)

    def fixes(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[Fix, ...]:
        return (Fix("rebuild_index", entity),)

    async def inject(self, fleet: Target, truth: Truth) -> None:
        await fleet.dark.call("drop_index", index=truth.strength["index"], lease_seconds=LEASE_SECONDS)
