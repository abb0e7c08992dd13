"""An incident with the telemetry store: its process is killed, and the watch is killed while somebody is at it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
from pathlib import Path

import pytest
from tests.conftest import missing
from tests.kill.drive import Driver, told_as_text
from tests.kill.test_kill import check

from midwatch.model.events import IncidentOpened, IncidentResolved, PageOrdered, WatchStarted
from midwatch.model.fold import fold_all
from midwatch.shell.store.store import Store

pytestmark = [pytest.mark.integration, pytest.mark.slow]

if importlib.util.find_spec("chdb") is None:
    missing("chdb: pip install 'midwatch[store]'")


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_without_its_store_the_watch_pages_and_what_was_acknowledged_is_kept(tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_the_store(driver: Driver) -> None:
        assert driver.process is not None
        if driver.fleet.broken_at < driver.clock() and len(killed) < 2:  # at the onset, and once it is back
            for pid in children(driver.process.pid):
                if pid not in killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    driver = Driver(tmp_path / "w", store="embedded", during=kill_the_store)
    run = driver.until_resolved(150)
    story = told_as_text(run.entries) + run.stderr
    assert len(killed) == 2 and run.died == 0, story
    assert run.unstored > 0, "it was noticed"
    check(run, story)
    assert run.acknowledged_spans and asyncio.run(stored(tmp_path / "w" / "store")) >= run.acknowledged_spans


async def stored(folder: Path) -> set[str]:
    store = Store(folder)
    await store.start()
    try:
        return {row["span_id"] for row in await store.query("SELECT span_id FROM midwatch.spans")}
    finally:
        await store.close()


def test_an_incident_under_way_is_taken_up_again_from_the_store(tmp_path: Path) -> None:
    """Suggest only: people repair it, after midwatch was killed and came back."""
    killed_at: list[float] = []

    def kill_then_repair(driver: Driver) -> None:
        assert driver.process is not None
        if driver.run.acknowledged and not killed_at and driver.clock() > driver.run.acknowledged[0] + 20:
            driver.process.kill()
            driver.process.wait()
            killed_at.append(driver.clock())
        if killed_at and driver.clock() > killed_at[0] + 60:
            driver.fleet.fix_it()

    driver = Driver(tmp_path / "w", store="embedded", mode="suggest", during=kill_then_repair)
    run = driver.until_resolved(150)
    story = told_as_text(run.entries) + run.stderr
    assert run.died == 1 and len(run.events(IncidentOpened)) == len(run.events(IncidentResolved)) == 1, story
    again = max(e.seq for e in run.entries if isinstance(e.event, WatchStarted))
    pages = [e.event for e in run.entries if isinstance(e.event, PageOrdered) and e.seq > again]
    assert [page.topics for page in pages] == [("resolved",)], story
    (incident,) = fold_all(run.entries).incidents.values()
    best = incident.hypotheses[0]
    assert (best.entity, best.kind) == ("service:payment", "bad_deploy") and best.probability > 0.5, story
    resolved = next(e for e in run.entries if isinstance(e.event, IncidentResolved))
    assert resolved.at > driver.fleet.fixed_at, "open as long as it hurt"
    assert driver.outside.of("apply") == []
