"""Verification and closing as timelines: the clock is ours, the World is written by hand."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.decide.worlds import BOOKS, PAYMENT, START, Scene, act, blind, broken, finding, policy, traffic, works

from midwatch.core.decide.obey import obey
from midwatch.core.decide.stage import decide
from midwatch.core.learn.timeline import sentence
from midwatch.core.memory import Memory
from midwatch.core.verify.closing import close
from midwatch.core.verify.expect import verify
from midwatch.model import signals
from midwatch.model.actions import Action, Outcome
from midwatch.model.events import (
    ActionJudged,
    ActionOrdered,
    CommandRefused,
    ExpectationJudged,
    FindingOpened,
    IncidentCalmed,
    IncidentGrew,
    IncidentMitigated,
    IncidentResolved,
)

STAGES = (obey, decide, verify, close)


def scene() -> Scene:
    """Healthy until START, 15 % errors from then on; only the first playbook, so that nothing follows a miss."""
    made = Scene(STAGES, broken(using=policy(playbooks=BOOKS[:1])), now=START + 20)
    made.seen = [(0.0, traffic(0.0)), (START, traffic(0.15))]
    return made


def results(made: Scene) -> list[tuple[float, str]]:
    return [(at, e.result) for at, e in made.log if isinstance(e, ExpectationJudged)]


def test_met_when_it_holds_and_then_the_incident_closes_by_it() -> None:
    made = scene().at(30, traffic(0.0)).run(until=100)
    [(at, result)] = results(made)
    assert result == "met" and 45 <= at <= 65
    assert made.state.playbooks["resize-pool"].met == 1
    made.heal().run(until=200)
    assert [e.calm for _, e in made.log if isinstance(e, IncidentCalmed)] == [True]
    [(at, mitigated)] = made.told(IncidentMitigated)
    assert mitigated.by == "ACT-1" and 160 <= at <= 170
    assert made.state.incidents["INC-1"].phase == "resolved"


def test_missed_is_taken_back_with_the_value_from_before() -> None:
    made = scene().run(until=120)
    [(at, result)] = results(made)
    assert result == "missed" and 80 < at <= 90
    first, undo = [e.action_id for _, e in made.log if isinstance(e, ActionOrdered)]
    taken = made.state.actions[undo].action
    assert taken.undo_of == first and taken.verb == "resize_pool" and taken.parameters == {"size": 5}
    assert made.state.actions[undo].verdict.rule == "undo"
    assert made.state.incidents["INC-1"].phase == "open"
    assert "15.0 %" in made.state.actions[first].result_why and "gateway" in made.state.actions[first].result_why


def test_what_goes_on_behind_takes_nothing_back_once_users_are_well() -> None:
    """A drained instance still takes work from its queue: requests are well, and undraining would send them there again."""
    made = scene()
    behind = finding(entity=PAYMENT)
    made.state = act(
        made.state, START, FindingOpened(behind), IncidentGrew("INC-1", (behind.id,), (PAYMENT,), "it is called")
    )
    errors = (PAYMENT, signals.ERRORS)
    made.at(30, {**traffic(0.0), errors: traffic(0.15)[errors]}).run(until=150)
    [(at, result)] = results(made)
    assert result == "met" and 80 < at <= 90
    assert len(made.told(ActionOrdered)) == 1
    assert made.state.actions["ACT-1"].result_why.startswith("users no longer feel it")


def test_a_missed_restart_has_nothing_to_take_back() -> None:
    made = scene()
    made.state = broken(using=policy(playbooks=BOOKS[1:2]))
    made.run(until=150)
    assert [r for _, r in results(made)] == ["missed"]
    assert len(made.told(ActionOrdered)) == 1


def test_no_data_is_unknown_and_holds() -> None:
    made = scene().at(25, blind()).run(until=200)
    assert [r for _, r in results(made)] == ["unknown"]
    assert len(made.told(ActionOrdered)) == 1
    assert not made.told(IncidentResolved)


def test_no_data_is_not_calm() -> None:
    made = scene().at(22, blind())
    made.tick()
    made.heal().run(until=400)
    assert made.state.incidents["INC-1"].calm_since_at is None and not made.told(IncidentResolved)


def test_a_failed_action_is_not_repeated() -> None:
    made = scene()
    made.hand = lambda action: Outcome("failed", "no such pool")
    made.run(until=300)
    assert len(made.told(ActionOrdered)) == 1


def test_in_doubt_holds() -> None:
    made = scene()
    made.state = broken()
    made.hand = lambda action: Outcome("in_doubt", "timeout")
    made.run(until=300)
    assert len(made.told(ActionOrdered)) == 1
    assert {e.verdict.rule for _, e in made.log if isinstance(e, ActionJudged)} == {"autonomy", "in_doubt"}
    made.hand = works
    made.say("refuse", "ACT-1", note="it did not").run(until=330)
    assert len(made.told(ActionOrdered)) == 2


def test_hands_off_holds_even_the_undo_and_hands_on_lets_it_go() -> None:
    made = scene().run(until=40)
    made.say("hands_off").run(until=150)
    assert [r for _, r in results(made)] == ["missed"]
    assert len(made.told(ActionOrdered)) == 1
    made.say("hands_on").run(until=170)
    assert len(made.told(ActionOrdered)) == 2


def test_losing_the_working_set_closes_and_judges_nothing() -> None:
    made = scene().at(30, traffic(0.0)).run(until=40)
    made.memory = Memory(started_at=made.now)
    made.run(until=54)
    assert not results(made)
    made.run(until=100)
    assert [r for _, r in results(made)] == ["met"]


def test_a_deadline_counts_from_when_the_working_set_came_back() -> None:
    made = scene().run(until=75)
    made.memory = Memory(started_at=made.now)
    made.run(until=120)
    assert not results(made)
    made.run(until=160)
    assert [r for _, r in results(made)] == ["missed"]


def test_harm_that_comes_back_ends_the_calm() -> None:
    made = scene().at(30, traffic(0.0)).run(until=60)
    findings = made.state.findings
    made.heal().run(until=80)
    made.state = replace(made.state, findings=findings)
    made.run(until=90)
    assert [e.calm for _, e in made.log if isinstance(e, IncidentCalmed)] == [True, False]


def test_losing_sight_ends_the_calm_and_is_not_called_harm() -> None:
    made = scene().at(30, traffic(0.0)).at(80, blind()).run(until=60)
    made.heal().run(until=110)
    calm, lost = [e for _, e in made.log if isinstance(e, IncidentCalmed)]
    assert calm.calm and not lost.calm and "no data" in lost.why
    assert "feel it" not in sentence(lost) and "no data" in sentence(lost)


def test_it_heals_by_itself() -> None:
    made = scene()
    made.state = broken(using=policy(mode="shadow"))
    made.at(30, traffic(0.0)).run(until=60).heal().run(until=140)
    assert [e.by for _, e in made.told(IncidentMitigated)] == ["itself"]


def test_a_person_takes_it_back() -> None:
    made = scene().run(until=30).say("undo", "ACT-1").run(until=40)
    assert made.state.actions["ACT-1"].status == "dropped"
    undo = made.state.actions["ACT-2"]
    assert undo.action.undo_of == "ACT-1" and undo.approved_by == ("ana",)
    made.say("undo", "ACT-1").run(until=50)
    assert [e.why for _, e in made.told(CommandRefused)] == ["ACT-2 takes it back already (done)"]


@pytest.mark.parametrize("after", [5.0, 25.0])
def test_only_steps_after_the_effect_count(after: float) -> None:
    """The World still shows the errors from before; they must not count against the action."""
    made = scene().at(20 + after, traffic(0.0)).run(until=120)
    assert [r for _, r in results(made)] == ["met"]


def test_an_undo_is_not_verified_again() -> None:
    made = scene()
    calls: list[Action] = []

    def hand(action: Action) -> Outcome:
        calls.append(action)
        return works(action)

    made.hand = hand
    made.run(until=400)
    assert [a.undo_of for a in calls] == ["", "ACT-1"]
    assert not [e for _, e in made.told(ExpectationJudged) if e.action_id == "ACT-2"]


def test_the_impact_in_the_end_counts_what_failed_after_the_rating() -> None:
    made = scene()
    made.state = broken(using=policy(mode="shadow"))
    rated = made.state.incidents["INC-1"].impact
    made.at(90, traffic(0.0)).run(until=100).heal().run(until=200)
    after = made.state.incidents["INC-1"].impact
    assert rated is not None and after is not None and after.affected_ratio == rated.affected_ratio
    # 100 requests a step of 5 s, 15 % of them failing, for 90 s
    assert after.affected_requests == pytest.approx(0.15 * 100 * 90 / 5, rel=0.15)
