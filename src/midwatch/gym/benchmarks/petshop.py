"""PetShop (Hardt et al., 2024, CC-BY-4.0): incidents of a microservice shop on a cloud, told as totals of five minutes.

Layout: any number of folders with ``graph.csv`` (row calls column), ``noissue/metrics.csv`` (normal time) and
``*/issue_*/{metrics.csv,target.json}``. ``metrics.csv`` has three lines of heading (node, metric, statistic): requests are
sums, availability percent and latency seconds on average. Normal time and issues lie months apart, so the newest normal
steps are put right before an issue's own, as if the clock had run on.

Fault-free windows of the same length, cut out of normal time with as much of it before them, are cases in which nothing
is wrong.
"""

from __future__ import annotations

import csv
import importlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from midwatch.core.diagnose.diagnose import diagnose
from midwatch.gym.benchmarks.answers import answer
from midwatch.gym.benchmarks.contract import BenchCase, Progress, Ranked, Result, folder, reading
from midwatch.gym.benchmarks.scores import root_cause_scores, root_cause_section
from midwatch.model import signals
from midwatch.model.entity import Edge, Entity, edge_key, entity_key, name_of
from midwatch.model.findings import Finding
from midwatch.model.world import Floats, LatencySet, LogSet, SeriesIndex, SeriesSet, World

NORMAL_STEPS: Final = 60  # of normal time before an issue: more than the engine looks at
QUIET_STEPS: Final = 5  # a fault-free window is as long as an issue's
QUIET_AFTER: Final = 1  # whole steps before its onset, as in an issue
FELT_AS: Final = {"availability": "error_shift", "latency": "latency_shift"}


@dataclass(frozen=True)
class Table:
    """``columns[node, metric, statistic]`` and ``times`` (unix seconds), shape (steps,) each."""

    times: Floats
    columns: dict[tuple[str, str, str], Floats]


@dataclass(frozen=True)
class System:
    """One system of the archive: its call graph (row calls column) and its normal time."""

    name: str
    folder: Path
    calls: dict[str, tuple[str, ...]]
    normal: Table


def bench(data: Path, *, progress: Progress) -> Result:
    """Every issue of every system under ``data``, and its fault-free windows."""
    graphs = sorted(data.rglob("graph.csv")) if data.is_dir() else []
    folder(data, "graph.csv, noissue/metrics.csv and */issue_*/ with metrics.csv and target.json", *graphs)
    cases: list[BenchCase] = []
    for graph in graphs:
        system = _system(graph, data)
        issues = sorted(graph.parent.rglob("target.json"))
        progress(f"{system.name}: {len(issues)} issues")
        cases += [_issue(system, target, data) for target in issues]
        cases += list(_quiet(system))
    folder(data, "at least one issue_*/target.json", *cases)
    return Result("petshop", root_cause_scores(cases), tuple(cases))


def section(result: Result) -> str:
    return root_cause_section(result)


def compare(data: Path, result: Result, *, progress: Progress) -> dict[str, Any]:
    """BARO (Pham et al., FSE 2024) on the same windows: how far each node's metrics leave their normal range, the node with
    the farthest first. It states no probabilities and takes no call graph."""
    try:
        baro, pandas = importlib.import_module("baro.root_cause_analysis"), importlib.import_module("pandas")
    except ModuleNotFoundError as missing:
        return {"baro": {"missing": f"pip install fse-baro ({missing.name})"}}
    progress("baro: the same issues")
    cases: list[BenchCase] = []
    for graph in sorted(data.rglob("graph.csv")):
        system = _system(graph, data)
        for target in sorted(graph.parent.rglob("target.json")):
            truth, at = _truth(target)
            issue = table(target.parent / "metrics.csv")
            columns = _frame(system.normal, issue)
            began = time.perf_counter()
            found = baro.robust_scorer(pandas.DataFrame(columns), inject_time=at)["ranks"]
            seconds = time.perf_counter() - began
            nodes = dict.fromkeys(str(name).rpartition("|")[0] for name in found)
            ranked = tuple(Ranked(node, math.nan) for node in nodes)
            cases.append(BenchCase(str(target.parent.relative_to(data)), truth, ranked, seconds, system.name))
    scores = root_cause_scores(cases)
    kept = ("cases", "top1", "top1_low", "top1_high", "top3", "top3_low", "top3_high", "top5", "seconds_per_case")
    return {"baro": {name: {key: s[key] for key in kept} for name, s in scores.items()}}


def _truth(target: Path) -> tuple[str, float]:
    with reading(target):
        told: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
        return str(told["root_cause"]["node"]), float(told["target"]["timestamp"])


def _frame(normal: Table, issue: Table) -> dict[str, Floats]:
    """``time`` and ``node|metric`` columns, normal time right before the issue as the engine gets it; gaps are filled from
    before, as BARO's own data has none."""
    step = float(np.median(np.diff(issue.times))) if issue.times.size > 1 else 300.0
    width = issue.times.size
    steps = min(NORMAL_STEPS, normal.times.size) + width
    told = {"time": issue.times[-1] + step * (1 - steps + np.arange(steps))}
    tail = {key: column[-NORMAL_STEPS:] for key, column in normal.columns.items()}
    cut = Table(normal.times[-NORMAL_STEPS:], tail)
    for node, metric, statistic in sorted({*normal.columns} & {*issue.columns}):
        if (metric, statistic) in (("requests", "Sum"), ("availability", "Average"), ("latency", "Average")):
            column = _joined(cut, issue, node, metric, statistic, steps)
            known = np.isfinite(column)
            if known.any():
                told[f"{node}|{metric}"] = np.interp(np.arange(steps), np.flatnonzero(known), column[known])
    return told


def _system(graph: Path, data: Path) -> System:
    with reading(graph):
        rows = list(csv.reader(graph.open(encoding="utf-8", newline="")))
        names = rows[0][1:]
        calls = {r[0]: tuple(n for n, x in zip(names, r[1:], strict=False) if x and float(x) > 0) for r in rows[1:]}
    return System(
        str(graph.parent.relative_to(data)), graph.parent, calls, table(graph.parent / "noissue" / "metrics.csv")
    )


def table(path: Path) -> Table:
    """``metrics.csv``: heading lines up to the first number, then a row per step."""
    with reading(path):
        rows = list(csv.reader(path.open(encoding="utf-8", newline="")))
        first = next(i for i, row in enumerate(rows) if i >= 3 and _number(row[0]) == _number(row[0]))
        heads = list(zip(*rows[:3], strict=False))[1:]
        values = np.array([[_number(x) for x in row] for row in rows[first:]], dtype=float)
        return Table(values[:, 0], {head: values[:, i + 1] for i, head in enumerate(heads)})


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _issue(system: System, target: Path, data: Path) -> BenchCase:
    with reading(target):
        told: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
        symptom, metric, at = told["target"]["node"], told["target"]["metric"], float(told["target"]["timestamp"])
        truth = told["root_cause"]["node"]
    issue = table(target.parent / "metrics.csv")
    tail = Table(system.normal.times, {k: v[-NORMAL_STEPS:] for k, v in system.normal.columns.items()})
    began = time.perf_counter()
    world = as_world(system.calls, tail, issue, symptom)
    ranking = diagnose(world, at, (entity_key("service", symptom),), (_finding(world, symptom, metric, at),))
    ranked = answer(ranking, name_of)
    seconds = time.perf_counter() - began
    name = str(target.parent.relative_to(data))
    return BenchCase(name, truth, ranked, seconds, system.name, {"felt as": metric, "candidates": len(world.entities)})


def _quiet(system: System) -> Iterator[BenchCase]:
    """Windows of normal time, one after the other, whose right answer is that nothing is wrong."""
    symptom = _front(system)
    steps = len(system.normal.times)
    for number, start in enumerate(range(NORMAL_STEPS, steps - QUIET_STEPS + 1, NORMAL_STEPS + QUIET_STEPS)):
        before = _cut(system.normal, start - NORMAL_STEPS, start)
        window = _cut(system.normal, start, start + QUIET_STEPS)
        at = float(window.times[QUIET_AFTER])
        began = time.perf_counter()
        world = as_world(system.calls, before, window, symptom)
        ranking = diagnose(world, at, (entity_key("service", symptom),))
        ranked = answer(ranking, name_of)
        yield BenchCase(f"noissue {number}", None, ranked, time.perf_counter() - began, system.name)


def _front(system: System) -> str:
    """Where users come in: of the nodes that nobody calls, the one with the most requests."""
    called = {callee for callees in system.calls.values() for callee in callees}
    totals = {n: float(np.nansum(c)) for (n, m, s), c in system.normal.columns.items() if (m, s) == ("requests", "Sum")}
    return max((n for n in totals if n not in called), key=lambda n: totals[n])


def _cut(whole: Table, start: int, stop: int) -> Table:
    return Table(whole.times[start:stop], {k: v[start:stop] for k, v in whole.columns.items()})


def as_world(calls: dict[str, tuple[str, ...]], normal: Table, issue: Table, symptom: str) -> World:
    """Normal steps right before the issue's own, as counts and sums per entity."""
    times = issue.times
    step = float(np.median(np.diff(times))) if times.size > 1 else 300.0
    nodes = sorted(
        {node for node, _, _ in issue.columns} | set(calls) | {c for callees in calls.values() for c in callees}
    )
    subjects: list[str] = []
    names: list[str] = []
    rows: list[Floats] = []
    steps = len(next(iter(normal.columns.values()))) + times.size
    for node in nodes:
        requests = _joined(normal, issue, node, "requests", "Sum", steps)
        available = _joined(normal, issue, node, "availability", "Average", steps)
        latency = _joined(normal, issue, node, "latency", "Average", steps)
        told = {
            signals.REQUESTS: requests,
            signals.ERRORS: np.clip(1.0 - available / 100.0, 0.0, 1.0) * requests,
            signals.TIME_MS: latency * 1000.0 * requests,
        }
        for signal, values in told.items():
            subjects.append(entity_key("service", node))
            names.append(signal)
            rows.append(values)
    edges = [Edge(entity_key("service", a), entity_key("service", b)) for a, bs in calls.items() for b in bs if a != b]
    start_at = float(times[-1]) + step - steps * step
    return World(
        now=float(times[-1]) + step,
        series=SeriesSet(SeriesIndex(tuple(subjects), tuple(names)), np.array(rows), start_at, step),
        latency=LatencySet((), np.empty((0, steps, len(signals.LATENCY_BOUNDS_MS) + 1))),
        logs=LogSet((), np.empty((0, steps))),
        entities={entity_key("service", n): Entity("service", n) for n in nodes},
        edges={edge_key(e.caller, e.callee): e for e in edges},
        entries=(entity_key("service", symptom),),
    )


def _joined(normal: Table, issue: Table, node: str, metric: str, statistic: str, steps: int) -> Floats:
    before = normal.columns.get((node, metric, statistic))
    within = issue.columns.get((node, metric, statistic))
    width = issue.times.size
    parts = [
        np.full(steps - width, np.nan) if before is None else before,
        np.full(width, np.nan) if within is None else within,
    ]
    return np.concatenate(parts)


def _finding(world: World, symptom: str, metric: str, at: float) -> Finding:
    """The alarm of the archive: ``value`` is the share of requests that fail, or of time that is new, since then."""
    entity = entity_key("service", symptom)
    since = np.searchsorted(world.series.times, at, side="right") - 1
    signal = signals.ERRORS if metric == "availability" else signals.TIME_MS
    part, whole = world.series.get(entity, signal), world.series.get(entity, signals.REQUESTS)
    now = before = 0.0
    if part is not None and whole is not None and since > 0:
        now = float(np.nansum(part[since:]) / max(np.nansum(whole[since:]), 1.0))
        before = float(np.nansum(part[:since]) / max(np.nansum(whole[:since]), 1.0))
    if metric == "latency":
        now, before = max(0.0, 1.0 - before / now) if now > 0 else 0.0, 0.0
    kind = FELT_AS.get(metric, "latency_shift")
    return Finding(f"{kind}|{entity}|", kind, entity, at, now, before, "ratio")
