"""Blame accounting: whose errors and whose time make the entry point's requests fail or crawl?

Blame adds up, so it is accounting before it is statistics. Along the call graph a callee's excess time and originated
errors flow to its callers; what remains with an entity, per request of the affected entry point and minus the same sum
in normal time, is its own. With traces the remainder is measured (first-error span, share of the critical path);
without them it is computed from client and server sums, which parallel calls and retries blur.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from midwatch.core.diagnose.accounting import harm_by_entity, totals_only
from midwatch.core.diagnose.case import Case
from midwatch.core.diagnose.courses import Courses, courses
from midwatch.model import signals
from midwatch.model.entity import edge_key, kind_of, split_edge
from midwatch.model.findings import DYING

BLAMEABLE: Final = frozenset({"service", "database", "cache", "queue", "external", "proxy"})
MIN_EXCESS_ERRORS: Final = 3.0
MIN_TIME_RISE: Final = 0.25  # of the entry's normal time per request
MIN_TIME_RISE_MS: Final = 5.0


@dataclass(frozen=True)
class Blame:
    """``share[entity]`` of the users' harm, 0..1, summing to at most 1. ``errors`` and ``time_ms`` are excesses per
    entity over the bad window; ``roots`` is the number of entry requests in it. ``error_weight`` is how much of the harm
    is failing (against slow) requests. ``courses`` says where requests left their course, where whole ones are kept."""

    share: Mapping[str, float]
    errors: Mapping[str, float]
    time_ms: Mapping[str, float]
    roots: float
    error_weight: float
    courses: Courses = field(default_factory=Courses)

    def of(self, entity: str) -> float:
        return self.share.get(entity, 0.0)

    def of_failures(self, entity: str) -> float:
        """The part of its share that is failing requests."""
        return self.error_weight * self.errors.get(entity, 0.0) / max(sum(self.errors.values()), 1e-9)

    def of_waiting(self, entity: str) -> float:
        """The part of its share that is slow requests."""
        return (1 - self.error_weight) * self.time_ms.get(entity, 0.0) / max(sum(self.time_ms.values()), 1e-9)


def blame(case: Case) -> Blame:
    """Shares of the harm by entity, from root traces where there are any, else from accounting."""
    entries = case.world.entries
    roots = sum(case.sum(e, signals.REQUESTS, case.bad) for e in entries)
    usual = sum(case.sum(e, signals.REQUESTS, case.normal) for e in entries)
    per = roots / usual if usual > 0 and roots > 0 else case.scale
    errors = _positive(_error_blame(case, per))
    time_ms = _positive(_time_blame(case, per))
    total_errors, total_time = sum(errors.values()), sum(time_ms.values())
    told = totals_only(case)  # such books hold only what stands out from its usual wandering
    left = courses(case)
    # What chance makes of the failures that are usual is no harm: three standard deviations of two Poisson counts.
    failing = sum(case.sum(e, signals.ERRORS, case.normal) for e in entries)
    least = max(MIN_EXCESS_ERRORS, 3 * math.sqrt(per * (1 + per) * max(failing, 0.0)))
    if total_errors < least and not told:
        # Nobody marks requests as failed, or too few: those that left their course failed without saying so.
        errors = _positive(left.origin)
        total_errors = sum(errors.values())
        if total_errors < MIN_EXCESS_ERRORS:
            errors, total_errors = {}, 0.0
    usual_ms = sum(case.sum(e, signals.TIME_MS, case.normal) for e in entries) / usual if usual > 0 else 0.0
    if total_time < max(MIN_TIME_RISE * usual_ms, MIN_TIME_RISE_MS) * max(roots, 1.0) and not told:
        time_ms, total_time = {}, 0.0
    weight = _error_weight(case, total_errors, total_time, roots)
    share: dict[str, float] = {}
    for part, total, w in ((errors, total_errors, weight), (time_ms, total_time, 1 - weight)):
        for entity, amount in part.items():
            share[entity] = share.get(entity, 0.0) + w * amount / total
    if not case.felt:
        share = _dying(case)
    return Blame(share, errors, time_ms, roots, weight, left)


def _dying(case: Case) -> dict[str, float]:
    """Whose processes keep dying, where that is all that was found: users feel nothing, so their requests blame nobody."""
    dying = sorted({f.entity for f in case.findings if f.kind == DYING})
    return dict.fromkeys(dying, 1.0 / len(dying))


def _positive(amounts: Mapping[str, float]) -> dict[str, float]:
    return {k: v for k, v in amounts.items() if v > 0 and kind_of(k) in BLAMEABLE}


def _error_weight(case: Case, errors: float, time_ms: float, roots: float) -> float:
    """Between failing and slow requests: by the symptoms' rises, errors counting double (a failure hurts more)."""
    if errors <= 0 or time_ms <= 0:
        return 1.0 if errors > 0 else 0.0
    failing = max((f.value - f.baseline for f in case.findings if f.kind == "error_shift"), default=0.0)
    failing = max(failing, errors / roots if roots > 0 else 0.0)
    slow = max((f.value - f.baseline for f in case.findings if f.kind == "latency_shift"), default=0.0)
    return 2 * failing / (2 * failing + slow) if failing + slow > 0 else 0.5


def _pairs(case: Case, signal: str) -> list[tuple[str, str]]:
    """(entry, entity) pairs that carry a root signal."""
    subjects = case.world.series.index.subjects_by_signal.get(signal, ())
    return [split_edge(subject) for subject in subjects]


def _error_blame(case: Case, per: float) -> dict[str, float]:
    """Excess failing entry requests by the entity where their first error lies, plus a third of the errors that begin
    somewhere and are swallowed on the way (a fallback answered for them)."""
    found: dict[str, float] = {}
    for entry, entity in _pairs(case, signals.ROOT_ERRORS):
        excess = case.excess_count(edge_key(entry, entity), signals.ROOT_ERRORS, per)
        found[entity] = found.get(entity, 0.0) + excess
    origin = _origin_errors(case, per)
    if sum(v for v in found.values() if v > 0) < MIN_EXCESS_ERRORS:
        return origin
    for entity, excess in origin.items():
        swallowed = excess - max(0.0, found.get(entity, 0.0))
        if swallowed > 0:
            found[entity] = max(0.0, found.get(entity, 0.0)) + swallowed / 3
    return found


def _origin_errors(case: Case, per: float) -> dict[str, float]:
    """Errors that begin in an entity: measured by traces, else own failures minus failures of its calls."""
    if totals_only(case):
        return harm_by_entity(case, signals.ERRORS)
    subjects = case.world.series.index.subjects_by_signal.get(signals.ORIGIN_ERRORS, ())
    found = {s: case.excess_count(s, signals.ORIGIN_ERRORS, per) for s in subjects if kind_of(s) in BLAMEABLE}
    if found:
        for subject in case.world.series.index.subjects_by_signal.get(signals.UNANSWERED_ERRORS, ()):
            caller, callee = split_edge(subject)
            if kind_of(caller) == "service":
                # The tracer blames a callee that never answered; make sure that it is not counted twice.
                found[callee] = max(found.get(callee, 0.0), case.excess_count(subject, signals.UNANSWERED_ERRORS, per))
        return found
    for entity in case.world.entities:
        if kind_of(entity) not in BLAMEABLE:
            continue
        # Who is down, and every store, is heard by its callers alone.
        callers = [edge_key(caller, entity) for caller in case.world.callers.get(entity, ())]
        calls = [edge_key(entity, callee) for callee in case.world.callees.get(entity, ())]
        seen, passed_on = (
            sum(max(0.0, case.excess_count(edge, signals.CALL_ERRORS, per)) for edge in edges)
            for edges in (callers, calls)
        )
        found[entity] = max(case.excess_count(entity, signals.ERRORS, per), seen) - passed_on
    return found


def _time_blame(case: Case, per: float) -> dict[str, float]:
    """Excess critical-path time by entity, else own time minus the time of its calls."""
    found: dict[str, float] = {}
    for entry, entity in _pairs(case, signals.ROOT_SELF_MS):
        excess = case.excess(edge_key(entry, entity), signals.ROOT_SELF_MS, per)
        found[entity] = found.get(entity, 0.0) + excess
    if found:
        return found
    if totals_only(case):
        return harm_by_entity(case, signals.TIME_MS)
    for entity in case.world.entities:
        if kind_of(entity) not in BLAMEABLE:
            continue
        requests = case.sum(entity, signals.REQUESTS, case.bad)
        usual = case.sum(entity, signals.REQUESTS, case.normal)
        if requests > 0 and usual > 0:
            own = case.excess(entity, signals.TIME_MS, requests / usual)
        else:  # a store tells nothing of itself
            own = sum(_edge_time_excess(case, caller, entity) for caller in case.world.callers.get(entity, ()))
        calls = sum(_edge_time_excess(case, entity, callee) for callee in case.world.callees.get(entity, ()))
        found[entity] = own - max(0.0, calls)
    return found


def _edge_time_excess(case: Case, caller: str, callee: str) -> float:
    edge = edge_key(caller, callee)
    calls, usual = case.sum(edge, signals.CALLS, case.bad), case.sum(edge, signals.CALLS, case.normal)
    if calls <= 0 or usual <= 0:
        return 0.0
    return case.excess(edge, signals.CALL_MS, calls / usual)


def ratio_of(now: float, before: float, floor: float) -> float:
    """``now / before`` with both at least ``floor``: how many times more. NaN stays NaN."""
    if math.isnan(now):
        return math.nan
    return max(now, floor) / max(0.0 if math.isnan(before) else before, floor)


def concentrated(parts: Mapping[str, float]) -> tuple[str, float]:
    """The largest part and its share of the positive sum ("" and 0 when there is none)."""
    positive = {k: v for k, v in parts.items() if v > 0 and np.isfinite(v)}
    if not positive:
        return "", 0.0
    worst = max(positive, key=lambda k: positive[k])
    return worst, positive[worst] / sum(positive.values())
