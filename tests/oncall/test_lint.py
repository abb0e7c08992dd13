"""What ``midwatch oncall check`` finds, against a clock that is looked at every hour; and who carried how much."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.oncall.test_escalation import ALL, ANA, BEN, CLEO, FIRST, SECOND, SHOP, TEAM, people
from tests.oncall.test_schedule import layers

from midwatch.core.oncall.escalation import people_of
from midwatch.core.oncall.fairness import fairness
from midwatch.core.oncall.lint import flaws
from midwatch.model.events import Event, IncidentAcknowledged, OnCallChanged, PageOrdered, Recorded
from midwatch.model.people import Calendar, EscalationPolicy, Level, OnCall, People, Schedule, Span, Target
from midwatch.model.policy import Policy
from midwatch.model.state import State

NOW = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
UNTIL = NOW + 90 * 86400


def state(using: People) -> State:
    return State(policy=Policy(people=using))


def found(using: People, channels: set[str] | None = None) -> list[tuple[str, str]]:
    return [(f.level, f.code) for f in flaws(state(using), NOW, UNTIL, channels)]


def test_a_whole_set_up_has_no_flaw() -> None:
    assert found(people(), {"phone", "chat"}) == []


def test_a_gap_is_found_with_its_begin_and_end() -> None:
    office = replace(SHOP, layers=(replace(SHOP.layers[0], ends_on="2026-05-01"),))
    (flaw,) = flaws(state(people(FIRST, schedules=(office,))), NOW, UNTIL)
    assert (flaw.level, flaw.code, flaw.end_at) == ("error", "gap", UNTIL)
    assert flaw.start_at == datetime(2026, 5, 1, tzinfo=UTC).timestamp()
    assert found(people(FIRST, SECOND, schedules=(office,))) == [("warning", "first-level-empty")]


def test_people_without_a_channel_and_channels_without_settings() -> None:
    bare = people(people=(ANA, replace(BEN, contacts=()), CLEO))
    assert found(bare) == [("error", "no-contact")]
    assert found(people(), {"phone"}) == [("error", "no-channel")]
    quiet = State(policy=replace(Policy(people=bare), paging=replace(Policy().paging, channels=("siren",))))
    assert [f.level for f in flaws(quiet, NOW, UNTIL)] == ["warning"]


def test_being_away_while_on_call_is_an_error_with_its_time() -> None:
    trip = Calendar("trip", (Span(NOW + 86400, NOW + 2 * 86400, "Lisbon"),))
    (flaw, other) = flaws(state(people(people=(replace(ANA, away="trip"), BEN, CLEO), calendars=(trip,))), NOW, UNTIL)
    assert (flaw.code, flaw.start_at, flaw.end_at) == ("away", NOW + 86400, NOW + 2 * 86400)
    assert "ana is on call in shop and away (Lisbon)" in flaw.text and other.code == "first-level-empty"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"catch_all": ""}, "no-catch-all"),
        ({"teams": (replace(TEAM, escalation=""),)}, "no-escalation"),
        ({"calendars": (Calendar("c", (), NOW + 86400),)}, "calendar-ends"),
    ],
)
def test_what_else_is_said(changes: dict[str, object], code: str) -> None:
    assert code in {c for _, c in found(people(**changes))}


@settings(max_examples=40, deadline=None)
@given(st.lists(layers(NOW), min_size=1, max_size=2), st.sampled_from(("UTC", "Europe/Berlin", "Australia/Lord_Howe")))
def test_a_gap_is_exactly_when_nobody_would_be_woken(made: list[object], zone: str) -> None:
    schedule = Schedule("shop", zone, tuple(made))  # type: ignore[arg-type]
    using = state(people(FIRST, schedules=(schedule,)))
    level = using.policy.people.escalations[0].levels[0]
    until = NOW + 10 * 86400
    gaps = [(f.start_at, f.end_at) for f in flaws(using, NOW, until) if f.code == "gap"]
    for hour in range(240):
        at = NOW + 3600.0 * hour + 1
        assert any(a <= at < b for a, b in gaps) == (not people_of(using, level, at))


def test_all_hands_count_as_a_level() -> None:
    nobody = replace(SHOP, layers=(replace(SHOP.layers[0], ends_on="2020-02-01"),))
    assert ("error", "gap") not in found(people(FIRST, ALL, schedules=(nobody,)))
    alone = EscalationPolicy("shop", (Level((Target("schedule", "shop"),)),))
    assert ("error", "gap") in found(people(schedules=(nobody,), escalations=(alone,)))


def journal(*events: tuple[str, Event]) -> list[Recorded]:
    return [Recorded(n, datetime.fromisoformat(at + "Z").timestamp(), event) for n, (at, event) in enumerate(events, 1)]


def order(person: str, repeat: int = 0, incident: str = "INC-1", run: int = 1, channel: str = "phone") -> PageOrdered:
    return PageOrdered(f"P-{person}-{repeat}", incident, "k", channel, "", "", repeat=repeat, person=person, run=run)


def test_who_carried_how_much_by_their_own_clock() -> None:
    berlin = people(people=(replace(ANA, zone="Europe/Berlin"), BEN, CLEO))
    since, until = datetime(2026, 3, 27, 12, tzinfo=UTC).timestamp(), datetime(2026, 3, 30, 12, tzinfo=UTC).timestamp()
    entries = journal(
        ("2026-03-27T20:00:00", order("ana")),  # 21:00 in Berlin: a Friday evening
        ("2026-03-27T20:00:05", order("ana", channel="chat")),  # the same page over another channel
        ("2026-03-27T21:30:00", order("ana", 1)),  # 22:30: night
        ("2026-03-28T11:00:00", order("ana", incident="INC-2")),  # Saturday
        ("2026-03-28T11:01:00", IncidentAcknowledged("INC-2", "ana")),
        (
            "2026-03-29T22:00:00",
            OnCallChanged("shop", "ben", "ana"),
        ),  # midnight in Berlin, once the clocks have changed
        ("2026-03-30T05:00:00", order("ben", incident="INC-3")),
        ("2026-03-30T05:00:01", order("ben", incident="", run=0)),  # a notice is no page
    )
    using = replace(state(berlin), on_call={"shop": OnCall("ben", until)})
    by = {load.person: load for load in fairness(using, entries, since, until)}
    ana, ben = by["ana"], by["ben"]
    assert (ana.pages, ana.night_pages, ana.weekend_pages, ana.incidents, ana.acknowledged) == (3, 1, 1, 2, 1)
    assert (ana.hours, ana.weekend_hours) == (58, 47), "a weekend with a change of the clocks has 47 hours"
    assert ana.night_hours == 9 + 8 + 2, "the night of the change has eight"
    assert (ben.pages, ben.night_pages, ben.hours) == (1, 1, 14)
    assert by["cleo"].hours == 0


def test_without_any_change_who_is_on_call_was_so_all_the_time() -> None:
    using = replace(state(people()), on_call={"shop": OnCall("ana", NOW - 10 * 86400)})
    (first, *_) = fairness(using, [], NOW - 86400, NOW)
    assert (first.person, first.hours) == ("ana", 24)
