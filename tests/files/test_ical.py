"""iCalendar files as spans: whole days, zones, rules, exceptions, moved and cancelled ones; and our own feed read back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.model.people import Calendar
from midwatch.shell.files.people.ical import read_calendar
from midwatch.shell.files.yaml_lines import Problem

HORIZON = (datetime(2025, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
BERLIN = "Europe/Berlin"


def read(folder: Path, *events: str, zone: str = BERLIN) -> tuple[Calendar, list[Problem]]:
    text = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\n"
    for number, event in enumerate(events):
        uid = "" if "UID:" in event else f"UID:{number}\n"
        text += f"BEGIN:VEVENT\n{uid}{event}\nEND:VEVENT\n".replace("\n", "\r\n")
    path = folder / "c.ics"
    path.write_bytes((text + "END:VCALENDAR\r\n").encode())
    return read_calendar(path, "c", zone, HORIZON)


def begins(calendar: Calendar, zone: str = BERLIN) -> list[str]:
    return [datetime.fromtimestamp(s.start_at, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M") for s in calendar.spans]


def hours(calendar: Calendar) -> list[float]:
    return [(s.end_at - s.start_at) / 3600 for s in calendar.spans]


def test_a_whole_day_is_a_day_of_the_zone_and_holidays_marked_free_count(tmp_path: Path) -> None:
    calendar, wrong = read(
        tmp_path,
        "DTSTART;VALUE=DATE:20260329\nTRANSP:TRANSPARENT\nSUMMARY:Clocks",
        "DTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20261227",
    )
    assert not wrong and begins(calendar) == ["2026-03-29 00:00", "2026-12-24 00:00"]
    assert hours(calendar) == [23, 72] and calendar.spans[0].summary == "Clocks" and not calendar.known_until_at


def test_nine_oclock_stays_nine_oclock_and_rules_end(tmp_path: Path) -> None:
    calendar, wrong = read(
        tmp_path,
        "DTSTART;TZID=Europe/Berlin:20260327T220000\nDTEND;TZID=Europe/Berlin:20260328T060000\n"
        "RRULE:FREQ=DAILY;UNTIL=20260330T200000Z\nEXDATE;TZID=Europe/Berlin:20260327T220000",
    )
    assert not wrong and begins(calendar) == ["2026-03-28 22:00", "2026-03-29 22:00", "2026-03-30 22:00"]
    assert hours(calendar) == [8, 8, 8]
    assert calendar.known_until_at == HORIZON[1].timestamp()


def test_an_occurrence_that_was_moved_and_one_that_was_cancelled(tmp_path: Path) -> None:
    calendar, wrong = read(
        tmp_path,
        "UID:x\nDTSTART:20260105T090000Z\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;COUNT=3",
        "UID:x\nRECURRENCE-ID:20260112T090000Z\nDTSTART:20260113T150000Z\nDURATION:PT2H",
        "DTSTART:20260601T090000Z\nDURATION:PT1H\nSTATUS:CANCELLED",
        "DTSTART:20260602T090000Z\nDURATION:PT1H\nTRANSP:TRANSPARENT",
    )
    assert not wrong and begins(calendar, "UTC") == ["2026-01-05 09:00", "2026-01-13 15:00", "2026-01-19 09:00"]


def test_a_floating_time_is_the_zones_and_extra_dates_count(tmp_path: Path) -> None:
    calendar, wrong = read(tmp_path, "DTSTART:20260701T100000\nDURATION:PT1H\nRDATE:20260703T100000,20260705T100000")
    assert not wrong and begins(calendar) == ["2026-07-01 10:00", "2026-07-03 10:00", "2026-07-05 10:00"]


def test_a_rule_without_end_is_cut_at_the_horizon_and_an_old_one_begins_there(tmp_path: Path) -> None:
    calendar, wrong = read(tmp_path, "DTSTART;VALUE=DATE:19700101\nRRULE:FREQ=YEARLY")
    years = (2025, 2026, 2027, 2028)  # the last one begins in 2027, where the horizon is
    assert not wrong and begins(calendar) == [f"{year}-01-01 00:00" for year in years]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("SUMMARY:nothing", "'nothing' cannot be read"),
        ("DTSTART:20260101T000000Z\nRRULE:FREQ=SECONDLY", "it repeats more often than daily"),
        ("DTSTART:20260101T000000Z\nDTEND;VALUE=DATE:20260102", "begins on a day and ends at a time"),
        ("DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=DAILY;INTERVAL=0", "without ever moving on"),
    ],
)
@pytest.mark.timeout(20)
def test_what_cannot_be_read_is_named_and_the_rest_is_taken(tmp_path: Path, event: str, said: str) -> None:
    calendar, wrong = read(tmp_path, event, "DTSTART:20260601T090000Z\nDURATION:PT1H")
    assert len(wrong) == 1 and said in wrong[0].message
    assert begins(calendar, "UTC") == ["2026-06-01 09:00"]


def test_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "c.ics"
    path.write_bytes(b"\x00\xff not a calendar")
    assert "is no iCalendar file" in read_calendar(path, "c", BERLIN, HORIZON)[1][0].message
    assert "cannot be read" in read_calendar(tmp_path / "gone.ics", "c", BERLIN, HORIZON)[1][0].message


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet="BEGIN:VCALDRTUSXY\r\n;=0129ZPWT,", max_size=200))
def test_no_text_breaks_it(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.ics"
    path.write_text(f"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n{text}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n", "utf-8")
    calendar, wrong = read_calendar(path, "c", BERLIN, HORIZON)
    assert all(s.start_at < s.end_at for s in calendar.spans) and all(isinstance(p, Problem) for p in wrong)
