"""Entities and edges: what a team runs, and who calls whom.

An entity is named by its *key*, ``kind:name`` (``service:payment``). Keys, not objects, index every matrix and stand in
every journaled event: they are short, stable across restarts, and compare fast.
"""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct, field

EntityKind = Literal[
    "service",
    "instance",
    "endpoint",
    "database",
    "cache",
    "queue",
    "host",
    "proxy",
    "region",
    "deployment",
    "external",
]
ENTITY_KINDS: frozenset[str] = frozenset(get_args(EntityKind))


def service_key(said: str) -> str:
    """The key of what somebody names: ``payment`` is ``service:payment``, and a key is itself."""
    return said if ":" in said else f"service:{said}"


class Entity(Struct, frozen=True):
    """One thing that runs. ``labels`` hold what groups it: service, region, version, host (values as seen last)."""

    kind: str
    name: str
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.name}"


class Edge(Struct, frozen=True):
    """``caller`` calls ``callee`` (both are entity keys)."""

    caller: str
    callee: str

    @property
    def key(self) -> str:
        return f"{self.caller}>{self.callee}"


def entity_key(kind: str, name: str) -> str:
    """``kind:name``."""
    return f"{kind}:{name}"


def edge_key(caller: str, callee: str) -> str:
    """``caller>callee``, the subject under which an edge's series are kept."""
    return f"{caller}>{callee}"


def split_edge(key: str) -> tuple[str, str]:
    """Caller and callee of an edge's key; raises ValueError when ``key`` names no edge."""
    caller, mark, callee = key.partition(">")
    if not mark:
        raise ValueError(f"{key!r} is not an edge key (caller>callee)")
    return caller, callee


def is_edge(key: str) -> bool:
    return ">" in key


def kind_of(key: str) -> str:
    return key.partition(":")[0]


def name_of(key: str) -> str:
    """The name without its kind: what people and the replay contract see (``payment``)."""
    return key.partition(":")[2]
