"""The estimate against its promise: four of five, whatever the lengths look like."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from midwatch.core.oncall.eta import MIN_CASES, NEWEST, coverage, estimate, eta
from midwatch.model.findings import Hypothesis, Incident
from midwatch.model.state import State

T = 1_764_000_000.0


def past(
    number: int, length: float, severity: int = 2, kind: str = "pool_exhausted", at: float | None = None
) -> Incident:
    began = T - 1e7 + 10_000.0 * number if at is None else at
    return Incident(
        f"INC-{number}",
        opened_at=began + 20,
        onset_at=began,
        severity=severity,
        title="x",
        phase="resolved",
        mitigated_at=began + length,
        resolved_at=began + length + 60,
        first_ranked=(Hypothesis("service:a", kind, 0.9),),
    )


NOW = Incident("INC-X", opened_at=T + 10, onset_at=T, severity=2, title="x")


def test_too_few_is_no_estimate() -> None:
    assert estimate(NOW, [past(n, 100.0 + n) for n in range(MIN_CASES - 1)], T + 20) is None
    assert estimate(NOW, [past(n, 100.0 + n) for n in range(MIN_CASES)], T + 20) is not None


def test_nine_lengths_are_their_range() -> None:
    told = estimate(NOW, [past(n, 100.0 * (n + 1)) for n in range(9)], T + 20)
    assert told is not None
    assert (told.early_at - T, told.middle_at - T, told.late_at - T) == (100.0, 500.0, 900.0)
    assert (told.cases, told.of) == (9, "SEV2 incidents")


def test_what_it_has_outlasted_is_not_asked() -> None:
    lengths = [past(n, 100.0) for n in range(20)] + [past(20 + n, 1000.0 + n) for n in range(9)]
    told = estimate(NOW, lengths, T + 200)
    assert told is not None and told.early_at == T + 1000.0 and told.cases == 9
    assert estimate(NOW, lengths, T + 5000) is None, "it outlasts them all: nothing is known"


def test_the_same_cause_comes_first_then_the_severity_then_all() -> None:
    known = replace(NOW, hypotheses=(Hypothesis("service:b", "disk_full", 0.7),))
    disks = [past(n, 3000.0 + n, severity=1, kind="disk_full") for n in range(9)]
    others = [past(20 + n, 60.0 + n, severity=2) for n in range(9)]
    assert estimate(known, disks + others, T + 20).of == "incidents of this kind (disk full)"  # type: ignore[union-attr]
    assert estimate(NOW, disks + others, T + 20).of == "SEV2 incidents"  # type: ignore[union-attr]
    rare = replace(NOW, severity=4)
    assert estimate(rare, disks + others, T + 20).of == "incidents"  # type: ignore[union-attr]


@given(st.lists(st.floats(30, 1e5), min_size=MIN_CASES, max_size=60), st.floats(0, 2e5))
def test_it_never_lies_in_the_past_and_is_in_order(lengths: list[float], elapsed: float) -> None:
    told = estimate(NOW, [past(n, length) for n, length in enumerate(lengths)], T + elapsed)
    if told is not None:
        assert T + elapsed < told.early_at <= told.middle_at <= told.late_at


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_four_of_five_hold_it(seed: int) -> None:
    """Log-normal lengths, as repairs have; the interval holds at least four of five by its construction."""
    draw = random.Random(seed)
    lengths = [draw.lognormvariate(6.5, 1.2) + 30 for _ in range(400)]
    began = T - 1e8
    over = {f"INC-{n}": past(n, length, at=began + 2e5 * n) for n, length in enumerate(lengths)}
    told = coverage(State(incidents=over))
    assert told.cases == 391, "the first nine are told from too few"
    assert 0.78 <= told.held / told.cases <= 0.90


@pytest.mark.parametrize("then", ["better", "worse"])
def test_four_of_five_hold_it_also_while_things_change(then: str) -> None:
    """The formula over all that is remembered holds 0.40 and 0.70 of these."""
    draw, over = random.Random(7), {}
    for n in range(400):
        factor = {"better": 0.5 ** (n / 50), "worse": 4.0 if n >= 200 else 1.0}[then]
        length = draw.lognormvariate(7.5, 0.5) * factor + 30
        over[f"INC-{n}"] = past(n, length, at=T - 1e8 + 2e5 * n)
    told = coverage(State(incidents=over))
    assert told.cases > 380 and 0.77 <= told.held / told.cases <= 0.92


def test_only_the_newest_are_asked() -> None:
    old = [past(n, 50_000.0 + n) for n in range(60)]
    new = [past(60 + n, 100.0 + n) for n in range(NEWEST)]
    told = estimate(NOW, old + new, T + 20)
    assert told is not None and told.cases == NEWEST and told.late_at < T + 1000


def test_who_was_wrong_lately_says_more_cautious_intervals() -> None:
    """Half of the last incidents lasted longer than all before them: the outermost two are the interval."""
    lengths = [100.0 + n % 20 for n in range(60)] + [length for n in range(15) for length in (1000.0 * 2**n, 110.0)]
    told = estimate(NOW, [past(n, length) for n, length in enumerate(lengths)], T + 20)
    assert told is not None and told.late_at == T + max(lengths)


def test_over_or_eased_has_none() -> None:
    state = State(incidents={f"INC-{n}": past(n, 100.0 * (n + 1)) for n in range(12)})
    assert eta(state, NOW, T + 20) is not None
    assert eta(state, replace(NOW, mitigated_at=T + 15), T + 20) is None
    assert eta(state, replace(NOW, phase="resolved", resolved_at=T + 15), T + 20) is None
