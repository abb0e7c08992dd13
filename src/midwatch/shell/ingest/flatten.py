"""One walk over an OTLP request, protobuf or JSON, that yields flat rows.

Both encodings give objects with the same field names; what differs (attributes, ids) comes as a ``Wire``. An item that
cannot be read is counted and skipped, the rest of the batch is kept.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from midwatch.shell.ingest.resources import resource_of
from midwatch.shell.ingest.rows import STATUS_ERROR, Batch, Limits, LogLine, Point, Span
from midwatch.shell.ingest.severity import BY_TEXT, SEVERITIES, severity_in

NO_VALUE_FLAG: Final = 1
DELTA: Final = 1
_DEEP: Final = 6
_ZERO_TRACE: Final = "0" * 32
_ZERO_SPAN: Final = "0" * 16
_KINDS: Final = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
_STATUS: Final = {"OK": 1, "ERROR": STATUS_ERROR}
_TEMPORALITY: Final = {"DELTA": DELTA, "CUMULATIVE": 2}


@dataclass(frozen=True, slots=True)
class Wire:
    """What differs between the encodings. ``attributes(pairs, limit)`` gives a dict, ``any_value(value, limit)`` a
    plain value, ``ident(raw)`` lower-case hex."""

    attributes: Callable[[Any, int], dict[str, Any]]
    any_value: Callable[[Any, int], Any]
    ident: Callable[[Any], str]


def _any_value(value: Any, limit: int, depth: int = 0) -> Any:
    which = value.WhichOneof("value") if value is not None else None
    if which == "string_value":
        text = value.string_value
        return text if len(text) <= limit else text[:limit]
    if which is None:
        return None
    if which == "int_value":
        return int(value.int_value)
    if which == "double_value":
        return float(value.double_value)
    if which == "array_value" and depth < _DEEP:
        return [_any_value(item, limit, depth + 1) for item in (value.array_value.values or ())[:256]]
    if which == "kvlist_value" and depth < _DEEP:
        pairs = (value.kvlist_value.values or ())[:256]
        return {pair.key or "": _any_value(pair.value, limit, depth + 1) for pair in pairs}
    raw = getattr(value, which)
    if which == "bytes_value":
        return raw[:limit] if isinstance(raw, str) else base64.b64encode(raw[:limit]).decode()
    return raw if which == "bool_value" else str(raw)[:limit]


def _protobuf_attributes(pairs: Any, limit: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        value = pair.value
        which = value.WhichOneof("value")
        if which == "string_value":
            text = value.string_value
            found[pair.key] = text if len(text) <= limit else text[:limit]
        elif which == "int_value":
            found[pair.key] = value.int_value
        else:
            found[pair.key] = _any_value(value, limit)
    return found


def _json_attributes(pairs: Any, limit: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs or ():
        value = pair.value
        if value is None:
            found[pair.key or ""] = None
            continue
        text = value.string_value
        if text is not None:
            found[pair.key or ""] = text if len(text) <= limit else text[:limit]
        else:
            found[pair.key or ""] = _any_value(value, limit)
    return found


def _protobuf_ident(raw: bytes) -> str:
    return raw.hex()


def _json_ident(raw: str | None) -> str:
    if not raw:
        return ""
    if len(raw) in (32, 16):
        int(raw, 16)  # ValueError: not hex, the item is rejected
        return raw.lower()
    try:  # some senders write protobuf's own JSON mapping: base64
        return base64.b64decode(raw, validate=True).hex()
    except binascii.Error as problem:
        raise ValueError("neither hex nor base64") from problem


PROTOBUF: Final = Wire(_protobuf_attributes, _any_value, _protobuf_ident)
JSON: Final = Wire(_json_attributes, _any_value, _json_ident)


def _enum(raw: Any, names: dict[str, int], strip: int = 1) -> int:
    """An enum given as a number or as ``SPAN_KIND_SERVER`` (its last word names it)."""
    if type(raw) is int:
        return raw
    if not raw:
        return 0
    text = str(raw)
    return int(text) if text.isdigit() else names.get(text.rsplit("_", strip)[-1].rstrip("234"), 0)


_Rejected = (ValueError, TypeError, OverflowError, AttributeError)


def flatten_spans(resource_spans: Iterable[Any], wire: Wire, batch: Batch, limits: Limits) -> None:
    """Append the spans of ``resource_spans`` to ``batch``."""
    attributes_of, ident, limit = wire.attributes, wire.ident, limits.line_chars
    spans = batch.spans
    for block in resource_spans or ():
        resource = resource_of(attributes_of(block.resource.attributes, limit) if block.resource is not None else {})
        if resource.service == "unknown":
            batch.note("no service.name")
        for scope in block.scope_spans or ():
            for span in scope.spans or ():
                try:
                    trace_id, span_id = ident(span.trace_id), ident(span.span_id)
                    if len(trace_id) != 32 or len(span_id) != 16 or trace_id == _ZERO_TRACE or span_id == _ZERO_SPAN:
                        batch.note("invalid trace or span id", 1)
                        continue
                    start, end = int(span.start_time_unix_nano or 0), int(span.end_time_unix_nano or 0)
                    if end < start:
                        batch.note("negative duration")
                        start = end = end or start
                    if start <= 0:
                        batch.note("no timestamp", 1)
                        continue
                    parent = ident(span.parent_span_id)
                    status = span.status
                    row = Span(
                        resource,
                        trace_id,
                        span_id,
                        "" if parent == _ZERO_SPAN else parent,
                        span.name or "",
                        _enum(span.kind, _KINDS),
                        start / 1e9,
                        (end - start) / 1e6,
                        _enum(status.code, _STATUS) if status is not None else 0,
                        (status.message or "")[:limit] if status is not None else "",
                        attributes_of(span.attributes, limit),
                    )
                    if span.events:
                        _exceptions(row, span.events, attributes_of, limit)
                    if span.links:
                        row.links = tuple((ident(x.trace_id), ident(x.span_id)) for x in span.links[:16])
                except _Rejected:
                    batch.note("unreadable span", 1)
                    continue
                spans.append(row)


def _exceptions(row: Span, events: Any, attributes_of: Callable[[Any, int], dict[str, Any]], limit: int) -> None:
    for event in events:
        if event.name == "exception":
            found = attributes_of(event.attributes, limit)
            row.exception_type = str(found.get("exception.type", ""))
            row.exception_message = str(found.get("exception.message", ""))


def flatten_logs(resource_logs: Iterable[Any], wire: Wire, batch: Batch, limits: Limits) -> None:
    """Append the log records of ``resource_logs`` to ``batch``."""
    attributes_of, ident, limit = wire.attributes, wire.ident, limits.line_chars
    logs = batch.logs
    for block in resource_logs or ():
        resource = resource_of(attributes_of(block.resource.attributes, limit) if block.resource is not None else {})
        if resource.service == "unknown":
            batch.note("no service.name")
        for scope in block.scope_logs or ():
            for record in scope.log_records or ():
                try:
                    at = int(record.time_unix_nano or 0) or int(record.observed_time_unix_nano or 0)
                    if at <= 0:
                        batch.note("no timestamp", 1)
                        continue
                    body = wire.any_value(record.body, limit)
                    severity = _enum(record.severity_number, SEVERITIES)
                    if not severity and record.severity_text:
                        severity = BY_TEXT.get(record.severity_text.upper(), 0)
                    severity = severity or severity_in(body)
                    if not isinstance(body, str):
                        body = "" if body is None else msgspec.json.encode(body).decode()[:limit]
                    row = LogLine(
                        resource,
                        at / 1e9,
                        min(max(severity, 0), 24),
                        body,
                        attributes_of(record.attributes, limit),
                        ident(record.trace_id),
                        ident(record.span_id),
                        record.event_name or "",
                    )
                except _Rejected:
                    batch.note("unreadable log record", 1)
                    continue
                logs.append(row)


def flatten_metrics(resource_metrics: Iterable[Any], wire: Wire, batch: Batch, limits: Limits) -> None:
    """Append the data points of ``resource_metrics`` to ``batch``. NaN and infinite values are counted and dropped;
    they carry no measurement."""
    attributes_of, limit = wire.attributes, limits.line_chars
    for block in resource_metrics or ():
        resource = resource_of(attributes_of(block.resource.attributes, limit) if block.resource is not None else {})
        if resource.service == "unknown":
            batch.note("no service.name")
        for scope in block.scope_metrics or ():
            for metric in scope.metrics or ():
                which = metric.WhichOneof("data")
                if which is None or not metric.name:
                    batch.note("metric without name or data", 1)
                    continue
                data = getattr(metric, which)
                try:
                    delta = (
                        which != "gauge"
                        and which != "summary"
                        and (_enum(data.aggregation_temporality, _TEMPORALITY) == DELTA)
                    )
                    monotonic = which != "gauge" and (which != "sum" or bool(data.is_monotonic))
                except _Rejected:
                    batch.note("unreadable metric", max(1, len(data.data_points or ())))
                    continue
                name, unit = metric.name, metric.unit or ""
                for point in data.data_points or ():
                    try:
                        row = _point(point, which, resource, name, unit, attributes_of, limit)
                    except _Rejected:
                        batch.note("unreadable data point", 1)
                        continue
                    if isinstance(row, str):
                        batch.note(row, 0 if row == "no recorded value" else 1)
                        continue
                    row.delta, row.monotonic = delta, monotonic
                    batch.points.append(row)


def _point(
    point: Any,
    which: str,
    resource: Any,
    name: str,
    unit: str,
    attributes_of: Callable[[Any, int], dict[str, Any]],
    limit: int,
) -> Point | str:
    """The row of one data point, or why there is none."""
    at = int(point.time_unix_nano or 0)
    if at <= 0:
        return "no timestamp"
    if int(point.flags or 0) & NO_VALUE_FLAG:
        return "no recorded value"
    start = int(point.start_time_unix_nano or 0) / 1e9
    attributes = attributes_of(point.attributes, limit)
    if which == "gauge" or which == "sum":
        field = point.WhichOneof("value")
        if field is None:
            return "no recorded value"
        value = float(point.as_double) if field == "as_double" else float(int(point.as_int))
        if not math.isfinite(value):
            return "not a finite number"
        return Point(resource, name, unit, "gauge" if which == "gauge" else "sum", at / 1e9, start, value, attributes)
    total, count = float(point.sum or 0.0), float(int(point.count or 0))
    if not math.isfinite(total):
        return "not a finite number"
    row = Point(
        resource, name, unit, "summary" if which == "summary" else "histogram", at / 1e9, start, total, attributes
    )
    row.count = count
    if which == "histogram":
        row.bounds = tuple(float(bound) for bound in point.explicit_bounds or ())
        row.counts = tuple(float(int(n or 0)) for n in point.bucket_counts or ())
        if row.counts and len(row.counts) != len(row.bounds) + 1:
            return "buckets do not match their bounds"
    elif which == "exponential_histogram":
        row.bounds, row.counts = _explicit(point)
    return row


def _explicit(point: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Explicit bounds of an exponential histogram's positive buckets (bucket i covers base^i .. base^(i+1))."""
    positive = point.positive
    scale, zero = int(point.scale or 0), float(int(point.zero_count or 0))
    if not -10 <= scale <= 20:
        raise ValueError("scale out of range")
    counts = [float(int(n or 0)) for n in (positive.bucket_counts or ())] if positive is not None else []
    if len(counts) > 1024:
        raise ValueError("too many buckets")
    offset = int(positive.offset or 0) if positive is not None else 0
    base = 2.0 ** (2.0**-scale)
    bounds = [base**offset] + [base ** (offset + i + 1) for i in range(len(counts))] if counts else []
    return tuple(bounds), (*([zero] if bounds else []), *counts, 0.0) if bounds else (zero,)
