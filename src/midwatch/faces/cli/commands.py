"""Commands that change something: they go to the running watch over its API, which journals them before it obeys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from midwatch.faces.cli.common import (
    AsJson,
    By,
    Folder,
    Running,
    code_of,
    err,
    explain,
    folder_of,
    friendly,
    me,
    out,
    print_json,
)
from midwatch.model.actions import AUTONOMY_LADDER
from midwatch.model.entity import service_key
from midwatch.model.errors import MidwatchError, Unreachable, UsageError
from midwatch.model.faults import FAULT_KINDS
from midwatch.shell.config import HANDS_OFF_FILE

Note = Annotated[str, typer.Option("--note", help="A word for the journal.")]
Incident = Annotated[str, typer.Argument(metavar="INC")]
Action = Annotated[str, typer.Argument(metavar="ACT")]


def send(
    folder: Path | None, as_json: bool, verb: str, by: str, target: str, said: str, value: str = "", note: str = ""
) -> None:
    with friendly(as_json):
        running = Running(folder_of(folder))
        body = {"verb": verb, "by": me(by), "target": target, "value": value, "note": note, "via": "cli"}
        answer = running.post("/api/v1/commands", body)
        if as_json:
            print_json(answer)
        else:
            words = escape(said.replace("{target}", answer["target"]))
            out.print(f"{words} [dim](journal entry {answer['seq']})[/]", soft_wrap=True)


def ack(
    idents: Annotated[list[str], typer.Argument(metavar="INC...", help="One incident, or several.")],
    folder: Folder = None,
    by: By = "",
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Acknowledge an incident, or several: their pages stop repeating. One that cannot be taken does not keep the others."""
    with friendly(as_json):
        running, person = Running(folder_of(folder)), me(by)
        said: list[dict[str, Any]] = []
        worst: MidwatchError | None = None
        for ident in dict.fromkeys(idents):
            body = {"verb": "ack", "by": person, "target": ident, "note": note, "via": "cli"}
            try:
                answer = running.post("/api/v1/commands", body)
            except UsageError as error:  # about this one only
                if len(idents) == 1:
                    raise
                worst = error
                said.append({"target": ident, "error": str(error), "hint": error.hint})
                explain(error)
                continue
            said.append(answer)
            if not as_json and answer["seq"] is None:
                out.print(escape(f"You have {answer['target']} already; its pages stay quiet."))
            elif not as_json:
                entry = f"[dim](journal entry {answer['seq']})[/]"
                out.print(f"{escape(answer['target'])} is yours; its pages stop. {entry}", soft_wrap=True)
    if as_json:
        print_json(said[0] if len(idents) == 1 else said)
    if worst is not None:
        raise typer.Exit(code_of(worst))


def unack(ident: Incident, folder: Folder = None, by: By = "", note: Note = "", as_json: AsJson = False) -> None:
    """Take an acknowledgement back: whoever is on call now is woken."""
    send(folder, as_json, "unack", by, ident, "{target} is nobody's; it pages again.", note=note)


def resolve(ident: Incident, folder: Folder = None, by: By = "", note: Note = "", as_json: AsJson = False) -> None:
    """Say that an incident is over, where midwatch cannot see it."""
    send(folder, as_json, "resolve", by, ident, "{target} is over.", note=note)


def declare(
    what: Annotated[str, typer.Argument(metavar="WORDS", help="What is wrong, in a few words.")],
    at: Annotated[str, typer.Option("--at", help="service:payment, or just payment; nothing where nobody knows.")] = "",
    severity: Annotated[int, typer.Option("--severity", min=1, max=4, help="1 is worst.")] = 2,
    folder: Folder = None,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Say that something is wrong that nothing here has seen: an incident opens, and whoever is on call is woken.

    It joins an open incident of the same service. It is over when somebody resolves it.
    """
    said = "The next turn opens an incident for it, or adds it to one: midwatch incidents."
    send(folder, as_json, "declare", by, at, said, str(severity), what)


def approve(ident: Action, folder: Folder = None, by: By = "", note: Note = "", as_json: AsJson = False) -> None:
    """Say yes to an action that asks. What is irreversible needs two people."""
    send(
        folder,
        as_json,
        "approve",
        by,
        ident,
        "Yes to {target}: the next turn carries it out, if the guards agree.",
        note=note,
    )


def refuse(ident: Action, folder: Folder = None, by: By = "", note: Note = "", as_json: AsJson = False) -> None:
    """Say no to an action that asks."""
    send(folder, as_json, "refuse", by, ident, "No to {target}: it is dropped.", note=note)


def undo(ident: Action, folder: Folder = None, by: By = "", note: Note = "", as_json: AsJson = False) -> None:
    """Take an action back (through the guards)."""
    send(
        folder, as_json, "undo", by, ident, "{target} will be undone by the next turn, if the guards agree.", note=note
    )


def confirm_cause(
    ident: Incident,
    entity: Annotated[str, typer.Argument(help="service:payment, or just payment.")],
    kind: Annotated[str, typer.Argument(help="A fault kind, such as pool_exhausted.")],
    folder: Folder = None,
    by: By = "",
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Say what it really was: diagnosis learns from it."""
    with friendly(as_json):
        if kind not in FAULT_KINDS:
            raise UsageError(f"there is no fault kind {kind!r}", hint="one of: " + ", ".join(sorted(FAULT_KINDS)))
        key = service_key(entity)
    send(folder, as_json, "confirm_cause", by, ident, f"{{target}}: it was {kind} at {key}.", f"{key} {kind}", note)


def autonomy(
    playbook: Annotated[str, typer.Argument(metavar="PLAYBOOK")],
    level: Annotated[str, typer.Argument(help="shadow, suggest, ask, canary or auto.")],
    folder: Folder = None,
    by: By = "",
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Set how much a playbook may do by itself. The policy's mode stays its ceiling."""
    with friendly(as_json):
        if level not in AUTONOMY_LADDER:
            raise UsageError(f"there is no level {level!r}", hint="one of: " + ", ".join(AUTONOMY_LADDER))
    send(folder, as_json, "autonomy", by, playbook, f"{{target}} may now: {level}.", level, note)


def hands_off(
    folder: Folder = None,
    release: Annotated[bool, typer.Option("--release", help="Let midwatch act again.")] = False,
    by: By = "",
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """The kill switch: no action any more, at once. It works when no watch runs, and holds for the next one.

    Exit code 3 when --release could not reach the watch (the file is removed all the same).
    """
    with friendly(as_json):
        where = folder_of(folder)
        file = where / HANDS_OFF_FILE
        if not release:
            # The file first: it is read before every effect, and needs nobody to be alive.
            try:
                where.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{me(by)} via cli\n", "utf-8")
            except OSError as error:
                err.print(
                    f"[yellow]{file} cannot be written ({error.strerror}); asking the watch itself[/]", soft_wrap=True
                )
        verb = "hands_on" if release else "hands_off"
        untold, sequence = "", None
        try:
            body = {"verb": verb, "by": me(by), "note": note, "via": "cli"}
            sequence = Running(where).post("/api/v1/commands", body)["seq"]
        except MidwatchError as error:  # the file is the switch: whatever the watch says, or does not, it holds
            if release and isinstance(
                error, Unreachable
            ):  # a running watch takes it away itself, once that is journaled
                _take_away(file)
            if release or not file.exists():
                raise
            untold = "No watch is running." if isinstance(error, Unreachable) else f"The watch says: {error}."
        if as_json:
            print_json({"hands_off": not release, "file": str(file), "watch_told": not untold, "seq": sequence})
        elif release:
            out.print("Hands on: midwatch may act again.")
        else:
            out.print("[bold]Hands off.[/] No action will be carried out." + escape(f" ({untold})" if untold else ""))
            out.print(f"[dim]{file} is the switch; release it with: midwatch hands-off --release[/]", soft_wrap=True)


def _take_away(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{file} cannot be removed: {error.strerror}", hint="remove it by hand") from error
