"""The same telemetry through the official OpenTelemetry SDK, in the services that use it (user, review).

What a receiver sees of these two was encoded by other people's code; the rest of a service does not notice the difference.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from midwatch.gym.fleet.telemetry import (
    CURRENT,
    DURATION_BOUNDS,
    FLUSH_SECONDS,
    METRIC_SECONDS,
    SEVERITIES,
    Measure,
    Telemetry,
)

KINDS = {
    2: trace.SpanKind.SERVER,
    3: trace.SpanKind.CLIENT,
    4: trace.SpanKind.PRODUCER,
    5: trace.SpanKind.CONSUMER,
}


def warm_up() -> None:
    """Load what the SDK imports only when it first sends, while its files can still be read."""
    OTLPSpanExporter("http://127.0.0.1:9/v1/traces", timeout=0.2).export([])
    OTLPLogExporter("http://127.0.0.1:9/v1/logs", timeout=0.2)
    OTLPMetricExporter("http://127.0.0.1:9/v1/metrics", timeout=0.2)
    Resource.create({})


class SdkSpan:
    """A span of the SDK with the face of ours."""

    __slots__ = ("error", "inner", "span_id", "trace_id")

    def __init__(self, inner: trace.Span) -> None:
        self.inner = inner
        context = inner.get_span_context()
        self.trace_id, self.span_id = context.trace_id, context.span_id
        self.error = ""

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-01"

    def set(self, key: str, value: Any) -> None:
        self.inner.set_attribute(key, value)

    def rename(self, name: str) -> None:
        self.inner.update_name(name)

    def fail(self, kind: str, message: str, stack: str = "") -> None:
        self.error = kind
        self.inner.set_status(trace.Status(trace.StatusCode.ERROR, message[:500]))
        self.inner.add_event("exception", {"exception.type": kind, "exception.message": message[:500]})


class SdkTelemetry(Telemetry):
    """Spans, logs and metrics of one process by the official SDK; made after the fork, since it has threads."""

    def __init__(self, endpoint: str, resource: dict[str, Any]) -> None:
        super().__init__(endpoint, resource)
        described = Resource.create(resource)
        self._traces = TracerProvider(resource=described)
        self._meters = MeterProvider(resource=described)
        self._loggers = LoggerProvider(resource=described)
        if endpoint:
            delay = FLUSH_SECONDS * 1000
            squeeze = Compression.Gzip
            spans = OTLPSpanExporter(f"{endpoint}/v1/traces", compression=squeeze, timeout=5)
            logs = OTLPLogExporter(f"{endpoint}/v1/logs", compression=squeeze, timeout=5)
            metrics = OTLPMetricExporter(f"{endpoint}/v1/metrics", compression=squeeze, timeout=5)
            self._traces.add_span_processor(BatchSpanProcessor(spans, schedule_delay_millis=delay))
            self._loggers.add_log_record_processor(BatchLogRecordProcessor(logs, schedule_delay_millis=delay))
            reader = PeriodicExportingMetricReader(metrics, export_interval_millis=METRIC_SECONDS * 1000)
            self._meters = MeterProvider(resource=described, metric_readers=[reader])
        self._tracer = self._traces.get_tracer("midwatch.gym")
        self._logger = self._loggers.get_logger("midwatch.gym")
        self._meter = self._meters.get_meter("midwatch.gym")
        self._histogram = self._meter.create_histogram(
            "http.server.request.duration", "s", explicit_bucket_boundaries_advisory=DURATION_BOUNDS
        )
        self._latest: dict[str, list[Measure]] = {}
        self._known: set[str] = set()

    def start_span(
        self, name: str, kind: int, attributes: dict[str, Any], parent: tuple[int, int] | None = None
    ) -> Any:
        if parent is None:
            current = CURRENT.get()
            parent = (current.trace_id, current.span_id) if current is not None else (0, 0)
        context = trace.set_span_in_context(trace.INVALID_SPAN)
        if parent[0] and parent[1]:
            remote = trace.SpanContext(parent[0], parent[1], True, trace.TraceFlags(trace.TraceFlags.SAMPLED))
            context = trace.set_span_in_context(trace.NonRecordingSpan(remote))
        return SdkSpan(self._tracer.start_span(name, context, KINDS.get(kind, trace.SpanKind.INTERNAL), attributes))

    def end_span(self, span: Any) -> None:
        span.inner.end()

    def log(self, severity: str, body: str, error: BaseException | None = None, **attributes: Any) -> None:
        span = CURRENT.get()
        context = trace.set_span_in_context(span.inner) if isinstance(span, SdkSpan) else None
        self._logger.emit(
            timestamp=time.time_ns(), context=context, severity_number=SeverityNumber(SEVERITIES[severity]),
            severity_text=severity, body=body, attributes=attributes, exception=error,
        )  # fmt: skip

    def record_request(self, seconds: float, method: str, route: str, status: int, error: str) -> None:
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
        }
        if error:
            attributes["error.type"] = error
        self._histogram.record(seconds, attributes)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._measure_forever())]

    async def _measure_forever(self) -> None:
        while True:
            found: dict[str, list[Measure]] = {}
            for measure in self.measures():
                found.setdefault(measure.name, []).append(measure)
            self._latest = found
            for name in found.keys() - self._known:
                self._register(found[name][0])
            await asyncio.sleep(METRIC_SECONDS / 2)

    def _register(self, measure: Measure) -> None:
        name = measure.name

        def observe(options: CallbackOptions) -> list[Observation]:
            return [Observation(item.value, item.attributes) for item in self._latest.get(name, ())]

        self._known.add(name)
        if measure.kind == "gauge":
            self._meter.create_observable_gauge(name, [observe], measure.unit)
        elif measure.kind == "sum":
            self._meter.create_observable_counter(name, [observe], measure.unit)
        else:
            self._meter.create_observable_up_down_counter(name, [observe], measure.unit)

    async def flush(self) -> None:
        await asyncio.to_thread(self._traces.force_flush, 1000)
        await asyncio.to_thread(self._loggers.force_flush, 1000)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.flush()
