"""``midwatch slo report``: a month in Markdown or HTML."""

from __future__ import annotations

from typing import Annotated

import typer

from midwatch.faces.cli.common import AsJson, Folder, Running, folder_of, friendly, print_json
from midwatch.faces.cli.slo.common import Out, put
from midwatch.model.errors import UsageError


def report(
    month: Annotated[str, typer.Option(help="2026-10. Default: the month that is running.", show_default=False)] = "",
    form: Annotated[str, typer.Option("--format", help="md (Markdown) or html.")] = "md",
    time_zone: Annotated[str, typer.Option("--zone", help="Whose days: Europe/Berlin.")] = "UTC",
    to: Out = None,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """What was promised and kept in a month: budgets, worst days, incidents, adjustments, and what nobody knows."""
    with friendly(as_json):
        if form not in ("md", "html"):
            raise UsageError(f"there is no format {form!r}", hint="one of: md, html")
        import httpx

        asked = httpx.QueryParams({"month": month, "form": form, "time_zone": time_zone})
        found = Running(folder_of(folder)).get(f"/api/v1/slos/report?{asked}")
        if as_json:
            print_json(found)
        else:
            put(found["text"], to)
