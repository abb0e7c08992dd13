"""Incidents of the simulator as a diagnosis gets them, told with more or less evidence.

No loop runs: normal time, then a fault drawn from the seed, then what is left when some kinds of evidence are not collected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from midwatch.core.diagnose.diagnose import Ranking, diagnose
from midwatch.gym.simulator.conditions import Conditions
from midwatch.gym.simulator.faults import FAULTS, Fault, apply_fault, draw_fault
from midwatch.gym.simulator.fleet import Fleet, draw_fleet
from midwatch.gym.simulator.scenario import EPOCH, STEP_SECONDS
from midwatch.gym.simulator.telemetry import Telemetry
from midwatch.model import faults as kinds
from midwatch.model import signals
from midwatch.model.entity import kind_of
from midwatch.model.findings import Finding
from midwatch.model.world import LogSet, SeriesIndex, SeriesSet, World

GATEWAY: Final = "service:gateway"
NORMAL_STEPS: Final = 48
MIN_HARM: Final = 0.02  # share of failing, or of additional time: less would open no incident
EVIDENCE: Final[dict[str, frozenset[str]]] = {
    "traces": frozenset({signals.ROOT_ERRORS, signals.ROOT_SELF_MS, signals.ORIGIN_ERRORS, signals.SELF_MS}),
    "both ends of calls": frozenset({signals.SERVER_MS, signals.ANSWERED, signals.UNANSWERED_ERRORS}),
    "processes": frozenset(
        {signals.CPU_RATIO, signals.CPU_THROTTLED_RATIO, signals.MEMORY_BYTES, signals.MEMORY_LIMIT_BYTES,
         signals.RESTARTS, signals.UP, signals.FD_USED, signals.FD_LIMIT}
    ),
    "pools": frozenset({signals.POOL_USED, signals.POOL_LIMIT, signals.POOL_WAITING}),
    "stores": frozenset(
        {signals.SESSIONS_BLOCKED, signals.DISK_RATIO, signals.CACHE_HITS, signals.CACHE_MISSES, signals.QUEUE_DEPTH,
         signals.QUEUE_LAG_SECONDS, signals.CONSUMED, signals.CERT_EXPIRES_SECONDS}
    ),
    "instances": frozenset(),
    "logs": frozenset(),
    "changes": frozenset(),
}  # fmt: skip
"""What is taken away together. Requests, errors, time and calls of services stay: without them there is no incident."""


@dataclass(frozen=True)
class Incident:
    """One case: what is seen and what is true. ``culprits`` are the entities that count as right."""

    number: int
    fault: Fault
    culprits: tuple[str, ...]
    world: World
    onset_at: float
    findings: tuple[Finding, ...]
    missing: tuple[str, ...]

    def rank(self) -> Ranking:
        symptoms = [finding.entity for finding in self.findings]
        found = diagnose(self.world, self.onset_at, symptoms, self.findings, self.world.changes)
        assert found is not None, "there is normal time in every case"
        return found


def incidents(cases: int, seed: int, lose: float = 0.5) -> Iterator[Incident]:
    """``cases`` incidents that users feel; each kind of evidence is missing with probability ``lose``."""
    found = number = 0
    while found < cases:
        one = draw(seed, number, lose)
        number += 1
        if one is not None:
            found += 1
            yield one


def draw(seed: int, number: int, lose: float) -> Incident | None:
    """Incident ``number`` of ``seed``; None when nobody feels it."""
    rng = np.random.default_rng((seed, number, 0xCA11))
    fleet = draw_fleet(rng)
    onset_at = EPOCH + NORMAL_STEPS * STEP_SECONDS
    fault = draw_fault(FAULTS[number % len(FAULTS)], fleet, rng, onset_at)
    bad_steps = int(rng.integers(3, 25))
    telemetry = Telemetry(fleet, rng, EPOCH, NORMAL_STEPS + bad_steps, STEP_SECONDS)
    telemetry.advance(Conditions(fleet), NORMAL_STEPS)
    for _ in range(bad_steps):
        conditions = Conditions(fleet)
        apply_fault(conditions, fault, telemetry.now)
        telemetry.advance(conditions)
        if conditions.versions:
            telemetry.relabel(conditions.versions)
    whole = telemetry.world(telemetry.now, NORMAL_STEPS + bad_steps, fault.changes)
    findings = felt(whole, onset_at)
    if not findings:
        return None
    missing = tuple(name for name in EVIDENCE if rng.random() < lose)
    return Incident(number, fault, culprits(fault, fleet), without(whole, missing), onset_at, findings, missing)


def culprits(fault: Fault, fleet: Fleet) -> tuple[str, ...]:
    if fault.kind == kinds.QUEUE_STUCK:  # the consumer is who stopped
        return fault.entity, fleet.keys[fleet.consumer]
    if fault.kind == kinds.NETWORK_FAULT:  # either end
        return fault.entity, fleet.keys[int(fleet.caller[fault.call])]
    return (fault.entity,)


def felt(world: World, onset_at: float) -> tuple[Finding, ...]:
    """What users of the gateway feel, and queues that wait."""
    since = int((onset_at - world.series.start_at) / STEP_SECONDS)

    def per_request(signal: str, which: slice) -> float:
        part, whole = world.series.get(GATEWAY, signal), world.series.get(GATEWAY, signals.REQUESTS)
        assert part is not None and whole is not None
        return float(np.nansum(part[which]) / max(np.nansum(whole[which]), 1.0))

    found: list[Finding] = []
    before, now = (per_request(signals.ERRORS, s) for s in (slice(0, since), slice(since, None)))
    if now - before >= MIN_HARM:
        found.append(Finding(f"error_shift|{GATEWAY}|", "error_shift", GATEWAY, onset_at, now, before, "ratio"))
    before, now = (per_request(signals.TIME_MS, s) for s in (slice(0, since), slice(since, None)))
    slow = 1.0 - before / now if now > 0 else 0.0
    if slow >= 0.25:
        found.append(Finding(f"latency_shift|{GATEWAY}|", "latency_shift", GATEWAY, onset_at, slow, 0.0, "ratio"))
    lag = world.series.get("queue:orders", signals.QUEUE_LAG_SECONDS)
    if lag is not None and float(np.nanmax(lag[since:])) > 10:
        found.append(
            Finding(
                "queue_lag|queue:orders|", "queue_lag", "queue:orders", onset_at, float(np.nanmax(lag)), 0.2, "seconds"
            )
        )
    return tuple(found)


def without(world: World, missing: tuple[str, ...]) -> World:
    """``world`` as somebody sees it who does not collect what is ``missing``."""
    gone = frozenset[str]().union(*(EVIDENCE[name] for name in missing))
    index = world.series.index
    rows = [
        row for row, (subject, signal) in enumerate(zip(index.subjects, index.signals, strict=True))
        if signal not in gone and not ("instances" in missing and kind_of(subject.partition(">")[0]) == "instance")
    ]  # fmt: skip
    series = world.series
    kept = SeriesIndex(tuple(index.subjects[r] for r in rows), tuple(index.signals[r] for r in rows))
    entities = {k: e for k, e in world.entities.items() if not ("instances" in missing and e.kind == "instance")}
    return replace(
        world,
        series=SeriesSet(kept, series.values[rows], series.start_at, series.step_seconds),
        logs=LogSet((), np.empty((0, series.steps))) if "logs" in missing else world.logs,
        changes=() if "changes" in missing else world.changes,
        entities=entities,
    )
