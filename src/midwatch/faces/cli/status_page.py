"""``midwatch status-page``: the page for customers, written once; ``status_page.out`` in the settings keeps it written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midwatch.faces.cli.common import AsJson, Folder, Running, folder_of, friendly, out, print_json
from midwatch.model.errors import UsageError


def status_page(
    into: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder that gets the files.")] = Path(
        "status-page"
    ),
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """The page for customers as static files: index.html, history.atom and status.json."""
    with friendly(as_json):
        from midwatch.shell.status_files import publish

        found = {name: text.encode() for name, text in Running(folder_of(folder)).get("/api/v1/status-page").items()}
        try:
            publish(found, into)
        except OSError as error:
            raise UsageError(f"{into} cannot be written: {error.strerror}", hint="give another --out") from error
        if as_json:
            print_json({"folder": str(into), "files": sorted(found)})
        else:
            out.print(f"{into / 'index.html'}: serve this folder from somewhere that stands when this does not.")
