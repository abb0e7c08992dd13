"""The page ``diagnosis.md``, made from the files ``bench-NAME.json`` beside it and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from midwatch.gym.benchmarks import BENCHMARKS
from midwatch.gym.benchmarks.cli import load
from midwatch.gym.benchmarks.contract import Result, from_json, to_json
from midwatch.gym.benchmarks.pooled import cost, sureness

HEAD = """# How well midwatch diagnoses, on public incidents

Made by `midwatch gym bench NAME --data DIR --out docs/results` from the files `bench-NAME.json` beside it; every number is
from one run of the command under its heading, over an archive that nobody here wrote. [diagnosis.md](../diagnosis.md) says
how the engine works.
"""


def write(out: Path, result: Result) -> Path:
    """Keep ``result`` in ``out`` and make the page anew; its path."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(to_json(result), ensure_ascii=False, indent=1)
    (out / f"bench-{result.benchmark}.json").write_text(text + "\n", encoding="utf-8")
    path = out / "diagnosis.md"
    path.write_text(page(out), encoding="utf-8")
    return path


def page(folder: Path) -> str:
    """The whole page: one section per ``bench-NAME.json`` in ``folder``."""
    parts = [HEAD, sureness(folder)]
    for name, case in BENCHMARKS.items():
        kept = folder / f"bench-{name}.json"
        if not kept.is_file():
            continue
        result = from_json(kept.read_bytes())
        command = f"midwatch gym bench {name} --data DIR" + (" --peers" if result.peers else "") + " --out docs/results"
        parts.append(f"## {name}\n\nA case is {case}. {len(result.cases)} cases. `{command}`\n")
        parts.append(section(result).strip() + "\n")
        if result.notes:
            parts.append("\n".join(f"- {note}" for note in result.notes) + "\n")
    parts.append(cost(folder))
    return "\n".join(part for part in parts if part)


def section(result: Result) -> str:
    """The benchmark's own words, where its module has some; else its scores as a table."""
    own = getattr(load(result.benchmark), "section", None)
    if own is not None:
        return str(own(result))
    rows = [*_rows("", result.scores), *(row for peer, s in result.peers.items() for row in _rows(f"peer {peer}: ", s))]
    return "\n".join(["| score | value |", "|---|---|", *rows])


def _rows(prefix: str, scores: Any) -> list[str]:
    if not isinstance(scores, dict):
        return [f"| {prefix.rstrip(': ')} | {number(scores)} |"]
    rows: list[str] = []
    for name, value in scores.items():
        rows += (
            _rows(f"{prefix}{name}: ", value) if isinstance(value, dict) else [f"| {prefix}{name} | {number(value)} |"]
        )
    return rows


def number(value: Any, digits: int = 3) -> str:
    """A number for a table: ``-`` where there is none."""
    if value is None or value != value:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"
    return str(value)
