"""The cache hangs, and everybody who reads from it waits, then goes to the database at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from midwatch.gym.faults.base import CACHE, LEASE_SECONDS, Fault, Map, Target
from midwatch.gym.faults.truth import Fix, Truth
from midwatch.model import faults
from midwatch.model.actions import Scalar


class CacheDown(Fault):
    name = "cache_down"
    kind = faults.CACHE_DOWN
    summary = "the cache hangs: its readers wait for it, then stampede to the database"
    restart_cures = True

    def eligible(self, fleet: Map) -> Sequence[str]:
        return (CACHE,) if fleet.having("cache") else ()

    def strength(self, rng: Random, fleet: Map, entity: str) -> dict[str, Scalar]:
        # Refused connections are noticed at once, and the database carries what the cache did: measured, nobody feels it.
        return {"mode": "hang"}

    def fixes(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[Fix, ...]:
        # A bypass helps the one service that is told to go without; together they cure it.
        bypass = tuple(Fix("bypass_cache", f"service:{name}", {"on": True}) for name in fleet.having("cache"))
        return (Fix("restart", entity), *bypass)

    async def inject(self, fleet: Target, truth: Truth) -> None:
        await fleet.dark.call("cache_fault", mode=truth.strength["mode"], lease_seconds=LEASE_SECONDS)
