"""A fleet of three services as its telemetry shows it, and the two servers that midwatch talks to: whoever carries out
its actions, and whoever receives its pages. Both remember every request with its idempotency key."""

from __future__ import annotations

import json
import math
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from midwatch.adapters.channels.webhook import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign

REGIONS = ("eu", "us")
TOKEN, PAGE_SECRET = "platform-token", "page-secret"


@dataclass
class Fleet:
    """gateway calls checkout calls payment. While it is broken, payment runs version 2 and fails most of its requests."""

    clock: Callable[[], float]
    per_second: float = 12.0
    failing: float = 0.6
    broken_at: float = math.inf
    fixed_at: float = math.inf
    dice: random.Random = field(default_factory=lambda: random.Random(7))

    def break_it(self) -> None:
        self.broken_at = self.clock()

    def fix_it(self) -> None:
        if self.broken_at < math.inf:
            self.fixed_at = min(self.fixed_at, self.clock())

    def broken(self, at: float) -> bool:
        return self.broken_at <= at < self.fixed_at

    def traces(self, since_at: float, until_at: float) -> bytes:
        """The requests that ended within the window, as OTLP/protobuf."""
        request = ExportTraceServiceRequest()
        scopes = {}
        for service in ("gateway", "checkout", "payment"):
            for region in REGIONS:
                found: ResourceSpans = request.resource_spans.add()
                version = "2" if service == "payment" and self.broken(until_at) else "1"
                _put(found.resource.attributes, {
                    "service.name": service, "service.instance.id": f"{service}-{region}-1", "cloud.region": region,
                    "service.version": version, "host.name": f"{region}-host",
                })  # fmt: skip
                scopes[service, region] = found.scope_spans.add()
        for number in range(round((until_at - since_at) * self.per_second)):
            end_at = since_at + (number + 0.5) / self.per_second
            region = self.dice.choice(REGIONS)
            failed = self.broken(end_at) and self.dice.random() < self.failing
            trace = self.dice.getrandbits(128).to_bytes(16, "big")
            inner = self.dice.uniform(6, 12)
            parent = b""
            chain = (("gateway", "checkout", inner + 8), ("checkout", "payment", inner + 4), ("payment", "", inner))
            for service, callee, ms in chain:
                spans = scopes[service, region].spans
                served = self._span(spans, trace, parent, 2, end_at - (inner + 8 - ms) / 2e3, ms, failed)
                _put(served.attributes, {"http.route": f"/{service}"})
                parent = served.span_id
                if not callee:
                    if failed:
                        said = served.events.add(name="exception", time_unix_nano=served.end_time_unix_nano)
                        _put(said.attributes, {"exception.type": "KeyError", "exception.message": "'currency'"})
                    break
                call = self._span(spans, trace, parent, 3, end_at - (inner + 8 - ms + 1) / 2e3, ms - 1, failed)
                _put(call.attributes, {"peer.service": callee, "server.address": callee})
                parent = call.span_id
        return request.SerializeToString()

    def _span(self, spans: Any, trace: bytes, parent: bytes, kind: int, end_at: float, ms: float, failed: bool) -> Span:
        span: Span = spans.add(
            trace_id=trace, span_id=self.dice.getrandbits(64).to_bytes(8, "big"), parent_span_id=parent, kind=kind,
            name="POST", start_time_unix_nano=int((end_at - ms / 1e3) * 1e9), end_time_unix_nano=int(end_at * 1e9),
        )  # fmt: skip
        _put(span.attributes, {"http.request.method": "POST", "http.response.status_code": 500 if failed else 200})
        if failed:
            span.status.code = 2
        return span


def span_ids(body: bytes) -> set[str]:
    request = ExportTraceServiceRequest.FromString(body)
    return {
        span.span_id.hex()
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }


def _put(attributes: Any, values: dict[str, str | int]) -> None:
    for key, value in values.items():
        pair: KeyValue = attributes.add(key=key)
        if isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.string_value = value


@dataclass(frozen=True)
class Asked:
    """One request that midwatch made: when, what for, with which key."""

    at: float
    what: str  # page, apply, observe
    key: str
    body: dict[str, Any] = field(default_factory=dict)


class Outside:
    """The deploy platform and the pager, on one loopback port."""

    def __init__(self, clock: Callable[[], float], on_apply: Callable[[], None]) -> None:
        self.asked: list[Asked] = []
        self.applied: dict[str, int] = {}
        self.page_down = False
        self._lock = threading.Lock()
        outside = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                body = json.loads(raw)
                if self.path == "/page":
                    right = sign(PAGE_SECRET, self.headers[TIMESTAMP_HEADER], raw) == self.headers[SIGNATURE_HEADER]
                    with outside._lock:
                        outside.asked.append(Asked(clock(), "page", self.headers["Idempotency-Key"], body))
                    return self._answer(204 if right else 401)
                assert self.path == "/v1/ops" and self.headers["Authorization"] == f"Bearer {TOKEN}"
                with outside._lock:
                    outside.asked.append(Asked(clock(), "apply", body["key"], body))
                    outside.applied[body["key"]] = outside.applied.get(body["key"], 0) + 1
                on_apply()
                return self._answer(200, DONE)

            def do_GET(self) -> None:
                key = self.path.removeprefix("/v1/ops/").replace("%2F", "/")
                with outside._lock:
                    outside.asked.append(Asked(clock(), "observe", key))
                    known = key in outside.applied
                return self._answer(200 if known else 404, DONE if known else {})

            def _answer(self, status: int, said: dict[str, Any] | None = None) -> None:
                body = b"" if said is None else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def of(self, what: str) -> list[Asked]:
        with self._lock:
            return [one for one in self.asked if one.what == what]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


DONE = {"status": "done", "result": "payment runs version 1", "undo_parameters": {"version": "2"}}
