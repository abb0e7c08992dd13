"""A configuration change with a mistake in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from random import Random

from midwatch.gym.faults.base import Fault, Map, Target, services
from midwatch.gym.faults.settings import harmful_configs
from midwatch.gym.faults.truth import Fix, Truth
from midwatch.model import faults
from midwatch.model.actions import Scalar
from midwatch.model.entity import name_of


class BadConfig(Fault):
    name = "bad_config"
    kind = faults.BAD_CONFIG
    summary = "a setting is changed to a host that does not exist, a timeout that is too short, or no workers"

    def eligible(self, fleet: Map) -> Sequence[str]:
        return services(fleet.reached)

    def strength(self, rng: Random, fleet: Map, entity: str) -> dict[str, Scalar]:
        options = harmful_configs(rng, fleet.services[name_of(entity)])
        return {"config": json.dumps(rng.choice(options))}

    def fixes(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[Fix, ...]:
        return (Fix("rollback_config", entity),)

    async def inject(self, fleet: Target, truth: Truth) -> None:
        await fleet.op("apply_config", name_of(truth.entity), {"config": truth.strength["config"]}, by="ops")
