"""Recorded telemetry, read back under the recording's own clock.

A folder holds the Collector's file-exporter files: ``traces*.jsonl``, ``metrics*.jsonl``, ``logs*.jsonl`` (plain or .gz,
one export request as OTLP/JSON per line), and perhaps ``changes*.jsonl``. A line arrives when the newest of its items
ended. Files are roughly ordered: each is read through a bounded heap that puts lines back in order, and the files are
merged.
"""

from __future__ import annotations

import gzip
import heapq
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from midwatch.model.errors import IngestError
from midwatch.model.world import Change
from midwatch.shell.ingest.changes import parse_changes
from midwatch.shell.ingest.decode import decode_json
from midwatch.shell.ingest.rows import SIGNALS, Batch, Limits

log = logging.getLogger("midwatch.recording")

_AHEAD_LINES: Final = 256  # per file, held to put lines back in order
_AHEAD_BYTES: Final = 64 * 1024 * 1024
_SKEW_SECONDS: Final = 600.0
_MAX_PROBLEMS: Final = 100


@dataclass
class Problems:
    """What could not be read: ``bad_lines`` in all, the first hundred of them as ``file:line: why``."""

    bad_lines: int = 0
    shown: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def add(self, path: Path, line: int, why: str) -> None:
        self.bad_lines += 1
        if len(self.shown) < _MAX_PROBLEMS:
            self.shown.append(f"{path.name}:{line}: {why}")
            log.warning("%s:%d: %s", path, line, why)


def recorded_files(folder: str | Path, what: str) -> list[Path]:
    """The files of one signal (or ``changes``), by name."""
    root = Path(folder)
    found = {path for ending in ("jsonl", "jsonl.gz", "json", "json.gz") for path in root.glob(f"{what}*.{ending}")}
    return sorted(path for path in found if path.is_file())


def arrival_of(batch: Batch) -> float:
    """When the newest item of ``batch`` ended (unix seconds); items whose clock is far ahead of the others do not
    count. 0 for an empty batch."""
    times = sorted(
        [
            *(span.end_at for span in batch.spans),
            *(line.at for line in batch.logs),
            *(point.at for point in batch.points),
        ]
    )
    if not times:
        return 0.0
    middle = times[len(times) // 2]
    return next(at for at in reversed(times) if at <= middle + _SKEW_SECONDS)


def _open(path: Path) -> IO[bytes]:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def _lines(path: Path, problems: Problems, longest: int) -> Iterator[tuple[int, bytes]]:
    """Numbered lines that are not blank."""
    number = 0
    try:
        with _open(path) as file:
            while True:
                line = file.readline(longest + 1)
                if not line:
                    return
                number += 1
                if len(line) > longest:
                    problems.add(path, number, f"the line has more than {longest} bytes")
                    while line and not line.endswith(b"\n"):
                        line = file.readline(longest + 1)
                    continue
                if line.strip():
                    yield number, line
    except (OSError, EOFError) as problem:
        problems.add(path, number + 1, f"cannot be read further: {problem}")


def _batches(path: Path, signal: str, problems: Problems, limits: Limits) -> Iterator[tuple[float, int, Batch]]:
    """(arrival, line, batch) of one file in time order, as far as a bounded look ahead can put it in order."""
    held: list[tuple[float, int, int, Batch]] = []
    size = 0
    for number, line in _lines(path, problems, limits.decompressed_bytes):
        batch = Batch()
        try:
            decode_json(signal, line, batch, limits)
        except IngestError as problem:
            problems.add(path, number, str(problem))
            continue
        if not len(batch):
            continue
        heapq.heappush(held, (arrival_of(batch), number, len(line), batch))
        size += len(line)
        while len(held) > _AHEAD_LINES or size > _AHEAD_BYTES:
            at, line_number, length, ready = heapq.heappop(held)
            size -= length
            yield at, line_number, ready
    while held:
        at, line_number, _, ready = heapq.heappop(held)
        yield at, line_number, ready


def read_recording(
    folder: str | Path, problems: Problems | None = None, limits: Limits | None = None
) -> Iterator[tuple[float, Batch]]:
    """(arrival in unix seconds, batch) of everything recorded in ``folder``, in time order. Lines that cannot be read
    are counted in ``problems`` and skipped. Raises IngestError when the folder holds no telemetry."""
    problems = problems if problems is not None else Problems()
    limits = limits or Limits()
    sources = [(path, signal) for signal in SIGNALS for path in recorded_files(folder, signal)]
    if not sources:
        raise IngestError(
            f"{folder} holds no recorded telemetry",
            hint="expected traces*.jsonl, metrics*.jsonl or logs*.jsonl, plain or .gz",
        )
    problems.files.extend(path.name for path, _ in sources)
    streams = [
        _numbered(order, _batches(path, signal, problems, limits)) for order, (path, signal) in enumerate(sources)
    ]
    newest = 0.0
    for at, _, _, batch in heapq.merge(*streams, key=lambda item: item[:3]):
        newest = max(newest, at)
        yield newest, batch


def _numbered(order: int, batches: Iterator[tuple[float, int, Batch]]) -> Iterator[tuple[float, int, int, Batch]]:
    for at, number, batch in batches:
        yield at, order, number, batch


def read_changes(folder: str | Path, problems: Problems | None = None) -> list[Change]:
    """The change events recorded in ``folder``, in time order."""
    problems = problems if problems is not None else Problems()
    found: list[Change] = []
    for path in recorded_files(folder, "changes"):
        for number, line in _lines(path, problems, 1024 * 1024):
            try:
                found.extend(parse_changes(line))
            except IngestError as problem:
                problems.add(path, number, str(problem))
    return sorted(found, key=lambda change: change.at)
