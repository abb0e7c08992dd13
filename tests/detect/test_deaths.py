"""Processes that die again and again while users feel nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from tests.worlds import START, STEP, flat, make_world

from midwatch.core.detect.deaths import deaths, lives
from midwatch.core.diagnose.diagnose import diagnose
from midwatch.core.loop import tick
from midwatch.core.memory import Memory
from midwatch.core.oncall.page import topics
from midwatch.core.turn import Turn
from midwatch.model import events as e
from midwatch.model import faults, signals
from midwatch.model.actions import Action, Verdict
from midwatch.model.findings import Finding, Incident
from midwatch.model.fold import fold
from midwatch.model.policy import PagePolicy, Policy
from midwatch.model.state import ActionRecord, State
from midwatch.model.world import Change, World

GATEWAY, USER = "service:gateway", "service:user"
ONE, TWO = "instance:user-1", "instance:user-2"
STEPS = 80


def at(*steps: int) -> np.ndarray:
    found = np.zeros(STEPS)
    found[list(steps)] = 1
    return found


def world(
    one: np.ndarray, two: np.ndarray | None = None, more: Mapping[tuple[str, str], np.ndarray] | None = None
) -> World:
    two = at() if two is None else two
    return make_world(
        {
            (GATEWAY, signals.REQUESTS): flat(100, STEPS),
            (GATEWAY, signals.ERRORS): flat(0, STEPS),
            (USER, signals.REQUESTS): flat(50, STEPS),
            (USER, signals.ERRORS): flat(0, STEPS),
            (f"{GATEWAY}>{USER}", signals.CALLS): flat(50, STEPS),
            (USER, signals.RESTARTS): one + two,
            (ONE, signals.RESTARTS): one,
            (TWO, signals.RESTARTS): two,
            (ONE, signals.UP): flat(1, STEPS),
            (TWO, signals.UP): flat(1, STEPS),
            **(more or {}),
        },
        labels={ONE: {"service": "user"}, TWO: {"service": "user"}},
    )  # fmt: skip


def turn(seen: World, *changes: Change) -> Turn:
    state = State()
    for change in changes:
        state = fold(state, e.Recorded(state.seq + 1, change.at, e.ChangeSeen(change)))
    return Turn(state, Memory(started_at=START), seen, seen.now)


def found(seen: World, *changes: Change) -> list[Finding]:
    return list(deaths(turn(seen, *changes)))


def deploy(step: float) -> Change:
    return Change("d1", START + step * STEP, "deploy", USER)


def test_three_deaths_of_one_process_in_two_minutes() -> None:
    (finding,) = found(world(at(57, 67, 77)))
    assert (finding.entity, finding.value, finding.since_at) == (USER, 3.0, START + 57 * STEP)
    assert found(world(at(67, 77))) == []
    assert found(world(at(5, 15, 25))) == [], "long ago"


def test_a_rollout_starts_each_instance_once() -> None:
    third = {("instance:user-3", signals.RESTARTS): at(78)}
    seen = world(at(60), at(65), {**third, (USER, signals.RESTARTS): at(60, 65, 78)})
    assert found(seen) == []


def test_what_was_ordered_does_not_count() -> None:
    deaths_of_one = at(60, 68, 76)
    assert found(world(deaths_of_one), deploy(59.0)) == [], "the first belongs to the rollout"
    assert len(found(world(at(57, 62, 69, 77)), deploy(56.0))) == 0, "so do all within 40 s"
    assert len(found(world(deaths_of_one), deploy(20.0))) == 1


def test_it_lives_once_it_is_heard_and_nothing_died_for_a_while() -> None:
    assert not lives(turn(world(at(50, 60, 70))), USER)
    assert lives(turn(world(at(40, 50, 60))), USER)
    silent = flat(np.nan, STEPS)
    gone = {(USER, signals.REQUESTS): silent, (ONE, signals.UP): silent, (TWO, signals.UP): silent}
    assert not lives(turn(world(at(40, 50, 60), more=gone)), USER), "silence is no life"


def test_the_loop_opens_an_incident_that_wakes_nobody_and_names_the_leak() -> None:
    climb = np.tile(np.linspace(40e6, 120e6, 10), STEPS // 10)
    memory = np.where(np.arange(STEPS) < 47, 40e6, np.roll(climb, 7))
    seen = world(at(57, 67, 77), more={(ONE, signals.MEMORY_BYTES): memory})
    policy = Policy(paging=PagePolicy(channels=("phone",)))
    state = fold(State(), e.Recorded(1, START, e.PolicyLoaded(policy)))
    memory_of = Memory(started_at=START)
    told: list[e.Event] = []
    for later in range(6):
        now = seen.now + 5 * later
        events, memory_of = tick(state, memory_of, seen, (), now)
        for event in events:
            state = fold(state, e.Recorded(state.seq + 1, now, event))
        told += events
    (incident,) = state.incidents.values()
    assert incident.severity == 4 and "keep dying" in incident.title and incident.title.endswith("user")
    assert not [event for event in told if isinstance(event, e.PageOrdered)]
    assert (incident.hypotheses[0].entity, incident.hypotheses[0].kind) == (USER, faults.MEMORY_LEAK)
    assert incident.hypotheses[0].probability > 0.8


def test_without_a_sign_of_a_leak_it_is_a_crash_loop() -> None:
    seen = world(at(57, 67, 77))
    (finding,) = found(seen)
    ranking = diagnose(seen, finding.since_at, [USER], [finding])
    assert ranking is not None
    first = ranking.hypotheses[0]
    assert (first.entity, first.kind) == (USER, faults.CRASH_LOOP) and first.probability > 0.8
    assert any("of what was found" in evidence.text for evidence in first.evidence)


@pytest.mark.parametrize(("finding", "woken"), [(f"dying|{USER}|", False), (f"error_shift|{USER}|", True)])
def test_a_fix_that_waits_for_a_yes_wakes_nobody_while_users_feel_nothing(finding: str, woken: bool) -> None:
    incident = Incident("INC-1", START, START, 4, "", findings=(finding,))
    action = Action("ACT-1", "k", "INC-1", "restart-leak", "restart", USER)
    asked = ActionRecord(action, Verdict("ask", "mode", "it asks"), "asked", START)
    state = State(incidents={"INC-1": incident}, actions={"ACT-1": asked})
    assert bool(topics(state, incident, START + 60)) is woken
