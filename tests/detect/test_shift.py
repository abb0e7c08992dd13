from __future__ import annotations

import numpy as np
import pytest

from midwatch.core.detect.shift import shift


def fired(bad: np.ndarray, total: np.ndarray, floor: float = 0.01) -> int:
    found = shift(bad, total, floor=floor)
    return len(found.fired(np.maximum(floor, 0.5 * found.before)))


@pytest.mark.parametrize(("rate", "share"), [(1, 0.001), (5, 0.01), (25, 0.002), (125, 0.01), (125, 0.05)])
def test_white_noise_is_quiet(rate: float, share: float) -> None:
    rng = np.random.default_rng(7)
    total = rng.poisson(rate, (20000, 48)).astype(float)
    bad = rng.binomial(total.astype(int), share).astype(float)
    assert fired(bad, total) <= 1


@pytest.mark.parametrize("phi", [0.5, 0.9])
def test_bursty_failures_are_quiet(phi: float) -> None:
    """The share of failures wanders as an AR(1) process around 1 %."""
    rng = np.random.default_rng(11)
    rows, steps = 5000, 72
    level = np.zeros((rows, steps))
    for step in range(1, steps):
        level[:, step] = phi * level[:, step - 1] + rng.normal(0, 0.3 * np.sqrt(1 - phi**2), rows)
    share = np.clip(0.01 * np.exp(level), 0, 1)
    total = rng.poisson(50, (rows, steps)).astype(float)
    bad = rng.binomial(total.astype(int), share).astype(float)
    assert fired(bad, total) <= 5


@pytest.mark.parametrize(("rate", "now", "within"), [(125, 0.05, 3), (25, 0.15, 3), (10, 0.5, 2), (5, 0.95, 3)])
def test_a_rise_is_found_within_a_few_steps(rate: float, now: float, within: int) -> None:
    rng = np.random.default_rng(3)
    total = rng.poisson(rate, (500, 40)).astype(float)
    bad = rng.binomial(total.astype(int), 0.002).astype(float)
    bad[:, -within:] = rng.binomial(total[:, -within:].astype(int), now)
    assert fired(bad, total) >= 450


def test_where_it_began() -> None:
    total = np.full((1, 40), 100.0)
    bad = np.zeros((1, 40))
    bad[0, 33:] = 20
    assert shift(bad, total).began[0] == 33


def test_no_history_no_verdict() -> None:
    total = np.full((1, 6), 100.0)
    bad = np.zeros((1, 6))
    bad[0, 2:] = 90
    assert fired(bad, total) == 0


def test_a_single_stall_is_no_sustained_shift() -> None:
    total = np.full((2, 40), 125.0)
    bad = np.zeros((2, 40))
    bad[0, -2:] = 20, 2  # a stall of one step, over already
    bad[1, -2:] = 20, 20
    found = shift(bad, total, floor=0.03, sustained=True)
    assert found.fired(0.03).tolist() == [1]


def test_an_empty_newest_step_is_no_clean_one() -> None:
    """A service that reports late has its newest steps empty at every turn."""
    total = np.full((2, 40), 125.0)
    bad = np.zeros((2, 40))
    bad[0, -4:] = 20, 20, 0, 0
    bad[1, -5:] = 20, 20, 0, 0, 0  # over already, and late
    total[:, -2:] = 0
    found = shift(bad, total, floor=0.03, sustained=True)
    assert found.fired(0.03).tolist() == [0]


def test_a_rise_that_lasts_is_no_habit_of_bursts() -> None:
    """Rarely called, briefly known: it takes many steps to be sure, and most of the history is the rise itself by then."""
    rng = np.random.default_rng(5)
    total = rng.poisson(3, (200, 26)).astype(float) + 1
    bad = np.zeros_like(total)
    bad[:, 10:] = rng.binomial(total[:, 10:].astype(int), 0.8)
    assert fired(bad, total) >= 190
