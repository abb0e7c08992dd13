"""Keeps raw OTLP as the Collector's file exporter does: one export request as JSON per line, one file per signal."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import IO, Any

import msgspec
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from midwatch.model.errors import IngestError
from midwatch.shell.ingest.decode import DEFAULT_LIMITS, JSON_TYPE, MESSAGES, inflate, media_type

_IDS = ("traceId", "spanId", "parentSpanId")


class Recorder:
    """Appends to ``traces.jsonl``, ``metrics.jsonl`` and ``logs.jsonl`` in ``folder`` (made when missing). Stops at
    ``max_bytes`` per signal and counts what it left out in ``left_out``. Each line is flushed: a killed recorder leaves
    whole lines."""

    def __init__(self, folder: str | Path, max_bytes: int = 2 * 1024**3) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.left_out = 0
        self._max_bytes = max_bytes
        self._files: dict[str, IO[bytes]] = {}

    def write(self, signal: str, body: bytes, content_type: str, encoding: str = "") -> None:
        """Append one request as it arrived; raises IngestError when it cannot be read."""
        self._append(signal, to_json(signal, body, content_type, encoding))

    def write_change(self, change: dict[str, Any]) -> None:
        """Append one change event to ``changes.jsonl``."""
        self._append("changes", msgspec.json.encode(change))

    def _append(self, signal: str, line: bytes) -> None:
        file = self._files.get(signal)
        if file is None:
            file = self._files[signal] = (self.folder / f"{signal}.jsonl").open("ab")
        if file.tell() + len(line) > self._max_bytes:
            self.left_out += 1
            return
        file.write(line + b"\n")
        file.flush()

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()


def to_json(signal: str, body: bytes, content_type: str, encoding: str = "") -> bytes:
    """One OTLP request as a line of OTLP/JSON (hex ids, lowerCamelCase); raises IngestError."""
    plain = inflate(body, encoding, DEFAULT_LIMITS.decompressed_bytes)
    try:
        if media_type(content_type) == JSON_TYPE:
            return msgspec.json.format(plain, indent=-1)
        message = MESSAGES[signal]()
        message.ParseFromString(plain)
    except (msgspec.DecodeError, DecodeError, ValueError) as problem:
        raise IngestError(f"cannot be recorded: {str(problem)[:200]}") from problem
    found = MessageToDict(message, use_integers_for_enums=True)
    if signal != "metrics":
        _hex_ids(found)
    return msgspec.json.encode(found)


def _hex_ids(node: Any) -> None:
    """Protobuf's JSON mapping writes bytes as base64; OTLP wants the ids in hex."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in _IDS and isinstance(value, str):
                node[key] = base64.b64decode(value).hex()
            elif isinstance(value, dict | list):
                _hex_ids(value)
    elif isinstance(node, list):
        for item in node:
            if isinstance(item, dict | list):
                _hex_ids(item)
