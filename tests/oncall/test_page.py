"""Paging as timelines: who is woken when, until somebody answers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.decide.worlds import BOOKS, START, Scene, blind, broken, policy, traffic

from midwatch.core.decide.obey import obey
from midwatch.core.decide.stage import decide
from midwatch.core.memory import Memory
from midwatch.core.oncall.page import page
from midwatch.core.oncall.updates import tell
from midwatch.core.turn import Turn
from midwatch.core.verify.closing import close
from midwatch.core.verify.expect import verify
from midwatch.model.actions import Outcome
from midwatch.model.events import (
    Event,
    IncidentOpened,
    IncidentRated,
    IncidentResolved,
    PageEnded,
    PageOrdered,
    PolicyLoaded,
    Recorded,
    UpdateWritten,
)
from midwatch.model.fold import fold
from midwatch.model.policy import PagePolicy, Policy
from midwatch.model.state import State
from midwatch.model.war_room import WarRoomPolicy
from midwatch.model.world import empty_world

ALL = (obey, decide, verify, close, tell, page)
PAGING = PagePolicy(channels=("phone", "mail"), repeat_seconds=60, max_repeats=5)


def scene(severity: int = 2, **changes: object) -> Scene:
    using = policy(**{"playbooks": (), "paging": PAGING, **changes})
    return Scene(ALL, broken(severity=severity, using=using))


def to_phone(made: Scene) -> list[tuple[float, tuple[str, ...]]]:
    return [(at, p.topics) for at, p in made.pages() if p.channel == "phone"]


def test_every_channel_is_paged_at_once_and_again_until_acknowledged() -> None:
    made = scene().run(until=130)
    assert [(at, p.channel, p.key) for at, p in made.pages()] == [
        (0, "phone", "INC-1/phone/0"),
        (0, "mail", "INC-1/mail/0"),
        (60, "phone", "INC-1/phone/1"),
        (60, "mail", "INC-1/mail/1"),
        (120, "phone", "INC-1/phone/2"),
        (120, "mail", "INC-1/mail/2"),
    ]
    made.say("ack", "INC-1").run(until=600)
    assert len(made.pages()) == 6


def test_a_page_ends_with_the_address_of_its_incident_where_that_is_known() -> None:
    (plain, *_) = (p for _, p in scene().run(until=5).pages())
    assert plain.text.endswith("Acknowledge: midwatch ack INC-1.")
    for said in (
        {"console_url": "https://midwatch.example/"},
        {"war_room": WarRoomPolicy(link="https://midwatch.example")},
    ):
        made = scene(**said).run(until=5)
        assert {p.text.splitlines()[-1] for _, p in made.pages()} == {"https://midwatch.example/incidents/INC-1"}


def test_a_thousand_open_incidents_are_paged_once_each() -> None:
    """However many were paged about: what is open is not forgotten for the sake of what comes after it."""
    state = fold(State(), Recorded(1, START, PolicyLoaded(Policy(paging=PAGING))))
    ordered = []
    for at in (START + 60, START + 70, START + 80):
        new = range(1000) if at == START + 60 else (f"{at:.0f}",)
        opened = (IncidentOpened(f"INC-{n}", "down", START, 1, "so", (), ("service:a",)) for n in new)
        state = _told(state, at - 60, *opened)
        turn = page(Turn(state, Memory(), empty_world(at), at))
        orders = [event for event in turn.events if isinstance(event, PageOrdered)]
        ordered.append(len(orders))
        state = _told(turn.state, at, *(PageEnded(one.page, "delivered") for one in orders))
    assert ordered == [2000, 2, 2]
    over = [IncidentResolved(i.id, "over") for i in state.open_incidents]
    last = PageOrdered("PAGE-9", "INC-9", "k", "phone", "s", "t", 1)
    state = _told(state, START + 90, *over, *(replace(last, page=f"PAGE-{n}", key=f"{n}") for n in range(9000, 9050)))
    assert len(state.pages) < 600, "of what is over only the newest are kept"


def _told(state: State, at: float, *events: Event) -> State:
    for event in events:
        state = fold(state, Recorded(state.seq + 1, at, event))
    return state


def test_it_gets_rarer_after_max_repeats_and_never_silent() -> None:
    assert len(to_phone(scene().run(until=1000))) == 1 + PAGING.max_repeats
    assert len(to_phone(scene().run(until=1100))) == 2 + PAGING.max_repeats


def test_a_mild_incident_lets_people_sleep() -> None:
    assert not scene(severity=4).run(until=200).pages()


def test_worse_pages_again_although_acknowledged_and_better_does_not() -> None:
    made = scene(severity=3).run(until=10).say("ack", "INC-1").run(until=100)
    made.record(IncidentRated("INC-1", 1, "half of it"))
    made.run(until=110)
    assert to_phone(made) == [(0, ("sev3",)), (100, ("sev1",))]
    made.say("ack", "INC-1").run(until=130)
    made.record(IncidentRated("INC-1", 2, "less"))
    made.run(until=500)
    assert len(to_phone(made)) == 2


def test_once_it_was_milder_worse_is_news_again_and_its_repeats_are_as_bad_as_it_is() -> None:
    made = scene().run(until=10).say("ack", "INC-1").run(until=100)
    made.record(IncidentRated("INC-1", 3, "milder for 10 min: less"))
    made.run(until=200)
    assert to_phone(made) == [(0, ("sev2",))], "milder wakes nobody"
    made.record(IncidentRated("INC-1", 2, "worse again"))
    made.run(until=205)
    assert to_phone(made)[1:] == [(200, ("sev2.1",))], "who has it may have gone back to sleep"
    made.record(IncidentRated("INC-1", 3, "milder for 20 min: less"))
    made.run(until=270)
    (again,) = [p for at, p in made.pages() if p.channel == "phone" and at > 200]
    assert (again.severity, again.topics) == (3, ("sev3.1",)) and again.subject.startswith("SEV3 INC-1")
    made.record(IncidentRated("INC-1", 4, "milder for 40 min: hardly any"))
    made.run(until=600)
    assert not [p for at, p in made.pages() if at > 330], "nobody is woken for a SEV4"


def test_it_pages_while_a_fix_is_being_verified() -> None:
    made = scene(playbooks=BOOKS).run(until=10)
    assert [t for _, t in to_phone(made)] == [("sev2",)]
    assert "midwatch is resizing the pool of payment (ACT-1)." in made.pages()[0][1].text


CALM = PagePolicy(channels=("phone", "mail"), repeat_seconds=60, max_repeats=5, page_severity=2)


def test_an_action_that_waits_for_a_yes_pages_even_where_the_severity_does_not() -> None:
    made = scene(severity=3, mode="ask", playbooks=BOOKS, paging=CALM).run(until=70)
    assert to_phone(made) == [(0, ("asked-ACT-1",)), (60, ("asked-ACT-1",))]
    made.say("approve", "ACT-1").run(until=80)
    assert made.state.actions["ACT-1"].approved_by == ("ana",)
    made.run(until=125)
    assert to_phone(made)[2:] == []


def test_doubt_unknown_and_misses_page() -> None:
    doubt = scene(severity=3, playbooks=BOOKS[:1], paging=CALM)
    doubt.hand = lambda action: Outcome("in_doubt")
    assert to_phone(doubt.run(until=20))[0][1] == ("in_doubt-ACT-1",)
    unknown = scene(severity=3, playbooks=BOOKS[:1], paging=CALM).at(5, blind()).run(until=120)
    assert to_phone(unknown)[0][1] == ("unknown-ACT-1",)
    missed = scene(severity=3, playbooks=BOOKS[:1], paging=CALM).run(until=120)
    assert to_phone(missed)[0][1] == ("missed-ACT-1",)


def test_those_who_were_paged_hear_that_it_is_over() -> None:
    made = scene().at(20, traffic(0.0)).run(until=30).heal().run(until=400)
    assert to_phone(made) == [(0, ("sev2",)), (60, ("sev2",)), (90, ("resolved",))]
    quiet = scene(severity=4).at(20, traffic(0.0)).run(until=30).heal().run(until=400)
    assert not quiet.pages()


def test_losing_the_working_set_pages_nobody_again() -> None:
    made = scene().run(until=20)
    pages, updates = len(made.pages()), len(made.told(UpdateWritten))
    made.memory = Memory(started_at=made.now)
    made.run(until=55)
    assert (len(made.pages()), len(made.told(UpdateWritten))) == (pages, updates)


def test_a_page_that_failed_is_tried_again_sooner() -> None:
    made = scene(paging=replace(PAGING, repeat_seconds=900.0)).run(until=5)
    for _, ordered in made.pages():
        made.record(PageEnded(ordered.page, "failed", "no network"))
    made.run(until=70)
    assert [at for at, _ in to_phone(made)] == [0, 60]


def test_updates_are_written_when_something_changed() -> None:
    made = scene(playbooks=BOOKS[:1]).at(20, traffic(0.0)).run(until=60).heal().run(until=200)
    texts = [e.text for _, e in made.told(UpdateWritten)]
    assert "now resizing the pool" in texts[0] and "it helped" in texts[1] and "Resolved at" in texts[-1]
    assert len(texts) <= 5


@settings(max_examples=40, deadline=None)
@given(ack_at=st.integers(1, 280), severity=st.integers(1, 3))
def test_no_page_is_lost_whenever_somebody_answers(ack_at: int, severity: int) -> None:
    made = scene(severity=severity).run(until=float(ack_at)).say("ack", "INC-1").run(until=400)
    for channel in PAGING.channels:
        at = [when for when, p in made.pages() if p.channel == channel]
        answered = next(when for when, e in made.log if type(e).__name__ == "IncidentAcknowledged")
        expected = [60.0 * n for n in range(6) if 60.0 * n < answered or n == 0]
        assert at == expected
        keys = [p.key for _, p in made.pages() if p.channel == channel]
        assert len(set(keys)) == len(keys)
    assert made.now >= START


def test_the_first_look_comes_before_the_first_page_and_the_first_action() -> None:
    made = scene(settle_seconds=9.0).run(until=30)
    assert min(at for at, _ in made.pages()) == 10
