"""``midwatch role``, ``decide``, ``tick``, ``task``, ``severity`` and their kin: who does what in an incident, what was
decided, what is done, and how bad it is."""

from __future__ import annotations

from typing import Annotated

import typer

from midwatch.faces.cli.commands import Incident, Note, send
from midwatch.faces.cli.common import AsJson, By, Folder, friendly
from midwatch.model.errors import UsageError
from midwatch.model.room import ROLES


def severity(
    ident: Incident,
    value: Annotated[str, typer.Argument(metavar="SEV", help="1 (worst) to 4; - leaves it to the facts again.")],
    folder: Folder = None,
    by: By = "",
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Rate an incident yourself: never milder than you say, and worse only when the facts get worse than they are now."""
    said = "{target} is left to the facts again." if value == "-" else f"The next turn rates {{target}} SEV{value}."
    send(folder, as_json, "severity", by, ident, said, value, note)


def role(
    ident: Incident,
    name: Annotated[str, typer.Argument(metavar="ROLE", help=f"{', '.join(ROLES)}.")],
    person: Annotated[str, typer.Argument(metavar="[WHO]", help="Yourself without it; - frees the role.")] = "",
    folder: Folder = None,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Say who has a role in an incident."""
    with friendly(as_json):
        if name not in ROLES:
            raise UsageError(f"there is no role {name!r}", hint="one of: " + ", ".join(ROLES))
    said = f"The next turn writes down who is {name} of {{target}}."
    send(folder, as_json, "role", by, ident, said, f"{name} {person}".strip())


def decide(
    ident: Incident,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What was decided, in a sentence.")],
    folder: Folder = None,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Write a decision down: the timeline and the post-mortem tell it."""
    send(folder, as_json, "decide", by, ident, "Written down for {target}.", note=text)


Step = Annotated[int, typer.Argument(metavar="N", help="Its number in the checklist: midwatch show INC.")]
Task = Annotated[int, typer.Argument(metavar="N", help="Its number: midwatch show INC.")]


def tick(
    ident: Incident,
    step: Step,
    folder: Folder = None,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Say that a step of the incident's checklist is done."""
    send(folder, as_json, "tick", by, ident, f"Step {step} of {{target}} is ticked.", str(step))


def untick(ident: Incident, step: Step, folder: Folder = None, by: By = "", as_json: AsJson = False) -> None:
    """Say that a step of the checklist is not done after all."""
    send(folder, as_json, "untick", by, ident, f"Step {step} of {{target}} is open again.", str(step))


def task(
    ident: Incident,
    what: Annotated[str, typer.Argument(metavar="WHAT", help="What is to be done now, in a sentence.")],
    who: Annotated[str, typer.Option("--who", help="Who does it; nobody yet without it.")] = "",
    folder: Folder = None,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Write down what is to be done while the incident runs. What is for afterwards: midwatch items add."""
    send(folder, as_json, "task", by, ident, "Written down for {target}.", who, note=what)


def task_give(
    ident: Incident,
    number: Task,
    who: Annotated[str, typer.Argument(metavar="[WHO]", help="Yourself without it; - for nobody.")] = "",
    folder: Folder = None,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Say who does a task from now on."""
    send(folder, as_json, "task_give", by, ident, f"Task {number} of {{target}} is given.", f"{number} {who}".strip())


def task_done(ident: Incident, number: Task, folder: Folder = None, by: By = "", as_json: AsJson = False) -> None:
    """Say that a task is done."""
    send(folder, as_json, "task_done", by, ident, f"Task {number} of {{target}} is done.", str(number))
