"""Commands that work on files alone: check, rules, convert."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from midwatch.faces.cli.common import BAD, USAGE, AsJson, Folder, Running, err, folder_of, friendly, out, print_json
from midwatch.faces.cli.slo.common import Out, Specs, bar, duration, problem_row, put, read
from midwatch.model.errors import MidwatchError, UsageError
from midwatch.model.indicators import Composite
from midwatch.model.slo import Slo
from midwatch.shell.files.yaml_lines import Problem
from midwatch.shell.queries import plain

if TYPE_CHECKING:
    from midwatch.core.slo.lint import Remark


def check(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Specs, policies, playbooks; files or folders.")
    ],
    source: Annotated[
        str, typer.Option(metavar="WHERE", help="Ask this API (an address, or a source in settings.yaml) for facts.")
    ] = "",
    policy: Annotated[
        str, typer.Option(help="How they alert: file (what the specs say), guarded, textbook, or a policy file.")
    ] = "file",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say also what was not checked.")] = False,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """What is wrong with promises, and what will not do what was meant: alerts that can never fire, queries that match
    nothing, targets above what dependencies promise. Exit code 2 when a file is wrong, 1 when a promise cannot work."""
    with friendly(as_json):
        from midwatch.shell import files

        problems = files.check(paths)
        remarks = _linted(paths, source, policy, folder_of(folder), as_json)
        wrong = any(remark.level == "error" for _, remark in remarks)
        if as_json:
            rows = [{"slo": name, **plain(remark)} for name, remark in remarks]
            print_json(
                {"ok": not problems and not wrong, "problems": [problem_row(p) for p in problems], "remarks": rows}
            )
        else:
            _print_check(problems, remarks, source, verbose)
        if problems or wrong:
            raise typer.Exit(USAGE if problems else BAD)


def _linted(paths: list[Path], source: str, policy: str, folder: Path, quiet: bool) -> list[tuple[str, Remark]]:
    """The remarks on every promise that could be read, with facts from ``source`` when one is named, and with who calls
    whom from the watch that runs on ``folder``, if one does."""
    from msgspec.structs import replace

    from midwatch.core.slo.lint import Facts, lint
    from midwatch.core.slo.lint.needs import needs
    from midwatch.shell.alert_policies import read_policy
    from midwatch.shell.files.specs import read_specs

    slos, alerting = read_specs(paths).slos, read_policy(policy)
    known: dict[str, Facts] = asyncio.run(_facts(slos, source, folder, quiet)) if source else {}
    needed = needs(slos, _calls(folder))
    facts = {s.name: replace(known.get(s.name, Facts()), dependencies=needed.get(s.name)) for s in slos}
    return [(slo.name, remark) for slo in slos for remark in lint(slo, alerting(slo), facts[slo.name])]


def _calls(folder: Path) -> dict[str, list[str]] | None:
    """None without a watch."""
    try:
        found: dict[str, list[str]] = Running(folder).get("/api/v1/calls")
    except MidwatchError:
        return None
    return found


async def _facts(slos: Sequence[Slo], where: str, folder: Path, quiet: bool) -> dict[str, Any]:
    from midwatch.adapters.sources.prometheus.source import PrometheusSource
    from midwatch.faces.cli.slo.histories import asked, named_source
    from midwatch.shell.facts import facts_of

    source = named_source(where, folder)
    if not isinstance(source, PrometheusSource):
        raise UsageError(f"{where!r} cannot be asked for facts")
    found = {}
    counted = [slo for slo in slos if slo.sli == "source" and not isinstance(slo.indicator, Composite)]
    with asked(where), bar("Asking the source", off=quiet) as progress:
        for slo in progress.track(counted):
            found[slo.name] = await facts_of(source, slo, time.time())
    return found


def _print_check(
    problems: Sequence[Problem], remarks: Sequence[tuple[str, Remark]], source: str, verbose: bool
) -> None:
    for problem in problems:
        _line(f"{problem.error()} [{problem.code}]", problem.hint, "red")
    for name, remark in remarks:
        if remark.level != "not checked":
            style = "red" if remark.level == "error" else "yellow"
            _line(f"{name}: {remark.message} [{remark.rule}]", remark.hint, style)
    unknown = [f"{name}: {remark.message} [{remark.rule}]" for name, remark in remarks if remark.level == "not checked"]
    if verbose:
        for line in unknown:
            _line(line, "", "dim")
    elif unknown:
        asked = "the source did not tell it" if source else "--source asks a Prometheus for it"
        _line(f"checks that lack a fact: {len(unknown)} ({asked}; -v lists them)", "", "dim")
    if not problems and len(unknown) == len(remarks):
        out.print("[green]Nothing is wrong.[/]")


def _line(text: str, hint: str, style: str) -> None:
    out.print(Text(text, style=style), soft_wrap=True)
    if hint:
        out.print(Text(f"  hint: {hint}", style="dim"), soft_wrap=True)


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
