"""A leak of real memory, up to the limit where the process is killed, again and again."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from midwatch.gym.faults.base import Map, services
from midwatch.gym.faults.builds import DeployFault
from midwatch.gym.faults.traffic import BUSY, SHARE, USER_RATE
from midwatch.model import faults
from midwatch.model.actions import Scalar
from midwatch.model.entity import name_of


class MemoryLeak(DeployFault):
    name = "memory_leak"
    kind = faults.MEMORY_LEAK
    also = (faults.BAD_DEPLOY,)
    summary = "a new version keeps a part of every request in memory until it is killed; it starts over and leaks again"

    def eligible(self, fleet: Map) -> Sequence[str]:
        # A kill a minute is caught by the twin in the other region: the leak has to be quick to be felt.
        return services([name for name in fleet.reached if name in BUSY])

    def defect(self, rng: Random, entity: str) -> dict[str, Scalar]:
        bytes_per_second = rng.uniform(8, 16) * 2**20
        requests_per_second = SHARE[name_of(entity)] * USER_RATE / 2  # of one instance of two
        return {"leak_bytes_per_request": int(bytes_per_second / requests_per_second) // 1024 * 1024}
