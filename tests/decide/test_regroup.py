"""Incidents merged, split and rearranged by people: what goes along, what stays, who is woken, and what is learned."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.decide.worlds import (
    GATEWAY,
    PAYMENT,
    START,
    Scene,
    act,
    broken,
    finding,
    policy,
    traffic,
    turn,
)

from midwatch.core.decide.obey import obey
from midwatch.core.decide.stage import decide
from midwatch.core.detect.incidents import group
from midwatch.core.learn.stage import learn
from midwatch.core.learn.timeline import timeline
from midwatch.core.oncall.page import page
from midwatch.core.oncall.updates import tell
from midwatch.core.verify.closing import close
from midwatch.core.verify.expect import verify
from midwatch.model.alerts import Alert, Judged
from midwatch.model.events import (
    MAX_SAID,
    ActionDropped,
    AlertsJudged,
    AlertsReceived,
    CommandGiven,
    CommandRefused,
    EscalationStarted,
    Event,
    FindingClosed,
    FindingOpened,
    GroupingLearned,
    IncidentAcknowledged,
    IncidentGrew,
    IncidentMerged,
    IncidentOpened,
    IncidentSplit,
    PostmortemWritten,
    Recorded,
)
from midwatch.model.findings import Impact
from midwatch.model.policy import PagePolicy
from midwatch.model.regroup_steps import MAX_NET, MAX_PAIRINGS, Pairing, learned
from midwatch.model.state import State

CART, SEARCH = "service:cart", "service:search"
ALL = (obey, group, decide, verify, close, tell, page, learn)
PAGING = PagePolicy(channels=("phone",), page_severity=2, repeat_seconds=60, max_repeats=50)


def two(**changes: object) -> State:
    """INC-1 at the gateway (SEV2), and INC-2 at the cart, half a minute older and milder."""
    cart = finding(CART, at=START - 30)
    return act(
        broken(using=policy(**changes)),
        START,
        FindingOpened(cart),
        IncidentOpened("INC-2", "slow cart", START - 30, 3, "a bit", (cart.id,), (CART,), Impact(CART, 0.05, 9, START)),
    )


def one(*more: str, **changes: object) -> State:
    """INC-1 at the gateway, and at ``more``."""
    state = broken(using=policy(playbooks=(), **changes))
    for entity in more:
        other = finding(entity, at=START + 5)
        state = act(state, START + 5, FindingOpened(other), IncidentGrew("INC-1", (other.id,), (entity,), "calls"))
    return state


def say(state: State, verb: str, target: str, value: str = "", note: str = "") -> tuple[Event, ...]:
    given = CommandGiven(verb, "ana", target, value, note)
    return obey(replace(turn(state, now=START + 30), inputs=(given,))).events


def after(state: State, verb: str, target: str, value: str = "") -> State:
    return act(state, START + 30, *say(state, verb, target, value))


# -- merge --


def test_the_one_that_stays_is_about_everything_and_as_bad_as_the_worse() -> None:
    (event,) = say(two(), "merge", "INC-2", "INC-1", "one cable")
    assert event == IncidentMerged("INC-2", "INC-1", "ana", "one cable")
    kept, gone = (act(two(), START + 30, event).incidents[i] for i in ("INC-2", "INC-1"))
    assert (kept.severity, kept.title, kept.severity_reason) == (2, "elevated errors", "because")
    assert kept.onset_at == START - 30 and kept.symptoms == (CART, GATEWAY) and len(kept.findings) == 2
    assert kept.impact is not None and kept.impact.affected_ratio == 0.15
    assert kept.hypotheses and kept.absorbed == ("INC-1",)
    assert (gone.phase, gone.resolved_at, gone.merged_into) == ("resolved", START + 30, "INC-2")


def test_a_reason_is_kept_as_long_as_it_may_be_said() -> None:
    for state, verb, value in ((two(), "merge", "INC-2"), (one(CART), "split", CART)):
        told = say(state, verb, "INC-1", value, "x" * MAX_SAID)
        assert [e.why for e in told if isinstance(e, IncidentMerged | IncidentSplit)] == ["x" * MAX_SAID]


def test_several_at_once_and_what_was_merged_before_comes_along() -> None:
    search = finding(SEARCH)
    three = act(
        two(), START, FindingOpened(search), IncidentOpened("INC-3", "x", START, 4, "", (search.id,), (SEARCH,))
    )
    assert after(three, "merge", "INC-1", "INC-2 INC-3").incidents["INC-1"].absorbed == ("INC-2", "INC-3")
    chain = after(after(three, "merge", "INC-2", "INC-3"), "merge", "INC-1", "INC-2")
    assert chain.incidents["INC-1"].absorbed == ("INC-2", "INC-3") and len(chain.open_incidents) == 1


def test_an_action_under_way_goes_along_and_a_question_is_asked_anew() -> None:
    asking = decide(turn(two(mode="ask"))).state
    assert asking.actions["ACT-1"].status == "asked"
    dropped, merged = say(asking, "merge", "INC-2", "INC-1")
    assert isinstance(dropped, ActionDropped) and "proposed there" in dropped.why
    state = act(asking, START + 30, dropped, merged)
    assert not state.actions_of("INC-2")
    again = decide(turn(state, now=START + 35)).state.actions_of("INC-2")
    assert [(r.action.target, r.status) for r in again] == [(PAYMENT, "asked")]

    running = decide(turn(two())).state
    moved = after(running, "merge", "INC-2", "INC-1")
    assert [r.action.id for r in moved.actions_of("INC-2")] == ["ACT-1"] and moved.actions["ACT-1"].status == "ordered"
    assert moved.incidents["INC-2"].phase == "mitigating"


def test_alerts_count_where_their_incident_went() -> None:
    ident = f"alert|{CART}|Down"
    told = act(
        two(),
        START,
        AlertsReceived((Alert("prom:1", "prom", "firing", START, START, 2, "Down", entity=CART),)),
        AlertsJudged((Judged("prom:1", "grouped", "so", ident, "INC-2"),)),
        FindingOpened(finding(CART, kind="alert")),
        IncidentGrew("INC-2", (ident,), (), "so"),
    )
    assert after(told, "merge", "INC-1", "INC-2").alerts["prom:1"].incident == "INC-1"
    assert after(after(told, "merge", "INC-1", "INC-2"), "split", "INC-1", "cart").alerts["prom:1"].incident == "INC-3"


def test_who_answered_for_one_answers_for_the_whole() -> None:
    unanswered = say(two(), "merge", "INC-1", "INC-2")
    assert [type(e) for e in unanswered] == [IncidentMerged]
    answered = act(two(), START + 10, IncidentAcknowledged("INC-2", "bo"))
    merged = say(answered, "merge", "INC-1", "INC-2")
    assert merged[-1] == IncidentAcknowledged("INC-1", "bo")


@pytest.mark.parametrize(
    ("target", "value", "why"),
    [
        ("INC-1", "", "say which incidents"),
        ("INC-1", "INC-1", "cannot become part of itself"),
        ("INC-1", "INC-9", "no incident is called 'INC-9'"),
        ("INC-9", "INC-1", "no incident is called 'INC-9'"),
        ("INC-1", " ".join(f"INC-{n}" for n in range(2, 40)), "1 to 20"),
    ],
)
def test_a_merge_is_refused_with_a_reason(target: str, value: str, why: str) -> None:
    (event,) = say(two(), "merge", target, value)
    assert isinstance(event, CommandRefused) and why in event.why


def test_what_is_over_is_not_regrouped() -> None:
    merged = after(two(), "merge", "INC-1", "INC-2")
    for verb, target, value in (
        ("merge", "INC-1", "INC-2"),
        ("split", "INC-2", "cart"),
        ("move", "INC-1", "INC-2 cart"),
    ):
        (event,) = say(merged, verb, target, value)
        assert isinstance(event, CommandRefused) and "is part of INC-1 already" in event.why
    over = after(two(), "resolve", "INC-2")
    (event,) = say(over, "merge", "INC-1", "INC-2")
    assert isinstance(event, CommandRefused) and "INC-2 is resolved" in event.why


# -- split and move --


@pytest.mark.parametrize("word", [CART, "cart", f"error_shift|{CART}|"])
def test_a_part_becomes_an_incident_of_its_own(word: str) -> None:
    split, opened = say(one(CART), "split", "INC-1", word, "its own trouble")
    assert split == IncidentSplit("INC-1", "INC-2", (f"error_shift|{CART}|",), (CART,), "ana", "its own trouble")
    assert (
        isinstance(opened, IncidentOpened) and opened.why == "ana split it from INC-1" and opened.onset_at == START + 5
    )
    state = act(one(CART), START + 30, split, opened)
    assert state.incidents["INC-1"].symptoms == (GATEWAY,) and state.incidents["INC-2"].symptoms == (CART,)
    assert state.incidents["INC-2"].split_from == "INC-1" and state.next_incident == 3


def test_names_with_blanks_are_taken_line_by_line() -> None:
    strange = "external:High load"
    state = after(one(CART, strange, SEARCH), "split", "INC-1", f"{strange}\ncart, search")
    assert set(state.incidents["INC-2"].symptoms) == {CART, strange, SEARCH}


def test_what_is_moved_joins_another_incident() -> None:
    cart = finding(SEARCH, at=START + 5)
    state = act(two(), START + 5, FindingOpened(cart), IncidentGrew("INC-1", (cart.id,), (SEARCH,), "calls"))
    split, grew = say(state, "move", "INC-1", "INC-2 search")
    assert isinstance(split, IncidentSplit) and split.into == "INC-2"
    assert grew == IncidentGrew("INC-2", (cart.id,), (SEARCH,), "ana moved it here from INC-1")
    after_move = act(state, START + 30, split, grew)
    assert after_move.incidents["INC-2"].symptoms == (CART, SEARCH) and len(after_move.open_incidents) == 2


def test_a_single_finding_may_leave_and_its_entity_stays() -> None:
    slow = finding(CART, kind="latency_shift", at=START + 6)
    state = act(one(CART), START + 6, FindingOpened(slow), IncidentGrew("INC-1", (slow.id,), (), "same"))
    split = after(state, "split", "INC-1", slow.id)
    assert split.incidents["INC-1"].symptoms == (GATEWAY, CART) and split.incidents["INC-2"].findings == (slow.id,)


@pytest.mark.parametrize(
    ("verb", "value", "why"),
    [
        ("split", "", "say what of INC-1 is separate; it is about gateway, cart"),
        ("split", "moon", "INC-1 is not about 'moon'; it is about gateway, cart"),
        ("split", "cart gateway", "nothing would be left of it"),
        ("move", "INC-1 cart", "it is in INC-1 already"),
        ("move", "INC-7 cart", "no incident is called 'INC-7'"),
        ("move", "", "say which incident it belongs to"),
        ("move", "INC-7", "no incident is called 'INC-7'"),
    ],
)
def test_a_split_is_refused_with_a_reason(verb: str, value: str, why: str) -> None:
    (event,) = say(one(CART), verb, "INC-1", value)
    assert isinstance(event, CommandRefused) and why in event.why


def test_what_is_well_again_is_no_incident() -> None:
    state = act(one(CART), START + 20, FindingClosed(f"error_shift|{CART}|"))
    (event,) = say(state, "split", "INC-1", "cart")
    assert isinstance(event, CommandRefused) and "nothing of that is wrong any more" in event.why


def test_the_escalation_goes_along_so_that_nobody_is_woken_twice() -> None:
    started = EscalationStarted("INC-1", "shop", "team", "sev2", 1, 0)
    woken = act(two(), START + 5, started)
    merged = after(woken, "merge", "INC-2", "INC-1")
    assert merged.escalations["INC-2"] == woken.escalations["INC-1"]
    both = act(two(), START + 5, started, EscalationStarted("INC-2", "other", "team", "sev3", 1, 0))
    assert after(both, "merge", "INC-2", "INC-1").escalations["INC-2"].policy == "other"
    apart = act(one(CART), START + 6, started)
    assert after(apart, "split", "INC-1", "cart").escalations["INC-2"] == apart.escalations["INC-1"]


# -- pages, words, the timeline --


def phone(made: Scene, incident: str) -> list[float]:
    return [at for at, p in made.pages() if p.incident == incident]


def test_merging_wakes_nobody_and_says_where_it_goes_on() -> None:
    made = Scene(ALL, two(playbooks=(), paging=PAGING)).run(until=20)
    assert phone(made, "INC-1") == [0] and not phone(made, "INC-2")
    made.say("merge", "INC-2", value="INC-1").run(until=30)
    (told,) = [p for _, p in made.pages() if p.incident == "INC-1" and p.repeat]
    assert told.topics == ("resolved",) and told.subject.startswith("Merged into INC-2: INC-1")
    assert "is part of INC-2" in told.text and not phone(made, "INC-2")
    made.run(until=200)
    assert phone(made, "INC-2") == [60, 120, 180]  # nobody answered, so it goes on from where INC-1 was
    assert not made.told(PostmortemWritten)


def test_splitting_wakes_nobody_who_answered() -> None:
    made = Scene(ALL, one(CART, paging=PAGING))
    made.run(until=10).say("ack", "INC-1").run(until=20).say("split", "INC-1", value="cart").run(until=300)
    assert phone(made, "INC-1") == [0] and not phone(made, "INC-2")
    assert made.state.incidents["INC-2"].acknowledged_by == "ana"


def test_the_timeline_tells_the_whole_story() -> None:
    made = Scene(ALL, two(playbooks=()))
    start = [
        Recorded(1, START, FindingOpened(finding())),
        Recorded(2, START, IncidentOpened("INC-1", "a", START, 2, "r", (finding().id,), (GATEWAY,))),
        Recorded(3, START, IncidentOpened("INC-2", "b", START, 3, "r", ("f|cart|",), (CART,))),
    ]
    made.run(until=10).say("merge", "INC-2", value="INC-1", note="one cable").run(until=20)
    journal = start + [Recorded(n, START + at, event) for n, (at, event) in enumerate(made.log, 4)]
    rows = [row.text for row in timeline(journal, "INC-2")]
    assert "INC-1 became part of INC-2: one cable" in rows
    assert any(text.startswith("INC-1 opened") for text in rows) and any(t.startswith("error shift") for t in rows)
    assert any("belong to one incident" in text for text in rows)
    gone = [row.text for row in timeline(journal, "INC-1")]
    assert any(text.startswith("INC-1 became part of INC-2") for text in gone)


# -- learned --


def test_a_merge_and_a_split_teach_pairs_and_a_word_to_the_contrary_unteaches() -> None:
    made = Scene(ALL, one(CART)).say("split", "INC-1", value="cart").tick()
    (taught,) = [e for _, e in made.told(GroupingLearned)]
    assert taught == GroupingLearned("INC-1", ((GATEWAY, CART),), False, "ana")
    assert [(p.first, p.second, p.net) for p in made.state.pairings] == [(CART, GATEWAY, -1)]
    made.say("merge", "INC-1", value="INC-2").tick()
    assert made.state.pairings == ()


def test_pairs_are_bounded_in_number_and_strength() -> None:
    many = [(f"service:a{n}", "service:b") for n in range(MAX_PAIRINGS + 50)]
    kept = learned((), many, True, "INC-1", "ana", START)
    assert len(kept) == MAX_PAIRINGS and kept[-1].first == f"service:a{MAX_PAIRINGS + 49}"
    strong: tuple[Pairing, ...] = ()
    for _ in range(9):
        strong = learned(strong, [(CART, GATEWAY)], True, "INC-1", "ana", START)
    assert strong[0].net == MAX_NET
    crowd = tuple(f"service:x{n}" for n in range(30))
    made = Scene(ALL, one(*crowd)).say("split", "INC-1", value=" ".join(crowd[:15])).tick()
    (taught,) = [e for _, e in made.told(GroupingLearned)]
    assert isinstance(taught, GroupingLearned) and len(taught.pairs) == 25


def test_next_time_the_cart_is_an_incident_of_its_own() -> None:
    made = Scene(ALL, one(CART)).say("split", "INC-1", value="cart").tick()
    made.say("resolve", "INC-1").say("resolve", "INC-2").tick()
    made.now += 3600
    made.seen = [(0.0, {**traffic(0.15)})]
    made.record(FindingOpened(finding(at=made.now)))
    made.tick()
    made.record(FindingOpened(finding(CART, at=made.now)))
    made.tick()
    opened = [e for _, e in made.told(IncidentOpened)][-2:]
    assert [o.symptoms for o in opened if isinstance(o, IncidentOpened)] == [(GATEWAY,), (CART,)]
    assert isinstance(opened[1], IncidentOpened) and "kept out of INC-3: ana said on" in opened[1].why
