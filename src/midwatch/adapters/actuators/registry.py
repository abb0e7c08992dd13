"""Every verb that midwatch ships hands for. A visible table: one line per outside system."""

from __future__ import annotations

from typing import Final

from midwatch.adapters.actuators.haproxy import manifest as haproxy
from midwatch.adapters.actuators.platform import manifest as platform
from midwatch.adapters.actuators.postgres import manifest as postgres
from midwatch.adapters.actuators.valkey import manifest as valkey
from midwatch.model.actions import VerbSpec

MANIFESTS: Final[dict[str, dict[str, VerbSpec]]] = {
    "platform": platform.VERBS,
    "haproxy": haproxy.VERBS,
    "postgres": postgres.VERBS,
    "valkey": valkey.VERBS,
}
VERBS: Final[dict[str, VerbSpec]] = {verb: spec for manifest in MANIFESTS.values() for verb, spec in manifest.items()}


def permissions(verbs: dict[str, VerbSpec] | None = None) -> tuple[str, ...]:
    """Every permission that ``verbs`` (all of them by default) need, sorted: for a policy that grants them all."""
    return tuple(sorted({p for spec in (VERBS if verbs is None else verbs).values() for p in spec.permissions}))
