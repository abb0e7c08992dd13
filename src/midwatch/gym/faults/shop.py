"""The gym's own fleet as a map, without starting it: for listing what can break, and for tests."""

from __future__ import annotations

from midwatch.gym.faults.base import Map
from midwatch.gym.fleet import topology


def shop() -> Map:
    """What the dark channel of a whole fleet answers to ``targets``."""
    return Map(
        services={
            s.name: {
                "database": bool(s.pool),
                "pool": s.pool,
                "cache": s.cache,
                "consumer": bool(s.consumes),
                "tls": s.tls,
                "tables": list(s.tables),
                "calls": list(s.calls),
            }
            for s in topology.SERVICES
        },
        edges=tuple((s.name, callee) for s in topology.SERVICES for callee in s.calls),
        indexes=topology.INDEXES,
        tables=topology.TABLES,
        tls=tuple(s.name for s in topology.SERVICES if s.tls),
        regions=topology.REGIONS,
    )
