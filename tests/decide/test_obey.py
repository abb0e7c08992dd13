"""What people say, and what becomes of it."""

from __future__ import annotations

import pytest
from tests.decide.worlds import PAYMENT, START, act, broken, policy, turn

from midwatch.core.decide.obey import obey
from midwatch.core.decide.stage import decide
from midwatch.model.actions import Outcome, Playbook
from midwatch.model.events import (
    ActionApproved,
    ActionDropped,
    ActionEnded,
    ActionJudged,
    ActionOrdered,
    AutonomyChanged,
    CauseConfirmed,
    CommandGiven,
    CommandRefused,
    Event,
    HandsOffChanged,
    IncidentAcknowledged,
    IncidentMitigated,
    IncidentResolved,
)
from midwatch.model.state import State

ASKED = decide(turn(broken(using=policy(mode="ask")))).state
DROPPING = Playbook("drop", ("pool_exhausted",), "drop_table", autonomy="auto")
TWO = decide(turn(broken(using=policy(playbooks=(DROPPING,))))).state
RUNNING = decide(turn(broken())).state


def say(
    state: State, verb: str, target: str = "", value: str = "", by: str = "ana", note: str = "", credential: str = ""
) -> tuple[Event, ...]:
    given = CommandGiven(verb, by, target, value, note, credential=credential)
    return obey(Ready(state, given)).events


def Ready(state: State, *inputs: Event):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(turn(state, now=START + 30), inputs=inputs)


@pytest.mark.parametrize(
    ("state", "verb", "target", "value", "becomes"),
    [
        (ASKED, "ack", "INC-1", "", [IncidentAcknowledged]),
        (ASKED, "ack", "ACT-1", "", [IncidentAcknowledged]),
        (ASKED, "approve", "ACT-1", "", [ActionApproved, ActionJudged, ActionOrdered]),
        (TWO, "approve", "ACT-1", "", [ActionApproved]),
        (ASKED, "refuse", "ACT-1", "", [ActionDropped]),
        (ASKED, "confirm_cause", "INC-1", "1", [CauseConfirmed]),
        (ASKED, "confirm_cause", "INC-1", "pool_exhausted", [CauseConfirmed]),
        (ASKED, "confirm_cause", "INC-1", f"{PAYMENT} bad_config", [CauseConfirmed]),
        (ASKED, "hands_off", "", "", [HandsOffChanged]),
        (ASKED, "hands_on", "", "", []),
        (ASKED, "resolve", "INC-1", "", [ActionDropped, IncidentMitigated, IncidentResolved]),
        (ASKED, "autonomy", "restart", "ask", [AutonomyChanged]),
        (ASKED, "note", "INC-1", "", []),
    ],
)
def test_obeyed(state: State, verb: str, target: str, value: str, becomes: list[type]) -> None:
    assert [type(e) for e in say(state, verb, target, value)] == becomes


@pytest.mark.parametrize(
    ("state", "verb", "target", "value", "why"),
    [
        (ASKED, "ack", "INC-9", "", "no incident, action or page is called 'INC-9'"),
        (ASKED, "approve", "ACT-9", "", "no action is called"),
        (RUNNING, "approve", "ACT-1", "", "not waiting for a yes: it is ordered"),
        (RUNNING, "refuse", "ACT-1", "", "nothing to refuse"),
        (RUNNING, "undo", "ACT-1", "", "not known to have taken effect"),
        (ASKED, "undo", "ACT-9", "", "no action is called"),
        (ASKED, "confirm_cause", "INC-1", "gremlins", "say a rank"),
        (RUNNING, "resolve", "INC-1", "", "is being carried out"),
        (ASKED, "autonomy", "restart", "god", "is no level"),
        (ASKED, "autonomy", "nothing", "ask", "no playbook is called"),
        (ASKED, "note", "INC-9", "", "no incident"),
        (ASKED, "dance", "INC-1", "", "there is no command 'dance'"),
    ],
)
def test_refused_with_a_reason(state: State, verb: str, target: str, value: str, why: str) -> None:
    (event,) = say(state, verb, target, value)
    assert isinstance(event, CommandRefused) and why in event.why and event.by == "ana"


def test_what_is_irreversible_needs_two_different_people() -> None:
    first = act(TWO, START + 30, *say(TWO, "approve", "ACT-1"))
    assert first.actions["ACT-1"].status == "asked" and first.actions["ACT-1"].approved_by == ("ana",)
    (again,) = say(first, "approve", "ACT-1")
    assert isinstance(again, CommandRefused) and "another person" in again.why
    second = say(first, "approve", "ACT-1", by="bo", credential="bo")
    ordered = next(e for e in second if isinstance(e, ActionOrdered))
    assert ordered.approved_by == ("ana", "bo")
    assert act(first, START + 35, *second).actions["ACT-1"].credentials == ("", "bo")


def test_two_names_with_one_token_are_one_person() -> None:
    first = act(TWO, START + 30, *say(TWO, "approve", "ACT-1"))
    (event,) = say(first, "approve", "ACT-1", by="bo")
    assert isinstance(event, CommandRefused)
    assert "the yes of ana came with the same token" in event.why and "tokens: in settings.yaml" in event.why


def test_hands_off_refuses_an_approval_and_the_question_stays() -> None:
    off = act(ASKED, START + 25, HandsOffChanged(True, "bo"))
    (event,) = say(off, "approve", "ACT-1")
    assert isinstance(event, CommandRefused) and event.why.startswith("hands_off:")
    assert off.actions["ACT-1"].status == "asked"


def test_shadow_touches_nothing_even_when_told() -> None:
    shadow = decide(turn(broken(using=policy(mode="shadow")))).state
    (event,) = say(shadow, "approve", "ACT-1")
    assert isinstance(event, CommandRefused) and event.why.startswith("shadow:")
    suggested = decide(turn(broken(using=policy(mode="suggest")))).state
    assert any(isinstance(e, ActionOrdered) for e in say(suggested, "approve", "ACT-1"))


def test_an_undo_that_failed_may_be_commanded_again_under_its_own_key() -> None:
    done = act(RUNNING, START + 25, ActionEnded("ACT-1", Outcome("done", undo_parameters={"size": 5})))
    first = act(done, START + 30, *say(done, "undo", "ACT-1"))
    assert first.actions["ACT-2"].action.key == "INC-1/resize-pool/payment/1/undo"
    failed = act(first, START + 31, ActionEnded("ACT-2", Outcome("failed", "no")))
    second = act(failed, START + 35, *say(failed, "undo", "ACT-1"))
    assert second.actions["ACT-3"].action.key == "INC-1/resize-pool/payment/1/undo/2"
    assert second.actions["ACT-3"].status == "ordered"
    worked = act(second, START + 36, ActionEnded("ACT-3", Outcome("done")))
    (event,) = say(worked, "undo", "ACT-1")
    assert isinstance(event, CommandRefused) and "takes it back already (done)" in event.why


def test_a_cause_is_confirmed_once() -> None:
    once = act(ASKED, START + 25, *say(ASKED, "confirm_cause", "INC-1", "1"))
    (event,) = say(once, "confirm_cause", "INC-1", "1")
    assert isinstance(event, CommandRefused) and once.causes_seen == {"pool_exhausted": 1}
