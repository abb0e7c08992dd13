"""How long one turn of the loop takes, and how it grows: ``python benchmarks/tick.py [--json docs/results/tick.json]``.

A World of N entities x 6 signals x 240 steps (services that call each other in a random graph, twenty steps of trouble in
one of them so that detection and diagnosis have work), one policy, one ``tick``: median of five, each on a working set that
one earlier, quiet turn has warmed. The turn that opens an incident diagnoses it as well, and so does each of the next four
minutes. Peak memory is that of a fresh process per size.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import platform
import pstats
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from midwatch.core.loop import tick
from midwatch.core.memory import Memory
from midwatch.model import signals as sig
from midwatch.model.entity import Edge, Entity
from midwatch.model.events import Event, PolicyLoaded, Recorded
from midwatch.model.fold import fold
from midwatch.model.policy import Policy
from midwatch.model.slo import Slo
from midwatch.model.state import State
from midwatch.model.world import LatencySet, LogSet, SeriesIndex, SeriesSet, World

SIGNALS = (sig.REQUESTS, sig.ERRORS, sig.TIME_MS, sig.SELF_MS, sig.ORIGIN_ERRORS, sig.CPU_RATIO)
SIZES = (100, 1000, 10000)
STEPS = 240
STEP_SECONDS = 5.0
NOW = 1_760_000_000.0


def build(entities: int, steps: int = STEPS, trouble: bool = True, latency: bool = True) -> World:
    """``entities`` services x 6 signals x ``steps``, each called by one earlier one; the last 20 steps fail in one."""
    rng = np.random.default_rng(entities)
    keys = tuple(f"service:s{n}" for n in range(entities))
    requests = rng.poisson(rng.uniform(20, 200, (entities, 1)), (entities, steps)).astype(float)
    errors = rng.binomial(requests.astype(np.int64), 0.0005).astype(float)
    mean_ms = rng.uniform(2, 40, (entities, 1))
    time_ms = requests * mean_ms * rng.lognormal(0, 0.05, (entities, steps))
    callers = [int(rng.integers(0, n)) for n in range(1, entities)]
    if trouble:
        path, victim = [], entities - 1
        while victim:
            path.append(victim)
            victim = callers[victim - 1]
        for number in (*path, 0):
            errors[number, -20:] = rng.binomial(requests[number, -20:].astype(np.int64), 0.2)
    cpu = rng.uniform(0.1, 0.4, (entities, steps))
    origin = np.zeros_like(errors)
    origin[-1] = errors[-1]
    values = np.concatenate([requests, errors, time_ms, time_ms * 0.6, origin, cpu])
    index = SeriesIndex(keys * len(SIGNALS), tuple(s for s in SIGNALS for _ in keys))
    edges = {e.key: e for e in (Edge(keys[a], keys[n]) for n, a in enumerate(callers, start=1))}
    buckets = np.zeros((0, steps, len(sig.LATENCY_BOUNDS_MS) + 1), dtype=np.float32)
    if latency:
        buckets = np.zeros((entities, steps, len(sig.LATENCY_BOUNDS_MS) + 1), dtype=np.float32)
        buckets[np.arange(entities), :, np.searchsorted(sig.LATENCY_BOUNDS_MS, mean_ms[:, 0])] = requests
    return World(
        now=NOW,
        series=SeriesSet(index, values, NOW - steps * STEP_SECONDS, STEP_SECONDS),
        latency=LatencySet(keys if latency else (), buckets),
        logs=LogSet((), np.empty((0, steps))),
        entities={key: Entity("service", key[8:]) for key in keys},
        edges=edges,
        entries=(keys[0],),
    )


def _state() -> State:
    slo = Slo("entry-availability", "service:s0", "ratio", 0.999)
    return fold(State(), Recorded(1, NOW - 600, PolicyLoaded(Policy(slos=(slo,)))))


def fold_all(state: State, events: Sequence[Event]) -> State:
    for event in events:
        state = fold(state, Recorded(state.seq + 1, NOW, event))
    return state


def measure_one(entities: int, profile: bool = False) -> dict[str, float]:
    """Median seconds of a quiet turn, of one with an incident opening, and of the one after it; peak resident MB of this
    process."""
    found: dict[str, float] = {"entities": entities}
    quiet = build(entities, trouble=False)
    state = _state()
    _, memory = tick(
        state, Memory(started_at=NOW - 600), replace(quiet, now=NOW - STEP_SECONDS), (), NOW - STEP_SECONDS
    )
    for name in ("quiet", "incident", "young"):
        world = quiet if name == "quiet" else build(entities)
        if name == "young":
            events, memory = tick(state, memory, world, (), NOW)
            state = fold_all(state, events)
            world = replace(world, now=NOW + STEP_SECONDS)
        times = []
        for _ in range(5):
            began = time.perf_counter()
            decided, _ = tick(state, memory, world, (), world.now)
            times.append(time.perf_counter() - began)
        found[f"{name}_seconds"] = round(statistics.median(times), 4)
        found[f"{name}_events"] = len(decided)
        if profile:
            profiler = cProfile.Profile()
            profiler.runcall(tick, state, memory, world, (), world.now)
            print(f"-- {name}, {entities} entities", file=sys.stderr)
            pstats.Stats(profiler, stream=sys.stderr).sort_stats("cumulative").print_stats(22)
    found["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    return found


def table(rows: list[dict[str, float]]) -> str:
    lines = [
        "| entities | series x steps | quiet turn, s | turn that opens an incident, s | the next one, s | peak MB |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        series = int(row["entities"] * len(SIGNALS))
        lines.append(
            f"| {int(row['entities']):,} | {series:,} x {STEPS} | {row['quiet_seconds']:.3f} "
            f"| {row['incident_seconds']:.3f} | {row['young_seconds']:.3f} | {row['peak_mb']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--one", type=int, help="measure one size in this process, print JSON")
    parser.add_argument("--profile", action="store_true", help="with --one: where the time goes, on standard error")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure_one(options.one, options.profile)))
        return
    rows = []
    for size in options.sizes:
        command = [sys.executable, __file__, "--one", str(size)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    print(table(rows))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        machine = {"python": platform.python_version(), "machine": platform.machine()}
        options.json.write_text(
            json.dumps({"steps": STEPS, "signals": SIGNALS, **machine, "rows": rows}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
