"""The monitors: what the database, the caches, the queue, the proxy and the containers say of themselves."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psycopg
import redis.asyncio
import redis.exceptions

from midwatch.gym.fleet.proxy import Proxy
from midwatch.gym.fleet.telemetry import CLIENT, SERVER, Measure, Span, Telemetry, encode_metrics
from midwatch.gym.fleet.topology import split_instance

EVERY_SECONDS = 5.0


class Monitor:
    """Reads every store through its own protocol, as an outside exporter does."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        base = {"deployment.environment.name": "gym"}
        self.telemetry = Telemetry(spec["otlp_endpoint"], {**base, "service.name": "haproxy", "service.version": "2.8"})
        self.database = Telemetry(
            spec["otlp_endpoint"],
            {**base, "service.name": "shop-db", "db.system.name": "postgresql", "service.version": "18"},
        )
        self.base = base
        self.containers: dict[str, dict[str, float]] = {}
        self.disk: float | None = None
        self.started_ns = time.time_ns()
        self.proxy = Proxy.__new__(Proxy)
        self.proxy.socket = Path(spec["haproxy_socket"])

    async def postgres(self) -> list[Measure]:
        connection = await psycopg.AsyncConnection.connect(
            self.spec["admin_dsn"], autocommit=True, connect_timeout=2, application_name="monitor"
        )
        async with connection:
            cursor = await connection.execute(
                "SELECT count(*), count(*) FILTER (WHERE cardinality(pg_blocking_pids(pid)) > 0),"
                " current_setting('max_connections')::int FROM pg_stat_activity WHERE backend_type = 'client backend'"
            )
            row = await cursor.fetchone()
            assert row is not None
            backends, blocked, limit = row
            if blocked:
                await self.blockers(connection)
            cursor = await connection.execute(
                "SELECT relname, seq_tup_read, coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE seq_tup_read > 0"
            )
            tables = await cursor.fetchall()
        out = [
            Measure("postgresql.up", "1", "gauge", 1.0),
            Measure("postgresql.backends", "{backend}", "updown", float(backends)),
            Measure("postgresql.connection.max", "{connection}", "gauge", float(limit)),
            Measure("postgresql.sessions.blocked", "{session}", "gauge", float(blocked)),
        ]
        for name, read, scans in tables:
            attributes = {"postgresql.table.name": name}
            out.append(Measure("postgresql.table.rows_read_sequentially", "{row}", "sum", float(read), attributes))
            out.append(Measure("postgresql.index.scans", "{scan}", "sum", float(scans), attributes))
        return out

    async def blockers(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """A log line names the session that others wait for."""
        cursor = await connection.execute(
            "SELECT b.pid, b.application_name, b.state, extract(epoch FROM now() - b.xact_start)::float, count(*)"
            " FROM pg_stat_activity w, unnest(pg_blocking_pids(w.pid)) blocker JOIN pg_stat_activity b ON b.pid = blocker"
            " WHERE cardinality(pg_blocking_pids(b.pid)) = 0 GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC LIMIT 3"
        )
        for pid, name, state, seconds, count in await cursor.fetchall():
            self.database.log(
                "WARN", f"session {pid} ({name}, {state} for {seconds or 0:.0f} s) blocks {count} sessions",
                **{"postgresql.blocking.pid": pid, "postgresql.blocking.application": name,
                   "postgresql.blocking.state": state or "", "postgresql.blocked.sessions": count},
            )  # fmt: skip

    async def valkey(self) -> list[Measure]:
        client = redis.asyncio.Redis.from_url(self.spec["valkey_url"], socket_timeout=1.0, socket_connect_timeout=1.0)
        try:
            info = await client.info()
        except (redis.exceptions.RedisError, OSError):
            return [Measure("redis.up", "1", "gauge", 0.0)]
        finally:
            await client.aclose()
        return [
            Measure("redis.up", "1", "gauge", 1.0),
            Measure("redis.clients.connected", "{client}", "updown", float(info["connected_clients"])),
            Measure("redis.keyspace.hits", "{hit}", "sum", float(info["keyspace_hits"])),
            Measure("redis.keyspace.misses", "{miss}", "sum", float(info["keyspace_misses"])),
            Measure("redis.memory.used", "By", "gauge", float(info["used_memory"])),
        ]

    async def queue(self) -> list[Measure]:
        client = redis.asyncio.Redis.from_url(self.spec["broker_url"], socket_timeout=1.0, socket_connect_timeout=1.0)
        out: list[Measure] = []
        try:
            groups: Any = await client.xinfo_groups("orders")
            for group in groups:
                name = group["name"].decode()
                delivered = bytes(group["last-delivered-id"]).decode()
                waiting: Any = await client.xrange("orders", min=f"({delivered}", count=1)
                age = max(time.time() - int(waiting[0][0].split(b"-")[0]) / 1000, 0.0) if waiting else 0.0
                attributes = {"messaging.destination.name": "orders", "messaging.system": "valkey",
                              "messaging.consumer.group.name": name}  # fmt: skip
                depth = float(group.get("lag") or 0) + float(group.get("pending") or 0)
                out.append(Measure("messaging.queue.depth", "{message}", "gauge", depth, attributes))
                out.append(Measure("messaging.queue.oldest_age", "s", "gauge", age, attributes))
        except (redis.exceptions.RedisError, OSError):
            pass  # no stream yet, or no broker: nothing is said rather than zero
        finally:
            await client.aclose()
        return out

    async def haproxy(self) -> list[Measure]:
        states = await self.proxy.weights()
        out = []
        for instance, state in states.items():
            if state in ("MAINT",) and instance not in self.containers:
                continue  # a place without an instance
            service, region, _ = split_instance(instance)
            attributes = {"haproxy.backend": f"{service}.{region}", "haproxy.server": instance, "peer.service": service}
            out.append(Measure("haproxy.server.up", "1", "gauge", 1.0 if state in ("UP", "DRAIN") else 0.0, attributes))
        return out

    async def send(self) -> None:
        groups: list[tuple[dict[str, Any], list[Measure], list[Any]]] = []

        async def read(
            resource: dict[str, Any], work: Callable[[], Coroutine[Any, Any, list[Measure]]], down: str
        ) -> None:
            try:
                async with asyncio.timeout(4.0):
                    measures = await work()
            except Exception as error:
                if not down:
                    return
                self.database.log("WARN", f"{down} is 0: {type(error).__name__}: {error}")
                measures = [Measure(down, "1", "gauge", 0.0)]
            groups.append((resource, measures, []))

        cache = {**self.base, "service.name": "valkey", "db.system.name": "redis"}
        await asyncio.gather(
            read(self.database.resource, self.postgres, "postgresql.up"),
            read(cache, self.valkey, "redis.up"),
            read({**self.base, "service.name": "orders", "messaging.system": "valkey"}, self.queue, ""),
            read(self.telemetry.resource, self.haproxy, ""),
        )
        if self.disk is not None:
            volume = {"system.filesystem.mountpoint": "/var/lib/postgresql", "system.device": "shop-db-volume"}
            disk = Measure("system.filesystem.utilization", "1", "gauge", self.disk, volume)
            groups.append((self.database.resource, [disk], []))
        for instance, values in self.containers.items():
            service, region, _ = split_instance(instance)
            resource = {**self.base, "service.name": service, "service.instance.id": instance, "cloud.region": region,
                        "host.name": f"{region}-host", "service.version": values["version"]}  # fmt: skip
            groups.append((resource, [
                Measure("container.cpu.throttling.ratio", "1", "gauge", values["throttled"]),
                Measure("container.memory.limit", "By", "updown", values["memory_limit"]),
                Measure("container.restarts", "{restart}", "sum", values["restarts"]),
            ], []))  # fmt: skip
        await self.telemetry.send("metrics", encode_metrics(groups, self.started_ns))

    def edge(self, line: str) -> None:
        """One access-log line of the public frontend becomes the root span of its trace, and the call to the gateway."""
        fields = line.split()
        if len(fields) < 12:
            return
        seconds, millis, trace, server_id, client_id, method, path, status, ended, active, shed, server = fields[:12]
        started = int(seconds) * 1_000_000_000 + int(millis) * 1_000_000
        route = "/products/{id}" if path.startswith("/products/") else path
        route = "/account/{user}" if path.startswith("/account/") else route
        common = {"http.request.method": method, "http.response.status_code": int(status)}
        region = server.rsplit("-", 2)[1] if server.count("-") >= 2 else ""
        root = Span(f"{method} {route}", SERVER, int(trace, 16), 0, {**common, "http.route": route, "url.path": path})
        root.span_id = int(server_id, 16)
        call = Span(f"{method} {route}", CLIENT, root.trace_id, root.span_id,
                    {**common, "peer.service": "gateway", "server.address": server, "cloud.region": region})  # fmt: skip
        call.span_id = int(client_id, 16)
        for span in (root, call):
            span.started_ns = started
            span.ended_ns = started + max(int(active), 0) * 1_000_000
            if int(status) >= 500 and shed != "1":
                span.set("error.type", status)
                span.fail(status, f"status {status} from {server} ({ended})")
            self.telemetry.spans.append(span)


async def run_monitor(spec: dict[str, Any]) -> None:
    """Report every five seconds until the supervisor goes away."""
    monitor = Monitor(spec)
    reader, writer = await asyncio.open_unix_connection(spec["control"], limit=2**22)
    path = Path(spec["edge_log"])
    path.unlink(missing_ok=True)
    edge = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    edge.bind(str(path))
    edge.setblocking(False)

    def drain() -> None:
        try:
            while True:
                for line in edge.recv(65536).decode(errors="replace").splitlines():
                    try:
                        monitor.edge(line)
                    except (ValueError, IndexError):
                        continue
        except BlockingIOError:
            return

    asyncio.get_running_loop().add_reader(edge.fileno(), drain)
    writer.write(json.dumps({"hello": "monitor", "pid": os.getpid(), "port": 0}).encode() + b"\n")

    async def obey() -> None:
        while line := await reader.readline():
            told = json.loads(line)
            monitor.containers = told.get("containers", monitor.containers)
            monitor.disk = told.get("disk", monitor.disk)
        os._exit(0)

    monitor.telemetry.start()
    monitor.telemetry._tasks[1].cancel()  # its metrics go out below, with those of the others
    monitor.database.start()
    monitor.database._tasks[1].cancel()
    watching = asyncio.create_task(obey())
    while not watching.done():
        begun = time.monotonic()
        await monitor.send()
        await asyncio.sleep(max(EVERY_SECONDS - (time.monotonic() - begun), 0.5))
