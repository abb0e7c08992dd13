"""A light OpenTelemetry exporter for asyncio services: OTLP/HTTP protobuf, batched, bounded, never in a request's way.

Spans and logs go out each second, metrics every five. When the receiver is away, what does not fit is dropped and
counted. The process that measures itself reports here too (CPU, memory, descriptors), as metric callbacks.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import random
import resource
import time
import traceback
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
SEVERITIES: Final = {"INFO": 9, "WARN": 13, "ERROR": 17}
DURATION_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
FLUSH_SECONDS: Final = 1.0
METRIC_SECONDS: Final = 5.0
MAX_SPANS: Final = 20_000
MAX_LOGS: Final = 5_000


class Span:
    """One span in the making. ``fail`` marks it as failed with an exception event."""

    __slots__ = ("attributes", "ended_ns", "error", "kind", "links", "message", "name", "parent_id", "sampled", "span_id",
                 "stack", "started_ns", "trace_id")  # fmt: skip

    def __init__(self, name: str, kind: int, trace_id: int, parent_id: int, attributes: dict[str, Any]) -> None:
        self.name = name
        self.kind = kind
        self.trace_id = trace_id
        self.span_id = random.getrandbits(64) or 1
        self.parent_id = parent_id
        self.attributes = attributes
        self.started_ns = time.time_ns()
        self.ended_ns = 0
        self.error = ""
        self.message = ""
        self.stack = ""

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-01"

    def set(self, key: str, value: Any) -> None:
        self.attributes[key] = value

    def rename(self, name: str) -> None:
        self.name = name

    def fail(self, kind: str, message: str, stack: str = "") -> None:
        self.error, self.message, self.stack = kind, message[:500], stack[:4000]


CURRENT: ContextVar[Any] = ContextVar("current_span", default=None)


def parse_traceparent(header: str | None) -> tuple[int, int]:
    """(trace id, parent span id) of a W3C traceparent, (0, 0) when there is none or it is malformed."""
    if header is None or len(header) < 55:
        return 0, 0
    try:
        return int(header[3:35], 16), int(header[36:52], 16)
    except ValueError:
        return 0, 0


def set_value(target: AnyValue, value: Any) -> None:
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    else:
        target.string_value = str(value)


def set_attributes(target: Any, attributes: dict[str, Any]) -> None:
    for key, value in attributes.items():
        pair: KeyValue = target.add()
        pair.key = key
        set_value(pair.value, value)


@dataclass
class Measure:
    """One exported value: ``kind`` gauge, sum (cumulative, monotonic) or updown (cumulative, not monotonic)."""

    name: str
    unit: str
    kind: str
    value: float
    attributes: dict[str, Any] = field(default_factory=dict)


class Histogram:
    """Cumulative explicit-bucket histogram by attribute tuple; at most 200 attribute sets."""

    def __init__(self, name: str, unit: str) -> None:
        self.name, self.unit = name, unit
        self.points: dict[tuple[tuple[str, Any], ...], list[Any]] = {}

    def record(self, seconds: float, attributes: tuple[tuple[str, Any], ...]) -> None:
        point = self.points.get(attributes)
        if point is None:
            if len(self.points) >= 200:
                return
            point = self.points[attributes] = [[0] * (len(DURATION_BOUNDS) + 1), 0.0, 0]
        point[0][bisect_left(DURATION_BOUNDS, seconds)] += 1
        point[1] += seconds
        point[2] += 1


class Telemetry:
    """What one process says about itself. ``resource`` are its OpenTelemetry resource attributes."""

    def __init__(self, endpoint: str, resource: dict[str, Any]) -> None:
        self.endpoint = endpoint
        self.resource = resource
        self.spans: deque[Span] = deque(maxlen=MAX_SPANS)
        self.logs: deque[tuple[int, str, str, dict[str, Any], Any]] = deque(maxlen=MAX_LOGS)
        self.collectors: list[Callable[[], list[Measure]]] = []
        self.duration = Histogram("http.server.request.duration", "s")
        self.started_ns = time.time_ns()
        self.dropped = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None

    def start_span(
        self, name: str, kind: int, attributes: dict[str, Any], parent: tuple[int, int] | None = None
    ) -> Span:
        """A new span under ``parent`` (trace id, span id), else under the current one, else a new trace."""
        if parent is None:
            current = CURRENT.get()
            parent = (current.trace_id, current.span_id) if current is not None else (0, 0)
        return Span(name, kind, parent[0] or random.getrandbits(128), parent[1], attributes)

    def end_span(self, span: Span) -> None:
        span.ended_ns = time.time_ns()
        self.spans.append(span)

    @contextlib.contextmanager
    def span(
        self, name: str, kind: int, attributes: dict[str, Any], parent: tuple[int, int] | None = None
    ) -> Iterator[Span]:
        """A span around a block; an exception that leaves the block fails it."""
        span = self.start_span(name, kind, attributes, parent)
        token = CURRENT.set(span)
        try:
            yield span
        except BaseException as error:
            if not span.error:
                span.fail(type(error).__name__, str(error))
            raise
        finally:
            CURRENT.reset(token)
            self.end_span(span)

    def log(self, severity: str, body: str, error: BaseException | None = None, **attributes: Any) -> None:
        """One log record, tied to the current span; ``error`` adds its type, message and stack."""
        if error is not None:
            attributes["exception.type"] = type(error).__name__
            attributes["exception.message"] = str(error)[:500]
            attributes["exception.stacktrace"] = "".join(traceback.format_exception(error))[-3000:]
        self.logs.append((time.time_ns(), severity, body, attributes, CURRENT.get()))

    def record_request(self, seconds: float, method: str, route: str, status: int, error: str) -> None:
        attributes: tuple[tuple[str, Any], ...] = (
            ("http.request.method", method),
            ("http.route", route),
            ("http.response.status_code", status),
        )
        self.duration.record(seconds, (*attributes, ("error.type", error)) if error else attributes)

    def start(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0))
        self._tasks = [asyncio.create_task(self._flush_forever()), asyncio.create_task(self._measure_forever())]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(1.0):
                await self.flush()
        if self._session is not None:
            await self._session.close()

    async def _flush_forever(self) -> None:
        await asyncio.sleep(random.random() * FLUSH_SECONDS)  # so that 32 processes do not send in step
        while True:
            await self.flush()
            await asyncio.sleep(FLUSH_SECONDS)

    async def _measure_forever(self) -> None:
        await asyncio.sleep(0.3 + random.random())
        while True:
            await self.send("metrics", self.encode_metrics())
            await asyncio.sleep(METRIC_SECONDS)

    async def flush(self) -> None:
        if self.spans:
            await self.send("traces", self.encode_spans())
        if self.logs:
            await self.send("logs", self.encode_logs())

    async def send(self, signal: str, body: bytes) -> None:
        if not self.endpoint or self._session is None:
            return
        try:
            async with self._session.post(
                f"{self.endpoint}/v1/{signal}",
                data=gzip.compress(body, 1),
                headers={"content-type": "application/x-protobuf", "content-encoding": "gzip"},
            ) as reply:
                await reply.read()
                if reply.status >= 400:
                    self.dropped += 1
        except (aiohttp.ClientError, OSError, TimeoutError):
            self.dropped += 1

    def encode_spans(self) -> bytes:
        request = ExportTraceServiceRequest()
        resource_spans = request.resource_spans.add()
        set_attributes(resource_spans.resource.attributes, self.resource)
        scope = resource_spans.scope_spans.add()
        scope.scope.name = "midwatch.gym"
        for _ in range(min(len(self.spans), 4000)):
            span = self.spans.popleft()
            item = scope.spans.add(
                trace_id=span.trace_id.to_bytes(16, "big"),
                span_id=span.span_id.to_bytes(8, "big"),
                parent_span_id=span.parent_id.to_bytes(8, "big") if span.parent_id else b"",
                name=span.name,
                kind=span.kind,
                start_time_unix_nano=span.started_ns,
                end_time_unix_nano=span.ended_ns,
            )
            set_attributes(item.attributes, span.attributes)
            if span.error:
                item.status.code = 2
                item.status.message = span.message
                event = item.events.add(time_unix_nano=span.ended_ns, name="exception")
                details = {"exception.type": span.error, "exception.message": span.message}
                if span.stack:
                    details["exception.stacktrace"] = span.stack
                set_attributes(event.attributes, details)
        return bytes(request.SerializeToString())

    def encode_logs(self) -> bytes:
        request = ExportLogsServiceRequest()
        resource_logs = request.resource_logs.add()
        set_attributes(resource_logs.resource.attributes, self.resource)
        scope = resource_logs.scope_logs.add()
        scope.scope.name = "midwatch.gym"
        while self.logs:
            at_ns, severity, body, attributes, span = self.logs.popleft()
            item = scope.log_records.add(
                time_unix_nano=at_ns,
                observed_time_unix_nano=at_ns,
                severity_number=SEVERITIES[severity],
                severity_text=severity,
            )
            item.body.string_value = body
            set_attributes(item.attributes, attributes)
            if span is not None:
                item.trace_id = span.trace_id.to_bytes(16, "big")
                item.span_id = span.span_id.to_bytes(8, "big")
        return bytes(request.SerializeToString())

    def measures(self) -> list[Measure]:
        return [measure for collect in self.collectors for measure in collect()]

    def encode_metrics(self) -> bytes:
        return encode_metrics([(self.resource, self.measures(), [self.duration])], self.started_ns)


def encode_metrics(groups: list[tuple[dict[str, Any], list[Measure], list[Histogram]]], started_ns: int) -> bytes:
    """OTLP of ``(resource attributes, measures, histograms)`` groups; cumulative since ``started_ns``."""
    request = ExportMetricsServiceRequest()
    now_ns = time.time_ns()
    for resource_attributes, measures, histograms in groups:
        resource_metrics = request.resource_metrics.add()
        set_attributes(resource_metrics.resource.attributes, resource_attributes)
        scope = resource_metrics.scope_metrics.add()
        scope.scope.name = "midwatch.gym"
        by_name: dict[str, Any] = {}
        for measure in measures:
            metric = by_name.get(measure.name)
            if metric is None:
                metric = by_name[measure.name] = scope.metrics.add(name=measure.name, unit=measure.unit)
                if measure.kind != "gauge":
                    metric.sum.aggregation_temporality = 2
                    metric.sum.is_monotonic = measure.kind == "sum"
            points = metric.gauge.data_points if measure.kind == "gauge" else metric.sum.data_points
            point = points.add(time_unix_nano=now_ns, as_double=measure.value)
            if measure.kind != "gauge":
                point.start_time_unix_nano = started_ns
            set_attributes(point.attributes, measure.attributes)
        for histogram in histograms:
            if not histogram.points:
                continue
            metric = scope.metrics.add(name=histogram.name, unit=histogram.unit)
            metric.histogram.aggregation_temporality = 2
            for attributes, (counts, total, count) in histogram.points.items():
                item = metric.histogram.data_points.add(
                    start_time_unix_nano=started_ns, time_unix_nano=now_ns, count=count, sum=total,
                    bucket_counts=counts, explicit_bounds=DURATION_BOUNDS,
                )  # fmt: skip
                set_attributes(item.attributes, dict(attributes))
    return bytes(request.SerializeToString())


class ProcessMeter:
    """CPU, memory and descriptors of this process, as semantic-convention metrics."""

    def __init__(self) -> None:
        self.started = self.last_at = time.monotonic()
        self.last_cpu = time.process_time()

    def __call__(self) -> list[Measure]:
        now, cpu = time.monotonic(), time.process_time()
        used = (cpu - self.last_cpu) / max(now - self.last_at, 1e-6)
        self.last_at, self.last_cpu = now, cpu
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return [
            Measure("process.cpu.utilization", "1", "gauge", used),
            Measure("process.cpu.time", "s", "sum", cpu),
            Measure("process.memory.usage", "By", "updown", float(resident_bytes(os.getpid()))),
            Measure("process.uptime", "s", "gauge", now - self.started),
            Measure("process.unix.file_descriptor.count", "{file_descriptor}", "updown", float(open_descriptors())),
            Measure("process.open_file_descriptor.limit", "{file_descriptor}", "updown", float(min(soft, 2**31))),
        ]


def resident_bytes(pid: int) -> int:
    """Resident memory of a process, 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        pass
    try:  # not Linux
        import psutil

        return int(psutil.Process(pid).memory_info().rss)
    except Exception:
        return 0


def open_descriptors() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return sum(1 for _ in Path(folder).iterdir()) - 1
        except OSError:
            continue
    return 0
