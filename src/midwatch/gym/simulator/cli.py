"""``midwatch gym simulate``: seeds ``seed`` to ``seed + incidents - 1``."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from midwatch.gym.simulator.report import main


def simulate(seed: int = 1, incidents: int = 100, as_json: bool = False) -> dict[str, Any]:
    """Run, show a table (unless JSON is wanted), and answer with the report; ``ok`` is False when an invariant broke."""
    columns = (TextColumn("simulated incidents"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=incidents)
        report = main(range(seed, seed + incidents), progress=lambda done, _: bar.update(task, completed=done))
    if not as_json:
        print("\n".join(report.lines()))
    return report.as_dict()
