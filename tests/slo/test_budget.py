"""Budgets against brute force on raw counts: windows, calendars, corrections, composites; and the states that are never
mixed."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict
from msgspec.structs import replace as with_fields
from tests.slo.turns import DAY, GATEWAY, state_of

from midwatch.core.memory import Ledger, Memory
from midwatch.core.slo import ledger as books
from midwatch.core.slo.adjust import left_of
from midwatch.core.slo.budget import Counts, blind_why, budget, budgets, reckon
from midwatch.model.adjustments import Adjustment
from midwatch.model.events import GapOpened, Recorded
from midwatch.model.fold import fold
from midwatch.model.indicators import Calendar
from midwatch.model.slo import Slo

NOW = datetime.fromisoformat("2026-11-25T10:00:00+00:00").timestamp()
ROLLING = Slo("pay", GATEWAY, "ratio", 0.99, period_seconds=30 * DAY)
MONTHLY = Slo("pay", GATEWAY, "ratio", 0.99, period_seconds=31 * DAY, calendar=Calendar("month", 1, "Asia/Kathmandu"))
COUNTS = st.lists(st.tuples(st.floats(0, 40 * DAY), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=60)


def ledger_of(
    events: list[tuple[float, int, int]], slo: Slo = ROLLING, now: float = NOW, begun: float = 40 * DAY
) -> Ledger:
    """``events`` are (seconds before now, good, bad)."""
    empty = books.new_ledger(now - begun, books.levels_for(slo))
    at = np.array([now - 1 - ago if ago < begun - 1 else now - begun for ago, _, _ in events])
    good = np.array([float(g) for _, g, _ in events])
    return books.add(empty, at, good, good + [float(b) for _, _, b in events], now)


def steady(bad_of_hundred: int, days: float = 40.0, now: float = NOW) -> Ledger:
    """A hundred requests every five minutes."""
    events = [(300.0 * n, 100 - bad_of_hundred, bad_of_hundred) for n in range(round(days * 288))]
    return replace(ledger_of(events, begun=days * DAY, now=now), heard_at=now)


@settings(max_examples=100, deadline=None)
@given(COUNTS, st.integers(0, 32 * 96))
def test_any_window_between_steps_is_the_sum_of_its_raw_counts(
    events: list[tuple[float, int, int]], quarters: int
) -> None:
    ledger = ledger_of(events, MONTHLY)
    since = math.floor((NOW - quarters * 900) / 900) * 900
    good, total = books.between(ledger, since, NOW)
    inside = [(g, b) for ago, g, b in events if NOW - 1 - ago >= since and ago < 40 * DAY - 1]
    assert (good, total) == (sum(g for g, _ in inside), sum(g + b for g, b in inside))


@settings(max_examples=100, deadline=None)
@given(COUNTS, st.randoms())
def test_the_order_of_arrival_changes_nothing(events: list[tuple[float, int, int]], random: object) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one = ledger_of(events)
    other = books.new_ledger(NOW - 40 * DAY)
    for ago, good, bad in shuffled:
        at = np.array([NOW - 1 - ago if ago < 40 * DAY - 1 else NOW - 40 * DAY])
        other = books.add(other, at, np.array([float(good)]), np.array([float(good + bad)]), NOW)
    for ring, same in zip(one.counts, other.counts, strict=True):
        np.testing.assert_array_equal(ring, same)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([ROLLING, MONTHLY]),
    COUNTS,
    st.floats(0, 1),
    st.floats(0.001, 40),
    st.booleans(),
)
def test_nothing_shown_is_ever_nan_or_infinite(
    slo: Slo, events: list[tuple[float, int, int]], target: float, days: float, silent: bool
) -> None:
    kept = with_fields(slo, target=target)
    ledger = ledger_of(events, kept, begun=days * DAY)
    now = NOW + (3600.0 if silent else 0.0)
    said = Adjustment("ADJ-1", "exclude", "", NOW - 2 * DAY, NOW - DAY, "ann", "r")
    found = budget(kept, ledger, [said], now)
    for value in asdict(found).values():
        assert not isinstance(value, float) or math.isfinite(value)
    assert found.state != "no_data" or found.why
    assert (found.state == "no_data") == silent
    assert found.good <= found.total + 1e-9


def test_spent_is_bad_over_what_the_whole_period_allows() -> None:
    found = budget(ROLLING, steady(2), (), NOW)
    assert found.total == 30 * 288 * 100 and found.bad == 30 * 288 * 2
    assert found.spent == pytest.approx(2.0) and found.left == pytest.approx(-1.0) and found.state == "spent"
    found = budget(with_fields(ROLLING, target=0.95), steady(2), (), NOW)
    assert found.spent == pytest.approx(0.4) and found.state == "ok" and found.burn == pytest.approx(0.4)
    assert found.left_seconds == pytest.approx(0.6 * 0.05 * 30 * DAY)
    assert found.left_events == pytest.approx(0.6 * 0.05 * 30 * 28_800)


def test_a_calendar_budget_is_that_of_the_whole_month_from_its_first_hour_on() -> None:
    first = datetime.fromisoformat("2026-11-01T02:00:00+05:45").timestamp()
    ledger = steady(2, days=20, now=first)
    found = budget(with_fields(MONTHLY, target=0.95), ledger, (), first)
    start = datetime.fromisoformat("2026-11-01T00:00:00+05:45").timestamp()
    assert (found.since_at, found.until_at) == (start, datetime.fromisoformat("2026-12-01T00:00:00+05:45").timestamp())
    assert found.total == pytest.approx(2 * 1200)
    assert found.expected == pytest.approx(30 * 28_800, rel=0.01), "what twenty days saw is what the month will see"
    assert found.spent == pytest.approx(2 * 24 / (0.05 * 30 * 28_800), rel=0.01)


def test_three_states_and_the_age_of_what_is_known() -> None:
    assert budget(ROLLING, None, (), NOW).state == "no_data"
    assert budget(ROLLING, steady(0), (), NOW).state == "no_errors"
    quiet = ledger_of([(DAY, 99, 1)])
    assert budget(ROLLING, quiet, (), NOW).state == "ok", "at one request in a month, a day without one says nothing"
    busy = ledger_of([(3600.0 + n, 99, 0) for n in range(400)], begun=DAY)
    assert budget(ROLLING, busy, (), NOW).state == "no_traffic"
    blind = budget(ROLLING, replace(steady(1), heard_at=NOW - 90), (), NOW, blind="the source does not answer")
    assert (blind.state, blind.why, blind.last_seen_at, blind.age_seconds) == (
        "no_data", "the source does not answer", NOW - 90, 90.0,
    )  # fmt: skip
    assert blind.spent == pytest.approx(1.0), "the last known value stands beside its age"
    assert budget(ROLLING, steady(1), (), NOW + 3600).state == "no_data", "nobody counted for an hour"
    burning = ledger_of([(300.0 * n, 100, 50 if n < 3 else 0) for n in range(30 * 288)])
    assert budget(with_fields(ROLLING, target=0.9), burning, (), NOW).state == "burning"
    assert budget(with_fields(ROLLING, target=1.0), burning, (), NOW).state == "spent"


def test_gaps_of_the_journal_blind_the_promises_they_are_about() -> None:
    state = state_of(ROLLING, Slo("shop", GATEWAY, "source", 0.9))
    shop = state.slos[1]
    assert blind_why(state, ROLLING) == ""
    for subject, slo, other in (
        (GATEWAY, ROLLING, shop), ("telemetry", ROLLING, shop), ("slo:shop", shop, ROLLING),
        ("source:default", shop, ROLLING),
    ):  # fmt: skip
        dark = fold(state, Recorded(state.seq + 1, NOW, GapOpened(subject, "nothing arrives")))
        assert blind_why(dark, slo) == "nothing arrives" and blind_why(dark, other) == ""
    full = fold(state, Recorded(state.seq + 1, NOW, GapOpened(GATEWAY, "too many endpoints")))
    assert blind_why(full, ROLLING) == ""
    listed = budgets(state, Memory(ledgers={"pay": steady(0), "shop{t=b}": steady(0), "shop{t=a}": steady(1)}), NOW)
    assert [(one.key, one.state) for one in listed] == [
        ("pay", "no_errors"), ("shop", "no_data"), ("shop{t=a}", "ok"), ("shop{t=b}", "no_errors"),
    ]  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(1, 60), st.sampled_from(["exclude", "give_back"])), max_size=5)
)
def test_corrections_take_each_minute_once(windows: list[tuple[int, int, str]]) -> None:
    """Steps of a minute, 10 events each of which 3 are bad; windows in minutes before now."""
    minutes = 240
    ledger = ledger_of([(60.0 * n, 7, 3) for n in range(minutes)], begun=DAY)
    said = [
        Adjustment(f"ADJ-{n}", kind, "", NOW - 60.0 * (ago + length), NOW - 60.0 * ago, "ann", "r")
        for n, (ago, length, kind) in enumerate(windows)
    ]
    kind_of: dict[int, str] = {}
    for ago, length, kind in windows:
        for minute in range(ago, min(ago + length, minutes)):
            kind_of.setdefault(minute, kind)
    out = sum(kind == "exclude" for kind in kind_of.values())
    back = sum(kind == "give_back" for kind in kind_of.values())
    found = budget(ROLLING, ledger, said, NOW)
    assert found.total == pytest.approx(10 * (minutes - out))
    assert found.bad == pytest.approx(3 * (minutes - out - back))


def test_a_correction_by_value_outlives_the_rings_and_is_withdrawn_by_a_word() -> None:
    ledger = steady(1)
    held = Adjustment(
        "ADJ-1",
        "exclude",
        "pay",
        NOW - DAY,
        NOW - DAY + 7200,
        "ann",
        "upgrade",
        counts={"pay": (10.0, 50.0)},
        counted=True,
    )
    found = budget(ROLLING, ledger, [held], NOW)
    plain = budget(ROLLING, ledger, (), NOW)
    assert (plain.total - found.total, plain.bad - found.bad) == (50, 40)
    assert found.adjusted == 40
    for changed in (
        with_fields(held, withdrawn_by="bob"),
        with_fields(held, slo="other"),
        with_fields(held, since_at=NOW - 50 * DAY, until_at=NOW - 49 * DAY),
    ):
        assert budget(ROLLING, ledger, [changed], NOW) == plain
    cut = with_fields(held, since_at=NOW - 30 * DAY - 3600, until_at=NOW - 30 * DAY + 3600)
    assert plain.total - budget(ROLLING, ledger, [cut], NOW).total == 25, "half of its window is in the period"


def test_what_is_left_of_a_window() -> None:
    assert left_of((0, 10), [(2, 3), (1, 2.5), (9, 20), (30, 40)]) == [(0, 1), (3, 9)]
    assert left_of((0, 10), [(-5, 15)]) == []
    assert left_of((0, 10), []) == [(0, 10)]


def test_an_edited_target_keeps_history() -> None:
    ledger = steady(2)
    strict, mild = (budget(with_fields(ROLLING, target=t), ledger, (), NOW) for t in (0.99, 0.9))
    assert (strict.good, strict.total) == (mild.good, mild.total)
    assert strict.spent == pytest.approx(10 * (mild.spent or 0))


# -- composites --


def parts(*ratios: tuple[float, float]) -> list[tuple[Ledger, float]]:
    """(good share, events per five minutes) of each part."""
    return [
        (ledger_of([(300.0 * n + 1, round(share * many), round((1 - share) * many)) for n in range(2000)]), 1.0)
        for share, many in ratios
    ]


def test_a_weighted_mean_is_of_the_ratios_and_as_sure_as_its_least_sure_part() -> None:
    mixed = books.compose("weighted", parts((1.0, 1000), (0.5, 2)))
    good, total = books.sums(mixed, 6 * 3600, NOW)
    assert good / total == pytest.approx(0.75)
    assert total == pytest.approx(1 / (0.25 / (72 * 1000) + 0.25 / (72 * 2)))
    assert total < 8 * 72, "two requests beside a thousand are not a thousand"
    alike = books.sums(books.compose("weighted", parts((0.9, 100), (0.9, 100))), 3600, NOW)
    assert alike == pytest.approx((0.9 * 2400, 2400))


def test_a_journey_counts_an_outage_of_both_once() -> None:
    down = [(300.0 * n + 1, 0 if n < 12 else 100, 100 if n < 12 else 0) for n in range(144)]
    both = books.compose("all", [(ledger_of(down), 1.0), (ledger_of(down), 1.0)])
    good, total = books.sums(both, 12 * 3600, NOW)
    assert 1 - good / total == pytest.approx(12 / 144)
    other = [(300.0 * n + 1, 0 if 12 <= n < 24 else 100, 100 if 12 <= n < 24 else 0) for n in range(144)]
    apart = books.compose("all", [(ledger_of(down), 1.0), (ledger_of(other), 1.0)])
    good, total = books.sums(apart, 12 * 3600, NOW)
    assert 1 - good / total == pytest.approx(24 / 144)


def test_a_part_with_few_requests_is_not_forgotten_between_them() -> None:
    rare = [(3600.0 * n + 1, n % 2, 1 - n % 2) for n in range(24)]
    journey = books.compose("all", [(parts((1.0, 1000))[0][0], 1.0), (ledger_of(rare), 1.0)])
    good, total = books.sums(journey, 24 * 3600, NOW)
    assert good / total == pytest.approx(0.5, abs=0.01)


QUARTER = with_fields(ROLLING, period_seconds=90 * DAY)


def hourly(days: int, slo: Slo, *down: int) -> Ledger:
    """A hundred requests an hour; all of them fail on the days ``down`` before now."""
    ages = range(days * 24)
    events = [(3600.0 * n, 0 if n // 24 in down else 100, 100 if n // 24 in down else 0) for n in ages]
    return ledger_of(events, slo, begun=days * DAY)


@pytest.mark.parametrize("slo", [MONTHLY, QUARTER, with_fields(MONTHLY, period_seconds=92 * DAY)])
def test_a_journey_sees_the_outage_of_a_part_with_other_rings(slo: Slo) -> None:
    well, down = hourly(20, ROLLING), hourly(20, slo, *range(20))
    assert well.levels != down.levels
    for parts_of in ([(well, 1.0), (down, 1.0)], [(down, 1.0), (well, 1.0)]):
        made = books.compose("all", parts_of)
        for window in (3600.0, 5 * 3600.0, 2 * DAY, 19 * DAY):
            good, total = books.sums(made, window, NOW)
            assert good == 0 and total > 0
            assert books.between(made, NOW - window, NOW)[0] == 0
    some = books.compose("all", [(well, 1.0), (hourly(20, slo, 3), 1.0)])
    good, total = books.sums(some, 10 * DAY, NOW)
    assert 1 - good / total == pytest.approx(0.1, abs=0.01)
    mean = books.compose("weighted", [(well, 1.0), (down, 1.0)])
    good, total = mean.counts[-1].sum(axis=1)
    assert good / total == pytest.approx(0.5), "and in its columns"


def test_a_journey_is_as_long_as_its_longest_part() -> None:
    made = books.compose("all", [(hourly(85, QUARTER, 60), 1.0), (hourly(85, ROLLING), 1.0)])
    good, total = books.sums(made, 85 * DAY, NOW)
    assert total == pytest.approx(85 * 2400, rel=0.01) and total - good == pytest.approx(2400, rel=0.15)
    both = books.compose("all", [(hourly(85, QUARTER, 60), 1.0), (hourly(85, QUARTER), 1.0)])
    assert both.levels == books.levels_for(QUARTER)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(COUNTS, min_size=1, max_size=4),
    st.sampled_from(["weighted", "all"]),
    st.floats(60, 33 * DAY),
    st.sampled_from([ROLLING, MONTHLY, QUARTER]),
)
def test_a_composite_is_never_better_than_its_best_nor_worse_than_nothing(
    many: list[list[tuple[float, int, int]]], rule: str, window: float, other: Slo
) -> None:
    slos = [other, *[ROLLING] * 3]
    made = books.compose(rule, [(ledger_of(events, slos[n]), 1.0 + n) for n, events in enumerate(many)])
    for good, total in (books.sums(made, window, NOW), books.between(made, NOW - window, NOW)):
        assert math.isfinite(good) and math.isfinite(total)
        assert -1e-9 <= good <= total * (1 + 1e-9) + 1e-9
        assert total <= sum(books.sums(part, window + 3600, NOW)[1] for part, _ in made.parts) + 1e-6


def test_reckoning_from_sums_alone() -> None:
    counts = Counts(980.0, 1000.0, 3600.0, 1000.0, 3600.0, 980.0, 1000.0, 10.0)
    found = reckon(with_fields(ROLLING, period_seconds=7200.0, target=0.9), counts, NOW)
    assert (found.expected, found.allowed, found.spent) == (2000.0, pytest.approx(200.0), pytest.approx(0.1))
