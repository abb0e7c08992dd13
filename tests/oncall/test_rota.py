"""What people say about shifts, and what they are told: stand-ins, swaps, calls for help, hand-offs."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.decide.worlds import START, Scene, broken, policy, turn
from tests.oncall.test_escalation import ANA, BEN, CLEO, SHOP, deliver, people, woken

from midwatch.core.decide.obey import obey
from midwatch.core.oncall.handoff import hand_off
from midwatch.core.oncall.notices import ROUNDS
from midwatch.core.oncall.page import page
from midwatch.core.oncall.rota import rota, why_not
from midwatch.core.oncall.schedule import on_call
from midwatch.core.oncall.wake import unwanted, wake
from midwatch.model.events import AcknowledgementExpired, CommandGiven, CommandRefused, OnCallChanged, SwapAnswered
from midwatch.model.people import Contact, EscalationPolicy, Level, Person, Target, Team
from midwatch.model.policy import PagePolicy

ALL = (obey, rota, hand_off, wake, page)


def scene(severity: int = 2, **changes: object) -> Scene:
    where = "https://midwatch.example"
    using = policy(playbooks=(), paging=PagePolicy(("siren",)), people=people(**changes), console_url=where)
    return Scene(ALL, broken(severity=severity, using=using))


def refusals(made: Scene) -> list[str]:
    return [e.why for _, e in made.told(CommandRefused) if isinstance(e, CommandRefused)]


def now_on_call(made: Scene) -> str:
    return on_call(made.state.policy.people, SHOP, made.state.overrides, made.now)[0]


def test_a_stand_in_is_on_call_from_then_to_then_and_is_paged() -> None:
    made = scene(severity=4).run(until=5)
    made.say("override", "shop", by="ana", value=f"cleo {START + 20:.0f} {START + 40:.0f}", note="dentist").run(
        until=10
    )
    (override,) = made.state.overrides
    assert (override.ident, override.person, override.by, override.reason) == ("OVR-1", "cleo", "ana", "dentist")
    assert now_on_call(made) == "ana"
    made.run(until=25)
    assert now_on_call(made) == "cleo"
    made.say("override_end", "OVR-1").run(until=30)
    assert now_on_call(made) == "ana"
    changed = [e.person for _, e in made.told(OnCallChanged) if isinstance(e, OnCallChanged)]
    assert changed == ["ana", "cleo", "ana"]


def test_who_stands_in_and_who_is_relieved_hear_of_it_on_a_clock_of_their_own() -> None:
    berlin, at = replace(SHOP, zone="Europe/Berlin"), f"{START + 100:.0f} {START + 200:.0f}"
    cleo = replace(CLEO, zone="Asia/Tokyo")
    made = scene(severity=4, people=(ANA, BEN, cleo), schedules=(berlin,)).run(until=5)
    made.say("override", "shop", by="ben", value=f"cleo {at} ana", note="dentist").run(until=10)
    told = {p.person: p for _, p in made.pages()}
    assert told["cleo"].subject == "ben put you on call in shop (OVR-1)" and "Why: dentist" in told["cleo"].text
    assert told["ana"].subject == "ben relieved you in shop (OVR-1)"
    assert "Wed 15 Nov 07:15 to Wed 15 Nov 07:16 (Asia/Tokyo)" in told["cleo"].text
    assert "Tue 14 Nov 23:15 to Tue 14 Nov 23:16 (Europe/Berlin)" in told["ana"].text, "the schedule's, without one"
    made.say("override_end", "OVR-1", by="cleo").run(until=15)
    assert len(made.pages()) == 2, "nobody is told what they said themselves"
    made.say("override", "shop", by="ana", value=f"cleo {at}").run(until=20)
    made.say("override_end", "OVR-2", by="ana").run(until=25)
    assert made.pages()[-1][1].subject == "ana ended your standing in for shop (OVR-2)"


@pytest.mark.parametrize(
    ("verb", "target", "value", "why"),
    [
        ("override", "nope", "cleo 1 2", "there is no schedule 'nope'"),
        ("override", "shop", "dora 1700000100 1700000200", "no people file knows 'dora'"),
        ("override", "shop", "cleo 1700000200 1700000100", "a shift ends after it begins"),
        ("override", "shop", "cleo nan 1700000100", "a time is written like"),
        ("override", "shop", "cleo 2026-11-25T10:00 2026-11-25T12:00", "with its zone"),
        ("override", "shop", "cleo", "say who stands in"),
        ("override", "shop", "cleo 1700000100 1e12", "within 400 days"),
        ("override_end", "OVR-9", "", "no override that holds"),
        ("swap", "shop", "ana 1700000100 1700000200", "you cannot swap with yourself"),
        ("swap", "shop", "ben 1700000100", "say whom you ask"),
        ("swap_answer", "SWP-9", "accept", "no open swap"),
        ("unack", "INC-9", "", "no incident is called 'INC-9'"),
        ("unack", "INC-1", "", "nobody has acknowledged INC-1"),
        ("escalate", "INC-9", "", "no incident is called 'INC-9'"),
        ("escalate", "INC-1", "nope", "there is no team 'nope' with an escalation"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_reason(verb: str, target: str, value: str, why: str) -> None:
    made = scene(severity=4)
    told = why_not(turn(made.state), CommandGiven(verb, "ana", target, value))
    made.say(verb, target, value=value).run(until=5)
    (said,) = refusals(made)
    assert why in said and told == said, "whoever asks hears it at once, before anything is journaled"


def test_what_makes_sense_has_no_reason_against_it_and_nothing_comes_of_asking() -> None:
    state = scene(severity=4).run(until=5).state
    said = CommandGiven("override", "ana", "shop", f"cleo {START + 20:.0f} {START + 40:.0f}")
    assert why_not(turn(state), said) == "" == why_not(turn(state), CommandGiven("ack", "ana", "INC-1"))
    assert not state.overrides


def test_a_swap_is_asked_for_accepted_by_who_was_asked_and_both_shifts_move() -> None:
    made = scene(severity=4).run(until=5)
    span, back = f"{START + 100:.0f} {START + 200:.0f}", f"{START + 300:.0f} {START + 400:.0f}"
    made.say("swap", "shop", by="ana", value=f"ben {span} {back}").run(until=10)
    (asked,) = [p for _, p in made.pages()]
    assert (asked.person, asked.channel, asked.incident) == ("ben", "phone", "")
    assert "midwatch oncall accept SWP-1" in asked.text and asked.text.endswith("\nhttps://midwatch.example/oncall")
    made.say("swap_answer", "SWP-1", by="cleo", value="accept").run(until=15)
    assert refusals(made) == ["ben is asked, not cleo"]
    made.say("swap_answer", "SWP-1", by="ben", value="accept").run(until=20)
    assert [(o.person, o.instead_of) for o in made.state.overrides] == [("ben", "ana"), ("ana", "ben")]
    assert made.pages()[-1][1].subject == "ben accepted your swap SWP-1 of shop"
    made.say("swap_answer", "SWP-1", by="ben", value="refuse").run(until=25)
    assert refusals(made)[1:] == ["no open swap is called 'SWP-1'"]
    made.run(until=105)
    assert now_on_call(made) == "ben"


def test_a_swap_put_to_anybody_is_taken_by_anybody_else_or_withdrawn() -> None:
    made = scene(severity=4).run(until=5)
    made.say("swap", "shop", by="ana", value=f"anybody {START + 100:.0f} {START + 200:.0f}").run(until=10)
    made.say("swap_answer", "SWP-1", by="ana", value="accept").run(until=15)
    made.say("swap_answer", "SWP-1", by="ben", value="withdraw").run(until=20)
    assert refusals(made) == ["somebody else is asked, not ana", "only ana can withdraw it"]
    made.say("swap_answer", "SWP-1", by="ana", value="withdraw").run(until=25)
    answers = [e.answer for _, e in made.told(SwapAnswered) if isinstance(e, SwapAnswered)]
    assert answers == ["withdrawn"] and not made.state.overrides


def test_a_call_for_help_wakes_the_next_level_and_not_who_called() -> None:
    made = scene()
    deliver(made.run(until=10)).say("ack", "INC-1", by="ana").run(until=20)
    made.say("escalate", "INC-1", by="ana").run(until=25)
    assert woken(made) == [(0, "ana", "phone"), (20, "ben", "phone")]
    assert "ana asks for help." in made.pages()[-1][1].text
    made.say("ack", "INC-1", by="ben").run(until=300)
    assert len(made.pages()) == 2
    made.say("escalate", "INC-1", by="ben").run(until=305)
    assert woken(made)[-1] == (300, "ana", "phone")


def test_an_answer_that_is_taken_back_wakes_who_is_on_call_now_from_the_first_level() -> None:
    made = scene()
    deliver(made.run(until=10)).say("ack", "INC-1", by="ana").run(until=500)
    made.say("unack", "INC-1", by="ana", note="my train").run(until=505)
    (expired,) = [e for _, e in made.told(AcknowledgementExpired)]
    assert expired == AcknowledgementExpired("INC-1", "ana", "ana took it back: my train")
    assert woken(made) == [(0, "ana", "phone"), (500, "ana", "phone")], "not all the levels that time has passed by"
    assert made.state.escalations["INC-1"].number == 2
    made.say("unack", "INC-1", by="ben").run(until=510)
    assert refusals(made) == ["nobody has acknowledged INC-1"]


def test_help_of_another_team_is_woken_though_the_incident_itself_wakes_nobody() -> None:
    search = Team("search", ("cleo",), (), "search")
    ladder = EscalationPolicy("search", (Level((Target("team", "search"),)),))
    base = people()
    made = scene(severity=4, teams=(*base.teams, search), escalations=(*base.escalations, ladder))
    made.run(until=10)
    assert not woken(made)
    made.say("escalate", "INC-1", by="ana", value="team:search").run(until=15)
    assert woken(made) == [(10, "cleo", "chat")]
    assert made.state.escalations["INC-1"].team == "search"


def test_who_comes_on_call_hears_what_is_going_on_once() -> None:
    made = scene(severity=2)
    deliver(made.run(until=10)).say("ack", "INC-1", by="ana")
    made.say("override", "shop", by="cleo", value=f"cleo {START + 30:.0f} {START + 5000:.0f}").run(until=60)
    told = [p for _, p in made.pages() if p.topics == ("notice",)]
    assert [(p.person, p.channel) for p in told] == [("cleo", "chat")]
    assert told[0].subject.startswith("You are on call in shop until ")
    assert "Open: INC-1 SEV2" in told[0].text and "acknowledged by ana" in told[0].text
    assert "from ana" in told[0].text and "The shift before: 1 page, 0 incidents over." in told[0].text


def shift_of_cleo(made: Scene) -> Scene:
    """Somebody with two ways to be reached comes on call at 30 s."""
    made.run(until=10)
    return made.say("override", "shop", by="cleo", value=f"cleo {START + 30:.0f} {START + 5000:.0f}")


def notices(made: Scene) -> list[tuple[float, str, str]]:
    return [(at, p.person, p.channel) for at, p in made.pages() if p.topics == ("notice",)]


def two_ways() -> Scene:
    cleo = Person("cleo", contacts=(Contact("chat"), Contact("phone", "env:CLEO")))
    return scene(severity=4, people=(ANA, BEN, cleo))


def test_a_notice_that_its_channel_does_not_take_goes_over_the_next_contact() -> None:
    made = deliver(shift_of_cleo(two_ways()).run(until=35), "failed", "chat is down").run(until=200)
    assert notices(made) == [(30, "cleo", "chat"), (35, "cleo", "phone")]
    first, second = (p for _, p in made.pages())
    assert second.key != first.key and (second.to, second.text) == ("env:CLEO", first.text)
    deliver(made).run(until=2000)
    assert len(notices(made)) == 2, "it was taken"


def test_a_notice_that_hangs_goes_over_the_next_contact_too() -> None:
    made = shift_of_cleo(two_ways()).run(until=100)
    assert notices(made) == [(30, "cleo", "chat"), (75, "cleo", "phone")]


def test_a_notice_that_no_contact_takes_is_tried_a_few_times_and_then_left() -> None:
    made = shift_of_cleo(two_ways())
    for until in range(35, 4000, 5):
        deliver(made.run(until=float(until)), "failed", "down")
    assert [channel for _, _, channel in notices(made)] == ["chat", "phone"] * ROUNDS
    keys = [p.key for _, p in made.pages()]
    assert len(set(keys)) == len(keys)


def test_a_notice_of_a_shift_that_somebody_else_has_by_now_is_not_sent_on() -> None:
    made = deliver(shift_of_cleo(two_ways()).run(until=35), "failed")
    order = next(p for _, p in made.pages() if p.person == "cleo")
    assert unwanted(made.state, order, made.now) == ""
    made.say("override_end", "OVR-1", by="ana").run(until=50)
    assert unwanted(made.state, order, made.now) == "ana is on call in shop by now"
