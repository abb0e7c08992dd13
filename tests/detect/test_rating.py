"""Ratings as facts change: worse at once, milder after a while, never milder than a person said, never on no data."""

from __future__ import annotations

import math
import re
from dataclasses import replace as changed
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.decide.worlds import GATEWAY, START, act, broken, finding, policy, traffic, turn, world

from midwatch.core.decide.obey import obey
from midwatch.core.detect.incidents import _counted, facts_of, group
from midwatch.core.detect.rating import Facts, Word, hold, rerated, wanted
from midwatch.core.learn.postmortem import postmortem
from midwatch.core.memory import Easing, Memory
from midwatch.core.oncall.page import covers, severity_topic
from midwatch.core.oncall.words import update
from midwatch.core.slo.ledger import add, new_ledger
from midwatch.core.turn import Turn
from midwatch.model.events import (
    CommandGiven,
    CommandRefused,
    Event,
    FindingClosed,
    FindingOpened,
    IncidentMerged,
    IncidentOpened,
    IncidentRated,
    PolicyLoaded,
)
from midwatch.model.findings import Finding, Impact, Incident
from midwatch.model.slo import Slo
from midwatch.model.state import State

HOLD = 600.0
STEP = 60.0
LATER = START + 400.0  # what was before the onset has left the window

severities = st.integers(1, 4)
words = st.one_of(st.just(Word()), st.builds(Word, severities, severities))
courses = st.lists(st.one_of(st.none(), severities), max_size=60)


def run(held: int, course: list[int | None], word: Word = Word(), seconds: float = HOLD) -> list[int]:
    """What it is rated after each step of a minute, while the facts say ``course`` (None: nobody sees)."""
    rated, easing = [], None
    for n, severity in enumerate(course):
        facts = Facts(severity, f"facts {n}") if severity else None
        new, easing = rerated(held, facts, word, easing, n * STEP, seconds)
        held = new.severity if new else held
        rated.append(held)
    return rated


@given(severities, courses, words)
def test_worse_at_once_and_milder_only_after_all_of_the_time_before_was(
    held: int, course: list[int | None], word: Word
) -> None:
    rated = run(held, course, word)
    for n, (now, severity) in enumerate(zip(rated, course, strict=True)):
        before = rated[n - 1] if n else held
        due = wanted(severity, word) if severity else None
        if due is not None and due < before:
            assert now == due, "worse at once"
        elif now > before:
            back = course[n - int(HOLD / STEP) : n + 1]
            assert len(back) == 11 and all(back), "no data is no improvement"
            dues = [wanted(one, word) for one in back if one]
            assert min(dues) > before and now >= before and now <= min(dues), "as the worst of that time, or worse"
        else:
            assert now == before
        if word.severity:
            assert now <= max(held, word.severity), "never milder than the person said"


@given(severities, severities, words)
def test_what_stays_the_same_is_rated_so_in_the_end(held: int, severity: int, word: Word) -> None:
    assert run(held, [severity] * 12, word)[-1] == wanted(severity, word)
    assert run(held, [severity] * 60, word, 0.0)[-1] == min(held, wanted(severity, word)), "switched off"


@given(st.lists(st.integers(0, 1), min_size=1, max_size=100))
def test_what_swings_faster_than_the_hold_stays(coins: list[int]) -> None:
    course: list[int | None] = []
    for coin in coins:
        course += [3] * (9 if coin else 5) + [2]
    assert set(run(2, course)) == {2}


def test_the_worst_of_the_time_counts_with_its_reason() -> None:
    easing: Easing | None = None
    for n, severity in enumerate([4, 4, 3, 4, 4, 4, 4, 4, 4, 4, 4]):
        new, easing = rerated(2, Facts(severity, f"{severity} at {n}"), Word(), easing, n * STEP, HOLD)
    assert new == Facts(3, "milder for 10 min: 3 at 2") and easing is None
    late, easing = rerated(2, Facts(4, "x"), Word(), Easing(0.0, 9000.0, 3, "y"), 60.0, HOLD)
    assert late is None and easing == Easing(60.0, 60.0, 4, "x"), "a clock that went back proves nothing"
    hole, easing = rerated(2, Facts(4, "x"), Word(), Easing(0.0, 300.0, 3, "y"), 700.0, HOLD)
    assert hole is None and easing == Easing(700.0, 700.0, 4, "x"), "nor does a time in which nobody looked"
    slow, _ = rerated(2, Facts(3, "x"), Word(), Easing(0.0, 300.0, 3, "y"), 601.0, HOLD)
    assert slow == Facts(3, "milder for 10 min: x"), "a turn may come as seldom as every five minutes"


def test_each_rise_makes_the_next_wait_longer_and_no_more_than_eightfold() -> None:
    assert [hold(600.0, rises) for rises in (0, 1, 2, 3, 9)] == [600.0, 1200.0, 2400.0, 4800.0, 4800.0]


# -- in the loop --


def felt(ratio: float) -> dict[tuple[str, str], float]:
    return traffic(ratio)


def at(state: State, memory: Memory, now: float, ratio: float | None) -> tuple[State, Memory, tuple[Event, ...]]:
    shown = world(now, felt(ratio) if ratio is not None else {})
    after = group(Turn(state, changed(memory, started_at=START - 600), shown, now))
    return after.state, after.memory, after.events


def through(state: State, ratios: list[float | None], since: float = LATER) -> tuple[State, list[IncidentRated]]:
    memory, told = Memory(), []
    for n, ratio in enumerate(ratios):
        state, memory, events = at(state, memory, since + n * STEP, ratio)
        told += [one for one in events if isinstance(one, IncidentRated)]
    return state, told


def test_an_incident_gets_milder_with_an_update_that_says_why_and_its_review_keeps_the_highest() -> None:
    state = broken()
    assert state.incidents["INC-1"].severity == 2
    state, told = through(state, [0.02] * 12)
    (rated,) = told
    assert (rated.severity, rated.by) == (3, "") and rated.reason.startswith("milder for 10 min: 1 % or more")
    incident = state.incidents["INC-1"]
    assert (incident.worst, incident.outside, incident.worst_severity) == (2, 2, 2)
    words = update(state, incident)
    text, known = words.text, " ".join(str(fact) for fact in words.facts.values())
    assert all(number in known for number in re.findall(r"\d+(?:[.:]\d+)*", text)), "every number is a fact"
    assert "SEV3 (milder for 10 min: 1 % or more of the requests" in text and "was SEV2" in text
    review = postmortem(state, "INC-1")
    assert "SEV2 on " in review and "Later SEV3: milder for 10 min" in review and "- 15 % of the requests" in review
    again, told = through(state, [0.3, 0.3])
    assert [one.severity for one in told] == [2] and again.incidents["INC-1"].rises == 1


def test_a_budget_counts_as_it_burns_now_once_five_minutes_are_over() -> None:
    slo = Slo("shop", GATEWAY, "ratio", 0.999)
    found = Finding(
        f"burn_rate|{GATEWAY}|shop/fast", "burn_rate", GATEWAY, START, 120.0, 1.0, "x budget", slo="shop", pages=True
    )
    opened = IncidentOpened("INC-7", "x", START, 2, "", (found.id,), (GATEWAY,), Impact(GATEWAY, 0.12, 9, START))
    state = act(State(), START, PolicyLoaded(policy(slos=(slo,))), FindingOpened(found), opened)

    def after(state: State, burn: float | None, now: float = LATER, **memory: Any) -> Turn:
        ledgers = {}
        if burn is not None:
            at = np.arange(now - 600, now, 10.0)
            total = np.full(at.size, 10_000.0)
            ledgers = {"shop": add(new_ledger(now - 600), at, total * (1 - burn * 0.001), total, now)}
        return turn(state, world(now, traffic(0.0)), now, Memory(ledgers=ledgers, started_at=START - 900, **memory))

    def rated(burn: float | None, now: float = LATER) -> int:
        return facts_of(after(state, burn, now), state.incidents["INC-7"])

    assert [rated(b) for b in (150.0, 20.0, 2.0)] == [2, 3, 4]
    assert rated(None) == 2, "where nobody counts it stays as it was found"
    assert rated(20.0, START + 200) == 2, "the five minutes still hold what was before it"
    easing = {"INC-7": Easing(LATER - HOLD, LATER - STEP, 3, "less")}
    assert group(after(state, None, easing=easing)).memory.easing == {}, "and proves nothing to be milder"
    milder = group(after(state, 20.0, easing=easing)).state
    assert milder.incidents["INC-7"].severity == 3
    lost = group(after(milder, None, LATER + STEP))
    assert lost.state.incidents["INC-7"].severity == 3, "a lost memory makes nothing worse"


def test_no_data_a_lost_memory_and_calm_make_nothing_milder() -> None:
    assert through(broken(), [0.02] * 9 + [None] + [0.02] * 10)[1] == []
    state, memory = broken(), Memory()
    for n in range(20):
        state, memory, events = at(state, Memory() if n == 9 else memory, LATER + n * STEP, 0.02)
        assert not any(isinstance(one, IncidentRated) for one in events) or n >= 19
    calm = act(broken(), START + 30, FindingClosed(finding(GATEWAY).id))
    assert through(calm, [0.001] * 20)[1] == []


def test_it_can_be_switched_off() -> None:
    assert through(broken(using=policy(milder_after_seconds=0.0)), [0.02] * 30)[1] == []


def say(state: State, value: str, note: str = "", ratio: float = 0.15) -> tuple[Event, ...]:
    said = CommandGiven("severity", "ana", "INC-1", value, note)
    return obey(changed(turn(state, world(LATER, felt(ratio)), LATER), inputs=(said,))).events


def test_a_persons_word_goes_before_the_facts_until_these_are_worse() -> None:
    (rated,) = say(broken(), "SEV3", "only the batch customers")
    assert rated == IncidentRated("INC-1", 3, "ana said so: only the batch customers", by="ana", facts=2)
    state = act(broken(), START + 60, rated)
    incident = state.incidents["INC-1"]
    assert (incident.severity, incident.worst, incident.outside, incident.said_by) == (3, 2, 3, "ana")
    assert [r for r in through(state, [0.15] * 30)[1] if r.severity != 3] == [], "the facts are what they were"
    assert [r.severity for r in through(state, [0.001] * 30)[1]] == [], "never milder than was said"
    worse, told = through(state, [0.6] * 2)
    incident = worse.incidents["INC-1"]
    assert told[0].severity == 1 and incident.rises == 1
    assert (incident.said_severity, incident.said_by, incident.outside) == (0, "", 1), "worse than ana foresaw"
    assert [r.severity for r in through(worse, [0.15] * 30)[1] if r.severity > 1][:1] == [2], "as the facts say"
    (given_back,) = say(state, "-")
    assert isinstance(given_back, IncidentRated) and (given_back.severity, given_back.facts) == (3, 0)
    free = act(state, START + 70, given_back)
    assert free.incidents["INC-1"].said_severity == 0
    assert [r.severity for r in through(free, [0.15])[1]] == [2], "as the facts say, at once"


@pytest.mark.parametrize(
    ("value", "why"),
    [("5", "say 1 (worst) to 4"), ("", "say 1"), ("-", "nobody rated INC-1"), ("3", "ana said SEV3 already")],
)
def test_a_rating_that_comes_to_nothing_is_refused(value: str, why: str) -> None:
    state = broken() if value != "3" else act(broken(), START, *say(broken(), "3"))
    (event,) = say(state, value)
    assert isinstance(event, CommandRefused) and why in event.why


def test_a_merge_keeps_the_highest_and_the_word() -> None:
    one, other = Incident("B", 0, 0, 3, "b"), Incident("A", 0, 0, 3, "a")
    worst = replace(one, worst_severity=1, worst_reason="half", worst_impact=Impact(GATEWAY, 0.6, 9, 0.0), rises=2)
    said = replace(other, said_severity=3, said_facts=2, said_by="ana")
    state = State(incidents={"A": said, "B": worst})
    kept = act(state, START, IncidentMerged("A", "B", "bo")).incidents["A"]
    assert (kept.severity, kept.worst, kept.worst_reason, kept.rises, kept.said_by) == (3, 1, "half", 2, "ana")


@pytest.mark.parametrize(("kept", "absorbed"), [("A", "B"), ("B", "A")])
@pytest.mark.parametrize("others", [(3,), (3, 4, 3), (2, 3, 2, 3, 2), (2, 3, 2, 3)])
def test_a_merge_is_no_news_and_worse_again_after_it_is(kept: str, absorbed: str, others: tuple[int, ...]) -> None:
    first, *later = others
    state, told = State(incidents={"A": Incident("A", 0, 0, 2, "a"), "B": Incident("B", 0, 0, first, "b")}), {"sev2"}

    def paged(state: State, ident: str) -> str:
        """Its topic if that is one to page about."""
        topic = severity_topic(state.incidents[ident])
        return "" if any(covers(one, topic) for one in told) else topic

    told.add(severity_topic(state.incidents["B"]))
    for severity in later:
        state = act(state, START, IncidentRated("B", severity, "facts"))
        told.add(severity_topic(state.incidents["B"]))
    merged = act(state, START, IncidentMerged(kept, absorbed, "bo"))
    assert merged.incidents[kept].severity == 2 and paged(merged, kept) == ""
    milder = act(merged, START, IncidentRated(kept, 3, "facts"))
    assert paged(milder, kept) == "" and paged(act(milder, START, IncidentRated(kept, 2, "facts")), kept)


def test_worse_again_is_news_and_milder_is_not() -> None:
    incident = Incident("A", 0, 0, 2, "a")
    topics = [
        severity_topic(replace(incident, severity=s, rises=r)) for s, r in ((2, 0), (3, 0), (2, 1), (3, 1), (1, 1))
    ]
    assert topics == ["sev2", "sev3", "sev2.1", "sev3.1", "sev1.1"]
    assert covers("sev2", "sev3") and not covers("sev2", "sev2.1") and not covers("sev2", "sev3.1")
    assert covers("sev2.1", "sev3.1") and covers("sev2.1", "sev3") and not covers("sev3.1", "sev2.1")


def test_a_count_that_was_not_known_is_the_one_that_is() -> None:
    before = Impact("service:gateway", 0.5, math.nan, START, budget_spent=0.2)
    now = Impact("service:gateway", 0.1, 40.0, START, budget_spent=math.nan)
    for counted in (_counted(before, now), _counted(now, before)):
        assert counted is not None and (counted.affected_requests, counted.budget_spent) == (40.0, 0.2)
