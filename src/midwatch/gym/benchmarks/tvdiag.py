"""TVDiag's alerts (Xie et al., 2024, MIT): incidents of GAIA and SockShop, told by alerts that somebody else raised.

Layout: any number of folders with ``label.csv`` (``index``, ``instance``, ``data_type`` train or test) and
``raw/{nodes,edges,metrics,traces,logs}.json``, each by index. A metric alert is [instance, ..., metric, up or down], a trace
alert [caller, callee, operation, what], a log alert [instance, template]. Metrics are called as the archive calls them;
templates and operations lose the name or address of the instance that they carry, and an instance is a replica of what its
name says without its number.

The engine gets findings, the instances and who calls whom; nothing has a time. Each case of the test split is asked twice:
knowing how usual each alert is from the training split, but none of its answers; and knowing these too, as the journal
would teach them. Truth is an instance; a service is right when the mass of its instances is the largest.
"""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from midwatch.core.diagnose.by_findings import by_findings
from midwatch.core.diagnose.diagnose import Ranking
from midwatch.core.diagnose.lessons import Lessons
from midwatch.core.learn.lessons import Closed, lessons_from
from midwatch.gym.benchmarks.answers import answer
from midwatch.gym.benchmarks.contract import BenchCase, Progress, Ranked, Result, folder, reading
from midwatch.gym.benchmarks.scores import right_within, root_cause_scores, root_cause_section
from midwatch.model.entity import Edge, Entity, edge_key, entity_key, name_of
from midwatch.model.findings import Finding
from midwatch.model.world import World, empty_world

NEEDS: Final = "label.csv and raw/{nodes,edges,metrics,traces,logs}.json"
WITHOUT, WITH = "without training", "learned"
SLOW: Final = "PD"  # the archive's word for a slow call; every other word is an error or its status


@dataclass(frozen=True)
class Told:
    """One incident of the archive."""

    id: str
    culprit: str
    kind: str
    trains: bool
    world: World
    findings: tuple[Finding, ...]


def bench(data: Path, *, progress: Progress) -> Result:
    """Every incident of the test splits under ``data``, twice."""
    labels = sorted(data.rglob("label.csv")) if data.is_dir() else []
    folder(data, NEEDS, *labels)
    cases: list[BenchCase] = []
    for label in labels:
        told = list(_incidents(label))
        name = label.parent.name
        train = [one for one in told if one.trains]
        began = time.perf_counter()
        learned = lessons_from(Closed(one.world.entities, one.findings, _key(one.culprit)) for one in train)
        spent = time.perf_counter() - began
        progress(f"{name}: {len(train)} incidents to learn from ({spent:.1f} s), {len(told) - len(train)} to answer")
        for how, lessons in ((WITHOUT, replace(learned, weights={}, causes=0, elsewhere=0)), (WITH, learned)):
            cases += [_case(one, lessons, name, how) for one in told if not one.trains]
    folder(data, "at least one case whose data_type is test", *cases)
    return Result("tvdiag", _scores(cases), tuple(cases), notes=NOTES)


NOTES: Final = (
    "Two rows per system: without any answer of the training split (only how usual each alert is), and learned from its "
    "answers by the function that learns from confirmed causes in the journal.",
    "Answers are instances; `service first` counts an answer right when the service is.",
    "Before any cause was confirmed, one in five is left for none of these, so nothing untrained is said with 0.8 or more.",
    "GAIA's failed logins wait for eleven seconds in one replica of one service. What is alerted is that this replica's "
    "calls to the cache fail, and just as often that those of another service do: untrained, nothing tells the two apart. "
    "Faults that the training split has not (denied access) stay unknown to what is learned.",
)


def section(result: Result) -> str:
    """Scores, then what each kind of fault was answered with: failures by name are in the file, hundreds of them."""
    rows = [
        f"| {name} | {s['top1']:.3f} | {s['top3']:.3f} | {s['top5']:.3f} | {s['service_top1']:.3f} |"
        for name, s in result.scores.items()
    ]
    head = ["| system | HR@1 | HR@3 | HR@5 | service first |", "|---|---|---|---|---|"]
    kinds = ["", "| system | fault | cases | first, without training | first, learned |", "|---|---|---|---|---|"]
    for system, fault in dict.fromkeys((c.group.partition(", ")[0], c.details["fault"]) for c in result.cases):
        held = {how: [c for c in result.cases if c.group == f"{system}, {how}" and c.details["fault"] == fault]
                for how in (WITHOUT, WITH)}  # fmt: skip
        first = [f"{sum(right_within(c, 1) for c in held[how]) / len(held[how]):.2f}" for how in (WITHOUT, WITH)]
        kinds.append(f"| {system} | {fault} | {len(held[WITH])} | {' | '.join(first)} |")
    return "\n".join([*head, *rows, *kinds, "", root_cause_section(msgspec.structs.replace(result, cases=()))])


def _scores(cases: list[BenchCase]) -> dict[str, Any]:
    groups: dict[str, list[BenchCase]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    for how in (WITHOUT, WITH):
        groups[f"all, {how}"] = [case for case in cases if case.group.endswith(how)]
    found: dict[str, Any] = {}
    for name, held in groups.items():
        found[name] = root_cause_scores([_regrouped(case, name) for case in held])[name]
        found[name]["service_top1"] = sum(case.details["service first"] for case in held) / len(held)
    return found


def _regrouped(case: BenchCase, group: str) -> BenchCase:
    return msgspec.structs.replace(case, group=group)


def _case(one: Told, lessons: Lessons, system: str, how: str) -> BenchCase:
    began = time.perf_counter()
    ranking = Ranking(*by_findings(one.world, 0.0, (), one.findings, lessons))
    ranked = answer(ranking, name_of)
    seconds = round(time.perf_counter() - began, 6)
    ranked = tuple(Ranked(r.entity, round(r.probability, 6)) for r in ranked)  # the file holds thousands of them
    details = {
        "fault": one.kind,
        "candidates": len(one.world.entities),
        "service first": _service_first(ranked) == replica_of(one.culprit),
    }
    return BenchCase(f"{system} {one.id}, {how}", one.culprit, ranked, seconds, f"{system}, {how}", details)


def _service_first(ranked: Iterable[Ranked]) -> str:
    mass: dict[str, float] = {}
    for one in ranked:
        service = replica_of(one.entity)
        mass[service] = mass.get(service, 0.0) + one.probability
    return max(sorted(mass), key=lambda service: mass[service], default="")


def _incidents(label: Path) -> Iterator[Told]:
    raw: dict[str, dict[str, Any]] = {}
    for part in ("nodes", "edges", "metrics", "traces", "logs"):
        path = label.parent / "raw" / f"{part}.json"
        with reading(path):
            raw[part] = json.loads(path.read_text(encoding="utf-8"))
    with reading(label):
        for row in csv.DictReader(label.open(encoding="utf-8", newline="")):
            index = row["index"]
            nodes = [str(name) for name in raw["nodes"][index]]
            yield Told(
                index, row["instance"], row["anomaly_type"], row["data_type"] == "train",
                as_world(nodes, raw["edges"].get(index, ())), tuple(as_findings(raw, index, nodes)),
            )  # fmt: skip


def replica_of(name: str) -> str:
    """``carts-1`` and ``carts1`` are replicas of ``carts``."""
    return re.sub(r"-?\d+$", "", name) or name


def _key(name: str) -> str:
    return entity_key("instance", name)


def as_world(nodes: list[str], edges: Iterable[tuple[int, int]]) -> World:
    entities = {_key(name): Entity("instance", name, {"service": replica_of(name)}) for name in nodes}
    calls = {(_key(nodes[a]), _key(nodes[b])) for a, b in edges if a != b}
    return replace(empty_world(0.0), entities=entities, edges={edge_key(a, b): Edge(a, b) for a, b in sorted(calls)})


def as_findings(raw: dict[str, dict[str, Any]], index: str, nodes: list[str]) -> Iterator[Finding]:
    for alert in raw["metrics"].get(index, ()):
        yield _finding(f"metric_{alert[-1]}", _key(alert[0]), alert[-2])
    for caller, callee, operation, what in raw["traces"].get(index, ()):
        path = re.sub(r"^\w+://[^/]+/", "", operation)
        kind = "latency_shift" if what == SLOW else "error_shift"
        ends = [name for name in (caller, callee) if name in nodes]
        if len(ends) == 2 and caller != callee:
            yield _finding(kind, edge_key(_key(caller), _key(callee)), path)
        elif ends:  # a span of its own, or from outside
            yield _finding(kind, _key(ends[0]), path)
    for name, template in raw["logs"].get(index, ()):
        yield _finding("log_burst", _key(name), str(template).removeprefix(name))


def _finding(kind: str, entity: str, detail: str) -> Finding:
    return Finding(f"{kind}|{entity}|{detail}", kind, entity, 0.0, float("nan"), float("nan"), "", detail=detail)
