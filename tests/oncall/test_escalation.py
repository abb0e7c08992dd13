"""Escalations as timelines: who is woken when, over what, until somebody answers."""

from __future__ import annotations

from msgspec.structs import replace
from tests.decide.worlds import GATEWAY, PAYMENT, START, Scene, broken, policy, pool_exhausted

from midwatch.core.decide.obey import obey
from midwatch.core.oncall.escalation import people_of
from midwatch.core.oncall.page import page
from midwatch.core.oncall.wake import unwanted, wake
from midwatch.model.events import (
    AcknowledgementExpired,
    EscalationAdvanced,
    EscalationStarted,
    IncidentCalmed,
    IncidentRated,
    IncidentResolved,
    OverrideSet,
    PageEnded,
    PageOrdered,
)
from midwatch.model.people import (
    Calendar,
    Contact,
    EscalationPolicy,
    Layer,
    Level,
    Override,
    People,
    Person,
    Rotation,
    Schedule,
    Span,
    Target,
    Team,
)
from midwatch.model.policy import PagePolicy

ANA = Person("ana", contacts=(Contact("phone", "env:ANA"), Contact("chat")))
BEN = Person("ben", contacts=(Contact("phone"),))
CLEO = Person("cleo", contacts=(Contact("chat"),))
SHOP = Schedule("shop", "UTC", (Layer("week", Rotation(("ana",), "2020-01-06")),))
FIRST = Level((Target("schedule", "shop"),), wait_seconds=60, repeats=1)
SECOND = Level((Target("person", "ben"),), wait_seconds=120)
ALL = Level((Target("team", "shop"),), wait_seconds=120, at_once=1)
TEAM = Team("shop", ("ana", "ben", "cleo"), (PAYMENT,), "shop")


def people(*levels: Level, **changes: object) -> People:
    ladder = EscalationPolicy("shop", levels or (FIRST, SECOND), rounds=2, ack_seconds=600)
    base = People((ANA, BEN, CLEO), (TEAM,), (SHOP,), (ladder,), catch_all="shop")
    return replace(base, **changes)


def scene(using: People | None = None, severity: int = 2, **changes: object) -> Scene:
    set_up = policy(
        **{"playbooks": (), "paging": PagePolicy(("siren",)), "people": people() if using is None else using, **changes}
    )
    return Scene((obey, wake, page), broken(severity=severity, using=set_up))


def woken(made: Scene) -> list[tuple[float, str, str]]:
    return [(at, p.person, p.channel) for at, p in made.pages()]


def deliver(made: Scene, status: str = "delivered", why: str = "") -> Scene:
    for record in tuple(made.state.pages.values()):
        if record.status == "ordered":
            made.record(PageEnded(record.ordered.page, status, why))
    return made


def test_level_after_level_repeats_and_rounds_until_somebody_answers() -> None:
    made = scene()
    for until in range(5, 400, 5):
        deliver(made.run(until=float(until)))
    assert woken(made) == [
        (0, "ana", "phone"),
        (30, "ana", "phone"),
        (60, "ben", "phone"),
        (180, "ana", "phone"),
        (210, "ana", "phone"),
        (240, "ben", "phone"),
        (360, "ana", "phone"),
        (390, "ana", "phone"),
    ]
    keys = [p.key for _, p in made.pages()]
    assert keys[:3] == ["INC-1/1/ana/phone/0", "INC-1/1/ana/phone/1", "INC-1/1/ben/phone/0"]
    assert made.pages()[0][1].to == "env:ANA" and len(set(keys)) == len(keys)
    assert "To ana: on call in shop, week, level 1 of 2.\n" in made.pages()[0][1].text
    assert "To ben: level 2 of 2. ana was woken before; nobody has answered.\n" in made.pages()[2][1].text
    made.say("ack", "INC-1", by="ben").run(until=410)
    answered = len(made.pages())
    assert len(made.run(until=900).pages()) == answered


def test_it_gets_rarer_after_its_rounds_and_never_silent() -> None:
    made = scene()
    for until in range(5, 6000, 5):
        deliver(made.run(until=float(until)))
    at = [when for when, who, _ in woken(made) if who == "ben"]
    assert at == [60, 240, 360 + 60, 360 + 12 * 180 + 60, 360 + 24 * 180 + 60]


def test_a_page_that_fails_goes_over_the_next_channel_then_to_the_next_level() -> None:
    made = scene().run(until=5)
    deliver(made, "failed", "no network").run(until=10)
    assert woken(made) == [(0, "ana", "phone"), (5, "ana", "chat")]
    deliver(made, "failed", "no network").run(until=15)
    assert woken(made)[2:] == [(10, "ben", "phone")]
    moved = [e for _, e in made.told(EscalationAdvanced)]
    assert isinstance(moved[0], EscalationAdvanced) and moved[0].level == 2
    assert moved[0].why == "ana could not be reached over phone, chat"
    deliver(made, "failed").run(until=80)
    again = [(at, p.key) for at, p in made.pages() if p.person == "ana" and at > 60]
    assert again == [(65, "INC-1/1/ana/phone/0")], "the first channel again, under the same key"


def test_a_channel_that_hangs_is_not_waited_for() -> None:
    made = scene(people(replace(FIRST, wait_seconds=600.0, repeats=0), SECOND)).run(until=60)
    assert woken(made) == [(0, "ana", "phone"), (45, "ana", "chat")]


def test_nobody_on_call_wakes_the_next_level_at_once_and_nobody_at_all_pages_the_channels() -> None:
    empty = replace(SHOP, layers=(replace(SHOP.layers[0], ends_on="2020-02-01"),))
    made = scene(people(schedules=(empty,))).run(until=5)
    assert woken(made) == [(0, "ben", "phone")]
    assert [e.why for _, e in made.told(EscalationAdvanced) if isinstance(e, EscalationAdvanced)] == [
        "nobody is on call before it"
    ]
    alone = scene(people(FIRST, schedules=(empty,))).run(until=5)
    assert woken(alone) == [(0, "", "siren")]


def test_who_is_away_is_passed_over() -> None:
    away = Calendar("away", (Span(START - 10, START + 100),))
    gone = replace(ANA, away="away")
    made = scene(people(people=(gone, BEN, CLEO), calendars=(away,))).run(until=5)
    assert [who for _, who, _ in woken(made)] == ["ben"]


def test_the_worst_wakes_all_hands_at_once() -> None:
    made = scene(people(FIRST, SECOND, ALL), severity=3).run(until=10)
    assert woken(made) == [(0, "ana", "phone")]
    made.record(IncidentRated("INC-1", 1, "half of it"))
    made.run(until=15)
    assert {who for at, who, _ in woken(made) if at == 10} == {"ana", "ben", "cleo"}


def test_who_was_woken_only_because_it_was_the_worst_is_not_woken_again_once_it_is_milder() -> None:
    repeated = Level((Target("team", "shop"),), wait_seconds=120, repeats=3, at_once=1)
    made = scene(people(FIRST, SECOND, repeated), severity=1)
    deliver(made.run(until=10))
    assert {who for _, who, _ in woken(made)} == {"ana", "ben", "cleo"}
    made.record(IncidentRated("INC-1", 2, "milder for 10 min: less"))
    deliver(made.run(until=55))
    assert {who for at, who, _ in woken(made) if at > 10} == {"ana"}, "the levels come one after the other again"


def test_people_take_turns_incident_by_incident() -> None:
    turns = people(Level((Target("team", "shop"),), wait_seconds=60, in_turn=True))
    made = scene(turns)
    for number in range(4):
        made.run(until=5.0 + 10 * number)
        made.record(IncidentResolved(f"INC-{number + 1}", "over"))
        found = broken(at=made.now).incidents["INC-1"]
        made.state = replace(
            made.state,
            incidents={**made.state.incidents, f"INC-{number + 2}": replace(found, id=f"INC-{number + 2}")},
        )
    assert [p.person for _, p in made.pages() if "resolved" not in p.topics] == ["ana", "ben", "cleo", "ana"]


def test_a_hand_off_in_the_middle_pages_who_comes_on_and_takes_back_what_is_still_on_its_way() -> None:
    made = scene().run(until=10)
    first = made.pages()[0][1]
    assert unwanted(made.state, first, made.now) == ""
    made.record(OverrideSet(Override("shop", "cleo", made.now, made.now + 900, ident="OVR-1")))
    assert unwanted(made.state, first, made.now) == "ana is not due any more: cleo is"
    deliver(made.run(until=15))
    assert woken(made)[1:] == [(10, "cleo", "chat")]


def test_news_are_told_at_once_and_after_an_answer_begin_anew() -> None:
    made = scene(severity=3)
    deliver(made.run(until=10))
    made.record(IncidentRated("INC-1", 2, "worse"))
    deliver(made.run(until=15))
    assert woken(made) == [(0, "ana", "phone"), (10, "ana", "phone")]
    made.say("ack", "INC-1").run(until=100)
    assert len(made.pages()) == 2
    made.record(IncidentRated("INC-1", 1, "half of it"))
    made.run(until=105)
    starts = [e for _, e in made.told(EscalationStarted) if isinstance(e, EscalationStarted)]
    assert [s.number for s in starts] == [1, 2] and "ana acknowledged it before: SEV1" in starts[1].why
    assert made.pages()[-1][1].key == "INC-1/2/ana/phone/0"


def news(made: Scene, severity: int = 2) -> Scene:
    made.record(IncidentRated("INC-1", severity, "worse"))
    return deliver(made.run(until=made.now - START + 5))


def taken_by(person: str, using: People | None = None) -> Scene:
    """A SEV3 of which ana and then ben were told; ``person`` has it since 65 s."""
    made = scene(using, severity=3)
    for until in (5, 35, 65):
        deliver(made.run(until=float(until)))
    return made.say("ack", "INC-1", by=person).run(until=70)


def test_news_go_to_who_has_it_and_up_the_levels_only_unseen() -> None:
    made = news(taken_by("ben"))
    assert woken(made)[3:] == [(70, "ben", "phone")]
    page = made.pages()[-1][1]
    assert (page.key, page.level) == ("INC-1/2/ben/phone/0", 0)
    assert page.text.endswith("\nTo ben: you acknowledged it before.")
    for until in range(75, 270, 5):
        deliver(made.run(until=float(until)))
    assert woken(made)[4:] == [(130, "ana", "phone"), (160, "ana", "phone"), (190, "ben", "phone")]
    assert "ben was woken before; nobody has answered." in made.pages()[4][1].text
    seen = news(taken_by("ben")).say("ack", "INC-1", by="ben").run(until=600)
    assert len(seen.pages()) == 4, "ana sleeps on"


def test_who_has_it_need_not_be_of_the_policy_and_may_be_called_otherwise() -> None:
    known = replace(CLEO, known_as=("c.nakamura@example.org",))
    made = news(taken_by("c.nakamura@example.org", people(people=(ANA, BEN, known))))
    assert woken(made)[3:] == [(70, "cleo", "chat")]


def test_news_wake_the_first_level_where_who_has_it_cannot_be_asked() -> None:
    hush = Calendar("sick", (Span(START + 68, START + 9000),))
    gone = people(people=(ANA, replace(BEN, away="sick"), CLEO), calendars=(hush,))
    for made in (news(taken_by("ben", gone)), news(taken_by("a stranger"))):
        assert woken(made)[3:] == [(70, "ana", "phone")]
    old = taken_by("ben")  # whose answer held for 600 s: nobody can tell who is awake of it
    old.record(IncidentCalmed("INC-1", True))
    assert woken(news(old.run(until=700)))[3:] == [(700, "ana", "phone")]


def test_who_has_it_and_cannot_be_reached_is_not_waited_for() -> None:
    made = taken_by("ben")
    made.record(IncidentRated("INC-1", 2, "worse"))
    deliver(made.run(until=71), "failed", "no network").run(until=76)
    assert woken(made)[3:] == [(70, "ben", "phone"), (75, "ana", "phone")]
    moved = [e for _, e in made.told(EscalationAdvanced) if isinstance(e, EscalationAdvanced)]
    assert (moved[-1].level, moved[-1].why) == (1, "ben could not be reached over phone")


def test_the_worst_news_wake_all_hands_beside_who_has_it() -> None:
    made = taken_by("ben", people(FIRST, ALL))
    assert sorted(woken(news(made, severity=1))[-3:]) == [
        (70, "ana", "phone"),
        (70, "ben", "phone"),
        (70, "cleo", "chat"),
    ]
    every = people(replace(FIRST, at_once=1), ALL)
    assert sorted(woken(news(taken_by("ben", every), severity=1))[-3:])[0] == (70, "ana", "phone")
    later = news(taken_by("ben", people(FIRST, ALL)))
    assert woken(later)[-1] == (70, "ben", "phone")
    assert {who for at, who, _ in woken(news(later, severity=1)) if at == 75} == {"ana", "ben", "cleo"}


def test_who_has_it_is_on_the_first_level_with_others_who_sleep_on() -> None:
    both = Level((Target("person", "ana"), Target("person", "ben")), wait_seconds=60)
    assert woken(news(taken_by("ben", people(both, ALL))))[-1] == (70, "ben", "phone")


def test_an_acknowledgement_expires_aloud_while_it_hurts() -> None:
    made = scene().run(until=10).say("ack", "INC-1").run(until=620)
    expired = made.told(AcknowledgementExpired)
    assert [at for at, _ in expired] == [610]
    assert "ana acknowledged it 10 min ago and it still goes on" in expired[0][1].why  # type: ignore[attr-defined]
    assert woken(made)[-1] == (610, "ana", "phone")
    calm = scene().run(until=10).say("ack", "INC-1").run(until=20)
    calm.record(IncidentCalmed("INC-1", True))
    assert not calm.run(until=2000).told(AcknowledgementExpired)


def test_quiet_hours_let_the_milder_ones_wait() -> None:
    hush = Calendar("nights", (Span(START, START + 100),))
    ladder = EscalationPolicy("shop", (FIRST, SECOND), quiet="nights")
    made = scene(people(escalations=(ladder,), calendars=(hush,)), severity=3).run(until=120)
    assert woken(made)[0] == (100, "ana", "phone")
    assert woken(scene(people(escalations=(ladder,), calendars=(hush,)), severity=2).run(until=5))


def test_whose_it_is() -> None:
    search = Team("search", ("cleo",), (GATEWAY,), "search")
    both = people(
        teams=(TEAM, search),
        escalations=(
            EscalationPolicy("shop", (FIRST,)),
            EscalationPolicy("search", (Level((Target("person", "cleo"),)),)),
        ),
    )
    assert woken(scene(both).run(until=5)) == [(0, "ana", "phone")], "payment is the likely cause"
    vague = Scene(
        (obey, wake, page),
        broken(hypotheses=(replace(pool_exhausted(), probability=0.1),), using=policy(playbooks=(), people=both)),
    ).run(until=5)
    assert woken(vague) == [(0, "cleo", "chat")], "the gateway is where users feel it"
    nobody = replace(both, teams=(replace(TEAM, services=()), replace(search, services=())))
    assert woken(scene(nobody).run(until=5)) == [(0, "ana", "phone")], "the catch-all"


def test_who_was_woken_hears_that_it_is_over_and_nobody_is_paged_for_it_any_more() -> None:
    made = scene()
    for until in range(5, 80, 5):
        deliver(made.run(until=float(until)))
    last = made.pages()[-1][1]
    made.record(IncidentResolved("INC-1", "calm"))
    assert unwanted(made.state, last, made.now) == "INC-1 is resolved"
    made.run(until=200)
    over = [(p.person, p.key) for _, p in made.pages() if p.topics == ("resolved",)]
    assert over == [("ana", "INC-1/resolved/ana/phone"), ("ben", "INC-1/resolved/ben/phone")]


def test_an_outage_of_midwatch_costs_nobody_a_page_and_nobody_gets_a_heap() -> None:
    made = scene()
    deliver(made.run(until=5))
    made.now = START + 3600.0
    made.run(until=3605)
    late: list[PageOrdered] = [p for at, p in made.pages() if at >= 3600]
    assert sorted(p.person for p in late) == ["ana", "ben"]


def test_without_people_the_channels_are_paged() -> None:
    assert woken(scene(People()).run(until=5)) == [(0, "", "siren")]


def test_a_stand_in_of_this_moment_counts_at_this_moment() -> None:
    """What was found out about a moment is kept for those who ask next, while people and stand-ins are the same."""
    before = scene().state
    after = replace(before, overrides=(Override("shop", "cleo", START - 1, START + 60),))
    asked = [people_of(state, FIRST, START)[0][0].ident for state in (before, after, before)]
    assert asked == ["ana", "cleo", "ana"]


def test_what_was_just_said_counts_as_the_repeat() -> None:
    slow = people(replace(FIRST, wait_seconds=600.0, repeats=1), SECOND)
    made = deliver(scene(slow, severity=3).run(until=5)).run(until=250)
    made.record(IncidentRated("INC-1", 2, "worse"))
    for until in range(255, 900, 5):
        deliver(made.run(until=float(until)))
    assert woken(made)[:3] == [(0, "ana", "phone"), (250, "ana", "phone"), (600, "ben", "phone")], "none at 300"
    long_ago = deliver(scene(slow, severity=3).run(until=5)).run(until=235)
    long_ago.record(IncidentRated("INC-1", 2, "worse"))
    assert woken(deliver(long_ago.run(until=240)).run(until=320))[:3] == [
        (0, "ana", "phone"),
        (235, "ana", "phone"),
        (300, "ana", "phone"),
    ]


def test_what_was_just_said_and_taken_back_counts_for_nothing() -> None:
    slow = people(replace(FIRST, wait_seconds=600.0, repeats=1), SECOND)
    made = deliver(scene(slow, severity=3).run(until=5)).run(until=250)
    made.record(IncidentRated("INC-1", 2, "worse"))
    made.run(until=255)
    made.record(PageEnded(made.pages()[-1][1].page, "withdrawn", "ana is not due any more: cleo is"))
    assert woken(made.run(until=320))[2:] == [(300, "ana", "phone")]
