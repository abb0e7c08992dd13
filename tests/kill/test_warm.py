"""A restart keeps the budgets: what was good and what was bad for days is read back from the real store, once."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import time
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import missing
from tests.kill.fleet import Fleet
from tests.shell.conftest import make_settings
from tests.shell.test_watch import watch_of

from midwatch.core.loop import tick
from midwatch.core.slo.budget import budget
from midwatch.core.slo.ledger import sums
from midwatch.model.errors import StoreError
from midwatch.model.indicators import EventRatio, Slices
from midwatch.model.policy import Policy
from midwatch.model.slo import Slo
from midwatch.shell.health import Health
from midwatch.shell.ingest.builder import WorldBuilder
from midwatch.shell.ingest.decode import decode
from midwatch.shell.ingest.rows import Limits
from midwatch.shell.intake import Intake
from midwatch.shell.run import Watch
from midwatch.shell.store import slo_counts
from midwatch.shell.store.slo_counts import row
from midwatch.shell.store.store import Store
from midwatch.shell.warm import warm_up
from midwatch.shell.warm_ledgers import Read, read_ledgers

SLOS = (
    Slo("availability", "service:gateway", "ratio", 0.99),
    Slo("latency", "service:payment", "latency", 0.9, 10.0),
)
SHOP = Slo("shop", "service:gateway", "source", 0.9, indicator=EventRatio("t", "g"), group_by=("tenant",))


class Clock:
    def __init__(self) -> None:
        self.at = math.floor(time.time() / 10) * 10 - 300.0 + 3.0

    def __call__(self) -> float:
        return self.at


def batch(fleet: Fleet, since_at: float, until_at: float) -> Any:
    return decode("traces", fleet.traces(since_at, until_at), "application/x-protobuf", "", Limits())


@pytest.mark.integration
@pytest.mark.slow
def test_budgets_outlive_a_restart_and_no_request_counts_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("chdb") is None:
        missing("chdb: pip install 'midwatch[store]'")
    monkeypatch.setattr("midwatch.shell.warm_ledgers.FIRST_SECONDS", 60.0)  # how long it takes is not asked here
    clock = Clock()
    fleet = Fleet(clock)
    settings = make_settings(tmp_path, store="embedded")

    def watch() -> Watch:
        return watch_of(settings, tick, policy=Policy(slos=(*SLOS, SHOP), discover_slos=False), clock=clock)

    def counts(one: Watch) -> dict[str, tuple[float, float, float, float]]:
        """Good, total, budget spent, and the total of the last ten minutes, per SLO."""
        found = {}
        for slo in SLOS:
            ledger = one.memory.ledgers[slo.name]
            good, total = sums(ledger, slo.period_seconds, clock.at)
            spent = budget(slo, ledger, (), clock.at).spent
            found[slo.name] = good, total, round(spent or 0.0, 6), sums(ledger, 600.0, clock.at)[1]
        return found

    async def live(one: Watch, seconds: float) -> None:
        until = clock.at + seconds
        while clock.at < until:
            clock.at += 2.0
            await one.intake.take(batch(fleet, clock.at - 2.0, clock.at), "traces")
            await one.tick_once()

    async def go() -> None:
        store = Store(settings.store_folder)
        await store.start()
        for days in (5, 2):  # long before, when nobody counted: only spans know
            old = clock.at - days * 86_400
            fleet.broken_at, fleet.fixed_at = old + 60, old + 90
            await store.write(batch(fleet, old, old + 120))
        # And longer ago than spans are kept, of which only the counts are left.
        hour = math.floor((clock.at - 20 * 86_400) / 3600) * 3600
        await store.write_slo_counts([row("shop{tenant=a}", 3600, hour, 900.0, 1000.0, hour + 3600)])
        await store.close()

        first = watch()
        await first.start()
        await live(first, 40)
        await first.stop()

        second = watch()
        await second.start()
        await second.tick_once()
        assert second.memory.started_at == clock.at, "it warms up"
        before = counts(second)
        assert before["availability"][1] == 12 * (120 + 120 + 37), "every request of a complete step, once"
        assert 12 * 60 * 0.4 < before["availability"][1] - before["availability"][0] < 12 * 60 * 0.8
        await live(second, 30)
        clock.at += 8.0  # until the last step is complete
        await second.tick_once()
        before = counts(second)
        assert before["availability"][1] == 12 * (120 + 120 + 40 + 30)
        await second.stop()
        assert second.intake.keeper.rows_written > 0

        third = watch()
        await third.start()
        await third.tick_once()
        assert counts(third) == before
        shop = third.memory.ledgers["shop{tenant=a}"]
        assert sums(shop, 30 * 86_400, clock.at) == (900, 1000), "and the groups of promises that a source counts"
        await third.intake.store.query("TRUNCATE TABLE midwatch.spans")
        await third.stop()

        fourth = watch()
        await fourth.start()
        await fourth.tick_once()
        assert {name: one[:2] for name, one in counts(fourth).items()} == {
            name: one[:2] for name, one in before.items()
        }
        await fourth.stop()

    asyncio.run(go())


def test_a_promise_that_is_new_gets_its_days_from_spans_beside_one_that_is_stored(tmp_path: Path) -> None:
    if importlib.util.find_spec("chdb") is None:
        missing("chdb: pip install 'midwatch[store]'")
    clock = Clock()
    fleet, now = Fleet(clock), clock.at
    old = now - 5 * 86_400

    async def go() -> Read:
        store = Store(tmp_path / "store")
        await store.start()
        for since_at in (old, now - 60):
            await store.write(batch(fleet, since_at, since_at + 60))
        step = math.floor((now - 600) / 300) * 300
        await store.write_slo_counts([row("availability", 300, step, 10.0, 10.0, now - 63)])
        found = await read_ledgers(store, SLOS, now)
        await store.close()
        return found

    found = asyncio.run(go())
    assert set(found.kept) == {"availability"}
    new = found.ledgers["latency"]
    assert new.first_at <= old + 300, "not only the newest minute"
    days, minutes = (sums(new, seconds, now)[1] for seconds in (30 * 86_400, 600))
    assert minutes > 0 and days > 1.8 * minutes
    assert sums(found.ledgers["availability"], 30 * 86_400, now)[1] > 10, "and the stored one its newest minute"


def test_a_slice_longer_than_the_worlds_window_is_judged_on_all_its_events(tmp_path: Path) -> None:
    """Forty minutes of an hour passed before the stop: its events are read back from spans, and judged slices are not."""
    if importlib.util.find_spec("chdb") is None:
        missing("chdb: pip install 'midwatch[store]'")
    now = math.floor(time.time() / 3600) * 3600 + 2400.0
    fleet = Fleet(lambda: now)
    hourly = Slo("hourly", "service:gateway", "ratio", 0.99, slices=Slices(3600.0, 0.9))

    async def go() -> Read:
        store = Store(tmp_path / "store")
        await store.start()
        for since_at in (now - 2500, now - 2300, now - 60):  # the first belongs to the hour before
            await store.write(batch(fleet, since_at, since_at + 20))
        await store.write_slo_counts([row("hourly", 300, now - 6000, 1.0, 1.0, now - 2400)])
        found = await read_ledgers(store, (hourly,), now)
        await store.close()
        return found

    found = asyncio.run(go())
    held = found.slices["hourly"]
    assert held.at.tolist() == [now - 2400] and held.total.tolist() == [12 * 40] and held.seen_until == now
    assert found.ledgers["hourly"].counts[1][1].sum() == 1 and found.ledgers["hourly"].seen_until == now - 2400


class SlowStore:
    """Each question takes a while; the telemetry of the newest minutes is there."""

    def __init__(self, fleet: Fleet, wait: float, fails: bool = False) -> None:
        self.fleet, self.wait, self.fails = fleet, wait, fails

    async def rows_since(self, since_at: float, until_at: float, slice_seconds: float) -> Any:
        await asyncio.sleep(self.wait)
        if self.fails:
            raise StoreError("down")
        yield until_at, batch(self.fleet, since_at, until_at)

    database = "midwatch"

    async def query(self, *_: Any) -> Any:
        if self.fails:
            raise StoreError("down")
        await asyncio.sleep(3600)


def test_a_slow_store_does_not_hold_up_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest minutes are read first, and what is missing is said."""
    monkeypatch.setattr("midwatch.shell.warm.READ_SECONDS", 0.3)
    monkeypatch.setattr("midwatch.shell.warm_ledgers.FIRST_SECONDS", 0.5)
    clock, builder = Clock(), WorldBuilder()

    async def go() -> None:
        found = await warm_up(SlowStore(Fleet(clock), 0.12), builder, SLOS, clock.at)
        assert found.ledgers.busy and not found.ledgers.taken().ledgers
        assert found.ledgers.words() == "still being read back: the budget of availability, latency"
        assert any("s of telemetry" in note for note in found.notes)
        world = builder.world(clock.at)
        assert world.series.end_at > clock.at - 10 and 60 <= clock.at - found.since_at <= 240
        await found.ledgers.stop()

        broken = await warm_up(SlowStore(Fleet(clock), 0.0, fails=True), WorldBuilder(), SLOS, clock.at)
        assert broken.since_at == clock.at and "down" in broken.notes[0]
        assert not broken.ledgers.busy and broken.ledgers.words().endswith("availability, latency (down)")

    asyncio.run(go())


def test_ledgers_that_come_late_join_what_was_counted_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch begins without them, pages by what it sees, and writes nothing over what the store has."""
    if importlib.util.find_spec("chdb") is None:
        missing("chdb: pip install 'midwatch[store]'")
    clock = Clock()
    fleet, settings = Fleet(clock), make_settings(tmp_path, store="embedded")
    monkeypatch.setattr("midwatch.shell.warm_ledgers.FIRST_SECONDS", 0.0)
    gate = asyncio.Event()
    really = slo_counts.read_parts

    async def when_open(*args: Any, **more: Any) -> Any:
        await gate.wait()
        async for part in really(*args, **more):
            yield part

    monkeypatch.setattr(slo_counts, "read_parts", when_open)

    async def go() -> None:
        store = Store(settings.store_folder)
        await store.start()
        stopped = clock.at - 63  # at the end of a step of the World
        step = math.floor(stopped / 300) * 300
        hours = [math.floor(stopped / 3600) * 3600 - 3600 * n for n in range(100, 0, -1)]
        rows = [row("availability", 3600, hour, 990.0, 1000.0, hour + 3600) for hour in hours]
        await store.write_slo_counts([*rows, row("availability", 300, step, 50.0, 50.0, stopped)])
        await store.write(batch(fleet, stopped, clock.at))
        await store.close()

        policy = Policy(slos=(*SLOS, SHOP), discover_slos=False)
        watch = watch_of(settings, tick, policy=policy, clock=clock)
        await watch.start()
        for _ in range(10):
            clock.at += 2.0
            await watch.intake.take(batch(fleet, clock.at - 2.0, clock.at), "traces")
            await watch.tick_once()
        assert "availability" in watch.vitals.troubles["budgets"] and watch.intake.reading_back
        live = watch.memory.ledgers["availability"]
        seen = sums(live, 6 * 3600.0, clock.at)[1]
        assert 0 < seen <= 12 * 80 and watch.intake.keeper.rows_written == 0
        gate.set()
        while watch.intake.reading_back:
            await asyncio.sleep(0.01)
            await watch.tick_once()
        assert "budgets" not in watch.vitals.troubles
        good, total = sums(watch.memory.ledgers["availability"], 30 * 86_400.0, clock.at)
        known = sum(1000 for hour in hours if hour < slo_counts.recent_since(math.floor(clock.at / 10) * 10))
        assert total == known + 50 + seen, "each request once"
        assert watch.memory.ledgers["availability"].seen_until == live.seen_until
        assert total - good > 0
        await watch.stop()
        assert watch.intake.keeper.rows_written > 0

    asyncio.run(go())


def test_what_could_not_be_read_back_is_said_until_the_window_is_full_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from midwatch.model.state import State

    clock, health = Clock(), Health()
    intake = Intake(health, clock)
    intake.builder, intake.store = WorldBuilder(), SlowStore(Fleet(clock), 0.0, fails=True)
    asyncio.run(intake.warm(State(), clock.at))
    intake.world(clock.at)
    assert "down" in health.troubles["warm start"]
    intake.world(clock.at + 1300)
    assert "warm start" not in health.troubles
