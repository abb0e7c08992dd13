"""Ground truth: what was really broken, and what would really mend it. Never shown to the watched side."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from midwatch.model.actions import Scalar

SAME = {"database:shop-db": "database:shop"}
"""What telemetry calls by its server (``peer.service``), the platform calls by the database in it: one and the same."""


def plain(entity: str) -> str:
    """``entity`` by the name that the truth uses."""
    return SAME.get(entity, entity)


class Fix(Struct, frozen=True):
    """A verb, the entity it must be applied to, and the parameters that matter (others are free)."""

    verb: str
    target: str
    parameters: dict[str, Scalar] = field(default_factory=dict)


class Truth(Struct, frozen=True):
    """One drawn case.

    ``fault`` is the gym's name (``bad_deploy_latency``), ``kind`` the taxonomy's (``bad_deploy``; empty on a control).
    ``aliases`` are entities that name the very same place (a bad instance's service). ``by_kind`` are entities that
    name it only together with the right kind ("calls to fraud break on the way" said of fraud). ``kinds`` are the kinds
    that describe it truly. ``fixes`` cure it: each verb on its own, on all of its targets. ``strength`` holds what was
    drawn.
    """

    fault: str
    kind: str
    entity: str
    aliases: tuple[str, ...] = ()
    by_kind: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    restart_cures: bool = False
    harmful: bool = True
    strength: dict[str, Scalar] = field(default_factory=dict)
    injected_at: float = 0.0

    def names(self, entity: str) -> bool:
        """Whether ``entity`` is where it broke."""
        return plain(entity) == self.entity or plain(entity) in self.aliases

    def says(self, entity: str, kind: str) -> bool:
        """Whether "``kind`` in ``entity``" is true."""
        return kind in self.kinds and (self.names(entity) or plain(entity) in self.by_kind)

    def cured_by(self, verb: str, target: str, parameters: Mapping[str, Scalar] | None = None) -> bool:
        """Whether this action is one of the fixes."""
        given = parameters or {}
        return any(
            fix.verb == verb
            and fix.target == plain(target)
            and all(given.get(k) == v for k, v in fix.parameters.items())
            for fix in self.fixes
        )
