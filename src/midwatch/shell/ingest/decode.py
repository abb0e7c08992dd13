"""From the bytes of an OTLP/HTTP request to a Batch.

``decode`` is a pure function of its arguments. What the protocol wants refused (broken encoding, unknown content type,
too large) raises IngestError with the HTTP status; what can be kept is kept, and the rest is counted in
``Batch.rejected`` for the answer's ``partial_success``.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

import msgspec
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from midwatch.model.errors import IngestError
from midwatch.shell.ingest import flatten, otlp_json
from midwatch.shell.ingest.rows import SIGNALS, Batch, Limits

PROTOBUF_TYPE: Final = "application/x-protobuf"
JSON_TYPE: Final = "application/json"
DEFAULT_LIMITS: Final = Limits()
MESSAGES: Final[dict[str, Any]] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
_FLATTENERS: Final = {
    "traces": flatten.flatten_spans,
    "logs": flatten.flatten_logs,
    "metrics": flatten.flatten_metrics,
}


def media_type(content_type: str) -> str:
    """``application/x-protobuf`` or ``application/json``; raises IngestError(415) for anything else."""
    name = content_type.partition(";")[0].strip().lower()
    if name in (PROTOBUF_TYPE, "application/protobuf"):
        return PROTOBUF_TYPE
    if name == JSON_TYPE:
        return JSON_TYPE
    raise IngestError(
        f"content type {name[:80]!r} is not understood",
        status=415,
        hint=f"send {PROTOBUF_TYPE} or {JSON_TYPE}",
    )


def inflate(body: bytes, content_encoding: str, limit: int) -> bytes:
    """The body without its gzip or deflate coat, never more than ``limit`` bytes (413)."""
    coding = content_encoding.strip().lower()
    if coding in ("", "identity"):
        if len(body) > limit:
            raise IngestError(f"the body has more than {limit} bytes", status=413)
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise IngestError(f"content encoding {coding[:40]!r} is not understood", status=415, hint="send gzip or none")
    pieces: list[bytes] = []
    room = limit
    rest = body
    try:
        while rest:  # a gzip file may hold several members
            inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
            piece = inflater.decompress(rest, room + 1)
            if len(piece) > room:
                raise IngestError(f"the body inflates to more than {limit} bytes", status=413)
            if not inflater.eof:
                raise IngestError("the compressed body is truncated")
            pieces.append(piece)
            room -= len(piece)
            rest = inflater.unused_data.lstrip(b"\0")
    except zlib.error as problem:
        raise IngestError(f"the compressed body is broken: {problem}") from problem
    if not pieces:
        raise IngestError("the compressed body is empty")
    return b"".join(pieces)


def decode(
    signal: str,
    body: bytes,
    content_type: str = PROTOBUF_TYPE,
    content_encoding: str = "",
    limits: Limits = DEFAULT_LIMITS,
) -> Batch:
    """The rows of one export request of ``signal`` (metrics, logs or traces); raises IngestError."""
    if signal not in SIGNALS:
        raise IngestError(f"there is no signal {signal!r}", status=404)
    kind = media_type(content_type)
    if len(body) > limits.body_bytes:
        raise IngestError(f"the body has more than {limits.body_bytes} bytes", status=413)
    plain = inflate(body, content_encoding, limits.decompressed_bytes)
    batch = Batch()
    if kind == JSON_TYPE:
        decode_json(signal, plain, batch, limits)
        return batch
    message = MESSAGES[signal]()
    try:
        message.ParseFromString(plain)
    except (DecodeError, UnicodeDecodeError, ValueError) as problem:
        raise IngestError(f"not a valid protobuf request: {str(problem)[:200]}") from problem
    blocks = getattr(message, otlp_json.FIELDS[signal][0])
    _FLATTENERS[signal](blocks, flatten.PROTOBUF, batch, limits)
    return batch


def decode_json(signal: str, plain: bytes, batch: Batch, limits: Limits = DEFAULT_LIMITS) -> None:
    """Append the rows of one OTLP/JSON request to ``batch``; raises IngestError when it is not JSON of that shape."""
    try:
        request = otlp_json.REQUESTS[signal].decode(plain)
    except msgspec.ValidationError:
        request = _salvage(signal, plain, batch)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as problem:
        raise IngestError(f"not valid JSON: {str(problem)[:200]}") from problem
    _FLATTENERS[signal](getattr(request, otlp_json.FIELDS[signal][0]) or (), flatten.JSON, batch, limits)


def _salvage(signal: str, plain: bytes, batch: Batch) -> Any:
    """The request without the items that have a field of a wrong type; each is counted."""
    blocks_field, scopes_field, items_field = otlp_json.FIELDS[signal]
    try:
        request = otlp_json.RAW.decode(plain)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as problem:
        raise IngestError(f"not an OTLP/JSON request: {str(problem)[:200]}") from problem
    decoder = otlp_json.ITEMS[signal]
    for block in getattr(request, blocks_field) or ():
        for scope in getattr(block, scopes_field) or ():
            kept: list[Any] = []
            for raw in getattr(scope, items_field) or ():
                try:
                    kept.append(decoder.decode(raw))
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
                    batch.note("a field has a wrong type", 1)
            setattr(scope, items_field, kept)
    return request
