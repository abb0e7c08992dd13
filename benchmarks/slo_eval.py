"""All budgets and burn rates from the embedded store, and one turn of the SLO stage: ``python benchmarks/slo_eval.py [--json
docs/results/slo_eval.json] [--sizes 100 1000 10000]``.

A table of counts as the watch writes it (thirty days, rows of five minutes and of an hour) goes into a fresh store behind
its real child process. Measured, best of three: ``sums`` (budgets and the burn rates of eight windows, as one question),
``ledgers`` (what a restart reads back: every ledger, and budgets and burn rates from them), and what both read. Beside the
seconds that passed stand the processor seconds of both processes, because a busy machine changes only the former. ``turn``
is the SLO stage of one tick on a World of 240 steps, ledgers, late data, alerts, the sequential test and budget rules.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from midwatch.core.memory import Memory
from midwatch.core.slo import ledger as books
from midwatch.core.slo.budget import Counts, budget, reckon
from midwatch.core.slo.promise import promise
from midwatch.core.turn import Turn
from midwatch.model import signals as sig
from midwatch.model.adjustments import BudgetRule
from midwatch.model.entity import Entity
from midwatch.model.events import PolicyLoaded, Recorded
from midwatch.model.fold import fold
from midwatch.model.policy import Policy
from midwatch.model.slo import Slo
from midwatch.model.state import State
from midwatch.model.world import LatencySet, LogSet, SeriesIndex, SeriesSet, World
from midwatch.shell.store import slo_counts
from midwatch.shell.store.store import Store
from midwatch.shell.warm_ledgers import read_ledgers

DAY = 86400.0
HOUR = 3600.0
PERIOD = 30 * DAY
WINDOWS = (PERIOD, 3 * DAY, DAY, 6 * HOUR, 2 * HOUR, HOUR, 1800.0, 300.0)
SIZES = (100, 1000, 10000)
FINE_DAYS = {10000: 4}  # five-minute rows further back take long to make and are not read; else all thirty days
STEPS, STEP_SECONDS, TURN_NOW = 240, 5.0, 1_760_000_000.0


def slos_of(many: int) -> tuple[Slo, ...]:
    """Promises that a source counts, so that the table alone knows."""
    return tuple(Slo(f"svc-{n}-ok", f"service:svc-{n}", "source", 0.999, period_seconds=PERIOD) for n in range(many))


async def fill(store: Store, many: int, now: float) -> int:
    """Thirty days of rows for ``svc-N-ok``; how many."""
    written = 0
    hour = int(now // HOUR * HOUR)
    for step, end in ((300, int(now)), (3600, hour)):
        for day in range(30 if step == 3600 else FINE_DAYS.get(many, 30)):
            rows = many * 86400 // step
            await store._command(
                f"""INSERT INTO midwatch.slo_counts (key, step, at, good, total, seen)
                SELECT concat('svc-', toString(number % {many}), '-ok'), {step},
                    toDateTime({end - day * 86400} - {step} * (1 + intDiv(number, {many}))),
                    total - cityHash64(number, {day}, 7) % 3 AS good, 500 + cityHash64(number, {day}) % 1000 AS total,
                    toDateTime64({int(now)}, 3)
                FROM numbers({rows})"""
            )
            written += rows
    return written


def processor_seconds(pid: int | None) -> float:
    """Of this process and of the store's child."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    spent = own.ru_utime + own.ru_stime
    if pid and Path(f"/proc/{pid}/stat").exists():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        spent += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


async def from_sums(store: Store, slos: tuple[Slo, ...], now: float) -> int:
    """Budget and burn rates of every promise from one question; how many could be told."""
    found = await slo_counts.read_sums(store, [now - window for window in WINDOWS], now)
    told = 0
    for slo in slos:
        sums = found[slo.name]
        counts = Counts(sums[0, 0], sums[0, 1], PERIOD, sums[0, 1], PERIOD, sums[5, 0], sums[5, 1], sums[7, 1])
        one = reckon(slo, counts, now)
        burns = (1 - sums[:, 0] / np.maximum(sums[:, 1], 1.0)) / (1 - slo.target)
        told += one.spent is not None and bool(np.isfinite(burns).all())
    return told


async def from_ledgers(store: Store, slos: tuple[Slo, ...], now: float) -> int:
    """The same from ledgers that are read back as at a restart."""
    read = await read_ledgers(store, slos, now)
    told = 0
    for slo in slos:
        ledger = read.ledgers[slo.name]
        one = budget(slo, ledger, (), now)
        burns = [books.burn_rate(ledger, slo, window, now) for window in WINDOWS]
        told += one.spent is not None and bool(np.isfinite(burns).all())
    return told


async def rows_read(store: Store, now: float) -> tuple[int, int]:
    """Rows that the question needs, and rows that the engine looks at for it (whole granules)."""
    recent = slo_counts.recent_since(now)
    where = f"""toDate(at) >= toDate({int(now - PERIOD)}) AND at >= {int(now - PERIOD)} AND ((step = 300 AND at >= {recent})
        OR (step = 3600 AND at < {recent}))"""
    (needed,) = await store.query(f"SELECT count() AS n FROM midwatch.slo_counts FINAL WHERE {where}")
    looked = await store.query(f"EXPLAIN ESTIMATE SELECT sum(good) FROM midwatch.slo_counts WHERE {where}")
    return int(needed["n"]), sum(int(row["rows"]) for row in looked)


async def measure_store(many: int) -> dict[str, Any]:
    slos, now = slos_of(many), time.time() // 300 * 300
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        await store.start()
        try:
            rows = await fill(store, many, now)
            found: dict[str, Any] = {"slos": many, "rows": rows}
            for name, ask in (("sums", from_sums), ("ledgers", from_ledgers)):
                walls, cpus = [], []
                for _ in range(3):
                    began, cpu = time.perf_counter(), processor_seconds(store.status.pid)
                    told = await ask(store, slos, now)
                    walls.append(time.perf_counter() - began)
                    cpus.append(processor_seconds(store.status.pid) - cpu)
                    if told != many:
                        raise SystemExit(f"{name}: {told} of {many} promises could be told")
                found |= {f"{name}_seconds": round(min(walls), 3), f"{name}_cpu_seconds": round(min(cpus), 3)}
            needed, looked = await rows_read(store, now)
            found["samples_per_slo"] = round(2 * needed / many)
            found["samples_looked_at_per_slo"] = round(2 * looked / many)
            parts = "SELECT sum(bytes_on_disk) AS n FROM system.parts WHERE active AND table = 'slo_counts'"
            found["bytes"] = int((await store.query(parts))[0]["n"])
            return found
        finally:
            await store.close()


def measure_turn(many: int) -> dict[str, Any]:
    """Median processor seconds of the SLO stage when one step is new, and when late events come as well."""
    rng = np.random.default_rng(many)
    keys = tuple(f"service:s{n}" for n in range(many))
    total = rng.poisson(50, (many, STEPS + 8)).astype(float)
    errors = rng.binomial(total.astype(np.int64), 0.0005).astype(float)
    index = SeriesIndex(keys * 2, (sig.REQUESTS,) * many + (sig.ERRORS,) * many)
    entities = {key: Entity("service", key[8:]) for key in keys}

    def world(first: int, late: bool) -> World:
        seen = slice(first, first + STEPS)
        counts = total[:, seen].copy()
        if late:
            counts[:, -5] += 1
        start = TURN_NOW + first * STEP_SECONDS
        series = SeriesSet(index, np.concatenate([counts, errors[:, seen]]), start, STEP_SECONDS)
        none = LatencySet((), np.zeros((0, STEPS, len(sig.LATENCY_BOUNDS_MS) + 1)))
        return World(series.end_at + 1.5, series, none, LogSet((), np.empty((0, STEPS))), entities=entities)

    slos = tuple(Slo(f"{key[8:]}-ok", key, "ratio", 0.999) for key in keys)
    policy = Policy(slos=slos, discover_slos=False, budget_rules=(BudgetRule(0.75, "demote", (), 0.7),))
    state = fold(State(), Recorded(1, TURN_NOW - 600, PolicyLoaded(policy)))
    memory = promise(Turn(state, Memory(started_at=TURN_NOW - 600), world(0, False), world(0, False).now)).memory
    times: dict[str, list[float]] = {"turn_seconds": [], "late_turn_seconds": []}
    for number in range(1, 7):
        late = number % 2 == 0
        seen = world(number, late)
        cpu = time.process_time()
        memory = promise(Turn(state, memory, seen, seen.now)).memory
        times["late_turn_seconds" if late else "turn_seconds"].append(time.process_time() - cpu)
    return {name: round(statistics.median(many_times), 4) for name, many_times in times.items()}


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| promises | rows | MB | sums: s (cpu s) | ledgers: s (cpu s) | samples a promise | turn, cpu s | with late data |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r['slos']:,} | {r['rows']:,} | {r['bytes'] / 1e6:.1f} | {r['sums_seconds']} ({r['sums_cpu_seconds']}) "
        f"| {r['ledgers_seconds']} ({r['ledgers_cpu_seconds']}) "
        f"| {r['samples_per_slo']:,} ({r['samples_looked_at_per_slo']:,} looked at) "
        f"| {r['turn_seconds']} | {r['late_turn_seconds']} |"
        for r in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--one", type=int, help="measure one size in this process, print JSON")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(asyncio.run(measure_store(options.one)) | measure_turn(options.one)))
        return
    rows = []
    for size in options.sizes:
        command = [sys.executable, __file__, "--one", str(size)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    print(table(rows))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        machine = {"python": platform.python_version(), "machine": platform.machine(), "load": os.getloadavg()[0]}
        options.json.write_text(json.dumps({"windows": WINDOWS, **machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
