"""Exports of other products, by hand after the formats that they document: who is on call afterwards is who was before."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from midwatch.adapters.importers import opsgenie, pagerduty
from midwatch.adapters.importers.common import Imported, from_minutes, minutes_of
from midwatch.core.oncall.schedule import on_call
from midwatch.faces.cli.app import app
from midwatch.model.people import WEEK_MINUTES, Level, People, Person, Target
from midwatch.shell.files.people import people_of
from midwatch.shell.files.people.times import windows as read_windows
from midwatch.shell.files.people_out import people_text, windows_text
from midwatch.shell.files.yaml_lines import parse

SAMPLES = Path(__file__).parent / "samples"
NOW = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
PRODUCTS = ("pagerduty", "opsgenie", "grafana_oncall")


def imported(product: str) -> Imported:
    documents = [json.loads(path.read_text("utf-8")) for path in sorted((SAMPLES / product).glob("*.json"))]
    made: Imported = import_module(f"midwatch.adapters.importers.{product}").read(documents, NOW, "post")
    return made


def at(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def who(people: People, schedule: str, moment: str) -> str:
    found = people.schedule(schedule)
    assert found is not None, [s.name for s in people.schedules]
    return on_call(people, found, (), at(moment))[0]


def said(made: Imported, *parts: str) -> bool:
    return any(all(part in str(one) for part in parts) for one in made.lost)


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_file_reads_back_as_what_was_imported(product: str) -> None:
    people = imported(product).people
    documents, problems = parse(people_text(people), "people.yaml")
    read, more = people_of(documents, NOW)
    assert not problems and not more, [str(p) for p in (*problems, *more)]
    assert read == people


@pytest.mark.parametrize("product", PRODUCTS)
def test_everybody_can_be_reached_by_mail(product: str) -> None:
    people = imported(product).people
    ana = people.person("ana")
    assert ana is not None and ana.zone == "Europe/Berlin"
    assert [(c.channel, c.to) for c in ana.contacts] == [("post", "ana@example.org")]
    assert people.known("ANA@example.org") == ana, "who answers there is the same person here"


def test_pagerduty() -> None:
    made = imported("pagerduty")
    people, primary = made.people, "payments-primary"
    assert who(people, primary, "2026-01-05T10:00+01:00") == "cy", "the first layer wins in its hours"
    assert who(people, primary, "2026-01-05T17:30+01:00") == "ana"
    assert who(people, primary, "2026-01-12T08:30+01:00") == "ana", "until nine"
    assert who(people, primary, "2026-01-12T18:00+01:00") == "bo"
    assert who(people, primary, "2026-07-06T08:59+02:00") == "bo", "hand-off stays at nine in summer"
    assert who(people, primary, "2026-07-06T17:01+02:00") == "ana"
    assert who(people, primary, "2026-12-25T12:00+01:00") == "bo", "an override"
    policy = people.escalation("payments")
    assert policy is not None and policy.rounds == 3
    assert policy.levels == (
        Level((Target("schedule", primary),), 300.0),
        Level((Target("person", "cy"), Target("person", "dee")), 900.0, in_turn=True),
    )
    payments = people.team("payments")
    assert payments is not None and payments.members == ("ana", "bo", "cy") and payments.escalation == "payments"
    assert payments.services == ("service:payment-api", "service:checkout")
    owner = people.owner("service:dns")
    assert owner is not None and owner.name == "core-platform"
    assert said(made, "Odd turns", "36 h") and said(made, "user ana", "phone") and said(made, "dee", "no time zone")
    assert len(made.lost) == 5, [str(one) for one in made.lost]


def test_opsgenie() -> None:
    made = imported("opsgenie")
    people = made.people
    assert who(people, "payments_schedule", "2026-01-07T10:00+01:00") == "ana"
    assert who(people, "payments_schedule", "2026-01-14T10:00+01:00") == "bo"
    assert who(people, "payments_schedule", "2026-01-10T10:00+01:00") == "cy", "the weekend is another rotation"
    assert who(people, "payments_schedule", "2026-12-25T10:00+00:00") == "cy", "an override"
    assert [who(people, "two-at-once-1", f"2026-03-03T{hour}:30Z") for hour in ("05", "14")] == ["ana", "bo"]
    assert [who(people, "two-at-once-2", f"2026-01-0{day}T23:00Z") for day in (1, 2, 3)] == ["cy", "bo", "cy"]
    assert who(people, "two-at-once-2", "2026-01-01T12:00Z") == ""
    policy = people.escalation("payments_escalation")
    assert policy is not None and policy.rounds == 4
    both = (Target("schedule", "two-at-once-1"), Target("schedule", "two-at-once-2"))
    assert policy.levels == (
        Level((Target("schedule", "payments_schedule"),), 300.0),
        Level(both, 600.0),
        Level((Target("team", "payments"), Target("person", "cy")), 600.0),
    )
    team = people.team("payments")
    assert team is not None and team.members == ("ana", "bo") and team.escalation == "payments_escalation"
    assert team.services == ("service:payment-api", "service:checkout")
    assert said(made, "two at once", "two-at-once-2") and said(made, "'off'", "switched off")
    assert said(made, "not closed") and len(made.lost) == 3


def test_grafana_oncall() -> None:
    made = imported("grafana_oncall")
    people = made.people
    assert who(people, "payments", "2026-01-06T10:00+01:00") == "bo", "the rotation starts with the second"
    assert who(people, "payments", "2026-01-13T10:00+01:00") == "ana"
    assert who(people, "payments", "2026-01-06T12:30+01:00") == "cy", "a higher level wins"
    assert who(people, "payments", "2026-01-10T12:30+01:00") == "bo", "but not on a Saturday"
    assert who(people, "payments", "2026-12-24T10:00+01:00") == "cy", "an event that does not come again"
    pairs = [[who(people, f"pairs-{n}", f"2026-01-0{day}T12:00Z") for n in (1, 2)] for day in (1, 2, 3)]
    assert pairs == [["ana", "bo"], ["cy", "ana"], ["ana", "bo"]]
    policy = people.escalation("payments")
    assert policy is not None and policy.rounds == 6
    assert policy.levels == (
        Level((Target("schedule", "payments"),), 300.0),
        Level((Target("schedule", "pairs-1"), Target("schedule", "pairs-2")), 900.0),
        Level((Target("person", "ana"), Target("person", "cy")), 60.0, in_turn=True),
    )
    team = people.team("payments")
    assert team is not None and team.members == ("ana", "bo") and team.services == ("service:payment-api",)
    assert said(made, "monthly") and said(made, "Feed", "iCalendar") and said(made, "trigger_webhook")
    assert said(made, "Pairs", "at once") and len(made.lost) == 4, [str(one) for one in made.lost]


# -- against what the products document, counted by hand --

HOUR, DAY = 3600, 86400
TURNS = st.sampled_from([6 * HOUR, 8 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY])
ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)
SPOT = st.integers(0, 200 * 24 * 4).map(lambda quarter: ANCHOR + timedelta(minutes=15 * quarter))
RESTRICTION = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["daily_restriction", "weekly_restriction"]),
        "start_day_of_week": st.integers(1, 7),
        "start_time_of_day": st.integers(0, 47).map(lambda half: f"{half // 2:02d}:{half % 2 * 30:02d}:00"),
        "duration_seconds": st.integers(1, 48).map(lambda half: half * 1800),
    }
)


def restricted(one: dict[str, Any], moment: datetime) -> bool:
    """As PagerDuty says: from its time of day (and day of the week) for its duration."""
    hour, minute, _ = map(int, one["start_time_of_day"].split(":"))
    for back in range(8):
        day = (moment - timedelta(days=back)).replace(hour=hour, minute=minute, second=0)
        if one["type"] == "weekly_restriction" and day.isoweekday() != one["start_day_of_week"]:
            continue
        if 0 <= (moment - day).total_seconds() < one["duration_seconds"]:
            return True
    return False


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), TURNS, SPOT, st.lists(RESTRICTION, max_size=3)), min_size=1, max_size=3),
    st.lists(SPOT, min_size=1, max_size=20),
)
def test_pagerduty_layers_by_its_own_arithmetic(layers: list[Any], spots: list[datetime]) -> None:
    users = [{"id": f"U{n}", "name": f"u{n}", "email": f"u{n}@example.org"} for n in range(4)]
    made = [
        {
            "name": f"layer {number}",
            "start": start.isoformat(),
            "rotation_virtual_start": start.isoformat(),
            "rotation_turn_length_seconds": turn,
            "users": [{"user": {"id": f"U{n}"}} for n in range(count)],
            "restrictions": hours,
        }
        for number, (count, turn, start, hours) in enumerate(layers)
    ]
    schedule = {"id": "S1", "name": "all", "time_zone": "UTC", "schedule_layers": made}
    read = pagerduty.read([{"users": users}, {"schedules": [schedule]}], ANCHOR.timestamp())
    assert not read.lost
    for spot in spots:
        if any(turn < DAY and spot < start and spot.date() == start.date() for _, turn, start, _ in layers):
            continue  # turns of hours begin with the midnight of their first day
        expected = ""
        for count, turn, start, hours in layers:
            if spot >= start and (not hours or any(restricted(one, spot) for one in hours)):
                expected = f"u{int((spot - start).total_seconds() // turn) % count}"
                break
        assert who(read.people, "all", spot.isoformat()) == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 6), st.integers(0, 47), st.integers(0, 6), st.integers(0, 47), SPOT)
def test_opsgenie_hours_of_the_week(first: int, start: int, last: int, end: int, spot: datetime) -> None:
    hours = {
        "startDay": opsgenie.DAYS[first], "startHour": start // 2, "startMin": start % 2 * 30,
        "endDay": opsgenie.DAYS[last], "endHour": end // 2, "endMin": end % 2 * 30,
    }  # fmt: skip
    rotation = {
        "name": "r", "startDate": "2025-01-06T00:00:00Z", "type": "weekly", "length": 1,
        "participants": [{"type": "user", "id": "u1", "username": "ana@example.org"}],
        "timeRestriction": {"type": "weekday-and-time-of-day", "restrictions": [hours]},
    }  # fmt: skip
    user = {"id": "u1", "username": "ana@example.org", "fullName": "Ana", "role": {}}
    schedule = {"id": "s1", "name": "s", "timezone": "UTC", "rotations": [rotation]}
    read = opsgenie.read([{"data": [user]}, {"data": [schedule]}], ANCHOR.timestamp())
    since = first * 1440 + start * 30
    length = (last * 1440 + end * 30 - since) % WEEK_MINUTES or WEEK_MINUTES
    now = spot.weekday() * 1440 + spot.hour * 60 + spot.minute
    assert (who(read.people, "s", spot.isoformat()) == "ana") == ((now - since) % WEEK_MINUTES < length)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, WEEK_MINUTES - 1), st.integers(1, WEEK_MINUTES)), max_size=4))
def test_hours_of_the_week_survive_being_written(many: list[tuple[int, int]]) -> None:
    covered = bytearray(WEEK_MINUTES)
    for start, length in many:
        for minute in range(start, start + length):
            covered[minute % WEEK_MINUTES] = 1
    windows = from_minutes(covered)
    again = [one for text in windows_text(windows) for one in read_windows(text)]
    if any(covered):
        assert minutes_of(windows) == minutes_of(again) == {m for m in range(WEEK_MINUTES) if covered[m]}


KEYS = sorted(
    {
        key
        for product in PRODUCTS
        for key in re.findall(
            r'"(\w+)"', Path(str(import_module(f"midwatch.adapters.importers.{product}").__file__)).read_text()
        )
    }
)
"""Every field that an importer looks for."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=20,
)


@pytest.mark.parametrize("product", PRODUCTS)
@settings(max_examples=60, deadline=None)
@given(documents=st.lists(JSON, max_size=4))
def test_whatever_is_in_the_files_it_never_breaks(product: str, documents: list[Any]) -> None:
    read = import_module(f"midwatch.adapters.importers.{product}").read
    assert isinstance(read(documents, NOW), Imported)


def test_on_the_command_line(tmp_path: Path) -> None:
    run, out = CliRunner(), tmp_path / "people" / "imported.yaml"
    made = run.invoke(
        app, ["import", "pagerduty", str(SAMPLES / "pagerduty"), "--out", str(out), "--email-channel", "post"]
    )
    assert made.exit_code == 1 and "4 people, 2 teams, 1 schedule, 2 escalations" in made.output
    assert out.parent.stat().st_mode & 0o777 == 0o700
    assert "Odd turns" in made.output and "  ana:" in out.read_text()
    again = run.invoke(app, ["import", "pagerduty", str(SAMPLES / "pagerduty"), "--out", str(out)])
    assert again.exit_code == 2 and "there already" in again.output
    nobody = run.invoke(app, ["import", "opsgenie", str(SAMPLES / "pagerduty")])
    assert nobody.exit_code == 2 and "no user" in nobody.output
    below = run.invoke(app, ["import", "pagerduty", str(SAMPLES / "pagerduty"), "--out", str(out / "x.yaml")])
    assert below.exit_code == 2 and "cannot be written" in below.output and "hint: --out" in below.output
    broken = tmp_path / "x.json"
    broken.write_text("{")
    assert run.invoke(app, ["import", "grafana-oncall", str(broken)]).exit_code == 2
    checked = run.invoke(app, ["check", str(out)])
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_team_of_which_the_export_names_nobody_has_whom_its_escalation_wakes(product: str) -> None:
    bare = []
    for path in sorted((SAMPLES / product).glob("*.json")):
        key = '"teams"' if path.name.startswith("user") else '"members"'  # where each product says it
        bare.append(json.loads(path.read_text("utf-8").replace(key, '"left_out"')))
    made = import_module(f"midwatch.adapters.importers.{product}").read(bare, NOW)
    for team in made.people.teams:
        assert said(
            made, f"team {team.name!r}", "those whom its escalation wakes" if team.members else "add its members"
        )
    assert any(team.members for team in made.people.teams), made.people.teams


def test_two_of_one_name_stay_two() -> None:
    users = [{"id": f"U{n}", "name": "Ana", "email": f"ana@{n}.example.org"} for n in range(2)]
    people = pagerduty.read([{"users": users}], NOW).people.people
    assert [p.ident for p in people] == ["ana", "ana-2"] and isinstance(people[0], Person)
