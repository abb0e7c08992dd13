"""Healthy things that look like trouble: nobody must be paged, nothing must be touched."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from midwatch.gym.faults.base import ENTRY, LEASE_SECONDS, Fault, Map, Target, rounded, services
from midwatch.gym.faults.builds import version
from midwatch.gym.faults.truth import Truth
from midwatch.model.actions import Scalar
from midwatch.model.entity import name_of


class DoubledTraffic(Fault):
    name = "control_traffic"
    summary = "about twice the traffic, served well"
    harmful = False

    def eligible(self, fleet: Map) -> Sequence[str]:
        return (f"service:{ENTRY}",)

    def strength(self, rng: Random, fleet: Map, entity: str) -> dict[str, Scalar]:
        return {"factor": rounded(rng, 1.8, 2.2)}

    async def inject(self, fleet: Target, truth: Truth) -> None:
        await fleet.dark.call("surge", factor=truth.strength["factor"], retries=0, lease_seconds=LEASE_SECONDS)


class GoodDeploy(Fault):
    name = "control_deploy"
    summary = "a deploy of a good version"
    harmful = False

    def eligible(self, fleet: Map) -> Sequence[str]:
        return services(fleet.reached)

    def strength(self, rng: Random, fleet: Map, entity: str) -> dict[str, Scalar]:
        return {"version": version(rng)}

    async def inject(self, fleet: Target, truth: Truth) -> None:
        service, build = name_of(truth.entity), truth.strength["version"]
        await fleet.dark.call("register_build", service=service, version=build, defect={})
        await fleet.op("deploy", service, {"version": build}, by="ci")


class BatchJob(Fault):
    name = "control_batch"
    summary = "a batch job at the lowest priority eats CPU and harms nobody"
    harmful = False

    def eligible(self, fleet: Map) -> Sequence[str]:
        return tuple(f"host:{region}-host" for region in sorted(fleet.regions))

    def strength(self, rng: Random, fleet: Map, entity: str) -> dict[str, Scalar]:
        return {"cpu": rounded(rng, 0.3, 0.7)}

    async def inject(self, fleet: Target, truth: Truth) -> None:
        await fleet.dark.call("batch_job", seconds=LEASE_SECONDS / 4, cpu=truth.strength["cpu"])
