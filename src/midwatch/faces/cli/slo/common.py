"""What the commands about promises share: reading specs, numbers in words, where text goes."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from midwatch.faces.cli.common import err, length_words, out
from midwatch.model.errors import UsageError
from midwatch.model.slo import Slo
from midwatch.shell.files.parts import moment, seconds
from midwatch.shell.files.yaml_lines import Problem

Specs = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="OpenSLO, Sloth or Pyrra specs; files or folders.", show_default=False),
]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write here, not to the terminal.")]


def read(paths: Iterable[Path], *, quiet: bool = False) -> Any:
    """A ``SpecSet``; what is left out is said on standard error. Raises ConfigError when nothing is left."""
    from midwatch.shell.files.specs import read_specs

    found = read_specs(paths)
    if not found.slos:
        if found.problems:
            if not quiet:
                tell(found.problems[1:])
            raise found.problems[0].error()
        raise UsageError("there is no promise in these files", hint="OpenSLO, Sloth and Pyrra specs are understood")
    if not quiet:
        tell(found.problems)
    return found


def tell(problems: Iterable[Problem]) -> None:
    """What is wrong in files, on standard error."""
    for problem in problems:
        err.print(Text(f"left out: {problem.error()}", style="yellow"), soft_wrap=True)
        if problem.hint:
            err.print(Text(f"  hint: {problem.hint}", style="dim"), soft_wrap=True)


def problem_row(problem: Problem) -> dict[str, Any]:
    return {
        "path": problem.path,
        "line": problem.line,
        "key": problem.key,
        "code": problem.code,
        "problem": problem.message,
        "hint": problem.hint,
    }


def chosen(slos: Iterable[Slo], name: str) -> list[Slo]:
    """All of them, or the one that is named."""
    from midwatch.shell.slo_views import find

    return [find(slos, name)] if name else list(slos)


def put(text: str, to: Path | None) -> None:
    """``text`` to a file, or to standard output as it is. Raises UsageError when the file cannot be written."""
    if to is None:
        out.file.write(text if text.endswith("\n") else text + "\n")
        return
    try:
        to.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"{to} cannot be written: {error.strerror}") from error
    err.print(Text(f"written to {to}"), soft_wrap=True)


def bar(what: str, *, off: bool) -> Progress:
    """A progress bar on standard error for long work; it leaves nothing behind."""
    return Progress(
        TextColumn(what),
        BarColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=off or not err.is_terminal,
    )


def duration(text: str, key: str) -> float:
    """``30d`` in seconds. Raises UsageError."""
    try:
        return seconds(text)
    except ValueError as error:
        said, _, hint = str(error).partition(" | ")
        raise UsageError(f"--{key}: {said}", hint=hint) from None


def when(text: str, key: str, now: float) -> float:
    """A moment with its zone, unix seconds, ``now``, or so long before now (``30d``). Raises UsageError."""
    if text == "now":
        return now
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return now - seconds(text)
    except ValueError:
        pass
    try:
        return moment(text)
    except ValueError as error:
        said, _, hint = str(error).partition(" | ")
        raise UsageError(f"--{key}: {said}", hint=hint or "or so long ago: 30d, 6h") from None


def percent(ratio: float | None, digits: int = 3) -> str:
    """``99.95 %``; "-" for what is not known."""
    if ratio is None:
        return "-"
    text = f"{100 * ratio:.{digits}f}"
    return (text.rstrip("0").rstrip(".") if digits else text) + " %"


def span(seconds_: float | None) -> str:
    """``42 s``, ``3 min 05 s``, ``2 h 10 min``, ``3.1 d``; "-" for what is not known."""
    if seconds_ is None:
        return "-"
    if seconds_ >= 2 * 86400:
        return f"{seconds_ / 86400:.1f} d"
    return length_words(seconds_)


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"


def utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%MZ")


def ago(at: float | None) -> str:
    return "never" if at is None else f"{span(time.time() - at)} ago"
