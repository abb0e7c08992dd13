"""People files: what they may say, what is refused with its line, what Backstage adds."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from midwatch.core.oncall.lint import flaws
from midwatch.model.errors import ConfigError
from midwatch.model.people import Contact, Target, Window
from midwatch.model.state import State
from midwatch.shell import files
from midwatch.shell.files.people.times import minute, windows

TEAM = """
people:
  ana: {name: Ana Alvarez, zone: Europe/Berlin, contacts: [{channel: phone, to: {env: ANA_PHONE}}, chat], away: ana.ics}
  ben: {zone: America/New_York, contacts: [phone]}
teams:
  shop: {members: [ana, ben], services: [payment, "database:shop-db"], escalation: shop}
schedules:
  shop:
    zone: Europe/Berlin
    holidays: ana.ics
    layers:
      - {name: weekdays, people: [ana, ben], starts_on: 2026-01-05, at: ["09:00", 17:00], windows: [mon-fri 09:00-17:00]}
      - {people: [ben], starts_on: 2026-01-05, every: 1d, holidays: only, ends_on: 2027-01-01}
    overrides:
      - {person: ben, start: 2026-12-24T12:00:00+01:00, end: 2026-12-26T12:00:00+01:00, instead_of: ana, reason: Christmas}
escalations:
  shop:
    levels:
      - {wake: [schedule: shop], wait: 5m, repeats: 1}
      - {wake: ["team:shop", "person:ana"], wait: 10m, in_turn: true, at_once: 1}
    rounds: 2
    ack_expires: 30m
catch_all: shop
"""
ICS = """BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VEVENT
UID:1
DTSTART;VALUE=DATE:20261224
RRULE:FREQ=YEARLY
SUMMARY:Away
END:VEVENT
END:VCALENDAR
"""


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    (folder / "ana.ics").write_text(ICS)
    return folder


def problems(folder: Path) -> list[str]:
    return [f"{p.line} {p.key}: {p.message}" for p in files.check([folder])]


def test_everything_that_a_people_file_says(tmp_path: Path) -> None:
    policy, sources = files.load([write(tmp_path, team=TEAM)])
    people = policy.people
    ana = people.person("ana")
    assert ana is not None and ana.contacts == (Contact("phone", "env:ANA_PHONE"), Contact("chat"))
    assert people.owner("service:payment") == people.owner("database:shop-db") == people.team("shop")
    (schedule,) = people.schedules
    weekdays, rest = schedule.layers
    assert weekdays.rotation.at == (540, 1020) and len(weekdays.windows) == 5
    assert (rest.name, rest.rotation.every_days, rest.holidays, rest.ends_on) == ("layer 2", 1, "only", "2027-01-01")
    assert (
        schedule.overrides[0].instead_of == "ana"
        and schedule.overrides[0].end_at - schedule.overrides[0].start_at == 172800
    )
    (ladder,) = people.escalations
    assert ladder.levels[0].targets == (Target("schedule", "shop"),) and ladder.levels[1].in_turn
    assert (ladder.rounds, ladder.ack_seconds, ladder.levels[1].at_once) == (2, 1800.0, 1)
    assert [c.name for c in people.calendars] == ["ana.ics in Europe/Berlin"]
    assert people.calendars[0].spans[0].end_at - people.calendars[0].spans[0].start_at == 86400
    assert sources == (str(tmp_path / "team.yaml"),)


def test_without_people_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / "midwatch.yaml").write_text("mode: ask\n")
    assert not files.load([tmp_path])[0].people.people


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("members: [ana, ben]", "members: [ana, bob]", "6 teams.shop.members: there is no person 'bob'"),
        ("escalation: shop}", "escalation: shp}", "6 teams.shop.escalation: there is no escalation 'shp'"),
        ("catch_all: shop", "catch_all: all", "23 catch_all: there is no team 'all'"),
        ("zone: America/New_York", "zone: America/Gotham", "4 people.ben.zone: 'America/Gotham' is no time zone"),
        (
            "starts_on: 2026-01-05, every",
            "starts_on: soon, every",
            "13 schedules.shop.layers[1].starts_on: 'soon' is no date",
        ),
        ("mon-fri 09:00-17:00", "weekdays", "12 schedules.shop.layers[0]: 'weekdays' is no part of a week"),
        ("wake: [schedule: shop]", "wake: [shop]", "19 escalations.shop.levels[0].wake[0]: 'shop' is nobody"),
        (
            "wake: [schedule: shop]",
            "wake: [schedule: shp]",
            "19 escalations.shop.levels[0].wake[0]: there is no schedule 'shp'",
        ),
        ("every: 1d", "every: 12h", "13 schedules.shop.layers[1]: every is in whole days"),
        ("away: ana.ics", "away: gone.ics", "cannot be read: No such file or directory"),
        ("to: {env: ANA_PHONE}", "to: tgram://123:abc/456", "3 people.ana.contacts[0].to: a URL may hold a secret"),
        ("contacts: [phone]", "contact: [phone]", "4 people.ben.contact:"),
        ("end: 2026-12-26T12", "end: 2026-12-23T12", "15 schedules.shop.overrides[0]: end must come after start"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in TEAM
    found = problems(write(tmp_path, team=TEAM.replace(old, new)))
    assert any(said in one for one in found), found
    with pytest.raises(ConfigError):
        files.load([tmp_path])
    assert not files.load_what_can_be([tmp_path]).policy.people.people


def test_files_add_up_and_a_name_stands_once(tmp_path: Path) -> None:
    write(tmp_path, team=TEAM, more="people:\n  cleo: {}\nteams:\n  search: {members: [cleo, ana]}\n")
    assert not problems(tmp_path)
    write(tmp_path, more="people:\n  ana: {}\n")
    assert any("ana is there already" in one for one in problems(tmp_path))
    write(tmp_path, more="people:\n  cleo: {known_as: [PX]}\n  dora: {known_as: [px, d@example.org]}\n")
    assert any("3 people.dora.known_as[0]: cleo is known as px already" in one for one in problems(tmp_path))


CATALOG = """
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: checkout, annotations: {"midwatch.dev/entity": "service:checkout-api"}}
spec: {type: service, owner: "group:default/shop"}
---
apiVersion: backstage.io/v1alpha1
kind: Resource
metadata: {name: orders}
spec: {type: database, owner: shop}
---
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: search}
spec: {type: team, members: [dora]}
---
apiVersion: backstage.io/v1alpha1
kind: User
metadata: {name: emil}
spec: {memberOf: [search]}
---
apiVersion: backstage.io/v1alpha1
kind: Location
metadata: {name: here}
spec: {}
"""


def test_backstage_says_who_owns_what(tmp_path: Path) -> None:
    write(tmp_path, team=TEAM)
    (tmp_path / "catalog-info.yaml").write_text(CATALOG)
    people = files.load([tmp_path])[0].people
    shop, search = people.team("shop"), people.team("search")
    assert shop is not None and shop.services[-2:] == ("service:checkout-api", "database:orders")
    assert shop.escalation == "shop" and search is not None and search.members == ("dora", "emil")
    assert people.person("emil") is not None
    (tmp_path / "catalog-info.yaml").write_text(
        "apiVersion: backstage.io/v1alpha1\nkind: Component\nspec: {owner: shop}\n"
    )
    assert any("has no metadata.name" in one for one in problems(tmp_path))


def test_a_service_with_two_owners_is_refused(tmp_path: Path) -> None:
    write(tmp_path, team=TEAM, more="teams:\n  pay: {services: [payment]}\n")
    assert problems(tmp_path) == ["6 teams.shop.services: service:payment is owned by pay and by shop"]


@pytest.mark.parametrize(("text", "expected"), [("09:00", 540), (1020, 1020), ("24:00", 1440), ("00:00", 0)])
def test_times_of_day(text: str | int, expected: int) -> None:
    assert minute(text) == expected


@pytest.mark.parametrize("text", ["25:00", "9", "09:60", True, -1, "24:01"])
def test_what_is_no_time_of_day(text: object) -> None:
    with pytest.raises(ValueError, match="no time of day"):
        minute(text)


def test_parts_of_a_week() -> None:
    assert windows("sat-sun") == (Window(5 * 1440, 0),)
    assert windows("mon-sun") == (Window(0, 0),)
    assert windows("Fri 18:00-08:00") == (Window(4 * 1440 + 1080, 5 * 1440 + 480),)
    assert windows("sun 22:00-06:00") == (Window(6 * 1440 + 1320, 360),)
    assert windows("fri-mon 00:00-24:00") == (
        Window(4 * 1440, 5 * 1440),
        Window(5 * 1440, 6 * 1440),
        Window(6 * 1440, 0),
        Window(0, 1440),
    )


def test_the_documents_example_is_whole(tmp_path: Path) -> None:
    """What docs/oncall-people.md shows is read as it stands, and nothing would go wrong with it."""
    text = (Path(__file__).parents[2] / "docs" / "oncall-people.md").read_text("utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "team.yaml").write_text(block)
    assert problems(tmp_path) == []
    state = State(policy=files.load([tmp_path])[0])
    at = datetime(2026, 2, 1, tzinfo=UTC).timestamp()
    assert flaws(state, at, at + 90 * 86400, {"phone", "chat"}) == []
