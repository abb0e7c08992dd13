"""Maintenance and false positives: what a person left out or gave back wakes nobody, and what it alone made fire closes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.slo_alerts.test_alerts import GATEWAY, SLO, steady, told, turn_of
from tests.slo_alerts.test_sequential import opened, turn_with
from tests.worlds import START

from midwatch.core.detect.gaps import gaps
from midwatch.core.memory import Ledger
from midwatch.core.slo import ledger as books
from midwatch.core.slo.alerts import judge
from midwatch.core.slo.budget import budget
from midwatch.core.slo.corrected import corrected, left_out_seconds
from midwatch.core.slo.wake import wake
from midwatch.core.turn import Turn
from midwatch.model.adjustments import Adjustment
from midwatch.model.events import AdjustmentWithdrawn, BudgetAdjusted, FindingClosed, GapClosed, GapOpened
from midwatch.model.indicators import Composite, Part
from midwatch.model.slo import Slo

HOUR = 3600.0


def maintenance(
    since: float, until: float, *, kind: str = "exclude", slo: str = "", ident: str = "ADJ-1"
) -> Adjustment:
    """Seconds from now."""
    return Adjustment(ident, kind, slo, START + since, START + until, "anna", "migration", said_at=START)


def said(turn: Turn, *adjustments: Adjustment) -> Turn:
    return replace(turn.emit(*(BudgetAdjusted(one) for one in adjustments)), events=())


def closed(turn: Turn) -> dict[str, str]:
    return {e.finding_id.rpartition("/")[2]: e.why for e in turn.events if isinstance(e, FindingClosed)}


OUT = steady(1.0, 0.25)  # a quarter of an hour in which everything fails


@pytest.mark.parametrize("slo", ["", "s"])
def test_an_outage_under_maintenance_pages_nobody(slo: str) -> None:
    assert {"fast", "slow", "outage"} <= set(told(judge(turn_of(*OUT))))
    assert told(judge(said(turn_of(*OUT), maintenance(-1000, HOUR, slo=slo)))) == {}
    assert told(judge(said(turn_of(*OUT), maintenance(-1000, HOUR, slo="other")))) != {}


def test_what_failed_before_the_maintenance_still_counts() -> None:
    bad, total = steady(1.0, 1.0)
    assert "fast" in told(judge(said(turn_of(bad, total), maintenance(-100, HOUR))))


def test_a_word_said_afterwards_closes_what_fires_because_of_it_and_nothing_else() -> None:
    turn = judge(turn_of(*OUT))
    firing = set(told(turn))
    after = judge(said(turn, maintenance(-901, HOUR)))
    assert set(closed(after)) == firing
    assert set(closed(after).values()) == {"left out: migration, by anna until 2027-01-15 09:00 UTC"}
    assert told(judge(replace(after, events=()))) == {}, "and it stays closed"
    false_positive = judge(said(turn, maintenance(-901, 0, kind="give_back")))
    assert set(closed(false_positive)) == firing
    assert closed(judge(said(turn, maintenance(-3 * HOUR, -2 * HOUR)))) == {}, "another time than that of the errors"
    assert closed(judge(said(turn, maintenance(-901, -600)))).keys() == set(), "a third of them: it burns all the same"


def test_a_withdrawn_word_holds_nothing_back() -> None:
    turn = said(turn_of(*OUT), maintenance(-1000, HOUR)).emit(AdjustmentWithdrawn("ADJ-1", "ben", "a mistake", START))
    assert told(judge(replace(turn, events=()))) != {}


def test_the_first_minutes_after_a_night_of_maintenance_are_not_the_whole_window() -> None:
    """Six hours out, and then one request of a hundred fails for two minutes: that is 2 % of an hour's budget and less."""
    bad, total = steady(0.02, 0.05)
    turn = turn_of(bad, total)
    assert told(judge(turn)) == {}
    assert told(judge(said(turn, maintenance(-72 * HOUR, -0.05 * HOUR)))) == {}


def test_it_is_said_while_it_goes_on() -> None:
    turn = gaps(said(turn_of(*OUT), maintenance(-1000, HOUR), maintenance(-10, 60, slo="s", ident="ADJ-2")))
    told_gaps = {e.subject: e.reason for e in turn.events if isinstance(e, GapOpened)}
    assert told_gaps["left_out:all promises"] == "left out: migration, by anna until 2027-01-15 09:00 UTC"
    assert "left_out:s" in told_gaps
    later = gaps(replace(turn, events=(), now=START + 2 * HOUR))
    ended = {e.subject for e in later.events if isinstance(e, GapClosed)}
    assert {"left_out:all promises", "left_out:s"} <= ended


def test_the_agent_is_not_woken_by_it_either() -> None:
    turn = turn_with(0.01)
    assert len(opened(wake(turn))) == 1
    assert opened(wake(said(turn, maintenance(-1200, HOUR)))) == []
    firing = wake(turn)
    (why,) = closed(wake(said(replace(firing, events=()), maintenance(-1300, 0)))).values()
    assert why.startswith("left out: migration")
    assert closed(wake(said(replace(firing, events=()), maintenance(-100, 0)))) == {}, "the rest is as bad"
    kept = wake(said(replace(turn_with(0.004, minutes=15.0), events=()), maintenance(-1300, 0)))
    assert kept.memory.sentinel is not None and kept.memory.sentinel.suspicion.up.max() <= 0


def test_the_burn_rate_of_a_budget_is_that_of_what_is_left() -> None:
    turn = turn_of(*OUT)
    ledger = turn.memory.ledgers["s"]
    assert (budget(SLO, ledger, (), START).burn or 0) > 100
    assert budget(SLO, ledger, (maintenance(-901, 10),), START).burn == 0


WINDOWS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(1, 200), st.sampled_from(["exclude", "give_back"])), max_size=3
)


@settings(max_examples=60, deadline=None)
@given(WINDOWS, st.integers(0, 2**31))
def test_a_corrected_ledger_is_the_ledger_of_what_is_left(windows: list[tuple[int, int, str]], seed: int) -> None:
    """On whole steps of ten seconds every ring is as if the corrected counts had been counted in the first place."""
    rng = np.random.default_rng(seed)
    total = rng.poisson(5.0, 600).astype(float)
    good = total - rng.binomial(total.astype(int), 0.2)
    at = START - 6000 + 10.0 * np.arange(600)
    adjustments = [
        maintenance(-6000 + 10.0 * first, -6000 + 10.0 * (first + many), kind=kind, ident=f"ADJ-{n}")
        for n, (first, many, kind) in enumerate(windows)
    ]
    found = corrected(books.add(books.new_ledger(START - 6000), at, good, total, START), adjustments)
    done = np.zeros(600, dtype=bool)
    for one in adjustments:
        mine = (at >= one.since_at) & (at < one.until_at) & ~done
        done |= mine
        good, total = (
            (np.where(mine, 0.0, good), np.where(mine, 0.0, total))
            if one.kind == "exclude"
            else (np.where(mine, total, good), total)
        )
    expected = books.add(books.new_ledger(START - 6000), at, good, total, START)
    for mine_ring, ring in zip(found.counts, expected.counts, strict=True):
        np.testing.assert_allclose(mine_ring, ring, atol=1e-9)


def test_a_composite_is_corrected_in_its_parts() -> None:
    def part(failing: float) -> Ledger:
        at = START - 3600 + 10.0 * np.arange(360)
        good = np.where(at >= START - 900, 10.0 * (1 - failing), 10.0)
        return books.add(books.new_ledger(START - 3600), at, good, np.full(360, 10.0), START)

    for rule in ("weighted", "all"):
        made = books.compose(rule, [(part(1.0), 1.0), (part(0.5), 3.0)])
        assert books.sums(made, 3600, START)[0] < books.sums(made, 3600, START)[1]
        left = corrected(made, [maintenance(-900, 100)])
        good, total = books.sums(left, 3600, START)
        assert good == pytest.approx(total) and total > 0
        slo = Slo("j", GATEWAY, "source", 0.99, indicator=Composite((Part("a"), Part("b")), rule))  # type: ignore[arg-type]
        turn = turn_of(*OUT, slo=structs.replace(SLO, target=0.999))
        turn = replace(turn, memory=replace(turn.memory, ledgers={"j": made}))
        turn = replace(turn, state=structs.replace(turn.state, policy=structs.replace(turn.state.policy, slos=(slo,))))
        assert told(judge(turn)) != {} and told(judge(said(turn, maintenance(-900, 100, slo="j")))) == {}


def test_overlaps_count_once() -> None:
    two = [maintenance(-600, -300), maintenance(-400, -100, ident="ADJ-2"), maintenance(-90, -80, kind="give_back")]
    assert left_out_seconds(two, START - 500, START) == 400
