"""``midwatch items``: what incidents left to be done, by whom, until when, and where it was filed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from midwatch.faces.cli.commands import send
from midwatch.faces.cli.common import AsJson, By, Folder, folder_of, friendly, out, print_json
from midwatch.faces.cli.reading import read_state
from midwatch.model.errors import UsageError
from midwatch.model.items import ItemRecord
from midwatch.shell.queries import item_row

DAY_SECONDS = 86400.0

items = typer.Typer(help="Action items: what incidents left to be done.")


@items.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Those that are open, the latest due first."""
    if context.invoked_subcommand is not None:
        return
    with friendly(as_json):
        state, now = read_state(folder_of(folder)), time.time()
        chosen = [r for r in state.items.values() if everything or r.status == "open"]
        chosen.sort(key=lambda r: (r.status != "open", r.item.due_at))
        if as_json:
            print_json([{**item_row(one), "due": _date(one.item.due_at), "late": _late(one, now)} for one in chosen])
        elif chosen:
            out.print(_table(chosen, now))
        else:
            out.print("No open action item.")


@items.command("add")
def add(
    incident: Annotated[str, typer.Argument(metavar="INC")],
    what: Annotated[str, typer.Argument(help="What is to be done.")],
    owner: Annotated[str, typer.Option(help="A person or a team.")],
    due: Annotated[str, typer.Option(help="14d, or a date: 2026-12-24.")] = "14d",
    folder: Folder = None,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Write an action item down; it is filed with the tracker that the settings name."""
    with friendly(as_json):
        value = f"{_day(due)} {owner}"
    send(folder, as_json, "item", by, incident, "Written down for {target}.", value=value, note=what)


@items.command("done")
def done(
    item: Annotated[str, typer.Argument(metavar="AI")],
    why: Annotated[str, typer.Option("--note", help="How it ended.")] = "",
    folder: Folder = None,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Say that an action item is done, or will not be."""
    send(folder, as_json, "item_done", by, item.upper(), "{target} is closed.", note=why)


def _day(text: str) -> str:
    """Raises UsageError."""
    try:
        if text.endswith("d") and text[:-1].isdigit():
            return datetime.fromtimestamp(time.time() + int(text[:-1]) * DAY_SECONDS, UTC).date().isoformat()
        return datetime.fromisoformat(text).date().isoformat()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"--due: {text!r} is no date", hint="write 14d or 2026-12-24") from error


def _table(chosen: list[ItemRecord], now: float) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("item", "incident", "what", "owner", "due", "filed", "came again in"):
        table.add_column(name, overflow="fold")
    for one in chosen:
        late = _late(one, now)
        due = one.status if one.status != "open" else f"{_date(one.item.due_at)}{', late' if late else ''}"
        filed = f"{one.tracker} {one.ref}" if one.ref else "-"
        row = (one.item.id, one.item.incident, one.item.what, one.item.owner, due, filed, ", ".join(one.seen_in) or "-")
        table.add_row(*(Text(cell) for cell in row), style="yellow" if late else "")
    return table


def _late(one: ItemRecord, now: float) -> bool:
    return one.status == "open" and one.item.due_at < now


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
