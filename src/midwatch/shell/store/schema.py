"""The tables. One template for the embedded engine and for a cluster: only the engine clause differs.

Keys follow the questions: samples are read as matrices of one hour and some series, spans and logs by time and service,
traces by id. Every row has a time to live, and partitions are days, so that expiry drops whole parts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from midwatch.model.errors import StoreError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")

_RESOURCE = """
    service LowCardinality(String),
    instance LowCardinality(String),
    version LowCardinality(String),
    region LowCardinality(String),
    host LowCardinality(String),
    reporter LowCardinality(String),
    resource String CODEC(ZSTD(1))"""

_TABLES = (
    # What a metric series is. Written again now and then while it lives; the newest row per sid counts.
    """CREATE TABLE IF NOT EXISTS {db}.series{on_cluster} (
    sid UInt64,
    seen DateTime CODEC(Delta, ZSTD(1)),
    metric LowCardinality(String),
    unit LowCardinality(String),
    kind LowCardinality(String),
    monotonic Bool,
    delta Bool,
    bounds Array(Float64),
    attributes String CODEC(ZSTD(1)),"""
    + _RESOURCE
    + """
) ENGINE = {replacing}(seen) ORDER BY (metric, service, sid)
TTL seen + INTERVAL {samples_days} DAY""",
    # Gauges and sums: value. Histograms: value is the sum, n the count, counts per bucket (bounds stand in series).
    """CREATE TABLE IF NOT EXISTS {db}.samples{on_cluster} (
    sid UInt64 CODEC(Delta, ZSTD(1)),
    ts DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    started DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    value Float64 CODEC(Delta, ZSTD(1)),
    n Float64 CODEC(Delta, ZSTD(1)),
    counts Array(Float64) CODEC(ZSTD(1))
) ENGINE = {plain} PARTITION BY toDate(ts) ORDER BY (toStartOfHour(ts), sid, ts)
TTL toDateTime(ts) + INTERVAL {samples_days} DAY SETTINGS ttl_only_drop_parts = 1""",
    """CREATE TABLE IF NOT EXISTS {db}.logs{on_cluster} (
    ts DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    severity UInt8,
    body String CODEC(ZSTD(1)),
    attributes String CODEC(ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    span_id String CODEC(ZSTD(1)),
    event LowCardinality(String),"""
    + _RESOURCE
    + """
) ENGINE = {plain} PARTITION BY toDate(ts) ORDER BY (toStartOfMinute(ts), service, ts)
TTL toDateTime(ts) + INTERVAL {logs_days} DAY SETTINGS ttl_only_drop_parts = 1""",
    """CREATE TABLE IF NOT EXISTS {db}.spans{on_cluster} (
    ts DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    duration_ms Float64 CODEC(ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    span_id String CODEC(ZSTD(1)),
    parent_id String CODEC(ZSTD(1)),
    name LowCardinality(String),
    kind UInt8,
    status UInt8,
    message String CODEC(ZSTD(1)),
    attributes String CODEC(ZSTD(1)),
    exception_type LowCardinality(String),
    exception_message String CODEC(ZSTD(1)),
    links String CODEC(ZSTD(1)),
    request Bool,
    failed Bool,"""
    + _RESOURCE
    + """,
    INDEX by_trace trace_id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = {plain} PARTITION BY toDate(ts) ORDER BY (toStartOfMinute(ts), service, ts)
TTL toDateTime(ts) + INTERVAL {spans_days} DAY SETTINGS ttl_only_drop_parts = 1""",
    """CREATE TABLE IF NOT EXISTS {db}.changes{on_cluster} (
    id String,
    ts DateTime64(3, 'UTC'),
    kind LowCardinality(String),
    entity LowCardinality(String),
    summary String,
    before String,
    after String,
    author String,
    source LowCardinality(String)
) ENGINE = {replacing}() ORDER BY (entity, ts, id)
TTL toDateTime(ts) + INTERVAL {changes_days} DAY""",
    # What the ledgers counted, in steps of 300 and of 3600 s: written again when it grew, and the newest row counts.
    # Days and months are UTC's, so that a row is the same one after this machine's zone has changed.
    """CREATE TABLE IF NOT EXISTS {db}.slo_counts{on_cluster} (
    key LowCardinality(String),
    step UInt64 CODEC(ZSTD(1)),
    at DateTime('UTC') CODEC(Delta, ZSTD(1)),
    good Float64 CODEC(ZSTD(1)),
    total Float64 CODEC(ZSTD(1)),
    seen DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
) ENGINE = {replacing}(seen) PARTITION BY (step, toYYYYMM(at)) ORDER BY (toDate(at), key, at)
TTL at + INTERVAL {slo_days} DAY""",
)


@dataclass(frozen=True)
class Retention:
    """Days that rows are kept, per table."""

    samples_days: int = 30
    logs_days: int = 7
    spans_days: int = 7
    changes_days: int = 400
    slo_days: int = 400


def ddl(database: str, retention: Retention | None = None, cluster: str = "") -> list[str]:
    """The statements that make every table. ``cluster`` names a ClickHouse cluster: tables are then replicated.

    Raises StoreError when a name is not an identifier.
    """
    for name in filter(None, (database, cluster)):
        if not _NAME.fullmatch(name):
            raise StoreError(f"{name!r} is not a name for a database or a cluster")
    values = vars(retention or Retention()) | {
        "db": database,
        "on_cluster": f" ON CLUSTER {cluster}" if cluster else "",
        "plain": "ReplicatedMergeTree" if cluster else "MergeTree",
        "replacing": "ReplicatedReplacingMergeTree" if cluster else "ReplacingMergeTree",
    }
    return [template.format(**values) for template in _TABLES]


def new_retention(database: str, table: str, made_by: str, retention: Retention, cluster: str = "") -> str:
    """The statement that gives an existing table the retention of today, "" when it has it. ``made_by`` is what
    ``system.tables`` says of the table."""
    days, column = {
        "series": (retention.samples_days, "seen"),
        "samples": (retention.samples_days, "toDateTime(ts)"),
        "logs": (retention.logs_days, "toDateTime(ts)"),
        "spans": (retention.spans_days, "toDateTime(ts)"),
        "changes": (retention.changes_days, "toDateTime(ts)"),
        "slo_counts": (retention.slo_days, "at"),
    }[table]
    if f"toIntervalDay({days})" in made_by:
        return ""
    on_cluster = f" ON CLUSTER {cluster}" if cluster else ""
    return f"ALTER TABLE {database}.{table}{on_cluster} MODIFY TTL {column} + INTERVAL {days} DAY"
