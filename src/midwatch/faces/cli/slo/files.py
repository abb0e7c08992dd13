"""Commands that work on files alone: check, rules, convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from midwatch.faces.cli.common import BAD, USAGE, AsJson, err, friendly, out, print_json
from midwatch.faces.cli.slo.common import Out, Specs, duration, problem_row, put, read
from midwatch.model.errors import UsageError


def check(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Specs, policies, playbooks; files or folders.")
    ],
    as_json: AsJson = False,
) -> None:
    """What is wrong with promises, and what will not do what was meant. Exit code 2 when a file is wrong."""
    with friendly(as_json):
        from midwatch.shell import files

        problems = files.check(paths)
        if as_json:
            print_json({"ok": not problems, "problems": [problem_row(p) for p in problems]})
        else:
            for problem in problems:
                out.print(Text(f"{problem.error()} [{problem.code}]", style="red"), soft_wrap=True)
                if problem.hint:
                    out.print(Text(f"  hint: {problem.hint}", style="dim"), soft_wrap=True)
            if not problems:
                out.print("[green]All right.[/]")
        if problems:
            raise typer.Exit(USAGE)


def rules(
    files: Specs,
    compat: Annotated[
        str, typer.Option(help="sloth: the same groups, names, labels and PromQL as Sloth, for its dashboards.")
    ] = "",
    period: Annotated[str, typer.Option(help="Instead of each promise's own period: 28d.")] = "",
    form: Annotated[
        str,
        typer.Option(help="file (Prometheus), crd (PrometheusRule), mimir (ruler payloads) or grafana (dashboard)."),
    ] = "file",
    one_document: Annotated[
        bool,
        typer.Option("--one-document", help="With --compat sloth: all in one YAML document, as Prometheus reads it."),
    ] = False,
    to: Out = None,
    as_json: AsJson = False,
) -> None:
    """Prometheus recording and alerting rules for promises. Exit code 1 when some could not be written."""
    with friendly(as_json):
        from midwatch.shell.files.rules_out import written

        found = read(files, quiet=as_json)
        made = written(
            found.slos,
            compat=_one_of(compat, "compat", ("", "sloth")),
            period_seconds=duration(period, "period") if period else None,
            form=_one_of(form, "form", ("file", "crd", "mimir", "grafana")),
            one_document=one_document,
        )
        if as_json:
            print_json(
                {
                    "rules": made.text,
                    "left_out": dict(made.left_out),
                    "warnings": list(made.warnings),
                    "problems": [problem_row(p) for p in found.problems],
                }
            )
        else:
            for line in (*made.warnings, *(f"left out: {why}" for why in made.left_out.values())):
                err.print(Text(line, style="yellow"), soft_wrap=True)
            put(made.text, to)
        if made.left_out or found.problems:
            raise typer.Exit(BAD)


def _one_of(value: str, key: str, known: tuple[str, ...]) -> Any:
    if value not in known:
        raise UsageError(f"--{key}: there is no {value!r}", hint="one of: " + ", ".join(k for k in known if k))
    return value


def convert(files: Specs, to: Out = None, as_json: AsJson = False) -> None:
    """Specs of any kind as OpenSLO v1. Exit code 1 when something could not be read."""
    with friendly(as_json):
        from midwatch.shell.files.specs.write import to_openslo_v1

        found = read(files, quiet=as_json)
        text = to_openslo_v1(found)
        if as_json:
            print_json({"openslo": text, "problems": [problem_row(p) for p in found.problems]})
        else:
            put(text, to)
        if found.problems:
            raise typer.Exit(BAD)
