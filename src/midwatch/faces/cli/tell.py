"""``midwatch tell INC``: drafts of what to tell whom, made from what was measured."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.text import Text

from midwatch.faces.cli.common import AsJson, Folder, folder_of, friendly, out, print_json
from midwatch.faces.cli.reading import read_incident
from midwatch.model.errors import UsageError


def tell(
    ident: Annotated[str, typer.Argument(metavar="INC")],
    to: Annotated[str, typer.Option("--to", help="engineers, support, executives or customers; all by default.")] = "",
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """What to tell whom about an incident: drafts to read before they are sent, and when users will be well again."""
    with friendly(as_json):
        from midwatch.core.oncall.drafts import AUDIENCES
        from midwatch.shell import queries
        from midwatch.shell.told import told

        if to and to not in AUDIENCES:
            raise UsageError(f"there is no draft for {to!r}", hint=f"one of: {', '.join(AUDIENCES)}")
        state, _ = read_incident(folder_of(folder), ident)
        found = told(state, queries.find_incident(state, ident), time.time())
        if as_json:
            print_json(found)
            return
        for audience, text in found["drafts"].items():
            if to in ("", audience):
                if not to:
                    out.print(Text(audience, style="bold"))
                out.print(Text(text), soft_wrap=True)
        held = found["eta_held"]
        if not to and held["cases"]:
            out.print(f"Of {held['cases']} past intervals, {held['held']} held what came (80 % should).")
