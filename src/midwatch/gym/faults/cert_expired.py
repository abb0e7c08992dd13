"""A certificate that nobody renewed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from midwatch.gym.faults.base import LEASE_SECONDS, Fault, Map, Target, services
from midwatch.gym.faults.truth import Fix, Truth
from midwatch.model import faults
from midwatch.model.actions import Scalar
from midwatch.model.entity import name_of


class CertExpired(Fault):
    name = "cert_expired"
    kind = faults.CERT_EXPIRED
    summary = "the certificate of a service's load balancer has expired; new connections fail"

    def eligible(self, fleet: Map) -> Sequence[str]:
        return services([name for name in fleet.tls if name in fleet.reached])

    def fixes(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[Fix, ...]:
        return (Fix("renew_certificate", entity),)

    async def inject(self, fleet: Target, truth: Truth) -> None:
        await fleet.dark.call("expire_cert", service=name_of(truth.entity), lease_seconds=LEASE_SECONDS)
