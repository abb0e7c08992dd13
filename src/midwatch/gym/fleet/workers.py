"""The queue's consumers: shipping and notification each read the stream ``orders`` as a consumer group."""

from __future__ import annotations

import asyncio
from typing import Any

import redis.exceptions

from midwatch.gym.fleet.service import Service
from midwatch.gym.fleet.telemetry import CONSUMER, parse_traceparent

BATCH = 10
BLOCK_MS = 1000


async def ship(service: Service, order: int, user: int) -> None:
    await service.out.query(
        "INSERT",
        "shipments",
        "INSERT INTO shipments (order_id, status, detail) VALUES (%s, 'packed', %s)",
        order,
        "p" * 120,
    )


async def notify(service: Service, order: int, user: int) -> None:
    await service.http.call("user", "GET", f"/users/{user}", route="/users/{id}")
    await service.out.query(
        "INSERT",
        "notifications",
        "INSERT INTO notifications (user_id, body) VALUES (%s, %s)",
        user,
        f"order {order} placed",
    )


WORK = {"shipping": ship, "notification": notify}


async def consume(service: Service) -> None:
    """Take messages until the process ends; a message that fails is logged and counted as handled (at most once)."""
    group = service.kind.consumes
    broker = service.out.broker
    assert broker is not None
    ready = False
    while not service.stopping.is_set():
        if service.defects.value("consumer_stuck"):
            await asyncio.sleep(0.2)
            continue
        try:
            if not ready:
                await _join(broker, group)
                ready = True
            found: Any = await broker.xreadgroup(group, service.instance, {"orders": ">"}, count=BATCH, block=BLOCK_MS)
        except (redis.exceptions.RedisError, OSError) as error:
            ready = False
            service.telemetry.log("WARN", f"cannot read the stream orders: {error}", error)
            await asyncio.sleep(1.0)
            continue
        for _, messages in found or []:
            for identity, fields in messages:
                await _handle(service, fields)
                try:
                    await broker.xack("orders", group, identity)
                except (redis.exceptions.RedisError, OSError):
                    ready = False


async def _join(broker: Any, group: str) -> None:
    try:
        await broker.xgroup_create("orders", group, id="0", mkstream=True)
    except redis.exceptions.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


async def _handle(service: Service, fields: dict[bytes, bytes]) -> None:
    parent = parse_traceparent(fields.get(b"traceparent", b"").decode())
    attributes = {
        "messaging.system": "valkey", "messaging.destination.name": "orders", "messaging.operation.type": "process",
        "messaging.operation.name": "process", "messaging.consumer.group.name": service.kind.consumes,
    }  # fmt: skip
    try:
        with service.telemetry.span("process orders", CONSUMER, attributes, parent):
            await service.defects.before("process orders")
            await WORK[service.kind.consumes](service, int(fields[b"order"]), int(fields[b"user"]))
    except Exception as error:
        service.telemetry.log("ERROR", f"message lost: {type(error).__name__}: {error}", error)
    service.consumed += 1
