"""What can be said about the store without an engine."""

from __future__ import annotations

import asyncio
import gzip
import time

import pytest
from tests.store import rows

from midwatch.model.errors import StoreError
from midwatch.shell.ingest.rows import Batch
from midwatch.shell.store import child, columns, writer
from midwatch.shell.store.dsn import parse_dsn
from midwatch.shell.store.engine import EngineError
from midwatch.shell.store.schema import Retention, ddl
from midwatch.shell.store.store import Store
from midwatch.shell.store.writer import GroupWriter


def test_every_table_expires_and_only_the_engine_differs() -> None:
    alone, cluster = ddl("midwatch", Retention(logs_days=3)), ddl("midwatch", Retention(logs_days=3), "prod")
    assert all("TTL " in statement for statement in alone)
    assert "INTERVAL 3 DAY" in alone[2]
    for one, many in zip(alone, cluster, strict=True):
        back = many.replace(" ON CLUSTER prod", "").replace("ENGINE = Replicated", "ENGINE = ")
        assert back == one
    assert "ORDER BY (toStartOfHour(ts), sid, ts)" in alone[1]
    for bad in ("a b", "a;drop", ""):
        if bad:
            with pytest.raises(StoreError):
                ddl(bad)


def test_schema_and_columns_agree() -> None:
    for statement, (table, types) in zip(ddl("m"), columns.TYPES.items(), strict=True):
        assert f"m.{table}" in statement
        for name, kind in types.items():
            assert f"    {name} {kind}" in statement, (table, name)


def test_dsn() -> None:
    dsn = parse_dsn("clickhouse://ann:p%40ss@db.example:9000/telemetry?secure=1&cluster=prod")
    assert (dsn.host, dsn.port, dsn.user, dsn.password, dsn.database) == (
        "db.example",
        9000,
        "ann",
        "p@ss",
        "telemetry",
    )
    assert (dsn.secure, dsn.cluster) == (True, "prod")
    assert "p@ss" not in repr(dsn) and "p@ss" not in str(dsn)
    assert parse_dsn("clickhouse://db").port == 8123
    for bad in ("postgres://ann:secret@db", "clickhouse://ann:secret@db:port", "clickhouse://db?scure=1", "db"):
        with pytest.raises(StoreError) as caught:
            parse_dsn(bad)
        assert "secret" not in str(caught.value) and caught.value.hint


def test_a_store_is_one_or_the_other() -> None:
    with pytest.raises(StoreError):
        Store()
    with pytest.raises(StoreError):
        Store("folder", dsn="clickhouse://db")


def test_a_cluster_that_is_not_there() -> None:
    async def run() -> None:
        store = Store(dsn="clickhouse://ann:secret@127.0.0.1:9/m")
        with pytest.raises(StoreError, match="does not answer") as caught:
            await store.start()
        assert "secret" not in str(caught.value)
        assert not store.healthy
        with pytest.raises(StoreError):
            await store.query("SELECT 1")

    asyncio.run(run())


def test_series_are_written_once_a_day() -> None:
    builder = columns.RowBuilder(30 * columns.DAY)
    now = time.time()
    first = builder.build([rows.batch(now), rows.batch(now)], now)
    assert len(first.tables["series"]) == 2 and len(first.tables["samples"]) == 4
    again = builder.build([rows.batch(now)], now)
    assert len(again.tables["series"]) == 2, "not remembered before it is stored"
    builder.stored(again)
    assert not builder.build([rows.batch(now)], now + 60).tables["series"]
    assert len(builder.build([rows.batch(now + 86_500)], now + 86_500).tables["series"]) == 2
    ids = {row[0] for row in first.tables["series"]}
    assert ids == {row[0] for row in again.tables["series"]} == {row[0] for row in first.tables["samples"]}


def test_groups_are_committed_together_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_PENDING_ROWS", 100)
    inserted: list[int] = []
    gate = asyncio.Event()

    async def insert(batches: object) -> None:
        inserted.append(len(batches))  # type: ignore[arg-type]
        await gate.wait()

    async def run() -> None:
        group = GroupWriter(insert)
        with pytest.raises(StoreError, match="closed"):
            await group.write(rows.batch(0.0))
        group.start()
        await group.write(Batch())
        writes = [asyncio.create_task(group.write(rows.batch(0.0, 20))) for _ in range(2)]
        await asyncio.sleep(0.3)
        assert inserted == [2]
        with pytest.raises(StoreError, match="overloaded"):
            await group.write(rows.batch(0.0, 20))
        assert not any(write.done() for write in writes), "acknowledged before it is stored"
        gate.set()
        await asyncio.gather(*writes)
        assert group.pending_rows == 0 and group.refused == 1
        await group.write(rows.batch(0.0, 20))
        await group.stop()

    asyncio.run(run())


def test_a_sender_that_gives_up_does_not_stop_the_others() -> None:
    async def run() -> None:
        done: list[int] = []

        async def insert(batches: object) -> None:
            done.append(len(batches))  # type: ignore[arg-type]

        group = GroupWriter(insert)
        group.start()
        leaver = asyncio.create_task(group.write(rows.batch(0.0)))
        stayer = asyncio.create_task(group.write(rows.batch(0.0)))
        await asyncio.sleep(0)
        leaver.cancel()
        await stayer
        assert done == [2] and group.pending_rows == 0
        await group.stop()

    asyncio.run(run())


def test_bodies_do_not_grow_without_bound() -> None:
    bomb = gzip.compress(bytes(10_000_000))
    with pytest.raises(EngineError, match="more than"):
        child._decompressed(bomb, "gzip", 1_000_000)
    with pytest.raises(EngineError):
        child._decompressed(b"nonsense", "gzip", 1000)
    with pytest.raises(EngineError):
        child._decompressed(b"x", "snappy", 1000)
    assert child._decompressed(gzip.compress(b"hello"), "gzip", 1000) == b"hello"
