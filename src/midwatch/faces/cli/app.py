"""The ``midwatch`` command. One file per group of commands; this one only puts them together."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from midwatch.faces.cli import alerts as alerts_commands
from midwatch.faces.cli import check as check_command
from midwatch.faces.cli import commands, importing, reading, regroup, room
from midwatch.faces.cli import deadman as deadman_command
from midwatch.faces.cli import gym as gym_commands
from midwatch.faces.cli import investigate as investigate_command
from midwatch.faces.cli import oncall as oncall_commands
from midwatch.faces.cli import replay as replay_command
from midwatch.faces.cli import up as up_command
from midwatch.faces.cli.common import INTERRUPTED, err
from midwatch.faces.cli.items import items
from midwatch.faces.cli.journal import journal
from midwatch.faces.cli.review import review
from midwatch.faces.cli.slo import slo
from midwatch.faces.cli.status_page import status_page
from midwatch.faces.cli.tell import tell

app = typer.Typer(
    name="midwatch",
    help="The site reliability engineer that a team installs: it watches, explains, repairs, proves and pages.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
    epilog="Exit codes: 0 fine, 1 a problem was found, 2 not understood, 3 not running or not reachable, 4 failed.",
)

app.command("up")(up_command.up)
app.command("deadman")(deadman_command.deadman)
app.command("demo")(gym_commands.demo)
app.command("check")(check_command.check)
app.command("status")(reading.status)
app.command("incidents")(reading.incidents)
app.command("show")(reading.show)
app.command("postmortem")(reading.postmortem)
app.command("declare")(commands.declare)
app.command("ack")(commands.ack)
app.command("unack")(commands.unack)
app.command("escalate")(oncall_commands.escalate)
app.command("resolve")(commands.resolve)
app.command("approve")(commands.approve)
app.command("refuse")(commands.refuse)
app.command("undo")(commands.undo)
app.command("confirm-cause")(commands.confirm_cause)
app.command("merge")(regroup.merge)
app.command("split")(regroup.split)
app.command("move")(regroup.move)
app.command("severity")(room.severity)
app.command("role")(room.role)
app.command("decide")(room.decide)
app.command("tick")(room.tick)
app.command("untick")(room.untick)
app.command("task")(room.task)
app.command("task-give")(room.task_give)
app.command("task-done")(room.task_done)
app.command("hands-off")(commands.hands_off)
app.command("autonomy")(commands.autonomy)
app.command("investigate")(investigate_command.investigate)
app.command("replay")(replay_command.replay)
app.add_typer(oncall_commands.oncall, name="oncall")
app.add_typer(alerts_commands.alerts, name="alerts")
app.add_typer(alerts_commands.silence, name="silence")
app.add_typer(slo, name="slo")
app.add_typer(importing.imports, name="import")
app.add_typer(items, name="items")
app.add_typer(review, name="review")
app.add_typer(status_page, name="status-page")
app.command("tell")(tell)
app.add_typer(journal, name="journal")
app.add_typer(gym_commands.gym, name="gym")


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    if version:
        from midwatch.shell.health import product_version

        typer.echo(f"midwatch {product_version()}")
        raise typer.Exit(0)


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except KeyboardInterrupt:
        err.print("Interrupted.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of a pipe went away: not an error of ours
        sys.stderr.close()
        sys.exit(0)
