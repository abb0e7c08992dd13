"""Calendar windows against a clock that is read minute by minute."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.core.slo.calendar import boundary, period, periods
from midwatch.model.indicators import Calendar

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana", "Africa/Cairo",
    "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham", "Pacific/Apia", "America/St_Johns",
    "Africa/Casablanca", "Asia/Tehran",
)  # fmt: skip
UNITS = ("day", "week", "month", "quarter", "year")
STARTS = ("", "2024-02-29T00:00:00", "2024-01-31", "2019-10-27T02:30:00", "2021-03-28 02:15", "2020-12-31T23:45:00")
YEARS_2000_TO_2035 = st.floats(946_684_800, 2_051_222_400)

calendars = st.builds(
    Calendar,
    unit=st.sampled_from(UNITS),
    count=st.integers(1, 4),
    time_zone=st.sampled_from(ZONES),
    start=st.sampled_from(STARTS),
)


def wall(at: float, zone: str) -> datetime:
    return datetime.fromtimestamp(at, ZoneInfo(zone)).replace(tzinfo=None)


def first_shown(local: datetime, zone: str) -> float:
    """The first minute at which the zone's clock shows ``local``; where it is jumped over, as much later than the jump."""
    middle = local.replace(tzinfo=UTC).timestamp()
    # Hours first, minutes only in the hours around it: a clock is read some 300 times.
    hours = [middle + 3600.0 * n for n in range(-27, 27)]
    near = [at for at in hours if abs((wall(at, zone) - local).total_seconds()) <= 2 * 3600]
    if near:
        every = [min(near) - 3600.0 + 60.0 * n for n in range(round((max(near) - min(near)) / 60) + 180)]
        shown = [at for at in every if wall(at, zone) == local]
        if shown:
            return shown[0]
    before = max(at for at in hours if wall(at, zone) < local)
    return before + (local - wall(before, zone)).total_seconds()


def starts_near(calendar: Calendar, around: datetime) -> list[datetime]:
    """Local starts of periods around a moment, oldest first, stepped to one by one from the anchor."""
    begin = datetime.fromisoformat(calendar.start) if calendar.start else datetime(1970, 1, 1)
    if calendar.unit == "week" and not calendar.start:
        begin = datetime(1970, 1, 5)
    months = {"month": 1, "quarter": 3, "year": 12}.get(calendar.unit)
    if months is None:
        length = timedelta(days=calendar.count * (7 if calendar.unit == "week" else 1))
        local = begin
        while local > around:
            local -= length
        while local + length <= around:
            local += length
        return [local + n * length for n in range(-2, 4)]
    found = []
    number = 0
    step = months * calendar.count
    before, after = around - timedelta(days=31 * step * 2 + 3), around + timedelta(days=31 * step * 2 + 3)
    while number > -1000:  # back to before, from the anchor
        if _months_later(begin, number * step) < before:
            break
        number -= 1
    while _months_later(begin, number * step) < after:
        found.append(_months_later(begin, number * step))
        number += 1
    return [local for local in found if local > before]


def _months_later(begin: datetime, months: int) -> datetime:
    year, month = begin.year, begin.month
    for _ in range(abs(months)):
        month += 1 if months > 0 else -1
        year, month = (year + 1, 1) if month == 13 else (year - 1, 12) if month == 0 else (year, month)
    return begin.replace(year=year, month=month, day=min(begin.day, monthrange(year, month)[1]))


@settings(max_examples=40, deadline=None)
@given(calendars, YEARS_2000_TO_2035)
def test_the_period_is_between_two_boundaries_that_the_wall_clock_shows(calendar: Calendar, now: float) -> None:
    start, end = period(calendar, now)
    assert start <= now < end
    here = wall(now, calendar.time_zone)
    instants = {first_shown(local, calendar.time_zone) for local in starts_near(calendar, here)}
    assert start in instants
    assert end in instants
    assert not any(start < instant < end for instant in instants)


@settings(max_examples=100, deadline=None)
@given(calendars, YEARS_2000_TO_2035)
def test_periods_follow_each_other_without_gap_or_overlap(calendar: Calendar, now: float) -> None:
    start, end = period(calendar, now)
    assert period(calendar, start) == (start, end), "the start belongs to it"
    assert period(calendar, end)[0] == end, "the end belongs to the next one"
    assert period(calendar, start - 0.001)[1] == start
    found = periods(calendar, start, end + 3 * (end - start))
    assert all(one[1] == other[0] for one, other in pairwise(found))


@pytest.mark.parametrize(
    ("calendar", "now", "start", "hours"),
    [
        (Calendar("day", 1, "Europe/Berlin"), "2026-03-29T12:00:00+02:00", "2026-03-29T00:00:00+01:00", 23),
        (Calendar("day", 1, "Europe/Berlin"), "2026-10-25T12:00:00+01:00", "2026-10-25T00:00:00+02:00", 25),
        (Calendar("week", 1, "America/New_York"), "2026-03-08T12:00:00-04:00", "2026-03-02T00:00:00-05:00", 7 * 24 - 1),
        (Calendar("month"), "2028-02-29T23:59:59+00:00", "2028-02-01T00:00:00+00:00", 29 * 24),
        (Calendar("month", 1, "Asia/Kolkata"), "2026-12-31T18:30:00+00:00", "2027-01-01T00:00:00+05:30", 31 * 24),
        (Calendar("quarter", 1, "UTC"), "2026-02-10T00:00:00+00:00", "2026-01-01T00:00:00+00:00", 90 * 24),
        (Calendar("year", 1, "UTC", "2024-02-29"), "2025-03-01T00:00:00+00:00", "2025-02-28T00:00:00+00:00", 365 * 24),
        # Midnight is jumped over in São Paulo on 4 November 2018: the day begins at one.
        (Calendar("day", 1, "America/Sao_Paulo"), "2018-11-04T12:00:00-02:00", "2018-11-04T01:00:00-02:00", 23),
        # Samoa never had 30 December 2011.
        (Calendar("day", 1, "Pacific/Apia"), "2011-12-31T12:00:00+14:00", "2011-12-31T00:00:00+14:00", 24),
    ],
)
def test_known_days(calendar: Calendar, now: str, start: str, hours: int) -> None:
    begin, end = period(calendar, datetime.fromisoformat(now).timestamp())
    assert begin == datetime.fromisoformat(start).timestamp()
    assert end - begin == hours * 3600


def test_the_last_of_a_month_stays_the_last_after_a_short_one() -> None:
    calendar = Calendar("month", 1, "UTC", "2024-01-31")
    days = [datetime.fromtimestamp(boundary(calendar, n), UTC).day for n in range(6)]
    assert days == [31, 29, 31, 30, 31, 30]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(KeyError):
        period(Calendar("day", 1, "Mars/Olympus"), 0.0)
    with pytest.raises(ValueError, match="soon"):
        period(Calendar("day", 1, "UTC", "soon"), 0.0)
