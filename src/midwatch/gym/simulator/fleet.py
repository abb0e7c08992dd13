"""The shape of a simulated fleet: who runs, who calls whom, how much, drawn from a seed.

The names are the gym fleet's; the call graph, the rates and the latencies are drawn anew for every seed, so that nothing
can be learned by heart. A fleet is frozen: what changes lives in ``conditions.py`` (physics) and ``target.py`` (settings).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from midwatch.model.entity import Edge, Entity, kind_of, name_of
from midwatch.model.world import Floats, Ints

SERVICES: Final = (
    "gateway", "storefront", "search", "catalog", "recommend", "pricing", "cart", "checkout",
    "payment", "fraud", "order", "inventory", "shipping", "notification", "user", "review",
)  # fmt: skip
REGIONS: Final = ("eu", "us")
DATABASE: Final = "database:shop"
CACHE: Final = "cache:valkey"
QUEUE: Final = "queue:orders"
STORES: Final = (DATABASE, CACHE, QUEUE)


@dataclass(frozen=True)
class Fleet:
    """Services are numbered in topological order (0 is the gateway), stores follow. ``caller``, ``callee`` (shape
    (calls,)) are such numbers; ``per_request`` is calls per request of the caller; a ``vital`` call that fails fails its
    caller. ``self_ms``, ``base_errors``, ``pool_limit``, ``memory_bytes`` have shape (services,)."""

    services: tuple[str, ...]
    caller: Ints
    callee: Ints
    per_request: Floats
    vital: Floats
    self_ms: Floats
    store_ms: Floats
    base_errors: Floats
    pool_limit: Floats
    memory_bytes: Floats
    requests_per_second: float
    producer: int
    consumer: int

    @property
    def size(self) -> int:
        return len(self.services)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Entity keys of services and stores, by number."""
        return tuple(f"service:{name}" for name in self.services) + STORES

    @cached_property
    def number_of(self) -> dict[str, int]:
        return {key: number for number, key in enumerate(self.keys)}

    @cached_property
    def calls_of(self) -> tuple[tuple[int, ...], ...]:
        """Call numbers per service."""
        found: list[list[int]] = [[] for _ in range(self.size)]
        for call, caller in enumerate(self.caller.tolist()):
            found[caller].append(call)
        return tuple(tuple(calls) for calls in found)

    @cached_property
    def edges(self) -> dict[str, Edge]:
        pairs = zip(self.caller.tolist(), self.callee.tolist(), strict=True)
        return {e.key: e for e in (Edge(self.keys[a], self.keys[b]) for a, b in pairs)}

    @cached_property
    def entities(self) -> dict[str, Entity]:
        """Services, one instance per service and region, the stores and the regions."""
        found = [Entity("service", name, {"version": "1.0.0"}) for name in self.services]
        for name in self.services:
            for region in REGIONS:
                labels = {"service": name, "region": region, "host": f"{region}-host", "version": "1.0.0"}
                found.append(Entity("instance", f"{name}-{region}-1", labels))
        found += [Entity(kind_of(key), name_of(key)) for key in STORES]
        found += [Entity("region", region) for region in REGIONS]
        return {entity.key: entity for entity in found}

    def instance(self, service: int, region: int) -> str:
        return f"instance:{self.services[service]}-{REGIONS[region]}-1"

    def users_of(self, store: str) -> tuple[int, ...]:
        """The services that call ``store``."""
        number = self.number_of[store]
        return tuple(int(a) for a, b in zip(self.caller, self.callee, strict=True) if b == number)


def draw_fleet(rng: np.random.Generator) -> Fleet:
    """A fleet of 16 services and three stores. Every service is reached from the gateway, at most five calls deep."""
    order = ["gateway", *(str(s) for s in rng.permutation(SERVICES[1:]))]
    size = len(order)
    depth, calls = [0], []
    for child in range(1, size):
        shallow = [p for p in range(child) if depth[p] < 4]
        parents = rng.choice(shallow, size=min(len(shallow), int(rng.integers(1, 3))), replace=False)
        depth.append(1 + max(depth[p] for p in parents))
        calls += [(int(p), child, float(rng.uniform(0.35, 1.2)), float(rng.random() < 0.85)) for p in parents]
    database, cache, queue = size, size + 1, size + 2
    workers = rng.permutation(np.arange(1, size))
    for user in workers[: int(rng.integers(5, 8))]:
        calls.append((int(user), database, float(rng.uniform(0.5, 2.0)), 1.0))
    for user in workers[3 : 3 + int(rng.integers(2, 5))]:
        calls.append((int(user), cache, float(rng.uniform(0.5, 2.0)), 0.0))
    producer, consumer = int(workers[0]), int(workers[-1])
    calls.append((producer, queue, 0.5, 1.0))
    columns = list(zip(*calls, strict=True))
    return Fleet(
        services=tuple(order),
        caller=np.array(columns[0], dtype=np.intp),
        callee=np.array(columns[1], dtype=np.intp),
        per_request=np.array(columns[2]),
        vital=np.array(columns[3]),
        self_ms=rng.uniform(1.5, 12.0, size),
        store_ms=np.array([rng.uniform(0.8, 4.0), 0.4, 0.8]),
        base_errors=np.where(rng.random(size) < 0.5, 0.0, rng.uniform(0, 0.0008, size)),
        pool_limit=rng.integers(5, 21, size).astype(float),
        memory_bytes=rng.uniform(35e6, 90e6, size),
        requests_per_second=float(rng.uniform(15, 60)),
        producer=producer,
        consumer=consumer,
    )
