"""A sink for telemetry: an OTLP/HTTP receiver that writes OTLP JSON lines and passes the bodies on.

The files are those of the OpenTelemetry Collector's file exporter (``traces.jsonl``, ``metrics.jsonl``,
``logs.jsonl``), with ``changes.jsonl`` beside them.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KINDS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}
IDS = frozenset({"traceId", "spanId", "parentSpanId"})


def _hex_ids(node: Any) -> None:
    """OTLP/JSON writes ids in hex where protobuf's JSON has base64."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in IDS and isinstance(value, str):
                node[key] = base64.b64decode(value).hex()
            else:
                _hex_ids(value)
    elif isinstance(node, list):
        for item in node:
            _hex_ids(item)


def to_json_line(signal: str, body: bytes) -> bytes:
    """One protobuf export request as one line of OTLP/JSON."""
    request = KINDS[signal]()
    request.ParseFromString(body)
    decoded = MessageToDict(request, use_integers_for_enums=True)
    _hex_ids(decoded)
    return json.dumps(decoded, separators=(",", ":")).encode() + b"\n"


async def run_sink(spec: dict[str, Any]) -> None:
    """Receive on a port, write to ``record``, pass on to ``otlp_endpoint`` when there is one."""
    folder = Path(spec["record"])
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: (folder / f"{name}.jsonl").open("ab", buffering=0) for name in (*KINDS, "changes")}
    forward = spec["otlp_endpoint"]
    session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0))
    reader, writer = await asyncio.open_unix_connection(spec["control"])

    async def receive(request: web.BaseRequest) -> web.StreamResponse:
        signal = request.path.rsplit("/", 1)[-1]
        raw = await request.read()  # aiohttp has undone the content encoding
        if signal == "changes":
            files["changes"].write(raw.strip() + b"\n")
        elif signal in KINDS:
            files[signal].write(to_json_line(signal, gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw))
        else:
            return web.Response(status=404)
        if forward:
            headers = {"content-type": request.headers.get("content-type", "application/x-protobuf")}
            try:
                async with session.post(forward + request.path, data=raw, headers=headers) as reply:
                    await reply.read()
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
        return web.Response(body=b"", content_type="application/x-protobuf")

    runner = web.ServerRunner(web.Server(receive, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    writer.write(json.dumps({"hello": "sink", "pid": os.getpid(), "port": site.port}).encode() + b"\n")
    while await reader.readline():
        pass
    os._exit(0)
