"""Deploys that fail requests, and deploys that are slow."""

from __future__ import annotations

from random import Random

from midwatch.gym.faults.base import rounded
from midwatch.gym.faults.builds import EXCEPTIONS, DeployFault
from midwatch.model import faults
from midwatch.model.actions import Scalar


class BadDeployErrors(DeployFault):
    name = "bad_deploy_errors"
    kind = faults.BAD_DEPLOY
    summary = "a new version fails a share of its requests with an exception"

    def defect(self, rng: Random, entity: str) -> dict[str, Scalar]:
        return {"error_ratio": rounded(rng, 0.25, 0.8), "exception": rng.choice(EXCEPTIONS)}


class BadDeployLatency(DeployFault):
    name = "bad_deploy_latency"
    kind = faults.BAD_DEPLOY
    summary = "a new version is slow"

    def defect(self, rng: Random, entity: str) -> dict[str, Scalar]:
        return {"delay_ms": rng.randrange(700, 1600, 50)}
