"""What the store and the ledger know of a promise's past, as one: each event once, wherever the seam lies."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.core.memory import Ledger, Memory
from midwatch.core.slo import ledger as books
from midwatch.model.world import Floats
from midwatch.shell.history import of_ledger
from midwatch.shell.slo_past import joined, past_of
from midwatch.shell.store import slo_counts
from midwatch.shell.store.slo_counts import Rows

BEGIN = 1_800_000_000.0  # a whole hour
MINUTES = 6 * 24 * 60


def minutes(first: int, seed: int = 3) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(seed)
    at = BEGIN + 60.0 * np.arange(first, MINUTES)
    total = rng.poisson(3, MINUTES).astype(float)
    good = total - rng.binomial(total.astype(int), 0.1)
    return at, good[first:], total[first:]


def ledger_of(first: int, seen: int = MINUTES) -> Ledger:
    at, good, total = minutes(first)
    keep = at < BEGIN + 60.0 * seen
    return books.add(books.new_ledger(float(at[0])), at[keep], good[keep], total[keep], BEGIN + 60.0 * seen)


def rows_of(first: int, last: int) -> Rows:
    """Five-minute rows of the minutes [first, last)."""
    at, good, total = minutes(0)
    at, good, total = at[first:last], good[first:last], total[first:last]
    step = np.floor(at / 300) * 300
    starts, place = np.unique(step, return_inverse=True)
    sums = [np.bincount(place, values) for values in (good, total)]
    return Rows(starts, *sums, np.full(starts.size, 300.0), BEGIN + 60.0 * last)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, MINUTES // 5 - 2), st.integers(1, MINUTES // 5), st.integers(0, 4))
def test_each_event_counts_once_wherever_the_rows_begin_and_end(first: int, many: int, partly: int) -> None:
    """The rows may begin within an hour of which the ledger knows the sum only, and end within five minutes."""
    ledger = ledger_of(17)
    rows = rows_of(max(17, 5 * first), min(MINUTES, 5 * (first + many) + partly))
    told, _ = of_ledger("s", "s", ledger)
    found = joined(told, rows, ledger)
    _, good, total = minutes(17)
    assert found.total.sum() == pytest.approx(total.sum())
    assert found.good.sum() == pytest.approx(good.sum())
    assert (found.good <= found.total + 1e-9).all() and (np.diff(found.at) > 0).all()
    inside = np.isin(found.at, rows.at[:-1])
    assert found.total[inside] == pytest.approx(rows.total[:-1]), "what the store has to five minutes stays so"


def test_what_the_store_has_from_before_a_ledger_began_anew_stays() -> None:
    ledger = ledger_of(5 * 24 * 60 + 7)
    told, _ = of_ledger("s", "s", ledger)
    found = joined(told, rows_of(0, 5 * 24 * 60), ledger)
    at, _, total = minutes(0)
    lost = (at >= BEGIN + 60.0 * 5 * 24 * 60) & (at < BEGIN + 60.0 * (5 * 24 * 60 + 7))
    assert found.total.sum() == total.sum() - total[lost].sum()


def test_the_hour_at_the_seam_is_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store begins half an hour into an hour that the ledger knows as one sum."""

    async def read_rows(*_: object, **__: object) -> dict[str, Rows]:
        return {"s": rows_of(90, MINUTES)}

    monkeypatch.setattr(slo_counts, "read_rows", read_rows)
    memory = Memory(ledgers={"s": ledger_of(0)})
    (found,), notes = asyncio.run(past_of(memory, object(), "s", BEGIN, BEGIN + 60.0 * MINUTES))
    _, _, total = minutes(0)
    hour = (found.at >= BEGIN + 3600) & (found.at < BEGIN + 7200)
    assert found.total[hour].sum() == total[60:120].sum()
    assert found.total.sum() == total.sum() and "spread evenly" in notes[0]
