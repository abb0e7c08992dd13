"""Who a resource block speaks for: service, instance, kind of entity."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from midwatch.shell.ingest.rows import Resource

CACHES: Final = frozenset({"redis", "valkey", "memcached", "keydb", "dragonfly"})
PROXIES: Final = frozenset({"haproxy", "envoy", "nginx", "traefik", "caddy"})
_INSTANCE: Final = ("service.instance.id", "k8s.pod.name", "container.name", "container.id", "host.name", "host.id")
_REGION: Final = ("cloud.region", "region", "cloud.availability_zone", "k8s.cluster.name")
_SERVICE: Final = ("service.name", "service", "k8s.deployment.name", "k8s.container.name", "container.name")
# Receivers that watch a database from outside name it in these instead of service.name.
_MONITORED: Final = {
    "postgresql.database.name": "postgresql",
    "mysql.instance.endpoint": "mysql",
    "redis.version": "redis",
    "mongodb.database.name": "mongodb",
}
_ADDRESS: Final = re.compile(r"^(\d{1,3}(\.\d{1,3}){3}|\[?[0-9a-f:]*:[0-9a-f:]*\]?|localhost)$", re.I)


def host_of(address: str) -> str:
    """The address without scheme and port."""
    address = address.rpartition("//")[2].partition("/")[0]
    if address.count(":") == 1:
        address = address.partition(":")[0]
    return address


def is_bare_address(address: str) -> bool:
    """An IP or localhost: says nothing about who answers."""
    return bool(_ADDRESS.match(address))


def database_kind(system: object) -> str:
    """``cache`` for Redis and its like, else ``database``."""
    return "cache" if str(system).lower() in CACHES else "database"


def _first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        value = attributes.get(name)
        if value not in (None, ""):
            return str(value)
    return ""


def resource_of(attributes: dict[str, Any]) -> Resource:
    """The resource that ``attributes`` describe. The instance's name holds the service's, so that it is unique among
    all services; long ids (UUIDs) are unique as they are."""
    service = _first(attributes, _SERVICE)[:200]
    host = _first(attributes, ("host.name", "k8s.node.name"))
    system = attributes.get("db.system.name") or attributes.get("db.system")
    kind = "service"
    monitored = next((key for key in _MONITORED if attributes.get(key)), "")
    if monitored and not system:
        # What a receiver says of a store, whatever itself is called: clients know the store by its database or address.
        system = _MONITORED[monitored]
        name = str(attributes[monitored]) if monitored.endswith("database.name") else ""
        address = host_of(_first(attributes, ("server.address", "mysql.instance.endpoint")))
        service = name or ("" if is_bare_address(address) else address) or service or system
    if system:
        kind = database_kind(system)
        service = service or _first(attributes, ("server.address", "db.namespace")) or str(system)
    elif not service and host and "messaging.system" not in attributes:
        kind, service = "host", host
    elif "messaging.system" in attributes:
        kind, service = "queue", str(attributes.get("messaging.destination.name") or service or "unknown")
    elif service.lower() in PROXIES:
        kind = "proxy"
    service = service or "unknown"
    instance = _first(attributes, _INSTANCE)[:200]
    if not instance:
        instance = service
    elif service not in instance and len(instance) < 32:
        instance = f"{service}@{instance}"
    return Resource(
        service=service.replace(">", "_"),
        instance=instance.replace(">", "_"),
        version=_first(attributes, ("service.version", "container.image.tag")),
        region=_first(attributes, _REGION),
        host=host,
        kind=kind,
        attributes=attributes,
    )
