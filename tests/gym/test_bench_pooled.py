"""What the results page says over all benchmarks: from the files beside it and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from midwatch.gym.benchmarks.contract import BenchCase, Ranked, Result, to_json
from midwatch.gym.benchmarks.pooled import cost, sureness


def kept(folder: Path, name: str, cases: tuple[BenchCase, ...]) -> None:
    (folder / f"bench-{name}.json").write_text(json.dumps(to_json(Result(name, {}, cases))))


def case(number: int, truth: str | None, *ranked: tuple[str, float], group: str = "") -> BenchCase:
    return BenchCase(str(number), truth, tuple(Ranked(*one) for one in ranked), 0.1, group)


def test_sureness_is_of_all_answers_together(tmp_path: Path) -> None:
    assert sureness(tmp_path) == ""
    kept(tmp_path, "petshop", (case(1, "a", ("a", 0.9)), case(2, "a", ("b", 0.85)), case(3, None)))
    kept(tmp_path, "tvdiag", (case(4, "a", ("a", 0.9), group="x, learned"), case(5, "a", group="x, without training")))
    taught, everything = (line.split(" | ") for line in sureness(tmp_path).splitlines() if "TVDiag" in line)
    # Three answers of three faults, all sure, one of them wrong; health that accuses nobody is no answer.
    assert taught[1:3] == ["4", "1.00"] and taught[3].startswith("0.333") and taught[3].endswith("1 of 3")
    # A fault about which nothing is said was asked about.
    assert everything[1:3] == ["5", "0.75"]


def test_cost_is_a_table_of_sizes(tmp_path: Path) -> None:
    assert cost(tmp_path) == ""
    row = {"what": "spans", "series": 850, "steps": 240, "spans": 100_000, "first_ms": 42.4, "median_ms": 41.2}
    (tmp_path / "diagnose.json").write_text(json.dumps({"rows": [row]}))
    assert "| one cell, whole requests kept | 850 | 100,000 | 41 | 42 |" in cost(tmp_path)
