"""The telemetry store as the rest of midwatch sees it: write batches, ask questions in ClickHouse SQL.

Everything goes through ``clickhouse-connect``, to the supervised child or to a cluster alike. Paging and the journal do
not depend on this: when the store is down, ``write`` and every question raise StoreError at once.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from midwatch.model.errors import BadRows, StoreError
from midwatch.model.world import Change
from midwatch.shell.ingest.rows import Batch
from midwatch.shell.store import columns
from midwatch.shell.store.dsn import Dsn, parse_dsn
from midwatch.shell.store.engine import Caps
from midwatch.shell.store.native import columns_of, native
from midwatch.shell.store.schema import Retention, ddl, new_retention
from midwatch.shell.store.supervisor import Address, Supervisor
from midwatch.shell.store.writer import GroupWriter

REQUEST_SECONDS = 30
CONNECT_SECONDS = 3
PING_SECONDS = 5.0  # between two looks at a cluster
MAX_ROWS = 100_000  # of one answer
_T = TypeVar("_T")


@dataclass(frozen=True)
class StoreStatus:
    """Health in figures. ``why`` is empty while ``healthy``."""

    healthy: bool
    why: str
    where: str
    pid: int | None
    restarts: int
    pending_rows: int
    written_rows: int
    failed_inserts: int
    refused: int
    out_of_range: int


class Store:
    """The embedded store in ``folder``, or the ClickHouse at ``dsn``."""

    def __init__(
        self, folder: Path | str | None = None, *, dsn: str = "", retention: Retention | None = None,
        caps: Caps | None = None,
    ) -> None:  # fmt: skip
        if (folder is None) == (not dsn):
            raise StoreError("the store needs a folder or an address, and not both")
        self.folder = Path(folder) if folder is not None else None
        self._dsn: Dsn | None = parse_dsn(dsn) if dsn else None
        self._here = self._dsn
        self._retention = retention or Retention()
        self._supervisor = Supervisor(self.folder, caps or Caps(), self._moved) if self.folder else None
        self._rows = columns.RowBuilder(max(vars(self._retention).values()) * columns.DAY)
        self._writer = GroupWriter(self._insert)
        self._threads = ThreadPoolExecutor(4, "store")
        self._insert_thread = ThreadPoolExecutor(1, "store-insert")
        self._client: Any = None
        self._connecting: asyncio.Task[None] | None = None
        self._closed = False
        self._why = "not started"
        self.written_rows = self.failed_inserts = self.out_of_range = 0

    # -- life --

    async def start(self) -> None:
        """Returns when the tables are there and rows can be written. Raises StoreError with a hint."""
        if self._supervisor is not None:
            await self._supervisor.start()
            if self._connecting is not None:
                await self._connecting
        elif self._dsn is not None:
            await self._connect(self._dsn)
            self._connecting = asyncio.create_task(self._keep_connected(self._dsn))
        if self._client is None:
            why = self._why
            await self.close()
            raise StoreError(f"the telemetry store does not answer: {why}")
        cluster = self._dsn.cluster if self._dsn else ""
        on_cluster = f" ON CLUSTER {cluster}" if cluster else ""
        statements = ddl(self.database, self._retention, cluster)
        for statement in (f"CREATE DATABASE IF NOT EXISTS {self.database}{on_cluster}", *statements):
            await self._command(statement)
        made = "SELECT name, create_table_query AS made_by FROM system.tables WHERE database = {db:String}"
        for row in await self.query(made, {"db": self.database}):
            if row["name"] in columns.TYPES:
                change = new_retention(self.database, row["name"], row["made_by"], self._retention, cluster)
                if change:
                    await self._command(change)
        self._writer.start()

    async def _command(self, statement: str) -> None:
        await self._ask(lambda client: client.command(statement))

    async def close(self) -> None:
        """End the child in order. What was acknowledged is on disk already."""
        self._closed = True
        await self._writer.stop()
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._supervisor is not None:
            await self._supervisor.stop()
        client, self._client, self._why = self._client, None, "closed"
        if client is not None:
            await asyncio.to_thread(client.close)
        self._threads.shutdown(wait=False)
        self._insert_thread.shutdown(wait=False)

    @property
    def database(self) -> str:
        return self._dsn.database if self._dsn else "midwatch"

    @property
    def healthy(self) -> bool:
        return self._client is not None

    @property
    def address(self) -> Dsn | None:
        """Where another process of ours finds it; None while it is down."""
        return self._here if self.healthy else None

    @property
    def status(self) -> StoreStatus:
        supervisor = self._supervisor
        return StoreStatus(
            self.healthy, "" if self.healthy else self._why, str(self._dsn or self.folder),
            supervisor.pid if supervisor else None, supervisor.restarts if supervisor else 0,
            self._writer.pending_rows, self.written_rows, self.failed_inserts, self._writer.refused, self.out_of_range,
        )  # fmt: skip

    def _moved(self, address: Address | None) -> None:
        """The child is up at ``address``, or gone."""
        self._client = None
        if address is None:
            self._why = (self._supervisor.why if self._supervisor else "") or "its process is being ended"
            self._writer.fail_waiting(f"the telemetry store is down: {self._why}")
            return
        here = Dsn("127.0.0.1", address.port, "midwatch", address.password, "midwatch")
        self._here = here
        self._connecting = asyncio.create_task(self._connect(here))

    async def _connect(self, dsn: Dsn) -> None:
        try:
            client = await asyncio.to_thread(_client, dsn)
        except StoreError as error:
            self._why = str(error)
            return
        # The child may have died again meanwhile: an address of the past is of no use.
        if self._supervisor is None or (self._supervisor.address and self._supervisor.address.port == dsn.port):
            self._client, self._why = client, ""

    async def _keep_connected(self, dsn: Dsn) -> None:
        """A cluster comes and goes without telling: look every few seconds."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            client = self._client
            if client is None:
                await self._connect(dsn)
            elif not await asyncio.to_thread(client.ping):
                self._client, self._why = None, f"{dsn} does not answer"
                self._writer.fail_waiting(f"the telemetry store is down: {self._why}")

    # -- writing --

    async def write(self, batch: Batch) -> None:
        """Returns when every row of ``batch`` is stored. Raises StoreError at once when the store is down or overloaded;
        after an error some rows may be in all the same (a sender that tries again may store them twice)."""
        self._up()
        await self._writer.write(batch)

    async def write_changes(self, changes: Iterable[Change]) -> None:
        rows = columns.change_rows(changes)
        if rows:
            await self._ask(lambda client: _put(client, self.database, "changes", rows))

    async def write_slo_counts(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows of ``slo_counts.row``. Writing one again replaces it. Raises StoreError."""
        if rows:
            await self._ask(lambda client: _put(client, self.database, "slo_counts", rows), self._insert_thread)

    async def _insert(self, batches: Sequence[Batch]) -> None:
        def insert(client: Any) -> columns.Rows:
            rows = self._rows.build(batches, time.time())
            for table, values in rows.tables.items():
                if values:
                    _put(client, self.database, table, values)
            return rows

        try:
            rows = await self._ask(insert, self._insert_thread)
        except StoreError:
            self.failed_inserts += 1
            raise
        self._rows.stored(rows)
        self.written_rows += len(rows)
        self.out_of_range += rows.out_of_range

    # -- asking --

    def _up(self) -> Any:
        if self._client is None or self._closed:
            raise StoreError(f"the telemetry store is down: {self._why}", hint="it is restarted by itself; try again")
        return self._client

    async def _ask(self, question: Callable[[Any], _T], threads: ThreadPoolExecutor | None = None) -> _T:
        from clickhouse_connect.driver.exceptions import ClickHouseError, DataError
        from urllib3.exceptions import HTTPError

        client = self._up()
        try:
            return await asyncio.get_running_loop().run_in_executor(threads or self._threads, question, client)
        except (DataError, ValueError, TypeError, OverflowError, struct.error) as error:
            raise BadRows(f"cannot be stored: {str(error)[:1000]}") from error
        except (ClickHouseError, HTTPError, OSError) as error:
            raise StoreError(f"the telemetry store: {str(error)[:1000]}") from error

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows by column name, at most MAX_ROWS; write ``{name:Type}`` in ``sql`` for parameters. Raises StoreError."""
        names, rows = await self._select(sql, parameters)
        return [dict(zip(names, row, strict=True)) for row in rows]

    async def _select(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        settings = {"max_result_rows": MAX_ROWS, "result_overflow_mode": "throw"}

        def ask(client: Any) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
            result = client.query(sql, parameters=dict(parameters or {}), settings=settings)
            return result.column_names, result.result_rows

        return await self._ask(ask)

    async def blocks(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Columns by name, a dict per block, as NumPy arrays (``native.columns``): for answers with many numbers. Raises
        StoreError."""
        settings = {"max_result_rows": MAX_ROWS, "result_overflow_mode": "throw"}
        return await self._ask(
            lambda client: columns_of(
                client.raw_query(sql, parameters=dict(parameters), settings=settings, fmt="Native")
            )
        )

    async def rows_since(
        self, since_at: float, until_at: float | None = None, slice_seconds: float = 5.0
    ) -> AsyncIterator[tuple[float, Batch]]:
        """Everything between two moments (unix seconds), as batches in time order with the moment at which each is complete:
        a restarted midwatch warms its World with them. A slice that holds more than MAX_ROWS rows of a kind raises
        StoreError."""
        end_at = until_at if until_at is not None else time.time()
        reader = columns.Reader()
        while since_at < end_at:
            stop_at = min(since_at + slice_seconds, end_at)
            window = _window(since_at, stop_at)
            _, spans = await self._select(self._between("spans", columns.SPAN_SELECT), window)
            _, logs = await self._select(self._between("logs", columns.LOG_SELECT), window)
            _, points = await self._select(self._points(), window)
            batch = Batch(
                [reader.span(row) for row in spans],
                [reader.log(row) for row in logs],
                [reader.point(row) for row in points],
            )
            if len(batch):
                yield stop_at, batch
            since_at = stop_at

    def _between(self, table: str, selected: str) -> str:
        return f"""SELECT {selected} FROM {self.database}.{table}
            WHERE toStartOfMinute(ts) >= toStartOfMinute(fromUnixTimestamp64Milli({{since:Int64}}))
              AND toStartOfMinute(ts) <= toStartOfMinute(fromUnixTimestamp64Milli({{until:Int64}}))
              AND ts >= fromUnixTimestamp64Milli({{since:Int64}}) AND ts < fromUnixTimestamp64Milli({{until:Int64}})
              ORDER BY ts"""

    def _points(self) -> str:
        return f"""SELECT {columns.POINT_SELECT} FROM {self.database}.samples AS p
            INNER JOIN (SELECT * FROM {self.database}.series ORDER BY seen DESC LIMIT 1 BY sid) AS s ON p.sid = s.sid
            WHERE toStartOfHour(p.ts) >= toStartOfHour(fromUnixTimestamp64Milli({{since:Int64}}))
              AND toStartOfHour(p.ts) <= toStartOfHour(fromUnixTimestamp64Milli({{until:Int64}}))
              AND p.ts >= fromUnixTimestamp64Milli({{since:Int64}}) AND p.ts < fromUnixTimestamp64Milli({{until:Int64}})
            ORDER BY p.ts"""


def _window(since_at: float, until_at: float) -> dict[str, Any]:
    return {"since": round(since_at * 1e3), "until": round(until_at * 1e3)}


def _put(client: Any, database: str, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    types = columns.TYPES[table]
    client.raw_insert(f"{database}.{table}", list(types), insert_block=native(types, rows), fmt="Native")


def _client(dsn: Dsn) -> Any:
    """Raises StoreError."""
    try:
        import clickhouse_connect
    except ImportError as error:
        raise StoreError("clickhouse-connect is not installed", hint="pip install 'midwatch[store]'") from error
    from clickhouse_connect.driver.exceptions import ClickHouseError
    from urllib3.exceptions import HTTPError

    try:
        # No default database: it may not be there yet, so every statement names its own.
        return clickhouse_connect.get_client(
            host=dsn.host, port=dsn.port, username=dsn.user, password=dsn.password,
            interface="https" if dsn.secure else "http", connect_timeout=CONNECT_SECONDS,
            send_receive_timeout=REQUEST_SECONDS, autogenerate_session_id=False, compress=False, query_retries=0,
        )  # fmt: skip
    except (ClickHouseError, HTTPError, OSError) as error:
        raise StoreError(f"{dsn} does not answer: {str(error)[:300]}") from error
