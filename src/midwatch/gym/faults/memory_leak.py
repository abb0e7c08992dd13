"""A leak of real memory, up to the limit where the process is killed, again and again."""

from __future__ import annotations

from random import Random

from midwatch.gym.faults.builds import DeployFault
from midwatch.model import faults
from midwatch.model.actions import Scalar


class MemoryLeak(DeployFault):
    name = "memory_leak"
    kind = faults.MEMORY_LEAK
    also = (faults.BAD_DEPLOY,)
    summary = "a new version keeps a part of every request in memory until it is killed; it starts over and leaks again"

    def defect(self, rng: Random) -> dict[str, Scalar]:
        return {"leak_bytes_per_request": rng.randrange(600, 1600, 100) * 1024}
