"""Review figures from a journal whose answers are known, and intervals held against chance."""

from __future__ import annotations

import random

import pytest

from midwatch.core.learn.review import Times, part, review, times
from midwatch.core.learn.stories import collect
from midwatch.core.oncall.schedule import Shift
from midwatch.model import events as e
from midwatch.model.actions import Action, Verdict
from midwatch.model.findings import Hypothesis

T, MINUTE, DAY = 1_790_000_000.0, 60.0, 86_400.0


class Journal:
    def __init__(self) -> None:
        self.entries: list[e.Recorded] = []

    def say(self, at: float, *events: e.Event) -> None:
        self.entries += [e.Recorded(len(self.entries) + n, at, event) for n, event in enumerate(events, 1)]

    def incident(
        self, number: int, at: float, *, ack: float | None = 2, over: float = 10, cause: str = "", acted: bool = False,
        paged: bool = True, person: str = "",
    ) -> None:  # fmt: skip
        """Onset a minute before ``at``; minutes until it is taken and over."""
        ident = f"INC-{number}"
        self.say(at, e.IncidentOpened(ident, "t", at - MINUTE, 2, "r", (), ("service:a",)))
        if paged:
            order = e.PageOrdered(f"PAGE-{number}", ident, f"{ident}/0", "phone", "s", "t", person=person)
            self.say(at + 10, order)
        if acted:
            action = Action(f"ACT-{number}", "k", ident, "book", "restart", "service:a")
            self.say(at + 20, e.ActionJudged(action, Verdict("run", "r", "w")), e.ActionOrdered(action.id))
        if ack is not None:
            self.say(at + 10 + ack * MINUTE, e.IncidentAcknowledged(ident, "ana"))
        if cause:
            self.say(at + 30, e.CauseConfirmed(ident, *cause.split(), "ana"))
        self.say(at + over * MINUTE, e.IncidentResolved(ident, "calm"))
        if paged:
            self.say(
                at + over * MINUTE, e.PageOrdered(f"R-{number}", ident, "k", "phone", "s", "t", topics=("resolved",))
            )


def test_times_are_from_when_to_when_they_say() -> None:
    journal = Journal()
    for number in range(7):
        journal.incident(number, T + number * DAY, ack=number + 1, over=10 + number)
    found = review(collect(journal.entries), T, T + 30 * DAY)
    assert found.incidents == {0: 7, 2: 7} and found.still_open == 0
    detect, acknowledge = found.times["detect"][0], found.times["acknowledge"][0]
    assert detect == Times(7, MINUTE, MINUTE, MINUTE, MINUTE)
    assert (acknowledge.median, acknowledge.low, acknowledge.high) == (4 * MINUTE, MINUTE, 7 * MINUTE)
    assert found.times["recover"][0].median == found.times["mitigate"][0].median == 14 * MINUTE
    assert found.times["recover"][2] == found.times["recover"][0]


def test_only_what_opened_in_the_span_counts() -> None:
    journal = Journal()
    journal.incident(1, T - DAY)
    journal.incident(2, T + 1)
    journal.incident(3, T + DAY + 1)
    found = review(collect(journal.entries), T, T + DAY)
    assert found.incidents[0] == 1 and found.load.pages == 1


def test_what_was_never_answered_or_is_not_over_is_left_out() -> None:
    journal = Journal()
    journal.incident(1, T, ack=None)
    journal.say(T, e.IncidentOpened("INC-2", "t", T, 3, "r", (), ()))
    found = review(collect(journal.entries), T, T + DAY)
    assert found.still_open == 1 and found.times["acknowledge"][0].cases == 0
    assert found.times["recover"][0].cases == 1


def test_something_was_done_or_not() -> None:
    journal = Journal()
    journal.incident(1, T, acted=True)
    journal.incident(2, T + 1)
    journal.incident(3, T + 2)
    journal.say(T + 60, e.CommandGiven("note", "ana", "INC-3", note="it is the cable"))
    journal.incident(4, T + 3, acted=True, paged=False)
    found = review(collect(journal.entries), T, T + DAY).actionable
    assert (found.part, found.whole) == (2, 3)


def test_what_came_again_within_ninety_days() -> None:
    journal = Journal()
    journal.incident(1, T - 60 * DAY, cause="service:a bad_deploy")
    journal.incident(2, T + DAY, cause="service:a bad_deploy")
    journal.incident(3, T + 2 * DAY, cause="service:a pool_exhausted")
    journal.incident(4, T + 3 * DAY, cause="")
    found = review(collect(journal.entries), T, T + 30 * DAY)
    assert (found.repeats.part, found.repeats.whole) == (1, 2)
    assert found.repeated == (("service:a bad_deploy", 1),)


def test_a_probable_cause_stands_in_for_one_that_nobody_confirmed() -> None:
    journal = Journal()
    journal.say(T, e.IncidentOpened("INC-1", "t", T, 2, "r", (), ()))
    journal.say(T + 1, e.CauseRanked("INC-1", (Hypothesis("service:a", "bad_deploy", 0.8),), 0.2))
    journal.say(T + 2, e.IncidentRated("INC-1", 1, "worse"), e.IncidentRated("INC-1", 3, "better"))
    (story,) = collect(journal.entries).stories
    assert story.cause == "service:a bad_deploy" and story.severity == 1


def test_what_became_part_of_another_counts_there() -> None:
    journal = Journal()
    journal.incident(1, T)
    journal.incident(2, T + 1)
    journal.say(T + 2, e.IncidentMerged("INC-1", "INC-2", "ana"))
    assert review(collect(journal.entries), T, T + DAY).incidents[0] == 1


def test_pages_per_shift() -> None:
    journal = Journal()
    journal.incident(1, T + 1, person="ana")
    journal.incident(2, T + 2, person="ana")
    journal.incident(3, T + DAY + 1, person="bo")
    journal.incident(4, T + DAY + 2)  # a channel, whoever that is
    shifts = (
        Shift("s", "ana", T, T + DAY),
        Shift("s", "bo", T + DAY, T + 2 * DAY),
        Shift("s", "ana", T + 2 * DAY, T + 3 * DAY),
        Shift("s", "", T + 3 * DAY, T + 4 * DAY),
    )
    load = review(collect(journal.entries), T, T + 4 * DAY, shifts).load
    assert (load.of, load.count, load.median, load.most, load.pages) == ("shift", 3, 2, 2, 4)
    assert (load.quiet.part, load.quiet.whole) == (1, 3)
    days = review(collect(journal.entries), T, T + 4 * DAY).load
    assert (days.of, days.count, days.most, days.pages) == ("day", 4, 2, 4)


@pytest.mark.parametrize(("n", "rank"), [(5, 0), (6, 1), (8, 1), (9, 2), (20, 6), (100, 40)])
def test_the_interval_of_a_median_is_the_one_in_the_tables(n: int, rank: int) -> None:
    found = times(range(1, n + 1))
    assert (found.low, found.high) == ((rank, n + 1 - rank) if rank else (None, None))


def test_the_interval_holds_the_median_as_often_as_it_says() -> None:
    draw = random.Random(7)
    held = 0
    for _ in range(2000):
        found = times([draw.expovariate(1.0) for _ in range(12)])
        assert found.low is not None and found.high is not None
        held += found.low <= 0.6931 <= found.high
    assert held / 2000 > 0.95


def test_a_share_of_nothing_is_nothing() -> None:
    assert part(0, 0).share is None and part(3, 4).share == 0.75 and part(3, 4).low < 0.5
