"""Telemetry for tests: rows made by hand, requests encoded with the real OTLP messages."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from midwatch.shell.ingest.decode import MESSAGES
from midwatch.shell.ingest.resources import resource_of
from midwatch.shell.ingest.rows import Batch, LogLine, Point, Resource, Span

START = 1_700_000_000.0
_numbers = itertools.count(1)


class Telemetry:
    """Rows and payloads. Times are seconds after ``START``, durations ms."""

    start = START

    def resource(self, service: str, instance: str = "", **attributes: Any) -> Resource:
        given = {"service.name": service, "service.instance.id": instance or f"{service}-eu-1", "cloud.region": "eu"}
        return resource_of({**given, **attributes})

    def span(
        self,
        service: str | Resource,
        kind: int,
        at: float,
        ms: float,
        parent: Span | None = None,
        trace: str = "",
        error: str = "",
        **attributes: Any,
    ) -> Span:
        resource = service if isinstance(service, Resource) else self.resource(service)
        number = next(_numbers)
        return Span(
            resource,
            trace or (parent.trace_id if parent is not None else f"{number:032x}"),
            f"{number:016x}",
            parent.span_id if parent is not None else "",
            "GET /things",
            kind,
            START + at,
            ms,
            2 if error else 0,
            error,
            {name.replace("__", "."): value for name, value in attributes.items()},
        )

    def gauge(self, resource: Resource, name: str, at: float, value: float, unit: str = "", **attributes: Any) -> Point:
        named = {key.replace("__", "."): text for key, text in attributes.items()}
        return Point(resource, name, unit, "gauge", START + at, 0.0, value, named)

    def counter(self, resource: Resource, name: str, at: float, value: float, unit: str = "", **more: Any) -> Point:
        begun = more.pop("start_at", 0.0)
        named = {key.replace("__", "."): text for key, text in more.items()}
        return Point(resource, name, unit, "sum", START + at, begun, value, named, monotonic=True)

    def log(self, service: str | Resource, at: float, body: str, severity: int = 17, **attributes: Any) -> LogLine:
        resource = service if isinstance(service, Resource) else self.resource(service)
        return LogLine(resource, START + at, severity, body, attributes)

    def batch(self, *rows: Span | LogLine | Point) -> Batch:
        return Batch(
            [r for r in rows if isinstance(r, Span)],
            [r for r in rows if isinstance(r, LogLine)],
            [r for r in rows if isinstance(r, Point)],
        )

    def as_json(self, message: Any) -> bytes:
        """A protobuf request as OTLP/JSON: hex ids."""
        found = MessageToDict(message, use_integers_for_enums=True)
        _hex(found)
        return json.dumps(found).encode()

    def request(self, signal: str) -> Any:
        """An empty export request and its first resource block's resource, ready to fill."""
        return MESSAGES[signal]()

    def attributes(self, target: Any, **values: Any) -> None:
        for name, value in values.items():
            pair = target.add()
            pair.key = name.replace("__", ".")
            if isinstance(value, bool):
                pair.value.bool_value = value
            elif isinstance(value, int):
                pair.value.int_value = value
            elif isinstance(value, float):
                pair.value.double_value = value
            else:
                pair.value.string_value = value


def _hex(node: Any) -> None:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("traceId", "spanId", "parentSpanId"):
                node[key] = base64.b64decode(value).hex()
            else:
                _hex(value)
    elif isinstance(node, list):
        for item in node:
            _hex(item)


@pytest.fixture
def otlp() -> Telemetry:
    return Telemetry()


@pytest.fixture
def traces_request(otlp: Telemetry) -> Callable[[], Any]:
    """Two spans (server with a client child that failed with an exception) as a protobuf message."""

    def make() -> Any:
        request = otlp.request("traces")
        block = request.resource_spans.add()
        otlp.attributes(
            block.resource.attributes,
            service__name="checkout", service__instance__id="checkout-eu-1", service__version="1.4.0", cloud__region="eu",
        )  # fmt: skip
        spans = block.scope_spans.add().spans
        server = spans.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8, name="POST /checkout", kind=2)
        server.start_time_unix_nano, server.end_time_unix_nano = int(START * 1e9), int(START * 1e9) + 80_000_000
        otlp.attributes(server.attributes, http__route="/checkout", http__response__status_code=500)
        client = spans.add(trace_id=b"\x01" * 16, span_id=b"\x03" * 8, parent_span_id=b"\x02" * 8, name="POST", kind=3)
        client.start_time_unix_nano = int(START * 1e9) + 5_000_000
        client.end_time_unix_nano = int(START * 1e9) + 70_000_000
        client.status.code, client.status.message = 2, "boom"
        otlp.attributes(client.attributes, peer__service="payment", retry=True, share=0.5)
        event = client.events.add(name="exception")
        otlp.attributes(event.attributes, exception__type="ConnectError", exception__message="refused")
        client.links.add(trace_id=b"\x09" * 16, span_id=b"\x08" * 8)
        return request

    return make
