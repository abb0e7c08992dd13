"""Good and total of histograms against the values that were put into them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from midwatch.core.slo.histogram import explicit, exponential, merge, relative_error

VALUES = st.lists(st.floats(1e-3, 1e5), min_size=1, max_size=60)
BOUNDS = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=12, unique=True).map(sorted)


def buckets_of(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(bounds, values), minlength=bounds.size + 1)[None, :].astype(float)


@settings(max_examples=150, deadline=None)
@given(VALUES, BOUNDS, st.data())
def test_a_bound_is_exact(values: list[float], bounds: list[float], data: st.DataObject) -> None:
    many, edges = np.array(values), np.array(bounds)
    assume((np.diff(edges) > 1e-6 * edges[1:]).all())
    threshold = data.draw(st.sampled_from(bounds))
    found = explicit(buckets_of(many, edges), edges, threshold)
    assert found is not None
    assert (found[0][0], found[1][0]) == ((many <= threshold).sum(), many.size)


@settings(max_examples=150, deadline=None)
@given(VALUES, BOUNDS, st.floats(0.001, 2e4))
def test_between_bounds_it_refuses_or_is_off_by_one_bucket_at_most(
    values: list[float], bounds: list[float], threshold: float
) -> None:
    many, edges = np.array(values), np.array(bounds)
    assume(not np.isclose(edges, threshold, rtol=1e-6).any())
    counts = buckets_of(many, edges)
    assert explicit(counts, edges, threshold) is None
    found = explicit(counts, edges, threshold, split=True)
    assert found is not None
    place = np.searchsorted(edges, threshold)
    assert abs(found[0][0] - (many <= threshold).sum()) <= counts[0, place] + 1e-9
    assert 0 <= found[0][0] <= found[1][0] == many.size


def exponential_of(values: np.ndarray, scale: int) -> tuple[np.ndarray, int]:
    index = np.ceil(np.log2(values) * 2.0**scale - 1e-12).astype(int) - 1
    offset = int(index.min())
    return np.bincount(index - offset)[None, :].astype(float), offset


@settings(max_examples=200, deadline=None)
@given(VALUES, st.integers(-2, 8), st.floats(1e-4, 1e6), st.integers(0, 5), st.sampled_from(["log", "linear"]))
def test_an_exponential_answer_is_exact_for_a_threshold_close_by(
    values: list[float], scale: int, threshold: float, zeros: int, split: str
) -> None:
    many = np.array(values)
    counts, offset = exponential_of(many, scale)
    good, total = exponential(counts, offset, scale, np.array([float(zeros)]), threshold, split=split)  # type: ignore[arg-type]
    near = 1 + relative_error(scale)
    at_least = (many <= threshold / near * (1 - 1e-9)).sum() + zeros
    at_most = (many <= threshold * near * (1 + 1e-9)).sum() + zeros
    assert at_least - 1e-6 <= good[0] <= at_most + 1e-6
    assert total[0] == many.size + zeros


@settings(max_examples=100, deadline=None)
@given(VALUES, st.integers(0, 6), st.integers(1, 4), st.integers(-30, 30))
def test_merging_moves_no_event_across_a_bound(values: list[float], scale: int, steps: int, power: int) -> None:
    many = np.array(values)
    counts, offset = exponential_of(many, scale)
    coarse, coarse_offset = merge(counts, offset, steps)
    threshold = 2.0 ** (power * 2.0 ** -(scale - steps))
    fine = exponential(counts, offset, scale, np.zeros(1), threshold)
    merged = exponential(coarse, coarse_offset, scale - steps, np.zeros(1), threshold)
    assert fine[0][0] == pytest.approx(merged[0][0], abs=1e-6) and fine[1][0] == merged[1][0]


def test_many_rows_at_once_and_the_edges() -> None:
    counts = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 4.0]])
    good, total = explicit(counts, np.array([1.0, 2.0]), 2.0) or (None, None)
    assert good is not None and total is not None
    assert good.tolist() == [3, 0] and total.tolist() == [6, 4]
    above = explicit(counts, np.array([1.0, 2.0]), 5.0, split=True)
    assert above is not None and above[0].tolist() == [3, 0], "what lies above the last bound is not good"
    everything = explicit(counts, np.array([1.0, 2.0]), float("inf"))
    assert everything is not None and everything[0].tolist() == [6, 4]
    good, total = exponential(np.zeros((2, 0)), 0, 3, np.array([2.0, 0.0]), 1.0)
    assert good.tolist() == total.tolist() == [2, 0]
    below = exponential(counts, 0, 0, np.ones(2), -1.0, negative=np.ones(2))
    assert below[0].tolist() == [0, 0] and below[1].tolist() == [8, 6]
