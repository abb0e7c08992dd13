"""Commands that only look: status, incidents, show, postmortem. They read the journal read-only, so they
work beside a running watch and after it died."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markdown import Markdown
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from midwatch.faces.cli.common import (
    BAD,
    AsJson,
    Folder,
    Running,
    clock_words,
    folder_of,
    friendly,
    length_words,
    out,
    print_json,
    severity_text,
)
from midwatch.model.entity import name_of
from midwatch.model.errors import MidwatchError, UsageError
from midwatch.model.faults import DESCRIPTIONS
from midwatch.model.state import State
from midwatch.shell import queries
from midwatch.shell.config import load_settings
from midwatch.shell.folder import read_running
from midwatch.shell.recall import entries_of
from midwatch.shell.timeline import Chronicle

if TYPE_CHECKING:
    from midwatch.shell.journal.reader import SqlReader  # imports SQLAlchemy: half of a command's start


@contextmanager
def journal_of(folder: Path) -> Iterator[SqlReader]:
    """The journal that the folder's settings name, read-only. Raises UsageError when there is none."""
    from midwatch.shell.journal.opened import open_for_reading

    settings = load_settings(folder)
    if not settings.journal.postgres and not settings.journal_file.exists():
        raise UsageError(
            f"there is no journal in {folder}", hint="midwatch up makes one; --folder or MIDWATCH_HOME says where it is"
        )
    journal = open_for_reading(settings)
    try:
        yield journal
    finally:
        journal.close()


def read_state(folder: Path) -> State:
    with journal_of(folder) as journal:
        return journal.load_state()


def read_incident(folder: Path, ident: str) -> tuple[State, Chronicle]:
    """State, and the timeline of one incident. Raises NotFound."""
    with journal_of(folder) as journal:
        state = journal.load_state()
        found = queries.find_incident(state, ident)
        chronicle = Chronicle(state)
        chronicle.recall(found.id, entries_of(journal, found, state.seq))
        return state, chronicle


def status(folder: Folder = None, as_json: AsJson = False) -> None:
    """How the watch stands. Exit code 1 when an incident is open, 3 when no watch is running."""
    with friendly(as_json):
        where = folder_of(folder)
        found = queries.status(read_state(where))
        told = read_running(where)
        health: dict[str, Any] = {}
        if told is not None:
            try:
                live = Running(where).get("/api/v1/status")
                found, health = {k: v for k, v in live.items() if k != "health"}, live["health"]
            except MidwatchError as error:
                health = {"degraded": [str(error)]}
        found["running"] = told is not None
        found["health"] = health
        if as_json:
            print_json(found)
        else:
            _print_status(found, told, where)
        if told is None:
            raise typer.Exit(3)
        if found["open_incidents"]:
            raise typer.Exit(BAD)


def _print_status(found: dict[str, Any], told: dict[str, Any] | None, where: Path) -> None:
    head = Text("On watch" if told else "Nobody is on watch", style="bold green" if told else "bold red")
    if told:
        head.append(
            f" for {length_words(time.time() - float(told['started_at']))}, console {told['api'] or 'off'}", "default"
        )
    else:
        head.append(f" in {where}; start it with: midwatch up", style="default")
    out.print(head, soft_wrap=True)
    out.print(
        f"mode {found['mode']}, {len(found['slos'])} promises, {len(found['playbooks'])} playbooks, "
        f"journal at {found['seq']}"
    )
    if found["hands_off"]:
        who = f" (by {found['hands_off_by']})" if found["hands_off_by"] else ""
        out.print(f"[bold yellow]Hands off{who}: no action is carried out. Release: midwatch hands-off --release[/]")
    health = found["health"]
    for line in filter(None, (*health.get("degraded", ()), health.get("silence"))):
        out.print(Text(f"! {line}", style="yellow"), soft_wrap=True)
    for row in found["waiting_for_you"]:
        line = f"? {row['id']} {row['verb']} {name_of(row['target'])} waits for a yes: midwatch approve {row['id']}"
        out.print(Text(line, style="bold"), soft_wrap=True)
    if found["open_incidents"]:
        out.print(_incident_table(found["open_incidents"]))
    else:
        out.print("No open incident.")


def incidents(
    folder: Folder = None,
    as_json: AsJson = False,
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
) -> None:
    """The incidents, open ones first."""
    with friendly(as_json):
        state = read_state(folder_of(folder))
        rows = [
            queries.incident_row(state, i) for i in queries.newest_first(state) if everything or i.phase != "resolved"
        ][:limit]
        if as_json:
            print_json(rows)
        elif rows:
            out.print(_incident_table(rows))
        else:
            resolved = sum(i.phase == "resolved" for i in state.incidents.values())
            out.print("No open incident." + (f" {resolved} resolved: midwatch incidents --all" if resolved else ""))


def _incident_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("incident", "sev", "phase", "who has it", "opened", "since onset", "what", "likely cause"):
        table.add_column(name, overflow="fold")
    for row in rows:
        lasted = length_words((row["resolved_at"] or time.time()) - row["onset_at"])
        table.add_row(
            row["id"],
            severity_text(row["severity"]),
            row["phase"],
            Text(_whose(row) or row["wakes_nobody"] or "nobody"),
            clock_words(row["opened_at"]),
            lasted,
            Text(row["title"]),
            Text(_cause(row)),
        )
    return table


def _whose(row: dict[str, Any]) -> str:
    """Who acknowledged it and who commands; "" for nobody."""
    ack, commander = row["acknowledged_by"], row["commander"]
    if commander:
        return f"{commander} (commander)" if ack in ("", commander) else f"{ack}, {commander} (commander)"
    return str(ack)


def _cause(row: dict[str, Any]) -> str:
    """What people confirmed goes before what is likely."""
    if row["confirmed_cause"]:
        entity, _, kind = row["confirmed_cause"].partition(" ")
        return f"{DESCRIPTIONS.get(kind, kind.replace('_', ' '))} in {name_of(entity)} (confirmed)"
    return f"{row['cause']} ({row['probability']:.0%})" if row["cause"] and row["probability"] >= 0.15 else "not known"


def show(ident: Annotated[str, typer.Argument(metavar="INC")], folder: Folder = None, as_json: AsJson = False) -> None:
    """One incident: words, causes with evidence, actions with verdicts, timeline."""
    with friendly(as_json):
        state, chronicle = read_incident(folder_of(folder), ident)
        found = queries.incident(state, ident, chronicle)
        if as_json:
            print_json(found)
        else:
            _print_incident(found)


def _print_incident(found: dict[str, Any]) -> None:
    phase = f"part of {found['merged_into']}" if found["merged_into"] else found["phase"]
    whose = f", {'was ' if found['phase'] == 'resolved' else ''}with {who}" if (who := _whose(found)) else ""
    title = Text.assemble(found["id"], " ", severity_text(found["severity"]), f" {phase}{whose}")
    out.print(Panel(Text(found["update"] or found["title"]), title=title, title_align="left"))
    was = f", was SEV{found['worst_severity']}" if found["worst_severity"] < found["severity"] else ""
    if found["severity_reason"]:
        out.print(Text(f"SEV{found['severity']}{was}: {found['severity_reason']}"), soft_wrap=True)
    if found["wakes_nobody"]:
        out.print(Text(f"{found['id']} {found['wakes_nobody']}", style="yellow"), soft_wrap=True)
    for number, hypothesis in enumerate(found["hypotheses"], start=1):
        name = f"{number}. {hypothesis['kind']} at {name_of(hypothesis['entity'])}"
        line = Text(f"{name} {hypothesis['probability']:.0%}", style="bold" if number == 1 else "")
        out.print(line)
        for evidence in hypothesis.get("evidence", ())[:6]:
            out.print(Text(f"   {evidence['weight'] or 0:+.1f}  {evidence['text']}"), soft_wrap=True)
        if number == 1 and hypothesis.get("path"):
            out.print(Text("   path  " + " > ".join(name_of(p) for p in hypothesis["path"])))
    if found["hypotheses"]:
        out.print(f"none of these {found['unknown']:.0%}")
        _print_trust(found)
    if found["actions"]:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("action", "what", "verdict", "status", "why"):
            table.add_column(name, overflow="fold")
        for row in found["actions"]:
            what = f"{row['verb']} {name_of(row['target'])}"
            said = row["result"] or row["why"]
            table.add_row(row["id"], Text(what), row["decision"], row["status"], Text(row["expectation"] or said))
        out.print(table)
    _print_room(found)
    for row in found["items"]:
        where = f", {row['tracker']} {row['ref']}" if row["ref"] else ""
        out.print(Text(f"{row['id']} for {row['owner']}, {row['status']}{where}: {row['what']}"), soft_wrap=True)
    for row in found["items_of_this_cause"]:
        out.print(
            Text(f"{row['id']} of {row['incident']}, the same again, is still open: {row['what']}"), soft_wrap=True
        )
    for entry in found["timeline"]:
        whose = "" if entry["actor"] == "midwatch" else f"{entry['actor']}: "
        out.print(Text.assemble((clock_words(entry["at"]), "dim"), "  ", whose, entry["text"]), soft_wrap=True)


def _print_room(found: dict[str, Any]) -> None:
    """Roles that somebody has, tasks, and the checklist once anybody works by it or while the incident is open."""
    if held := [f"{role} {person}" for role, person in found["roles"].items() if person]:
        out.print(Text("roles: " + ", ".join(held)), soft_wrap=True)
    if found["phase"] != "resolved" or any(row["done_by"] for row in found["checklist"]):
        for number, row in enumerate(found["checklist"], start=1):
            done = f" ({row['done_by']})" if row["done_by"] else ""
            out.print(Text(f"{'[x]' if done else '[ ]'} {number}. {row['step']}{done}"), soft_wrap=True)
    if room := found["war_room"]:
        how = room["url"] or room["status"] if room["status"] != "failed" else f"not possible: {room['why']}"
        out.print(Text(f"war room #{room['name']}: {how}"), soft_wrap=True)
    for task in found["tasks"]:
        mark = "[x]" if task["done_at"] is not None else "[ ]"
        whose = task["done_by"] or task["person"] or "nobody yet"
        out.print(Text(f"{mark} task {task['number']}: {task['what']} ({whose})"), soft_wrap=True)


def _print_trust(found: dict[str, Any]) -> None:
    """What separates the first two, and how often so sure a verdict was right."""
    against = found["runner_up"]
    if against is not None:
        for one in against["differences"][:2]:
            text = one["first"] or one["second"]
            if one["first"] and one["second"]:
                text = f"{one['first']} against: {one['second']}"
            times = f"{one['times']:.3g}" if one["times"] < 1000 else "1,000+"
            out.print(Text(f"   {one['speaks_for']} rather, odds x {times}: {text}", style="dim"), soft_wrap=True)
        if against["check"]:
            out.print(Text(f"   to tell them apart, look at {against['check']}", style="dim"), soft_wrap=True)
    out.print(Text(found["track_record"]["said"] + ".", style="dim"), soft_wrap=True)


def postmortem(
    ident: Annotated[str, typer.Argument(metavar="INC")], folder: Folder = None, as_json: AsJson = False
) -> None:
    """The post-mortem, as Markdown (rendered on a terminal)."""
    with friendly(as_json):
        state, chronicle = read_incident(folder_of(folder), ident)
        text = queries.postmortem(state, ident, chronicle)
        if as_json:
            print_json({"incident": queries.find_incident(state, ident).id, "markdown": text})
        elif out.is_terminal:
            out.print(Markdown(text))
        else:
            sys.stdout.write(text.rstrip() + "\n")


__all__ = ["incidents", "journal_of", "postmortem", "read_incident", "read_state", "show", "status"]
