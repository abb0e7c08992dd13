"""How much users feel: the share of an entry point's requests that an incident hits, and the budget it has spent."""

from __future__ import annotations

import math
from collections.abc import Iterable

from midwatch.core.slo.measure import measure, total
from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.findings import Finding, Impact
from midwatch.model.slo import Slo

MIN_WINDOW_SECONDS = 10.0
MAX_WINDOW_SECONDS = 300.0


def impact_of(turn: Turn, onset_at: float, findings: Iterable[Finding]) -> Impact | None:
    """The worst-hit entry point since ``onset_at``: excess of failing or slow requests over what was normal before.

    None when no entry point shows any harm (or none is known): the trouble stays inside.
    """
    world = turn.world
    since = max(onset_at, world.series.start_at)
    window = min(max(world.series.end_at - since, MIN_WINDOW_SECONDS), MAX_WINDOW_SECONDS)
    slow_signals = {f.entity: f.slo for f in findings if f.kind == "latency_shift"}
    latency_slos = {s.entity: f"slow_ratio:{s.threshold_ms:g}" for s in turn.state.slos if s.sli == "latency"}
    best: Impact | None = None
    for entry in world.entries:
        for what, signal in (("errors", "error_ratio"), ("slow", slow_signals.get(entry) or latency_slos.get(entry))):
            if not signal:
                continue
            now = measure(world, entry, signal, window)
            before = measure(world, entry, signal, 180.0, end_at=onset_at - world.series.step_seconds)
            ratio = now - (0.0 if math.isnan(before) else before)
            if math.isnan(ratio) or ratio <= 0.002:
                continue
            # A request that fails late is both failing and slow: errors win unless slowness hits clearly more.
            if best is None or ratio > best.affected_ratio * (1.2 if what == "slow" else 1.0):
                requests = total(world, entry, signals.REQUESTS, turn.now - since)
                best = Impact(entry, min(ratio, 1.0), max(0.0, ratio * requests), onset_at, what)
    dropped = [f for f in findings if f.kind == "traffic_drop" and f.baseline > 0]
    if dropped and best is None:
        worst = max(dropped, key=lambda f: f.baseline)
        lost = 1 - worst.value / worst.baseline
        best = Impact(worst.entity, lost, lost * worst.baseline * (turn.now - since), onset_at, "missing")
    if best is None:
        return None
    slo = _slo_of(turn, best)
    if slo is None:
        return best
    return Impact(
        best.entry,
        best.affected_ratio,
        best.affected_requests,
        best.since_at,
        best.what,
        slo.name,
        _spent(turn, slo, best),
    )


def _slo_of(turn: Turn, impact: Impact) -> Slo | None:
    wanted = "latency" if impact.what == "slow" else "ratio"
    return next((s for s in turn.state.slos if s.entity == impact.entry and s.sli == wanted), None)


def _spent(turn: Turn, slo: Slo, impact: Impact) -> float:
    """Share of the period's budget: affected requests over the failures that the period allows at the usual rate."""
    rate = measure(turn.world, slo.entity, "request_rate", 180.0, end_at=impact.since_at)
    if not rate > 0:
        rate = measure(turn.world, slo.entity, "request_rate", 180.0)
    allowed = (1 - slo.target) * rate * slo.period_seconds if rate > 0 else 0.0
    return impact.affected_requests / allowed if allowed > 0 else 0.0
