"""``midwatch oncall``: who is on call, what is wrong with it, who carries how much; stand-ins and swaps."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.table import Table
from rich.text import Text

from midwatch.core.oncall.lint import Flaw, flaws
from midwatch.core.oncall.schedule import shifts
from midwatch.faces.cli.commands import Note, send
from midwatch.faces.cli.common import BAD, AsJson, By, Folder, err, folder_of, friendly, length_words, out, print_json
from midwatch.faces.cli.reading import journal_of
from midwatch.model.errors import UsageError
from midwatch.model.people import Schedule
from midwatch.model.state import State
from midwatch.shell import oncall as queries
from midwatch.shell.config import Settings, load_settings
from midwatch.shell.integrations import quiet_words

oncall = typer.Typer(help="Who is on call: now, in the next weeks, and how fairly.", no_args_is_help=True)
DAY_SECONDS = 86400.0

At = Annotated[str, typer.Option(help="A time with its zone, 2026-12-24T18:00+01:00. Default: now.")]
Days = Annotated[int, typer.Option(min=1, max=400)]
ScheduleName = Annotated[str, typer.Argument(metavar="SCHEDULE")]
Begin = Annotated[
    str, typer.Argument(metavar="BEGIN", help="2026-12-24T18:00, on the schedule's clock unless it says a zone.")
]
End = Annotated[str, typer.Argument(metavar="END")]
Swap = Annotated[str, typer.Argument(metavar="SWP")]


def read(folder: Path | None) -> tuple[State, Settings]:
    """What the files say now, with the stand-ins of the journal, where there is one. Raises ConfigError, UsageError."""
    where = folder_of(folder)
    settings = load_settings(where)
    known = None
    if (where / "journal.sqlite").exists():
        with journal_of(where) as journal:
            known = journal.load_state()
    state = queries.in_force(settings, known)
    if not state.policy.people.people:
        hint = f"write {where / 'people' / 'team.yaml'}: docs/oncall-people.md has one to begin with"
        raise UsageError("no people file says who is on call", hint=hint)
    return state, settings


@oncall.command("who")
def who(
    at: At = "",
    service: Annotated[str, typer.Option(help="Whom an incident of this service would wake, level by level.")] = "",
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Who is on call, in every schedule or for one service. Exit code 1 when nobody is."""
    with friendly(as_json):
        state, _ = read(folder)
        now = moment(at, "UTC") if at else time.time()
        if service:
            found = queries.who_for(state, service, now)
            print_json(found) if as_json else _print_levels(found)
            missing = not any(level["wakes"] for level in found["levels"])
        else:
            rows = queries.who(state, now)
            print_json(rows) if as_json else _print_who(rows)
            missing = any(not row["person"] or row["away"] for row in rows)
        if missing:
            raise typer.Exit(BAD)


def _print_who(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("schedule", "on call", "until", "then", "by"):
        table.add_column(name, overflow="fold")
    for row in rows:
        person = Text(row["name"] or "nobody", style="" if row["person"] else "bold red")
        if row["away"]:
            person.append(f" ({row['away']})", style="red")
        table.add_row(row["schedule"], person, when(row["until_at"], row["zone"]), row["next"] or "-", row["why"])
    out.print(table)


def _print_levels(found: dict[str, Any]) -> None:
    owned = "owns it" if found["owned"] else "takes what nobody owns"
    out.print(f"{found['service']}: {found['team']} {owned}, escalation {found['escalation']}")
    for number, level in enumerate(found["levels"], start=1):
        after = f"after {length_words(level['after_seconds'])}" if level["after_seconds"] else "at once"
        people = [f"{w['name']} ({w['why']}; {', '.join(w['channels']) or 'no channel'})" for w in level["wakes"]]
        out.print(Text(f"  {number}. {after}: {'; '.join(people) or 'nobody'}"), soft_wrap=True)


@oncall.command("check")
def check(days: Days = 90, folder: Folder = None, as_json: AsJson = False) -> None:
    """Will somebody be woken, at any time of the next days? Exit code 1 when not always, 2 when a file is wrong."""
    with friendly(as_json):
        state, settings = read(folder)
        now = time.time()
        channels = set(settings.channels) or {"console"}
        found = flaws(state, now, now + days * DAY_SECONDS, channels) + _quiet_doors(state, settings)
        if as_json:
            print_json(
                {"ok": not any(f.level == "error" for f in found), "days": days, "flaws": [vars(f) for f in found]}
            )
        else:
            _print_flaws(found, days)
        if any(flaw.level == "error" for flaw in found):
            raise typer.Exit(BAD)


def _quiet_doors(state: State, settings: Settings) -> list[Flaw]:
    """Senders of alerts whose usual words page nobody."""
    quiet = quiet_words(settings, state.policy.paging.page_severity)
    return [Flaw("warning", "wakes-nobody", name, text, hint) for name, (text, hint) in quiet.items()]


def _print_flaws(found: list[Flaw], days: int) -> None:
    for flaw in found:
        line = Text(flaw.level, style="bold red" if flaw.level == "error" else "yellow")
        line.append(f"  {flaw.text}", style="default")
        if flaw.end_at:
            line.append(f", {when(flaw.start_at)} to {when(flaw.end_at)}", style="default")
        out.print(line, soft_wrap=True)
        if flaw.hint:
            out.print(Text(f"  hint: {flaw.hint}", style="dim"), soft_wrap=True)
    errors = sum(flaw.level == "error" for flaw in found)
    if not errors:
        out.print(f"[green]Somebody is woken at any time of the next {days} days.[/]")


@oncall.command("shifts")
def list_shifts(schedule: ScheduleName, days: Days = 28, folder: Folder = None, as_json: AsJson = False) -> None:
    """The shifts of a schedule from now on."""
    with friendly(as_json):
        state, _ = read(folder)
        one, now = _schedule(state, schedule), time.time()
        found = shifts(state.policy.people, one, state.overrides, now, now + days * DAY_SECONDS)
        if as_json:
            print_json([vars(shift) for shift in found])
            return
        for shift in found:
            person = queries.called(state.policy.people, shift.person)
            who_text = (person, "") if person else ("nobody", "bold red")
            begin, end = when(shift.start_at, one.zone), when(shift.end_at, one.zone)
            out.print(Text.assemble(f"{begin}  to  {end}  ", who_text, (f"  {shift.why}", "dim")))


@oncall.command("fairness")
def fairness(days: Days = 90, folder: Folder = None, as_json: AsJson = False) -> None:
    """Who carried how much: hours on call, nights and weekends, and the pages that came then."""
    with friendly(as_json):
        state, _ = read(folder)
        now = time.time()
        with journal_of(folder_of(folder)) as journal:
            rows = queries.loads(state, journal, now - days * DAY_SECONDS, now)
        if as_json:
            print_json(rows)
            return
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("person", overflow="fold")
        numbers = (
            "hours",
            "night_hours",
            "weekend_hours",
            "pages",
            "night_pages",
            "weekend_pages",
            "incidents",
            "acknowledged",
        )
        for name in numbers:
            table.add_column(name.replace("_", "\n"), justify="right", no_wrap=True)  # whole words in 80 columns
        for row in rows:
            table.add_row(queries.called(state.policy.people, row["person"]), *(f"{row[name]:.0f}" for name in numbers))
        out.print(table)


@oncall.command("feed")
def feed(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A schedule, or with --person a person.")],
    person: Annotated[bool, typer.Option("--person", help="The shifts of a person, in every schedule.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file, replaced whole. Default: standard output.")
    ] = None,
    folder: Folder = None,
) -> None:
    """Shifts as an iCalendar file, for a web server of yours to hand out."""
    with friendly():
        from midwatch.shell.feeds import person_feed, schedule_feed

        state, _ = read(folder)
        text = (person_feed if person else schedule_feed)(state, name, time.time())
        if output is None:
            sys.stdout.buffer.write(text)
            return
        fresh = output.with_name(output.name + ".new")
        try:
            fresh.write_bytes(text)
            fresh.replace(output)
        except OSError as error:
            raise UsageError(f"{output} cannot be written: {error.strerror}") from error
        err.print(f"Wrote {output}.")


@oncall.command("override")
def override(
    schedule: ScheduleName,
    person: Annotated[str, typer.Argument(metavar="PERSON", help="Who stands in, or nobody.")],
    begin: Begin,
    end: End,
    instead_of: Annotated[str, typer.Option(help="Relieve only this person.")] = "",
    folder: Folder = None,
    by: By = "",
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Let somebody stand in, whoever would be on call."""
    with friendly(as_json):
        span = _span(folder, schedule, begin, end)
    value = f"{person} {span} {instead_of}".strip()
    send(folder, as_json, "override", by, schedule, f"{person} stands in for {schedule}.", value, note)


@oncall.command("override-end")
def override_end(
    ident: Annotated[str, typer.Argument(metavar="OVR")], folder: Folder = None, by: By = "", as_json: AsJson = False
) -> None:
    """End a stand-in now."""
    send(folder, as_json, "override_end", by, ident, "{target} ends.")


@oncall.command("swap")
def swap(
    schedule: ScheduleName,
    begin: Begin,
    end: End,
    with_: Annotated[str, typer.Option("--with", help="Whom you ask. Default: anybody.")] = "anybody",
    back: Annotated[tuple[str, str], typer.Option(help="The shift that you take in return: BEGIN END.")] = ("", ""),
    folder: Folder = None,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Ask somebody to take your shift."""
    with friendly(as_json):
        span = _span(folder, schedule, begin, end)
        value = f"{with_} {span} {_span(folder, schedule, *back)}" if any(back) else f"{with_} {span}"
    send(folder, as_json, "swap", by, schedule, f"{with_} is asked to take your shift of {schedule}.", value)


@oncall.command("accept")
def accept(ident: Swap, folder: Folder = None, by: By = "", as_json: AsJson = False) -> None:
    """Take the shift that you are asked to take."""
    send(folder, as_json, "swap_answer", by, ident, "{target}: the shift is yours.", "accept")


@oncall.command("decline")
def decline(ident: Swap, folder: Folder = None, by: By = "", as_json: AsJson = False) -> None:
    """Say no to a swap."""
    send(folder, as_json, "swap_answer", by, ident, "{target}: declined.", "refuse")


@oncall.command("withdraw")
def withdraw(ident: Swap, folder: Folder = None, by: By = "", as_json: AsJson = False) -> None:
    """Withdraw a swap that you asked for."""
    send(folder, as_json, "swap_answer", by, ident, "{target}: withdrawn.", "withdraw")


def escalate(
    ident: Annotated[str, typer.Argument(metavar="INC")],
    team: Annotated[str, typer.Option(help="Another team, from its first level on.")] = "",
    folder: Folder = None,
    by: By = "",
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Ask for help: wake the next level now, or another team."""
    value = f"team:{team}" if team else ""
    send(folder, as_json, "escalate", by, ident, f"{{target}}: {team or 'the next level'} will be woken.", value, note)


def _schedule(state: State, name: str) -> Schedule:
    found = state.policy.people.schedule(name)
    if found is None:
        known = ", ".join(s.name for s in state.policy.people.schedules) or "none"
        raise UsageError(f"there is no schedule {name!r}", hint=f"known: {known}")
    return found


def _span(folder: Path | None, schedule: str, begin: str, end: str) -> str:
    state, _ = read(folder)
    zone = _schedule(state, schedule).zone
    return f"{moment(begin, zone):.0f} {moment(end, zone):.0f}"


def moment(text: str, zone: str) -> float:
    """Unix seconds of an ISO 8601 time; on the clock of ``zone`` when it says none itself. Raises UsageError."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time", hint="write for example 2026-12-24T18:00") from None
    return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))).timestamp()


def when(at: float | None, zone: str = "") -> str:
    """``Thu 24 Dec 18:00 CET``, on the clock of ``zone`` (this machine's without one); "-" for none."""
    if at is None:
        return "-"
    there = datetime.fromtimestamp(at, ZoneInfo(zone)) if zone else datetime.fromtimestamp(at).astimezone()
    return there.strftime("%a %d %b %H:%M %Z")
