"""The store with the real engine in its child."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import missing
from tests.store import rows

from midwatch.model.errors import BadRows, StoreError
from midwatch.model.world import Change
from midwatch.shell.ingest.rows import Batch
from midwatch.shell.store.engine import Caps
from midwatch.shell.store.schema import Retention
from midwatch.shell.store.store import Store

pytestmark = pytest.mark.integration

try:
    import chdb  # noqa: F401  (never opened in this process)
    import clickhouse_connect
except ImportError:
    missing("needs the store extra: pip install 'midwatch[store]'")

PATIENCE_SECONDS = 60.0  # a busy machine takes its time to start a child


def with_store(folder: Path, use: Callable[[Store], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        store = Store(folder, **options)
        await store.start()
        try:
            await use(store)
        finally:
            await store.close()

    asyncio.run(run())


async def until(happened: Callable[..., bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def plain(row: Any) -> dict[str, Any]:
    return asdict(row)


def test_rows_come_back_as_they_went_in(tmp_path: Path) -> None:
    at = float(int(time.time()) - 60)
    sent = rows.batch(at)
    change = Change("c1", at, "deploy", "service:payment", "2.3.1", "2.3.0", "2.3.1", "ann")

    async def use(store: Store) -> None:
        await store.write(sent)
        await store.write_changes([change, change])
        [(stop_at, back)] = [found async for found in store.rows_since(at - 1)]
        assert at < stop_at <= time.time()
        for mine, theirs in ((sent.spans, back.spans), (sent.logs, back.logs), (sent.points, back.points)):
            key = str
            assert sorted(map(plain, mine), key=key) == sorted(map(plain, theirs), key=key)
        changes = "SELECT id, kind, entity, summary, before, after, author AS by FROM midwatch.changes FINAL"
        (row,) = await store.query(changes)
        assert row == {name: getattr(change, name) for name in row}
        status = store.status
        assert (status.healthy, status.why, status.pending_rows, status.restarts) == (True, "", 0, 0)

    with_store(tmp_path, use)
    with_store(tmp_path, lambda store: _expect_spans(store, len(sent.spans)))  # still there after a restart


def test_retention_is_in_force_and_can_change(tmp_path: Path) -> None:
    async def days(store: Store, expected: int) -> None:
        made = "SELECT name, create_table_query AS sql FROM system.tables WHERE database = 'midwatch'"
        tables = {row["name"]: row["sql"] for row in await store.query(made)}
        assert len(tables) == 6 and all(" TTL " in sql for sql in tables.values())
        assert f"toIntervalDay({expected})" in tables["logs"]

    with_store(tmp_path, lambda store: days(store, 7))
    with_store(tmp_path, lambda store: days(store, 2), retention=Retention(logs_days=2))


async def _expect_spans(store: Store, count: int) -> None:
    assert (await store.query("SELECT count() AS n FROM midwatch.spans"))[0]["n"] == count


def test_the_unmodified_client(tmp_path: Path) -> None:
    """What clickhouse-connect does out of the box works: compression, parameters, Arrow, settings, errors."""

    async def use(store: Store) -> None:
        assert store._supervisor is not None and store._supervisor.address is not None
        address = store._supervisor.address
        await asyncio.to_thread(ask, address.port, address.password)

    def ask(port: int, password: str) -> None:
        client = clickhouse_connect.get_client(host="127.0.0.1", port=port, username="me", password=password)
        assert client.ping()
        assert client.command("SELECT 1") == 1
        client.command("CREATE TABLE midwatch.t (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
        assert client.insert("midwatch.t", [[1, "x"], [2, "it's \\ ☃"]], column_names=["a", "s"]).written_rows == 2
        found = client.query("SELECT s FROM midwatch.t WHERE a >= {low:UInt64}", parameters={"low": 2})
        assert found.result_rows == [("it's \\ ☃",)]
        long = "x" * 100_000  # too long for a URL: the client sends a form
        assert client.query("SELECT length({s:String})", parameters={"s": long}).result_rows == [(100_000,)]
        table = client.query_arrow("SELECT * FROM midwatch.t")
        assert table.num_rows == 2
        client.insert_arrow("midwatch.t", table)
        client.raw_insert("midwatch.t", ["a", "s"], b"7,q\n", fmt="CSV")
        assert client.command("SELECT count() FROM midwatch.t") == 5
        assert client.command("SELECT getSetting('max_threads')", settings={"max_threads": 1}) == 1
        assert client.command("SELECT getSetting('max_threads')") == Caps().threads  # the next request starts afresh
        asked = {"max_memory_usage": 10**12, "max_execution_time": 0}
        assert client.command("SELECT getSetting('max_memory_usage')", settings=asked) == Caps().query_memory_bytes
        assert client.command("SELECT getSetting('max_execution_time')", settings=asked) == Caps().query_seconds
        for bad, code in (("SELEC", 62), ("SELECT * FROM midwatch.nope", 60)):
            with pytest.raises(clickhouse_connect.driver.exceptions.DatabaseError) as caught:
                client.query(bad)
            assert caught.value.code == code
        with pytest.raises(clickhouse_connect.driver.exceptions.DatabaseError, match="Authentication"):
            clickhouse_connect.get_client(host="127.0.0.1", port=port, username="me", password="guess")

    with_store(tmp_path, use)


def test_limits_are_in_force(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        (cap,) = await store.query("SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'")
        assert cap["value"] == "400000000"
        hungry = "SELECT count() FROM (SELECT number, count() FROM numbers(100000000) GROUP BY number)"
        with pytest.raises(StoreError, match="emory limit"):
            await store.query(hungry)
        with pytest.raises(StoreError, match="Timeout"):
            await store.query("SELECT sum(sipHash64(number)) FROM numbers(1000000000000)")
        with pytest.raises(StoreError, match="Syntax error"):
            await store.query("SELEC 1")
        assert await store.query("SELECT 1 AS one") == [{"one": 1}]
        assert store.healthy and store.status.restarts == 0

    with_store(tmp_path, use, caps=Caps(memory_bytes=400_000_000, query_memory_bytes=100_000_000, query_seconds=1))


def test_killed_while_writing(tmp_path: Path) -> None:
    """kill -9 of the child, again and again under load: what was acknowledged is there, senders hear of it long
    before they give up, and it comes back."""
    at = time.time() - 60
    acknowledged: set[str] = set()
    slowest_refusal = 0.0

    async def use(store: Store) -> None:
        stop = False

        async def sender() -> None:
            nonlocal slowest_refusal
            while not stop:
                batch = Batch([rows.span(at) for _ in range(20)])
                began = time.monotonic()
                try:
                    await store.write(batch)
                    acknowledged.update(span.span_id for span in batch.spans)
                except StoreError:
                    slowest_refusal = max(slowest_refusal, time.monotonic() - began)
                    await asyncio.sleep(0.02)

        senders = [asyncio.create_task(sender()) for _ in range(4)]
        for _ in range(4):
            await asyncio.sleep(rows.dice.uniform(0.3, 0.7))
            pid = store.status.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            died = time.monotonic()
            while store.status.pid in (pid, None) or not store.healthy:
                assert time.monotonic() - died < PATIENCE_SECONDS, store.status
                await asyncio.sleep(0.01)
        stop = True
        await asyncio.gather(*senders)
        assert store.status.restarts == 4
        found = {row["span_id"] for row in await store.query("SELECT span_id FROM midwatch.spans")}
        assert acknowledged and not acknowledged - found

    with_store(tmp_path, use)
    assert slowest_refusal < 20


def test_why_it_is_down_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(store: Store) -> None:
        assert store.status.pid is not None
        monkeypatch.setattr("midwatch.shell.store.supervisor.BACKOFF_SECONDS", (0.3,))
        monkeypatch.setattr(sys, "executable", "/no/such/python")
        os.kill(store.status.pid, signal.SIGKILL)
        for why in ("its process ended (-9", "its process does not start: [Errno 2]"):
            await until(lambda why=why: why in store.status.why)
            with pytest.raises(StoreError, match=re.escape(why)):
                await store.query("SELECT 1")
        monkeypatch.undo()
        await until(lambda: store.healthy)
        assert store._supervisor is not None and store._supervisor.why == "", "the next time it is said again"

    with_store(tmp_path, use)


def test_a_hanging_child_is_killed_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midwatch.shell.store.supervisor.PING_SECONDS", 0.2)
    monkeypatch.setattr("midwatch.shell.store.supervisor.PINGS_MISSED", 2)

    async def use(store: Store) -> None:
        pid = store.status.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while store.status.pid == pid or not store.healthy:
            assert time.monotonic() < deadline, store.status
            await asyncio.sleep(0.05)
        # A busy machine may hold the new child up for longer than these short pings wait, which replaces it as well.
        monkeypatch.undo()
        while True:
            try:
                assert await store.query("SELECT 1 AS one") == [{"one": 1}]
                return
            except StoreError:
                assert time.monotonic() < deadline, store.status
                await asyncio.sleep(0.05)

    with_store(tmp_path, use)


def test_a_folder_in_use_says_by_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midwatch.shell.store.supervisor.LOCKED_SECONDS", 0.5)

    async def use(store: Store) -> None:
        second = Store(tmp_path)
        with pytest.raises(StoreError, match=f"pid {store.status.pid}") as caught:
            await second.start()
        assert "another data folder" in caught.value.hint
        await second.close()

    with_store(tmp_path, use)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    async def run() -> None:
        store = Store(tmp_path / "file" / "store")
        with pytest.raises(StoreError, match="cannot start"):
            await store.start()
        with pytest.raises(StoreError, match="down"):
            await store.write(rows.batch(time.time()))
        await store.close()

    asyncio.run(run())


ORPHAN = """
import asyncio, sys, time
from midwatch.shell.store.store import Store
async def main():
    store = Store(sys.argv[1])
    await store.start()
    print(store.status.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ORPHAN, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with_store(tmp_path, lambda store: _expect_spans(store, 0))


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_bad_rows_hurt_nobody_else(tmp_path: Path) -> None:
    at = time.time() - 60

    async def use(store: Store) -> None:
        bad = Batch([rows.span(at)])
        bad.spans[0].duration_ms = "soon"  # type: ignore[assignment]
        results = await asyncio.gather(
            store.write(Batch([rows.span(at)])),
            store.write(bad),
            store.write(Batch([rows.span(at)])),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [type(None), BadRows, type(None)]
        old = Batch([rows.span(at - 100 * 86400 * 5), rows.span(at + 10 * 86400)], [], [])
        await store.write(old)
        assert store.status.out_of_range == 2
        await _expect_spans(store, 2)

    with_store(tmp_path, use)


def test_start_is_quick_and_secrets_stay_out_of_sight(tmp_path: Path) -> None:
    async def run() -> None:
        store = Store(tmp_path)
        before = _cpu_seconds_of_children()
        await store.start()
        assert store._supervisor is not None and store._supervisor.address is not None
        pid, password = store.status.pid, store._supervisor.address.password
        for name in ("cmdline", "environ"):
            assert password.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
        assert (tmp_path.stat().st_mode & 0o077 == 0) or tmp_path.exists()
        await store.close()
        assert not _runs(pid or 0)
        assert _cpu_seconds_of_children() - before < 5

    asyncio.run(run())


def _cpu_seconds_of_children() -> float:
    """Of those that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
