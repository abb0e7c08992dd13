"""What would refute a hypothesis, and what to look at next to tell the first two apart.

A check is worth most where it has not been made: when what would show the first hypothesis has been seen already, one asks
for what would show the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from midwatch.model import faults
from midwatch.model.entity import name_of
from midwatch.model.findings import Hypothesis

REFUTED_BY: Final[Mapping[str, str]] = {
    faults.POOL_EXHAUSTED: "errors go on while connections are free",
    faults.SLOW_SERVICE: "its own work is as fast as ever, and it waits for somebody else",
    faults.BAD_DEPLOY: "instances that run the old version fail as often",
    faults.BAD_CONFIG: "the old configuration fails as well",
    faults.BAD_FLAG: "requests without the flag fail as well",
    faults.MEMORY_LEAK: "memory stays flat after a restart while errors go on",
    faults.CPU_STARVED: "it gets its CPU and stays slow",
    faults.CRASH_LOOP: "its processes live on while errors go on",
    faults.BAD_INSTANCE: "errors go on while the instance gets no traffic",
    faults.REGION_DARK: "errors go on while the region gets no traffic",
    faults.SLOW_QUERY: "the statement is fast again and requests stay slow",
    faults.LOCK_CONTENTION: "nobody waits for a lock and requests stay slow",
    faults.CACHE_DOWN: "the cache answers and requests stay slow",
    faults.NETWORK_FAULT: "the callee's other callers see the same",
    faults.DISK_FULL: "writes fail with room on the disk",
    faults.CERT_EXPIRED: "handshakes fail with a valid certificate",
    faults.TRAFFIC_SURGE: "traffic is back to normal and requests still fail",
    faults.QUEUE_STUCK: "messages are taken and the oldest still gets older",
    faults.DATABASE_DOWN: "a connection from beside it is answered at once",
    faults.SERVICE_DOWN: "it answers when asked directly",
    faults.ERRORS_INSIDE: "its failing requests failed first in one of its callees",
}
SHOWN_BY: Final[Mapping[str, tuple[str, str]]] = {
    faults.POOL_EXHAUSTED: ("saturation", "what holds the connections of {place}: long transactions, or a leak?"),
    faults.SLOW_SERVICE: (
        "profile",
        "where does {place} spend its own time (a profile), or what does it ask untraced?",
    ),
    faults.BAD_DEPLOY: ("concentration", "the error ratio of {place} by version: does the old one fail as often?"),
    faults.BAD_CONFIG: ("change", "what was set at {place} shortly before, and does the old setting work?"),
    faults.BAD_FLAG: ("change", "do requests to {place} without the flag fail as well?"),
    faults.MEMORY_LEAK: ("resource", "does memory of {place} climb again after a restart?"),
    faults.CPU_STARVED: ("saturation", "is {place} throttled, or its host busy with somebody else's work?"),
    faults.CRASH_LOOP: ("resource", "how did the last process of {place} end: its exit code and its last lines?"),
    faults.BAD_INSTANCE: ("concentration", "is it one instance of {place}: its error ratio by instance?"),
    faults.REGION_DARK: ("concentration", "does anything in {place} answer from outside it?"),
    faults.SLOW_QUERY: ("plan", "the plan of the slowest statement of {place}: is an index missing?"),
    faults.LOCK_CONTENTION: ("saturation", "which session of {place} is at the head of the lock queue?"),
    faults.CACHE_DOWN: ("saturation", "does {place} answer a ping, and what is its hit ratio?"),
    faults.NETWORK_FAULT: ("network", "do the callers of {place} see retransmits, and does it see all their calls?"),
    faults.DISK_FULL: ("saturation", "how full is the disk of {place}, and with what?"),
    faults.CERT_EXPIRED: ("certificate", "until when is the certificate valid that {place} serves?"),
    faults.TRAFFIC_SURGE: ("traffic", "whose requests are the additional ones at {place}?"),
    faults.QUEUE_STUCK: ("queue", "does the consumer {place} take messages, and what does it log?"),
    faults.DATABASE_DOWN: ("saturation", "does {place} accept a connection from beside it?"),
    faults.SERVICE_DOWN: ("silence", "does {place} run, and does it answer when asked directly?"),
    faults.ERRORS_INSIDE: ("logs", "the first error line of a failing request in {place}"),
}
"""Kind of fault -> the kind of evidence that would show it, and the question that gets it."""
END_TO_END: Final[Mapping[str, str]] = {
    faults.ERRORS_INSIDE: "one failing request from end to end: does its first error lie in {first} or in {second}?",
    faults.SLOW_SERVICE: "one slow request from end to end: is its longest own time in {first} or in {second}?",
}


def refuted_by(kind: str, entity: str) -> str:
    return REFUTED_BY.get(kind, f"{name_of(entity)} is well and users still feel it")


def next_check(hypotheses: Sequence[Hypothesis]) -> str:
    """The question whose answer tells the first two of ``hypotheses`` apart best; "" without any."""
    if not hypotheses:
        return ""
    first = hypotheses[0]
    if len(hypotheses) < 2:
        return _question(first)
    second = hypotheses[1]
    if first.kind == second.kind and first.kind in END_TO_END:
        return END_TO_END[first.kind].format(first=name_of(first.entity), second=name_of(second.entity))
    return _question(second if _shown(first) and not _shown(second) else first)


def _question(one: Hypothesis) -> str:
    return SHOWN_BY.get(one.kind, ("", ""))[1].format(place=name_of(one.entity))


def _shown(one: Hypothesis) -> bool:
    return any(evidence.kind == SHOWN_BY.get(one.kind, ("", ""))[0] for evidence in one.evidence)
