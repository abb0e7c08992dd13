"""The shop's archive, drawn small: what is reshaped, that health is called health, and that clocks do not matter."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from midwatch.gym.benchmarks.petshop import as_world, bench, section, table
from midwatch.model import signals
from midwatch.model.errors import UsageError

CALLS = {"front": ("search", "pay"), "search": ("store",), "pay": ("store",), "store": ()}
HEADS = [
    (node, *what)
    for node in CALLS
    for what in (("requests", "Sum"), ("availability", "Average"), ("latency", "Average"))
]


def metrics(path: Path, steps: int, at: float, seed: int, slow: dict[str, float], since: int = 10**6) -> None:
    """Every node serves some hundred requests a step; ``slow`` seconds are added at a node from step ``since`` on."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        for level in range(3):
            writer.writerow(["", *(head[level] for head in HEADS)])
        for step in range(steps):
            row: list[float] = [at + 300 * step]
            for node in CALLS:
                more = sum(slow.get(n, 0.0) for n in ((node, *CALLS[node]) if step >= since else ()))
                more += slow.get("store", 0.0) if node == "front" and step >= since else 0.0
                row += [float(rng.poisson(300)), 100.0, float(0.05 * rng.lognormal(0, 0.05) + more)]
            writer.writerow(row)


def archive(root: Path, at: float = 1_700_000_000.0, culprit: str = "store") -> Path:
    shop = root / "shop"
    metrics(shop / "noissue" / "metrics.csv", 200, at - 10**6, 1, {})
    with (shop / "graph.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["", *CALLS])
        for caller, callees in CALLS.items():
            writer.writerow([caller, *("1" if name in callees else "0" for name in CALLS)])
    issue = shop / "test" / "issue_0"
    metrics(issue / "metrics.csv", 5, at, 2, {culprit: 0.4}, since=1)
    target = {"target": {"node": "front", "metric": "latency", "timestamp": at + 300}, "root_cause": {"node": culprit}}
    (issue / "target.json").write_text(json.dumps(target))
    return root


@pytest.mark.parametrize("culprit", ["store", "pay"])
def test_the_culprit_is_first_and_health_accuses_nobody(tmp_path: Path, culprit: str) -> None:
    result = bench(archive(tmp_path, culprit=culprit), progress=lambda line: None)
    scores = result.scores["shop"]
    assert (scores["cases"], scores["top1"]) == (1, 1.0)
    assert scores["fault_free_cases"] >= 2 and scores["nothing_wrong"] == 1.0
    assert "| shop | 1 |" in section(result)


def test_the_day_does_not_matter(tmp_path: Path) -> None:
    one, other = (
        bench(archive(tmp_path / name, at), progress=lambda line: None) for name, at in (("a", 1.7e9), ("b", 1.2e9))
    )
    assert [r.probability for r in one.cases[0].ranked] == pytest.approx([r.probability for r in other.cases[0].ranked])


def test_percent_and_seconds_become_counts_and_milliseconds(tmp_path: Path) -> None:
    shop = archive(tmp_path) / "shop"
    normal, issue = table(shop / "noissue" / "metrics.csv"), table(shop / "test" / "issue_0" / "metrics.csv")
    world = as_world(CALLS, normal, issue, "front")
    requests, time_ms = (world.series.get("service:store", s) for s in (signals.REQUESTS, signals.TIME_MS))
    assert requests is not None and time_ms is not None
    assert 40 < np.nanmean(time_ms[:200] / requests[:200]) < 60
    assert 400 < np.nanmean(time_ms[-3:] / requests[-3:]) < 500
    assert world.entries == ("service:front",) and len(world.edges) == 4


def test_another_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="layout"):
        bench(tmp_path, progress=lambda line: None)
