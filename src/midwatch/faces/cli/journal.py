"""``midwatch journal``: verify the hash chain, keep and restore copies, find and erase what somebody wrote."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from midwatch.faces.cli.common import (
    BAD,
    AsJson,
    By,
    Folder,
    clock_words,
    err,
    folder_of,
    friendly,
    me,
    out,
    print_json,
)
from midwatch.faces.cli.reading import journal_of
from midwatch.model.errors import UsageError
from midwatch.shell.config import load_settings

if TYPE_CHECKING:
    from midwatch.shell.journal import Head, Verification

journal = typer.Typer(help="The journal: what was seen, decided and done.", no_args_is_help=True)


@journal.command()
def verify(
    folder: Folder = None,
    backup: Annotated[Path | None, typer.Option(help="Verify this copy instead of the journal itself.")] = None,
    known: Annotated[
        Path | None, typer.Option(help="Heads that were remembered elsewhere: the state file of a midwatch deadman.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute the journal's hash chain. Exit code 1 when it does not hold."""
    with friendly(as_json):
        heads = _heads(known)
        with err.status("Recomputing the chain…"):
            if backup is not None:
                from midwatch.shell.journal.backup import verify as verify_copy
                from midwatch.shell.subscribers import copied

                found, people = verify_copy(backup, heads), copied.verify(backup)
            else:
                with journal_of(folder_of(folder)) as one:
                    found, people = one.verify(heads), None
        _say(found, people, as_json)
        if not found.ok:
            raise typer.Exit(BAD)


def _heads(known: Path | None) -> tuple[Head, ...]:
    from midwatch.shell.journal import Head

    if known is None:
        return ()
    try:
        told = json.loads(known.read_text("utf-8"))["heads"]
        return tuple(Head(int(one["seq"]), str(one["hash"]), float(one["at"])) for one in told)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{known} holds no heads", hint="give the state file of a midwatch deadman") from error


def _say(found: Verification, people: int | None, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "ok": found.ok,
                "entries": found.entries,
                "head_hash": found.head_hash,
                "broken_at": found.broken_at,
                "why": found.why,
                "erased": found.erased,
                "missing": found.missing,
                "subscribers": people,
            }
        )
    elif found.ok:
        erased = f", {found.erased} with their text erased" if found.erased else ""
        out.print(
            f"[green]The chain holds:[/] {found.entries} entries{erased}, head {found.head_hash}{_and(people)}",
            soft_wrap=True,
        )
        if found.missing:
            out.print(
                f"[yellow]It ends too early:[/] entry {found.entries + found.missing} is known, {found.missing} entries are "
                "not in this copy. It lags, or its end was cut off: `midwatch journal backup` adds what the journal has.",
                soft_wrap=True,
            )
    else:
        out.print(f"[bold red]The chain is broken at entry {found.broken_at}:[/] {found.why}", soft_wrap=True)


def _and(people: int | None) -> str:
    return "" if people is None else f"; subscribers of the status page: {people}"


@journal.command("backup")
def back_up(
    to: Annotated[Path, typer.Argument(help="A folder, best on another disk or machine.")],
    folder: Folder = None,
    every: Annotated[
        float | None, typer.Option(min=0.1, help="Go on for ever, copying what is new each so many seconds.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy what is new of the journal to a folder, each entry checked against the chain, and the book of the status page's
    subscribers; beside a running watch or without.

    Exit code 4 when the journal or the copy does not hold.
    """
    from midwatch.shell.journal.backup import Backup
    from midwatch.shell.subscribers import copied

    with friendly(as_json):
        where = folder_of(folder)
        with journal_of(where) as one, copied.book_of(load_settings(where)) as book, closing(Backup(to)) as copy:
            entries = copy.take(one)
            people = copied.take(book, to) if book else None
            while every is not None:
                time.sleep(every)
                entries += copy.take(one)
                people = copied.take(book, to) if book else None
        if as_json:
            print_json({"entries": entries, "seq": copy.head.seq, "hash": copy.head.hash, "subscribers": people})
        else:
            ends = f"{entries} entries copied to {to}, which ends at {copy.head.seq}{_and(people)}"
            out.print(ends, soft_wrap=True)


@journal.command()
def find(
    words: Annotated[str, typer.Argument(help="As they were written; upper and lower case are one.")],
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Which entries hold these words, and whether `erase` takes them away: names and what was decided stay for ever."""
    from midwatch.shell.journal.codec import texts_of

    sought = words.casefold()
    with friendly(as_json):
        found = []
        with journal_of(folder_of(folder)) as one:
            for row in one.rows(0):
                text = next((text for text in texts_of(row.texts) if sought in text.casefold()), "")
                stays = sought in row.facts.decode("utf-8", "ignore").casefold()
                if text or stays:
                    found.append({"seq": row.seq, "at": row.at, "kind": row.kind, "text": text, "stays": stays})
                    if not as_json:
                        start = max(0, text.casefold().find(sought) - 30)
                        words_there = [f"“{' '.join(text[start : start + 80].split())}”"] if text else []
                        where = ", ".join(words_there + ["in what stays"] * stays)
                        out.print(Text(f"{row.seq}  {clock_words(row.at)}  {row.kind}  {where}"), soft_wrap=True)
        if as_json:
            print_json(found)
        if not found:
            raise typer.Exit(BAD)


@journal.command()
def erase(
    entries: Annotated[list[int], typer.Argument(help="Their numbers; `midwatch journal find` says which.", min=1)],
    reason: Annotated[str, typer.Option(help="Why, for the journal.")],
    by: By = "",
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Erase for good what was written in these entries: people's words, lines of logs. That something was decided, when and
    by whom stays, and the chain holds. The watch must be stopped, with replicas all of them: each has the words in memory.

    Exit code 1 when none of them holds a text.
    """
    from midwatch.shell.journal.opened import open_for_erasing

    with friendly(as_json):
        if not reason.strip():
            raise UsageError("a text is erased with a reason", hint="--reason")
        with closing(open_for_erasing(load_settings(folder_of(folder)))) as one:
            erased = one.erase(entries, me(by), reason.strip(), time.time())
            noted = one.written.seq
        if as_json:
            print_json({"erased": erased, "entry": noted if erased else None})
        elif erased:
            numbers = ", ".join(map(str, erased))
            out.print(f"Erased the text of {numbers} (journal entry {noted}). Copies follow at their next run.")
        else:
            out.print("None of these entries holds a text.")
        if not erased:
            raise typer.Exit(BAD)


@journal.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="FROM", help="The folder of a copy.")],
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Make the journal that the folder's settings name from a copy, each entry checked against the chain, and fill the book
    of the status page's subscribers. Neither may be there yet: nothing is written over."""
    from midwatch.shell.journal.opened import restore as restore_journal
    from midwatch.shell.subscribers import copied

    with friendly(as_json):
        settings = load_settings(folder_of(folder))
        copied.verify(source)
        head = restore_journal(settings, source)
        people = copied.restore(settings, source)
        if as_json:
            print_json({"seq": head.seq, "hash": head.hash, "subscribers": people})
        else:
            told = f"{head.seq} entries restored, head {head.hash}{_and(people)}"
            out.print(f"[green]The chain holds:[/] {told}", soft_wrap=True)
