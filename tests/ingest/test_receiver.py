"""The receiver over ASGI: what senders are told."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from tests.alerts.conftest import until

from midwatch.model.errors import IngestError, StoreError
from midwatch.model.world import Change
from midwatch.shell.ingest.receiver import Receiver, otlp_app
from midwatch.shell.ingest.rows import Batch, Limits

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
PATH = "/v1/traces"


class Sink:
    """Where batches and changes go; may refuse."""

    def __init__(self) -> None:
        self.batches: list[tuple[Batch, str]] = []
        self.changes: list[Change] = []
        self.refusal: Exception | None = None
        self.hold = asyncio.Event()
        self.hold.set()

    async def take(self, batch: Batch, signal: str) -> None:
        await self.hold.wait()
        if self.refusal is not None:
            raise self.refusal
        self.batches.append((batch, signal))

    async def change(self, change: Change) -> None:
        self.changes.append(change)


def talk(
    conversation: Callable[[httpx.AsyncClient, Sink, Receiver], Awaitable[None]], limits: Limits | None = None
) -> None:
    async def run() -> None:
        sink = Sink()
        app = otlp_app(sink.take, on_change=sink.change, limits=limits, clock=lambda: 1_700_000_000.0)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            await conversation(client, sink, app)

    asyncio.run(run())


def test_stored_before_acknowledged_in_the_senders_encoding(traces_request: Any, otlp: Any) -> None:
    request = traces_request()

    async def conversation(client: httpx.AsyncClient, sink: Sink, app: Receiver) -> None:
        sink.hold.clear()
        pending = asyncio.create_task(client.post(PATH, content=request.SerializeToString(), headers=PROTOBUF))
        await asyncio.sleep(0.05)
        assert not pending.done()
        sink.hold.set()
        answer = await pending
        assert (answer.status_code, answer.headers["content-type"], answer.content) == (
            200,
            PROTOBUF["content-type"],
            b"",
        )
        zipped = await client.post(
            PATH, content=gzip.compress(otlp.as_json(request)), headers={**JSON, "content-encoding": "gzip"}
        )
        assert (zipped.status_code, zipped.json()) == (200, {})
        assert [(len(batch.spans), signal) for batch, signal in sink.batches] == [(2, "traces")] * 2
        assert app.counters == {"traces_requests": 2, "traces_items": 4}

    talk(conversation)


def test_partial_success(traces_request: Any, otlp: Any) -> None:
    request = traces_request()
    request.resource_spans[0].scope_spans[0].spans.add(name="no ids")

    async def conversation(client: httpx.AsyncClient, sink: Sink, app: Receiver) -> None:
        binary = await client.post(PATH, content=request.SerializeToString(), headers=PROTOBUF)
        said = ExportTraceServiceResponse.FromString(binary.content).partial_success
        assert (said.rejected_spans, said.error_message) == (1, "invalid trace or span id (1)")
        text = await client.post(PATH, content=otlp.as_json(request), headers=JSON)
        assert text.json()["partialSuccess"]["rejectedSpans"] == "1"
        assert app.counters["invalid trace or span id"] == 2

    talk(conversation)


@pytest.mark.parametrize(
    ("path", "content", "headers", "status"),
    [
        (PATH, b"{", JSON, 400),
        (PATH, b"\xff", PROTOBUF, 400),
        (PATH, b"x" * 5000, PROTOBUF, 413),
        (PATH, gzip.compress(b" " * 50_000, mtime=0), {**JSON, "content-encoding": "gzip"}, 413),
        (PATH, b"{}", {"content-type": "text/xml"}, 415),
        ("/v1/nothing", b"{}", JSON, 404),
        ("/v1/changes", b'{"kind": "party", "entity": "a"}', JSON, 400),
        ("/v1/changes", b'{"kind": "deploy"}', JSON, 400),
        ("/v1/changes", b'{"entity": "a", "at": "soon"}', JSON, 400),
    ],
)
def test_refusals(path: str, content: bytes, headers: dict[str, str], status: int) -> None:
    async def conversation(client: httpx.AsyncClient, sink: Sink, app: Receiver) -> None:
        answer = await client.post(path, content=content, headers=headers)
        assert answer.status_code == status
        assert app.counters[f"refused_{status}"] == 1
        if "protobuf" in headers["content-type"]:
            assert answer.headers["content-type"] == PROTOBUF["content-type"]
            assert answer.content[:1] == b"\x08" and answer.content[2:3] == b"\x12"
            # google.rpc.Status: field 1 the code, field 2 the message, as any protobuf reader sees it
            assert b"protobuf" in answer.content or b"bytes" in answer.content
        else:
            assert answer.json()["code"] > 0 and answer.json()["message"]
        assert not sink.batches and not sink.changes

    talk(conversation, Limits(body_bytes=4000, decompressed_bytes=10_000))


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (IngestError("overloaded", status=429), 429),
        (IngestError("down", status=503), 503),
        (StoreError("down"), 503),
        (ZeroDivisionError("a bug"), 500),
    ],
)
def test_not_stored_is_not_acknowledged(refusal: Exception, status: int) -> None:
    async def conversation(client: httpx.AsyncClient, sink: Sink, app: Receiver) -> None:
        sink.refusal = refusal
        answer = await client.post(PATH, content=b"{}", headers=JSON)
        assert answer.status_code == status
        assert ("retry-after" in answer.headers) == (status in (429, 503))
        assert "a bug" not in answer.text

    talk(conversation)


def test_requests_in_flight_are_bounded() -> None:
    async def conversation(client: httpx.AsyncClient, sink: Sink, app: Receiver) -> None:
        sink.hold.clear()
        tasks = [asyncio.create_task(client.post(PATH, content=b"{}", headers=JSON)) for _ in range(5)]
        await until(lambda: sum(task.done() for task in tasks) == 3, what="those that are too many refused")
        sink.hold.set()
        statuses = sorted([(await task).status_code for task in tasks])
        assert statuses == [200, 200, 429, 429, 429]
        assert (await client.post(PATH, content=b"{}", headers=JSON)).status_code == 200

    talk(conversation, Limits(requests_in_flight=2))


def test_bad_senders_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def conversation(client: httpx.AsyncClient, sink: Sink, app: Receiver) -> None:
        for _ in range(50):
            await client.post(PATH, content=b"{", headers=JSON)
        assert app.counters["refused_400"] == 50

    talk(conversation)
    assert len(caplog.records) <= 21


def test_health_and_methods() -> None:
    async def conversation(client: httpx.AsyncClient, sink: Sink, app: Receiver) -> None:
        assert (await client.get("/healthz")).text == "ok\n"
        answer = await client.get(PATH)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

    talk(conversation)


def test_changes_ours_and_in_envelopes() -> None:
    ours = {"id": "c1", "at": "2023-11-14T22:13:20Z", "kind": "config", "entity": "service:payment", "before": 5,
            "after": 3, "by": "ada"}  # fmt: skip
    cdevent = {
        "context": {"version": "0.4.1", "id": "271", "source": "/ci", "type": "dev.cdevents.service.deployed.0.2.0",
                    "timestamp": "2023-11-14T22:13:30Z"},
        "subject": {"id": "mySubject/pricing", "type": "service",
                    "content": {"environment": {"id": "prod"}, "artifactId": "pkg:oci/pricing@1.1"}},
    }  # fmt: skip
    cloud = {"specversion": "1.0", "id": "9", "source": "/flags", "type": "com.example.flag.toggled",
             "time": "2023-11-14T22:13:40Z", "subject": "cart", "data": {"before": "off", "after": "on"}}  # fmt: skip

    async def conversation(client: httpx.AsyncClient, sink: Sink, app: Receiver) -> None:
        answer = await client.post("/v1/changes", content=json.dumps([ours, cdevent, cloud, {"service": "x"}]))
        assert answer.json()["accepted"] == 4
        told = [(c.id, c.at, c.kind, c.entity, c.after, c.by) for c in sink.changes]
        assert told[:3] == [
            ("c1", 1_700_000_000.0, "config", "service:payment", "3", "ada"),
            ("271", 1_700_000_010.0, "deploy", "service:pricing", "1.1", "/ci"),
            ("9", 1_700_000_020.0, "flag", "service:cart", "on", "/flags"),
        ]
        assert told[3][1:4] == (1_700_000_000.0, "deploy", "service:x")

    talk(conversation)


@pytest.mark.integration
def test_over_a_socket_with_the_official_exporter() -> None:
    """uvicorn on a free port: the SDK's exporter is understood, and a body that is too large is told so."""
    http_exporter = pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    def export(url: str) -> None:
        exporter = http_exporter.OTLPSpanExporter(f"{url}{PATH}", compression=Compression.Gzip)
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with provider.get_tracer("t").start_as_current_span("work"):
            pass
        provider.shutdown()

    async def run() -> None:
        sink = Sink()
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = otlp_app(sink.take, on_change=sink.change, limits=Limits(body_bytes=1_000_000))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with httpx.AsyncClient(base_url=url) as client:
                for _ in range(100):
                    if server.started:
                        break
                    await asyncio.sleep(0.05)
                answer = await client.post(PATH, content=b"x" * 3_000_000, headers=PROTOBUF)
                assert answer.status_code == 413
                await asyncio.to_thread(export, url)
            assert [(len(batch.spans), signal) for batch, signal in sink.batches] == [(1, "traces")]
        finally:
            server.should_exit = True
            await serving

    asyncio.run(run())
