"""What people read, and that every number in it is a fact."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace
from tests.decide.worlds import GATEWAY, PAYMENT, act, broken, finding, policy

from midwatch.core.oncall.words import percent, phone, update
from midwatch.model.actions import Action, Check, Expectation, Outcome, Verdict
from midwatch.model.events import (
    ActionEnded,
    ActionJudged,
    ActionOrdered,
    CauseRanked,
    ExpectationJudged,
    FindingOpened,
    HandsOffChanged,
)
from midwatch.model.findings import Evidence, Hypothesis
from midwatch.model.state import State

AT = 1_700_000_000.0 - 1_700_000_000.0 % 86400 + 9 * 3600 + 41 * 60  # 09:41 UTC
CAUSE = Hypothesis(
    PAYMENT,
    "pool_exhausted",
    0.82,
    (Evidence("saturation", PAYMENT, "18 waiting on 5", 6.0, 18, 5), Evidence("onset", PAYMENT, "first of 3", 1.0)),
)
RESIZE = Action(
    "ACT-1",
    "INC-1/resize-pool/payment/1",
    "INC-1",
    "resize-pool",
    "resize_pool",
    PAYMENT,
    {"size": 20},
    undo_verb="resize_pool",
    expectation=Expectation((Check(GATEWAY, "error_ratio", "<=", 0.03),), 60.0),
    hypothesis_entity=PAYMENT,
)


def judged(decision: str, why: str = "the mode is auto") -> ActionJudged:
    return ActionJudged(RESIZE, Verdict(decision, "autonomy", why))  # type: ignore[arg-type]


def stories() -> dict[str, State]:
    fresh = broken(AT, (CAUSE,))
    run = act(fresh, AT + 180, judged("run"), ActionOrdered("ACT-1"))
    done = act(run, AT + 182, ActionEnded("ACT-1", Outcome("done")))
    return {
        "running": run,
        "done": done,
        "met": act(done, AT + 240, ExpectationJudged("ACT-1", "met", "fell")),
        "missed": act(done, AT + 240, ExpectationJudged("ACT-1", "missed", "stayed")),
        "unknown": act(done, AT + 240, ExpectationJudged("ACT-1", "unknown", "no data")),
        "doubt": act(run, AT + 190, ActionEnded("ACT-1", Outcome("in_doubt"))),
        "failed": act(run, AT + 190, ActionEnded("ACT-1", Outcome("failed"))),
        "shadow": act(fresh, AT + 5, judged("rehearse", "the mode is shadow")),
        "asked": act(fresh, AT + 5, judged("ask", "the mode is ask")),
        "refused": act(fresh, AT + 5, judged("refuse", "the cause is 40 % probable, 45 % are needed")),
        "hands off": act(fresh, AT + 5, HandsOffChanged(True, "ana")),
        "guess": act(fresh, AT + 5, CauseRanked("INC-1", (Hypothesis(PAYMENT, "bad_deploy", 0.3),), 0.7)),
        "no idea": act(fresh, AT + 5, CauseRanked("INC-1", (), 1.0)),
    }


def test_the_update_reads_as_people_write_it() -> None:
    state = stories()["done"]
    assert update(state, state.incidents["INC-1"]).text == (
        "Elevated error rates in payment, affecting 15 % of transactions since 09:41 UTC; SEV2; likely cause: connection "
        "pool exhausted in payment (18 waiting on 5); now resizing the pool (size 20); expect recovery by 09:46."
    )


@pytest.mark.parametrize("story", stories())
def test_every_number_is_a_fact(story: str) -> None:
    state = stories()[story]
    words = update(state, state.incidents["INC-1"])
    facts = " ".join(str(v) for v in words.facts.values())
    for number in re.findall(r"\d+(?:[.:]\d+)*", words.text):
        assert re.search(rf"(?<!\d){re.escape(number)}(?!\d)", facts), (number, words)


@pytest.mark.parametrize(
    ("story", "said"),
    [
        ("shadow", "would resize the pool (size 20) (the mode is shadow)"),
        ("asked", "waits for a yes to resize the pool (size 20) (ACT-1)"),
        ("met", "resized the pool (size 20), and it helped"),
        ("missed", "resized the pool (size 20), and it did not help"),
        ("unknown", "no data that shows whether it helped"),
        ("doubt", "nobody knows whether it took effect"),
        ("hands off", "hands off: midwatch touches nothing (ana said so)"),
        ("guess", "cause unknown: a deploy broke it in payment leads with 30 %"),
        ("no idea", "cause unknown: nothing points anywhere yet"),
        ("refused", "midwatch does not resize the pool: the cause is 40 % probable"),
    ],
)
def test_honest_forms(story: str, said: str) -> None:
    state = stories()[story]
    assert said in update(state, state.incidents["INC-1"]).text


def test_the_phone_says_what_was_done_and_how_to_take_it_back() -> None:
    state = stories()["done"]
    text = phone(state, state.incidents["INC-1"])
    assert "midwatch resized the pool of payment. Take it back: midwatch undo ACT-1." in text
    assert "Acknowledge: midwatch ack INC-1." in text
    asked = stories()["asked"]
    assert "midwatch approve ACT-1" in phone(asked, asked.incidents["INC-1"])


def test_no_fix_is_said_only_once_one_was_looked_for() -> None:
    fresh = broken(AT, (CAUSE,), using=policy(settle_seconds=9.0))
    incident = fresh.incidents["INC-1"]
    settling, looked = (update(fresh, incident, AT + seconds) for seconds in (5, 20))
    assert "no fix" not in settling.text and looked.text.endswith("midwatch has no fix for it.")
    assert settling.gist != looked.gist, "it is news"


def test_the_phone_says_where_it_is_written_what_to_do() -> None:
    told = replace(finding(at=AT), runbook="https://runbooks.example/errors")
    opened = act(broken(AT, (CAUSE,)), AT, FindingOpened(told))
    assert "\nRunbook: https://runbooks.example/errors\n" in phone(opened, opened.incidents["INC-1"])


def test_what_is_not_known_is_not_zero() -> None:
    assert (percent(float("nan")), percent(0.0), percent(0.004), percent(0.15)) == ("unknown", "0", "0.4", "15")
