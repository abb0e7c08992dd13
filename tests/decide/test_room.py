"""Incident command: roles, decisions and checklists, and what becomes of them when incidents are merged or forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.decide.test_regroup import two
from tests.decide.worlds import START, act, turn

from midwatch.core.decide.obey import obey
from midwatch.core.learn.items import todo
from midwatch.core.learn.postmortem import postmortem
from midwatch.core.learn.timeline import timeline
from midwatch.model.events import (
    CommandGiven,
    CommandRefused,
    DecisionMade,
    Event,
    IncidentOpened,
    IncidentRated,
    IncidentResolved,
    Recorded,
    RoleTaken,
    StepTicked,
    StepUnticked,
    TaskDone,
    TaskGiven,
    TaskSet,
)
from midwatch.model.fold.incidents import MAX_CLOSED_INCIDENTS
from midwatch.model.room import CHECKLISTS, Decision, Room, Task
from midwatch.model.room_steps import MAX_DECISIONS, MAX_TASKS, MAX_TICKED
from midwatch.model.state import State


def say(state: State, verb: str, target: str, value: str = "", note: str = "") -> tuple[Event, ...]:
    given = CommandGiven(verb, "ana", target, value, note)
    return obey(replace(turn(state, now=START + 30), inputs=(given,))).events


def after(state: State, *said: tuple[str, ...]) -> State:
    for one in said:
        state = act(state, START + 30, *say(state, *one))
    return state


def test_a_role_is_taken_handed_on_and_freed() -> None:
    assert say(two(), "role", "INC-1", "commander") == (RoleTaken("INC-1", "commander", "ana", "ana"),)
    state = after(two(), ("role", "INC-1", "commander"), ("role", "INC-1", "scribe\nZo\u00eb  K"))
    assert state.rooms["INC-1"].roles == {"commander": "ana", "scribe": "Zo\u00eb K"}
    state = after(state, ("role", "INC-1", "commander bo"), ("role", "INC-1", "scribe -"))
    assert state.rooms["INC-1"].roles == {"commander": "bo"} and "INC-2" not in state.rooms


def test_a_step_is_ticked_by_number_or_words_and_stays_so_when_the_severity_changes() -> None:
    step = CHECKLISTS[2][3]
    assert say(two(), "tick", "INC-1", "4") == say(two(), "tick", "INC-1", step) == (StepTicked("INC-1", step, "ana"),)
    state = after(two(), ("tick", "INC-1", "4"))
    milder = replace_severity(state, 3)
    assert step in CHECKLISTS[3]
    (again,) = say(milder, "tick", "INC-1", str(CHECKLISTS[3].index(step) + 1))
    assert isinstance(again, CommandRefused) and again.why == "ana ticked that already"


def test_a_step_is_open_again_once_the_tick_is_taken_back() -> None:
    step = CHECKLISTS[2][1]
    ticked = after(two(), ("tick", "INC-1", "2"))
    assert say(ticked, "untick", "INC-1", "2") == (StepUnticked("INC-1", step, "ana"),)
    assert after(ticked, ("untick", "INC-1", "2")).rooms["INC-1"].ticked == {}
    assert step not in CHECKLISTS[4]
    other = after(replace_severity(ticked, 4), ("untick", "INC-1", step))
    assert other.rooms["INC-1"].ticked == {}, "by its words, whatever list is shown now"


def test_tasks_are_numbered_given_and_done_and_what_is_left_becomes_an_action_item() -> None:
    assert say(two(), "task", "INC-1", " bo  k ", "look at the replica") == (
        TaskSet("INC-1", 1, "look at the replica", "bo k", "ana"),
    )
    state = after(
        two(), ("task", "INC-1", "bo", "look"), ("task", "INC-1", "", "call the bank"), ("task", "INC-2", "", "x")
    )
    assert [(t.number, t.what, t.person) for t in state.rooms["INC-1"].tasks] == [
        (1, "look", "bo"),
        (2, "call the bank", ""),
    ]
    assert say(state, "task_give", "INC-1", "2") == (TaskGiven("INC-1", 2, "ana", "ana"),), "whoever says so"
    (same,) = say(state, "task_give", "INC-1", "1 bo")
    assert isinstance(same, CommandRefused) and same.why == "bo has that task already"
    (none,) = say(state, "task_give", "INC-1", "2 -")
    assert isinstance(none, CommandRefused) and none.why == "nobody has that task"
    state = after(state, ("task_give", "INC-1", "1 -"), ("task_give", "INC-1", "2 cy"), ("task_done", "INC-1", "1"))
    assert state.rooms["INC-1"].tasks == (
        Task(1, "look", "", "ana", START + 30, "ana", START + 30),
        Task(2, "call the bank", "cy", "ana", START + 30),
    )
    (again,) = say(state, "task_done", "INC-1", "1")
    assert isinstance(again, CommandRefused) and again.why == "ana did that already"
    (known,) = say(state, "task_done", "INC-1", "7")
    assert isinstance(known, CommandRefused) and known.why == "INC-1 has the tasks 2: say a number"
    assert ("call the bank", "cy") in [(one.what, one.owner) for one in todo(state, state.incidents["INC-1"])]
    text = postmortem(state, "INC-1")
    assert "| look | nobody | " in text and "| call the bank | cy | left open |" in text
    both = after(state, ("merge", "INC-1", "INC-2")).rooms["INC-1"]
    assert [(t.number, t.what) for t in both.tasks] == [
        (1, "look"),
        (2, "call the bank"),
        (3, "x"),
    ] and both.next_task == 4


def replace_severity(state: State, severity: int) -> State:
    return act(state, START + 40, IncidentRated("INC-1", severity, "milder"))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (("role", "INC-9", "scribe"), "no incident is called 'INC-9'"),
        (("role", "INC-1", "king ana"), "'king' is no role"),
        (("role", "INC-1", "scribe -"), "nobody is scribe"),
        (("role", "INC-1", "scribe " + "x" * 81), "at most 80"),
        (("decide", "INC-1", "", "  "), "say what was decided"),
        (("tick", "INC-1", "0"), "has the steps 1 to 4"),
        (("tick", "INC-1", ""), "has the steps 1 to 4"),
        (("untick", "INC-1", "1"), "nobody ticked that"),
        (("untick", "INC-1", "9"), "has the steps 1 to 4"),
        (("task", "INC-1", "bo", " "), "say what is to be done"),
        (("task", "INC-1", "x" * 81, "look"), "at most 80"),
        (("task_done", "INC-1", "1"), "INC-1 has no open task"),
        (("task_give", "INC-1", "1 bo"), "INC-1 has no open task"),
    ],
)
def test_what_comes_to_nothing_is_refused_with_a_reason(said: tuple[str, ...], why: str) -> None:
    (event,) = say(two(), *said)
    assert isinstance(event, CommandRefused) and why in event.why


def test_a_merge_takes_it_along_and_what_is_over_is_left_alone() -> None:
    state = after(
        two(),
        ("role", "INC-1", "commander ana"),
        ("role", "INC-2", "commander bo"),
        ("role", "INC-2", "scribe cy"),
        ("decide", "INC-2", "", "we wait"),
        ("tick", "INC-2", "1"),
        ("merge", "INC-1", "INC-2"),
    )
    assert state.rooms == {
        "INC-1": Room(
            {"commander": "ana", "scribe": "cy"},
            (Decision(START + 30, "ana", "we wait"),),
            {CHECKLISTS[3][0]: "ana"},
        )
    }
    (gone,) = say(state, "decide", "INC-2", "", "more")
    assert isinstance(gone, CommandRefused) and gone.why == "INC-2 is part of INC-1: say it there"
    (over,) = say(act(state, START + 60, IncidentResolved("INC-1", "calm")), "role", "INC-1", "scribe")
    assert isinstance(over, CommandRefused) and over.why == "INC-1 is resolved"


def test_a_room_is_bounded_and_goes_with_its_incident() -> None:
    many = [DecisionMade("INC-1", f"d{n}", "ana") for n in range(MAX_DECISIONS + 5)]
    steps = [StepTicked("INC-1", f"s{n}", "ana") for n in range(MAX_TICKED + 5)]
    state = act(two(), START + 30, *many, *steps, RoleTaken("INC-99", "scribe", "x", "x"))
    done = act(two(), START, TaskSet("INC-1", 1, "first", "", "ana"), TaskSet("INC-1", 2, "second", "", "ana"))
    done = act(
        done, START, TaskDone("INC-1", 2, "ana"), *(TaskSet("INC-1", n, "x", "", "a") for n in range(3, MAX_TASKS + 2))
    )
    assert [t.number for t in done.rooms["INC-1"].tasks][:2] == [1, 3], "what is done goes first"
    room = state.rooms["INC-1"]
    assert len(room.decisions) == MAX_DECISIONS and room.decisions[-1].text == f"d{MAX_DECISIONS + 4}"
    assert len(room.ticked) == MAX_TICKED and "INC-99" not in state.rooms
    state = act(state, START + 60, IncidentResolved("INC-1", "calm"))
    for n in range(MAX_CLOSED_INCIDENTS + 1):
        opened = IncidentOpened(f"X-{n}", "x", START, 4, "", (), ())
        state = act(state, START + 70 + n, opened, IncidentResolved(f"X-{n}", "calm"))
    assert "INC-1" not in state.incidents and "INC-1" not in state.rooms


def test_the_timeline_and_the_post_mortem_tell_it() -> None:
    opened = IncidentOpened("INC-1", "x", START, 2, "", (), ())
    said = CommandGiven("decide", "ana", "INC-1", note="fail over")
    events = (opened, said, RoleTaken("INC-1", "scribe", "bo", "ana"), DecisionMade("INC-1", "fail over", "ana"))
    recorded = [Recorded(n, START + n, event) for n, event in enumerate((*events, StepTicked("INC-1", "ask", "bo")), 1)]
    told = [(row.who, row.text) for row in timeline(recorded, "INC-1")][1:]
    assert told == [("ana", "bo is scribe now"), ("ana", "decided: fail over"), ("bo", "done: ask")]
    decided = after(two(), ("decide", "INC-1", "", "fail over | to eu"))
    assert "## Decisions" in postmortem(decided, "INC-1") and "| ana | fail over \\| to eu |" in postmortem(
        decided, "INC-1"
    )
    assert "## Decisions" not in postmortem(two(), "INC-1") and "## Tasks" not in postmortem(two(), "INC-1")
