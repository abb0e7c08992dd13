"""``midwatch investigate``: what was the cause of what was wrong between these two moments?"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from midwatch.faces.cli.common import AsJson, Folder, Running, err, folder_of, friendly, out, print_json
from midwatch.faces.cli.reading import read_state
from midwatch.faces.cli.slo.common import when
from midwatch.model.entity import name_of
from midwatch.model.errors import UsageError
from midwatch.shell.config import load_settings, resolve
from midwatch.shell.folder import read_running

SHOWN, EVIDENCE = 3, 4
WAIT_SECONDS = 930.0


def investigate(
    since: Annotated[str, typer.Option("--from", help="When it began: 45m (ago), or 2026-10-01T14:05:00Z.")] = "",
    until: Annotated[str, typer.Option("--to", help="Until when it lasted: now, 10m (ago), or a moment.")] = "",
    symptom: Annotated[
        str, typer.Option(metavar="ENTITY", help="Where it was felt: payment, or service:payment.")
    ] = "",
    recording: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Look into recorded OTLP files, not into the store.")
    ] = None,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Rank the causes of what was wrong in the past, with evidence, from what the store holds. It is the diagnosis of a live
    incident, made again. Exit code 0 whether or not anything was wrong."""
    with friendly(as_json):
        found = _asked(since, until, symptom, recording, folder_of(folder), as_json)
        if as_json:
            print_json(found)
        else:
            _print(found)


def _asked(since: str, until: str, symptom: str, recording: Path | None, folder: Path, quiet: bool) -> dict[str, Any]:
    from midwatch.shell.investigate import Question, filled, from_recording

    now = time.time()
    begin, end = (when(text, name, now) if text else None for text, name in ((since, "from"), (until, "to")))
    if recording is not None:
        question = filled(recording, begin, end, symptom)
        with _bar(quiet) as bar:
            return from_recording(recording, question, progress=_telling(bar)).as_json()
    if begin is None:
        raise UsageError("say when it began", hint="midwatch investigate --from 45m --to 15m")
    question = Question(begin, now if end is None else end, symptom)
    if read_running(folder) is not None:
        words = urlencode({"since": question.since_at, "until": question.until_at, "symptom": symptom})
        with err.status("Reading the store…"):
            found: dict[str, Any] = Running(folder, patience_seconds=WAIT_SECONDS).get(f"/api/v1/investigate?{words}")
        return found
    return asyncio.run(_from_folder(folder, question, quiet))


async def _from_folder(folder: Path, question: Any, quiet: bool) -> dict[str, Any]:
    """Nobody is on watch: the store is opened here."""
    from midwatch.shell.inquiry import from_store
    from midwatch.shell.store.store import Store

    state = read_state(folder)
    settings = load_settings(folder)
    if settings.store == "none" or (settings.store == "embedded" and not settings.store_folder.is_dir()):
        raise UsageError(f"there is no telemetry store in {folder}", hint="for recorded files: --recording DIR")
    store = Store(settings.store_folder) if settings.store == "embedded" else Store(dsn=resolve(settings.store))
    try:
        await store.start()
        with _bar(quiet) as bar:
            found = await from_store(
                store, question, causes_seen=state.causes_seen, changes=state.changes, progress=_telling(bar)
            )
        return found.as_json()
    finally:
        await store.close()


def _bar(quiet: bool) -> AbstractContextManager[Progress]:
    columns = (TextColumn("Looking at"), BarColumn(), TextColumn("{task.fields[at]}"), TimeElapsedColumn())
    return Progress(*columns, console=err, transient=True, disable=quiet)


def _telling(bar: Progress) -> Any:
    task = bar.add_task("investigate", total=None, at="")

    def tell(at: float, incidents: int) -> None:
        said = time.strftime("%H:%M:%SZ", time.gmtime(at))
        bar.update(task, at=f"{said}, {incidents} incident{'' if incidents == 1 else 's'}")

    return tell


def _print(found: dict[str, Any]) -> None:
    out.print(Text(f"{_moment(found['from'])} to {_moment(found['to'])}, {found['rows']:,} rows", style="dim"))
    for note in found["notes"]:
        out.print(Text(f"! {note}", style="yellow"), soft_wrap=True)
    if not found["answers"]:
        out.print("Nothing was wrong that users would have felt, as far as midwatch sees.")
        for one in found["findings"][:10]:
            said = f"  {one['kind'].replace('_', ' ')} at {name_of(one['entity'])} since {_moment(one['since_at'])}"
            out.print(Text(said), soft_wrap=True)
        out.print(Text("  If somebody felt it, say where: --symptom ENTITY", style="dim"))
    for one in found["answers"]:
        out.print()
        _print_answer(one)


def _print_answer(one: dict[str, Any]) -> None:
    out.print(Text(one["title"], style="bold"), soft_wrap=True)
    felt = ", ".join(name_of(key) for key in one["symptoms"])
    how = "since" if one["detected"] else "midwatch itself saw nothing wrong; taken to begin at"
    out.print(Text(f"  felt at {felt}; {how} {_moment(one['onset_at'])}"), soft_wrap=True)
    for line in one["missing"]:
        out.print(Text(f"  ! not seen: {line}", style="yellow"), soft_wrap=True)
    ranked = one["hypotheses"]
    for number, hypothesis in enumerate(ranked[:SHOWN], start=1):
        line = f"{number}. {hypothesis['kind'].replace('_', ' ')} at {name_of(hypothesis['entity'])}"
        out.print(Text(f"{line}  {hypothesis['probability']:.0%}", style="bold" if number == 1 else ""))
        for evidence in hypothesis["evidence"][:EVIDENCE]:
            out.print(Text(f"   {evidence['weight'] or 0:+.1f}  {evidence['text']}"), soft_wrap=True)
        if len(hypothesis["path"]) > 1:
            out.print(Text("   path   " + " > ".join(name_of(key) for key in hypothesis["path"])), soft_wrap=True)
        if number == 1 and hypothesis["next_check"]:
            out.print(Text(f"   check  {hypothesis['next_check']}"), soft_wrap=True)
        if number == 1 and hypothesis["refuted_by"]:
            out.print(Text(f"   wrong if  {hypothesis['refuted_by']}"), soft_wrap=True)
    rest = sum(h["probability"] for h in ranked[SHOWN:])
    others = f"{len(ranked) - SHOWN} others {rest:.0%}, " if len(ranked) > SHOWN else ""
    out.print(f"{others}none of these {one['unknown']:.0%}")


def _moment(rfc3339: str) -> str:
    """Whole seconds are enough for people."""
    return f"{rfc3339[:19].replace('T', ' ')}Z"
