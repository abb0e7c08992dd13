"""``midwatch status-page``: the page for customers, written once, and who gets mail of it.

``status_page.out`` in the settings keeps the page written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from midwatch.faces.cli.common import AsJson, By, Folder, Running, clock_words, folder_of, friendly, me, out, print_json
from midwatch.model.errors import UsageError

status_page = typer.Typer(help="The page for customers: write it as files; who gets mail of it.", rich_markup_mode=None)
subscribers = typer.Typer(
    help="Who gets mail when the page says something new.", no_args_is_help=True, rich_markup_mode=None
)
status_page.add_typer(subscribers, name="subscribers")
ROUTE = "/api/v1/status-page"


@status_page.callback(invoke_without_command=True)
def write(
    ctx: typer.Context,
    into: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder that gets the files.")] = Path(
        "status-page"
    ),
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """The page for customers as static files: index.html, history.atom and status.json."""
    if ctx.invoked_subcommand is not None:
        return
    with friendly(as_json):
        from midwatch.shell.status_files import publish

        found = {name: text.encode() for name, text in Running(folder_of(folder)).get(ROUTE).items()}
        try:
            publish(found, into)
        except OSError as error:
            raise UsageError(f"{into} cannot be written: {error.strerror}", hint="give another --out") from error
        if as_json:
            print_json({"folder": str(into), "files": sorted(found)})
        else:
            out.print(f"{into / 'index.html'}: serve this folder from somewhere that stands when this does not.")


@subscribers.command("add")
def add(
    address: Annotated[str, typer.Argument(metavar="ADDRESS")],
    component: Annotated[
        list[str] | None, typer.Option(help="Only about this one. May be given again; about all without.")
    ] = None,
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="They have agreed already: do not ask by mail.")
    ] = False,
    by: By = "",
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Put an address on the list. Its owner is asked by mail first, unless you know that they agreed."""
    with friendly(as_json):
        body = {"address": address, "components": component or [], "confirmed": confirmed, "by": me(by)}
        made = Running(folder_of(folder)).post(f"{ROUTE}/subscribers/add", body)
        if as_json:
            print_json(made)
        else:
            out.print(
                f"{made['id']}: " + ("on the list." if confirmed else "asked by mail; on the list once they say yes.")
            )


@subscribers.command("remove")
def remove(
    who: Annotated[str, typer.Argument(metavar="ID-OR-ADDRESS")],
    by: By = "",
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Take somebody off the list. The address is erased."""
    with friendly(as_json):
        gone = Running(folder_of(folder)).post(f"{ROUTE}/subscribers/remove", {"who": who, "by": me(by)})
        if as_json:
            print_json(gone)
        else:
            out.print(f"{gone['removed']} is off the list, and the address is erased.")


@subscribers.command("list")
def listed(by: By = "", folder: Folder = None, as_json: AsJson = False) -> None:
    """Everybody on the list, and how the mails went. That you looked is in the journal."""
    with friendly(as_json):
        found = Running(folder_of(folder)).post(f"{ROUTE}/subscribers/list", {"by": me(by)})
        if as_json:
            print_json(found)
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("id", "address", "about", "since", "refused"):
            table.add_column(heading, overflow="fold")
        for one in found["subscribers"]:
            since = clock_words(one["confirmed_at"]) if one["confirmed_at"] else "asked by mail"
            about = ", ".join(one["components"]) or "all"
            table.add_row(one["id"], one["address"], about, since, str(one["refused"] or ""))
        out.print(table if found["subscribers"] else "Nobody is on the list.")
        out.print("; ".join(f"{name} {count}" for name, count in found["counts"].items()), soft_wrap=True)
