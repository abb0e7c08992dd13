"""How right midwatch was: counted once per incident, on what was said first."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest
from tests.decide.worlds import PAYMENT, START, act, broken

from midwatch.core.decide.stage import decide
from midwatch.core.learn.hindsight import bands, sentence, similar, wilson
from midwatch.model.events import CauseConfirmed, CauseRanked
from midwatch.model.findings import Hindsight, Hypothesis
from midwatch.model.fold.incidents import MAX_HINDSIGHT
from midwatch.model.state import State


def told(*answers: tuple[float, bool]) -> tuple[Hindsight, ...]:
    return tuple(Hindsight(f"INC-{n}", p, right, "ann", START) for n, (p, right) in enumerate(answers, 1))


def test_what_was_said_first_counts_and_a_later_confirmation_replaces_an_earlier() -> None:
    from tests.decide.worlds import turn

    acted = decide(turn(broken())).state  # the ranking is frozen by the first action
    later = act(acted, START + 60, CauseRanked("INC-1", (Hypothesis(PAYMENT, "bad_deploy", 0.99),), 0.01))
    right = act(later, START + 90, CauseConfirmed("INC-1", PAYMENT, "pool_exhausted", "ACT-1"))
    assert right.hindsight == (Hindsight("INC-1", 0.8, True, "ACT-1", START + 90),)
    wrong = act(right, START + 95, CauseConfirmed("INC-1", PAYMENT, "bad_config", "ann"))
    assert wrong.hindsight == (Hindsight("INC-1", 0.8, False, "ann", START + 95),)


def test_an_incident_without_a_diagnosis_is_no_case() -> None:
    assert act(broken(hypotheses=()), START, CauseConfirmed("INC-1", PAYMENT, "bad_config", "ann")).hindsight == ()
    assert act(State(), START, CauseConfirmed("INC-9", PAYMENT, "bad_config", "ann")).hindsight == ()


def test_it_is_bounded() -> None:
    from msgspec.structs import replace

    full = replace(broken(), hindsight=told(*[(0.5, True)] * MAX_HINDSIGHT))
    after = act(full, START, CauseConfirmed("INC-1", PAYMENT, "pool_exhausted", "ann"))
    assert len(after.hindsight) == MAX_HINDSIGHT and after.hindsight[-1].incident == "INC-1"


def test_the_record_of_similar_verdicts_in_words() -> None:
    nine_of_eleven = told(*[(0.82, True)] * 9, *[(0.78, False)] * 2, (0.95, False), (0.3, False))
    record = similar(nine_of_eleven, 0.8)
    assert (record.cases, record.right) == (11, 9) and record.said == pytest.approx(0.8127, abs=1e-4)
    assert sentence(record) == (
        "When midwatch was 70 to 90 % sure, it was right 9 times of 11 "
        "(82 %; the true share lies between 52 and 95 % with 95 % confidence)"
    )
    assert sentence(similar(told((0.8, True)), 0.8)).endswith("right 1 times of 1: too few cases to lean on")
    assert sentence(similar((), 0.8)).startswith("No history yet")
    assert [(b.low, b.cases) for b in bands(nine_of_eleven)] == [(0.3, 1), (0.7, 11), (0.9, 1)]


def test_certainty_is_in_the_highest_band() -> None:
    assert [(b.high, b.cases) for b in bands(told((1.0, True)))] == [(1.0, 1)] and similar(
        told((1.0, True)), 0.99
    ).cases == 1


@pytest.mark.parametrize(("right", "cases"), [(0, 1), (1, 1), (9, 11), (50, 50), (3, 400)])
def test_the_interval_is_wilsons(right: int, cases: int) -> None:
    expected = binomtest(right, cases).proportion_ci(0.95, method="wilson")
    assert wilson(right, cases) == pytest.approx((expected.low, expected.high), abs=1e-4)
