"""Where the history for a back-test or a suggestion comes from, as the command line names it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.progress import Progress, TaskID

from midwatch.faces.cli.common import Running
from midwatch.faces.cli.slo.common import bar
from midwatch.model.errors import MidwatchError, NotFound, SourceError, UsageError
from midwatch.model.ports import Source
from midwatch.model.slo import Slo
from midwatch.shell.config import SourceSettings, load_settings
from midwatch.shell.history import History, cut, from_json, from_source, read_csv
from midwatch.shell.sources import build_source


def read_history(
    where: str,
    slos: Sequence[Slo],
    span: tuple[float, float],
    step_seconds: float,
    *,
    folder: Path,
    quiet: bool,
    windowed: bool = True,
) -> History:
    """Counts of ``slos`` from ``where`` in ``span`` (unix seconds). A file is taken whole unless ``windowed``. Raises
    MidwatchError; one promise that a source cannot count is left out, and said."""
    if where in ("watch", "store"):
        return _of_watch(slos, span, folder)
    path = Path(where)
    if not where.startswith(("http://", "https://")) and (path.suffix.lower() == ".csv" or path.is_file()):
        found = read_csv(path)
        return History(tuple(cut(one, *span) for one in found.counts), found.notes) if windowed else found
    with asked(where):
        return asyncio.run(_of_source(named_source(where, folder), slos, span, step_seconds, quiet))


@contextmanager
def asked(where: str) -> Iterator[None]:
    """A source's error says which one was asked, as it was named here."""
    try:
        yield
    except SourceError as error:
        raise SourceError(str(error) if where in str(error) else f"{where}: {error}", hint=error.hint) from error


def named_source(where: str, folder: Path) -> Source:
    """A source of the folder's settings by its name or its address, or an address that needs no token."""
    settings = load_settings(folder).sources
    if where in settings:
        return build_source(where, settings[where])
    if where.startswith(("http://", "https://")):
        if "@" in where.partition("//")[2].partition("/")[0]:
            hint = "set it up as a source in settings.yaml, its url as env:NAME or file:/path, and say its name here"
            raise UsageError("the address holds a password, which others see in the list of processes", hint=hint)
        same = [name for name, one in settings.items() if one.url.rstrip("/") == where.rstrip("/")]
        if same:
            return build_source(same[0], settings[same[0]])
        return build_source("the source", SourceSettings(url=where, timeout_seconds=60))
    known = ", ".join(settings) or "none"
    hint = f"sources in settings.yaml: {known}; else a CSV file, an http address, or: watch"
    raise UsageError(f"there is no history {where!r}", hint=hint)


async def _of_source(
    source: Source, slos: Sequence[Slo], span: tuple[float, float], step_seconds: float, quiet: bool
) -> History:
    found: list[Any] = []
    notes: list[str] = []
    with bar("Reading history", off=quiet) as progress:
        for slo in slos:
            task = progress.add_task(slo.name, total=1.0)
            try:
                one = await from_source(source, slo, *span, step_seconds, _telling(progress, task))
            except MidwatchError as error:
                if len(slos) == 1:
                    raise
                notes.append(f"{slo.name} is left out: {error}")
                continue
            found += one.counts
            notes += one.notes
    return History(tuple(found), tuple(notes))


def _telling(progress: Progress, task: TaskID) -> Callable[[float], None]:
    return lambda done: progress.update(task, completed=done)


def _of_watch(slos: Sequence[Slo], span: tuple[float, float], folder: Path) -> History:
    """From the running watch: only promises that it keeps."""
    running = Running(folder)
    found: list[Any] = []
    notes: list[str] = []
    for slo in slos:
        try:
            said = running.get(
                f"/api/v1/slos/{quote(slo.name, safe='')}/history?since={max(0.0, span[0]):.0f}&until={span[1]:.0f}"
            )
        except (UsageError, NotFound) as error:
            notes.append(f"{slo.name} is left out: {error}")
            continue
        found += from_json(said["counts"])
        notes += said["notes"]
    return History(tuple(found), tuple(notes))
