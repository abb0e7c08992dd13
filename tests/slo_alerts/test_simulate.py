"""Alert policies played over series of counts, against the same conditions asked one look at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from midwatch.core.slo.alerts import OUTAGE, fires, newest_run, outage
from midwatch.core.slo.formulas import row
from midwatch.core.slo.score_alerts import Labelled, backtest, compare, rate_of, share_of
from midwatch.core.slo.simulate import Series, episodes, play, series_of
from midwatch.core.slo.tiers import AVERAGED, GUARDED, NO_RULES, TEXTBOOK, AlertPolicy
from midwatch.model.slo import AlertRules, BurnTier, Slo
from midwatch.model.world import SliCounts

SLO = Slo("s", "service:gateway", "ratio", 0.999)
SMALL = (BurnTier("a", 14.4, 600, 120, True), BurnTier("b", 6.0, 1800, 300, True), BurnTier("c", 3.0, 3600, 600, False))


@settings(max_examples=150, deadline=None)
@given(
    arrays(np.int64, 90, elements=st.integers(0, 6)),
    arrays(np.int64, 90, elements=st.sampled_from([0, 0, 0, 1, 6])),
    st.integers(1, 3),
    st.integers(0, 2),
)
def test_every_look_asks_what_the_watch_would_ask(total: np.ndarray, bad: np.ndarray, every: int, held: int) -> None:
    """The played policy against a slow oracle: windows summed step by step, the same conditions."""
    total = total.astype(float)
    bad = np.minimum(bad, total)
    rules = AlertRules(for_seconds=held * every * 60.0, interval_seconds=every * 60.0)
    played = play(Series(bad, total, 60.0), SLO, AlertPolicy("x", SMALL, rules, scaled=False))
    assert [t.name for t in played.tiers] == ["a", "b", "c", OUTAGE]
    asked: dict[str, list[bool]] = {tier.name: [] for tier in played.tiers}
    for number, look in enumerate(range(every - 1, 90, every)):
        seen_bad, seen = bad[: look + 1], total[: look + 1]
        for tier in played.tiers:
            if tier.name == OUTAGE:
                found = newest_run(seen_bad[-60:], seen[-60:], rules.min_failures)[:2]
                asked[OUTAGE].append(bool(outage(*found, 0.001, rules)))
                continue
            long, short = (round(s / 60) for s in (tier.long_seconds, tier.short_seconds))
            young = max(1.0, long / (look + 1))
            sums = (seen_bad[-long:].sum(), seen[-long:].sum() * young, seen_bad[-short:].sum(), seen[-short:].sum())
            asked[tier.name].append(bool(fires(*sums, tier, 1 - SLO.target, rules)))
        for index, tier in enumerate(played.tiers):
            wanted = len(asked[tier.name]) > held and all(asked[tier.name][-held - 1 :])
            assert bool(played.on[index, number]) == wanted, (tier.name, look)


def test_a_batch_is_its_rows() -> None:
    rng = np.random.default_rng(3)
    total = rng.poisson(5.0, (4, 600)).astype(float)
    bad = rng.binomial(total.astype(int), 0.02).astype(float)
    bad[2, 300:330] = total[2, 300:330]
    whole = play(Series(bad, total, 60.0), SLO, GUARDED)
    assert whole.on[:, 2].any(axis=1)[[0, 1, 4]].all()
    for one in range(4):
        assert (play(Series(bad[one], total[one], 60.0), SLO, GUARDED).on == whole.on[:, one]).all()


def test_the_textbook_pages_for_one_failure_in_an_hour_and_the_guards_do_not() -> None:
    total = np.ones(30 * 1440)  # a request a minute
    bad = np.zeros_like(total)
    bad[7 * 1440] = 1
    pages = {p.name: len(backtest(Series(bad, total, 60.0), SLO, p).pages) for p in (TEXTBOOK, GUARDED)}
    assert pages == {"textbook": 1, "guarded": 0}


@pytest.mark.parametrize("per_minute", [0.1, 1.0, 10.0])
def test_a_total_outage_pages_at_the_sixth_failure_at_the_latest(per_minute: float) -> None:
    """One request per step, every one failing after six hours of good ones."""
    step = 60 / per_minute
    hours = round(6 * 3600 / step)
    total = np.ones(hours + 20)
    bad = np.where(np.arange(total.size) < hours, 0.0, 1.0)
    policy = AlertPolicy("x", rules=AlertRules(interval_seconds=step))
    paging = play(Series(bad, total, step), SLO, policy).paging
    assert not paging[:hours].any()
    assert paging.argmax() - hours + 1 <= 6


def test_a_hiccup_within_a_busy_step_is_no_outage() -> None:
    total = np.full(400, 1000.0)
    bad = np.zeros(400)
    bad[200] = 300.0  # three seconds of ten
    assert not play(
        Series(bad, total, 10.0), SLO, AlertPolicy("x", rules=AlertRules(interval_seconds=10.0))
    ).paging.any()


@pytest.mark.parametrize(("tier", "ratio"), [("fast", 1.0), ("fast", 0.1), ("slow", 0.1), ("slow", 0.01)])
def test_the_simulation_agrees_with_the_arithmetic(tier: str, ratio: float) -> None:
    """Steady traffic without chance: detection and reset within one look of the formulas."""
    policy = AlertPolicy("x", tuple(t for t in GUARDED.tiers if t.name == tier), AlertRules(outage=False))
    expected = row(SLO, policy.tiers[0], policy.rules, ratio, 60_000.0)
    assert expected.detect_seconds is not None and expected.reset_seconds is not None
    lasts = round(max(1.5 * expected.detect_seconds, policy.tiers[0].short_seconds) / 60) + 1
    total = np.full(400 + lasts + 60, 60_000.0)
    bad = np.zeros_like(total)
    bad[400 : 400 + lasts] = ratio * 60_000
    ((begin, end),) = episodes(play(Series(bad, total, 60.0), SLO, policy).paging, np.arange(1, total.size + 1) * 60.0)
    assert expected.detect_seconds <= begin - 400 * 60 <= expected.detect_seconds + 60
    assert abs(end - (400 + lasts) * 60 - expected.reset_seconds) <= 60


def test_for_makes_it_wait_and_a_gap_starts_anew() -> None:
    total = np.full(300, 1000.0)
    bad = np.zeros(300)
    bad[100:103] = bad[200:260] = 1000.0
    rules = AlertRules(outage=False, for_seconds=600.0)
    tiers = (BurnTier("a", 14.4, 120, 60, True),)
    found = list(episodes(*_paging(Series(bad, total, 60.0), AlertPolicy("x", tiers, rules, scaled=False))))
    assert found == [(211 * 60.0, 261 * 60.0)]


def _paging(series: Series, policy: AlertPolicy) -> tuple[np.ndarray, np.ndarray]:
    played = play(series, SLO, policy)
    return played.paging, played.at


def test_idle_minutes_blind_an_average_of_ratios_and_not_a_sum() -> None:
    total = np.full(600, 1000.0)
    total[380:395] = 0.0
    bad = np.where(np.arange(600) >= 400, 0.5, 0.0) * total
    sums, ratios = (play(Series(bad, total, 60.0), SLO, p).paging for p in (TEXTBOOK, AVERAGED))
    assert sums.argmax() == 401, "two minutes of half the requests fill an hour's worth"
    assert ratios.argmax() > 440, "a ratio without requests is NaN, and so is every mean over it"


def test_counts_are_put_on_a_grid_whatever_their_order() -> None:
    at = np.array([1200.0, 1020.0, 1080.0, 1260.0])
    counts = SliCounts("s", (), at, np.array([9.0, 8.0, 12.0, np.nan]), np.array([10.0, 10.0, 10.0, 5.0]), 1380.0)
    series = series_of(counts)
    assert (series.start_at, series.step_seconds, series.impossible) == (1020.0, 60.0, 2)
    assert series.total.tolist() == [10.0, 0.0, 0.0, 10.0, 0.0, 0.0]
    assert series.bad.tolist() == [2.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    assert "2 steps count more good than total" in backtest(counts, SLO, GUARDED).notes[0]
    with pytest.raises(ValueError, match="no counts"):
        series_of(SliCounts("s", (), np.array([]), np.array([]), np.array([]), 0.0))
    with pytest.raises(ValueError, match="longer step"):
        series_of(SliCounts("s", (), np.array([0.0, 1.0, 1e9]), np.ones(3), np.ones(3), 1e9))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=60))
def test_no_event_is_lost_on_the_grid(rows: list[tuple[int, int, int]]) -> None:
    at, good, bad = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    series = series_of(SliCounts("s", (), at * 60, good, good + bad, 501 * 60.0))
    assert (series.bad.sum(), series.total.sum()) == (bad.sum(), (good + bad).sum())


def _history() -> Series:
    """Ten days at 100/min: a short outage, an hour at 5 %, and a blip that nobody labelled."""
    total = np.full(10 * 1440, 100.0)
    bad = np.zeros_like(total)
    bad[2000:2010] = 100.0
    bad[6000:6060] = 5.0
    bad[9000:9003] = 100.0
    return Series(bad, total, 60.0)


LABELLED = (
    Labelled(2000 * 60.0, 2010 * 60.0, "outage"),
    Labelled(6000 * 60.0, 6060 * 60.0, "slow burn"),
    Labelled(12000 * 60.0, 12030 * 60.0, "nobody felt it"),
    Labelled(99e6, 99.1e6, "another year"),
)


def test_a_score_says_what_was_found_what_it_cost_and_who_was_woken_for_nothing() -> None:
    score = backtest(_history(), SLO, GUARDED, LABELLED)
    assert [(p.incident, p.true) for p in score.pages] == [("outage", True), ("slow burn", True), ("", False)]
    assert (score.precision.value, score.recall.value) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    first, second, third = score.incidents
    assert (first.name, first.found, first.delay_seconds) == ("outage", True, 60.0)
    assert first.budget_spent == pytest.approx(100 / (0.001 * 100 * 43200))
    assert second.found and second.delay_seconds == pytest.approx(18 * 60), "14.4 x of an hour at 5 %"
    assert (third.found, third.delay_seconds, third.budget_spent) == (False, None, 0.0)
    assert score.pages_per_30_days.value == pytest.approx(9.0) and score.false_pages_per_30_days.value == pytest.approx(
        3.0
    )
    assert any("1 labelled incidents lie outside" in note for note in score.notes)


def test_without_labels_recall_is_not_known() -> None:
    score = backtest(_history(), SLO, GUARDED)
    assert score.recall.value is None and score.precision.value == 0.0
    assert "no incident is labelled" in score.notes[0]


def test_two_policies_over_one_history() -> None:
    slow = AlertPolicy("slow only", tuple(t for t in GUARDED.tiers if t.name == "ticket"), NO_RULES)
    found = compare(_history(), SLO, GUARDED, slow, LABELLED)
    assert (found.only_a, found.only_b, found.sooner_a) == (("outage", "slow burn"), (), 0)
    assert found.b.pages == () and found.b.precision.value is None and found.b.firings


def test_a_page_that_was_there_before_still_finds_what_begins_in_it() -> None:
    total = np.full(1440, 100.0)
    bad = np.zeros(1440)
    bad[300:500] = 100.0
    score = backtest(Series(bad, total, 60.0), SLO, GUARDED, (Labelled(400 * 60.0, 500 * 60.0, "second"),))
    assert score.incidents[0].delay_seconds == 0.0 and not score.pages[0].true


def test_intervals_are_the_published_ones() -> None:
    wilson = share_of(8, 10)
    assert (wilson.low, wilson.high) == (pytest.approx(0.4902, abs=1e-3), pytest.approx(0.9433, abs=1e-3))
    garwood = rate_of(3, 30.0)
    assert (garwood.low, garwood.high) == (pytest.approx(0.6187, abs=1e-3), pytest.approx(8.7673, abs=1e-3))
    assert rate_of(0, 30.0).high == pytest.approx(3.6889, abs=1e-3)
