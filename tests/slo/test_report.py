"""The facts of a month, against numbers worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.slo.accounts import account_of

from midwatch.core.slo.burndown import burn_down
from midwatch.core.slo.month import Account, Correction
from midwatch.core.slo.report import bad_steps, report
from midwatch.model.findings import Impact, Incident
from midwatch.model.slo import Slo
from midwatch.model.world import Change

SLO = Slo("pay", "service:payment", "ratio", 0.99, owner="team-pay")
HOUR, DAY = 3600.0, 86400.0


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


OCTOBER, NOVEMBER = at("2026-10-01"), at("2026-11-01")


def account(
    first: str, until: str, bad: dict[str, float] | None = None, per_hour: float = 10.0, **more: object
) -> Account:
    """``per_hour`` events in every hour of [first, until); in the hours of ``bad`` so many of them failed."""
    hours = np.arange(at(first), at(until), HOUR)
    total = np.full(hours.size, per_hour)
    good = total.copy()
    for when, count in (bad or {}).items():
        good[hours == at(when)] -= count
    given: dict[str, object] = {"first_at": at(first), "seen_until": at(until), **more}
    return account_of(SLO, hours, good, total, step_seconds=HOUR, **given)  # type: ignore[arg-type]


def test_a_whole_month_by_hand() -> None:
    # October has 744 hours of 10: 7,440 events, 1 % of them may fail: 74.4. 18 + 6 + 3 failed, and in September 36 of 72.
    bad = {"2026-09-10T04:00": 9.0, "2026-09-11T04:00": 9.0, "2026-09-12T04:00": 9.0, "2026-09-13T04:00": 9.0}
    bad |= {"2026-10-05T03:00": 9.0, "2026-10-05T04:00": 9.0, "2026-10-20T00:00": 6.0, "2026-10-31T23:00": 3.0}
    facts = report([account("2026-09-01", "2026-11-03", bad)], "2026-10", now=at("2026-11-03"))
    (kept,) = facts.promises
    assert (facts.start_at, facts.end_at, facts.over) == (OCTOBER, NOVEMBER, True)
    assert (kept.month.good, kept.month.total, kept.month.bad) == (7413.0, 7440.0, 27.0)
    assert kept.month.sli == pytest.approx(7413 / 7440) and kept.month.allowed == pytest.approx(74.4)
    assert kept.month.spent == pytest.approx(27 / 74.4) and kept.month.standing == "kept"
    assert kept.before is not None and kept.before.total == 7200.0 and kept.before.spent == pytest.approx(36 / 72)
    assert [(d.date, d.bad) for d in kept.worst] == [("2026-10-05", 18.0), ("2026-10-20", 6.0), ("2026-10-31", 3.0)]
    assert len(kept.days) == 31 and all(d.seen and d.total == 240.0 for d in kept.days)
    assert kept.days[4].spent == pytest.approx(18 / 74.4)
    assert kept.way is not None and kept.way.left[-1] == pytest.approx(1 - 27 / 74.4)
    assert kept.unknown == () and kept.month.whole and kept.before.whole


def test_what_is_over_the_budget_is_missed_and_comes_first() -> None:
    hours = {f"2026-10-05T{h:02}:00": 10.0 for h in range(8)}
    missed = account("2026-10-01", "2026-11-01", hours)
    fine = account_of(
        Slo("fine", "service:f", "ratio", 0.9), missed.at, missed.total, missed.total, step_seconds=HOUR,
        first_at=OCTOBER, seen_until=NOVEMBER,
    )  # fmt: skip
    facts = report([fine, missed], "2026-10", now=NOVEMBER + 60)
    assert [k.month.standing for k in facts.promises] == ["missed", "no errors"]
    assert facts.promises[0].month.spent == pytest.approx(80 / 74.4)
    assert facts.count("missed") == 1 and facts.count("kept", "no errors") == 1


def test_a_month_that_goes_on_has_the_budget_of_its_whole_length() -> None:
    # Ten days of 240 events: 2,400; the month will have 7,440, and may lose 74.4 of them.
    facts = report([account("2026-10-01", "2026-10-11", {"2026-10-02T00:00": 6.0})], "2026-10", now=at("2026-10-11"))
    (kept,) = facts.promises
    assert kept.month.allowed == pytest.approx(74.4) and kept.month.spent == pytest.approx(6 / 74.4)
    assert not facts.over and len(kept.days) == 10
    assert kept.unknown[0] == "The month is not over: 10.0 of 31 days have passed."
    assert "traffic seen so far" in kept.unknown[1]


def test_what_nobody_looked_at_is_said() -> None:
    late = account("2026-10-11", "2026-10-21", gap="its Prometheus refuses the connection")
    facts = report([late], "2026-10", now=at("2026-11-02"))
    (kept,) = facts.promises
    assert kept.unknown[0] == "Nothing is known before 11 Oct 00:00 (10.0 days of the month)."
    assert kept.unknown[1] == "No data since 21 Oct 00:00: its Prometheus refuses the connection."
    assert [d.seen for d in kept.days] == [False] * 10 + [True] * 10 + [False] * 11
    assert kept.month.covered_seconds == 10 * DAY and kept.month.allowed == pytest.approx(74.4)
    assert kept.before is None and not kept.month.whole


def test_no_data_no_traffic_and_no_errors_are_three_answers() -> None:
    empty = np.empty(0)
    unseen = account_of(SLO, empty, empty, empty, step_seconds=HOUR, first_at=NOVEMBER + 9, seen_until=NOVEMBER + 9)
    silent = account_of(SLO, empty, empty, empty, step_seconds=HOUR, first_at=OCTOBER, seen_until=NOVEMBER)
    clean = account("2026-10-01", "2026-11-01")
    months = [report([a], "2026-10", now=NOVEMBER + 10).promises[0].month for a in (unseen, silent, clean)]
    assert [m.standing for m in months] == ["no data", "no traffic", "no errors"]
    assert [(m.sli, m.spent) for m in months] == [(None, None), (None, None), (1.0, 0.0)]


def test_a_target_of_one_is_missed_by_one_failure() -> None:
    strict = Slo("never", "service:l", "ratio", 1.0)
    base = account("2026-10-01", "2026-11-01", {"2026-10-05T00:00": 1.0})
    broken = account_of(
        strict, base.at, base.good, base.total, step_seconds=HOUR, first_at=OCTOBER, seen_until=NOVEMBER
    )
    clean = account_of(
        strict, base.at, base.total, base.total, step_seconds=HOUR, first_at=OCTOBER, seen_until=NOVEMBER
    )
    found = [report([a], "2026-10", now=NOVEMBER).promises[0].month for a in (broken, clean)]
    assert [(m.standing, m.spent) for m in found] == [("missed", None), ("no errors", 0.0)]


def test_adjustments_count_and_the_raw_numbers_stay() -> None:
    given_back = Correction("given back", at("2026-10-05T03:00"), at("2026-10-05T04:00"), 9.0, 0.0, "anna", "a test")
    left_out = Correction("left out", at("2026-10-31T23:00"), at("2026-11-01T01:00"), -14.0, -20.0, "maria", "upgrade")
    bad = {"2026-10-05T03:00": 9.0, "2026-10-31T23:00": 3.0}
    facts = report(
        [account("2026-10-01", "2026-11-03", bad, corrections=(given_back, left_out))], "2026-10", now=at("2026-11-03")
    )
    (kept,) = facts.promises
    # The second one lies half in November, so half of it counts here: 7 good of 10 fewer.
    assert (kept.month.good, kept.month.total) == (7428.0 + 9.0 - 7.0, 7440.0 - 10.0)
    assert (kept.raw.good, kept.raw.total) == (7428.0, 7440.0)
    assert kept.month.spent == pytest.approx(0.0) and kept.raw.spent == pytest.approx(12 / 74.4)
    assert [c.by for c in kept.corrections] == ["anna", "maria"]
    steps = account("2026-10-01", "2026-11-03", bad).steps(OCTOBER, NOVEMBER)
    assert float(bad_steps(steps, [given_back]).sum()) == 3.0
    assert kept.days[4].bad == 9.0 and kept.days[4].spent == 0.0  # what was given back is no bad day


def test_days_and_months_are_local() -> None:
    # In Berlin, October 2026 begins at 22:00 UTC on 30 September and the clock goes back on the 25th: 745 hours.
    facts = report([account("2026-09-20", "2026-11-03")], "2026-10", now=at("2026-11-03"), time_zone="Europe/Berlin")
    (kept,) = facts.promises
    assert facts.start_at == at("2026-09-30T22:00") and facts.end_at == at("2026-10-31T23:00")
    assert kept.month.total == 7450.0 and kept.days[24].total == 250.0


def test_incidents_and_changes_of_the_month_find_their_promise() -> None:
    hit = Impact("service:payment", 0.2, 100, at("2026-10-05"), slo="pay")
    mine = Incident(
        "INC-1", at("2026-10-05"), at("2026-10-05"), 2, "pay fails", impact=hit, resolved_at=at("2026-10-05T02:00")
    )
    burning = Incident(
        "INC-2", NOVEMBER - 60, NOVEMBER - 60, 3, "still on", findings=("burn_rate|service:payment|pay/fast",)
    )
    other = Incident(
        "INC-3",
        at("2026-10-06"),
        at("2026-10-06"),
        3,
        "search",
        symptoms=("service:search",),
        resolved_at=at("2026-10-07"),
    )
    old = Incident("INC-0", at("2026-09-05"), at("2026-09-05"), 3, "old", impact=hit, resolved_at=at("2026-09-06"))
    changes = (
        Change("c1", at("2026-10-04"), "deploy", "service:payment"),
        Change("c2", at("2026-10-04"), "deploy", "service:x"),
    )
    facts = report(
        [account("2026-10-01", "2026-11-03")],
        "2026-10",
        incidents=(other, burning, mine, old),
        changes=changes,
        now=NOVEMBER,
    )
    assert [i.id for i in facts.incidents] == ["INC-1", "INC-3", "INC-2"] and len(facts.changes) == 2
    (kept,) = facts.promises
    assert [i.id for i in kept.incidents] == ["INC-1", "INC-2"] and [c.id for c in kept.changes] == ["c1"]


@pytest.mark.parametrize("month", ["2026-13", "October", "2026", "", "2026-1-1"])
def test_what_is_no_month_is_refused(month: str) -> None:
    with pytest.raises(ValueError, match="is no month"):
        report([], month, now=NOVEMBER)


def test_a_month_to_come_is_refused() -> None:
    with pytest.raises(ValueError, match="has not begun"):
        report([], "2026-12", now=NOVEMBER)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10)), min_size=20, max_size=120),
    st.integers(0, 19),
    st.integers(1, 120),
)
def test_the_way_of_a_budget_only_falls_and_ends_where_the_sums_say(
    counts: list[tuple[int, int]], since: int, days: int
) -> None:
    start = OCTOBER
    bad = np.array([float(b) for _, b in counts])
    times = start + DAY * np.arange(len(counts), dtype=np.float64)
    now = start + DAY * days
    line = burn_down(
        times, bad, 50.0, step_seconds=DAY, start_at=start, end_at=start + 90 * DAY, first_at=start + DAY * since,
        seen_until=start + DAY * len(counts), now=now,
    )  # fmt: skip
    assert np.isfinite(line.left).all() and (np.diff(line.left) <= 1e-12).all() and (np.diff(line.at) >= 0).all()
    if line.at.size:
        assert line.left[0] <= 1.0 and line.left[-1] == pytest.approx(
            1 - bad[times < min(now, start + 90 * DAY)].sum() / 50.0
        )
        assert line.at[-1] <= now


def test_a_gap_is_part_of_the_way() -> None:
    line = burn_down(
        np.array([OCTOBER + 5 * DAY]), np.array([3.0]), 10.0, step_seconds=HOUR, start_at=OCTOBER, end_at=NOVEMBER,
        first_at=OCTOBER + 4 * DAY, seen_until=OCTOBER + 10 * DAY, now=OCTOBER + 20 * DAY,
    )  # fmt: skip
    assert line.gaps == ((OCTOBER, OCTOBER + 4 * DAY), (OCTOBER + 10 * DAY, OCTOBER + 20 * DAY))
    assert line.at[0] == OCTOBER + 4 * DAY and line.at[-1] == OCTOBER + 10 * DAY and line.left[-1] == pytest.approx(0.7)
