"""When a war room is opened, what it is called, who is called in, and when it is archived: a function of state and time."""

from __future__ import annotations

import re
from dataclasses import replace as changed

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.decide.test_regroup import two
from tests.decide.worlds import START, act, turn

from midwatch.core.learn.timeline import timeline
from midwatch.core.oncall.war_room import MAX_OPEN, convene, room_name, slug, told_in_room, topic
from midwatch.model import events as e
from midwatch.model.findings import Impact, Incident
from midwatch.model.state import State
from midwatch.model.war_room import MAX_INVITED, WarRoomPolicy

LINK = "https://midwatch.example/"
OPEN = e.WarRoomOrdered("INC-1", "open", "team", "inc-1-gateway-errors")
MADE = e.WarRoomEnded("INC-1", "open", True, name="inc-1-gateway-errors", place="C1", url="https://t/archives/C1")


def state_of(**options: object) -> State:
    return two(war_room=WarRoomPolicy("team", **options))  # type: ignore[arg-type]


def ordered(state: State, at: float = START + 60) -> tuple[e.Event, ...]:
    return convene(changed(turn(state, now=at), events=())).events


def test_it_is_off_until_a_channel_is_named_and_for_severities_that_were_named() -> None:
    assert ordered(two()) == ()
    assert ordered(state_of()) == (OPEN,), "INC-2 is SEV3"
    assert ordered(state_of(severity=1)) == ()
    assert [o.incident for o in ordered(state_of(severity=3))] == ["INC-1", "INC-2"]  # type: ignore[union-attr]
    early = two(war_room=WarRoomPolicy("team"), settle_seconds=9.0)
    assert ordered(early, START + 5) == (), "an incident is looked at for some seconds first"


def test_it_is_ordered_once_whatever_comes_of_it() -> None:
    asked = act(state_of(), START + 60, OPEN)
    assert ordered(asked) == ()
    failed = act(asked, START + 61, e.WarRoomEnded("INC-1", "open", False, "missing_scope"))
    assert ordered(failed) == () and failed.war_rooms["INC-1"].why == "missing_scope"
    milder = act(act(asked, START + 61, MADE), START + 70, e.IncidentRated("INC-1", 4, "milder"))
    assert ordered(milder) == () and milder.war_rooms["INC-1"].status == "open", "the room stays"
    worse = act(state_of(), START + 61, e.IncidentRated("INC-2", 1, "worse"))
    assert [o.incident for o in ordered(worse)] == ["INC-1", "INC-2"]  # type: ignore[union-attr]


def test_one_that_could_not_be_opened_is_ordered_again_within_bounds() -> None:
    state, at, waited = act(state_of(), START + 60, OPEN), START + 60, []
    for _ in range(3):
        state = act(state, at, e.WarRoomEnded("INC-1", "open", False, "Slack is away"))
        room = state.war_rooms["INC-1"]
        assert (room.status, room.why, room.ordered_at) == ("failed", "Slack is away", START + 60), (
            "it is known by that"
        )
        if not room.again_at:
            break
        assert ordered(state, room.again_at - 1) == () and ordered(state, room.again_at) == (OPEN,)
        milder = act(state, room.again_at, e.IncidentRated("INC-1", 4, "milder"))
        over = act(state, room.again_at, e.IncidentResolved("INC-1", "calm"))
        assert ordered(milder, room.again_at) == () == ordered(over, room.again_at)
        waited.append(room.again_at - at)
        at = room.again_at
        state = act(state, at, OPEN)
        assert state.war_rooms["INC-1"].status == "ordered" and ordered(state, at + 9e6) == ()
    assert waited == [300, 1200] and ordered(state, at + 9e6) == ()
    late = act(act(state_of(), START + 60, OPEN), START + 61, e.WarRoomEnded("INC-1", "open", False, "away"))
    made = act(act(late, START + 361, OPEN), START + 362, MADE).war_rooms["INC-1"]
    assert made.usable and made.why == ""


def test_who_works_on_it_is_called_in_once() -> None:
    state = act(state_of(), START + 60, OPEN, MADE)
    page = e.PageOrdered("PAGE-1", "INC-1", "k", "sms", "s", "t", person="ana")
    gone = e.PageOrdered("PAGE-2", "INC-1", "k2", "sms", "s", "t", person="dee")
    state = act(state, START + 61, page, gone, e.PageEnded("PAGE-2", "withdrawn", "answered"))
    state = act(state, START + 62, e.IncidentAcknowledged("INC-1", "bo"), e.RoleTaken("INC-1", "scribe", "ana", "bo"))
    state = act(state, START + 63, e.TaskSet("INC-1", 1, "look", "cy", "bo"), e.TaskSet("INC-1", 2, "ask", "", "bo"))
    invited = ordered(state)
    assert [o.person for o in invited] == ["ana", "bo", "cy"]  # type: ignore[union-attr]
    state = act(state, START + 64, *invited, e.WarRoomEnded("INC-1", "invite", False, "nobody knows", "cy"))
    assert ordered(state) == ()
    assert state.war_rooms["INC-1"].invited == {"ana": "", "bo": "", "cy": "nobody knows"}
    crowd = [e.TaskSet("INC-1", n, "x", f"p{n}", "bo") for n in range(3, 90)]
    more = ordered(act(state, START + 65, *crowd))
    assert len(more) + 3 == MAX_INVITED
    assert len(act(state, START + 66, *more, *more).war_rooms["INC-1"].invited) == MAX_INVITED


def test_it_is_archived_some_time_after_the_end_or_left() -> None:
    over = (e.IncidentResolved("INC-1", "calm"),)
    left = act(state_of(), START + 60, OPEN, MADE, *over)
    assert ordered(left, START + 9e6) == ()
    state = act(state_of(archive_seconds=3600), START + 60, OPEN, MADE, *over)
    assert ordered(state, START + 3659) == ()
    (order,) = ordered(state, START + 3660)
    assert order == e.WarRoomOrdered("INC-1", "archive", "team")
    closing = act(state, START + 3660, order)
    assert closing.war_rooms["INC-1"].status == "closing" and ordered(closing, START + 3700) == ()
    done = act(closing, START + 3661, e.WarRoomEnded("INC-1", "archive", True))
    refused = act(closing, START + 3661, e.WarRoomEnded("INC-1", "archive", False, "restricted_action"))
    assert done.war_rooms["INC-1"].status == "closed" and refused.war_rooms["INC-1"].status == "open"
    assert ordered(done, START + 9e6) == ordered(refused, START + 9e6) == (), "what was refused is not asked again"


def test_a_merge_leaves_the_room_of_what_is_gone_to_be_archived() -> None:
    second = e.WarRoomOrdered("INC-2", "open", "team", "inc-2")
    state = act(state_of(archive_seconds=60), START + 60, OPEN, MADE, second)
    state = act(
        state, START + 61, e.WarRoomEnded("INC-2", "open", True, place="C2"), e.IncidentMerged("INC-1", "INC-2", "ana")
    )
    assert [o.incident for o in ordered(state, START + 200)] == ["INC-2"]  # type: ignore[union-attr]
    assert told_in_room(state, [e.IncidentMerged("INC-1", "INC-2", "ana")]) == {"INC-2": ("It became part of INC-1.",)}


def test_a_storm_of_incidents_is_no_storm_of_rooms() -> None:
    state = state_of()
    for n in range(MAX_OPEN + 2):
        state = act(state, START, e.IncidentOpened(f"X-{n}", "x", START, 1, "", (), (f"service:s{n}",)))
    first = convene(changed(turn(state, now=START + 60), events=()))
    rooms = first.state.war_rooms.values()
    assert [sum(r.status == s for r in rooms) for s in ("ordered", "failed")] == [MAX_OPEN, 3]
    assert {r.why for r in rooms if r.status == "failed"} == {"there are 20 already: this one is worked on in its page"}
    assert convene(changed(first, events=())).events == (), "that is said once, and not in each turn"


def test_a_room_that_is_left_after_the_end_takes_nobodys_place() -> None:
    state = state_of()
    for n in range(MAX_OPEN):
        ident = f"X-{n}"
        opened = e.IncidentOpened(ident, "x", START, 1, "", (), (f"service:s{n}",))
        room = e.WarRoomOrdered(ident, "open", "team", f"x-{n}")
        state = act(state, START, opened, room, e.WarRoomEnded(ident, "open", True, place=f"C{n}"))
    assert [type(o) for o in ordered(state)] == [e.WarRoomOrdered, e.WarRoomEnded]
    over = act(state, START + 50, e.IncidentResolved("X-3", "calm"))
    assert over.war_rooms["X-3"].status == "open" and ordered(over) == (OPEN,)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "inc-12-payment-errors"),
        ({"impact": Impact("service:checkout", 0.2, 9, 0.0, "slow")}, "inc-12-checkout-slow"),
        ({"findings": ("queue_lag|queue:orders|",), "symptoms": ("queue:orders",)}, "inc-12-orders-queue"),
        ({"findings": ("alert|service:cart|HighErrorRate",)}, "inc-12-high-error-rate"),
        ({"findings": (), "symptoms": ()}, "inc-12"),
        ({"symptoms": ("service:Größe & Co.",)}, "inc-12-groe-co-errors"),
    ],
)
def test_its_name(changes: dict[str, object], name: str) -> None:
    incident = Incident(
        "INC-12", 0.0, 0.0, 2, "t", findings=("error_shift|service:payment|",), symptoms=("service:payment",)
    )
    assert room_name("inc", replace(incident, **changes)) == name


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_name_is_one_that_chats_take(title: str, symptom: str) -> None:
    incident = Incident("INC-12", 0.0, 0.0, 2, title, findings=(f"alert|x|{title}",), symptoms=(f"service:{symptom}",))
    for one in (incident, replace(incident, findings=("error_shift|x|",))):
        assert re.fullmatch(r"inc-12(-[a-z0-9]+)*", room_name("inc", one)) and len(room_name("inc", one)) <= 80
    assert slug(slug(title)) == slug(title)


def test_its_topic_says_how_bad_who_leads_and_where_it_is_shown() -> None:
    state = state_of(link=LINK)
    incident = state.incidents["INC-1"]
    assert topic(state, incident) == "SEV2 · open · no commander yet · https://midwatch.example/incidents/INC-1"
    led = act(state, START, e.RoleTaken("INC-1", "commander", "a" * 80, "x"))
    assert len(topic(led, incident)) <= 250 and topic(led, incident).endswith("/incidents/INC-1")
    assert topic(state_of(), incident) == "SEV2 · open · no commander yet"


def test_what_is_said_in_it_and_in_the_timeline() -> None:
    state = act(state_of(), START + 60, OPEN, MADE)
    said = (
        e.RoleTaken("INC-1", "commander", "ana", "bo"),
        e.RoleTaken("INC-1", "scribe", "", "bo"),
        e.DecisionMade("INC-1", "fail over", "ana"),
        e.StepTicked("INC-1", "Support was told", "bo"),
        e.StepUnticked("INC-1", "Support was told", "bo"),
        e.TaskSet("INC-1", 1, "look", "", "bo"),
        e.TaskGiven("INC-1", 1, "cy", "bo"),
        e.TaskGiven("INC-1", 1, "", "bo"),
        e.TaskDone("INC-1", 1, "cy"),
        e.IncidentAcknowledged("INC-1", "ana"),
        e.RoleTaken("INC-2", "commander", "ana", "bo"),
    )
    told = told_in_room(state, said)
    assert told == {
        "INC-1": (
            "ana is commander.",
            "Nobody is scribe any more.",
            "ana wrote down a decision: fail over",
            "bo did: Support was told.",
            "bo took a tick back: Support was told.",
            "Task 1 for whoever takes it: look",
            "Task 1 is cy's.",
            "Nobody has task 1 now.",
            "cy did task 1.",
            "ana acknowledged it.",
        )
    }
    ends = (
        MADE,
        e.WarRoomEnded("INC-1", "open", False, "missing_scope"),
        e.WarRoomEnded("INC-1", "summary", True, summary="1.1"),
        e.WarRoomEnded("INC-1", "summary", False, "missing_scope", summary="1.1"),
        e.WarRoomEnded("INC-1", "invite", True, person="ana"),
        e.WarRoomEnded("INC-1", "invite", False, "unknown", "bo"),
        e.WarRoomEnded("INC-1", "archive", True),
        e.WarRoomEnded("INC-1", "archive", True, "somebody archived it"),
    )
    opened = e.IncidentOpened("INC-1", "x", START, 2, "", (), ())
    rows = timeline([e.Recorded(n, START + n, event) for n, event in enumerate((opened, OPEN, *ends), 1)], "INC-1")
    assert [row.text for row in rows[1:]] == [
        "opens a war room in the chat",
        "war room #inc-1-gateway-errors is open",
        "no war room in the chat: missing_scope",
        "the summary in the war room is not pinned: missing_scope",
        "bo is not in the war room: unknown",
        "the war room is closed: somebody archived it",
    ]
