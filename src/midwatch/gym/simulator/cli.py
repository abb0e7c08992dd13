"""``midwatch gym simulate``: seeds ``seed`` to ``seed + incidents - 1``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from midwatch.gym.simulator.report import Progress as Tell
from midwatch.gym.simulator.report import main

LINE_SECONDS: Final = 10.0


def simulate(seed: int = 1, incidents: int = 100, as_json: bool = False) -> dict[str, Any]:
    """Run, show a table (unless JSON is wanted), and answer with the report; ``ok`` is False when an invariant broke."""
    with _progress(incidents) as tell:
        report = main(range(seed, seed + incidents), progress=tell)
    if not as_json:
        print("\n".join(report.lines()))
    return report.as_dict()


@contextmanager
def _progress(incidents: int) -> Iterator[Tell]:
    """On stderr: a bar on a terminal; elsewhere, where nobody would see a bar before its end, a line now and then."""
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        columns = (TextColumn("simulated incidents"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=incidents)
            yield lambda done, _: bar.update(task, completed=done)
        return
    began = last = time.monotonic()

    def say(done: int, _: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LINE_SECONDS:
            last = now
            console.print(f"{done} of {incidents} simulated incidents, {now - began:.0f} s")

    yield say
