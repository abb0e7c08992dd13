"""What a fault is: where it may strike, how its strength is drawn, how it gets in, and what is then true."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any, ClassVar, Protocol

from midwatch.gym.faults.truth import Fix, Truth
from midwatch.model.actions import Scalar

LEASE_SECONDS = 3600.0
DATABASE = "database:shop"
CACHE = "cache:valkey"
ENTRY = "gateway"


class DarkChannel(Protocol):
    async def call(self, op: str, **arguments: Any) -> dict[str, Any]: ...


class Target(Protocol):
    """What a fault needs of a fleet: the hidden channel, and the platform that everybody may use."""

    @property
    def dark(self) -> DarkChannel: ...

    async def op(
        self, verb: str, target: str, parameters: dict[str, Any] | None = None, *, key: str = "", by: str = "operator"
    ) -> dict[str, Any]: ...

    async def state(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Map:
    """The fleet as the dark channel's ``targets`` tells it: what a fault may choose from."""

    services: Mapping[str, Mapping[str, Any]]
    edges: tuple[tuple[str, str], ...]
    indexes: Mapping[str, Mapping[str, str]]
    tables: Mapping[str, str]
    tls: tuple[str, ...]
    regions: tuple[str, ...]

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Map:
        return cls(
            services=said["services"],
            edges=tuple((a, b) for a, b in said["edges"]),
            indexes=said["indexes"],
            tables=said["tables"],
            tls=tuple(said["tls"]),
            regions=tuple(said["regions"]),
        )

    @cached_property
    def reached(self) -> tuple[str, ...]:
        """Services that a user's request can reach, sorted: harm elsewhere would be felt by nobody."""
        found, todo = {ENTRY}, [ENTRY]
        while todo:
            caller = todo.pop()
            for a, b in self.edges:
                if a == caller and b in self.services and b not in found:
                    found.add(b)
                    todo.append(b)
        return tuple(sorted(found))

    def having(self, *traits: str) -> tuple[str, ...]:
        """Reached services that have all ``traits`` (``database``, ``pool``, ``cache``, ``consumer``, ``tls``)."""
        return tuple(s for s in self.reached if all(self.services[s].get(trait) for trait in traits))


class Fault(ABC):
    """One way for a fleet to break (or, with ``harmful`` false, one thing that merely looks as if it did).

    Subclasses hold no state: what was drawn lies in the Truth.
    """

    name: ClassVar[str]
    kind: ClassVar[str] = ""
    also: ClassVar[tuple[str, ...]] = ()
    """Further kinds that describe it truly."""
    summary: ClassVar[str]
    restart_cures: ClassVar[bool] = False
    harmful: ClassVar[bool] = True

    @abstractmethod
    def eligible(self, fleet: Map) -> Sequence[str]:
        """Entity keys that it may strike, sorted; empty when this fleet has none."""

    def strength(self, rng: Random, fleet: Map, entity: str) -> dict[str, Scalar]:
        """How hard: drawn from ``rng``. Everything that ``inject`` needs besides the entity."""
        return {}

    def fixes(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[Fix, ...]:
        """What cures it, each on its own."""
        return ()

    def aliases(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[str, ...]:
        return ()

    def by_kind(self, entity: str, strength: Mapping[str, Scalar], fleet: Map) -> tuple[str, ...]:
        return ()

    def draw_nothing(self) -> Truth:
        """The truth of a case that could not be played."""
        return Truth(self.name, self.kind, "", harmful=self.harmful)

    def draw(self, rng: Random, fleet: Map, entity: str | None = None) -> Truth:
        """One case: the entity drawn from every eligible one (or ``entity``), then the strength."""
        choices = list(self.eligible(fleet))
        if not choices:
            raise LookupError(f"{self.name}: nothing in this fleet is eligible")
        chosen = rng.choice(choices)
        if entity is not None:
            if entity not in choices:
                raise LookupError(f"{self.name} cannot strike {entity}; it can: {', '.join(choices)}")
            chosen = entity
        strength = self.strength(rng, fleet, chosen)
        return Truth(
            fault=self.name,
            kind=self.kind,
            entity=chosen,
            aliases=self.aliases(chosen, strength, fleet),
            by_kind=self.by_kind(chosen, strength, fleet),
            kinds=(self.kind, *self.also) if self.kind else (),
            fixes=self.fixes(chosen, strength, fleet),
            restart_cures=self.restart_cures,
            harmful=self.harmful,
            strength=strength,
        )

    async def prepare(self, fleet: Target, truth: Truth) -> None:  # noqa: B027 (most faults need nothing)
        """What must already be so while all is well; called before the normal time begins."""

    @abstractmethod
    async def inject(self, fleet: Target, truth: Truth) -> None:
        """Break it. Returns when the fault is in; harm may come later."""

    async def clear(self, fleet: Target) -> None:
        """Lift it, as a scorer does between two cases."""
        await fleet.dark.call("clear")


def services(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(f"service:{name}" for name in names))


def rounded(rng: Random, low: float, high: float, digits: int = 2) -> float:
    """A uniform draw, rounded so that a case file can be read."""
    return round(rng.uniform(low, high), digits)
