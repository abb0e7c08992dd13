"""midwatch as the gym runs it: a process of its own, that knows the fleet's front doors and nothing else.

``python -m midwatch.gym.watched FOLDER`` reads ``FOLDER/settings.yaml``, as ``midwatch up`` does, and takes the
permissions of every verb that its hands declare. ``WatchProcess`` starts and ends such a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from msgspec.structs import replace

from midwatch.adapters.actuators.load import fleet_section
from midwatch.gym.last_words import last_words
from midwatch.model.events import Recorded
from midwatch.model.policy import Policy


class WatchError(Exception):
    """The watch did not start; the message holds its last words."""


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class WatchProcess:
    """One watch over the fleet in ``fleet``; its journal and log lie in ``folder``. ``more`` are further settings."""

    def __init__(
        self,
        folder: Path,
        fleet: Path,
        *,
        otlp_port: int,
        console_port: int = 0,
        mode: str = "auto",
        store: str = "none",
        tick_seconds: float = 5.0,
        policy: Sequence[Path] = (),
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.console_port = console_port or free_port()
        self._settings: dict[str, Any] = {
            "otlp_port": otlp_port,
            "console_port": self.console_port,
            "mode": mode,
            "store": store,
            "tick_seconds": tick_seconds,
            "policy": [str(path.absolute()) for path in policy],
            "actuators": fleet_section(fleet, catalogue()),
            **(more or {}),
        }
        self._process: asyncio.subprocess.Process | None = None

    @property
    def journal_path(self) -> Path:
        return self.folder / "journal.sqlite"

    @property
    def log_path(self) -> Path:
        return self.folder / "watch.log"

    async def start(self, timeout_seconds: float = 60.0) -> None:
        """Returns when telemetry is accepted. Raises WatchError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "settings.yaml").write_text(yaml.safe_dump(self._settings), "utf-8")
        with self.log_path.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "midwatch.gym.watched",
                str(self.folder),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while not (self.folder / "running.json").exists():
            if self._process.returncode is not None or asyncio.get_running_loop().time() > deadline:
                await self.stop()
                raise WatchError(f"midwatch did not start: {last_words(self.log_path)}")
            await asyncio.sleep(0.05)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def stop(self) -> None:
        """End it in order; idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 15.0)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def events(self, after_seq: int = 0) -> list[Recorded]:
        """What it has journaled since; empty while there is no journal."""
        from midwatch.shell.journal.sqlite import open_readonly

        if not self.journal_path.exists():
            return []
        journal = open_readonly(self.journal_path)
        try:
            return list(journal.read(after_seq))
        finally:
            journal.close()

    async def __aenter__(self) -> WatchProcess:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def catalogue() -> dict[str, str]:
    """The indexes that the fleet's database should have, as any team has them in its migrations."""
    from midwatch.gym.fleet.topology import INDEXES

    return {name: f"CREATE INDEX {name} ON {index['table']} {index['columns']}" for name, index in INDEXES.items()}


def gym_policy(policy: Policy, permissions: Sequence[str]) -> Policy:
    """``policy`` with every permission that the hands need: the fleet is there to be touched. Playbooks keep the levels
    that they ship with, so what needs a person stays undone here."""
    return replace(policy, limits=replace(policy.limits, permissions=tuple(sorted(permissions))))


async def serve(folder: Path) -> None:
    """Run the watch of ``folder`` until SIGTERM, SIGINT, or the end of standard input."""
    from midwatch.faces.front import console_factory
    from midwatch.shell.channels import build_channels
    from midwatch.shell.config import load_settings
    from midwatch.shell.folder import load_policy
    from midwatch.shell.hands import build_actuators
    from midwatch.shell.run import Watch

    settings = load_settings(folder)
    hands = build_actuators(settings)
    policy, _ = load_policy(settings)
    granted = {p for hand in hands for spec in hand.verbs.values() for p in spec.permissions}
    watch = Watch(
        settings,
        actuators=hands,
        channels=build_channels(settings),
        policy=gym_policy(policy, tuple(granted)),
        console=console_factory(),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, watch.request_stop)
    await watch.start()
    orphaned = loop.create_task(_when_orphaned(watch.request_stop))
    try:
        await watch.run()
    finally:
        orphaned.cancel()
        await watch.stop()


async def _when_orphaned(stop: Any) -> None:
    """The starter holds our standard input open: when it ends, however it ends, so do we."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(4096):
        pass
    stop()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
