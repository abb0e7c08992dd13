from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.core.slo import ledger as books
from midwatch.core.slo.budget import budget
from midwatch.model.slo import Slo

SLO = Slo("s", "service:gateway", "ratio", 0.99)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=200), st.integers(1, 40))
def test_no_count_is_lost_or_made_up(counts: list[tuple[int, int]], batch: int) -> None:
    start = 1_800_000_000.0
    good = np.array([float(g) for g, _ in counts])
    total = good + np.array([float(b) for _, b in counts])
    at = start + 5.0 * np.arange(len(counts))
    ledger = books.new_ledger(start)
    for first in range(0, len(counts), batch):
        part = slice(first, first + batch)
        ledger = books.add(ledger, at[part], good[part], total[part], float(at[part][-1] + 5))
    now = float(at[-1] + 5)
    for window in (6 * 3600.0, 3 * 86400.0, 30 * 86400.0):
        assert books.sums(ledger, window, now) == (good.sum(), total.sum())


def test_a_window_is_the_sum_of_its_steps_and_forgets_what_left_it() -> None:
    start = 1_800_000_000.0
    at = start + 5.0 * np.arange(720)  # an hour
    total = np.full(720, 10.0)
    good = np.where(at < start + 1800, 0.0, 10.0)
    ledger = books.add(books.new_ledger(start), at, good, total, start + 3600)
    assert books.sums(ledger, 1800, start + 3600) == (3600.0, 3600.0)
    assert books.sums(ledger, 3600, start + 3600) == (3600.0, 7200.0)
    assert books.burn_rate(ledger, SLO, 3600, start + 3600) == 0.5 / (1 - 0.99)


def test_an_empty_window_is_no_traffic_and_never_nan_arithmetic() -> None:
    ledger = books.new_ledger(1_800_000_000.0)
    assert books.sums(ledger, 3600, 1_800_000_100.0) == (0.0, 0.0)
    assert np.isnan(books.burn_rate(ledger, SLO, 3600, 1_800_000_100.0))
    assert budget(SLO, ledger, (), 1_800_000_100.0).spent is None


def test_the_budget_of_a_young_slo_is_that_of_its_whole_period() -> None:
    start = 1_800_000_000.0
    at = start + 5.0 * np.arange(12)
    good, total = np.full(12, 9.0), np.full(12, 10.0)  # a minute in which 10 % fail
    ledger = books.add(books.new_ledger(start), at, good, total, start + 60)
    spent = budget(SLO, ledger, (), start + 60).spent
    assert (
        spent is not None and 0.0 < spent < 0.001
    )  # 12 failures of 1 % of 30 days at 2 requests/s, not "ten times the budget"


def test_traffic_after_a_long_silence_starts_a_clean_ring() -> None:
    start = 1_800_000_000.0
    ledger = books.add(books.new_ledger(start), np.array([start]), np.array([0.0]), np.array([5.0]), start + 5)
    later = start + 40 * 86400.0
    ledger = books.add(ledger, np.array([later]), np.array([5.0]), np.array([5.0]), later + 5)
    assert books.sums(ledger, 30 * 86400.0, later + 5) == (5.0, 5.0)


def test_an_hour_that_is_half_over_counts_in_full() -> None:
    """Where only the ring of hours reaches back far enough: what was seen of its newest column is all of it."""
    start = 1_799_996_400.0  # on the hour
    at = start + 300.0 * np.arange(10 * 288 + 6)  # ten days and half an hour
    now = start + 10 * 86400 + 1800
    total = np.full(at.size, 10.0)
    good = np.where(at >= now - 1800, 0.0, 10.0)
    ledger = books.add(books.new_ledger(start), at, good, total, now)
    assert books.between(ledger, start, now) == (28_800.0, 28_860.0)
    half = books.between(ledger, start, now - 900)  # a boundary inside of it cuts it by the time that was seen
    assert half == (28_800.0, 28_830.0)
