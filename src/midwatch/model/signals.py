"""The names and units of every signal that the World carries.

A signal is kept per *step* (a fixed slice of time). ``count`` and ``ms`` signals are sums within the step, so that any
window is the sum of its steps; gauges are the last value seen in the step. NaN means "nothing was reported": it is
never zero and never "ok".
"""

from __future__ import annotations

from typing import Final

# Per service, instance and endpoint, from server spans (or request-duration histograms where there are no spans).
REQUESTS: Final = "requests"  # count
ERRORS: Final = "errors"  # count
TIME_MS: Final = "time_ms"  # sum of server durations
SELF_MS: Final = "self_ms"  # sum of exclusive time on the critical path
ORIGIN_ERRORS: Final = "origin_errors"  # failing spans with no failing child: where errors begin

# Per edge (subject ``caller>callee``), from client spans.
CALLS: Final = "calls"  # count
CALL_ERRORS: Final = "call_errors"  # count
CALL_MS: Final = "call_ms"  # sum of client durations
SERVER_MS: Final = "server_ms"  # sum of the durations of the server spans that answered those calls
ANSWERED: Final = "answered"  # count of calls whose server span was seen
UNANSWERED_ERRORS: Final = "unanswered_errors"  # failing calls whose server span was never seen

# Per pair (subject ``entry>entity``): the share of an entry point's traffic that an entity explains.
ROOT_ERRORS: Final = "root_errors"  # failing entry requests whose first error lies in the entity
ROOT_SELF_MS: Final = "root_self_ms"  # critical-path time that the entity adds to entry requests

# Gauges, per service, instance, database, cache, queue or host.
POOL_USED: Final = "pool_used"
POOL_LIMIT: Final = "pool_limit"
POOL_WAITING: Final = "pool_waiting"
CPU_CORES: Final = "cpu_cores"  # cores in use
CPU_RATIO: Final = "cpu_ratio"  # of the limit, 0..1
CPU_THROTTLED_RATIO: Final = "cpu_throttled_ratio"  # share of time spent throttled or stopped, 0..1
MEMORY_BYTES: Final = "memory_bytes"
MEMORY_LIMIT_BYTES: Final = "memory_limit_bytes"
FD_USED: Final = "fd_used"
FD_LIMIT: Final = "fd_limit"
DISK_RATIO: Final = "disk_ratio"  # used, 0..1
QUEUE_DEPTH: Final = "queue_depth"
QUEUE_LAG_SECONDS: Final = "queue_lag_seconds"  # age of the oldest message that nobody has taken
CONSUMED: Final = "consumed"  # count of messages processed
SESSIONS_BLOCKED: Final = "sessions_blocked"  # database sessions that wait for a lock
CERT_EXPIRES_SECONDS: Final = "cert_expires_seconds"  # negative once expired
CACHE_HITS: Final = "cache_hits"  # count
CACHE_MISSES: Final = "cache_misses"  # count
RESTARTS: Final = "restarts"  # count of process starts seen
UP: Final = "up"  # 1 while it reports, 0 when it is known to be down

UNITS: Final[dict[str, str]] = {
    REQUESTS: "count",
    ERRORS: "count",
    TIME_MS: "ms",
    SELF_MS: "ms",
    ORIGIN_ERRORS: "count",
    CALLS: "count",
    CALL_ERRORS: "count",
    CALL_MS: "ms",
    SERVER_MS: "ms",
    ANSWERED: "count",
    UNANSWERED_ERRORS: "count",
    ROOT_ERRORS: "count",
    ROOT_SELF_MS: "ms",
    POOL_USED: "connections",
    POOL_LIMIT: "connections",
    POOL_WAITING: "requests",
    CPU_CORES: "cores",
    CPU_RATIO: "ratio",
    CPU_THROTTLED_RATIO: "ratio",
    MEMORY_BYTES: "bytes",
    MEMORY_LIMIT_BYTES: "bytes",
    FD_USED: "descriptors",
    FD_LIMIT: "descriptors",
    DISK_RATIO: "ratio",
    QUEUE_DEPTH: "messages",
    QUEUE_LAG_SECONDS: "seconds",
    CONSUMED: "count",
    SESSIONS_BLOCKED: "sessions",
    CERT_EXPIRES_SECONDS: "seconds",
    CACHE_HITS: "count",
    CACHE_MISSES: "count",
    RESTARTS: "count",
    UP: "ratio",
}

SUMMED: Final = frozenset(signal for signal, unit in UNITS.items() if unit in ("count", "ms"))
"""Signals that add up over steps and instances; the others are gauges."""

LATENCY_BOUNDS_MS: Final[tuple[float, ...]] = (
    1, 2.5, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000,
)  # fmt: skip
"""Upper bounds of the latency buckets, in ms; one more bucket lies above the last. They contain OpenTelemetry's default
bounds for ``http.server.request.duration``, so that histograms and spans fall into the same buckets exactly."""
