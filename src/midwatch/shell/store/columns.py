"""Rows of ingestion to columns of the tables, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, cast

import msgspec

from midwatch.model.world import Change
from midwatch.shell.ingest.rows import CONSUMER, SERVER, Batch, LogLine, Point, PointKind, Resource, Span
from midwatch.shell.ingest.spans import failed, only_receives

_LOW: Final = "LowCardinality(String)"
_RESOURCE: Final = {
    "service": _LOW, "instance": _LOW, "version": _LOW, "region": _LOW, "host": _LOW, "reporter": _LOW,
    "resource": "String",
}  # fmt: skip
TYPES: Final[dict[str, dict[str, str]]] = {
    "series": {
        "sid": "UInt64", "seen": "DateTime", "metric": _LOW, "unit": _LOW, "kind": _LOW, "monotonic": "Bool",
        "delta": "Bool", "bounds": "Array(Float64)", "attributes": "String", **_RESOURCE,
    },
    "samples": {
        "sid": "UInt64", "ts": "DateTime64(3, 'UTC')", "started": "DateTime64(3, 'UTC')", "value": "Float64",
        "n": "Float64", "counts": "Array(Float64)",
    },
    "logs": {
        "ts": "DateTime64(6, 'UTC')", "severity": "UInt8", "body": "String", "attributes": "String",
        "trace_id": "String", "span_id": "String", "event": _LOW, **_RESOURCE,
    },
    "spans": {
        "ts": "DateTime64(6, 'UTC')", "duration_ms": "Float64", "trace_id": "String", "span_id": "String",
        "parent_id": "String", "name": _LOW, "kind": "UInt8", "status": "UInt8", "message": "String",
        "attributes": "String", "exception_type": _LOW, "exception_message": "String", "links": "String",
        "request": "Bool", "failed": "Bool", **_RESOURCE,
    },
    "changes": {
        "id": "String", "ts": "DateTime64(3, 'UTC')", "kind": _LOW, "entity": _LOW, "summary": "String",
        "before": "String", "after": "String", "author": "String", "source": _LOW,
    },
    "slo_counts": {
        "key": _LOW, "step": "UInt64", "at": "DateTime('UTC')", "good": "Float64", "total": "Float64",
        "seen": "DateTime64(3, 'UTC')",
    },
}  # fmt: skip
"""Column types per table, in the order in which rows are built; ``schema.py`` has the same columns."""

KNOWN_SERIES: Final = 200_000
DAY: Final = 86_400.0
AHEAD_SECONDS: Final = DAY

_encode = msgspec.json.Encoder(enc_hook=str).encode
_decode = msgspec.json.Decoder().decode


@dataclass
class Rows:
    """Rows per table. ``new_series`` are to be remembered once they are stored; ``out_of_range`` rows were older than the
    retention or too far in the future, and are not stored."""

    tables: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: {name: [] for name in TYPES})
    new_series: dict[bytes, tuple[int, float]] = field(default_factory=dict)
    out_of_range: int = 0

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.tables.values())


class RowBuilder:
    """Remembers which series the store already knows. Used by one thread at a time."""

    def __init__(self, oldest_seconds: float) -> None:
        self.oldest_seconds = oldest_seconds
        self._known: dict[bytes, tuple[int, float]] = {}

    def build(self, batches: Iterable[Batch], now: float) -> Rows:
        rows = Rows()
        low, high = now - self.oldest_seconds, now + AHEAD_SECONDS
        resources: dict[int, tuple[Any, ...]] = {}

        def reporter(resource: Resource) -> tuple[Any, ...]:
            made = resources.get(id(resource))
            if made is None:
                made = resources[id(resource)] = (
                    resource.service, resource.instance, resource.version, resource.region, resource.host,
                    resource.kind, text_of(resource.attributes),
                )  # fmt: skip
            return made

        # The batches stay referenced while ids of their resources are keys.
        for batch in list(batches):
            for span in batch.spans:
                if low <= span.start_at <= high:
                    rows.tables["spans"].append(_span(span) + reporter(span.resource))
                else:
                    rows.out_of_range += 1
            for line in batch.logs:
                if low <= line.at <= high:
                    rows.tables["logs"].append(_log(line) + reporter(line.resource))
                else:
                    rows.out_of_range += 1
            for point in batch.points:
                if low <= point.at <= high:
                    sid = self._series(point, reporter(point.resource), now, rows)
                    rows.tables["samples"].append(
                        (sid, _ms(point.at), _ms(point.start_at), point.value, point.count, list(point.counts))
                    )
                else:
                    rows.out_of_range += 1
        return rows

    def _series(self, point: Point, reporter: tuple[Any, ...], now: float, rows: Rows) -> int:
        attributes = text_of(dict(sorted(point.attributes.items())))
        identity = (
            point.name, point.unit, point.kind, point.monotonic, point.delta, list(point.bounds), attributes,
        )  # fmt: skip
        key = _encode((identity, reporter))
        known = self._known.get(key) or rows.new_series.get(key)
        if known is not None and now - known[1] < DAY:
            return known[0]
        sid = int.from_bytes(blake2b(key, digest_size=8).digest(), "big")
        rows.new_series[key] = (sid, now)
        rows.tables["series"].append((sid, int(now), *identity, *reporter))
        return sid

    def stored(self, rows: Rows) -> None:
        """The rows are in: their series need not be written again for a day."""
        if len(self._known) + len(rows.new_series) > KNOWN_SERIES:
            self._known.clear()
        self._known.update(rows.new_series)


def change_rows(changes: Iterable[Change]) -> list[tuple[Any, ...]]:
    return [(c.id, _ms(c.at), c.kind, c.entity, c.summary, c.before, c.after, c.by, c.source) for c in changes]


def text_of(value: object) -> str:
    """JSON; what JSON cannot say is said in words. Lone surrogates cannot be stored and are replaced."""
    try:
        return _encode(value).decode()
    except (UnicodeEncodeError, TypeError):
        return _encode(repr(value).encode("utf-8", "replace").decode()).decode()


def _span(span: Span) -> tuple[Any, ...]:
    request = span.kind == SERVER or (span.kind == CONSUMER and not only_receives(span))
    return (
        _us(span.start_at), span.duration_ms, span.trace_id, span.span_id, span.parent_id, span.name,
        span.kind & 0xFF, span.status & 0xFF, span.message, text_of(span.attributes), span.exception_type,
        span.exception_message, text_of(span.links) if span.links else "", request, failed(span),
    )  # fmt: skip


def _log(line: LogLine) -> tuple[Any, ...]:
    return (
        _us(line.at), line.severity & 0xFF, line.body, text_of(line.attributes), line.trace_id, line.span_id,
        line.event,
    )  # fmt: skip


def _ms(at: float) -> int:
    return round(at * 1e3)


def _us(at: float) -> int:
    return round(at * 1e6)


# -- back again. Selects name these columns, with times as whole numbers, because floats carry only microseconds. --

SPAN_SELECT: Final = (
    "toUnixTimestamp64Micro(ts), duration_ms, trace_id, span_id, parent_id, name, kind, status, message, attributes, "
    "exception_type, exception_message, links, service, instance, version, region, host, reporter, resource"
)
LOG_SELECT: Final = (
    "toUnixTimestamp64Micro(ts), severity, body, attributes, trace_id, span_id, event, "
    "service, instance, version, region, host, reporter, resource"
)
POINT_SELECT: Final = (
    "toUnixTimestamp64Milli(p.ts), toUnixTimestamp64Milli(p.started), p.value, p.n, p.counts, s.metric, s.unit, s.kind, "
    "s.monotonic, s.delta, s.bounds, s.attributes, s.service, s.instance, s.version, s.region, s.host, s.reporter, "
    "s.resource"
)


class Reader:
    """Makes rows of ingestion from what was selected; rows of one reporter share their Resource."""

    def __init__(self) -> None:
        self._resources: dict[tuple[Any, ...], Resource] = {}

    def _resource(self, values: Sequence[Any]) -> Resource:
        key = tuple(values)
        found = self._resources.get(key)
        if found is None:
            service, instance, version, region, host, kind, attributes = key
            found = Resource(service, instance, version, region, host, kind, _mapping(attributes))
            self._resources[key] = found
        return found

    def span(self, row: Sequence[Any]) -> Span:
        links = tuple((str(a), str(b)) for a, b in _decode(row[12])) if row[12] else ()
        return Span(
            self._resource(row[13:]), row[2], row[3], row[4], row[5], row[6], row[0] / 1e6, row[1], row[7], row[8],
            _mapping(row[9]), row[10], row[11], links,
        )  # fmt: skip

    def log(self, row: Sequence[Any]) -> LogLine:
        return LogLine(self._resource(row[7:]), row[0] / 1e6, row[1], row[2], _mapping(row[3]), row[4], row[5], row[6])

    def point(self, row: Sequence[Any]) -> Point:
        return Point(
            self._resource(row[12:]), row[5], row[6], cast(PointKind, row[7]), row[0] / 1e3, row[1] / 1e3, row[2],
            _mapping(row[11]), bool(row[8]), bool(row[9]), row[3], tuple(row[10]), tuple(row[4]),
        )  # fmt: skip


def _mapping(text: str) -> dict[str, Any]:
    value = _decode(text) if text else {}
    return value if isinstance(value, dict) else {}
