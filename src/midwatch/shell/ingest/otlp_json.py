"""OTLP/JSON as typed structs that look like the protobuf messages.

The structs carry protobuf's field names (``rename="camel"`` maps the wire's lowerCamelCase) and a ``WhichOneof``, so
that one flattener walks both encodings. Unknown fields are ignored. Integers may come as strings or numbers, enums as
integers or names, any field as null: the flattener converts. The ``Raw*`` twins keep each item undecoded; they serve a
payload in which some item has a wrong type, so that only that item is lost.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct
from msgspec.json import Decoder

Whole = int | str | float | None  # 64-bit integers are strings on the wire; some senders write numbers
Number = float | int | str | None  # "NaN" and "Infinity" are strings


class Wire(Struct, rename="camel", gc=False):
    """What all wire structs share."""


class ArrayValue(Wire):
    values: list[AnyValue] | None = None


class KeyValueList(Wire):
    values: list[KeyValue] | None = None


class AnyValue(Wire):
    string_value: str | None = None
    int_value: Whole = None
    bool_value: bool | None = None
    double_value: Number = None
    array_value: ArrayValue | None = None
    kvlist_value: KeyValueList | None = None
    bytes_value: str | None = None

    def WhichOneof(self, _: str) -> str | None:
        if self.string_value is not None:
            return "string_value"
        if self.int_value is not None:
            return "int_value"
        if self.bool_value is not None:
            return "bool_value"
        if self.double_value is not None:
            return "double_value"
        if self.array_value is not None:
            return "array_value"
        if self.kvlist_value is not None:
            return "kvlist_value"
        return "bytes_value" if self.bytes_value is not None else None


class KeyValue(Wire):
    key: str | None = None
    value: AnyValue | None = None


class ResourceMessage(Wire):
    attributes: list[KeyValue] | None = None


class Status(Wire):
    message: str | None = None
    code: int | str | None = None


class SpanEvent(Wire):
    name: str | None = None
    attributes: list[KeyValue] | None = None


class SpanLink(Wire):
    trace_id: str | None = None
    span_id: str | None = None


class SpanMessage(Wire):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    kind: int | str | None = None
    start_time_unix_nano: Whole = None
    end_time_unix_nano: Whole = None
    attributes: list[KeyValue] | None = None
    events: list[SpanEvent] | None = None
    links: list[SpanLink] | None = None
    status: Status | None = None


class ScopeSpans(Wire):
    spans: list[SpanMessage] | None = None


class ResourceSpans(Wire):
    resource: ResourceMessage | None = None
    scope_spans: list[ScopeSpans] | None = None


class TracesRequest(Wire):
    resource_spans: list[ResourceSpans] | None = None


class LogMessage(Wire):
    time_unix_nano: Whole = None
    observed_time_unix_nano: Whole = None
    severity_number: int | str | None = None
    severity_text: str | None = None
    body: AnyValue | None = None
    attributes: list[KeyValue] | None = None
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None


class ScopeLogs(Wire):
    log_records: list[LogMessage] | None = None


class ResourceLogs(Wire):
    resource: ResourceMessage | None = None
    scope_logs: list[ScopeLogs] | None = None


class LogsRequest(Wire):
    resource_logs: list[ResourceLogs] | None = None


class NumberPoint(Wire):
    attributes: list[KeyValue] | None = None
    start_time_unix_nano: Whole = None
    time_unix_nano: Whole = None
    as_double: Number = None
    as_int: Whole = None
    flags: Whole = None

    def WhichOneof(self, _: str) -> str | None:
        if self.as_double is not None:
            return "as_double"
        return "as_int" if self.as_int is not None else None


class HistogramPoint(Wire):
    attributes: list[KeyValue] | None = None
    start_time_unix_nano: Whole = None
    time_unix_nano: Whole = None
    count: Whole = None
    sum: Number = None
    bucket_counts: list[Whole] | None = None
    explicit_bounds: list[Number] | None = None
    flags: Whole = None


class Buckets(Wire):
    offset: Whole = None
    bucket_counts: list[Whole] | None = None


class ExponentialPoint(Wire):
    attributes: list[KeyValue] | None = None
    start_time_unix_nano: Whole = None
    time_unix_nano: Whole = None
    count: Whole = None
    sum: Number = None
    scale: Whole = None
    zero_count: Whole = None
    positive: Buckets | None = None
    flags: Whole = None


class SummaryPoint(Wire):
    attributes: list[KeyValue] | None = None
    start_time_unix_nano: Whole = None
    time_unix_nano: Whole = None
    count: Whole = None
    sum: Number = None
    flags: Whole = None


class Gauge(Wire):
    data_points: list[NumberPoint] | None = None


class Sum(Wire):
    data_points: list[NumberPoint] | None = None
    aggregation_temporality: int | str | None = None
    is_monotonic: bool | None = None


class Histogram(Wire):
    data_points: list[HistogramPoint] | None = None
    aggregation_temporality: int | str | None = None


class ExponentialHistogram(Wire):
    data_points: list[ExponentialPoint] | None = None
    aggregation_temporality: int | str | None = None


class Summary(Wire):
    data_points: list[SummaryPoint] | None = None


class MetricMessage(Wire):
    name: str | None = None
    unit: str | None = None
    gauge: Gauge | None = None
    sum: Sum | None = None
    histogram: Histogram | None = None
    exponential_histogram: ExponentialHistogram | None = None
    summary: Summary | None = None

    def WhichOneof(self, _: str) -> str | None:
        for name in ("gauge", "sum", "histogram", "exponential_histogram", "summary"):
            if getattr(self, name) is not None:
                return name
        return None


class ScopeMetrics(Wire):
    metrics: list[MetricMessage] | None = None


class ResourceMetrics(Wire):
    resource: ResourceMessage | None = None
    scope_metrics: list[ScopeMetrics] | None = None


class MetricsRequest(Wire):
    resource_metrics: list[ResourceMetrics] | None = None


class RawScope(Wire):
    spans: list[Raw] | None = None
    log_records: list[Raw] | None = None
    metrics: list[Raw] | None = None


class RawResource(Wire):
    resource: ResourceMessage | None = None
    scope_spans: list[RawScope] | None = None
    scope_logs: list[RawScope] | None = None
    scope_metrics: list[RawScope] | None = None


class RawRequest(Wire):
    resource_spans: list[RawResource] | None = None
    resource_logs: list[RawResource] | None = None
    resource_metrics: list[RawResource] | None = None


REQUESTS: dict[str, Decoder[Any]] = {
    "traces": Decoder(TracesRequest, strict=True),
    "logs": Decoder(LogsRequest, strict=True),
    "metrics": Decoder(MetricsRequest, strict=True),
}
ITEMS: dict[str, Decoder[Any]] = {
    "traces": Decoder(SpanMessage, strict=True),
    "logs": Decoder(LogMessage, strict=True),
    "metrics": Decoder(MetricMessage, strict=True),
}
RAW: Decoder[RawRequest] = Decoder(RawRequest, strict=True)
FIELDS = {
    "traces": ("resource_spans", "scope_spans", "spans"),
    "logs": ("resource_logs", "scope_logs", "log_records"),
    "metrics": ("resource_metrics", "scope_metrics", "metrics"),
}
"""Per signal: the request's field, the resource block's, and the scope's."""
