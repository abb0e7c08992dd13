"""One process may be spoken of by its SDK, its container runtime and connectors: it is one instance all the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from midwatch.model import signals as sig
from midwatch.shell.ingest.builder import WorldBuilder
from midwatch.shell.ingest.resources import resource_of

SERVER, CLIENT = 2, 3


def instances(world: Any) -> set[str]:
    return {key for key in world.entities if key.startswith("instance:")}


def test_what_a_container_runtime_says_belongs_to_the_process_inside(otlp: Any) -> None:
    """Whoever is heard first, and whether the process names its pod or has the pod's name as its host."""
    for first in ("process", "runtime"):
        for named in ({"k8s.pod.name": "cart-5d8f-x2b"}, {"host.name": "cart-5d8f-x2b"}):
            process = resource_of({"service.name": "Cart.Api", "service.instance.id": "0b1c", **named})
            runtime = resource_of(
                {"k8s.pod.name": "cart-5d8f-x2b", "k8s.deployment.name": "cart", "k8s.node.name": "node-1"}
            )
            builder = WorldBuilder()
            order = (process, runtime) if first == "process" else (runtime, process)
            for at in range(0, 40, 5):
                for resource in order:
                    row = (
                        otlp.span(resource, SERVER, at, 20)
                        if resource is process
                        else otlp.gauge(resource, "container.memory.working_set", at, 1e8 + at, "By")
                    )
                    builder.add(otlp.batch(row), otlp.start + at + 0.5)
            world = builder.world(otlp.start + 50)
            assert instances(world) == {"instance:Cart.Api@0b1c"}
            assert "service:cart" not in world.entities
            memory = world.series.get("instance:Cart.Api@0b1c", sig.MEMORY_BYTES)
            assert memory is not None and np.nanmax(memory) == 1e8 + 35


def test_what_is_said_of_one_container_of_a_pod_is_not_put_to_its_sidecar(otlp: Any) -> None:
    """With the container's name it is known whose it is; without, the pod of two services is nobody's."""
    pod = {"k8s.pod.name": "cart-5d8f-x2b"}
    for names in ({"cart": "cart", "mesh": "mesh"}, {"cart": "", "mesh": ""}):
        builder = WorldBuilder()
        for at in range(0, 40, 5):
            for name in ("cart", "mesh"):
                process = {"service.name": name, "service.instance.id": "0", "k8s.container.name": names[name], **pod}
                builder.add(otlp.batch(otlp.span(resource_of(process), SERVER, at, 20)), otlp.start + at + 0.5)
            said = resource_of({"k8s.container.name": "cart", "container.id": "77", **pod})
            used = otlp.gauge(said, "container.memory.working_set", at, 4e8, "By")
            builder.add(otlp.batch(otlp.log(said, at, "no space left"), used), otlp.start + at + 0.5)
        world = builder.world(otlp.start + 50)
        assert [pattern.entity for pattern in world.logs.patterns] == ["service:cart"]
        assert world.series.get("service:mesh", sig.MEMORY_BYTES) is None
        memory = world.series.get("instance:cart@0", sig.MEMORY_BYTES)
        assert (memory is not None) == bool(names["cart"])


def test_what_a_cluster_says_of_a_dead_pod_is_no_sign_that_it_lives(otlp: Any) -> None:
    process = resource_of({"service.name": "cart", "service.instance.id": "0b1c", "k8s.pod.name": "cart-5d8f-x2b"})
    event = resource_of({"k8s.object.kind": "Pod", "k8s.object.name": "cart-5d8f-x2b", "k8s.node.name": "node-1"})
    builder = WorldBuilder()
    for at in range(0, 90, 5):
        builder.add(otlp.batch(otlp.span("shop", SERVER, at, 20)), otlp.start + at + 0.5)
        if at < 40:
            builder.add(otlp.batch(otlp.span(process, SERVER, at, 20)), otlp.start + at + 0.5)
        else:
            said = otlp.log(event, at, "Back-off restarting failed container")
            builder.add(otlp.batch(said), otlp.start + at + 0.5)
    world = builder.world(otlp.start + 95)
    up = world.series.get("instance:cart@0b1c", sig.UP)
    assert up is not None and up[0] == 1 and up[-1] == 0
    assert "service:cart" in {gap.subject for gap in world.gaps}
    assert [pattern.entity for pattern in world.logs.patterns] == ["service:cart"], (
        "the words are about it all the same"
    )


def test_processes_of_one_machine_are_not_taken_for_each_other(otlp: Any) -> None:
    builder = WorldBuilder()
    shop = resource_of({"service.name": "shop", "service.instance.id": "a", "host.name": "vm-1"})
    log = resource_of({"container.name": "proxy", "container.id": "77", "host.name": "vm-1"})
    machine = resource_of({"host.name": "vm-1"})
    for at in range(0, 20, 5):
        for resource in (log, shop, machine):
            builder.add(otlp.batch(otlp.gauge(resource, "process.memory.usage", at, 5.0)), otlp.start + at + 0.5)
    world = builder.world(otlp.start + 30)
    assert {"service:shop", "service:proxy", "host:vm-1"} <= set(world.entities)


def test_what_is_said_of_a_service_as_a_whole_is_no_instance_and_no_restart(otlp: Any) -> None:
    """A connector's metrics name the service alone, and come once a minute."""
    builder = WorldBuilder()
    whole = resource_of({"service.name": "cart"})
    for at in range(0, 120, 5):
        builder.add(otlp.batch(otlp.span("cart", SERVER, at, 20)), otlp.start + at + 0.5)
        if at % 60 == 55:
            builder.add(otlp.batch(otlp.counter(whole, "calls", at, at)), otlp.start + at + 1)
    world = builder.world(otlp.start + 130)
    assert instances(world) == {"instance:cart-eu-1"}
    restarts = world.series.get("service:cart", sig.RESTARTS)
    assert restarts is None or np.nansum(restarts) == 0


def test_an_old_version_that_still_reports_has_not_come_back(otlp: Any) -> None:
    """Two processes share a name (no instance id, one host), or batches come out of order."""
    builder = WorldBuilder()
    for at in range(0, 60, 2):
        for version in ("1.0",) if at < 20 else ("1.0", "1.1"):
            resource = otlp.resource("cart", **{"service.version": version})
            builder.add(otlp.batch(otlp.span(resource, SERVER, at, 20)), otlp.start + at + 0.5)
    world = builder.world(otlp.start + 70)
    assert [(change.before, change.after) for change in world.changes] == [("1.0", "1.1")]


def test_a_database_called_as_a_service_is_not_that_service(otlp: Any) -> None:
    builder = WorldBuilder()
    for at in range(0, 30, 5):
        served = otlp.span("orders", SERVER, at, 20)
        query = otlp.span("orders", CLIENT, at, 5, served, db__system="postgresql", db__name="orders")
        builder.add(otlp.batch(served, query), otlp.start + at + 0.5)
    assert set(builder.world(otlp.start + 40).edges) == {"service:orders>database:orders"}


def test_a_receiver_and_the_clients_of_a_store_speak_of_one_entity() -> None:
    found = resource_of({"service.name": "postgresql", "postgresql.database.name": "orders"})
    assert found.entity == "database:orders"
    assert (
        resource_of({"redis.version": "7.2", "server.address": "cache-7.internal:6379"}).entity
        == "cache:cache-7.internal"
    )
    assert resource_of({"redis.version": "7.2", "server.address": "10.0.0.7"}).entity == "cache:redis"
    assert resource_of({"mysql.instance.endpoint": "orders-db:3306"}).entity == "database:orders-db"
