"""How promises stand on the running watch: list, show, budget, alerts, adjust."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from midwatch.faces.cli.common import (
    BAD,
    AsJson,
    By,
    Folder,
    Running,
    clock_words,
    folder_of,
    friendly,
    me,
    out,
    print_json,
)
from midwatch.faces.cli.slo import tables
from midwatch.faces.cli.slo.common import chosen, number, percent, read, span, when
from midwatch.model.errors import UsageError

Name = Annotated[str, typer.Argument(metavar="NAME", help="A promise's name, or a part that only it has.")]
SPENT = frozenset({"spent", "burning"})


def path_of(name: str) -> str:
    """Where the API has a promise."""
    from urllib.parse import quote

    return f"/api/v1/slos/{quote(name, safe='')}"


def list_all(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE...]", help="What these promise, instead of the running watch's."),
    ] = None,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Every promise with its state. Exit code 1 when a budget is spent or burns too fast."""
    with friendly(as_json):
        if files:
            _list_files(files, as_json)
            return
        rows = Running(folder_of(folder)).get("/api/v1/slos")
        if as_json:
            print_json(rows)
        elif rows:
            out.print(tables.budgets(rows))
        else:
            out.print("No promise yet: write one (docs/slos.md), or wait until normal traffic has been seen.")
        if any(row["state"] in SPENT for row in rows):
            raise typer.Exit(BAD)


def _list_files(files: list[Path], as_json: bool) -> None:
    from midwatch.shell.queries import plain

    found = read(files, quiet=as_json)
    if as_json:
        print_json([plain(slo) for slo in found.slos])
        return
    table = tables.plain_table("promise", "service", "target", "period", "counted by", "written in")
    for slo in found.slos:
        kind = type(slo.indicator).__name__.lower() if slo.indicator is not None else slo.sli
        period = slo.calendar.unit if slo.calendar is not None else span(slo.period_seconds)
        table.add_row(slo.name, slo.service or slo.entity, percent(slo.target), period, kind, slo.source)
    out.print(table)


def show(name: Name, folder: Folder = None, as_json: AsJson = False) -> None:
    """One promise: its budget, what fires and why, its adjustments."""
    with friendly(as_json):
        found = Running(folder_of(folder)).get(path_of(name))
        if as_json:
            print_json(found)
            return
        _print_promise(found)


def _print_promise(found: dict[str, Any]) -> None:
    slo = found["promise"]
    head = Text(slo["name"], style="bold")
    head.append(f"  {percent(slo['target'])} over {_period(slo)}, {slo['service'] or slo['entity']}", "default")
    out.print(head, soft_wrap=True)
    for line in (slo["description"], f"owner {slo['owner']}" if slo["owner"] else ""):
        if line:
            out.print(Text(line, style="dim"), soft_wrap=True)
    for row in found["budgets"]:
        out.print()
        _print_budget(row)
    for one in found["firing"]:
        style = "bold red" if one["pages"] else "yellow"
        out.print(Text(f"! {one['detail']} (since {clock_words(one['since_at'])})", style=style), soft_wrap=True)
    if not found["firing"]:
        out.print("No alert fires.")
    for one in found["adjustments"]:
        gone = f", withdrawn by {one['withdrawn_by']}" if one["withdrawn_by"] else ""
        window = f"{clock_words(one['since_at'])} to {clock_words(one['until_at'])}"
        words = f"{one['id']} {one['kind'].replace('_', ' ')} {window}, {one['by']}: {one['reason']}{gone}"
        out.print(Text(words, style="dim"), soft_wrap=True)


def _period(slo: dict[str, Any]) -> str:
    calendar = slo.get("calendar")
    if calendar:
        many = f"{calendar['count']} " if calendar["count"] > 1 else ""
        return f"a calendar {many}{calendar['unit']} ({calendar['time_zone']})"
    return span(float(slo["period_seconds"]))


def budget(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Only this promise.", show_default=False)] = "",
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """What is left of the budgets, in words. Exit code 1 when one is spent."""
    with friendly(as_json):
        running = Running(folder_of(folder))
        rows = running.get(path_of(name))["budgets"] if name else running.get("/api/v1/slos")
        if as_json:
            print_json(rows)
        for number_, row in enumerate(() if as_json else rows):
            if number_:
                out.print()
            _print_budget(row)
        if any(row["state"] == "spent" for row in rows):
            raise typer.Exit(BAD)


def _print_budget(row: dict[str, Any]) -> None:
    state = row["state"].replace("_", " ")
    head = Text.assemble((row["key"], "bold"), "  ", (state, tables.STYLE.get(row["state"], "")))
    out.print(head)
    if row["state"] == "no_data":
        since = f"no data since {clock_words(row['last_seen_at'])}" if row["last_seen_at"] else "no data yet"
        out.print(Text(f"  {since}: {row['why']}"), soft_wrap=True)
        if row["sli"] is None:
            return
        out.print(f"  last known, {span(row['age_seconds'])} old:")
    if row["left"] is not None:
        out.print(f"  {tables.bar_of(row['left'])} {percent(row['left'], 1)} left", soft_wrap=True)
    if row["allowed"] is not None:
        out.print(
            f"  {number(row['bad'])} of {number(row['total'])} were bad; the period allows {number(row['allowed'])} "
            f"({number(row['left_events'])} or {span(max(0.0, row['left_seconds'] or 0.0))} of outage left)",
            soft_wrap=True,
        )
    if row["sli"] is not None:
        burn = f", burns at {row['burn']:.2g} x" if row["burn"] is not None else ""
        out.print(f"  {percent(row['sli'], 4)} good, promised {percent(row['target'])}{burn}", soft_wrap=True)
    if row["impossible"]:
        out.print(Text(f"  ! {row['impossible']} steps could not be true: {row['impossible_why']}", style="yellow"))


def alerts(
    name: Name,
    file: Annotated[
        list[Path] | None, typer.Option("--slo", metavar="FILE", help="A spec, instead of the running watch's promise.")
    ] = None,
    per_minute: Annotated[
        float | None, typer.Option(min=0.0, help="Usual traffic, requests a minute. Default: what the watch sees.")
    ] = None,
    policy: Annotated[str, typer.Option(help="With --slo: guarded, textbook, or a file of alert windows.")] = "",
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """The alerts' table: for each error ratio, when each tier fires, falls silent, and what is spent by then."""
    with friendly(as_json):
        if file:
            from midwatch.shell.alert_policies import read_policy
            from midwatch.shell.slo_views import alerts as table_of

            (slo,) = chosen(read(file, quiet=as_json).slos, name)
            found = table_of(slo, read_policy(policy or "file")(slo), per_minute)
        else:
            query = f"?per_minute={per_minute:g}" if per_minute is not None else ""
            found = Running(folder_of(folder)).get(f"{path_of(name)}/alerts{query}")
        if as_json:
            print_json(found)
        else:
            tables.print_alerts(found)


def adjust(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A promise, or: all. With --withdraw the adjustment's id.")
    ],
    since: Annotated[str, typer.Option("--from", help="Begin: 2026-10-03T14:00:00Z, or 2h (ago).")] = "",
    until: Annotated[str, typer.Option("--to", help="End: a moment, 30m (ago), or now.")] = "now",
    kind: Annotated[
        str, typer.Option(help="maintenance: the window does not count. false-positive: what was bad counts as good.")
    ] = "maintenance",
    reason: Annotated[str, typer.Option(help="Why, for everybody who reads the budget later.")] = "",
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take back an adjustment (ADJ-3).")] = False,
    by: By = "",
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Correct a budget: append-only, with author and reason. What was counted stays as it was counted."""
    with friendly(as_json):
        if not reason.strip():
            raise UsageError("a budget is adjusted with a reason", hint='--reason "load test, announced on Monday"')
        running = Running(folder_of(folder))
        target, value, said = name, "withdraw", f"{name} is withdrawn."
        if not withdraw:
            kinds = {"maintenance": "exclude", "false-positive": "give_back"}
            if kind not in kinds:
                raise UsageError(f"there is no kind {kind!r}", hint="one of: " + ", ".join(kinds))
            if not since:
                raise UsageError("say where the window begins", hint="--from 2026-10-03T14:00:00Z, or --from 2h")
            now = time.time()
            begin, end = when(since, "from", now), when(until, "to", now)
            if end <= begin:
                raise UsageError("the window ends before it begins", hint="--from comes before --to")
            if name != "all":
                target = running.get(path_of(name))["promise"]["name"]
            value = f"{kinds[kind]} {int(begin)} {int(end)}"  # down: a second later than now has not happened
            what = "does not count" if kind == "maintenance" else "counts as good as far as it was bad"
            said = f"{target}: {clock_words(begin)} to {clock_words(end)} {what}."
        body = {"verb": "adjust", "by": me(by), "target": target, "value": value, "note": reason.strip(), "via": "cli"}
        answer = running.post("/api/v1/commands", body)
        if as_json:
            print_json(answer)
        else:
            out.print(Text.assemble(said, (f" (journal entry {answer['seq']})", "dim")), soft_wrap=True)
