"""The dark channel's faults in stores and certificates."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

from midwatch.gym.fleet.topology import BY_NAME, INDEXES, TABLES

if TYPE_CHECKING:
    from midwatch.gym.fleet.supervisor import Supervisor

Undo = Callable[[], Awaitable[None]]


@dataclass
class Fault:
    """One thing that was left behind. ``knobs`` are what it sets in the processes that it touches; ``undo`` takes the
    rest back."""

    id: str
    op: str
    args: dict[str, Any]
    expires_at: float
    lifted_by: tuple[str, ...] = ()
    persist: bool = False
    knobs: dict[str, Any] = field(default_factory=dict)
    pids: set[int] = field(default_factory=set)
    undo: Undo | None = None
    touched: frozenset[str] = frozenset()  # names on which a fix counts


class StoreFaults:
    """What can be done to PostgreSQL, Valkey and the certificates; the server of the channel adds the rest."""

    supervisor: Supervisor

    def _add(
        self, op: str, args: dict[str, Any], *, lease_seconds: float, lifted_by: list[str] | None, touched: set[str],
        undo: Undo | None = None, knobs: dict[str, Any] | None = None, persist: bool = False,
    ) -> Fault:  # fmt: skip
        raise NotImplementedError

    async def drop_index(
        self, index: str, lifted_by: list[str] | None = None, lease_seconds: float = 600.0
    ) -> dict[str, Any]:
        if index not in INDEXES:
            raise ValueError(f"no index {index}; there are {', '.join(INDEXES)}")
        await self.supervisor.postgres.execute(f"DROP INDEX IF EXISTS {index}")

        async def undo() -> None:
            made = INDEXES[index]
            await self.supervisor.postgres.execute(
                f"CREATE INDEX IF NOT EXISTS {index} ON {made['table']} {made['columns']}"
            )

        fault = self._add("drop_index", {"index": index}, lease_seconds=lease_seconds,
                          lifted_by=[*(lifted_by or []), "rebuild_index"], touched={"shop"}, undo=undo)  # fmt: skip
        return {"id": fault.id}

    async def hold_lock(
        self,
        table: str,
        mode: str = "ACCESS EXCLUSIVE",
        lifted_by: list[str] | None = None,
        lease_seconds: float = 600.0,
    ) -> dict[str, Any]:
        if table not in TABLES or mode not in ("ACCESS EXCLUSIVE", "EXCLUSIVE", "SHARE ROW EXCLUSIVE"):
            raise ValueError("no such table or lock mode")
        # DDL rights are the owner's, so the lock is taken by a maintenance session of the application's user
        await self.supervisor.postgres.execute(f"GRANT MAINTAIN ON {table} TO shop")
        connection = await psycopg.AsyncConnection.connect(
            f"{self.supervisor.postgres.dsn} application_name=reporting", connect_timeout=3
        )
        await connection.execute(f"LOCK TABLE {table} IN {mode} MODE")

        async def undo() -> None:
            await connection.close()

        fault = self._add("hold_lock", {"table": table, "mode": mode}, lease_seconds=lease_seconds,
                          lifted_by=[*(lifted_by or []), "kill_session"], touched={"shop"}, undo=undo)  # fmt: skip
        return {"id": fault.id, "pid": connection.info.backend_pid}

    async def cache_fault(
        self, mode: str = "down", lifted_by: list[str] | None = None, lease_seconds: float = 600.0
    ) -> dict[str, Any]:
        cache = self.supervisor.cache
        if mode == "down":
            await asyncio.to_thread(cache.stop)
        elif mode == "hang":
            cache.signal(signal.SIGSTOP)
        else:
            raise ValueError("mode is down or hang")

        async def undo() -> None:
            cache.signal(signal.SIGCONT)
            if cache.process is None or cache.process.poll() is not None:
                cache.start()
                await cache.ready()

        fault = self._add("cache_fault", {"mode": mode}, lease_seconds=lease_seconds,
                          lifted_by=[*(lifted_by or []), "restart"], touched={"valkey"}, undo=undo)  # fmt: skip
        return {"id": fault.id}

    async def fill_disk(
        self, ratio: float = 0.99, lifted_by: list[str] | None = None, lease_seconds: float = 600.0
    ) -> dict[str, Any]:
        await asyncio.to_thread(self.supervisor.postgres.fill, float(ratio))

        async def undo() -> None:
            await asyncio.to_thread(self.supervisor.postgres.free)

        fault = self._add("fill_disk", {"ratio": ratio}, lease_seconds=lease_seconds,
                          lifted_by=[*(lifted_by or []), "free_disk"], touched={"shop"}, undo=undo)  # fmt: skip
        return {"id": fault.id}

    async def database_fault(self, mode: str = "hang", seconds: float = 10.0) -> dict[str, Any]:
        if mode != "hang":
            raise ValueError("mode is hang")
        rows = await self.supervisor.postgres.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
        )
        pids = [row[0] for row in rows]

        def send(number: int) -> None:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

        send(signal.SIGSTOP)

        async def undo() -> None:
            send(signal.SIGCONT)

        fault = self._add(
            "database_fault", {"mode": mode}, lease_seconds=seconds, lifted_by=None, touched={"shop"}, undo=undo
        )
        return {"id": fault.id}

    async def expire_cert(
        self, service: str, lifted_by: list[str] | None = None, lease_seconds: float = 600.0
    ) -> dict[str, Any]:
        supervisor = self.supervisor
        if service not in supervisor.states or not BY_NAME[service].tls:
            raise ValueError(f"{service} is not served over TLS")
        await supervisor.proxy.set_certificate(service, supervisor.certificate(service, -1.0))

        async def undo() -> None:
            await supervisor.proxy.set_certificate(service, supervisor.certificate(service, 20 * 86400.0))

        fault = self._add("expire_cert", {"tls": service}, lease_seconds=lease_seconds,
                          lifted_by=[*(lifted_by or []), "renew_certificate"], touched={service}, undo=undo)  # fmt: skip
        return {"id": fault.id}
