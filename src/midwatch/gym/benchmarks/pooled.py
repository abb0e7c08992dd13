"""What no benchmark says alone: whether stated probabilities hold over all of them, and what a diagnosis costs.

Made from the files beside the page: ``bench-NAME.json``, ``calibration.json`` and ``diagnose.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from midwatch.gym.benchmarks.contract import BenchCase, from_json
from midwatch.gym.benchmarks.scores import SURE, calibration, right_within
from midwatch.gym.score.stats import wilson

CAUSES: Final = ("petshop", "nezha", "tvdiag")  # those whose answers are causes with a probability
UNTRAINED: Final = "without training"
HEAD: Final = (
    "| answers | cases | sure (p >= 0.8) | of these wrong | calibration error: raw, of chance, debiased |\n"
    "|---|---|---|---|---|"
)


def sureness(folder: Path) -> str:
    """Markdown: how sure the answers of all benchmarks are together, and how often rightly."""
    cases: list[BenchCase] = []
    for name in CAUSES:
        kept = folder / f"bench-{name}.json"
        if kept.is_file():
            cases += from_json(kept.read_bytes()).cases
    if not cases:
        return ""
    bare = [case for case in cases if UNTRAINED in case.group]
    rows = [_row("PetShop, Nezha, TVDiag with what the journal would have taught", [c for c in cases if c not in bare])]
    rows += [_row("the same, and TVDiag before any cause is known", cases)] if bare else []
    simulated = folder / "calibration.json"
    if simulated.is_file():
        rows.append(_simulated(json.loads(simulated.read_text(encoding="utf-8"))))
    return "\n".join(["## Being sure\n", HEAD, *rows, ""])


def _row(name: str, cases: list[BenchCase]) -> str:
    said = [(case.ranked[0].probability, right_within(case, 1)) for case in cases if case.ranked]
    asked = sum(case.truth is not None or bool(case.ranked) for case in cases)
    sure = [right for p, right in said if p >= SURE]
    error = calibration([p for p, _ in said], [right for _, right in said])
    wrong = wilson(sum(not right for right in sure), len(sure))
    return (
        f"| {name} | {len(cases)} | {len(sure) / asked:.2f} | {wrong.share:.3f} ({wrong.low:.3f}-{wrong.high:.3f}), "
        f"{sum(not right for right in sure)} of {len(sure)} | {error.raw:.3f}, {error.chance:.3f}, {error.debiased:.3f} |"
    )


def _simulated(s: dict[str, Any]) -> str:
    return (
        f"| simulated incidents told with half of their evidence (`python benchmarks/calibration.py --seed {s['seed']}`; "
        f"cause first {s['top1']:.2f}) | {s['cases']} | {s['sure']:.2f} | {s['sure_and_wrong']:.3f} "
        f"({s['sure_and_wrong_low']:.3f}-{s['sure_and_wrong_high']:.3f}) | {s['calibration_error']:.3f}, "
        f"{s['calibration_error_of_chance']:.3f}, {s['calibration_error_debiased']:.3f} |"
    )


def cost(folder: Path) -> str:
    """Markdown: what one diagnosis costs, by the size of the fleet and of what is affected."""
    kept = folder / "diagnose.json"
    if not kept.is_file():
        return ""
    rows = [
        f"| {WHAT[row['what']]} | {row['series']:,} | {row.get('spans', 0):,} "
        f"| {row['median_ms']:.0f} | {row['first_ms']:.0f} |"
        for row in json.loads(kept.read_text(encoding="utf-8"))["rows"]
    ]
    words = (
        "`python benchmarks/diagnose.py`; milliseconds of one core, 240 steps of 5 s. *First*: the first diagnosis on a "
        "set of series that was never looked at. The fleet may grow around an incident at hardly any cost; what is affected "
        "counts."
    )
    head = "| | series | whole requests kept, in spans | median | first |\n|---|---|---|---|---|"
    return "\n".join(["## What a diagnosis costs\n", f"{words}\n", head, *rows, ""])


WHAT: Final = {
    "fleet": "one cell of 16 services in trouble, others beside it",
    "neighbourhood": "all of them behind one front door",
    "spans": "one cell, whole requests kept",
}
