"""Why not the runner-up: what separates two hypotheses."""

from __future__ import annotations

import math

import pytest

from midwatch.core.diagnose.runner_up import MAX_SHOWN, differences, runner_up
from midwatch.model.findings import Evidence, Hypothesis


def evidence(kind: str, weight: float, text: str = "") -> Evidence:
    return Evidence(kind, "service:a", text or kind, weight)


FIRST = Hypothesis(
    "service:payment",
    "pool_exhausted",
    0.86,
    (evidence("saturation", 6.1), evidence("logs", 2.8), evidence("logs", 1.0, "weak"), evidence("share", -0.1)),
    refuted_by="waiters at 0",
    next_check="waiters",
)
SECOND = Hypothesis(
    "database:shop",
    "lock_contention",
    0.05,
    (evidence("saturation", -2.2), evidence("share", -0.2)),
    next_check="locks",
)


def test_what_separates_most_comes_first_and_what_does_not_is_left_out() -> None:
    found = runner_up((FIRST, SECOND, FIRST))
    assert found is not None and found.times == pytest.approx(17.2) and found.check == "waiters"
    assert [(d.kind, round(d.nats, 2)) for d in found.differences] == [("saturation", 8.3), ("logs", 2.8)]
    assert found.differences[1].second is None and found.differences[1].times == pytest.approx(math.exp(2.8))


def test_evidence_may_speak_for_the_second() -> None:
    found = differences(SECOND, FIRST)
    assert found[0].nats == pytest.approx(-8.3) and found[0].times == pytest.approx(math.exp(8.3))


def test_one_hypothesis_has_no_runner_up() -> None:
    assert runner_up((FIRST,)) is None and runner_up(()) is None
    impossible = Hypothesis("service:b", "bad_flag", 0.0)
    found = runner_up((FIRST, impossible))
    assert found is not None and math.isinf(found.times) and found.check == "waiters"


def test_it_is_short() -> None:
    many = Hypothesis("service:a", "bad_flag", 0.5, tuple(evidence(f"k{n}", n) for n in range(1, 12)))
    assert [d.kind for d in differences(many, SECOND)] == ["k11", "k10", "k9", "k8"] and MAX_SHOWN == 4
