"""The post-mortem names the people: whom it paged and how that ended, who took it, who gave it back, who ended it."""

from __future__ import annotations

from msgspec.structs import replace
from tests.decide.worlds import Scene, broken, policy
from tests.oncall.test_escalation import deliver, people

from midwatch.core.decide.obey import obey
from midwatch.core.learn.lint import lint
from midwatch.core.learn.stage import learn
from midwatch.core.oncall.page import page
from midwatch.core.oncall.rota import rota
from midwatch.core.oncall.wake import wake
from midwatch.model.events import PostmortemWritten
from midwatch.model.policy import PagePolicy

ALL = (obey, rota, wake, page, learn)


def scene(measured: bool = True) -> Scene:
    state = broken(using=policy(playbooks=(), paging=PagePolicy(("siren",)), people=people()))
    if not measured:
        ours = replace(state.incidents["INC-1"], impact=None)
        state = replace(state, incidents={"INC-1": ours})
    return Scene(ALL, state)


def ran(made: Scene, *until: float) -> Scene:
    for moment in until:
        deliver(made.run(until=moment))
    return made


def written(made: Scene) -> str:
    [(_, one)] = made.told(PostmortemWritten)
    return one.markdown  # type: ignore[no-any-return]


def rows(text: str) -> list[str]:
    timeline = text.split("## Timeline (UTC)\n\n")[1].split("\n\n##")[0]
    return [line.split(" | ", 1)[1].removesuffix(" |") for line in timeline.splitlines()[2:]]


def test_an_incident_that_went_through_many_hands_is_told_with_all_of_them() -> None:
    made = ran(scene(measured=False), 5, 35)
    ran(made.say("ack", "INC-1", by="root", note="on my way"), 40)
    ran(made.say("unack", "INC-1", by="ana", note="wrong window"), 45)
    ran(made.say("role", "INC-1", by="ana", value="commander ana"), 50)
    ran(made.say("decide", "INC-1", by="ana", note="no failover before noon"), 55)
    ran(made.say("escalate", "INC-1", by="ana"), 60)
    ran(made.say("note", "INC-1", by="ben", note="the disk is full of logs"), 65)
    ran(made.say("resolve", "INC-1", by="ben", note="cleaned logs"), 70)
    assert made.state.deeds == {}, "told, so forgotten"
    text = written(made)
    told = rows(text)
    for row in (
        "midwatch | first signs (as found out afterwards)",
        "midwatch | paged ana (level 1), 2 times, not answered",
        "root | ack INC-1: on my way",
        "root | acknowledged INC-1",
        "midwatch | the acknowledgement of root holds no longer: ana took it back: wrong window",
        "midwatch | paged ana (level 1), 2 times, answered after 5 s",
        "ana | ana is commander now",
        "ana | decided: no failover before noon",
        "ana | level 2 is woken now: ana asks for help",
        "midwatch | paged ben (level 2), answered after 5 s",
        "ben | the disk is full of logs",
        "ben | resolved: cleaned logs",
    ):
        assert row in told, row
    assert told.index("root | acknowledged INC-1") < told.index("ben | resolved: cleaned logs")
    assert not any("phone" in row or "ordered" in row or "users" in row for row in told)
    badly = text.split("## What went badly")[1].split("\n\n##")[0]
    assert "- Level 1 (ana) was paged 2 times without an answer." in badly
    names = ["ana", "ben", "root"]
    assert not [remark for remark in lint(text, names) if remark.code == "blame"]


def test_a_page_that_is_answered_at_once_is_nothing_bad() -> None:
    made = ran(scene(), 10)
    ran(made.say("ack", "INC-1", by="ana"), 20)
    ran(made.say("resolve", "INC-1", by="ana"), 30)
    text = written(made)
    assert "midwatch | paged ana (level 1), answered after 10 s" in rows(text) and "without an answer" not in text
    assert "ana | resolved" in rows(text) and "midwatch | users begin to feel it (as found out afterwards)" in rows(
        text
    )


def test_what_was_not_delivered_or_not_answered_is_said() -> None:
    made = scene()
    for until in range(5, 100, 5):
        deliver(made.run(until=float(until)), "failed", "no route")
    made.say("resolve", "INC-1", by="root").run(until=105)
    assert any(
        row.startswith("midwatch | paged ana (level 1)") and row.endswith("not delivered")
        for row in rows(written(made))
    )


def test_a_channel_that_nobody_is_known_behind_is_told_with_who_answered() -> None:
    made = Scene(ALL, broken(using=policy(playbooks=(), paging=PagePolicy(("siren",)))))
    ran(made, 5, 10)
    ran(made.say("ack", "INC-1", by="root"), 15)
    ran(made.say("resolve", "INC-1", by="root"), 20)
    assert "midwatch | paged siren, answered by root after 10 s" in rows(written(made))
