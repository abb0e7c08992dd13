"""What a service process calls: other services through the load balancer, PostgreSQL through a pool, Valkey."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import psycopg
import psycopg_pool
import redis.asyncio
import redis.exceptions
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from psycopg.rows import dict_row

from midwatch.gym.fleet.telemetry import CLIENT, CURRENT

if TYPE_CHECKING:
    from midwatch.gym.fleet.service import Service


class GoneAway(Exception):
    """The connection was aborted on purpose; no answer can be sent."""


class NotFound(Exception):
    """There is no such thing: 404."""


class Rejected(Exception):
    """The request is turned away: 503 with Retry-After. ``shed`` when that was asked for."""

    def __init__(self, why: str, shed: bool = False) -> None:
        super().__init__(why)
        self.shed = shed


class UpstreamError(Exception):
    """A call to another service failed; ``kind`` is a status code or the name of an exception."""

    def __init__(self, service: str, kind: str, why: str) -> None:
        super().__init__(f"call to {service} failed: {why}")
        self.service, self.kind = service, kind


class FleetResolver(AbstractResolver):
    """Names of the fleet (``payment.eu.gym``) resolve to loopback while they are in the directory, others do not."""

    def __init__(self) -> None:
        self.directory: dict[str, dict[str, Any]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host not in self.directory:
            raise OSError(socket.EAI_NONAME, "Name or service not known")
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        return None


class BudgetedClient:
    """HTTP calls to other services. Calls that may be repeated are, within a budget of a tenth of all calls."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.resolver = FleetResolver()
        self.budget = 10.0
        self.certificate_expires_in: float | None = None
        self.session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        self.trust = ssl.create_default_context(cafile=self.service.spec["ca_file"])
        connector = aiohttp.TCPConnector(
            resolver=self.resolver, limit=200, limit_per_host=100, keepalive_timeout=15.0, ssl=self.trust
        )
        self.session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    def set_directory(self, directory: dict[str, dict[str, Any]]) -> None:
        """``host -> {"port", "tls"}`` of what this process can reach."""
        self.resolver.directory = directory

    async def call(
        self, callee: str, method: str, path: str, *, route: str = "", body: Any = None, repeatable: bool | None = None
    ) -> Any:
        """Call ``callee`` in this region; its decoded JSON. A callee that is not part of the fleet answers ``{}``.

        Raises UpstreamError (5xx, no answer, timeout) and NotFound (404)."""
        service = self.service
        if callee not in service.spec["services"]:
            return {}
        config = service.config
        host = f"{config.get(f'upstream_{callee}', callee)}.{service.region}.gym"
        entry = self.resolver.directory.get(host, {"port": 80, "tls": False})
        url = f"{'https' if entry['tls'] else 'http'}://{host}:{entry['port']}{path}"
        storm = int(service.defects.value("retry_storm"))
        may_repeat = method == "GET" if repeatable is None else repeatable
        left = storm or (int(config["retries"]) if may_repeat else 0)
        self.budget = min(self.budget + 0.1, 20.0)
        while True:
            try:
                return await self._once(callee, method, url, host, route or path, body)
            except UpstreamError:
                if left <= 0 or (not storm and self.budget < 1):
                    raise
                left -= 1
                if not storm:
                    self.budget -= 1
                    await asyncio.sleep(0.02)

    async def _once(self, callee: str, method: str, url: str, host: str, route: str, body: Any) -> Any:
        assert self.session is not None
        attributes = {
            "http.request.method": method,
            "peer.service": callee,
            "server.address": host,
            "url.template": route,
        }
        span = self.service.telemetry.start_span(f"{method} {route}", CLIENT, attributes)
        timeout = aiohttp.ClientTimeout(total=float(self.service.config["request_timeout_ms"]) / 1000)
        failure: UpstreamError | None = None
        data: Any = None
        try:
            async with self.session.request(
                method, url, json=body, headers={"traceparent": span.traceparent}, timeout=timeout
            ) as reply:
                raw = await reply.read()
                span.set("http.response.status_code", reply.status)
                if reply.status >= 500:
                    span.set("error.type", str(reply.status))
                    failure = UpstreamError(callee, str(reply.status), f"status {reply.status}")
                elif reply.status == 404:
                    raise NotFound(url)
                else:
                    data = json.loads(raw)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            kind = type(error).__name__
            span.set("error.type", kind)
            failure = UpstreamError(callee, kind, f"{kind}: {error}"[:300])
        finally:
            if failure is not None:
                span.fail(failure.kind, str(failure))
            self.service.telemetry.end_span(span)
        if failure is not None:
            raise failure
        return data

    async def watch_certificate(self) -> None:
        """Look every few seconds at the certificate that the load balancer serves for this service."""
        host = f"{self.service.name}.{self.service.region}.gym"
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        while True:
            try:
                port = self.service.spec["tls_ports"][host]
                async with asyncio.timeout(2.0):
                    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
                encoded = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
                writer.close()
                ends = x509.load_der_x509_certificate(encoded).not_valid_after_utc.timestamp()
                self.certificate_expires_in = ends - time.time()
            except (OSError, TimeoutError, ValueError, KeyError):
                self.certificate_expires_in = None
            await asyncio.sleep(5.0)

    async def close(self) -> None:
        if self.session is not None:
            await self.session.close()


class Outgoing:
    """Database and cache of one process."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.pool: psycopg_pool.AsyncConnectionPool[psycopg.AsyncConnection[dict[str, Any]]] | None = None
        self.cache: redis.asyncio.Redis | None = None
        self.broker: redis.asyncio.Redis | None = None
        self.last_cache_warning = 0.0

    async def open(self) -> None:
        spec, config = self.service.spec, self.service.config
        if self.service.kind.pool:
            size = int(config["pool_size"])
            self.pool = psycopg_pool.AsyncConnectionPool(
                f"{spec['dsn']} application_name={self.service.instance}",
                kwargs={"autocommit": True, "prepare_threshold": 2, "row_factory": dict_row,
                        "options": f"-c statement_timeout={int(config['statement_timeout_ms'])}"},
                min_size=1, max_size=size, timeout=float(config["pool_timeout_ms"]) / 1000, open=False,
                max_idle=60.0, reconnect_timeout=30.0, max_waiting=0,
            )  # fmt: skip
            await self.pool.open(wait=False)
        await self._open_cache()
        if self.service.kind.broker:
            self.broker = redis.asyncio.Redis.from_url(
                spec["broker_url"], socket_timeout=3.0, socket_connect_timeout=1.0
            )

    async def _open_cache(self) -> None:
        if self.service.kind.cache:
            timeout = float(self.service.config["cache_timeout_ms"]) / 1000
            self.cache = redis.asyncio.Redis.from_url(
                self.service.spec["valkey_url"], socket_timeout=timeout, socket_connect_timeout=timeout
            )

    async def reconfigure(self, before: dict[str, Any]) -> None:
        """Apply what changed in the configuration; raises ValueError for a size below one."""
        config = self.service.config
        if self.pool is not None and before.get("pool_size") != config.get("pool_size"):
            await self.pool.resize(1, int(config["pool_size"]))
        if before.get("cache_timeout_ms") != config.get("cache_timeout_ms"):
            await self._open_cache()

    async def query(self, operation: str, table: str, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        """Run one statement; its rows as dictionaries. Raises PoolTimeout and psycopg errors."""
        assert self.pool is not None
        wait = float(self.service.config["pool_timeout_ms"]) / 1000
        async with self.pool.connection(timeout=wait) as connection:
            attributes = {
                "db.system.name": "postgresql", "db.namespace": "shop", "db.operation.name": operation,
                "db.collection.name": table, "db.query.summary": f"{operation} {table}", "peer.service": "shop-db",
                "server.address": "shop-db.gym",
            }  # fmt: skip
            with self.service.telemetry.span(f"{operation} {table}", CLIENT, attributes) as span:
                try:
                    cursor = await connection.execute(sql, parameters)
                    return await cursor.fetchall() if cursor.description is not None else []
                except psycopg.Error as error:
                    kind = type(error).__name__
                    span.set("error.type", kind)
                    if error.sqlstate:
                        span.set("db.response.status_code", error.sqlstate)
                    raise

    async def cached(self, key: str, load: Any) -> Any:
        """Cache-aside: the value under ``key``, else of ``await load()``, stored for the configured time to live."""
        if self.cache is None or self.service.cache_bypassed:
            return await load()
        found = await self._cache_op("GET", key)
        if found is not None:
            return json.loads(found)
        value = await load()
        lifetime = int(self.service.config["cache_ttl_s"])
        if lifetime > 0:
            await self._cache_op("SET", key, json.dumps(value), lifetime)
        return value

    async def _cache_op(self, operation: str, key: str, value: str = "", lifetime: int = 0) -> Any:
        assert self.cache is not None
        attributes = {"db.system.name": "redis", "db.namespace": "0", "db.operation.name": operation,
                      "db.query.summary": operation, "peer.service": "valkey", "server.address": "valkey.gym"}  # fmt: skip
        try:
            with self.service.telemetry.span(operation, CLIENT, attributes) as span:
                try:
                    if operation == "GET":
                        return await self.cache.get(key)
                    return await self.cache.set(key, value, ex=lifetime)
                except redis.exceptions.RedisError as error:
                    span.set("error.type", type(error).__name__)
                    raise
        except redis.exceptions.RedisError as error:
            now = time.monotonic()
            if now - self.last_cache_warning > 0.5:  # one line in half a second says it
                self.last_cache_warning = now
                self.service.telemetry.log("WARN", f"cache {operation} failed: {error}", error)
            return None

    async def close(self) -> None:
        if self.pool is not None:
            await self.pool.close(timeout=1.0)
        for client in (self.cache, self.broker):
            if client is not None:
                await client.aclose()


__all__ = ["CURRENT", "BudgetedClient", "GoneAway", "NotFound", "Outgoing", "Rejected", "UpstreamError"]
