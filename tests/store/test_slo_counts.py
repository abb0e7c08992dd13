"""Counts of budgets in the real store: written, written again, read back as rows, sums, and from spans."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.alerts.conftest import until as soon
from tests.store import rows
from tests.store.test_store import with_store

from midwatch.core.memory import Ledger
from midwatch.core.slo import ledger as books
from midwatch.shell.ingest.rows import Batch
from midwatch.shell.keeper import Keeper, rows_of, rows_of_all
from midwatch.shell.store import slo_counts
from midwatch.shell.store.native import columns_of, native
from midwatch.shell.store.store import Store

NOW = 1_800_000_300.0  # a multiple of 300, not of 3600
DAY = 86400.0


def test_rows_replace_each_other_and_add_up(tmp_path: Path) -> None:
    now = math.floor(time.time() / 300) * 300.0
    hour = math.floor(now / 3600) * 3600.0
    old = hour - 20 * DAY

    async def use(store: Store) -> None:
        fine = [slo_counts.row("pay", 300, now - 300 * n, 9, 10, now) for n in range(1, 13)]
        far = [slo_counts.row("pay", 3600, old, 50, 60, now), slo_counts.row("pay", 300, old, 1, 2, now)]
        other = [slo_counts.row("shop{tenant=caf\u00e9}", 300, now - 300, 1, 3, now - 17.5)]
        for again in range(3):
            await store.write_slo_counts([*fine, *far, *other])
            if again == 1:  # grown since: the newest word counts
                await store.write_slo_counts([slo_counts.row("pay", 300, now - 300, 19, 20, now + 5)])
                fine = fine[1:]
        found = await slo_counts.read_rows(store, now - 30 * DAY, now)
        assert set(found) == {"pay", "shop{tenant=caf\u00e9}"}
        pay = found["pay"]
        assert pay.at.tolist() == [old, *(now - 300 * n for n in range(12, 0, -1))]
        assert (pay.good.sum(), pay.total.sum(), pay.seen_until) == (50 + 118, 60 + 130, now + 5)
        assert pay.step.tolist() == [3600.0] + [300.0] * 12
        assert found["shop{tenant=caf\u00e9}"].seen_until == now - 17.5
        assert (await slo_counts.read_rows(store, now - 5 * DAY, now))["pay"].total.sum() == 130
        long = await slo_counts.read_rows(store, now - 5 * DAY, now, longer={"pay": now - 30 * DAY})
        assert long["pay"].total.sum() == 190
        exact = await slo_counts.read_rows(store, now - 30 * DAY, now, exact=["pay", "shop"])
        assert exact["pay"].total.sum() == 132 and exact["pay"].step.max() == 300
        sums = await slo_counts.read_sums(store, [now - 30 * DAY, now - 600, now], now + 1)
        assert sums["pay"].tolist() == [[168, 190], [28, 30], [0, 0]]

    with_store(tmp_path, use)


def test_a_machine_whose_zone_changes_counts_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written again after a move is the same row, whatever day and month it is there."""
    hour, keys = math.floor(time.time() / 3600) * 3600.0, ("buy", "pay", "ship")
    since, found = hour - 36 * DAY, list[float]()

    async def use(store: Store) -> None:
        await store.write_slo_counts(
            [slo_counts.row(key, 3600, hour - 3600 * n, 1, 1, hour) for key in keys for n in range(40 * 24)]
        )
        rows, sums = await slo_counts.read_rows(store, since, hour), await slo_counts.read_sums(store, [since], hour)
        found.extend(total for key in keys for total in (rows[key].total.sum(), sums[key][0][1]))

    for zone in ("Pacific/Auckland", "America/St_Johns", "UTC"):
        monkeypatch.setenv("TZ", zone)  # of the engine's process
        with_store(tmp_path, use)
    assert found == [(slo_counts.recent_since(hour) - since) / 3600] * 18  # nothing was written by five minutes


def test_requests_of_all_services_by_one_question(tmp_path: Path) -> None:
    step = (time.time() - 3600) // 300 * 300

    async def use(store: Store) -> None:
        spans = [rows.span(step + i, failed=i < 3, ms=100.0 * i) for i in range(10)]
        spans += [rows.span(step + 300 + i) for i in range(5)]
        spans += [rows.span(step, kind=3, failed=True), rows.span(step, service="cart", failed=True)]
        await store.write(Batch(spans))
        found = await slo_counts.read_requests(store, step, step + 600, 300, [500.0, math.inf])
        assert set(found) == {"payment", "cart"}
        one = found["payment"]
        assert one.at.tolist() == [step, step + 300]
        assert (one.total.tolist(), one.failed.tolist()) == ([10, 5], [3, 0])
        assert one.within.tolist() == [[6, 10], [5, 5]]
        assert (await slo_counts.read_requests(store, step, step + 600, 300, []))["cart"].failed.tolist() == [1]
        assert await slo_counts.read_requests(store, step - 9000, step - 8000, 300, []) == {}

    with_store(tmp_path, use)


def test_a_threshold_is_rounded_up_like_live() -> None:
    assert slo_counts.latency_bound(10.0) == 10.0
    assert slo_counts.latency_bound(11.0) == 25.0
    assert slo_counts.latency_bound(1e9) == math.inf


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.text(max_size=200), st.integers(0, 2**63), st.lists(st.floats(width=64, allow_nan=False)))),
    st.floats(allow_nan=False),
)
def test_what_is_sent_in_native_format_is_read_back(many: list[tuple[str, int, list[float]]], number: float) -> None:
    types = {"name": "String", "n": "UInt64", "many": "Array(Float64)", "x": "Float64"}
    given_rows = [(text.encode("utf-8", "replace").decode(), n, values, number) for text, n, values in many]
    if not given_rows:
        assert columns_of(b"") == []
        return
    blocks = columns_of(native(types, given_rows) * 2)
    assert len(blocks) == 2
    for block in blocks:
        assert block["name"] == [row[0] for row in given_rows]
        assert block["n"].tolist() == [row[1] for row in given_rows]
        assert [values.tolist() for values in block["many"]] == [row[2] for row in given_rows]
        assert block["x"].tolist() == [number] * len(given_rows)


class Table:
    """What the store's table makes of rows: the newest word per key, step and moment."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int, int], tuple[float, float, int]] = {}

    def put(self, many: list[tuple[str, int, int, float, float, int]]) -> None:
        for key, step, at, good, total, seen in many:
            old = self.rows.get((key, step, at))
            if old is None or seen >= old[2]:
                self.rows[key, step, at] = (good, total, seen)

    def sums(self, step: int) -> tuple[float, float]:
        kept = [v for (_, s, _), v in self.rows.items() if s == step]
        return sum(g for g, _, _ in kept), sum(t for _, t, _ in kept)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_is_kept_is_what_the_ledger_holds_however_late_it_came(data: st.DataObject) -> None:
    ledger = books.new_ledger(NOW)
    table, keeper, now = Table(), Keeper(), NOW
    for _ in range(data.draw(st.integers(1, 12))):
        now += data.draw(st.sampled_from([5.0, 60.0, 300.0, 4000.0]))
        late = data.draw(st.lists(st.floats(0, min(1200.0, now - NOW)), max_size=4))
        at = np.array([max(NOW, now - 1 - back) for back in late])
        ledger = books.add(ledger, at, np.ones(at.size), np.full(at.size, 2.0), now)
        if data.draw(st.booleans()):
            written, kept, more = rows_of_all({"k": ledger}, keeper.kept, partly=data.draw(st.booleans()))
            assert not more
            table.put(written)  # type: ignore[arg-type]
            keeper.kept.update(kept)
    written, _, _ = rows_of_all({"k": ledger}, keeper.kept, partly=True)
    table.put(written)  # type: ignore[arg-type]
    assert table.sums(300) == books.sums(ledger, 30 * DAY, now)
    hours = math.floor(now / 3600) * 3600
    in_hours = books.between(ledger, NOW - 3600, hours)
    assert table.sums(3600) == in_hours
    again, _, _ = rows_of_all({"k": ledger}, rows_of_all({"k": ledger}, keeper.kept)[1])
    assert again == [], "what is stored is not written twice"


def test_rows_say_no_more_than_they_hold_so_that_a_watch_that_dies_loses_nothing() -> None:
    """One event every ten seconds; what the rows do not hold is not "seen", and so it is counted again."""
    at = np.arange(NOW, NOW + 3890, 10.0)
    ledger = books.add(books.new_ledger(NOW), at, np.ones(at.size), np.ones(at.size), NOW + 3890)
    for partly, until in ((False, NOW + 3600), (True, NOW + 3890)):
        written, kept = rows_of("k", ledger, None, partly)
        assert {step for _, step, *_ in written} == {300, 3600}
        assert max(seen for *_, seen in written) == until * 1e3
        fine = sum(total for _, step, _, _, total, _ in written if step == 300)
        assert fine == (at < until).sum(), "all that is said to be seen, and nothing else"
        assert kept.until == NOW + 3600


def test_a_store_that_fails_gets_it_all_later_and_at_most_one_write_runs() -> None:
    from midwatch.model.errors import StoreError

    class Shaky:
        def __init__(self) -> None:
            self.down, self.written, self.running = True, 0, 0

        async def write_slo_counts(self, many: list[object]) -> None:
            self.running += 1
            assert self.running == 1
            await asyncio.sleep(0.01)
            self.running -= 1
            if self.down:
                raise StoreError("down")
            self.written += len(many)

    def busy(until: float) -> dict[str, Ledger]:
        at = np.arange(NOW, until, 10.0)
        return {"k": books.add(books.new_ledger(NOW), at, np.ones(at.size), np.ones(at.size), until)}

    async def go() -> None:
        store, keeper = Shaky(), Keeper()
        keeper.keep(store, busy(NOW + 900), NOW + 900)
        keeper.keep(store, busy(NOW + 900), NOW + 905)
        await soon(lambda: keeper.failed)
        assert (store.written, keeper.failed, keeper.behind) == (0, 1, True)
        store.down = False
        keeper.keep(store, busy(NOW + 910), NOW + 910)
        await soon(lambda: keeper.rows_written)
        assert (store.written, keeper.rows_written, keeper.behind) == (3, 3, False)
        keeper.keep(store, busy(NOW + 915), NOW + 915)
        await keeper.flush(store, busy(NOW + 920))
        assert store.written == 4, "the step under way, at the stop"

    asyncio.run(go())
