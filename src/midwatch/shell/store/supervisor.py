"""Keeps the store's child process running: starts it, watches it, restarts it with a bounded backoff, ends it.

Nothing of midwatch's paging goes through here; while the child is down, writers get a StoreError at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from midwatch.model.errors import StoreError
from midwatch.shell.store.child import ChildConfig
from midwatch.shell.store.engine import Caps

log = logging.getLogger("midwatch.store")

START_SECONDS = 20.0
STOP_SECONDS = 5.0
LOCKED_SECONDS = 6.0  # a child of a midwatch that was just killed needs a moment to end
BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
STEADY_SECONDS = 30.0  # up for so long: the next death starts the backoff from the front again
PING_SECONDS = 3.0
PINGS_MISSED = 5  # in a row: it hangs, and is killed


@dataclass(frozen=True)
class Address:
    """Where the child listens, and the password of this start."""

    port: int
    password: str


class Supervisor:
    """``folder`` is the child's. ``on_change`` is called (in the event loop) with the new address, or None when the child
    went away."""

    def __init__(self, folder: Path, caps: Caps, on_change: Callable[[Address | None], None] | None = None) -> None:
        self.folder = folder
        self.caps = caps
        self.address: Address | None = None
        self.restarts = 0
        self.why = ""  # it is down, "" while nothing is known of it
        self._on_change = on_change or (lambda address: None)
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._tail: deque[str] = deque(maxlen=20)
        self._drain: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Returns when the child answers. Raises StoreError, with a hint, when it cannot start."""
        give_up = time.monotonic() + LOCKED_SECONDS
        while True:
            try:
                await self._launch()
                break
            except _Locked as error:
                if time.monotonic() > give_up:
                    raise StoreError(
                        str(error), hint="stop the midwatch that has it, or give this one another data folder"
                    ) from error
                await asyncio.sleep(0.3)
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """End the child: closing its stdin asks it to, a signal insists."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        self._became(None)
        process = self._process
        if process is not None and process.returncode is None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                _kill(process)
                await process.wait()
        if self._drain is not None:
            await self._drain

    async def _launch(self) -> None:
        password = secrets.token_urlsafe(24)
        config = ChildConfig(str(self.folder), password, os.getpid(), caps=self.caps)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "midwatch.shell.store.child",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C in the terminal is for midwatch, which then ends the child in order
        )  # fmt: skip
        self._process = process
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self._drain = asyncio.create_task(self._keep_tail(process.stderr))
        process.stdin.write(config.line())
        try:
            line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
            answer = json.loads(line) if line else {"error": f"it ended at once: {self._last_words()}"}
        except (TimeoutError, ValueError) as error:
            answer = {"error": f"it did not answer in {START_SECONDS:.0f} s ({type(error).__name__})"}
        except asyncio.CancelledError:
            _kill(process)
            raise
        if "port" not in answer:
            _kill(process)
            await process.wait()
            if answer.get("locked"):
                raise _Locked(str(answer["error"]))
            raise StoreError(
                f"the telemetry store cannot start on {self.folder}: {answer['error']}",
                hint=self._hint(answer["error"]),
            )
        self.why = ""  # it may go down once more for the same reason, which is said once more
        self._became(Address(int(answer["port"]), password))

    def _hint(self, error: str) -> str:
        if "No module named" in error:
            return "install it with: pip install 'midwatch[store]'"
        if "ermission denied" in error or "Read-only" in error or "create_directories" in error:
            return f"may this user write {self.folder}?"
        if "No space" in error:
            return "make room on that disk"
        return ""

    def _became(self, address: Address | None) -> None:
        self.address = address
        self._on_change(address)

    def _is_down(self, why: str) -> None:
        if why != self.why:
            log.warning("the telemetry store: %s", why)
        self.why = why
        self._became(None)

    async def _watch(self) -> None:
        attempt = 0
        while True:
            started = time.monotonic()
            assert self._process is not None
            if self._process.returncode is None:
                await self._until_it_dies(self._process)
            if self.address is not None:
                self._is_down(
                    f"its process ended ({self._process.returncode}; {self._last_words()}), a new one is started"
                )
            if time.monotonic() - started > STEADY_SECONDS:
                attempt = 0
            await asyncio.sleep(BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS) - 1)])
            attempt += 1
            self.restarts += 1
            try:
                await self._launch()
            except (StoreError, OSError, _Locked) as error:
                self._is_down(f"its process does not start: {error}")

    async def _until_it_dies(self, process: asyncio.subprocess.Process) -> None:
        missed = 0
        while process.returncode is None:
            try:
                await asyncio.wait_for(asyncio.shield(process.wait()), PING_SECONDS)
            except TimeoutError:
                missed = 0 if await self._answers() else missed + 1
                if missed >= PINGS_MISSED:
                    _kill(process)

    async def _answers(self) -> bool:
        """One ``GET /ping`` by hand."""
        if self.address is None:
            return False
        writer = None
        try:
            async with asyncio.timeout(PING_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.address.port)
                writer.write(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return b" 200 " in await reader.readline()
        except (OSError, TimeoutError):
            return False
        finally:
            if writer is not None:
                writer.close()

    async def _keep_tail(self, stream: asyncio.StreamReader) -> None:
        """What the child says on stderr: the last lines only."""
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # a line longer than the buffer
                continue
            if not line:
                return
            self._tail.append(line.decode("utf-8", "replace").strip()[:300])

    def _last_words(self) -> str:
        return (self._tail[-1] if self._tail else "it said nothing")[:300]


class _Locked(Exception):
    """Another process has the folder."""


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
