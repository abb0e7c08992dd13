"""Items per second through decoding and the World builder: ``python benchmarks/ingest.py [items]``.

Telemetry as a fleet sends it: traces of twelve spans over four services and a database, gauges and counters with two
attributes, log lines with an exception. One core, best of three.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]

from midwatch.shell.ingest.builder import WorldBuilder
from midwatch.shell.ingest.decode import JSON_TYPE, MESSAGES, PROTOBUF_TYPE, decode

START = 1_700_000_000
SERVICES = ("gateway", "checkout", "payment", "order")


def _put(target: Any, **values: str | int) -> None:
    for name, value in values.items():
        pair = target.add()
        pair.key = name.replace("__", ".")
        if isinstance(value, str):
            pair.value.string_value = value
        else:
            pair.value.int_value = value


def _resource(block: Any, service: str) -> None:
    _put(
        block.resource.attributes,
        service__name=service,
        service__instance__id=f"{service}-eu-1",
        service__version="1.0.0",
        cloud__region="eu",
        host__name="eu-host",
    )


def traces(count: int) -> Any:
    """``count`` spans in traces of twelve, one resource block per service."""
    request = MESSAGES["traces"]()
    blocks = []
    for service in SERVICES:
        block = request.resource_spans.add()
        _resource(block, service)
        blocks.append(block.scope_spans.add().spans)
    for number in range(count // 12):
        trace, parent = (number + 1).to_bytes(16, "big"), b""
        begin = START * 10**9 + number * 5_000_000
        for depth in range(12):
            service, kind = depth // 3, (2, 3, 3)[depth % 3]
            span = blocks[service].add(trace_id=trace, span_id=(number * 12 + depth + 1).to_bytes(8, "big"), kind=kind)
            span.name, span.parent_span_id = "GET /things", parent
            span.start_time_unix_nano = begin + depth * 1_000_000
            span.end_time_unix_nano = begin + (80 - depth) * 1_000_000
            if kind == 2:
                _put(span.attributes, http__request__method="GET", http__route="/things", url__path="/things/7")
                _put(span.attributes, http__response__status_code=200, server__address=SERVICES[service])
                server = span.span_id
            elif depth % 3 == 1:
                span.parent_span_id = server
                _put(span.attributes, db__system__name="postgresql", peer__service="shop-db", db__namespace="shop")
                _put(span.attributes, db__query__summary="SELECT things")
            else:
                span.parent_span_id = server
                _put(span.attributes, peer__service=SERVICES[(service + 1) % 4], http__response__status_code=200)
                parent = span.span_id
    return request


def metrics(count: int) -> Any:
    request = MESSAGES["metrics"]()
    for service in SERVICES:
        block = request.resource_metrics.add()
        _resource(block, service)
        for number in range(count // len(SERVICES) // 10):
            at = (START + number) * 10**9
            metric = block.scope_metrics.add().metrics.add(name="db.client.connection.count", unit="{connection}")
            for state in ("used", "idle") * 5:
                point = metric.gauge.data_points.add(time_unix_nano=at, as_int=5)
                _put(point.attributes, db__client__connection__state=state, db__client__connection__pool__name="main")
    return request


def logs(count: int) -> Any:
    request = MESSAGES["logs"]()
    for service in SERVICES:
        block = request.resource_logs.add()
        _resource(block, service)
        records = block.scope_logs.add().log_records
        for number in range(count // len(SERVICES)):
            record = records.add(time_unix_nano=START * 10**9 + number * 1_000_000, severity_number=17)
            record.body.string_value = f"PoolTimeout: order {number} waited 30.0 s for a connection"
            _put(record.attributes, exception__type="PoolTimeout", code__function__name="charge")
    return request


def as_json(request: Any) -> bytes:
    found = MessageToDict(request, use_integers_for_enums=True)
    stack: list[Any] = [found]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            for key in ("traceId", "spanId", "parentSpanId"):
                if key in node:
                    node[key] = base64.b64decode(node[key]).hex()
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
    return json.dumps(found).encode()


def best(work: Callable[[], int]) -> float:
    """Items per second, best of three."""
    rates = []
    for _ in range(3):
        began = time.perf_counter()
        done = work()
        rates.append(done / (time.perf_counter() - began))
    return max(rates)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 24_000
    print(f"{'':10}{'protobuf/s':>12}{'json/s':>12}{'builder/s':>12}")
    for signal, make in (("traces", traces), ("metrics", metrics), ("logs", logs)):
        request = make(count)
        body, text = request.SerializeToString(), as_json(request)

        def build(signal: str = signal, body: bytes = body) -> int:
            batch = decode(signal, body, PROTOBUF_TYPE)
            began = time.perf_counter()
            builder = WorldBuilder()
            builder.add(batch, START + 300.0)
            builder.finish()
            build.seconds = time.perf_counter() - began  # type: ignore[attr-defined]
            return len(batch)

        binary = best(lambda signal=signal, body=body: len(decode(signal, body, PROTOBUF_TYPE)))  # type: ignore[misc]
        plain = best(lambda signal=signal, text=text: len(decode(signal, text, JSON_TYPE)))  # type: ignore[misc]
        done = [build() / build.seconds for _ in range(3)]  # type: ignore[attr-defined]
        print(f"{signal:10}{binary:12,.0f}{plain:12,.0f}{max(done):12,.0f}")


if __name__ == "__main__":
    main()
