"""Action items, from the end of an incident to the day on which they are late."""

from __future__ import annotations

from midwatch.core.decide.items import add_item, close_item
from midwatch.core.learn.items import DAY_SECONDS, follow_up, todo
from midwatch.core.learn.postmortem import postmortem
from midwatch.core.memory import Memory
from midwatch.core.turn import Turn
from midwatch.model import events as e
from midwatch.model.fold import fold
from midwatch.model.state import State
from midwatch.model.world import empty_world

T = 1_790_000_000.0


class Journal:
    """State as the fold of what was said, each at its time."""

    def __init__(self) -> None:
        self.state = State()

    def say(self, at: float, *events: e.Event) -> None:
        for event in events:
            self.state = fold(self.state, e.Recorded(self.state.seq + 1, at, event))

    def turn(self, at: float, *events: e.Event) -> tuple[e.Event, ...]:
        """What follows in a turn that decided ``events``; all of it is journaled."""
        turn = follow_up(Turn(self.state, Memory(), empty_world(at), at, ()).emit(*events))
        self.say(at, *turn.events)
        return turn.events[len(events) :]

    def incident(
        self, number: int, at: float, cause: str = "pool_exhausted", paged: bool = True
    ) -> tuple[e.Event, ...]:
        ident = f"INC-{number}"
        self.say(at, e.IncidentOpened(ident, "payment fails", at - 90, 2, "15 %", (), ("service:payment",)))
        if paged:
            self.say(at + 1, e.PageOrdered(f"PAGE-{number}", ident, f"{ident}/phone/0", "phone", "s", "t"))
        if cause:
            self.say(at + 2, e.CauseConfirmed(ident, "service:payment", cause, "ana"))
        return self.turn(at + 60, e.IncidentResolved(ident, "calm"))


def items(events: tuple[e.Event, ...]) -> list[str]:
    return [event.item.kind for event in events if isinstance(event, e.ItemOpened)]


def test_what_is_left_to_do_has_an_owner_and_a_date() -> None:
    journal = Journal()
    assert items(journal.incident(1, T)) == ["no book", "notice"]
    first = journal.state.items["AI-1"]
    assert first.item.owner == "on-call" and first.item.about == "service:payment pool_exhausted"
    assert first.item.due_at == T + 60 + 14 * DAY_SECONDS
    assert "| AI-2 | notice it sooner" in postmortem(journal.state, "INC-1") and "2026-" in postmortem(
        journal.state, "INC-1"
    )


def test_what_nobody_was_paged_for_leaves_nothing() -> None:
    assert items(Journal().incident(1, T, paged=False)) == []


def test_the_same_cause_again_links_instead_of_writing_twice() -> None:
    journal = Journal()
    journal.incident(1, T)
    after = journal.incident(2, T + 3600)
    assert [ev.item for ev in after if isinstance(ev, e.ItemSeenAgain)] == ["AI-1", "AI-2"]
    assert items(after) == [] and journal.state.items["AI-1"].seen_in == ("INC-2",)
    assert "The same cause as in INC-1, where AI-1 is still open" in postmortem(journal.state, "INC-2")
    other = journal.incident(3, T + 7200, cause="bad_deploy")
    assert items(other) == ["no book", "notice"], "another cause is another matter"
    journal.say(T + 8000, e.ItemClosed("AI-1", "ana", "done"))
    again = journal.incident(4, T + 9000)
    assert items(again) == ["no book"], "what was closed and came back is to be done again"


def test_late_is_said_once_a_week_until_it_is_done() -> None:
    journal = Journal()
    journal.incident(1, T)
    due = journal.state.items["AI-1"].item.due_at
    journal.say(T + 100, e.ItemClosed("AI-2", "ana", "done"))
    assert journal.turn(due - 1) == ()
    assert journal.turn(due + 1) == (e.ItemLate("AI-1"),)
    assert journal.turn(due + 5 * DAY_SECONDS) == ()
    assert journal.turn(due + 8 * DAY_SECONDS) == (e.ItemLate("AI-1"),)
    journal.say(due + 9 * DAY_SECONDS, e.ItemClosed("AI-1", "code", "closed in code"))
    assert journal.turn(due + 30 * DAY_SECONDS) == ()


def test_people_add_items_and_close_them() -> None:
    journal = Journal()
    journal.incident(1, T)

    def said(verb: str, target: str, value: str = "", note: str = "") -> tuple[e.Event, ...]:
        obey = {"item": add_item, "item_done": close_item}[verb]
        turn = obey(
            Turn(journal.state, Memory(), empty_world(T), T + 200, ()),
            e.CommandGiven(verb, "ana", target, value, note),
        )
        journal.say(T + 200, *turn.events)
        return turn.events

    (opened,) = said("item", "INC-1", "2026-12-24 payments", "buy a larger database")
    assert isinstance(opened, e.ItemOpened) and (opened.item.owner, opened.item.by) == ("payments", "ana")
    assert opened.item.id == "AI-3"
    (closed,) = said("item_done", "AI-3")
    assert closed == e.ItemClosed("AI-3", "ana", "done")
    for wrong in (
        ("item", "INC-9", "2026-12-24 payments", "x"),
        ("item", "INC-1", "tomorrow payments", "x"),
        ("item", "INC-1", "2026-12-24", "x"),
        ("item", "INC-1", "2026-12-24 payments", " "),
        ("item_done", "AI-3", "", ""),
    ):
        (refused,) = said(*wrong)
        assert isinstance(refused, e.CommandRefused) and refused.why


def test_each_kind_of_thing_to_do_stands_once() -> None:
    journal = Journal()
    journal.incident(1, T, cause="")
    kinds = [one.kind for one in todo(journal.state, journal.state.incidents["INC-1"])]
    assert kinds == ["cause", "notice"], "a playbook for a cause that nobody knows cannot be written"


def test_an_unknown_cause_at_the_same_place_joins_the_item_that_asks_for_it() -> None:
    journal = Journal()
    assert items(journal.incident(1, T, cause="")) == ["cause", "notice"]
    after = journal.incident(2, T + 3600, cause="")
    assert items(after) == [] and [ev.item for ev in after if isinstance(ev, e.ItemSeenAgain)] == ["AI-1"]
    assert "Felt at the same place as INC-1, where AI-1 is still open" in postmortem(journal.state, "INC-2")
    assert journal.incident(3, T + 7200, cause="", paged=False) == (), "what woke nobody is no news for the item"


def test_two_alerts_on_one_service_leave_an_item_each_and_the_same_one_again_joins_its_own() -> None:
    journal = Journal()

    def told(number: int, alert: str) -> tuple[e.Event, ...]:
        ident, finding, at = f"INC-{number}", f"alert|service:payment|{alert}", T + 3600 * number
        journal.say(at, e.IncidentOpened(ident, alert, at, 2, "so rated", (finding,), ("service:payment",)))
        journal.say(at + 1, e.PageOrdered(f"PAGE-{number}", ident, f"{ident}/phone/0", "phone", "s", "t"))
        return journal.turn(at + 60, e.IncidentResolved(ident, "calm"))

    assert [items(told(1, "DiskFull")), items(told(2, "SlowAnswers"))] == [["cause"], ["cause"]]
    assert {r.item.about for r in journal.state.items.values()} == {
        "service:payment DiskFull",
        "service:payment SlowAnswers",
    }
    again = told(3, "DiskFull")
    assert items(again) == [] and [ev.item for ev in again if isinstance(ev, e.ItemSeenAgain)] == ["AI-1"]


def test_a_sev4_that_woke_nobody_leaves_only_what_was_not_ended() -> None:
    journal = Journal()
    journal.say(T, e.IncidentOpened("INC-1", "payment fails", T - 90, 4, "barely", (), ("service:payment",)))
    journal.say(T + 1, e.TaskSet("INC-1", 1, "buy a larger disk", "ana", "ana"))
    assert items(journal.turn(T + 60, e.IncidentResolved("INC-1", "calm"))) == ["task INC-1 1"]
