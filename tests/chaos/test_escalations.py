"""Escalations of one watch with its journal in a file, under kill -9, channels that fail, hang and lose, and a clock that
leaps: no page is lost, none goes to the wrong person, none about what is over, and none twice but under its key. And a judge
that would notice. ``test_replicas.py`` has the whole of it.

``python -m tests.chaos.harness --seed N`` plays other seeds; a failure's seed is in its figures.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.chaos.harness import Chaos
from tests.chaos.judge import judge
from tests.chaos.plan import BEGIN, DATABASE_TROUBLES, Trouble, incidents, team_file
from tests.chaos.receiver import Got

from midwatch.core.memory import Memory
from midwatch.core.oncall.wake import wake
from midwatch.core.turn import Turn
from midwatch.gym.simulator.trace import Ticked
from midwatch.model.events import (
    Event,
    IncidentOpened,
    IncidentResolved,
    PageEnded,
    PageOrdered,
    PolicyLoaded,
    Recorded,
)
from midwatch.model.fold import fold
from midwatch.model.policy import Policy
from midwatch.model.state import State
from midwatch.model.world import empty_world
from midwatch.shell import files

SEED = int(os.environ.get("MIDWATCH_CHAOS_SEED", "1"))
ESCALATIONS = int(os.environ.get("MIDWATCH_CHAOS_ALONE", "250"))


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(900)
def test_no_page_is_lost_and_none_goes_astray(tmp_path: Path) -> None:
    verdict = Chaos(tmp_path / "watch", SEED, ESCALATIONS).run()
    assert not verdict.wrong, f"{verdict.wrong}\n{verdict.figures}"
    figures = verdict.figures
    assert figures["escalations"] >= ESCALATIONS and figures["kills"] >= 2 and figures["clock_leaps"] >= 1
    assert figures["ends"]["failed"] > 10 and figures["ends"]["withdrawn"] > 5 and figures["answers"] > 10
    assert figures["pages_lost"] == figures["wrong_person"] == figures["resolved_paged"] == 0


def test_a_plan_is_the_same_twice_and_has_everything_in_it() -> None:
    assert incidents(1, 50) == incidents(1, 50) != incidents(2, 50)
    one, other = Trouble(1), Trouble(1)
    steps = [one.step(n) for n in range(900)]
    assert steps == [other.step(n) for n in range(900)]
    assert sum(kill for kill, _ in steps) >= 5 and sum(leap != 0 for _, leap in steps) >= 2
    befalls = [one.database(n) for n in range(900)]
    assert befalls == [other.database(n) for n in range(900)]
    assert set(befalls) == {"", *DATABASE_TROUBLES} and 12 < sum(map(bool, befalls)) < 25


class Story:
    """A short run by hand: one incident, one page, and what a test makes of it."""

    def __init__(self, folder: Path) -> None:
        (folder / "team.yaml").write_text(team_file())
        people = files.load([folder])[0].people
        self.state, self.entries = State(), list[Recorded]()
        self.left: list[dict[str, Any]] = []
        self.at = BEGIN + 100.0
        self.add(PolicyLoaded(Policy(people=people)))
        self.add(IncidentOpened("INC-1", "payment fails", self.at, 2, "so", (), ("service:payment",)))
        self.at += 20
        turn = wake(Turn(self.state, Memory(), empty_world(self.at), self.at))
        self.add(*turn.events)
        self.order = next(event for event in turn.events if isinstance(event, PageOrdered))
        self.ticks = [Ticked(self.at, 1, self.state.seq, True)]
        self.leave(self.order)
        self.got = [Got(self.order.channel, self.order.key, self.order.page, "INC-1", self.order.topics)]

    def add(self, *events: Event) -> None:
        for event in events:
            recorded = Recorded(len(self.entries) + 1, self.at, event)
            self.entries.append(recorded)
            self.state = fold(self.state, recorded)

    def leave(self, order: PageOrdered) -> None:
        self.left.append({"page": order.page, "seq": self.state.seq, "at": self.at, "at_before": self.at})

    def wrong(self) -> str:
        well = [(BEGIN + 5.0 * n, True) for n in range(100)]
        return " ".join(judge(self.entries, self.left, self.got, self.ticks, well).wrong)


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def test_a_run_that_went_well(story: Story) -> None:
    story.add(PageEnded(story.order.page, "delivered"), IncidentResolved("INC-1", "over"))
    assert story.wrong() == ""


def test_a_page_that_is_lost(story: Story) -> None:
    assert "is lost: it has no end" in story.wrong()
    story.add(PageEnded(story.order.page, "delivered"))
    story.got.clear()
    assert "is lost: delivered" in story.wrong() and "nobody heard of INC-1" in story.wrong()


def test_a_page_to_the_wrong_person(story: Story) -> None:
    other = "emil" if story.order.person != "emil" else "ana"
    story.entries = [
        Recorded(r.seq, r.at, replace(r.event, person=other)) if isinstance(r.event, PageOrdered) else r
        for r in story.entries
    ]
    assert f"it is for {other}, and awake are" in story.wrong() and "came before its time" in story.wrong()


def test_a_page_about_what_is_over_and_one_without_an_order(story: Story) -> None:
    story.add(PageEnded(story.order.page, "delivered"), IncidentResolved("INC-1", "over"))
    story.leave(story.order)
    assert "the incident is over" in story.wrong()
    story.leave(replace(story.order, page="PAGE-99"))
    assert "PAGE-99 left and the journal has no order of it" in story.wrong()


def test_a_page_without_a_journal_says_so_and_is_right_as_far_as_the_journal_went(story: Story) -> None:
    story.add(PageEnded(story.order.page, "delivered"))
    said = replace(story.order, page="PAGE-2", text="midwatch cannot write its journal and takes no action")
    left = {"page": "PAGE-2", "seq": story.state.seq, "at": story.at, "at_before": story.at}
    story.left.append({**left, "unjournaled": msgspec.to_builtins(said)})
    assert story.wrong() == ""
    story.left[-1]["unjournaled"] = msgspec.to_builtins(replace(said, text=""))
    assert "the journal has no order of it" in story.wrong()
    story.left[-1]["unjournaled"] = msgspec.to_builtins(replace(said, person="nobody"))
    assert "left without a journal" in story.wrong()


def test_the_same_page_under_two_keys(story: Story) -> None:
    story.add(replace(story.order, page="PAGE-2", key="another"), PageEnded("PAGE-2", "failed"))
    assert "one page under several keys" in story.wrong()


def test_somebody_who_was_forgotten(story: Story) -> None:
    story.at += 600
    story.ticks.append(Ticked(story.at, 1, story.state.seq, True))
    story.add(PageEnded(story.order.page, "delivered"))
    assert "nobody_due_is_forgotten" in story.wrong()
