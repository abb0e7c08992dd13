"""``midwatch merge``, ``split`` and ``move``: what is one incident, by a person's word."""

from __future__ import annotations

from typing import Annotated

import typer

from midwatch.faces.cli.commands import Incident, Note, send
from midwatch.faces.cli.common import AsJson, By, Folder

Things = Annotated[
    list[str], typer.Argument(metavar="ENTITY...", help="service:payment, or just payment; or a finding's id.")
]


def merge(
    kept: Annotated[str, typer.Argument(metavar="INC", help="The incident that stays.")],
    others: Annotated[list[str], typer.Argument(metavar="INC...", help="Those that become part of it.")],
    folder: Folder = None,
    by: By = "",
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Say that incidents are one: the first stays, and the others become part of it.

    Their findings, alerts and actions under way go along; what they only proposed is proposed anew. Later incidents of the
    same entities are one from the start.
    """
    said = "The next turn makes them one: {target}."
    send(folder, as_json, "merge", by, kept, said, " ".join(others), note)


def split(
    ident: Incident, things: Things, folder: Folder = None, by: By = "", note: Note = "", as_json: AsJson = False
) -> None:
    """Say that a part of an incident is an incident of its own. Later it is one from the start."""
    said = "The next turn opens an incident for it: midwatch incidents."
    send(folder, as_json, "split", by, ident, said, "\n".join(things), note)


def move(
    ident: Incident,
    into: Annotated[str, typer.Argument(metavar="INC", help="The open incident that it belongs to.")],
    things: Things,
    folder: Folder = None,
    by: By = "",
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Say that a part of one incident belongs to another."""
    send(folder, as_json, "move", by, ident, "The next turn moves it.", f"{into} " + "\n".join(things), note)
