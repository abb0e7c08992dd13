"""Which metric is which signal.

Names come from OpenTelemetry's semantic conventions (older and newer), from Collector receivers and from
Prometheus exporters. They are compared in lower case with every separator as ``_``, so ``db.client.connection.max`` and
``db_client_connection_max`` are one name. The rules of one signal are tried in order and the first one that a reporter
satisfies wins for good: two names of one thing (working set and usage) must not alternate in one series.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from midwatch.model import signals as sig

How = Literal["gauge", "count", "rate", "epoch", "uptime", "start", "filesystem"]
"""gauge: the value. count: increase per step. rate: increase per second, kept as a gauge. epoch: a moment in unix
seconds, kept as seconds from now. uptime, start: tell restarts. filesystem: used over all by state."""
Combine = Literal["sum", "max", "min", "mean", "pool"]


@dataclass(frozen=True, slots=True)
class Rule:
    """``combine`` says how several streams of one reporter become one value, ``across`` how instances become a
    service. ``rank`` orders rules of one signal, smaller first."""

    signal: str
    how: How = "gauge"
    combine: Combine = "sum"
    across: Combine = "sum"
    scale: float = 1.0
    rank: int = 0
    states: frozenset[str] = frozenset()  # values of the state attribute that count; empty: all
    not_states: frozenset[str] = frozenset()


_USED: Final = frozenset({"used", "active", "in_use", "busy", "checked_out"})
_IDLE: Final = frozenset({"idle", "free", "available"})
_STATE_KEYS: Final = (
    "db.client.connection.state", "state", "pool.state", "status", "cpu.mode", "system.cpu.state", "process.cpu.state",
    "system.filesystem.state", "system.memory.state", "mode",
)  # fmt: skip
_QUEUE_KEYS: Final = (
    "messaging.destination.name", "messaging.destination", "queue", "queue.name", "queue_name", "topic",
    "rabbitmq.queue.name",
)  # fmt: skip
_PARTITION_KEYS: Final = ("partition", "messaging.destination.partition.id")
_POOL: Final = ("sum", "sum")

# (pattern on the normalised name, signal, how, combine, across, scale)
_TABLE: Final[tuple[tuple[str, str, How, Combine, Combine, float], ...]] = (
    (r"db_client_connections?_(count|usage)", sig.POOL_USED, "gauge", "pool", "sum", 1),
    (r"db_client_connections?_max", sig.POOL_LIMIT, "gauge", "pool", "sum", 1),
    (r"db_client_connections?_pending_requests", sig.POOL_WAITING, "gauge", "pool", "max", 1),
    (r"hikaricp_connections_active|go_sql_in_use_connections|jdbc_connections_active", sig.POOL_USED,
     "gauge", "pool", "sum", 1),
    (r"hikaricp_connections_max|go_sql_max_open_connections|jdbc_connections_max", sig.POOL_LIMIT,
     "gauge", "pool", "sum", 1),
    (r"hikaricp_connections_pending", sig.POOL_WAITING, "gauge", "pool", "max", 1),
    (r"postgresql_backends|pg_stat_activity_count|mysql_(global_status_)?threads_connected|redis_(clients_connected|connected_clients)",
     sig.POOL_USED, "gauge", "sum", "max", 1),
    (r"postgresql_connections?_max|pg_settings_max_connections|mysql_(global_variables_)?max_connections|redis_(maxclients|config_maxclients|max_clients)",
     sig.POOL_LIMIT, "gauge", "max", "max", 1),
    (r"(?!.*(memory|buffer|jvm|time|duration|seconds|_ms)).*pool.*(used|in_?use|active|busy|acquired|checked_?out)(_connections|_conns|_count)?",
     sig.POOL_USED, "gauge", "pool", "sum", 1),
    (r"(?!.*(memory|buffer|jvm|time|duration|seconds|_ms|min)).*pool.*(max|limit|capacity|size)(_connections|_conns|_size|_open)?",
     sig.POOL_LIMIT, "gauge", "pool", "sum", 1),
    (r"(?!.*(memory|buffer|jvm|time|duration|seconds|_ms)).*pool.*(wait|waiting|waiters|pending|queued)(_requests|_threads|_count)?",
     sig.POOL_WAITING, "gauge", "pool", "max", 1),
    # CPU
    (r"process_cpu_utilization(_ratio)?", sig.CPU_RATIO, "gauge", "sum", "max", 1),
    (r"(k8s_(pod|container)|container)_cpu_limit_utilization(_ratio)?", sig.CPU_RATIO, "gauge", "max", "max", 1),
    (r"process_runtime_\w+_cpu_utilization|jvm_cpu_recent_utilization|process_cpu_usage", sig.CPU_RATIO,
     "gauge", "sum", "max", 1),
    (r"system_cpu_utilization(_ratio)?", sig.CPU_RATIO, "gauge", "sum", "max", 1),
    (r"process_cpu_(time|seconds|time_seconds)", sig.CPU_CORES, "rate", "sum", "sum", 1),
    (r"container_cpu_(time|usage_seconds)", sig.CPU_CORES, "rate", "sum", "sum", 1),
    (r"container_cpu_usage", sig.CPU_CORES, "gauge", "sum", "sum", 1),
    (r"k8s_(pod|container)_cpu_(usage|utilization)", sig.CPU_CORES, "gauge", "sum", "sum", 1),
    (r"container_cpu_usage_total", sig.CPU_CORES, "rate", "sum", "sum", 1e-9),
    (r"container_cpu_thrott(ling|led)_ratio", sig.CPU_THROTTLED_RATIO, "gauge", "max", "max", 1),
    (r"container_cpu_(cfs_)?throttled(_seconds|_time)", sig.CPU_THROTTLED_RATIO, "rate", "max", "max", 1),
    (r"container_cpu_throttling_data_throttled_time", sig.CPU_THROTTLED_RATIO, "rate", "max", "max", 1e-9),
    # memory
    (r"process_memory_usage(_bytes)?|process_resident_memory_bytes|process_memory_physical_usage", sig.MEMORY_BYTES,
     "gauge", "sum", "sum", 1),
    (r"container_memory_(working_set(_bytes)?|usage(_bytes)?|usage_total|rss)|k8s_(pod|container)_memory_(working_set|usage)",
     sig.MEMORY_BYTES, "gauge", "max", "sum", 1),
    (r"redis_memory_used(_bytes)?", sig.MEMORY_BYTES, "gauge", "sum", "sum", 1),
    (r"container_memory_limit(_bytes)?|container_spec_memory_limit_bytes|container_memory_usage_limit|k8s_container_memory_limit(_bytes)?|process_memory_limit(_bytes)?",
     sig.MEMORY_LIMIT_BYTES, "gauge", "max", "sum", 1),
    (r"redis_(maxmemory|memory_max_bytes)", sig.MEMORY_LIMIT_BYTES, "gauge", "max", "sum", 1),
    # descriptors, disk
    (r"process_(unix_file_descriptor_count|open_file_descriptor_count|open_file_descriptors|open_fds)", sig.FD_USED,
     "gauge", "max", "sum", 1),
    (r"process_(open_file_descriptor_limit|unix_file_descriptor_limit|max_fds)", sig.FD_LIMIT, "gauge", "max", "sum", 1),
    (r"system_filesystem_utilization(_ratio)?", sig.DISK_RATIO, "gauge", "max", "max", 1),
    (r"disk_used_percent", sig.DISK_RATIO, "gauge", "max", "max", 0.01),
    (r"system_filesystem_usage(_bytes)?", sig.DISK_RATIO, "filesystem", "max", "max", 1),
    # queues
    (r"messaging_queue_depth|rabbitmq_message_current|rabbitmq_queue_messages(_ready)?|kafka_consumer_?group_lag",
     sig.QUEUE_DEPTH, "gauge", "max", "max", 1),
    (r"kafka_consumer_group_lag_sum", sig.QUEUE_DEPTH, "gauge", "max", "sum", 1),
    (r"messaging_queue_oldest_age|.*queue.*(oldest|_age|lag_seconds|lag_time).*", sig.QUEUE_LAG_SECONDS,
     "gauge", "max", "max", 1),
    (r"(?!.*(max|limit|capacity)).*queue.*(depth|length|backlog|messages|waiting_jobs)", sig.QUEUE_DEPTH,
     "gauge", "max", "max", 1),
    (r"messaging_client_consumed_messages|messaging_receive_messages|kafka_consumer_records_consumed", sig.CONSUMED,
     "count", "sum", "sum", 1),
    # databases, caches
    (r"postgresql_sessions_blocked|.*(sessions|backends|queries|processes)_blocked|.*blocked_(sessions|backends|queries)|mysql_(global_status_)?innodb_row_lock_current_waits",
     sig.SESSIONS_BLOCKED, "gauge", "max", "max", 1),
    (r"(redis|valkey)_keyspace_hits|memcached_get_hits|(?!.*(ratio|rate)).*cache.*_hits?", sig.CACHE_HITS,
     "count", "sum", "sum", 1),
    (r"(redis|valkey)_keyspace_misses|memcached_get_misses|(?!.*(ratio|rate)).*cache.*_miss(es)?", sig.CACHE_MISSES,
     "count", "sum", "sum", 1),
    # certificates
    (r"tls_certificate_expires_in(_seconds)?|.*cert\w*_expires_in(_seconds)?", sig.CERT_EXPIRES_SECONDS,
     "gauge", "min", "min", 1),
    (r".*cert\w*_expir\w*_days|.*cert\w*days_(left|to_expir\w*)", sig.CERT_EXPIRES_SECONDS, "gauge", "min", "min", 86_400),
    (r".*cert.*(expir|not_?after).*", sig.CERT_EXPIRES_SECONDS, "epoch", "min", "min", 1),
    # life
    (r"k8s_container_restarts|kube_pod_container_status_restarts|container_restarts", sig.RESTARTS,
     "count", "sum", "sum", 1),
    (r"process_uptime(_seconds)?|.*process_runtime_uptime|runtime_uptime", sig.RESTARTS, "uptime", "max", "sum", 1),
    (r"process_start_time(_seconds)?", sig.RESTARTS, "start", "max", "sum", 1),
    (r"(haproxy|envoy|nginx|traefik)_(server|backend|upstream)_up", sig.UP, "gauge", "min", "max", 1),
    (r"up|redis_up|pg_up|postgresql_up|mysql_up|valkey_up|probe_success", sig.UP, "gauge", "min", "max", 1),
)  # fmt: skip
_COMPILED: Final = tuple((re.compile(row[0]), row[1:]) for row in _TABLE)
_SEPARATORS: Final = re.compile(r"[^a-z0-9]+")
_UNIT_SCALES: Final = {"ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0, "d": 86_400.0, "days": 86_400.0}
_RATIOS: Final = frozenset({sig.CPU_RATIO, sig.DISK_RATIO, sig.CPU_THROTTLED_RATIO})
_IN_SECONDS: Final = frozenset({sig.QUEUE_LAG_SECONDS, sig.CERT_EXPIRES_SECONDS})

_DURATIONS: Final = re.compile(
    r"http_server_(request_)?duration(_seconds|_milliseconds|_ms)?|http_server_requests(_seconds)?"
    r"|http_request_duration(_seconds|_milliseconds|_ms)?|rpc_server_(call_)?duration(_seconds|_milliseconds|_ms)?"
    r"|grpc_server_handling_seconds"
)


def normal_name(name: str) -> str:
    """Lower case, every separator ``_``, without the counters' ``_total``."""
    return _SEPARATORS.sub("_", name.lower()).strip("_").removesuffix("_total")


@lru_cache(maxsize=8192)
def rule_of(name: str, unit: str) -> Rule | None:
    """The rule for a metric, None when we have no signal for it."""
    bare = _SEPARATORS.sub("_", name.lower()).strip("_")
    for text in dict.fromkeys((bare, bare.removesuffix("_total"))):
        for rank, (pattern, (signal, how, combine, across, scale)) in enumerate(_COMPILED):
            if pattern.fullmatch(text):
                unit_scale = _unit_scale(signal, how, unit)
                states = _USED if signal == sig.POOL_USED else frozenset[str]()
                skip = _IDLE if signal in (sig.CPU_RATIO, sig.CPU_CORES) else frozenset[str]()
                if how == "epoch" and unit in _UNIT_SCALES:
                    how = "gauge"
                return Rule(signal, how, combine, across, scale * unit_scale, rank, states, skip)
    return None


def _unit_scale(signal: str, how: How, unit: str) -> float:
    if signal in _IN_SECONDS or how == "rate":
        return _UNIT_SCALES.get(unit, 1.0)
    if signal in _RATIOS and unit == "%":
        return 0.01
    if signal in (sig.MEMORY_BYTES, sig.MEMORY_LIMIT_BYTES):
        return {"kby": 1e3, "kiby": 1024.0, "mby": 1e6, "miby": 2.0**20}.get(unit.lower(), 1.0)
    return 1.0


@lru_cache(maxsize=8192)
def duration_scale(name: str, unit: str) -> float | None:
    """What turns a server-duration histogram's values into ms; None for any other metric."""
    text = normal_name(name)
    if not _DURATIONS.fullmatch(text):
        return None
    if unit in ("ms", "milliseconds") or text.endswith(("_ms", "_milliseconds")):
        return 1.0
    if unit in ("s", "seconds") or text.endswith("_seconds"):
        return 1000.0
    if unit in ("us", "ns"):
        return 1e-3 if unit == "us" else 1e-6
    # The older conventions measured in ms and did not always say so.
    return 1.0 if text in ("http_server_duration", "rpc_server_duration") else 1000.0


def state_of(attributes: Mapping[str, Any]) -> str:
    """The value of the attribute that splits one measure into parts (used, idle, user, system), "" without one."""
    for key in _STATE_KEYS:
        value = attributes.get(key)
        if value is not None:
            return str(value).lower()
    return ""


def counts_state(rule: Rule, attributes: Mapping[str, Any]) -> bool:
    """Whether a stream with these attributes belongs into the signal."""
    if not rule.states and not rule.not_states:
        return True
    state = state_of(attributes)
    if not state or state in rule.not_states:
        return not state
    return not rule.states or state in rule.states


def queue_in(attributes: Mapping[str, Any]) -> str:
    """The queue that a data point speaks of, "" when none."""
    for key in _QUEUE_KEYS:
        value = attributes.get(key)
        if value:
            return str(value)
    return ""


def is_partitioned(attributes: Mapping[str, Any]) -> bool:
    return any(key in attributes for key in _PARTITION_KEYS)


def request_failed(attributes: Mapping[str, Any]) -> bool:
    """Whether the requests of a server-duration stream are errors (HTTP >= 500, a failing gRPC status)."""
    for key in ("http.response.status_code", "http.status_code", "status_code", "code", "status"):
        status = attributes.get(key)
        if status is not None:
            text = str(status)
            return len(text) == 3 and text[0] == "5"
    grpc = attributes.get("rpc.grpc.status_code", attributes.get("rpc.response.status_code"))
    if grpc is not None:
        return str(grpc).upper() in ("2", "4", "13", "14", "15", "UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL",
                                     "UNAVAILABLE", "DATA_LOSS")  # fmt: skip
    error = attributes.get("error.type")
    return bool(error) and not (str(error).isdigit() and str(error)[0] != "5")


def route_in(attributes: Mapping[str, Any]) -> str:
    """The route or method of a server-duration stream, "" when it does not say."""
    for key in ("http.route", "route", "handler", "rpc.method", "grpc_method"):
        value = attributes.get(key)
        if value:
            return str(value)
    return ""
