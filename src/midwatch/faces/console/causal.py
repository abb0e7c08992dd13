"""The way from the likeliest cause to where users feel it, on the map: the fleet as it was when the cause was named, or as
it is while the incident is open. Of a large fleet only the neighbourhood of that way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace as with_
from itertools import pairwise
from typing import Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from midwatch.core.decide.sight import service_of
from midwatch.faces.console.fleetmap import FleetMap, draw
from midwatch.faces.console.pulse import NODE_KINDS, Fleet, Pulse, read_fleet
from midwatch.model.entity import is_edge, kind_of, split_edge
from midwatch.model.findings import Hypothesis, Incident
from midwatch.model.state import State
from midwatch.model.world import World

WHOLE: Final = 20  # so many entities are drawn as a whole
MOST: Final = 24
MOST_TALL: Final = 9  # a phone has room for three rows beside everything else
LEAST_SECONDS: Final = 30.0  # of telemetry before the moment that is drawn
NAMED_SECONDS: Final = 60.0  # after it was opened, where nobody noted when the cause was named


class CausalMap(Struct, frozen=True):
    """``at`` is the moment that is drawn (unix seconds), None for now. ``steps`` are the entities of the way in order, the
    cause first; ``left_out`` are entities of the fleet that are not drawn."""

    map: FleetMap
    fleet: Fleet
    steps: tuple[Pulse, ...]
    at: float | None
    left_out: int


def causal_map(state: State, world: World, fleet: Fleet, incident: Incident) -> CausalMap | None:
    """None when no cause is named, or when the World does not hold the moment, or what is on the way (any more)."""
    if not incident.hypotheses or not world.entities:
        return None
    at = None
    if incident.phase == "resolved":
        named = incident.diagnosed_at or incident.opened_at + NAMED_SECONDS
        at = min(named, incident.resolved_at or named)
        if at - world.series.start_at < LEAST_SECONDS:
            return None
        fleet = read_fleet(replace(state, findings={}, gaps={}), as_of(world, at), at)
    way = way_of(world, incident.hypotheses[0])
    roles = dict.fromkeys((_node(world, s) for s in incident.symptoms), "symptom")
    if way:
        roles[way[0]] = "cause"
    seen = {key: replace(pulse, role=roles.get(key, "")) for key, pulse in fleet.pulses.items()}
    centre = (*way, *(r for r in roles if r not in way))
    whole = Fleet(seen, fleet.flows, fleet.entries, fleet.stale_seconds)
    part = whole if len(seen) <= WHOLE else neighbourhood(whole, centre, MOST)
    drawn = draw(part, frozenset(way), trail_of(way))
    narrow = draw(neighbourhood(whole, centre, MOST_TALL), frozenset(way), trail_of(way))
    steps = tuple(seen[k] for k in way if k in seen)
    if not steps:
        return None
    return CausalMap(replace(drawn, tall=narrow.tall), part, steps, at, len(seen) - len(part.pulses))


def as_of(world: World, at: float) -> World:
    """The World as it was at ``at``: later steps are cut off."""
    grid = world.series
    steps = int(np.clip(round((at - grid.start_at) / grid.step_seconds), 0, grid.steps))
    return with_(world, now=at, series=with_(grid, values=grid.values[:, :steps]), gaps=())


def way_of(world: World, hypothesis: Hypothesis) -> tuple[str, ...]:
    """The nodes of the map that the path leads over, the cause first. An instance stands at its service, a lost way between
    two services at both ends of it."""
    found: list[str] = []
    for key in hypothesis.path or (hypothesis.entity,):
        ends = reversed(split_edge(key)) if is_edge(key) else (key,)
        found += [node for end in ends if kind_of(node := _node(world, end)) in NODE_KINDS]
    return tuple(dict.fromkeys(found))


def _node(world: World, key: str) -> str:
    return service_of(world, key)


def trail_of(way: Sequence[str]) -> Mapping[frozenset[str], str]:
    """The ways between neighbours on the path, and the end that the harm goes to."""
    return {frozenset(pair): pair[1] for pair in pairwise(way)}


def neighbourhood(fleet: Fleet, centre: Sequence[str], most: int) -> Fleet:
    """``centre``, and of those who call it or are called by it the worst, ``most`` in all."""
    core = [key for key in centre if key in fleet.pulses][:most]
    near = {f.callee for f in fleet.flows if f.caller in core} | {f.caller for f in fleet.flows if f.callee in core}
    around = sorted((fleet.pulses[k] for k in near.difference(core) if k in fleet.pulses), key=lambda p: p.order)
    kept = {*core, *(p.key for p in around[: most - len(core)])}
    return Fleet(
        {key: pulse for key, pulse in fleet.pulses.items() if key in kept},
        tuple(f for f in fleet.flows if f.caller in kept and f.callee in kept),
        tuple(e for e in fleet.entries if e in kept),
        fleet.stale_seconds,
    )
