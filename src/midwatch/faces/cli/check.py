"""``midwatch check``: is every file right, before a watch reads it?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from midwatch.faces.cli.common import USAGE, AsJson, friendly, out, print_json
from midwatch.model.errors import ConfigError
from midwatch.model.policy import Policy
from midwatch.shell import files
from midwatch.shell.config import SETTINGS_FILE, Settings, read_settings
from midwatch.shell.files import Problem
from midwatch.shell.folder import load_policy
from midwatch.shell.integrations import quiet_words

DISCOVERED = ("-availability", "-latency", "-freshness")
"""How promises are called that the watch proposes by itself."""


def check(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files or folders.")], as_json: AsJson = False
) -> None:
    """Validate promises, playbooks, limits and settings. Exit code 2 when a file is wrong."""
    with friendly(as_json):
        problems: list[Problem] = [
            *map(_where_settings_go, files.check([path for path in paths if path.name != SETTINGS_FILE])),
            *(p for path in paths if path.name == SETTINGS_FILE for p in _settings(path)),
        ]
        advice = (
            [line for path in paths if path.name == SETTINGS_FILE for line in _advice(path)] if not problems else []
        )
        if as_json:
            print_json({"ok": not problems, "problems": [_row(p) for p in problems], "advice": advice})
        else:
            for problem in problems:
                out.print(Text(str(problem.error()), style="red"), soft_wrap=True)
                if problem.hint:
                    out.print(Text(f"  hint: {problem.hint}", style="dim"), soft_wrap=True)
            if not problems:
                out.print("[green]All right.[/]")
            for line in advice:
                out.print(Text(f"  hint: {line}", style="dim"), soft_wrap=True)
        if problems:
            raise typer.Exit(USAGE)


def _settings(path: Path) -> list[Problem]:
    """What is wrong with a watch's settings."""
    try:
        settings, problems = read_settings(path.parent, file=path)
        return problems if settings is None else [*problems, *_unkept(path, settings)]
    except ConfigError as error:
        where = f"{error.path}:{error.line}: " if error.line else f"{error.path}: "
        return [Problem(error.path, error.line, error.key, str(error).removeprefix(where), error.hint)]


def _advice(path: Path) -> list[str]:
    """What is not wrong, and still better said: pages that nobody could answer from a telephone, senders of alerts whose
    usual words page nobody."""
    try:
        settings, _ = read_settings(path.parent, file=path)
        policy = load_policy(settings)[0] if settings is not None else None
    except ConfigError:
        return []  # a file of its own, with problems of its own
    if settings is None or policy is None:
        return []
    said = []
    if any(one.type != "console" for one in settings.channels.values()) and not policy.console:
        said.append(
            "pages have no link, so nobody can answer them from a telephone: `console_url: https://...` in midwatch.yaml "
            "says where people reach the console"
        )
    awaited = settings.status_page.unkept({slo.name for slo in policy.slos}).values()
    said += [
        f"customers see no data of {one.name} on the status page until requests were seen from which midwatch proposes the "
        f"promise {one.slo}; where it sees none, `service:` instead of `slo:` will do"
        for one in awaited
        if _may_come(policy, one.slo)
    ]
    return said + [f"{text}. {hint}" for text, hint in quiet_words(settings, policy.paging.page_severity).values()]


def _unkept(path: Path, settings: Settings) -> list[Problem]:
    """Components of the status page whose promise no file makes: they would show "no data" for ever."""
    if not settings.status_page.components:
        return []
    try:
        policy, _ = load_policy(settings)
    except ConfigError:
        return []  # a file of its own, with problems of its own
    kept = {slo.name for slo in policy.slos}
    hint = (
        f"promises are kept beside {SETTINGS_FILE}: {', '.join(sorted(kept)[:5]) or 'there is none yet'}; without one, "
        "`service:` instead of `slo:` will do"
    )
    return [
        Problem(str(path), 0, f"status_page.components.{number}.slo", f"nobody keeps a promise called {one.slo}", hint)
        for number, one in settings.status_page.unkept(kept).items()
        if not _may_come(policy, one.slo)
    ]


def _may_come(policy: Policy, slo: str) -> bool:
    """Whether the watch may propose that promise by itself."""
    return policy.discover_slos and slo.endswith(DISCOVERED)


def _where_settings_go(problem: Problem) -> Problem:
    """What begins like settings, but was not read as such, with a hint that says how it would be."""
    if problem.code != "unknown-document" or problem.key not in Settings.model_fields:
        return problem
    if Path(problem.path).name == SETTINGS_FILE:
        return replace(problem, hint=f"settings are checked by themselves: midwatch check {problem.path}")
    return replace(problem, hint=f"settings are read from a file called {SETTINGS_FILE}")


def _row(problem: Problem) -> dict[str, object]:
    return {
        "path": problem.path,
        "line": problem.line,
        "key": problem.key,
        "problem": problem.message,
        "hint": problem.hint,
    }
