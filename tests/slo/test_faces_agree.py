"""The same window has the same numbers wherever they are read: the budget, the month's report, the forecast, the plots."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.slo.turns import state_of

from midwatch.core.memory import Ledger
from midwatch.core.slo import forecast
from midwatch.core.slo import ledger as books
from midwatch.core.slo.budget import budget
from midwatch.model.adjustments import Adjustment
from midwatch.model.indicators import Calendar, Composite, Part
from midwatch.model.slo import Slo
from midwatch.shell.slo_report import month_report

HOUR, DAY = 3600.0, 86400.0
BEGIN = datetime(2026, 9, 1, tzinfo=UTC).timestamp()
MONTH = datetime(2026, 10, 1, tzinfo=UTC).timestamp()
NOW = MONTH + 17 * DAY + 7.5 * HOUR
WEIGHTED, ALL = "weighted", "all"


def slo_of(rule: str, zone: str = "UTC") -> Slo:
    what = Composite((Part("a", 1.0), Part("b", 3.0)), rule)  # type: ignore[arg-type]
    return Slo("both", "service:shop", "source", 0.9, indicator=what, calendar=Calendar("month", time_zone=zone))


def part(per_hour: np.ndarray, bad_share: np.ndarray, since: float = BEGIN, slo: Slo | None = None) -> Ledger:
    at = since + HOUR * np.arange(int((NOW - since) // HOUR) + 1)
    total = np.resize(per_hour, at.size).astype(float)
    good = total - np.round(total * np.resize(bad_share, at.size))
    levels = books.levels_for(slo) if slo is not None else books.LEVELS
    return books.add(books.new_ledger(since, levels), at, good, total, NOW)


def uneven(slo: Slo, rule: str) -> Ledger:
    """A part whose traffic and errors come at other times than the other's: the mean of a day is not that of the month."""
    busy = part(np.r_[np.full(240, 1000), np.full(200, 10)], np.r_[np.zeros(300), np.full(70, 0.4)], slo=slo)
    rare = part(np.r_[np.full(7, 0), 60, np.full(30, 1)], np.r_[np.zeros(90), np.full(11, 0.9)], slo=slo)
    return books.compose(rule, [(busy, 1.0), (rare, 3.0)])


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
@pytest.mark.parametrize("rule", [WEIGHTED, ALL])
def test_report_forecast_and_budget_say_the_same_of_a_composite(rule: str, zone: str) -> None:
    slo = slo_of(rule, zone)
    ledger = uneven(slo, rule)
    fact = budget(slo, ledger, (), NOW)
    (kept,) = month_report(state_of(slo), {"both": ledger}, "2026-10", now=NOW, time_zone=zone).promises
    assert fact.spent is not None and fact.spent > 0.05
    assert kept.month.sli == pytest.approx(fact.sli, abs=1e-9)
    assert kept.month.spent == pytest.approx(fact.spent, rel=1e-9)
    assert kept.month.allowed == pytest.approx(fact.allowed, rel=1e-9)
    assert kept.way is not None and kept.way.left[-1] == pytest.approx(fact.left, abs=1e-6)
    assert sum(day.spent or 0.0 for day in kept.days) == pytest.approx(fact.spent, abs=1e-6)
    assert forecast.of_ledger(slo, ledger, (), NOW).spent == pytest.approx(fact.spent, rel=1e-9)


def test_a_plain_promise_with_uneven_traffic_and_an_adjustment_too() -> None:
    slo = Slo("both", "service:shop", "ratio", 0.99, calendar=Calendar("month"))
    ledger = part(np.r_[np.full(600, 100), np.full(400, 1000)], np.r_[np.zeros(950), np.full(20, 0.3)])
    out = Adjustment("A-1", "exclude", "both", MONTH + 9 * DAY, MONTH + 10 * DAY, "ann", "moved house")
    for many in [(), (out,)]:
        state = replace(state_of(slo), adjustments=many)
        fact = budget(slo, ledger, many, NOW)
        (kept,) = month_report(state, {"both": ledger}, "2026-10", now=NOW).promises
        assert kept.month.sli == pytest.approx(fact.sli) and kept.month.spent == pytest.approx(fact.spent)
        assert forecast.of_ledger(slo, ledger, many, NOW).spent == fact.spent


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([WEIGHTED, ALL]),
    st.lists(
        st.lists(st.tuples(st.integers(0, 50), st.integers(0, 100)), min_size=1, max_size=40), min_size=1, max_size=3
    ),
    st.integers(1, 40),
)
def test_the_steps_of_a_window_add_up_to_it(rule: str, many: list[list[tuple[int, int]]], days: int) -> None:
    """Also where a part is a composite itself, and where parts have other rings."""
    kolkata = slo_of(rule, "Asia/Kolkata")
    ledgers = [
        part(np.array([n for n, _ in hours]), np.array([p for _, p in hours]) / 100, slo=kolkata if i else None)
        for i, hours in enumerate(many)
    ]
    inner = books.compose(WEIGHTED, [(one, 1.0 + i) for i, one in enumerate(ledgers)])
    made = books.compose(rule, [(inner, 1.0), *((one, 2.0) for one in ledgers)])
    since = max(MONTH + 18 * DAY - days * DAY, NOW - 33 * DAY)
    since -= since % DAY
    good, total = books.between(made, since, NOW)
    found = books.steps(made, since, NOW)
    assert np.all(np.diff(found.at) == found.seconds) and np.all(found.good <= found.total + 1e-9)
    assert found.total.sum() == pytest.approx(total, abs=1e-6)
    assert found.good.sum() == pytest.approx(good, abs=1e-6)
