"""What comes in: acknowledged only when stored, shown to the World in any case, and counted once."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.conftest import missing
from tests.shell.conftest import make_settings
from tests.shell.recording import write_recording
from tests.shell.test_watch import Script, watch_of

from midwatch.model.errors import StoreError
from midwatch.model.world import Change
from midwatch.shell.health import Health
from midwatch.shell.intake import Intake
from midwatch.shell.run import Watch


class FlakyStore:
    """Takes batches, unless it is down."""

    def __init__(self) -> None:
        self.down = False
        self.stored: list[Any] = []
        self.changes: list[Change] = []

    @property
    def healthy(self) -> bool:
        return not self.down

    async def write_slo_counts(self, rows: Any) -> None:
        if self.down:
            raise StoreError("the store is down")

    async def write(self, batch: Any) -> None:
        if self.down:
            raise StoreError("the telemetry store is down")
        self.stored.append(batch)

    async def write_changes(self, changes: list[Change]) -> None:
        self.changes += changes

    async def close(self) -> None:
        pass


def request_lines(folder: Path) -> list[bytes]:
    """Recorded requests, moved to the last half minute."""
    import gzip

    with gzip.open(write_recording(folder) / "traces.jsonl.gz", "rt") as file:
        lines = file.read().splitlines()[:30]
    shift = int((time.time() - 35 - 1_790_000_000.0) * 1e9)
    moved = []
    for line in lines:
        said = json.loads(line)
        for resource in said["resourceSpans"]:
            for span in resource["scopeSpans"][0]["spans"]:
                for key in ("startTimeUnixNano", "endTimeUnixNano"):
                    span[key] = str(int(span[key]) + shift)
        moved.append(json.dumps(said).encode())
    return moved


async def post(watch: Watch, body: bytes) -> int:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        url = f"http://127.0.0.1:{watch.otlp_port}/v1/traces"
        return (await client.post(url, content=body, headers={"Content-Type": "application/json"})).status_code


def test_when_the_store_is_down_the_sender_tries_again_but_the_world_sees_it_once(tmp_path: Path) -> None:
    async def go() -> None:
        watch = watch_of(make_settings(tmp_path), Script())
        await watch.start()
        store = watch.intake.store = FlakyStore()
        first, second = request_lines(tmp_path / "r")[:2]
        assert await post(watch, first) == 200 and len(store.stored) == 1
        store.down = True
        assert [await post(watch, second) for _ in range(3)] == [503, 503, 503]
        assert watch.intake.builder is not None and watch.intake.builder.stats["spans"] == 120, "60 each, once each"
        assert any("store is down" in line for line in watch.health()["degraded"])
        await watch.tick_once()
        assert "service:payment" in watch.world.entities, "paging does not depend on the store"
        store.down = False
        assert await post(watch, second) == 200
        assert watch.intake.builder.stats["spans"] == 120 and len(store.stored) == 2
        assert "store" not in watch.vitals.troubles and not watch.intake.gauges()["batches_awaiting_retry"]
        await watch.change(Change("d1", time.time(), "deploy", "service:payment"))
        assert [c.id for c in store.changes] == ["d1"]
        await watch.stop()

    asyncio.run(go())


def test_a_slow_store_does_not_hold_senders_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(FlakyStore):
        async def write(self, batch: Any) -> None:
            await asyncio.sleep(0.5)
            raise StoreError("and then it failed")

    async def go() -> None:
        monkeypatch.setattr("midwatch.shell.intake.STORE_SECONDS", 0.05)
        watch = watch_of(make_settings(tmp_path), Script())
        await watch.start()
        watch.intake.store = Slow()
        assert await post(watch, request_lines(tmp_path / "r")[0]) == 503
        assert watch.intake.builder is not None and watch.intake.builder.stats["spans"] == 60
        await asyncio.sleep(0.6)
        await watch.stop()

    asyncio.run(go())


@pytest.mark.parametrize("store", ["clickhouse://127.0.0.1:1/db", "env:STORE", "env:NO_STORE"])
def test_a_store_that_does_not_start_is_said_and_the_watch_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    monkeypatch.setenv("STORE", "clickhouse://u:hush@127.0.0.1:1/db")

    async def go() -> None:
        watch = watch_of(make_settings(tmp_path, store=store), Script())
        await watch.start()
        assert "does not start" in watch.vitals.troubles["store"] and "hush" not in watch.vitals.troubles["store"]
        assert await post(watch, request_lines(tmp_path / "r")[0]) == 200
        await watch.stop()

    asyncio.run(go())


def test_without_a_store_nothing_is_remembered() -> None:
    async def go() -> None:
        intake = Intake(Health(), time.time)
        assert intake.world(5.0).entities == {}
        assert not any(intake.counters().values())

    asyncio.run(go())


@pytest.mark.integration
@pytest.mark.slow
def test_a_restart_reads_the_world_and_the_ledgers_back_from_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("chdb") is None:
        missing("chdb: pip install 'midwatch[store]'")
    monkeypatch.setattr("midwatch.shell.warm.READ_SECONDS", 60.0)  # what a busy machine takes is not asked here
    monkeypatch.setattr("midwatch.shell.warm_ledgers.FIRST_SECONDS", 60.0)

    async def go() -> None:
        from midwatch.core.loop import tick

        settings = make_settings(tmp_path, store="embedded")
        first = watch_of(settings, tick)
        await first.start()
        assert "store" not in first.vitals.troubles, first.vitals.troubles
        assert [await post(first, body) for body in request_lines(tmp_path / "r")] == [200] * 30
        for _ in range(3):
            await first.tick_once()
        await first.stop()

        second = watch_of(settings, tick)
        await second.start()
        assert second.intake.builder is not None and second.intake.builder.stats["spans"] == 1800
        assert "warm start" not in second.vitals.troubles
        await second.tick_once()
        assert second.memory.started_at >= second.vitals.started_at, "it warms up all the same"
        assert "service:payment" in second.world.entities
        for slo in second.state.slos:
            assert slo.name in second.memory.ledgers
        await second.stop()

    asyncio.run(go())
