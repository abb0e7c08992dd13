"""``midwatch review``: how the watch did over a while; ``review lint``: what a post-mortem says without showing it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import to_builtins
from rich.table import Table
from rich.text import Text

from midwatch.faces.cli.common import (
    BAD,
    AsJson,
    Folder,
    folder_of,
    friendly,
    length_words,
    out,
    print_json,
)
from midwatch.faces.cli.reading import journal_of, read_incident
from midwatch.faces.cli.slo.common import when
from midwatch.model.errors import UsageError

MAX_FILE_BYTES = 1_000_000
DAY_SECONDS = 86400.0

review = typer.Typer(help="How the watch did: times with intervals, pages per shift, what came again.")


@review.callback(invoke_without_command=True)
def numbers(
    context: typer.Context,
    since: Annotated[str, typer.Option("--from", help="30d (ago), or 2026-10-01T00:00:00Z.")] = "30d",
    until: Annotated[str, typer.Option("--to", help="now, 7d (ago), or a moment.")] = "now",
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Time to detect, acknowledge, mitigate and recover, pages per shift, the share that somebody had to act on, and what
    came again, of the incidents that opened in the span."""
    if context.invoked_subcommand is not None:
        return
    with friendly(as_json):
        from midwatch.core.learn.items import cause_phrase
        from midwatch.shell.review import review_of

        now = time.time()
        begin, end = when(since, "from", now), when(until, "to", now)
        if begin >= end:
            raise UsageError("--from must lie before --to")
        with journal_of(folder_of(folder)) as journal:
            state = journal.load_state()
            found = review_of(journal, state, begin, end)
            late = sum(r.status == "open" and r.item.due_at < now for r in state.items.values())
            still_open = sum(r.status == "open" for r in state.items.values())
        if as_json:
            print_json({**to_builtins(found, str_keys=True), "items": {"open": still_open, "late": late}})
        else:
            _print(found, [(cause_phrase(cause), count) for cause, count in found.repeated])
            out.print(f"Action items: {still_open} open, {late} of them late.")


def _print(found: Any, repeated: list[tuple[str, int]]) -> None:
    days = (found.until_at - found.since_at) / DAY_SECONDS
    total = found.incidents[0]
    out.print(
        f"{_moment(found.since_at)} to {_moment(found.until_at)} ({days:.0f} days): {total} incidents, "
        f"{found.still_open} of them open."
    )
    if total:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("time to", "sev", "cases", "median", "95 % interval", "9 in 10 within"):
            table.add_column(name)
        for measure, rows in found.times.items():
            for severity, one in rows.items():
                if one.cases:
                    name = measure if severity == 0 else ""
                    table.add_row(name, f"SEV{severity}" if severity else "all", str(one.cases), *_words(one))
        out.print(table)
    load = found.load
    if load.count:
        out.print(_pages(load))
    out.print(f"Something was done about {_share(found.actionable)} incidents that paged.")
    out.print(f"Came again within 90 days: {_share(found.repeats)} incidents with a known cause.")
    for cause, count in repeated[:10]:
        out.print(Text(f"  {count} x {cause}"), soft_wrap=True)


def _pages(load: Any) -> str:
    if load.count == 1:
        return f"Pages: {load.pages} in 1 {load.of}."
    spread = f"the median {load.of} had {load.median:g}, the worst {load.most}, none came in {_share(load.quiet)}"
    return f"Pages: {load.pages} in {load.count} {load.of}s; {spread}."


def _moment(at: float) -> str:
    """Local time with its date, also of today."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def _words(one: Any) -> tuple[str, str, str]:
    span = "too few" if one.low is None else f"{length_words(one.low)} to {length_words(one.high)}"
    return length_words(one.median), span, length_words(one.p90)


def _share(one: Any) -> str:
    if not one.whole:
        return "0 of 0"
    return f"{one.part} of {one.whole} ({one.part / one.whole:.0%}; {one.low:.0%} to {one.high:.0%})"


@review.command("lint")
def lint(
    what: Annotated[str, typer.Argument(metavar="FILE|INC", help="A post-mortem as Markdown, or an incident's own.")],
    incident: Annotated[str, typer.Option(metavar="INC", help="Compare the file's numbers with this incident.")] = "",
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Words that blame, claims that show nothing, numbers that the journal does not have, action items that are nobody's.
    Exit code 1 when there is a remark."""
    with friendly(as_json):
        from midwatch.core.learn.lint import lint as remarks_of
        from midwatch.shell import queries

        path, known, people = Path(what), "", []
        if not path.exists() or incident:
            state, chronicle = read_incident(folder_of(folder), incident or what)
            known = queries.postmortem(state, incident or what, chronicle)
            people = [name for p in state.policy.people.people for name in (p.ident, p.name) if name]
            people += [queries.find_incident(state, incident or what).acknowledged_by]
        text = _read(path) if path.exists() else known
        found = remarks_of(text, [name for name in people if name], known)
        if as_json:
            print_json(to_builtins(found))
        for one in () if as_json else found:
            out.print(Text(f"{what}:{one}", style="yellow" if one.code == "blame" else ""), soft_wrap=True)
        if found:
            raise typer.Exit(BAD)
        if not as_json:
            out.print("No remark.")


def _read(path: Path) -> str:
    """Raises UsageError."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UsageError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
