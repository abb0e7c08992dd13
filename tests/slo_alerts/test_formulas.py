"""The arithmetic of alerts: the table of the Workbook, the guards, and what can never fire."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from midwatch.core.slo.formulas import gone_seconds, row, table
from midwatch.core.slo.tiers import GUARDED, NO_RULES, TEXTBOOK, AlertPolicy, chosen, in_force, scaled, share, tiers_of
from midwatch.model.policy import Policy
from midwatch.model.slo import STANDARD_TIERS, AlertRules, BurnTier, Slo

SLO = Slo("s", "service:gateway", "ratio", 0.999)
FAST, SLOW, DAY, TICKET = STANDARD_TIERS
PUBLISHED = {  # minutes to detect and to fall silent at 99.9 % over 30 days (FINDINGS, and the Workbook's own figures)
    (1.0, "fast"): (0.9, 4.9),
    (1.0, "slow"): (2.2, 30),
    (1.0, "day"): (4.3, 120),
    (1.0, "ticket"): (4.3, 360),
    (0.1, "fast"): (8.6, 4.3),
    (0.1, "slow"): (22, 28),
    (0.1, "day"): (43, 116),
    (0.1, "ticket"): (43, 356),
    (0.01, "fast"): None,
    (0.01, "slow"): (216, 12),
    (0.01, "day"): (432, 84),
    (0.01, "ticket"): (432, 324),
    (0.003, "fast"): None,
    (0.003, "slow"): None,
    (0.003, "day"): None,
    (0.003, "ticket"): (1440, 240),
}


def test_the_published_table_comes_out() -> None:
    rows = {(r.error_ratio, r.tier): r for r in table(SLO, TEXTBOOK)}
    assert set(rows) == set(PUBLISHED)
    for cell, times in PUBLISHED.items():
        found = rows[cell]
        if times is None:
            assert (found.state, found.detect_seconds) == ("never", None)
            assert "allows" in found.why
        else:
            assert found.detect_seconds is not None and found.reset_seconds is not None
            assert found.detect_seconds / 60 == pytest.approx(times[0], rel=0.02, abs=0.05)
            assert found.reset_seconds / 60 == pytest.approx(times[1], rel=0.02, abs=0.05)
    assert [gone_seconds(SLO, e) / 60 for e in (1.0, 0.1)] == pytest.approx([43.2, 432])


def test_what_is_spent_at_firing_is_the_tiers_share_whatever_the_errors() -> None:
    for ratio in (1.0, 0.1, 0.02):
        assert row(SLO, FAST, NO_RULES, ratio, None).spent == pytest.approx(0.02)


def test_a_tier_above_all_requests_is_dead() -> None:
    found = row(replace(SLO, target=0.9), FAST, NO_RULES, 1.0, 100.0)
    assert found.state == "dead" and found.detect_seconds is None


def test_the_guard_waits_for_five_failures_where_a_single_one_would_do() -> None:
    textbook = row(SLO, FAST, NO_RULES, 1.0, 1.0)
    guarded = row(SLO, FAST, AlertRules(), 1.0, 1.0)
    assert textbook.detect_seconds is not None and textbook.detect_seconds < 60
    assert guarded.detect_seconds == pytest.approx((5 - 1 / 3) * 60)
    assert row(SLO, FAST, AlertRules(), 1.0, 0.05).state == "never", "three requests an hour never hold five failures"


def test_for_and_the_next_look_are_counted_in() -> None:
    at_once = row(SLO, FAST, AlertRules(interval_seconds=60.0), 0.1, 1000.0)
    later = row(SLO, FAST, AlertRules(for_seconds=90.0, interval_seconds=60.0), 0.1, 1000.0)
    assert at_once.detect_seconds is not None and later.detect_seconds is not None
    assert later.detect_seconds - at_once.detect_seconds == 120.0, "whole intervals"
    assert later.detect_by_seconds == later.detect_seconds + 60.0


def test_the_outage_rule_counts_failures_not_minutes() -> None:
    rows = {(r.error_ratio, r.tier): r for r in table(SLO, GUARDED, 600.0)}
    assert rows[1.0, "outage"].failures == 5
    assert rows[1.0, "outage"].detect_seconds == pytest.approx(0.4667, rel=0.01)
    assert rows[0.1, "outage"].state == "never"
    loose = {r.tier: r for r in table(replace(SLO, target=0.92), GUARDED, 600.0, (1.0,))}
    assert loose["outage"].failures == 9, "where a twelfth may fail, five in a row prove less"


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(STANDARD_TIERS),
    st.floats(0.9, 0.9999),
    st.floats(1e-4, 1.0),
    st.floats(0.05, 50.0),
    st.one_of(st.none(), st.floats(0.01, 1e5)),
)
def test_more_errors_are_never_found_later(
    tier: BurnTier, target: float, ratio: float, more: float, per_minute: float | None
) -> None:
    slo = replace(SLO, target=target)
    one, two = (row(slo, tier, AlertRules(), e, per_minute) for e in (ratio, min(1.0, ratio * (1 + more))))
    assert (one.detect_seconds is None) == (one.state != "fires")
    if one.detect_seconds is not None:
        assert two.detect_seconds is not None and two.detect_seconds <= one.detect_seconds + 1e-6
        assert one.reset_seconds is not None and 0 <= one.reset_seconds <= tier.short_seconds


def test_a_tier_keeps_its_share_of_another_periods_budget() -> None:
    week = scaled(STANDARD_TIERS, 7 * 86400.0)
    assert [t.name for t in week] == ["fast", "slow", "day", "ticket"]
    assert week[0].factor == pytest.approx(3.36) and share(week[0], 7 * 86400.0) == pytest.approx(0.02)
    assert [t.factor for t in week[2:]] == [1.0, 1.0], "below 1 the promise is kept"
    assert [t.name for t in scaled(STANDARD_TIERS, 86400.0)] == ["fast", "slow"], "a window as long as the period"
    assert scaled(STANDARD_TIERS, 30 * 86400.0) == STANDARD_TIERS


def test_what_the_promise_says_itself_is_taken_as_written() -> None:
    own = (BurnTier("own", 2.0, 3600, 300, True),)
    slo = replace(SLO, tiers=own, period_seconds=7 * 86400.0)
    assert tiers_of(slo, STANDARD_TIERS) == own
    assert in_force(slo, Policy()).tiers_for(slo) == own
    assert tiers_of(replace(slo, tiers=()), STANDARD_TIERS) == (), "a promise may want no alert at all"


def test_tiers_are_chosen_and_switched_off_by_name() -> None:
    assert chosen(STANDARD_TIERS, off=["day", "ticket"]) == (FAST, SLOW)
    assert chosen(STANDARD_TIERS, only=["ticket", "fast"]) == (FAST, TICKET)
    with pytest.raises(ValueError, match="no such tier: quick"):
        chosen(STANDARD_TIERS, only=["quick"])


def test_a_policy_without_rules_has_no_outage_row() -> None:
    assert {r.tier for r in table(SLO, AlertPolicy("x", rules=NO_RULES), 10.0)} == {"fast", "slow", "day", "ticket"}
    queue = Slo("q", "queue:orders", "freshness", 0.99)
    assert "outage" not in {r.tier for r in table(queue, GUARDED, 10.0)}, "looks at one queue are not failures"
