"""A process that dies soon after it starts, whoever starts it."""

from __future__ import annotations

from random import Random

from midwatch.gym.faults.builds import DeployFault
from midwatch.model import faults
from midwatch.model.actions import Scalar


class CrashLoop(DeployFault):
    name = "crash_loop"
    kind = faults.CRASH_LOOP
    also = (faults.BAD_DEPLOY,)
    summary = "a new version exits after a few requests, comes back, and exits again"

    def defect(self, rng: Random, entity: str) -> dict[str, Scalar]:
        return {"crash_after_requests": rng.randrange(3, 15)}
