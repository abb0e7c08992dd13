"""What is learned: levels, causes, timelines and post-mortems."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.decide.worlds import BOOKS, PAYMENT, START, Scene, broken, policy, traffic
from tests.journal.samples import ONE_OF_EACH

from midwatch.core.decide.obey import obey
from midwatch.core.decide.stage import decide
from midwatch.core.learn.autonomy import earned
from midwatch.core.learn.postmortem import postmortem
from midwatch.core.learn.stage import learn
from midwatch.core.learn.timeline import change_words, sentence, timeline
from midwatch.core.oncall.page import page
from midwatch.core.oncall.updates import tell
from midwatch.core.verify.closing import close
from midwatch.core.verify.expect import verify
from midwatch.model.actions import Playbook
from midwatch.model.events import AutonomyChanged, CauseConfirmed, ChangeSeen, PostmortemWritten, Recorded
from midwatch.model.findings import Evidence, Hypothesis
from midwatch.model.state import PlaybookRecord
from midwatch.model.world import Change

ALL = (obey, decide, verify, close, tell, page, learn)
CAUSE = Hypothesis(
    PAYMENT, "pool_exhausted", 0.8, (Evidence("saturation", PAYMENT, "18 waiting on 5", 6, 18, 5, "requests"),)
)


def incident(heals: bool = True) -> Scene:
    made = Scene(ALL, broken(hypotheses=(CAUSE,), using=policy(playbooks=BOOKS[:1])))
    made.seen = [(0.0, traffic(0.0)), (START, traffic(0.15))]
    made.record(ChangeSeen(Change("c1", START - 120, "deploy", "service:catalog", "new prices", "1.4", "1.5", "bo")))
    if heals:
        made.at(15, traffic(0.0))
    return made.run(until=60).heal().run(until=200)


@pytest.mark.parametrize(
    ("level", "ceiling", "streak", "result", "becomes"),
    [
        ("auto", "auto", 0, "missed", "canary"),
        ("canary", "auto", 0, "missed", "ask"),
        ("ask", "auto", 0, "missed", None),
        ("ask", "auto", 2, "met", None),
        ("ask", "auto", 3, "met", "canary"),
        ("ask", "ask", 9, "met", None),
        ("canary", "auto", 4, "met", None),
        ("canary", "auto", 5, "met", "auto"),
        ("canary", "canary", 9, "met", None),
        ("auto", "auto", 99, "met", None),
        ("suggest", "auto", 99, "met", None),
    ],
)
def test_levels_are_earned_and_lost(level: str, ceiling: str, streak: int, result: str, becomes: str | None) -> None:
    book = Playbook("p", ("bad_deploy",), "restart", autonomy=ceiling)  # type: ignore[arg-type]
    change = earned(book, PlaybookRecord(level, streak, 0, "", streak), result)
    assert (change.level if change else None) == becomes


def test_a_miss_demotes_and_a_fix_that_helped_confirms_its_cause() -> None:
    made = incident(heals=False)
    made.run(until=220)
    missed = Scene(ALL, broken(using=policy(playbooks=BOOKS[:1]))).run(until=100)
    assert [e.level for _, e in missed.told(AutonomyChanged)] == ["canary"]
    helped = incident()
    assert [(e.entity, e.kind, e.by) for _, e in helped.told(CauseConfirmed)] == [(PAYMENT, "pool_exhausted", "ACT-1")]
    assert helped.state.causes_seen == {"pool_exhausted": 1}


def test_the_post_mortem_is_written_once_and_says_all_of_it() -> None:
    made = incident()
    [(_, written)] = made.told(PostmortemWritten)
    text = written.markdown
    for heading in (
        "Summary", "Impact", "Timeline (UTC)", "Contributing factors", "What went well", "What went badly", "Action items",
        "Evidence",
    ):  # fmt: skip
        assert f"## {heading}\n" in text
    assert "connection pool exhausted in payment" in text and "about 150" in text
    assert "18 waiting on 5" in text and "resized the pool of payment" in text
    assert "deploy of catalog: new prices, 1.4 -> 1.5" in text and "not yet a reason" in text
    assert "on-call" in text and "error ratio of gateway is 0.0 %" in text


def test_what_was_drained_is_followed_up() -> None:
    scoped = Hypothesis(PAYMENT, "bad_instance", 0.9, scope={"instance": "payment-eu-1"})
    made = Scene(ALL, broken(hypotheses=(scoped,))).at(15, traffic(0.0))
    made.seen.insert(0, (0.0, traffic(0.0)))
    made.seen[1] = (START, traffic(0.15))
    made.run(until=60).heal().run(until=200)
    [(_, written)] = made.told(PostmortemWritten)
    assert "payment-eu-1 is still drained" in written.markdown and "midwatch undo ACT-1" in written.markdown
    made.say("undo", "ACT-1").run(until=220)
    assert [r.action.verb for r in made.state.actions.values()] == ["drain_instance", "undrain_instance"]


def test_the_timeline_reads_in_order() -> None:
    made = incident()
    recorded = [Recorded(n, START + at, event) for n, (at, event) in enumerate(made.log, start=1)]
    from midwatch.model.events import CommandGiven, IncidentOpened

    opening = IncidentOpened("INC-1", "errors", START, 2, "because", ("error_shift|service:gateway|",), ())
    rows = timeline([Recorded(0, START, opening), *recorded], "INC-1")
    texts = [row.text for row in rows]
    assert texts[0].startswith("deploy of catalog") and rows[0].who == "bo"
    assert "ACT-1: resizing the pool of payment" in texts
    assert any(t.startswith("ACT-1 (resize the pool of payment) helped") for t in texts)
    assert [row.at for row in rows] == sorted(row.at for row in rows)
    assert timeline(recorded, "INC-9") == []
    there = Recorded(0, START, CommandGiven("ack", "ana", "INC-1", via="pagerduty"))
    told = timeline([Recorded(0, START, opening), there], "INC-1")
    assert ("ana", "ack INC-1 in PagerDuty") in [(row.who, row.text) for row in told]
    assert "resizing the pool" in postmortem(made.state, "INC-1", [Recorded(0, START, opening), *recorded])


def test_a_change_whose_summary_says_what_it_became_says_it_once() -> None:
    at, summary = (START, "config", "service:payment"), "settings of payment: pool_size=20"
    same = Change("c", *at, summary, "pool_size=5", "pool_size=20")
    assert change_words(same) == "config of payment: settings of payment: pool_size=20, before pool_size=5"
    assert change_words(Change("c", *at, "smaller", "20", "5")) == "config of payment: smaller, 20 -> 5"


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda one: type(one).__name__)
def test_every_event_has_its_sentence(event: object) -> None:
    assert isinstance(sentence(event), str)
    if type(event).__name__ != "PageEnded":
        assert sentence(event)


def test_nothing_known_is_said_so() -> None:
    state = broken(hypotheses=())
    state = replace(state, incidents={"INC-1": replace(state.incidents["INC-1"], impact=None)})
    text = postmortem(state, "INC-1")
    assert "first signs (as found out afterwards)" in text and "users begin to feel it" not in text
    assert "Not known: there was no data" in text and "No hypothesis was formed." in text and "Cause: not found" in text
