"""``midwatch import``: people, schedules and escalations of another product, as a people file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from midwatch.faces.cli.common import BAD, AsJson, err, friendly, out, print_json
from midwatch.model.errors import UsageError

MAX_FILE_BYTES = 100_000_000
AS_IT_IS = "save what the API answered, as it is"

_ONE = {"people": "person", "teams": "team", "schedules": "schedule", "escalations": "escalation"}

imports = typer.Typer(help="Bring people, schedules and escalations from another product.", no_args_is_help=True)

Files = Annotated[list[Path], typer.Argument(help="Its API's answers as JSON files, or folders of them.")]
Out = Annotated[Path | None, typer.Option("--out", help="The people file to write. Default: standard output.")]
Channel = Annotated[str, typer.Option("--email-channel", help="The channel of settings.yaml that sends e-mail.")]


@imports.command("pagerduty")
def pagerduty(files: Files, to: Out = None, email_channel: Channel = "email", as_json: AsJson = False) -> None:
    """From PagerDuty: users, teams, schedules with their layers, escalation policies, services.

    Exit codes: 0 everything was kept, 1 something was not (it is said), 2 a file cannot be read.
    """
    _run("pagerduty", files, to, email_channel, as_json)


@imports.command("opsgenie")
def opsgenie(files: Files, to: Out = None, email_channel: Channel = "email", as_json: AsJson = False) -> None:
    """From Opsgenie: users, teams, schedules with their rotations, overrides, escalations, services.

    Exit codes: 0 everything was kept, 1 something was not (it is said), 2 a file cannot be read.
    """
    _run("opsgenie", files, to, email_channel, as_json)


@imports.command("grafana-oncall")
def grafana_oncall(files: Files, to: Out = None, email_channel: Channel = "email", as_json: AsJson = False) -> None:
    """From Grafana OnCall: users, teams, schedules, shifts, escalation chains and their steps, integrations.

    Exit codes: 0 everything was kept, 1 something was not (it is said), 2 a file cannot be read.
    """
    _run("grafana_oncall", files, to, email_channel, as_json)


def _run(product: str, files: list[Path], to: Path | None, email_channel: str, as_json: bool) -> None:
    with friendly(as_json):
        from midwatch.shell.files.people_out import people_text

        read: Callable[..., Any] = import_module(f"midwatch.adapters.importers.{product}").read
        made = read(_documents(files), time.time(), email_channel)
        people = made.people
        if not people.people:
            raise UsageError(
                "no user is in these files, so there is nobody to put on call", hint="docs/migrate.md names the answers"
            )
        if to is not None:
            _write(to, people_text(people))
        counts = {
            "people": len(people.people),
            "teams": len(people.teams),
            "schedules": len(people.schedules),
            "escalations": len(people.escalations),
        }
        if as_json:
            lost = [{"what": one.what, "why": one.why, "hint": one.hint} for one in made.lost]
            print_json({**counts, "file": str(to) if to else people_text(people), "lost": lost})
        else:
            if to is None:
                out.print(Text(people_text(people)), soft_wrap=True, end="")
            err.print(", ".join(f"{number} {what if number != 1 else _ONE[what]}" for what, number in counts.items()))
            for one in made.lost:
                err.print(Text(f"  ! {one}", style="yellow"), soft_wrap=True)
        if made.lost:
            raise typer.Exit(BAD)


def _documents(files: list[Path]) -> list[Any]:
    """Raises UsageError."""
    paths = [one for path in files for one in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    if not paths:
        raise UsageError("there is no .json file in there", hint=AS_IT_IS)
    found = []
    for path in paths:
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise UsageError(f"{path} is larger than {MAX_FILE_BYTES} bytes", hint="one file for each answer")
            found.append(json.loads(path.read_text("utf-8")))
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{path} is no JSON: {error}", hint=AS_IT_IS) from error
    return found


def _write(to: Path, words: str) -> None:
    """Raises UsageError."""
    if to.exists():
        raise UsageError(f"{to} is there already", hint="name another file, or move it away")
    try:
        to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with to.open("x", encoding="utf-8") as file:
            file.write(words)
    except OSError as error:
        raise UsageError(
            f"{to} cannot be written: {error.strerror}", hint="--out names a file in a folder that you may write to"
        ) from error
