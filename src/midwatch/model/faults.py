"""The taxonomy of fault kinds: what diagnosis names, playbooks match on and the gym injects."""

from __future__ import annotations

from typing import Final

POOL_EXHAUSTED: Final = "pool_exhausted"
SLOW_SERVICE: Final = "slow_service"
BAD_DEPLOY: Final = "bad_deploy"
BAD_CONFIG: Final = "bad_config"
BAD_FLAG: Final = "bad_flag"
MEMORY_LEAK: Final = "memory_leak"
CPU_STARVED: Final = "cpu_starved"
CRASH_LOOP: Final = "crash_loop"
BAD_INSTANCE: Final = "bad_instance"
REGION_DARK: Final = "region_dark"
SLOW_QUERY: Final = "slow_query"
LOCK_CONTENTION: Final = "lock_contention"
CACHE_DOWN: Final = "cache_down"
NETWORK_FAULT: Final = "network_fault"
DISK_FULL: Final = "disk_full"
CERT_EXPIRED: Final = "cert_expired"
TRAFFIC_SURGE: Final = "traffic_surge"
QUEUE_STUCK: Final = "queue_stuck"
DATABASE_DOWN: Final = "database_down"
SERVICE_DOWN: Final = "service_down"
ERRORS_INSIDE: Final = "errors_inside"  # errors begin here and nothing says why

DESCRIPTIONS: Final[dict[str, str]] = {
    POOL_EXHAUSTED: "connection pool exhausted",
    SLOW_SERVICE: "slow without a sign of saturation",
    BAD_DEPLOY: "a deploy broke it",
    BAD_CONFIG: "a configuration change broke it",
    BAD_FLAG: "a flag flip broke it",
    MEMORY_LEAK: "memory grows until it is killed",
    CPU_STARVED: "starved of CPU",
    CRASH_LOOP: "keeps crashing and restarting",
    BAD_INSTANCE: "one instance is bad, the others are well",
    REGION_DARK: "a whole region does not answer",
    SLOW_QUERY: "a query became slow",
    LOCK_CONTENTION: "sessions wait for a lock that another holds",
    CACHE_DOWN: "the cache does not answer",
    NETWORK_FAULT: "calls stall or break on the way",
    DISK_FULL: "the disk is full",
    CERT_EXPIRED: "a certificate has expired",
    TRAFFIC_SURGE: "more traffic than it can serve",
    QUEUE_STUCK: "messages are not consumed",
    DATABASE_DOWN: "the database does not answer",
    SERVICE_DOWN: "does not answer",
    ERRORS_INSIDE: "errors begin here",
}
FAULT_KINDS: Final = frozenset(DESCRIPTIONS)
