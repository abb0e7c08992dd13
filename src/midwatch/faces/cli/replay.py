"""``midwatch replay``: what would midwatch have found, and done, in a recording?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from midwatch.faces.cli.common import AsJson, err, friendly, out, print_json, severity_text


def replay(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="traces*.jsonl, metrics*.jsonl, logs*.jsonl, or .gz.")
    ],
    slos: Annotated[
        Path | None, typer.Option(help="OpenSLO files; without, promises are proposed from the telemetry.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the same loop over recorded telemetry (the OpenTelemetry Collector's file exporter) under the recording's own
    clock, with playbooks in rehearsal: nothing is touched. Exit code 0 whether or not there were incidents."""
    with friendly(as_json):
        from midwatch.shell.replay import replay as run

        columns = (TextColumn("Replaying"), BarColumn(), TextColumn("{task.fields[at]}"), TimeElapsedColumn())
        with Progress(*columns, console=err, transient=True, disable=as_json) as bar:
            task = bar.add_task("replay", total=None, at="")

            def tell(at: float, incidents: int) -> None:
                bar.update(task, at=f"{_words(at)}, {incidents} incidents")

            report = run(directory, slos=slos, progress=tell)
        found = report.as_json()
        if as_json:
            print_json(found)
        else:
            _print(found, report)


def _words(at: float) -> str:
    from midwatch.shell.replay import rfc3339

    return rfc3339(at)[11:19]


def _print(found: dict[str, Any], report: Any) -> None:
    out.print(
        f"{report.ticks} turns over {report.seconds:.0f} s of recorded time, {report.rows} rows, {report.slos} promises"
    )
    for note in report.notes:
        out.print(Text(f"! {note}", style="yellow"), soft_wrap=True)
    if not found["incidents"]:
        out.print("No incident.")
    for one in found["incidents"]:
        until = one["resolved_at"][11:19] if one["resolved_at"] else "not resolved"
        head = Text.assemble((one["id"], "bold"), " ", severity_text(one["severity"]))
        head.append(f" {one['opened_at'][:19]} to {until}: {', '.join(one['symptoms'])}")
        out.print(head, soft_wrap=True)
        for cause in one["causes"][:5]:
            out.print(Text(f"  {cause['probability']:.0%} {cause['kind']} at {cause['entity']}"))
            for line in cause["evidence"][:3]:
                out.print(Text(f"       {line}", style="dim"), soft_wrap=True)
        out.print(f"  {one['unknown']:.0%} none of these")
        for action in one["actions"]:
            said = f"  would {action['verb']} {action['target']}: {action['verdict']} ({action['why']})"
            out.print(Text(said), soft_wrap=True)
