"""Hand-made Worlds: a few lines say what every step looked like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from midwatch.model import signals
from midwatch.model.entity import Edge, Entity, is_edge, kind_of, name_of, split_edge
from midwatch.model.world import Change, LatencySet, LogPattern, LogSet, SeriesIndex, SeriesSet, World

STEP = 5.0
START = 1_800_000_000.0


def make_world(
    series: Mapping[tuple[str, str], Sequence[float] | np.ndarray],
    *,
    entries: Sequence[str] = ("service:gateway",),
    labels: Mapping[str, Mapping[str, str]] | None = None,
    latency: Mapping[str, np.ndarray] | None = None,
    logs: Sequence[tuple[LogPattern, Sequence[float]]] = (),
    changes: Sequence[Change] = (),
    start_at: float = START,
) -> World:
    """A World from ``{(subject, signal): values per step}``; entities and edges are those that the subjects name."""
    keys = list(series)
    steps = len(next(iter(series.values()))) if series else 0
    values = np.array([np.asarray(series[key], dtype=float) for key in keys]) if keys else np.empty((0, 0))
    pair_signals = (signals.ROOT_ERRORS, signals.ROOT_SELF_MS)
    edges, names = {}, set(entries) | set(labels or {})
    for subject, signal in keys:
        if not is_edge(subject):
            names.add(subject)
            continue
        caller, callee = split_edge(subject)
        names |= {caller, callee}
        if signal not in pair_signals:
            edges[subject] = Edge(caller, callee)
    buckets = len(signals.LATENCY_BOUNDS_MS) + 1
    counted = latency or {}
    return World(
        now=start_at + steps * STEP + 1.5,
        series=SeriesSet(SeriesIndex(tuple(k[0] for k in keys), tuple(k[1] for k in keys)), values, start_at, STEP),
        latency=LatencySet(
            tuple(counted), np.array([counted[k] for k in counted]) if counted else np.empty((0, steps, buckets))
        ),
        logs=LogSet(
            tuple(p for p, _ in logs), np.array([c for _, c in logs], dtype=float) if logs else np.empty((0, steps))
        ),
        entities={n: Entity(kind_of(n), name_of(n), dict((labels or {}).get(n, {}))) for n in sorted(names)},
        edges=edges,
        entries=tuple(entries),
        changes=tuple(changes),
    )


def flat(value: float, steps: int = 60) -> np.ndarray:
    return np.full(steps, float(value))


def after(value: float, then: float, onset: int, steps: int = 60) -> np.ndarray:
    """``value`` per step, ``then`` from column ``onset`` on."""
    found = np.full(steps, float(value))
    found[onset:] = then
    return found
