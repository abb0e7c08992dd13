"""``midwatch alerts`` and ``midwatch silence``: what other systems say, where each alert was put and why, and what wakes
nobody for a while."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer
from rich.table import Table
from rich.text import Text

from midwatch.faces.cli.commands import Note, send
from midwatch.faces.cli.common import (
    AsJson,
    By,
    Folder,
    Running,
    clock_words,
    err,
    folder_of,
    friendly,
    length_words,
    out,
    print_json,
    severity_text,
)
from midwatch.model.errors import MidwatchError, UsageError

alerts = typer.Typer(help="Alerts of other systems: which there are, where each was put, and why.")
silence = typer.Typer(help="What wakes nobody for a while: silences and maintenance windows.", no_args_is_help=True)

Key = Annotated[str, typer.Argument(metavar="ALERT", help="Its key, or the end of it.")]
TEMPORARY_FAILURE = 75  # sysexits.h: a mail server keeps the message and tries again


@alerts.callback(invoke_without_command=True)
def listed(
    context: typer.Context,
    folder: Folder = None,
    as_json: AsJson = False,
    q: Annotated[str, typer.Option("-q", help='Words to find, or matchers: {service="orders"}.')] = "",
    place: Annotated[
        str, typer.Option(help="grouped, silenced, maintenance, inhibited, informs, flapping, over, all.")
    ] = "",
    source: Annotated[str, typer.Option(help="The integration that sent it.")] = "",
    incident: Annotated[str, typer.Option(help="The incident that it is in.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
) -> None:
    """Those that are not over, newest first."""
    if context.invoked_subcommand is not None:
        return
    with friendly(as_json):
        asked = {"q": q, "place": place, "source": source, "incident": incident, "limit": limit}
        found = Running(folder_of(folder)).get(f"/api/v1/alerts?{urlencode(asked)}")
        if as_json:
            print_json(found)
            return
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("alert", "sev", "since", "times", "where", "why", "key"):
            table.add_column(name, overflow="fold")
        for row in found["alerts"]:
            sev = severity_text(row["severity"]) if row["severity"] < 5 else Text("info", style="dim")
            place_of = row["incident"] if row["place"] == "grouped" else row["place"] or "new"
            said = Text(row["name"] or row["summary"] or row["key"])
            since = clock_words(row["since_at"])
            why = Text("; ".join(words for words in (row["why"], row["wakes_nobody"]) if words))
            table.add_row(said, sev, since, str(row["count"]), place_of, why, Text(row["key"], style="dim"))
        asked_for = any((q, place, source, incident))
        nothing = (
            "No alert fits." if asked_for else "No alert is open. Those that are over: midwatch alerts --place all"
        )
        out.print(table if found["alerts"] else nothing)
        if found["total"] > len(found["alerts"]):
            out.print(f"[dim]{len(found['alerts'])} of {found['total']}; --limit and -q show others[/]")


@alerts.command("show")
def show(key: Key, folder: Folder = None, as_json: AsJson = False) -> None:
    """One alert: what was said, how often, where it was put and why, its notes."""
    with friendly(as_json):
        found = Running(folder_of(folder)).get(f"/api/v1/alerts/{quote(key, safe='')}")
        if as_json:
            print_json(found)
            return
        out.print(Text(f"{found['name']}  {found['state']}, SEV{found['severity']}", style="bold"))
        if found["summary"]:
            out.print(Text(found["summary"]), soft_wrap=True)
        placed = found["incident"] if found["place"] == "grouped" else found["place"] or "not yet looked at"
        out.print(Text(f"{placed}: {found['why']}" if found["why"] else placed), soft_wrap=True)
        if found["wakes_nobody"]:
            out.print(Text(f"{found['incident']} {found['wakes_nobody']}", style="yellow"), soft_wrap=True)
        said = f"{found['source']} said it {found['count']} times since {clock_words(found['first_at'])}"
        out.print(f"{said}, last at {clock_words(found['seen_at'])}; it changed {found['changes']} times lately")
        for name, value in found["labels"].items():
            out.print(Text(f"  {name}={value}", style="dim"), soft_wrap=True)
        for link in found["links"]:
            out.print(Text(f"  {link}"), soft_wrap=True)
        for note in found["notes"]:
            out.print(Text(f"  {clock_words(note['at'])} {note['by']}: {note['text']}"), soft_wrap=True)


@alerts.command("move")
def move(
    key: Key,
    incident: Annotated[str, typer.Argument(metavar="INC", help="The incident that it belongs to, or: new.")],
    folder: Folder = None,
    by: By = "",
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Put an alert into another incident, or into one of its own."""
    send(folder, as_json, "move_alert", by, key, f"{{target}} goes to {incident}.", incident, note)


@alerts.command("close")
def close(key: Key, folder: Folder = None, by: By = "", note: Note = "", as_json: AsJson = False) -> None:
    """Say that an alert is over. Its sender opens it again by saying it again."""
    send(folder, as_json, "close_alert", by, key, "{target} is over.", note=note)


@alerts.command("senders")
def senders(folder: Folder = None, as_json: AsJson = False) -> None:
    """What each integration sent since the start, and what was not taken and why."""
    with friendly(as_json):
        found = Running(folder_of(folder)).get("/api/v1/senders")
        if as_json:
            print_json(found)
            return
        for one in found:
            out.print(f"{one['source'] or 'without a known key'}: {one['accepted']} taken")
            for why, count in one["dropped"].items():
                out.print(Text(f"  {count} not taken: {why}", style="yellow"))
        if not found:
            out.print("Nothing has come in yet. docs/oncall.md says how a sender is pointed here.")


@alerts.command("mail")
def mail(
    key_file: Annotated[Path, typer.Option("--key-file", help="Where the integration's key stands.")],
    folder: Folder = None,
) -> None:
    """Hand on the e-mail on standard input: what a mail server's pipe calls. Exit code 75 when it should try again."""
    import httpx

    try:
        watch, key = Running(folder_of(folder)), key_file.read_text("utf-8").strip()
        with httpx.Client(trust_env=False, timeout=20.0) as client:
            headers = {"Authorization": f"Bearer {key}"}
            answer = client.post(f"{watch.api}/in/email", content=sys.stdin.buffer.read(), headers=headers)
    except (MidwatchError, httpx.HTTPError, OSError) as error:
        err.print(Text(f"not handed on: {error}"))
        raise typer.Exit(TEMPORARY_FAILURE) from error
    if not answer.is_success:
        err.print(Text(f"not taken: {answer.status_code} {answer.text[:200]}"))
        raise typer.Exit(TEMPORARY_FAILURE if answer.status_code in (429, 503) else 1)


@silence.command("set")
def set_silence(
    matchers: Annotated[str, typer.Argument(help='Which alerts: alertname="Down", service=~"pay.*".')],
    length: Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 1d. At most 30 days.")] = "",
    start: Annotated[str, typer.Option(help="Begin of a maintenance window, ISO 8601 with zone.")] = "",
    end: Annotated[str, typer.Option(help="Its end.")] = "",
    note: Annotated[str, typer.Option("--note", help="Why. It must be said.")] = "",
    folder: Folder = None,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Let alerts wake nobody: for a while, or in a maintenance window. Its end is said aloud when some still fire."""
    with friendly(as_json):
        if bool(length) == bool(start or end):
            raise UsageError("say --for, or --start and --end", hint="for example: --for 2h")
        value = length or f"maintenance {_moment(start)} {_moment(end)}"
    send(folder, as_json, "silence", by, matchers, "{target} will wake nobody.", value, note)


@silence.command("end")
def end_silence(
    ident: Annotated[str, typer.Argument(metavar="SIL")], folder: Folder = None, by: By = "", as_json: AsJson = False
) -> None:
    """End a silence before its time."""
    send(folder, as_json, "unsilence", by, ident.upper(), "{target} is ended; what still fires is looked at anew.")


@silence.command("list")
def list_silences(folder: Folder = None, as_json: AsJson = False) -> None:
    """Those that are not over, and how many alerts each holds back."""
    with friendly(as_json):
        found = Running(folder_of(folder)).get("/api/v1/silences")
        if as_json:
            print_json(found)
            return
        for one in found:
            out.print(Text(_words(one)), soft_wrap=True)
        if not found:
            out.print("Nothing is silenced.")


def _words(one: dict[str, Any]) -> str:
    left = one["end_at"] - datetime.now().timestamp()
    when = f"ends in {length_words(left)}" if one["active"] else f"begins at {clock_words(one['start_at'])}"
    what = f"{one['id']} {one['kind']} {{{one['matchers']}}}: {when}, holds back {one['holds_back']}"
    return f"{what}; {one['by']}: {one['reason']}"


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no time", hint="like 2026-12-01T22:00:00+01:00") from error
    if moment.tzinfo is None:
        raise UsageError(f"{text} has no zone", hint="like 2026-12-01T22:00:00+01:00")
    return moment.timestamp()
