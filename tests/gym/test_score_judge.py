"""The judge on cases made by hand: every number of a score has a case in which it is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.gym.faults.truth import Fix, Truth
from midwatch.gym.score.judge import Score, judge
from midwatch.gym.score.stats import median, wilson
from midwatch.gym.score.users import Request, first_harm, in_target, recovered_at
from midwatch.model import events as e
from midwatch.model.actions import Action, Outcome, Verdict
from midwatch.model.findings import Hypothesis

INJECTED = 1000.0
TRUTH = Truth(
    "pool_exhausted",
    "pool_exhausted",
    "service:payment",
    kinds=("pool_exhausted",),
    fixes=(Fix("resize_pool", "service:payment"),),
    injected_at=INJECTED,
)


def users(bad: Callable[[float], bool], end: float = 1400.0) -> list[Request]:
    """Ten requests a second from 900 on, half of them on each of two routes; ``bad`` strikes the checkout."""
    found = []
    at = 900.0
    while at < end:
        for n in range(5):
            found.append(Request(at + n / 10, "home", True, 20.0))
            found.append(Request(at + n / 10 + 0.05, "checkout", not bad(at), 20.0))
        at += 1.0
    return found


def journal(*timed: tuple[float, e.Event]) -> list[e.Recorded]:
    return [e.Recorded(seq, at, event) for seq, (at, event) in enumerate(timed, start=1)]


def opened(at: float, name: str = "INC-1") -> tuple[float, e.Event]:
    return at, e.IncidentOpened(name, "it hurts", at, 2, "", (), ())


def ranked(at: float, *causes: tuple[str, str, float]) -> tuple[float, e.Event]:
    return at, e.CauseRanked("INC-1", tuple(Hypothesis(*cause) for cause in causes), 0.1)


def acted(at: float, verb: str, target: str, status: str = "done") -> list[tuple[float, e.Event]]:
    action = Action(f"ACT-{at}", f"key-{at}", "INC-1", "book", verb, target)
    return [
        (at, e.ActionJudged(action, Verdict("run", "ok", ""))),
        (at, e.ActionOrdered(action.id)),
        (at + 1, e.ActionEnded(action.id, Outcome(status))),  # type: ignore[arg-type]
    ]


def score(requests: list[Request], *timed: tuple[float, e.Event], truth: Truth = TRUTH) -> Score:
    return judge(truth, requests, journal(*timed), start_at=900.0, end_at=1400.0)


HURT = users(lambda at: 1010 <= at < 1050)


def test_a_case_that_went_well() -> None:
    got = score(
        HURT,
        opened(1020),
        ranked(1025, ("service:payment", "pool_exhausted", 0.8), ("service:fraud", "slow_service", 0.1)),
        *acted(1030, "resize_pool", "service:payment"),
        ranked(1035, ("service:fraud", "slow_service", 0.9)),  # second thoughts do not count
    )
    assert got.harm_after_seconds == pytest.approx(10, abs=1)
    assert got.detect_seconds == pytest.approx(10, abs=1)
    assert (got.cause_rank, got.entity_rank, got.right_fix, got.recovered) == (1, 1, True, True)
    assert got.recover_seconds == pytest.approx(40, abs=2)
    assert (got.wrong_actions, got.worsened, got.incidents_before, got.notes) == (0, 0, 0, ())


def test_the_right_place_with_the_wrong_kind_is_not_the_cause() -> None:
    got = score(
        HURT, opened(1020), ranked(1025, ("service:payment", "bad_deploy", 0.8)), *acted(1030, "restart", "x:y")
    )
    assert (got.entity_rank, got.cause_rank) == (1, None)


def test_a_page_without_a_ranking_is_no_rank() -> None:
    page = e.PageOrdered("P-1", "INC-1", "k", "c", "s", "t")
    got = score(HURT, opened(1020), (1021, page), ranked(1025, ("service:payment", "pool_exhausted", 0.8)))
    # The first ranking that is journaled before the next page or action is all there is: none went out with a ranking.
    assert got.cause_rank is None and got.notes


def test_what_was_opened_before_the_injection_is_false_and_not_a_detection() -> None:
    got = score(HURT, opened(950, "INC-0"))
    assert (got.detected, got.incidents_before) == (False, 1)


def test_a_failed_fix_is_no_fix_and_another_target_neither() -> None:
    failed = score(HURT, opened(1020), *acted(1030, "resize_pool", "service:payment", "failed"))
    other = score(HURT, opened(1020), *acted(1030, "resize_pool", "service:fraud"))
    assert not failed.right_fix and not other.right_fix
    assert other.wrong_actions == 1


def test_an_action_after_which_it_got_worse() -> None:
    got = score(users(lambda at: at >= 1040), opened(1020), *acted(1040, "drain_region", "region:eu"))
    assert (got.wrong_actions, got.worsened, got.recovered) == (1, 1, False)


def test_parameters_of_a_fix_matter_where_they_are_named() -> None:
    truth = Truth("bad_flag", "bad_flag", "service:cart", fixes=(Fix("set_flag", "service:cart", {"flag": "x"}),))
    assert truth.cured_by("set_flag", "service:cart", {"flag": "x", "on": False})
    assert not truth.cured_by("set_flag", "service:cart", {"flag": "y", "on": False})
    assert not truth.cured_by("set_flag", "service:cart")


def test_harm_that_nobody_felt_is_said() -> None:
    assert "no user felt it" in score(users(lambda at: False)).notes[0]


def test_a_few_stray_errors_are_no_harm() -> None:
    assert first_harm(users(lambda at: at in (1010, 1100)), INJECTED) is not None  # five failures within a second are
    stray = [r if n % 200 else Request(r.at, r.route, False, 1.0) for n, r in enumerate(users(lambda at: False))]
    assert first_harm(stray, INJECTED) is None


def test_slow_is_bad_too() -> None:
    slow = [Request(r.at, r.route, True, 2000.0 if r.at > 1010 else 20.0) for r in users(lambda at: False)]
    assert first_harm(slow, INJECTED) == pytest.approx(1010, abs=1)


def test_recovery_needs_two_minutes_and_every_route() -> None:
    assert recovered_at(users(lambda at: 1010 <= at < 1050), 1010, 1160) is None
    assert recovered_at(users(lambda at: 1010 <= at < 1050), 1010, 1175) == pytest.approx(1050, abs=2)
    # One percent of everything, and yet a fifth of the checkouts.
    rare = [r for r in users(lambda at: False) if r.route == "home"]
    rare += [Request(900 + n * 5.0, "checkout", n % 5 > 0, 20.0) for n in range(100)]
    assert not in_target(rare, 1000, 1120)


def test_no_requests_is_not_in_target() -> None:
    assert not in_target([], 0, 120)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 200), st.integers(1, 200))
def test_wilson_holds_the_share(hits: int, total: int) -> None:
    hits = min(hits, total)
    share = wilson(hits, total)
    assert 0 <= share.low <= share.share <= share.high <= 1


def test_known_interval() -> None:
    share = wilson(8, 10)
    assert (round(share.low, 3), round(share.high, 3)) == (0.490, 0.943)
    assert str(wilson(0, 0)) == "-"
    assert median([3, 1, 2]) == 2


def test_a_store_is_itself_whether_telemetry_or_the_platform_names_it() -> None:
    truth = Truth("f", "disk_full", "database:shop", kinds=("disk_full",), fixes=(Fix("free_disk", "database:shop"),))
    assert truth.says("database:shop-db", "disk_full") and truth.cured_by("free_disk", "database:shop-db")
    assert not truth.says("database:other", "disk_full")
