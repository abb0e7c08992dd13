"""What does a diagnosis cost? Fleets made of simulated cells, a fault in one of them, and the engine under a stopwatch.

Three rows of sizes. *fleet*: cells that have nothing to do with each other; one is in trouble, and the fleet grows around
it. *neighbourhood*: the same cells, all behind one front door, so that all of them are affected. *spans*: whole requests are
kept beside the series. Each time is that of one call of ``diagnose`` on a World that was not looked at before, as in every
tick; ``first`` is the first one on a new set of series, when their index is made. Writes diagnose.json.

    python benchmarks/diagnose.py [--rounds 7] [--out docs/results]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from midwatch.core.diagnose.diagnose import diagnose
from midwatch.gym.simulator.conditions import Conditions
from midwatch.gym.simulator.faults import apply_fault, draw_fault
from midwatch.gym.simulator.fleet import draw_fleet
from midwatch.gym.simulator.scenario import EPOCH, STEP_SECONDS
from midwatch.gym.simulator.telemetry import Telemetry
from midwatch.model import faults as kinds
from midwatch.model import signals
from midwatch.model.entity import Edge, Entity, edge_key, is_edge, split_edge
from midwatch.model.findings import Finding
from midwatch.model.visit import Visit
from midwatch.model.world import LatencySet, LogSet, SeriesIndex, SeriesSet, World

STEPS: Final = 240
BAD_STEPS: Final = 24
ONSET_AT: Final = EPOCH + (STEPS - BAD_STEPS) * STEP_SECONDS
CELLS: Final = (1, 2, 5, 12, 24, 60, 120)
SPANS: Final = (10_000, 30_000, 100_000)


def cell(seed: int, broken: bool) -> World:
    """One fleet of 16 services: 240 steps, the last 24 of them bad when ``broken``."""
    rng = np.random.default_rng(seed)
    fleet = draw_fleet(rng)
    fault = draw_fault(kinds.POOL_EXHAUSTED, fleet, rng, ONSET_AT)
    telemetry = Telemetry(fleet, rng, EPOCH, STEPS, STEP_SECONDS)
    telemetry.advance(Conditions(fleet), STEPS - BAD_STEPS)
    conditions = Conditions(fleet)
    if broken:
        apply_fault(conditions, fault, ONSET_AT + STEP_SECONDS)
    telemetry.advance(conditions, BAD_STEPS)
    return telemetry.world(telemetry.now, STEPS)


def named(key: str, prefix: str) -> str:
    """``service:cart`` of cell 7 is ``service:7-cart``; both ends of an edge."""
    if is_edge(key):
        return edge_key(*(named(end, prefix) for end in split_edge(key)))
    kind, _, name = key.partition(":")
    return f"{kind}:{prefix}{name}"


def fleet(cells: int, joined: bool) -> World:
    """``cells`` cells beside each other; ``joined``: the first one's gateway calls those of all others, and is the only
    way in."""
    worlds = [cell(1, True), *(cell(seed, False) for seed in (2, 3, 4))]
    subjects: list[str] = []
    names: list[str] = []
    blocks: list[np.ndarray] = []
    entities: dict[str, Entity] = {}
    edges: dict[str, Edge] = {}
    for number in range(cells):
        one, prefix = worlds[0 if number == 0 else 1 + number % 3], f"{number}-"
        subjects += [named(subject, prefix) for subject in one.series.index.subjects]
        names += one.series.index.signals
        blocks.append(one.series.values)
        for entity in one.entities.values():
            labels = {k: prefix + v if k in ("service", "host", "region") else v for k, v in entity.labels.items()}
            new = Entity(entity.kind, prefix + entity.name, labels)
            entities[new.key] = new
        for edge in one.edges.values():
            new_edge = Edge(named(edge.caller, prefix), named(edge.callee, prefix))
            edges[new_edge.key] = new_edge
    doors = [f"service:{number}-gateway" for number in range(cells)]
    if joined:
        more = [Edge(doors[0], door) for door in doors[1:]]
        edges |= {edge.key: edge for edge in more}
    return World(
        now=EPOCH + STEPS * STEP_SECONDS,
        series=SeriesSet(SeriesIndex(tuple(subjects), tuple(names)), np.concatenate(blocks), EPOCH, STEP_SECONDS),
        latency=LatencySet((), np.empty((0, STEPS, len(signals.LATENCY_BOUNDS_MS) + 1))),
        logs=LogSet((), np.empty((0, STEPS))),
        entities=entities,
        edges=edges,
        entries=tuple(doors[:1] if joined else doors),
    )


def requests(world: World, spans: int) -> tuple[Visit, ...]:
    """Whole requests of the first cell, spread over the time of the case, until they have ``spans`` parts."""
    rng = np.random.default_rng(3)
    found: list[Visit] = []
    since = ONSET_AT - 48 * STEP_SECONDS
    while len(found) < spans:
        at = float(rng.uniform(since, world.now))
        _walk(world, world.entries[0], at, -1, str(len(found)), found, rng)
    return tuple(found)


def _walk(
    world: World, service: str, at: float, caller: int, trace: str, found: list[Visit], rng: np.random.Generator
) -> None:
    place = len(found)
    calls = [c for c in world.callees.get(service, ()) if c.startswith("service:0-") and rng.random() < 0.8]
    lines = ("request", *(f"asks {c}" for c in calls), "answered")
    if at >= ONSET_AT and rng.random() < 0.02:
        lines = lines[:-1]
    found.append(Visit(service, "GET /", at, tuple(calls), lines, frozenset(), caller, trace))
    for callee in calls:
        _walk(world, callee, at + 0.01, place, trace, found, rng)


def stopwatch(ask: Callable[[World], object], world: World, rounds: int) -> dict[str, float]:
    """Milliseconds of CPU (one thread): the first call on a new index, then the median and the slowest of ``rounds``."""
    index = SeriesIndex(world.series.index.subjects, world.series.index.signals)
    series = world.series
    took: list[float] = []
    for _ in range(rounds + 1):
        turn = replace(world, series=SeriesSet(index, series.values, series.start_at, series.step_seconds))
        began = time.process_time()
        ask(turn)
        took.append((time.process_time() - began) * 1000.0)
    return {"first_ms": took[0], "median_ms": statistics.median(took[1:]), "slowest_ms": max(took[1:])}


def ask(world: World) -> object:
    door = world.entries[0]
    felt = Finding(f"error_shift|{door}|", "error_shift", door, ONSET_AT, 0.3, 0.0, "ratio")
    ranking = diagnose(world, ONSET_AT, (door,), (felt,))
    assert ranking is not None and ranking.hypotheses, "the fault is found"
    return ranking


def measure(rounds: int) -> dict[str, Any]:
    rows: list[Mapping[str, Any]] = []
    for joined in (False, True):
        for cells in CELLS:
            world = fleet(cells, joined)
            row = {"what": "neighbourhood" if joined else "fleet", "series": len(world.series.index), "steps": STEPS}
            rows.append(row | stopwatch(ask, world, rounds))
            print(rows[-1], flush=True)
    base = fleet(1, False)
    for spans in SPANS:
        world = replace(base, visits=requests(base, spans))
        row = {"what": "spans", "series": len(world.series.index), "steps": STEPS, "spans": len(world.visits)}
        rows.append(row | stopwatch(ask, world, rounds))
        print(rows[-1], flush=True)
    return {"python": platform.python_version(), "numpy": np.__version__, "rounds": rounds, "rows": rows}


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    args = parser.parse_args(given)
    (args.out / "diagnose.json").write_text(json.dumps(measure(args.rounds), indent=1) + "\n")


if __name__ == "__main__":
    main()
