"""The controller: starts a supervisor process, waits for it to be ready, and ends it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
from msgspec import Struct

from midwatch.gym.fleet.dark import Dark
from midwatch.gym.last_words import last_words


class FleetError(Exception):
    """The fleet did not start, or an operation on it failed; the message says why."""


class FleetInfo(Struct, frozen=True):
    """What is in ``fleet.json``: addresses of the fleet's parts. ``token`` is the platform API's bearer token,
    ``metrics_url`` what the proxy tells a Prometheus that scrapes it."""

    platform_url: str
    token: str
    haproxy_socket: str
    postgres_dsn: str
    valkey_url: str
    broker_url: str
    gateway_url: str
    otlp_endpoint: str
    supervisor_pid: int = 0
    metrics_url: str = ""


class LoadRecord(Struct, frozen=True):
    """One user request as the load generator saw it. ``status`` 0 means no answer; ``shed`` that it was turned away on
    purpose (503 with Retry-After), which is not counted as ok."""

    at: float
    journey: str
    ok: bool
    status: int
    latency_ms: float
    shed: bool = False
    error: str = ""


class Fleet:
    """One running fleet.

    ``directory`` holds its data and is made when missing; ``otlp_endpoint`` is the base URL of an OTLP/HTTP receiver, such
    as ``http://127.0.0.1:4318``. ``rate``: mean arrivals per second; ``seed``: of the load; ``services``: a subset with
    ``gateway`` (calls to what is left out answer nothing), default all 16; ``day_seconds``: length of a compressed day of
    the load's shape, 0 means flat; ``record``: a folder into which telemetry is also written as OTLP JSON lines.
    """

    def __init__(
        self,
        directory: str | Path,
        otlp_endpoint: str = "",
        *,
        rate: float = 25.0,
        seed: int = 0,
        services: Sequence[str] | None = None,
        regions: Sequence[str] = ("eu", "us"),
        day_seconds: float = 0.0,
        record: str | Path | None = None,
        start_timeout_seconds: float = 60.0,
    ) -> None:
        self.directory = Path(directory).absolute()
        self.dark = Dark(self.directory)
        self.started_in_seconds = 0.0
        self._settings = {
            "directory": str(self.directory),
            "otlp_endpoint": otlp_endpoint.rstrip("/"),
            "rate": rate,
            "seed": seed,
            "services": list(services) if services is not None else None,
            "regions": list(regions),
            "day_seconds": day_seconds,
            "record": str(Path(record).absolute()) if record is not None else "",
        }
        self._start_timeout_seconds = start_timeout_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._info: FleetInfo | None = None
        self._http: httpx.AsyncClient | None = None
        self._keys = 0

    @property
    def info(self) -> FleetInfo:
        if self._info is None:
            raise FleetError("the fleet is not started")
        return self._info

    @property
    def load_path(self) -> Path:
        """The load generator's own log, one JSON object per request; for scorers only."""
        return self.directory / ".dark" / "load.jsonl"

    async def start(self) -> None:
        """Start everything; returns when requests can flow. Raises FleetError with the supervisor's last words."""
        begun = time.monotonic()
        self.directory.mkdir(parents=True, exist_ok=True)
        log = (self.directory / "supervisor.log").open("wb")
        # The supervisor ends when its standard input does: this process may be killed at any time.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "midwatch.gym.fleet.supervisor",
            json.dumps(self._settings),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        log.close()
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(self._start_timeout_seconds):
                line = await self._process.stdout.readline()
        except TimeoutError:
            line = b""
        if line.strip() != b"ready":
            await self.stop()
            words = last_words(self.directory / "supervisor.log")
            raise FleetError(f"the fleet in {self.directory} did not start: {words}")
        self._info = read_info(self.directory)
        self._http = httpx.AsyncClient(
            base_url=self._info.platform_url, headers={"authorization": f"Bearer {self._info.token}"}, timeout=30.0
        )
        self.started_in_seconds = time.monotonic() - begun

    async def stop(self) -> None:
        """End every process of the fleet; idempotent."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10.0)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def __aenter__(self) -> Fleet:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def wait_closed(self) -> int:
        """Wait until the supervisor ends by itself; its exit status."""
        if self._process is None:
            return 0
        return await self._process.wait()

    async def op(
        self, verb: str, target: str, parameters: dict[str, Any] | None = None, *, key: str = "", by: str = "operator"
    ) -> dict[str, Any]:
        """One platform operation: ``{"status", "result", "undo_parameters"}``. Raises FleetError when it is refused."""
        if self._http is None:
            raise FleetError("the fleet is not started")
        self._keys += 1
        body = {
            "key": key or f"{by}-{time.time_ns()}-{self._keys}",
            "verb": verb,
            "target": target,
            "parameters": parameters or {},
            "by": by,
        }
        reply = await self._http.post("/v1/ops", json=body)
        if reply.status_code != 200:
            raise FleetError(f"{verb} {target}: {reply.status_code} {reply.text[:300]}")
        answer: dict[str, Any] = reply.json()
        return answer

    async def state(self) -> dict[str, Any]:
        """``GET /v1/state``: versions, configs, flags, instances, drains, builds, indexes."""
        if self._http is None:
            raise FleetError("the fleet is not started")
        reply = await self._http.get("/v1/state")
        reply.raise_for_status()
        answer: dict[str, Any] = reply.json()
        return answer

    def load(self, since_at: float = 0.0) -> Iterator[LoadRecord]:
        """The load generator's records since a time, oldest first."""
        yield from read_load(self.load_path, since_at)


def read_info(directory: str | Path) -> FleetInfo:
    """The addresses of the fleet in ``directory``. Raises FleetError when there is none."""
    import msgspec

    try:
        return msgspec.json.decode((Path(directory) / "fleet.json").read_bytes(), type=FleetInfo)
    except (OSError, msgspec.DecodeError) as error:
        raise FleetError(f"no fleet in {directory}: {error}") from error


def read_load(path: str | Path, since_at: float = 0.0) -> Iterator[LoadRecord]:
    """The records of a load log since a time, oldest first; a half-written last line is left out."""
    import msgspec

    decoder = msgspec.json.Decoder(LoadRecord)
    with Path(path).open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                record = decoder.decode(line)
                if record.at >= since_at:
                    yield record
