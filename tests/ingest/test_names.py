"""Names to signals, lines to templates."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from midwatch.model import signals as sig
from midwatch.shell.ingest.builder import WorldBuilder
from midwatch.shell.ingest.semconv import duration_scale, request_failed, rule_of
from midwatch.shell.ingest.templates import Templates


@pytest.mark.parametrize(
    ("name", "unit", "signal"),
    [
        ("db.client.connection.count", "{connection}", sig.POOL_USED),
        ("db.client.connections.usage", "", sig.POOL_USED),
        ("hikaricp_connections_active", "", sig.POOL_USED),
        ("db_pool_in_use", "", sig.POOL_USED),
        ("app.pool.used", "", sig.POOL_USED),
        ("db.client.connections.max", "", sig.POOL_LIMIT),
        ("sqlalchemy_pool_size", "", sig.POOL_LIMIT),
        ("app.pool.waiting", "", sig.POOL_WAITING),
        ("jvm.memory.pool.used", "By", None),
        ("pool_wait_time_seconds", "s", None),
        ("process.cpu.utilization", "1", sig.CPU_RATIO),
        ("process_cpu_seconds_total", "", sig.CPU_CORES),
        ("container_cpu_usage_seconds_total", "", sig.CPU_CORES),
        ("container.cpu.throttling.ratio", "1", sig.CPU_THROTTLED_RATIO),
        ("container_cpu_cfs_throttled_seconds_total", "", sig.CPU_THROTTLED_RATIO),
        ("process.memory.usage", "By", sig.MEMORY_BYTES),
        ("process_resident_memory_bytes", "", sig.MEMORY_BYTES),
        ("container.memory.limit", "By", sig.MEMORY_LIMIT_BYTES),
        ("process.unix.file_descriptor.count", "", sig.FD_USED),
        ("process_open_fds", "", sig.FD_USED),
        ("process.open_file_descriptor.limit", "", sig.FD_LIMIT),
        ("system.filesystem.utilization", "1", sig.DISK_RATIO),
        ("postgresql.backends", "", sig.POOL_USED),
        ("postgresql.connection.max", "", sig.POOL_LIMIT),
        ("postgresql.sessions.blocked", "", sig.SESSIONS_BLOCKED),
        ("redis.clients.connected", "", sig.POOL_USED),
        ("redis.keyspace.hits", "", sig.CACHE_HITS),
        ("redis.keyspace.misses", "", sig.CACHE_MISSES),
        ("redis.memory.used", "By", sig.MEMORY_BYTES),
        ("redis.up", "", sig.UP),
        ("messaging.queue.depth", "", sig.QUEUE_DEPTH),
        ("messaging.queue.oldest_age", "s", sig.QUEUE_LAG_SECONDS),
        ("kafka_consumergroup_lag", "", sig.QUEUE_DEPTH),
        ("messaging.client.consumed.messages", "", sig.CONSUMED),
        ("tls.certificate.expires_in", "s", sig.CERT_EXPIRES_SECONDS),
        ("probe_ssl_earliest_cert_expiry", "", sig.CERT_EXPIRES_SECONDS),
        ("process.uptime", "s", sig.RESTARTS),
        ("cart.items", "", None),
    ],
)
def test_names(name: str, unit: str, signal: str | None) -> None:
    rule = rule_of(name, unit)
    assert (rule.signal if rule is not None else None) == signal


def test_durations_come_in_seconds_and_milliseconds() -> None:
    assert duration_scale("http.server.request.duration", "s") == 1000.0
    assert duration_scale("http.server.duration", "ms") == 1.0
    assert duration_scale("http.server.duration", "") == 1.0
    assert duration_scale("http_server_request_duration_seconds", "") == 1000.0
    assert duration_scale("http.client.request.duration", "s") is None
    assert request_failed({"http.status_code": "500"}) and not request_failed({"http.response.status_code": 404})
    assert request_failed({"error.type": "KeyError"}) and not request_failed({"error.type": "404"})
    assert request_failed({"rpc.grpc.status_code": 14}) and not request_failed({"rpc.grpc.status_code": 5})


def newest(world: Any, subject: str, signal: str) -> float:
    series = world.series.get(subject, signal)
    assert series is not None, (subject, signal)
    return float(series[np.isfinite(series)][-1])


def test_monitors_speak_for_what_they_watch(otlp: Any) -> None:
    builder = WorldBuilder()
    database = otlp.resource("shop-db", **{"db.system.name": "postgresql"})
    cache = otlp.resource("valkey", **{"db.system.name": "redis"})
    host = otlp.resource("", **{"service.name": "", "service.instance.id": "", "host.name": "eu-host"})
    proxy = otlp.resource("haproxy")
    for at in (1.0, 6.0):
        builder.add(
            otlp.batch(
                otlp.span("order", 2, at, 5),
                otlp.gauge(database, "postgresql.backends", at, 12),
                otlp.gauge(database, "system.filesystem.usage", at, 75, system__filesystem__state="used"),
                otlp.gauge(database, "system.filesystem.usage", at, 25, system__filesystem__state="free"),
                otlp.gauge(cache, "redis.up", at, 0.0),
                otlp.gauge(host, "system.cpu.utilization", at, 0.2, state="user"),
                otlp.gauge(host, "system.cpu.utilization", at, 0.1, state="system"),
                otlp.gauge(host, "system.cpu.utilization", at, 0.7, state="idle"),
                otlp.gauge(proxy, "tls.certificate.not_after", at, otlp.start + 1000.0, "s"),
                otlp.gauge(proxy, "up", at, 0.0, server="order-eu-1"),
            ),
            otlp.start + at,
        )
    world = builder.world(otlp.start + 20)
    assert newest(world, "database:shop-db", sig.POOL_USED) == 12
    assert newest(world, "database:shop-db", sig.DISK_RATIO) == 0.75
    assert newest(world, "cache:valkey", sig.UP) == 0
    assert newest(world, "host:eu-host", sig.CPU_RATIO) == pytest.approx(0.3)
    assert newest(world, "proxy:haproxy", sig.CERT_EXPIRES_SECONDS) == pytest.approx(994.0)
    assert newest(world, "instance:order-eu-1", sig.UP) == 0


def test_two_names_of_one_thing_do_not_alternate(otlp: Any) -> None:
    builder = WorldBuilder()
    who = otlp.resource("a")
    for at in range(0, 20, 5):
        builder.add(
            otlp.batch(
                otlp.gauge(who, "container.memory.usage", at, 300.0),
                otlp.gauge(who, "process.memory.usage", at, 200.0),
                otlp.gauge(who, "container.memory.usage", at, 300.0),
            ),
            otlp.start + at,
        )
    series = builder.world(otlp.start + 30).series.get("service:a", sig.MEMORY_BYTES)
    assert series is not None and set(series[np.isfinite(series)]) == {200.0}


def test_the_tight_pool_is_shown(otlp: Any) -> None:
    builder = WorldBuilder()
    who = otlp.resource("a")
    for pool, used, limit, waiting in (("big", 2, 50, 0), ("small", 5, 5, 18)):
        named = {"db__client__connection__pool__name": pool}
        builder.add(
            otlp.batch(
                otlp.gauge(who, "db.client.connection.count", 1, used, db__client__connection__state="used", **named),
                otlp.gauge(who, "db.client.connection.max", 1, limit, **named),
                otlp.gauge(who, "db.client.connection.pending_requests", 1, waiting, **named),
            ),
            otlp.start + 1,
        )
    world = builder.world(otlp.start + 10)
    assert [newest(world, "instance:a-eu-1", s) for s in (sig.POOL_USED, sig.POOL_LIMIT, sig.POOL_WAITING)] == [
        5,
        5,
        18,
    ]


@pytest.mark.parametrize(
    ("lines", "template"),
    [
        (["user 17 not found", "user 4711 not found"], "user <*> not found"),
        (["GET /api/v1/carts/9 took 12.5ms", "GET /api/v1/carts/88/items took 7ms"], "GET <*> took <*>"),
        (["connect to 10.0.0.1:5432 refused", "connect to 10.9.0.1:5433 refused"], "connect to <*>:<*> refused"),
        (["key 'sku-1' missing", "key 'other' missing", "key 'a b' missing"], "key '<*>' missing"),
        (["span 0af7651916cd43dd lost", "span b7ad6b7169203331 lost"], "span <*> lost"),
        (
            [f"request by {who} at shop in berlin went wrong somehow" for who in ("ada", "bob", "cyd", "dan", "eve")],
            "request by <*> at shop in berlin went wrong somehow",
        ),
    ],
)
def test_lines_that_differ_in_variables_share_a_template(lines: list[str], template: str) -> None:
    templates = Templates()
    found = [templates.find(line) for line in lines]
    assert {one.now().text for one in found} == {template} and len(templates) == 1


def test_different_messages_stay_apart_and_ids_are_stable() -> None:
    one, two = Templates(), Templates()
    two.find("something else entirely")
    line = "payment declined for order 17"
    assert one.find(line).id == two.find(line).id
    assert one.find(line) is not one.find("payment accepted for order 17")
    assert one.find("boom", "KeyError") is not one.find("boom", "ValueError")
    assert one.find("").text == "(empty)"


def test_templates_are_bounded_and_quick() -> None:
    templates = Templates(limit=100)
    began = time.process_time()
    for number in range(3000):
        templates.find(f"{chr(97 + number % 26)}{'x' * (number % 40)} happened {'z' * (number % 17)} for {number}")
    hostile = "a" * 100_000 + '"' * 1000 + "/" * 5000 + "1." * 3000
    templates.find(hostile)
    templates.find("/" + "a/" * 4000)
    assert len(templates) <= 100
    assert time.process_time() - began < 5
