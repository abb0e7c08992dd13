"""Schedules against a brute-force oracle: a clock on the wall that is looked at every minute, over five years and the
zones with the oddest changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from midwatch.core.oncall.schedule import on_call, shifts
from midwatch.core.oncall.wall import reached, shown
from midwatch.model.people import Calendar, Layer, Override, People, Rotation, Schedule, Span, Window

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour
    "Antarctica/Troll",  # two hours
    "America/Santiago",  # at midnight
    "Africa/Casablanca",  # off during Ramadan
    "Pacific/Apia",  # lost a day in 2011
    "Asia/Pyongyang",
    "America/Caracas",
)
PEOPLE = ("ana", "ben", "cleo")
START = datetime(2011, 1, 1, tzinfo=UTC).timestamp()
YEARS = 5 * 366 * 86400
MINUTES = st.integers(0, 24 * 60 - 1)
zones = st.sampled_from(ZONES)


def changes(zone: str) -> list[float]:
    """Every change of the offset from 2010 to 2026, to the minute."""
    tz = ZoneInfo(zone)
    found: list[float] = []
    at = datetime(2010, 1, 1, tzinfo=UTC).timestamp()
    before = datetime.fromtimestamp(at, tz).utcoffset()
    while at < datetime(2027, 1, 1, tzinfo=UTC).timestamp():
        at += 3600
        offset = datetime.fromtimestamp(at, tz).utcoffset()
        if offset != before:
            low, high = at - 3600, at
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (
                    (middle, high) if datetime.fromtimestamp(middle, tz).utcoffset() == before else (low, middle)
                )
            found.append(high)
            before = offset
    return found


CHANGES = {zone: changes(zone) or [START] for zone in ZONES}


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, float]:
    """A zone, and a moment that lies within two days of one of its changes as often as not."""
    zone = draw(zones)
    if draw(st.booleans()):
        return zone, draw(st.sampled_from(CHANGES[zone])) + draw(st.integers(-2 * 86400, 2 * 86400))
    return zone, START + draw(st.integers(0, YEARS))


@settings(max_examples=1000, deadline=None)
@given(moments(), st.integers(-3000, 3000))
def test_the_clock_has_shown_a_time_exactly_since_it_was_reached(where: tuple[str, float], minutes: int) -> None:
    zone, at = where
    wall = shown(at, zone).replace(second=0, microsecond=0) + timedelta(minutes=minutes)
    assert (shown(at, zone) >= wall) == (at >= reached(wall, zone))
    assert reached(wall, zone) <= reached(wall + timedelta(minutes=1), zone)
    assert shown(reached(wall, zone), zone) >= wall


@pytest.mark.parametrize(
    ("zone", "wall", "utc"),
    [
        ("Europe/Berlin", "2026-03-29T02:30", "2026-03-29T01:00"),  # jumped over: at the jump
        ("Europe/Berlin", "2026-03-29T03:00", "2026-03-29T01:00"),
        ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30"),  # twice: the first time
        ("Europe/Berlin", "2026-10-25T03:00", "2026-10-25T02:00"),
        ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T10:00"),  # a day that never was
        ("America/Santiago", "2025-09-07T00:00", "2025-09-07T04:00"),  # a midnight that never was
    ],
)
def test_odd_hours(zone: str, wall: str, utc: str) -> None:
    assert reached(datetime.fromisoformat(wall), zone) == datetime.fromisoformat(utc + "Z").timestamp()


class Oracle:
    """Walks minute by minute with the clock's highest reading so far, and counts hand-offs as it passes them."""

    def __init__(self, people: People, schedule: Schedule, overrides: tuple[Override, ...], since: float) -> None:
        self.people, self.schedule, self.overrides = people, schedule, overrides
        self.zone = ZoneInfo(schedule.zone)
        self.counted: dict[tuple[Layer, date], int] = {}
        self.at = since - 3 * 86400  # long enough before, so that a reading from before a change is forgotten
        self.high = datetime.fromtimestamp(self.at, self.zone).replace(tzinfo=None, fold=0)

    def go_to(self, at: float) -> str:
        while self.at < at:
            self.at += 60
            local = datetime.fromtimestamp(self.at, self.zone).replace(tzinfo=None, fold=0)
            self.high = max(self.high, local)
        return self.who()

    def who(self) -> str:
        calendar = self.people.calendar(self.schedule.holidays)
        holiday = any(s.start_at <= self.at < s.end_at for s in calendar.spans) if calendar else False
        person = next((p for layer in self.schedule.layers if (p := self.layer(layer, holiday))), "")
        for one in self.overrides:
            if one.start_at <= self.at < one.end_at and (not one.instead_of or one.instead_of == person):
                person = one.person
        return person

    def layer(self, layer: Layer, holiday: bool) -> str:
        if (layer.holidays == "off" and holiday) or (layer.holidays == "only" and not holiday):
            return ""
        if layer.ends_on and self.high.date().isoformat() >= layer.ends_on:
            return ""
        minute = self.high.weekday() * 1440 + self.high.hour * 60 + self.high.minute
        if layer.windows and not any(self.in_window(w, minute) for w in layer.windows):
            return ""
        turns = self.before(layer, self.high.date())
        if (self.high.date() - date.fromisoformat(layer.rotation.starts_on)).days % layer.rotation.every_days == 0:
            turns += sum(at <= self.high.hour * 60 + self.high.minute for at in layer.rotation.at)
        return layer.rotation.people[(turns - 1) % len(layer.rotation.people)] if turns > 0 else ""

    def before(self, layer: Layer, today: date) -> int:
        """Hand-offs on the days before this one, counted day by day; far below nought before the first."""
        if (layer, today) not in self.counted:
            day, turns = date.fromisoformat(layer.rotation.starts_on), 0
            while day < today:
                turns += len(layer.rotation.at)
                day += timedelta(days=layer.rotation.every_days)
            self.counted[layer, today] = turns if today >= date.fromisoformat(layer.rotation.starts_on) else -100
        return self.counted[layer, today]

    @staticmethod
    def in_window(window: Window, minute: int) -> bool:
        if window.start < window.end:
            return minute in range(window.start, window.end)
        return minute in range(window.start, 7 * 1440) or minute in range(window.end)


@st.composite
def layers(draw: st.DrawFn, near: float) -> Layer:
    days = datetime.fromtimestamp(near, UTC).date()
    rotation = Rotation(
        people=tuple(draw(st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=3))),
        starts_on=(days - timedelta(days=draw(st.integers(-2, 400)))).isoformat(),
        every_days=draw(st.sampled_from((1, 2, 7, 14))),
        at=tuple(sorted(draw(st.sets(MINUTES, min_size=1, max_size=3)))),
    )
    week = st.integers(0, 7 * 1440 - 1)
    windows = draw(st.lists(st.builds(Window, week, week), max_size=2))
    ends = draw(st.none() | st.integers(-2, 4))
    return Layer(
        "layer",
        rotation,
        tuple(windows),
        draw(st.sampled_from(("as_usual", "off", "only"))),
        (days + timedelta(days=ends)).isoformat() if ends is not None else "",
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[People, Schedule, tuple[Override, ...], float, float]:
    zone, near = draw(moments())
    since = float(int(near) // 60 * 60 - draw(st.integers(0, 30)) * 3600)
    until = since + draw(st.integers(1, 72)) * 3600

    def minute() -> float:
        return since + 60.0 * draw(st.integers(-300, 3000))

    made = tuple(draw(st.lists(layers(near), min_size=1, max_size=3)))

    def begins(most: int) -> list[float]:
        return [minute() for _ in range(draw(st.integers(0, most)))]

    long = st.integers(1, 2000)
    spans = tuple(Span(a, a + 60.0 * draw(long)) for a in begins(2))
    who, relieved = st.sampled_from(("", *PEOPLE)), st.sampled_from(("", "ana"))
    overrides = tuple(Override("s", draw(who), a, a + 60.0 * draw(long), draw(relieved)) for a in begins(3))
    schedule = Schedule("s", zone, made, (), "holidays")
    return People(schedules=(schedule,), calendars=(Calendar("holidays", spans),)), schedule, overrides, since, until


@settings(max_examples=200, deadline=None)
@given(cases())
def test_shifts_are_what_a_clock_on_the_wall_says(
    case: tuple[People, Schedule, tuple[Override, ...], float, float],
) -> None:
    people, schedule, overrides, since, until = case
    found = shifts(people, schedule, overrides, since, until)
    assert found[0].start_at == since and found[-1].end_at == until
    assert all(a.end_at == b.start_at for a, b in pairwise(found)), "a gap or an overlap"
    assert all(s.start_at < s.end_at for s in found)
    oracle = Oracle(people, schedule, overrides, since)
    at, ahead = since, list(found)
    while at < until:
        while ahead[0].end_at <= at:
            ahead.pop(0)
        who = oracle.go_to(at)
        assert ahead[0].person == who, f"{datetime.fromtimestamp(at, UTC)} {schedule.zone}"
        assert on_call(people, schedule, overrides, at)[0] == who
        at += 60


WEEKLY = Schedule("s", "Europe/Berlin", (Layer("week", Rotation(PEOPLE, "2026-01-05")),))


def utc(text: str) -> float:
    return datetime.fromisoformat(text + "Z").timestamp()


def test_a_weekly_hand_off_stays_at_nine_over_a_change_of_the_clocks() -> None:
    found = shifts(People(), WEEKLY, (), utc("2026-03-16T08:00"), utc("2026-04-06T07:00"))
    assert [(s.person, s.start_at) for s in found] == [
        ("ben", utc("2026-03-16T08:00")),
        ("cleo", utc("2026-03-23T08:00")),
        ("ana", utc("2026-03-30T07:00")),
    ]
    assert found[1].seconds == 7 * 86400 - 3600


@example(24)
@given(st.integers(1, 200))
@settings(max_examples=30, deadline=None)
def test_every_week_has_one_shift_and_they_differ(weeks: int) -> None:
    since = reached(datetime(2026, 1, 5, 9), "Europe/Berlin")
    until = reached(datetime(2026, 1, 5, 9) + timedelta(weeks=weeks), "Europe/Berlin")
    assert [s.person for s in shifts(People(), WEEKLY, (), since, until)] == [PEOPLE[i % 3] for i in range(weeks)]


def test_an_override_instead_of_somebody_relieves_nobody_else_and_a_later_one_goes_first() -> None:
    start, end = utc("2026-01-10T00:00"), utc("2026-01-14T00:00")  # ana until the 12th, 08:00 UTC, then ben
    swap = Override("s", "cleo", start, end, instead_of="ana", ident="OVR-1")
    found = shifts(People(), WEEKLY, (swap,), start, end)
    assert [(s.person, s.why) for s in found] == [("cleo", "override OVR-1"), ("ben", "week")]
    nobody = Override("s", "", start + 3600, start + 7200, ident="OVR-2")
    assert [s.person for s in shifts(People(), WEEKLY, (swap, nobody), start, end)] == ["cleo", "", "cleo", "ben"]


def test_nobody_before_the_first_hand_off_and_after_the_last_day() -> None:
    layer = Layer("short", Rotation(("ana",), "2026-01-05"), ends_on="2026-01-07")
    schedule = Schedule("s", "UTC", (layer,))
    found = shifts(People(), schedule, (), utc("2026-01-04T00:00"), utc("2026-01-09T00:00"))
    assert [(s.person, s.start_at) for s in found] == [
        ("", utc("2026-01-04T00:00")),
        ("ana", utc("2026-01-05T09:00")),
        ("", utc("2026-01-07T00:00")),
    ]
