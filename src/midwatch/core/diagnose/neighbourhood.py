"""The affected neighbourhood: what a diagnosis has to look at, however large the fleet is.

From the symptoms up to the entry points whose users feel it, down to everything that their requests can reach, and one step
up again to whoever else calls that: a store that is slow for one caller only is known by its other callers. What no affected
request touches can be neither cause nor comparison. Where every entry point is affected, that is the whole fleet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain

import numpy as np

from midwatch.model.entity import edge_key, is_edge, name_of, split_edge
from midwatch.model.world import Ints, LogSet, SeriesIndex, SeriesSet, World


def neighbourhood(world: World, symptoms: Iterable[str]) -> World:
    """``world`` with the neighbourhood of ``symptoms`` (entity or edge keys) and nothing else; ``world`` itself where that
    is all of it, or where no symptom is known."""
    felt = {end for symptom in symptoms for end in (split_edge(symptom) if is_edge(symptom) else (symptom,))}
    above = _reached(felt, world.callers)
    entries = tuple(entry for entry in world.entries if entry in above)
    if not felt or len(entries) == len(world.entries):
        return world
    near = above | _reached(entries or felt, world.callees)
    near |= {caller for key in near for caller in world.callers.get(key, ())}
    with_instances = near | {i.key for key in near for i in world.instances.get(key, ())}
    named = {key: world.entities[key] for key in with_instances if key in world.entities}
    places = {
        f"{kind}:{entity.labels[kind]}"
        for entity in named.values()
        for kind in ("region", "host")
        if kind in entity.labels
    }
    named |= {key: world.entities[key] for key in places if key in world.entities}
    edges = {
        key: world.edges[key]
        for caller in near
        for callee in world.callees.get(caller, ())
        if callee in near and (key := edge_key(caller, callee)) in world.edges
    }
    return replace(
        world,
        series=_of(world.series, {*with_instances, *places, *(f"endpoint:{name_of(key)}" for key in near)}),
        logs=_lines(world.logs, with_instances),
        entities=named,
        edges=edges,
        entries=entries or tuple(sorted(felt)),
    )


def _reached(start: Iterable[str], ways: Mapping[str, tuple[str, ...]]) -> set[str]:
    """``start`` and all that can be reached from it; a circle ends where it began."""
    seen = set(start)
    frontier = list(seen)
    while frontier:
        following = {to for key in frontier for to in ways.get(key, ())} - seen
        seen |= following
        frontier = list(following)
    return seen


def _of(series: SeriesSet, owners: Iterable[str]) -> SeriesSet:
    """The rows of ``owners``, in the order of the whole."""
    index = series.index
    rows: Ints = np.sort(
        np.fromiter(chain.from_iterable(index.rows_by_owner.get(o, ()) for o in owners), dtype=np.intp)
    )
    picked = rows.tolist()
    small = SeriesIndex(tuple(index.subjects[r] for r in picked), tuple(index.signals[r] for r in picked))
    return SeriesSet(small, series.values[rows], series.start_at, series.step_seconds)


def _lines(logs: LogSet, writers: set[str]) -> LogSet:
    kept = [row for row, pattern in enumerate(logs.patterns) if pattern.entity in writers]
    return LogSet(tuple(logs.patterns[row] for row in kept), logs.counts[kept])
