"""One service process: HTTP server, clients, database pool, cache, settings, and what the dark channel does to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg_pool
from aiohttp import web

from midwatch.gym.fleet.defects import Defects, Dropped
from midwatch.gym.fleet.outgoing import BudgetedClient, GoneAway, NotFound, Outgoing, Rejected, UpstreamError
from midwatch.gym.fleet.sdk import SdkTelemetry
from midwatch.gym.fleet.telemetry import CURRENT, SERVER, Measure, ProcessMeter, Telemetry, parse_traceparent
from midwatch.gym.fleet.topology import BY_NAME

Handler = Callable[["Service", web.BaseRequest, list[str]], Awaitable[Any]]


class Service:
    """The state of one process. ``spec`` is the start order of the supervisor: see ``Supervisor.start_order``."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.name: str = spec["service"]
        self.region: str = spec["region"]
        self.instance: str = spec["instance"]
        self.kind = BY_NAME[self.name]
        self.config: dict[str, Any] = spec["config"]
        self.flags: dict[str, bool] = spec["flags"]
        self.flag_defects: dict[str, dict[str, Any]] = spec["flag_defects"]
        self.cache_bypassed: bool = spec.get("cache_bypassed", False)
        self.shed_ratio: float = spec.get("shed_ratio", 0.0)
        resource = {
            "service.name": self.name,
            "service.instance.id": self.instance,
            "service.version": spec["version"],
            "cloud.region": self.region,
            "host.name": f"{self.region}-host",
            "deployment.environment.name": "gym",
            "process.pid": os.getpid(),
        }
        self.telemetry: Telemetry = (SdkTelemetry if self.kind.sdk else Telemetry)(spec["otlp_endpoint"], resource)
        self.telemetry.collectors += [ProcessMeter(), self.measures]
        self.defects = Defects(self)
        self.defects.set("build", spec["defect"])
        self.defects.set("dark", spec["knobs"])
        self.out = Outgoing(self)
        self.http = BudgetedClient(self)
        self.routes: dict[tuple[str, str, int], tuple[str, Handler]] = {}
        self.inflight = 0
        self.gate = asyncio.Semaphore(int(self.config["workers"]))
        self.waiting = 0
        self.last_overload = 0.0
        self.consumed = 0
        self.port = 0
        self.stopping = asyncio.Event()
        self.background: set[asyncio.Task[Any]] = set()

    def route(self, method: str, template: str, handler: Handler) -> None:
        """Serve ``template`` such as ``/products/{id}``: first segment literal, each later one a parameter."""
        parts = template.strip("/").split("/")
        self.routes[(method, parts[0], len(parts))] = (template, handler)

    def spawn(self, work: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(work)
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    def measures(self) -> list[Measure]:
        out: list[Measure] = []
        pool = self.out.pool
        if pool is not None:
            stats = pool.get_stats()
            size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
            name = {"db.client.connection.pool.name": f"{self.name}-pool"}
            unit = "{connection}"
            out.append(Measure("db.client.connection.count", unit, "updown", float(max(size - idle, 0)),
                               {**name, "db.client.connection.state": "used"}))  # fmt: skip
            out.append(Measure("db.client.connection.count", unit, "updown", float(idle),
                               {**name, "db.client.connection.state": "idle"}))  # fmt: skip
            out.append(Measure("db.client.connection.max", unit, "updown", float(pool.max_size), name))
            waiting = float(stats.get("requests_waiting", 0))
            out.append(Measure("db.client.connection.pending_requests", "{request}", "updown", waiting, name))
        if self.kind.consumes:
            attributes = {"messaging.system": "valkey", "messaging.destination.name": "orders",
                          "messaging.consumer.group.name": self.kind.consumes}  # fmt: skip
            out.append(
                Measure("messaging.client.consumed.messages", "{message}", "sum", float(self.consumed), attributes)
            )
        if self.http.certificate_expires_in is not None:
            name = {"server.address": f"{self.name}.{self.region}.gym"}
            out.append(Measure("tls.certificate.expires_in", "s", "gauge", self.http.certificate_expires_in, name))
        return out

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path == "/healthz":
            return web.Response(text="ok")
        if await self.defects.region_dark():
            if request.transport is not None:
                request.transport.abort()
            raise GoneAway
        parts = path.strip("/").split("/")
        found = self.routes.get((request.method, parts[0], len(parts)))
        if found is None:
            return web.json_response({"error": "no such path"}, status=404)
        template, handler = found
        parent = parse_traceparent(request.headers.get("traceparent"))
        span = self.telemetry.start_span(
            f"{request.method} {template}",
            SERVER,
            {"http.request.method": request.method, "http.route": template, "url.path": path,
             "server.address": f"{self.name}.{self.region}.gym", "url.scheme": "http"},
            parent,
        )  # fmt: skip
        token = CURRENT.set(span)
        begun = time.perf_counter()
        headers: dict[str, str] = {}
        error: BaseException | None = None
        body: Any = None
        self.inflight += 1
        try:
            body, status = await self._work(request, template, handler, parts), 200
        except NotFound as missing:
            body, status = {"error": str(missing)}, 404
        except Rejected as rejected:
            body, status = {"error": str(rejected), "shed": rejected.shed}, 503
            headers["Retry-After"] = "2"
            if rejected.shed:
                headers["X-Shed"] = "1"
            span.set("gym.shed", rejected.shed)
            if not rejected.shed:
                error = rejected
                self._say_overloaded(template, rejected)
        except (Dropped, asyncio.CancelledError):
            self.telemetry.end_span(span)
            raise
        except psycopg_pool.PoolTimeout as timeout:
            body, status, error = {"error": "no database connection"}, 503, timeout
            self.telemetry.log("ERROR", f"PoolTimeout in {template}: {timeout}", timeout, **{"http.route": template})
        except UpstreamError as upstream:
            body, status, error = {"error": str(upstream)}, 502, upstream
            self.telemetry.log("ERROR", f"{template} failed: {upstream}", None, **{"http.route": template,
                               "peer.service": upstream.service, "error.type": upstream.kind})  # fmt: skip
        except Exception as unexpected:
            body, status, error = {"error": type(unexpected).__name__}, 500, unexpected
            self.telemetry.log("ERROR", f"unhandled {type(unexpected).__name__} in {template}: {unexpected}", unexpected,
                               **{"http.route": template})  # fmt: skip
        finally:
            self.inflight -= 1
            CURRENT.reset(token)
        span.set("http.response.status_code", status)
        kind = ""
        if error is not None:
            kind = error.kind if isinstance(error, UpstreamError) else type(error).__name__
            span.set("error.type", kind)
            span.fail(kind, str(error))
        self.telemetry.end_span(span)
        self.telemetry.record_request(time.perf_counter() - begun, request.method, template, status, kind)
        self.defects.count_request()
        return web.Response(
            body=json.dumps(body).encode(), status=status, content_type="application/json", headers=headers
        )

    async def _work(self, request: web.BaseRequest, template: str, handler: Handler, parts: list[str]) -> Any:
        if self.shed_ratio > 0:
            self._maybe_shed(template)
        if self.gate.locked():
            if self.waiting >= int(self.config["queue_limit"]):
                raise Rejected("overloaded: the queue of requests is full")
            self.waiting += 1
            try:
                await asyncio.wait_for(self.gate.acquire(), 1.0)
            except TimeoutError:
                raise Rejected("overloaded: no worker in time") from None
            finally:
                self.waiting -= 1
        else:
            await self.gate.acquire()
        try:
            await self.defects.before(template)
            return await handler(self, request, parts)
        finally:
            self.gate.release()

    def _say_overloaded(self, template: str, why: Rejected) -> None:
        """One log line in half a second says it."""
        now = time.monotonic()
        if now - self.last_overload > 0.5:
            self.last_overload = now
            self.telemetry.log("WARN", str(why), None, **{"http.route": template})

    def _maybe_shed(self, template: str) -> None:
        """Turn away ``shed_ratio`` of all requests, the least important first: browse and search, then product pages."""
        weight = {
            "/": 0.28,
            "/search": 0.17,
            "/products/{id}": 0.25,
            "/account/{user}": 0.06,
            "/cart": 0.09,
            "/checkout": 0.15,
        }
        left = self.shed_ratio
        for name, share in weight.items():
            ratio = min(left / share, 1.0) if share else 0.0
            if name == template:
                if random.random() < ratio:
                    raise Rejected("shed: come back later", shed=True)
                return
            left = max(left - share, 0.0)

    async def apply(self, command: dict[str, Any]) -> None:
        """Settings from the supervisor take effect at once, as on a reload."""
        if "config" in command:
            before, self.config = self.config, command["config"]
            if before.get("workers") != self.config.get("workers"):
                self.gate = asyncio.Semaphore(int(self.config["workers"]))
            await self.out.reconfigure(before)
            self.telemetry.log("INFO", "configuration reloaded")
        if "flags" in command:
            self.flags = command["flags"]
            self.flag_defects = command["flag_defects"]
            self.defects.set("flags", {})
            for flag, defect in self.flag_defects.items():
                if self.flags.get(flag):
                    self.defects.set("flags", defect)
        if "knobs" in command:
            self.defects.set("dark", command["knobs"])
            await self.defects.settle()
        if "directory" in command:
            self.http.set_directory(command["directory"])
        if "cache_bypassed" in command:
            self.cache_bypassed = command["cache_bypassed"]
        if "shed_ratio" in command:
            self.shed_ratio = float(command["shed_ratio"])
        if command.get("stop"):
            self.stopping.set()


async def run_service(spec: dict[str, Any]) -> None:
    """Serve until the supervisor says stop or goes away."""
    from midwatch.gym.fleet import handlers, workers

    service = Service(spec)
    reader, writer = await asyncio.open_unix_connection(spec["control"], limit=2**22)
    if service.defects.value("crash_on_start"):
        service.telemetry.start()
        service.telemetry.log("ERROR", "cannot start: KeyError: 'SIGNING_KEY'", KeyError("SIGNING_KEY"))
        await service.telemetry.flush()
        os._exit(70)
    handlers.register(service)
    service.http.open()
    service.http.set_directory(spec["directory"])
    await service.out.open()
    server = web.Server(service.handle, access_log=None, keepalive_timeout=75.0)
    runner = web.ServerRunner(server, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=256, shutdown_timeout=3.0)
    await site.start()
    service.port = site.port
    service.telemetry.start()
    await service.apply({"flags": service.flags, "flag_defects": service.flag_defects})
    await service.defects.settle()
    service.telemetry.log("INFO", f"{service.instance} version {spec['version']} is serving")
    if service.kind.consumes:
        service.spawn(workers.consume(service))
    if service.kind.tls:
        service.spawn(service.http.watch_certificate())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, service.stopping.set)
    writer.write(json.dumps({"hello": service.instance, "pid": os.getpid(), "port": service.port}).encode() + b"\n")

    async def obey() -> None:
        while line := await reader.readline():
            command = json.loads(line)
            problem = ""
            try:
                await service.apply(command)
            except Exception as error:
                problem = repr(error)
            writer.write(json.dumps({"ack": command.get("id"), "error": problem}).encode() + b"\n")
        os._exit(0)  # the supervisor is gone: nothing of the fleet outlives it

    service.spawn(obey())
    await service.stopping.wait()
    for _ in range(60):
        if not service.inflight:
            break
        await asyncio.sleep(0.05)
    service.telemetry.log("INFO", f"{service.instance} stops")
    with contextlib.suppress(Exception):
        async with asyncio.timeout(3.0):
            await service.telemetry.close()
            await runner.cleanup()
            await service.out.close()
            await service.http.close()
    os._exit(0)
