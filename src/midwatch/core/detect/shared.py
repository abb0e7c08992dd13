"""Shared evidence: what no call connects may still suffer from one thing. A host in trouble is the trouble of all who run on
it; that they share a host which is well says nothing, since everybody shares one with somebody."""

from __future__ import annotations

from collections.abc import Iterable

from midwatch.model.entity import entity_key, kind_of, name_of
from midwatch.model.findings import Finding
from midwatch.model.world import World


def shared_evidence(world: World, findings: Iterable[Finding], entity: str, others: Iterable[str]) -> str:
    """Why ``entity`` and one of ``others`` suffer from one thing: an open finding about a host that both run on (or are).
    "" when there is none."""
    ill = {f.entity: f for f in findings if kind_of(f.entity) == "host"}
    mine = hosts_of(world, entity) & ill.keys() if ill else set()
    for other in others if mine else ():
        for host in sorted(mine & hosts_of(world, other)):
            trouble = ill[host].kind.replace("_", " ")
            return f"{name_of(entity)} and {name_of(other)} both depend on the host {name_of(host)} ({trouble} there)"
    return ""


def hosts_of(world: World, key: str) -> set[str]:
    """Keys of the hosts that an entity, or one of its instances, runs on; a host is its own."""
    known = (*world.instances.get(key, ()), *((world.entities[key],) if key in world.entities else ()))
    found = {entity_key("host", one.labels["host"]) for one in known if one.labels.get("host")}
    return found | ({key} if kind_of(key) == "host" else set())
