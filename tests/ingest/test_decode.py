"""Bytes to rows: both encodings alike, bad input refused as the protocol wants, the good part of a batch kept."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.model.errors import IngestError
from midwatch.shell.ingest.decode import JSON_TYPE, PROTOBUF_TYPE, decode
from midwatch.shell.ingest.rows import SIGNALS, Limits
from midwatch.shell.ingest.severity import message_in, severity_in

NOW = 1_700_000_000_000_000_000


def metrics_request(otlp: Any) -> Any:
    request = otlp.request("metrics")
    block = request.resource_metrics.add()
    otlp.attributes(block.resource.attributes, service__name="payment", service__instance__id="payment-eu-1")
    metrics = block.scope_metrics.add().metrics
    gauge = metrics.add(name="db.client.connection.max", unit="{connection}").gauge.data_points.add()
    gauge.as_int, gauge.time_unix_nano = 5, NOW
    otlp.attributes(gauge.attributes, pool="main")
    total = metrics.add(name="process.cpu.time", unit="s").sum
    total.aggregation_temporality, total.is_monotonic = 2, True
    point = total.data_points.add()
    point.as_double, point.time_unix_nano, point.start_time_unix_nano = 12.5, NOW, NOW - 10**9
    histogram = metrics.add(name="http.server.request.duration", unit="s").histogram
    histogram.aggregation_temporality = 1
    bars = histogram.data_points.add()
    bars.time_unix_nano, bars.count, bars.sum = NOW, 3, 0.6
    bars.explicit_bounds.extend([0.1, 0.5])
    bars.bucket_counts.extend([1, 1, 1])
    exponential = metrics.add(name="rpc.server.duration", unit="ms").exponential_histogram
    exponential.aggregation_temporality = 2
    curve = exponential.data_points.add()
    curve.time_unix_nano, curve.count, curve.sum, curve.scale = NOW, 4, 22.0, 0
    curve.positive.offset = 1
    curve.positive.bucket_counts.extend([1, 3])
    summary = metrics.add(name="old.summary").summary.data_points.add()
    summary.time_unix_nano, summary.count, summary.sum = NOW, 2, 9.0
    return request


def logs_request(otlp: Any) -> Any:
    request = otlp.request("logs")
    block = request.resource_logs.add()
    otlp.attributes(block.resource.attributes, service__name="payment")
    record = block.scope_logs.add().log_records.add(time_unix_nano=NOW, severity_number=17, trace_id=b"\x05" * 16)
    record.body.string_value = "PoolTimeout after 30 s"
    otlp.attributes(record.attributes, exception__type="PoolTimeout", n=3)
    other = block.scope_logs[0].log_records.add(observed_time_unix_nano=NOW, severity_text="warn")
    pair = other.body.kvlist_value.values.add(key="what")
    pair.value.array_value.values.add(int_value=7)
    return request


def plain(batch: Any) -> Any:
    return [asdict(row) for row in (*batch.spans, *batch.logs, *batch.points)]


def test_both_encodings_give_the_same_rows(otlp: Any, traces_request: Callable[[], Any]) -> None:
    requests = {"traces": traces_request(), "logs": logs_request(otlp), "metrics": metrics_request(otlp)}
    for signal, request in requests.items():
        binary = decode(signal, request.SerializeToString(), PROTOBUF_TYPE)
        text = decode(signal, gzip.compress(otlp.as_json(request)), f"{JSON_TYPE}; charset=utf-8", "gzip")
        assert plain(binary) == plain(text)
        assert len(binary) > 0 and binary.rejected == 0


def test_what_the_rows_say(otlp: Any, traces_request: Callable[[], Any]) -> None:
    server, client = decode("traces", traces_request().SerializeToString()).spans
    assert (server.resource.service, server.resource.region, server.resource.version) == ("checkout", "eu", "1.4.0")
    assert (server.kind, server.duration_ms, server.parent_id) == (2, 80.0, "")
    assert (client.parent_id, client.status, client.exception_type) == (server.span_id, 2, "ConnectError")
    assert client.attributes == {"peer.service": "payment", "retry": True, "share": 0.5}
    gauge, total, bars, curve, summary = decode("metrics", metrics_request(otlp).SerializeToString()).points
    assert (gauge.kind, gauge.value, gauge.attributes) == ("gauge", 5.0, {"pool": "main"})
    assert (total.monotonic, total.delta, total.start_at) == (True, False, NOW / 1e9 - 1)
    assert (bars.delta, bars.count, bars.bounds, bars.counts) == (True, 3.0, (0.1, 0.5), (1.0, 1.0, 1.0))
    assert (curve.bounds, curve.counts) == ((2.0, 4.0, 8.0), (0.0, 1.0, 3.0, 0.0))
    assert (summary.kind, summary.value, summary.count) == ("summary", 9.0, 2.0)
    line, other = decode("logs", logs_request(otlp).SerializeToString()).logs
    assert (line.severity, line.body, line.trace_id) == (17, "PoolTimeout after 30 s", "05" * 16)
    assert (other.severity, other.body, other.at) == (13, '{"what":[7]}', NOW / 1e9)


def spans_json(*spans: dict[str, Any]) -> bytes:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "a"}}]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}).encode()


GOOD = {
    "traceId": "A" * 32, "spanId": "b" * 16, "name": "x", "kind": "SPAN_KIND_SERVER", "startTimeUnixNano": str(NOW),
    "endTimeUnixNano": NOW + 5_000_000, "status": {"code": "STATUS_CODE_ERROR"}, "unknownField": {"deep": [1, 2]},
    "parentSpanId": None,
}  # fmt: skip


def test_json_as_senders_write_it() -> None:
    (span,) = decode("traces", spans_json(GOOD), JSON_TYPE).spans
    assert (span.trace_id, span.kind, span.status, span.duration_ms, span.parent_id) == ("a" * 32, 2, 2, 5.0, "")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"traceId": "0" * 32}, "invalid trace or span id"),
        ({"traceId": "zz" * 16}, "unreadable span"),
        ({"spanId": ""}, "invalid trace or span id"),
        ({"startTimeUnixNano": "soon"}, "unreadable span"),
        ({"startTimeUnixNano": "0", "endTimeUnixNano": "0"}, "no timestamp"),
        ({"name": 17}, "a field has a wrong type"),
        ({"attributes": "none"}, "a field has a wrong type"),
    ],
)
def test_one_bad_item_costs_only_itself(change: dict[str, Any], why: str) -> None:
    batch = decode("traces", spans_json(GOOD, {**GOOD, **change}, GOOD), JSON_TYPE)
    assert (len(batch.spans), batch.rejected, batch.notes) == (2, 1, {why: 1})


def test_points_without_a_measurement_are_counted(otlp: Any) -> None:
    request = metrics_request(otlp)
    points = request.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points
    points.add(as_double=float("nan"), time_unix_nano=NOW)
    points.add(as_double=1.0)
    points.add(time_unix_nano=NOW, flags=1)
    for body, kind in ((request.SerializeToString(), PROTOBUF_TYPE), (otlp.as_json(request), JSON_TYPE)):
        batch = decode("metrics", body, kind)
        assert (len(batch.points), batch.rejected) == (5, 2)
        assert set(batch.notes) == {"not a finite number", "no timestamp", "no recorded value"}


def test_no_service_name_is_survived(otlp: Any) -> None:
    request = otlp.request("logs")
    request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=NOW)
    batch = decode("logs", request.SerializeToString())
    assert batch.logs[0].resource.service == "unknown" and batch.notes == {"no service.name": 1}


@pytest.mark.parametrize(
    ("body", "kind", "encoding", "status"),
    [
        (b"\xff\xff\xff", PROTOBUF_TYPE, "", 400),
        (b"{", JSON_TYPE, "", 400),
        (b'{"resourceSpans": 5}', JSON_TYPE, "", 400),
        (b'{"resourceSpans": "\xff"}', JSON_TYPE, "", 400),
        (b"[" * 5000, JSON_TYPE, "", 400),
        (b'{"x":' * 5000, JSON_TYPE, "", 400),
        (b"{}", "text/plain", "", 415),
        (b"{}", "", "", 415),
        (b"{}", JSON_TYPE, "br", 415),
        (b"not gzip", JSON_TYPE, "gzip", 400),
        (gzip.compress(b"{}" * 100, mtime=0)[:-12], JSON_TYPE, "gzip", 400),
        (b"", JSON_TYPE, "gzip", 400),
        (gzip.compress(b" " * 3_000_000, mtime=0), JSON_TYPE, "gzip", 413),
        (gzip.compress(b" " * 600_000, mtime=0) * 2, JSON_TYPE, "gzip", 413),
        (b" " * 2_000_000, JSON_TYPE, "", 413),
    ],
)
def test_refused_with_the_status_of_the_protocol(body: bytes, kind: str, encoding: str, status: int) -> None:
    with pytest.raises(IngestError) as refusal:
        decode("traces", body, kind, encoding, Limits(body_bytes=1_500_000, decompressed_bytes=1_000_000))
    assert refusal.value.status == status


def test_invalid_utf8_in_protobuf_is_refused(traces_request: Callable[[], Any]) -> None:
    body = traces_request().SerializeToString().replace(b"ConnectError", b"Connect\xff\xfe\xfdor")
    with pytest.raises(IngestError):
        decode("traces", body)


def test_deflate_and_several_gzip_members() -> None:
    body = spans_json(GOOD)
    assert len(decode("traces", zlib.compress(body), JSON_TYPE, "deflate")) == 1
    assert len(decode("traces", gzip.compress(body[:40]) + gzip.compress(body[40:]), JSON_TYPE, "gzip")) == 1


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=400),
    st.sampled_from(SIGNALS),
    st.sampled_from([PROTOBUF_TYPE, JSON_TYPE]),
    st.sampled_from(["", "gzip", "deflate"]),
)
def test_random_bytes_only_ever_raise_ingest_errors(body: bytes, signal: str, kind: str, encoding: str) -> None:
    try:
        decode(signal, body, kind, encoding)
    except IngestError as problem:
        assert problem.status in (400, 413, 415)


FIELDS = [
    *("resourceSpans", "scopeSpans", "spans", "resource", "attributes", "key", "value", "stringValue", "intValue"),
    *("traceId", "spanId", "kind", "name", "status", "code", "events", "resourceMetrics", "scopeMetrics", "metrics"),
    *("gauge", "sum", "histogram", "exponentialHistogram", "dataPoints", "asInt", "asDouble", "timeUnixNano"),
    *("count", "scale", "positive", "bucketCounts", "explicitBounds"),
]
JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=150, deadline=None)
@given(JSONISH, JSONISH, st.sampled_from(SIGNALS))
def test_odd_json_only_ever_raises_ingest_errors(item: Any, block: Any, signal: str) -> None:
    names = {
        "traces": ("resourceSpans", "scopeSpans", "spans"),
        "metrics": ("resourceMetrics", "scopeMetrics", "metrics"),
        "logs": ("resourceLogs", "scopeLogs", "logRecords"),
    }[signal]
    for body in (item, {names[0]: [block, {names[1]: [{names[2]: [item, block]}]}]}, {names[0]: block}):
        try:
            decode(signal, json.dumps(body).encode(), JSON_TYPE)
        except IngestError as problem:
            assert problem.status == 400


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=6))
def test_a_damaged_request_never_crashes(at: int, damage: bytes) -> None:
    good = spans_json(GOOD, GOOD)
    for kind, body in ((JSON_TYPE, good), (PROTOBUF_TYPE, b"\n\x10\n\x0e\n\x0c\n\x04name\x12\x04\n\x02pay")):
        at_here = at % len(body)
        try:
            decode("traces", body[:at_here] + damage + body[at_here + len(damage) :], kind)
        except IngestError:
            pass


def test_the_sdk_exporter_is_understood(otlp: Any) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.common")
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.trace import SpanKind

    provider = TracerProvider(resource=Resource({"service.name": "sdk", "service.instance.id": "sdk-eu-1"}))
    memory = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("t")
    with (
        pytest.raises(KeyError),
        tracer.start_as_current_span("GET /a", kind=SpanKind.SERVER, attributes={"http.route": "/a"}),
        tracer.start_as_current_span("inner"),
    ):
        raise KeyError("price")
    request = encode_spans(memory.get_finished_spans())
    inner, outer = decode("traces", request.SerializeToString()).spans
    assert (outer.kind, outer.status, inner.parent_id) == (2, 2, outer.span_id)
    assert inner.exception_type == "KeyError"
    assert plain(decode("traces", otlp.as_json(request), JSON_TYPE)) == plain(
        decode("traces", request.SerializeToString())
    )


@pytest.mark.parametrize(
    ("body", "severity"),
    [
        ("2026-03-02T10:00:01.123Z ERROR [http-nio-8080-exec-3] c.a.Handler - no connection", 17),
        ("time=10:00 level=warning msg=slow", 13),
        ("ERROR: could not serialize access, isolation level: serializable", 17),
        ('{"ts":1.5,"level":"error","msg":"boom"}', 17),
        ('{"level":50,"msg":"boom"}', 17),
        ({"msg": "boom", "level": "fatal"}, 21),
        ("10.0.0.3 - GET /errors/ERROR.html 200", 0),
        ("an error was expected and there was none", 0),
        ({"msg": "boom"}, 0),
        (None, 0),
    ],
)
def test_the_level_that_a_line_states_itself(body: object, severity: int) -> None:
    assert severity_in(body) == severity


def test_the_message_of_a_structured_line() -> None:
    assert (
        message_in('{"level":"error","ts":1.5,"msg":"query failed","err":"lock timeout"}')
        == "query failed lock timeout"
    )
    assert message_in('{"a":1}') == '{"a":1}'
    assert message_in("{not json") == "{not json"
    assert message_in("plain") == "plain"
