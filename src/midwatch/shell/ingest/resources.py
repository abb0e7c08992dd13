"""Who a resource block speaks for: service, instance, kind of entity."""

from __future__ import annotations

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
    if not system and not service:
        system = next((name for key, name in _MONITORED.items() if key in attributes), None)
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
