"""Signs: what a finding says about an entity, whoever found it and with whatever numbers.

An alert that somebody else raised has no matrix behind it: a kind, where, and perhaps a metric's name or a log template's id
(the finding's ``detail``). A finding on an edge is a sign at both of its ends. What a metric's name means is general
knowledge of how software names its metrics.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from midwatch.model import faults
from midwatch.model.entity import Entity, is_edge, kind_of, split_edge
from midwatch.model.findings import Finding

CANDIDATES: Final = frozenset({"service", "instance", "database", "cache", "queue", "host", "proxy", "external"})


@dataclass(frozen=True)
class Meaning:
    """Signs of one ``family`` say one thing in several ways and count as one. ``trust`` (0..1) is how much of a sign's
    surprise is taken for evidence of the fault ``kind`` at the entity that shows it."""

    family: str
    kind: str
    trust: float


OWN: Final[Mapping[str, Meaning]] = {
    "saturation": Meaning("saturation", faults.POOL_EXHAUSTED, 1.0),
    "restart": Meaning("restart", faults.CRASH_LOOP, 1.0),
    "dying": Meaning("restart", faults.CRASH_LOOP, 1.0),
    "silence": Meaning("silence", faults.SERVICE_DOWN, 1.0),
    "cert_expiry": Meaning("certificate", faults.CERT_EXPIRED, 1.0),
    "queue_lag": Meaning("queue", faults.QUEUE_STUCK, 0.5),
    "traffic_drop": Meaning("traffic", faults.SERVICE_DOWN, 0.5),
    "log_burst": Meaning("logs", faults.ERRORS_INSIDE, 0.5),
    "error_shift": Meaning("own errors", faults.ERRORS_INSIDE, 0.5),
    "latency_shift": Meaning("own latency", faults.SLOW_SERVICE, 0.5),
}
CALLS: Final[Mapping[str, Meaning]] = {
    "error_shift": Meaning("calls fail", faults.NETWORK_FAULT, 0.5),
    "latency_shift": Meaning("calls are slow", faults.NETWORK_FAULT, 0.5),
}
CALLED: Final[Mapping[str, Meaning]] = {
    "error_shift": Meaning("callers see errors", faults.ERRORS_INSIDE, 0.3),
    "latency_shift": Meaning("callers see it slow", faults.SLOW_SERVICE, 0.3),
}
METRICS: Final[tuple[tuple[re.Pattern[str], str, str, float], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), family, kind, trust)
    for pattern, family, kind, trust in (
        # One core of many says little: the scheduler moves work about.
        (r"cpu_?(core)?_?\d", "one core", faults.CPU_STARVED, 0.1),
        (r"cpu.*(usage|util|load|throttl|total_(norm|pct))", "cpu", faults.CPU_STARVED, 1.0),
        (r"mem.*(usage|used|util|working_set|resident)|(^|_)rss(_(pct|total|bytes))?$|heap", "memory",
         faults.MEMORY_LEAK, 1.0),
        (r"^(src|client|outbound|upstream)_", "calls", faults.NETWORK_FAULT, 0.5),
        (r"success|error|fail|5xx", "answers", faults.ERRORS_INSIDE, 0.5),
        (r"latency|duration|response_time|_p\d\d", "latency", faults.SLOW_SERVICE, 0.5),
        (r"qps|rps|requests|throughput", "traffic", faults.SERVICE_DOWN, 0.5),
        (r"(^|_)net|packet|retrans", "network", faults.NETWORK_FAULT, 0.5),
        (r"disk|(^|_)fs_|filesystem|iops", "disk", faults.DISK_FULL, 0.5),
    )
)  # fmt: skip
RUN_OUT: Final = frozenset({faults.CPU_STARVED, faults.MEMORY_LEAK})  # used less, it says that less is being done
UNKNOWN_METRIC: Final = ("another metric", faults.SLOW_SERVICE, 0.1)


@dataclass(frozen=True)
class Sign:
    """``what`` names the sign without naming who shows it: it is the same for every replica, and for the next incident."""

    what: str
    meaning: Meaning
    finding: Finding


def service_of(entities: Mapping[str, Entity], key: str) -> str:
    """The key of the service that an entity is a replica of; its own key when it is none."""
    entity = entities.get(key)
    service = entity.labels.get("service") if entity is not None else None
    return f"service:{service}" if service else key


def signs(entities: Mapping[str, Entity], findings: Iterable[Finding]) -> dict[str, tuple[Sign, ...]]:
    """What each entity shows, one of a kind, in the order of the findings."""
    found: dict[str, dict[str, Sign]] = {key: {} for key in entities if kind_of(key) in CANDIDATES}
    for finding in findings:
        for key, sign in _both_ends(entities, finding):
            if kind_of(key) in CANDIDATES:
                found.setdefault(key, {}).setdefault(sign.what, sign)
    return {key: tuple(shown.values()) for key, shown in found.items()}


def _both_ends(entities: Mapping[str, Entity], finding: Finding) -> Iterable[tuple[str, Sign]]:
    if not is_edge(finding.entity):
        yield finding.entity, Sign(f"own|{finding.kind}|{finding.detail}", _meaning(finding), finding)
        return
    caller, callee = split_edge(finding.entity)
    for end, other, role, meanings in ((caller, callee, "calls", CALLS), (callee, caller, "called", CALLED)):
        meaning = meanings.get(finding.kind)
        if meaning is not None:
            what = f"{role}|{finding.kind}|{service_of(entities, other)}|{finding.detail}"
            yield end, Sign(what, meaning, finding)


def _meaning(finding: Finding) -> Meaning:
    if finding.kind in OWN:
        return OWN[finding.kind]
    falls = finding.kind == "metric_down"
    for pattern, family, kind, trust in METRICS:
        if pattern.search(finding.detail):
            if falls and kind in RUN_OUT:
                kind, trust = faults.SERVICE_DOWN, trust / 2
            return Meaning(f"{family} {'falls' if falls else 'rises'}", kind, trust)
    family, kind, trust = UNKNOWN_METRIC
    return Meaning(family, kind, trust)
