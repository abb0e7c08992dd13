"""Promises that nobody wrote down, proposed from normal traffic so that a fresh install watches something at once.

Availability and latency for every service where requests enter, freshness for every queue with a known message age.
A candidate is what the service did while it was well, with room: it says so in its description, and a written SLO for
the same entity replaces it. At the bound, those of what is gone for days make room.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

import numpy as np

from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.entity import kind_of, name_of
from midwatch.model.events import SloDiscovered, SloWithdrawn
from midwatch.model.slo import Slo
from midwatch.model.state import State
from midwatch.model.world import Floats, World

DISCOVERED: Final = "discovered"
MAX_DISCOVERED: Final = 200  # entities
GONE_SECONDS: Final = 3 * 86400.0
LISTEN_SECONDS: Final = 3600.0  # after a start, before anything counts as gone: who reports seldom is heard by then
MIN_STEPS: Final = 6
MIN_REQUESTS: Final = 50.0
MIN_TIMED: Final = 20.0
TARGETS: Final = (0.999, 0.995, 0.99, 0.95, 0.90)
LATENCY_TARGET: Final = 0.99
FRESHNESS_MS: Final = 30_000.0
NOTICED_MS: Final = 100.0  # what is faster feels instant (Miller 1968, Nielsen 1993)


def discover(turn: Turn) -> Turn:
    """Propose SLOs for entries and queues that have none, once there is enough normal traffic to judge by."""
    if not turn.state.policy.discover_slos or turn.state.open_incidents:
        return turn
    proposed = filter(None, (_propose(turn.world, entity) for entity in _without(turn.state, turn.world)))
    found = [SloDiscovered(slo, why) for some in islice(proposed, _room(turn.state)) for slo, why in some]
    if not found and left_without(turn.state, turn.world):
        return turn.emit(*_gone(turn))
    return turn.emit(*found)


def _gone(turn: Turn) -> list[SloWithdrawn]:
    """Proposed promises of what was not heard of for days make room. Where nobody knows how long, they stay; and so they do
    after a start, since a watch that was down for days has heard of nobody."""
    if turn.now - turn.memory.started_at < LISTEN_SECONDS:
        return []
    burning = {finding.slo for finding in turn.state.findings.values()}
    found = []
    for slo in turn.state.slos:
        ledger = turn.memory.ledgers.get(slo.name)
        if slo.source != DISCOVERED or slo.entity in turn.world.entities or slo.name in burning or ledger is None:
            continue
        if turn.now - max(ledger.heard_at, ledger.first_at) > GONE_SECONDS:
            found.append(
                SloWithdrawn(slo.name, f"{name_of(slo.entity)} has been gone for days, and others want its room")
            )
    return found


def left_without(state: State, world: World) -> str:
    """That there are entities for which nothing is proposed, because the bound is reached; "" while there is room."""
    if not state.policy.discover_slos or _room(state) or not _without(state, world):
        return ""
    return f"{MAX_DISCOVERED} entities have promises that nobody wrote: newer ones get none, until somebody writes them"


def _room(state: State) -> int:
    return max(0, MAX_DISCOVERED - len({slo.entity for slo in state.slos if slo.source == DISCOVERED}))


def _without(state: State, world: World) -> list[str]:
    """Entries and queues that have no promise."""
    promised = {slo.entity for slo in state.slos}
    queues = (key for key in world.entities if kind_of(key) == "queue")
    return [key for key in dict.fromkeys((*world.entries, *queues)) if key not in promised]


def _propose(world: World, entity: str) -> list[tuple[Slo, str]]:
    name = name_of(entity)
    if kind_of(entity) == "queue":
        lag = world.series.get(entity, signals.QUEUE_LAG_SECONDS)
        if lag is None or np.isfinite(lag).sum() < MIN_STEPS or np.nanmax(lag) * 1000 > FRESHNESS_MS:
            return []
        worst = float(np.nanmax(lag))
        slo = Slo(f"{name}-freshness", entity, "freshness", 0.99, FRESHNESS_MS, source=DISCOVERED)
        return [(slo, f"the oldest message was at most {worst:.1f} s old")]
    requests = world.series.get(entity, signals.REQUESTS)
    latency = world.latency.get(entity)
    if requests is None or (np.nan_to_num(requests) > 0).sum() < MIN_STEPS or np.nansum(requests) < MIN_REQUESTS:
        return []
    count = float(np.nansum(requests))
    errors = world.series.get(entity, signals.ERRORS)
    ratio = 0.0 if errors is None else float(np.nansum(errors)) / count
    target = next((t for t in TARGETS if ratio <= (1 - t) / 2 and count * (1 - t) >= 1), None)
    target = target or next((t for t in TARGETS if ratio <= (1 - t) / 2), TARGETS[-1])
    proposals = [
        (
            Slo(f"{name}-availability", entity, "ratio", target, source=DISCOVERED),
            f"{ratio:.2%} of {count:.0f} requests failed while it was watched",
        )
    ]
    if latency is not None and latency.sum() >= MIN_REQUESTS:
        threshold = float(latency_thresholds(latency.sum(axis=0)[None, :], NOTICED_MS)[0])
        if np.isfinite(threshold):
            proposals.append(
                (
                    Slo(f"{name}-latency", entity, "latency", LATENCY_TARGET, threshold, source=DISCOVERED),
                    f"99 % of {latency.sum():.0f} requests were well under {threshold:g} ms",
                )
            )
    return proposals


def latency_thresholds(buckets: Floats, floor_ms: Floats | float) -> Floats:
    """Per row of ``buckets`` (counts, shape (rows, latency buckets)): the bound in ms that is at least twice the 99th
    percentile and ``floor_ms``; infinite where it would lie above the last bound, or with too few requests to say."""
    bounds = np.asarray(signals.LATENCY_BOUNDS_MS)
    whole = buckets.sum(axis=1)
    p99 = (np.cumsum(buckets, axis=1) < 0.99 * whole[:, None] - 1e-9).sum(axis=1)
    wanted = np.maximum(2 * np.append(bounds, np.inf)[np.minimum(p99, len(bounds))], floor_ms)
    found = np.append(bounds, np.inf)[np.searchsorted(bounds, wanted)]
    return np.asarray(np.where(whole >= MIN_TIMED, found, np.inf))
