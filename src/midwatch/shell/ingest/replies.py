"""Answers of the OTLP/HTTP protocol, in the encoding of the request."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from midwatch.shell.ingest.decode import JSON_TYPE, PROTOBUF_TYPE

_RESPONSES: Final[dict[str, Any]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans", "rejectedSpans"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records", "rejectedLogRecords"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points", "rejectedDataPoints"),
}
# google.rpc.Code by HTTP status
_CODES: Final = {400: 3, 404: 5, 405: 12, 408: 4, 413: 8, 415: 3, 429: 8, 500: 13, 503: 14}


def accepted(signal: str, content_type: str, rejected: int, why: str) -> bytes:
    """The Export*ServiceResponse: empty, or with ``partial_success`` when items were rejected."""
    message_type, field, json_field = _RESPONSES[signal]
    if content_type == JSON_TYPE:
        partial = {json_field: str(rejected), "errorMessage": why}
        return msgspec.json.encode({"partialSuccess": partial} if rejected else {})
    message = message_type()
    if rejected:
        setattr(message.partial_success, field, rejected)
        message.partial_success.error_message = why
    return bytes(message.SerializeToString())


def refused(content_type: str, status: int, why: str) -> bytes:
    """google.rpc.Status: a code and a message."""
    code = _CODES.get(status, 13)
    if content_type != PROTOBUF_TYPE:
        return msgspec.json.encode({"code": code, "message": why})
    text = why.encode()
    return b"\x08" + _varint(code) + b"\x12" + _varint(len(text)) + text


def _varint(number: int) -> bytes:
    pieces = bytearray()
    while number > 0x7F:
        pieces.append(number & 0x7F | 0x80)
        number >>= 7
    pieces.append(number)
    return bytes(pieces)
