"""``midwatch up``: the watch itself, in the foreground, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from midwatch.faces.cli.common import AsJson, Folder, err, folder_of, friendly, log_to_stderr, print_json
from midwatch.model.errors import Deposed
from midwatch.shell.config import Settings, load_settings


def up(
    folder: Folder = None,
    config: Annotated[Path | None, typer.Option(help="Settings, instead of the folder's settings.yaml.")] = None,
    policy: Annotated[
        list[Path] | None, typer.Option(help="A file or folder of promises, playbooks, limits. May be given again.")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="The ceiling of what it may do: shadow, suggest, ask, canary, auto.")
    ] = None,
    fleet: Annotated[Path | None, typer.Option(help="A gym fleet's folder: use its hands.")] = None,
    store: Annotated[str | None, typer.Option(help="embedded or none.")] = None,
    tick: Annotated[float | None, typer.Option(help="Seconds between two turns of the loop.")] = None,
    otlp_port: Annotated[
        int | None, typer.Option(help="Telemetry comes in here. Default 4318; 0: any free one.")
    ] = None,
    console_port: Annotated[int | None, typer.Option(help="The console. Default 8484; 0: any free one.")] = None,
    heartbeat: Annotated[str | None, typer.Option(help="Dead-man URL, called each minute (or env:NAME).")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stand watch. Starts in shadow: it suggests and touches nothing until told otherwise.

    Exit codes: 0 stopped in order, 2 a setting or a port is wrong, 4 the journal is busy or another process took over.
    """
    with friendly(as_json):
        log_to_stderr(logging.INFO if verbose else logging.WARNING)
        settings = load_settings(
            folder_of(folder),
            {
                "policy": tuple(policy) if policy else None,
                "mode": mode,
                "fleet": fleet,
                "store": store,
                "tick_seconds": tick,
                "otlp_port": otlp_port,
                "console_port": console_port,
                "heartbeat_url": heartbeat,
            },
            file=config,
        )
        asyncio.run(stand_watch(settings, as_json=as_json))


async def stand_watch(settings: Settings, *, as_json: bool = False) -> None:
    """Run one watch until a signal. Raises MidwatchError."""
    from midwatch.faces.front import console_factory
    from midwatch.shell.channels import build_channels, unready_channels
    from midwatch.shell.hands import build_actuators, prepare
    from midwatch.shell.run import Watch

    actuators = build_actuators(settings)
    await prepare(actuators)
    watch = Watch(
        settings,
        actuators=actuators,
        channels=build_channels(settings),
        console=console_factory(),
        public=public_factory(),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, watch.request_stop)
    await watch.start()
    gc.collect()
    gc.freeze()  # what is there now stays: no collection of garbage has to go through all of it
    try:
        _announce(watch, as_json)
        if lacking := unready_channels(settings):
            err.print(Text(f"  ! {lacking}", style="bold yellow"), soft_wrap=True)
        await watch.run()
    finally:
        await watch.stop()
    if "lease" in watch.vitals.troubles:
        raise Deposed(watch.vitals.troubles["lease"], hint="only one watch runs on a folder at a time")


def public_factory() -> Any:
    """The page for customers, on the port that the settings name."""
    from midwatch.faces.status.app import status_app

    return lambda watch: status_app(watch.status, watch.gate)


def _announce(watch: Any, as_json: bool) -> None:
    policy = watch.state.policy
    if as_json:
        print_json(
            {
                "folder": str(watch.settings.folder),
                "mode": policy.mode,
                "otlp": f"http://{watch.settings.otlp_host}:{watch.otlp_port}",
                "console": f"{watch.settings.console_scheme}://{watch.settings.console_host}:{watch.console_port}",
            }
        )
        return
    duty = watch.duty.words() or "midwatch is on watch"
    err.print(Text.assemble((duty, "bold green"), f" in {watch.settings.folder}, mode {policy.mode}"))
    err.print(f"  telemetry  OTLP/HTTP on http://{watch.settings.otlp_host}:{watch.otlp_port}")
    err.print(f"  console    {watch.settings.console_scheme}://{watch.settings.console_host}:{watch.console_port}")
    if watch.doors.status_port:
        err.print(f"  customers  the status page on port {watch.doors.status_port}")
    err.print(f"  promises   {len(policy.slos)} written, more are proposed from normal traffic")
    err.print(f"  hands      {len(watch.hands.verbs)} verbs, {len(policy.playbooks)} playbooks")
    err.print(f"  store      {watch.intake.store_words()}")
    for line in watch.vitals.troubles.values():
        err.print(Text(f"  ! {line}", style="yellow"), soft_wrap=True)
    if watch.hands_off:
        err.print("  [bold yellow]hands off: no action is carried out (release: midwatch hands-off --release)[/]")
