"""``midwatch demo`` and ``midwatch gym``: the fleet to break. The only place that imports the gym, and only when asked."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from midwatch.faces.cli.common import BAD, AsJson, friendly, out, print_json
from midwatch.model.errors import MidwatchError, UsageError

gym = typer.Typer(help="A real fleet to break, and how well midwatch does on it.", no_args_is_help=True)
Seed = Annotated[int, typer.Option(help="Everything is drawn from it.")]


def _gym(module: str) -> Any:
    """A module of the gym. Raises UsageError with how to install what is missing."""
    try:
        return importlib.import_module(f"midwatch.gym.{module}")
    except ImportError as error:
        raise _missing(error) from error


def _missing(error: ImportError) -> UsageError:
    return UsageError(
        f"the gym is not complete here: {error.name or error} is missing", hint="pip install 'midwatch[gym,store]'"
    )


def _called(module: str, name: str, /, **options: Any) -> Any:
    """Call a function of the gym, whatever errors it has as ours."""
    function = getattr(_gym(module), name, None)
    if function is None:
        raise UsageError(f"this gym has no {module}.{name}")
    try:
        return function(**options)
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    except OSError as error:
        raise MidwatchError(f"the gym stopped: {error}") from error


def _ended(result: Any, as_json: bool) -> None:
    """A gym function answers with an exit code, or with a JSON-able result that may hold ``ok``."""
    if isinstance(result, int) and not isinstance(result, bool):
        raise typer.Exit(result)
    if isinstance(result, dict) and as_json:
        print_json(result)
    if result is False or (isinstance(result, dict) and result.get("ok") is False):
        raise typer.Exit(BAD)


def demo(
    folder: Annotated[Path, typer.Option(help="Where the fleet and the watch keep their data.")] = Path("demo-data"),
    seed: Seed = 1,
    once: Annotated[
        bool, typer.Option("--once", help="End when the incident is over, with exit code 0 if it went well.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """A fleet of real services breaks; midwatch finds out why, fixes it, proves it and writes the post-mortem."""
    with friendly(as_json):
        _ended(_called("demo", "run", folder=folder, seed=seed, once=once, as_json=as_json), as_json)


@gym.command()
def run(
    folder: Annotated[Path, typer.Option(help="Where the fleet keeps its data.")] = Path("demo-data/fleet"),
    seed: Seed = 1,
    rate: Annotated[float, typer.Option(min=0.1, help="Requests per second.")] = 25.0,
    otlp: Annotated[str, typer.Option(help="Where the fleet sends its telemetry.")] = "http://127.0.0.1:4318",
    fault: Annotated[str, typer.Option(metavar="KIND", help="Break this, after a minute.")] = "",
    entity: Annotated[
        str, typer.Option(help="Break it here, such as service:cart. Default: drawn from the seed.")
    ] = "",
    record: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="End after the fault; its telemetry lies here, for midwatch replay."),
    ] = None,
    once: Annotated[
        bool,
        typer.Option("--once", help="End a minute and a half after the fault came; exit code 1 if nobody felt it."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the fleet alone, until Ctrl-C: point your own watch at it. It can be broken, or one fault recorded."""
    with friendly(as_json):
        options = {"folder": folder, "seed": seed, "rate": rate, "otlp": otlp}
        options |= {"fault": fault, "entity": entity, "record": record, "once": once}
        _ended(_called("cli", "run", as_json=as_json, **options), as_json)


@gym.command()
def score(
    seed: Annotated[list[int], typer.Option(help="Everything is drawn from it. May be given again.")],
    kinds: Annotated[list[str] | None, typer.Option(metavar="KIND", help="Only this. May be given again.")] = None,
    cases: Annotated[int, typer.Option(min=1, help="Of each kind, for each seed.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Fleets at a time; each takes about 700 MB.")] = 1,
    to: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Case files and the page gym.md; a case that is there is kept. Default: gym-score-SEED.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Break it in every way that the seed draws and score the watch. Exit code 1 when a bound is missed."""
    with friendly(as_json):
        options = {"seeds": tuple(seed), "kinds": tuple(kinds or ()), "cases": cases, "jobs": jobs, "out": to}
        _ended(_called("cli", "score", as_json=as_json, **options), as_json)


@gym.command()
def faults(
    names: Annotated[list[str] | None, typer.Argument(metavar="KIND...", help="All, when none is named.")] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Does each do what it says, on a real fleet? About two minutes each; exit code 1 when one does not.",
        ),
    ] = False,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """What can break, and what fixes it."""
    with friendly(as_json):
        if check:
            _ended(_called("cli", "check", names=tuple(names or ()), seed=seed, as_json=as_json), as_json)
            return
        rows = _called("cli", "faults", names=tuple(names or ()))
        if as_json:
            print_json(rows)
            return
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("fault", no_wrap=True)
        table.add_column("places", justify="right", no_wrap=True)
        table.add_column("fixed by", min_width=16)
        table.add_column("what happens")
        for row in rows:
            fixes = ", ".join(row["fixed_by"]) or "nothing is broken"
            table.add_row(row["name"], str(row["eligible"]), fixes, Text(row["what"]))
        out.print(table)


@gym.command()
def simulate(
    seed: Seed = 1,
    incidents: Annotated[int, typer.Option(min=1, help="How many incidents.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Simulated fleets under a virtual clock, with the invariants checked. Exit code 1 when one is broken (the seed is
    printed)."""
    with friendly(as_json):
        _ended(_called("cli", "simulate", seed=seed, incidents=incidents, as_json=as_json), as_json)


@gym.command()
def bench(
    name: Annotated[str, typer.Argument(help="petshop, nezha, tvdiag, nab or loghub.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="The unpacked archive, or anything in its layout.")],
    peers: Annotated[bool, typer.Option("--peers", help="Run the peers that are installed in the same run.")] = False,
    to: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Keep bench-NAME.json here and make the page diagnosis.md anew."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score the engine on public incidents with known answers."""
    with friendly(as_json):
        options = {"name": name, "data": data, "peers": peers, "out": to}
        _ended(_called("benchmarks.cli", "bench", as_json=as_json, **options), as_json)
