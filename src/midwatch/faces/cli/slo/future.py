"""``midwatch slo forecast`` and ``suggest``: when a budget will be gone, and what could be promised."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.text import Text

from midwatch.faces.cli.common import BAD, AsJson, Folder, Running, err, folder_of, friendly, out, print_json
from midwatch.faces.cli.slo.common import chosen, duration, number, percent, read, span, utc, when
from midwatch.faces.cli.slo.histories import read_history
from midwatch.faces.cli.slo.past import Since, Step, Until, Where
from midwatch.faces.cli.slo.standing import Name, path_of
from midwatch.model.errors import UsageError
from midwatch.model.slo import Slo
from midwatch.model.world import Floats, SliCounts

HOUR = 3600.0


def forecast(name: Name, folder: Folder = None, as_json: AsJson = False) -> None:
    """When the budget will be gone, with an 80 % interval. Exit code 1 when it may be gone within the period."""
    with friendly(as_json):
        found = Running(folder_of(folder)).get(f"{path_of(name)}/forecast")
        if as_json:
            print_json(found)
        else:
            _print_forecast(found)
        if found["state"] in ("spent", "may run out"):
            raise typer.Exit(BAD)


def _print_forecast(found: dict[str, Any]) -> None:
    head = Text(found["slo"], style="bold")
    head.append(f"  {found['state']}", style="red" if found["state"] in ("spent", "may run out") else "default")
    out.print(head)
    if found["spent"] is not None:
        out.print(f"  {percent(found['spent'], 1)} of the budget is spent")
    if found["chance"] is not None and found["state"] != "spent":
        out.print(f"  {percent(found['chance'], 0)} chance that it is gone by {utc(found['horizon_at'])}")
    if found["early_at"] is not None and found["state"] != "spent":
        ends = [utc(at) if at is not None else "not by then" for at in (found["early_at"], found["late_at"])]
        middle = f", in the middle {utc(found['middle_at'])}" if found["middle_at"] is not None else ""
        out.print(f"  80 % interval: {ends[0]} to {ends[1]}{middle}")
    if found["at_this_rate_seconds"]:
        out.print(f"  if the last hour goes on, it is gone in {span(found['at_this_rate_seconds'])}")
    if found["why"]:
        out.print(Text(f"  {found['why']}", style="dim"), soft_wrap=True)


def suggest(
    history: Where,
    specs: Annotated[
        list[Path] | None,
        typer.Option("--slo", metavar="FILE", help="Specs whose queries an API is asked. May be given again."),
    ] = None,
    name: Annotated[str, typer.Option(help="Only this promise.")] = "",
    period: Annotated[str, typer.Option(help="What the promise would run over.")] = "30d",
    since: Since = "30d",
    until: Until = "now",
    step: Step = "300s",
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Targets that history would have kept, with intervals and with what was assumed. Exit code 1 when there is none."""
    with friendly(as_json):
        from midwatch.core.slo.suggest import suggest as suggested
        from midwatch.shell.queries import plain

        slos = _asked(history, specs, name, folder_of(folder), as_json)
        now = time.time()
        asked = (when(since, "since", now), when(until, "until", now))
        found = read_history(
            history,
            slos,
            asked,
            duration(step, "step"),
            folder=folder_of(folder),
            quiet=as_json,
            windowed=since != "30d",
        )
        seconds = duration(period, "period")
        rows = []
        for slo in slos or _named_in(found.counts):
            counts = found.of(slo.name)
            if counts is not None and counts.at.size:
                rows.append((slo, suggested(slo.entity, *hours(counts), period_seconds=seconds)))
        if not rows:
            raise UsageError("there is no history to judge by", hint="; ".join(found.notes[:3]))
        if as_json:
            print_json({"notes": list(found.notes), "promises": [{"slo": s.name, **plain(one)} for s, one in rows]})
        else:
            for note in found.notes:
                err.print(Text(f"! {note}", style="yellow"), soft_wrap=True)
            for slo, one in rows:
                _print_suggested(slo, one)
        if not any(one.suggestions for _, one in rows):
            raise typer.Exit(BAD)


def _asked(history: str, specs: list[Path] | None, name: str, folder: Path, quiet: bool) -> list[Slo]:
    """Whose history is wanted; nobody: whatever the file holds."""
    if specs:
        return chosen(read(specs, quiet=quiet).slos, name)
    if history in ("watch", "store"):
        rows = Running(folder).get("/api/v1/slos")
        named = {row["slo"]: Slo(row["slo"], row["entity"], row["sli"], row["target"]) for row in rows}
        return chosen(named.values(), name)
    if history.lower().endswith(".csv") or Path(history).is_file():
        return [Slo(name, f"service:{name}", "source", 0.99)] if name else []
    raise UsageError(
        "say with --slo FILE what an API shall be asked", hint="OpenSLO, Sloth and Pyrra specs are understood"
    )


def _named_in(counts: tuple[SliCounts, ...]) -> list[Slo]:
    """The promises that a file names, or the one that it is about."""
    names = dict.fromkeys(one.slo or "history" for one in counts)
    return [Slo(name, f"service:{name}", "source", 0.99) for name in names]


def hours(counts: SliCounts) -> tuple[Floats, Floats]:
    """Good and total per hour from the first to the last, shape (hours,) each. Steps that cannot be true are left out."""
    from midwatch.core.slo.counting import possible

    fine = possible(counts.good, counts.total)
    at = np.floor(counts.at[fine] / HOUR).astype(np.int64)
    if not at.size:
        return np.zeros(0), np.zeros(0)
    first = int(at.min())
    size = max(int(at.max()) - first + 1, math.floor(counts.seen_until / HOUR) - first)
    good: Floats = np.zeros(size)
    total: Floats = np.zeros(size)
    np.add.at(good, at - first, counts.good[fine])
    np.add.at(total, at - first, counts.total[fine])
    return good, total


def _print_suggested(slo: Slo, one: Any) -> None:
    out.print(Text(slo.name, style="bold"))
    for found in one.suggestions:
        months = f"{percent(found.low, 4)} to {percent(found.high, 4)}"
        out.print(
            f"  {percent(found.slo.target)}: history gave {percent(found.sli, 4)}, and 80 % of the months drawn from it "
            f"{months}; {percent(found.kept, 0)} of them keep it; {number(found.allowed)} failures a period",
            soft_wrap=True,
        )
        for line in found.assumed:
            out.print(Text(f"    assumed: {line}", style="dim"), soft_wrap=True)
    for reason in one.reasons:
        out.print(Text(f"  {reason}", style="yellow"), soft_wrap=True)
