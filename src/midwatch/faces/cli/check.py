"""``midwatch check``: is every file right, before a watch reads it?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from midwatch.faces.cli.common import USAGE, AsJson, friendly, out, print_json
from midwatch.model.errors import ConfigError


def check(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files or folders.")], as_json: AsJson = False
) -> None:
    """Validate promises, playbooks, limits and settings. Exit code 2 when a file is wrong."""
    with friendly(as_json):
        from midwatch.shell import files

        problems = files.check(paths)
        if as_json:
            print_json({"ok": not problems, "problems": [_row(p) for p in problems]})
        else:
            for problem in problems:
                out.print(Text(str(problem), style="red"), soft_wrap=True)
                if problem.hint:
                    out.print(Text(f"  hint: {problem.hint}", style="dim"), soft_wrap=True)
            if not problems:
                out.print("[green]All right.[/]")
        if problems:
            raise typer.Exit(USAGE)


def _row(problem: ConfigError) -> dict[str, object]:
    return {
        "path": problem.path,
        "line": problem.line,
        "key": problem.key,
        "problem": str(problem),
        "hint": problem.hint,
    }
