"""Effects: the last look, doubt, retries, and settling what an earlier process left without an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from midwatch.adapters.testing import sample_page
from midwatch.model.actions import Action, Outcome, VerbSpec, Verdict
from midwatch.model.errors import ActuatorError, ChannelError, InDoubt
from midwatch.model.events import (
    ActionEnded,
    ActionJudged,
    ActionOrdered,
    Event,
    HandsOffChanged,
    PageEnded,
    PageOrdered,
    Recorded,
)
from midwatch.model.fold import fold
from midwatch.model.state import State
from midwatch.shell.effects import Effects, Hands, Limits

QUICK = Limits(
    late_seconds=0.001, page_backoff_seconds=0.001, observe_after_seconds=(0.001, 0.001), page_timeout_seconds=0.2
)


class FakeHands:
    """Answers from a script; counts what it was asked."""

    def __init__(
        self, apply: list[Outcome | Exception] | None = None, observe: list[Outcome | Exception] | None = None
    ):
        self.script, self.truth = list(apply or []), list(observe or [])
        self.applied: list[str] = []
        self.observed: list[str] = []

    @property
    def verbs(self) -> dict[str, VerbSpec]:
        return {"restart": VerbSpec("restart", "", "transient", ("restart",), ("service",))}

    async def apply(self, action: Action) -> Outcome:
        self.applied.append(action.key)
        return _said(self.script, Outcome("done", "ok"))

    async def observe(self, action: Action) -> Outcome:
        self.observed.append(action.key)
        return _said(self.truth, Outcome("failed", "it did not happen"))


def _said(script: list[Outcome | Exception], otherwise: Outcome) -> Outcome:
    said = script.pop(0) if script else otherwise
    if isinstance(said, Exception):
        raise said
    return said


class FakeChannel:
    name = "phone"

    def __init__(self, *script: Exception) -> None:
        self.script, self.sent = list(script), []

    async def send(self, page: PageOrdered) -> None:
        self.sent.append(page.key)
        if self.script:
            raise self.script.pop(0)


class Bench:
    """Effects over a state that is the fold of what was recorded."""

    def __init__(
        self, tmp_path: Path, hands: FakeHands | None = None, channel: FakeChannel | None = None, **options: object
    ):
        self.state = State()
        self.recorded: list[Event] = []
        self.hands, self.channel = hands or FakeHands(), channel or FakeChannel()
        self.off = tmp_path / "HANDS-OFF"
        values: dict[str, object] = {"limits": QUICK, **options}
        self.effects = Effects(
            hands=self.hands,
            channels={"phone": self.channel},
            record=self.record,
            state=lambda: self.state,
            hands_off_file=self.off,
            **values,  # type: ignore[arg-type]
        )

    async def record(self, event: Event) -> None:
        self.recorded.append(event)
        self.state = fold(self.state, Recorded(self.state.seq + 1, 1.0, event))

    async def order(self, timeout_seconds: float = 1.0) -> None:
        action = Action("ACT-1", "key-1", "INC-1", "book", "restart", "service:a", timeout_seconds=timeout_seconds)
        await self.record(ActionJudged(action, Verdict("run", "all", "")))
        await self.record(ActionOrdered("ACT-1"))

    def ends(self) -> list[tuple[str, bool]]:
        return [(e.outcome.status, e.reconciled) for e in self.recorded if isinstance(e, ActionEnded)]

    async def act(self) -> None:
        await self.order()
        self.effects.carry_out([ActionOrdered("ACT-1")])
        assert await self.effects.drain(5)


def run(bench: Callable[[], object]) -> None:
    asyncio.run(bench())  # type: ignore[arg-type]


def test_an_ordered_action_is_carried_out_once(tmp_path: Path) -> None:
    async def go() -> None:
        bench = Bench(tmp_path)
        await bench.act()
        bench.effects.carry_out([ActionOrdered("ACT-1")])  # heard twice
        await bench.effects.drain(5)
        assert bench.hands.applied == ["key-1"]
        assert bench.ends() == [("done", False)]

    run(go)


def test_hands_off_stops_it_by_state_and_by_file(tmp_path: Path) -> None:
    async def go() -> None:
        bench = Bench(tmp_path)
        await bench.record(HandsOffChanged(True, "alice"))
        await bench.act()
        assert bench.hands.applied == [] and bench.ends() == [("failed", False)]
        other = Bench(tmp_path)
        other.off.touch()
        await other.act()
        assert other.hands.applied == [] and other.ends() == [("failed", False)]

    run(go)


def test_no_action_when_the_lease_may_end_first(tmp_path: Path) -> None:
    async def go() -> None:
        asked: list[float] = []

        def held(margin: float) -> bool:
            asked.append(margin)
            return False

        bench = Bench(tmp_path, held=held)
        await bench.act()
        assert bench.hands.applied == [] and bench.ends() == [("failed", False)]
        assert asked == [1.0 + QUICK.lease_margin_seconds], "the effect's timeout and the margin"

    run(go)


def test_a_half_spent_lease_is_renewed_before_it_is_held_against_an_action(tmp_path: Path) -> None:
    async def go() -> None:
        left = [1.0]

        async def renew() -> bool:
            left[0] = 15.0
            return True

        bench = Bench(tmp_path, held=lambda margin: left[0] > margin, renew=renew)
        await bench.act()
        assert bench.hands.applied == ["key-1"] and bench.ends() == [("done", False)]

    run(go)


@pytest.mark.parametrize(
    ("said", "truth", "ends"),
    [
        (ActuatorError("refused"), [], [("failed", False)]),
        (InDoubt("gone"), [Outcome("done")], [("in_doubt", False), ("done", True)]),
        (InDoubt("gone"), [Outcome("in_doubt"), Outcome("failed")], [("in_doubt", False), ("failed", True)]),
        (InDoubt("gone"), [Outcome("in_doubt")] * 9, [("in_doubt", False)]),
        (ZeroDivisionError(), [InDoubt("x"), Outcome("done")], [("in_doubt", False), ("done", True)]),
    ],
)
def test_doubt_is_asked_about_and_never_repeated(
    tmp_path: Path, said: Exception, truth: list[Outcome | Exception], ends: list[tuple[str, bool]]
) -> None:
    async def go() -> None:
        bench = Bench(tmp_path, FakeHands([said], truth))
        await bench.act()
        assert bench.hands.applied == ["key-1"], "never twice"
        assert bench.ends() == ends

    run(go)


def test_no_answer_in_time_is_doubt(tmp_path: Path) -> None:
    class Slow(FakeHands):
        async def apply(self, action: Action) -> Outcome:
            self.applied.append(action.key)
            await asyncio.sleep(30)
            return Outcome("done")

    async def go() -> None:
        bench = Bench(tmp_path, Slow(observe=[Outcome("done", "it is so")]))
        await bench.order(timeout_seconds=0.05)
        bench.effects.carry_out([ActionOrdered("ACT-1")])
        assert await bench.effects.drain(5)
        assert bench.ends() == [("in_doubt", False), ("done", True)]

    run(go)


def test_secrets_in_an_actuators_words_are_cut(tmp_path: Path) -> None:
    async def go() -> None:
        bench = Bench(tmp_path, FakeHands([ActuatorError("http://me:hunter2@db/?password=hunter2 refused")]))
        await bench.act()
        assert "hunter2" not in str(bench.recorded[-1])

    run(go)


def test_pages_are_retried_then_given_up(tmp_path: Path) -> None:
    async def go() -> None:
        bench = Bench(tmp_path, channel=FakeChannel(ChannelError("busy", retry_after_seconds=0.0), RuntimeError("bug")))
        order = sample_page(channel="phone")
        await bench.record(order)
        bench.effects.carry_out([order])
        await bench.effects.drain(5)
        assert bench.channel.sent == [order.key] * 3
        assert bench.recorded[-1] == PageEnded(order.page, "delivered", "", 3)

        never = Bench(tmp_path, channel=FakeChannel(ChannelError("no", retry_after_seconds=None)))
        never.effects.carry_out([order])
        await never.effects.drain(5)
        assert never.recorded[-1] == PageEnded(order.page, "failed", "no", 1)

        tired = Bench(tmp_path, channel=FakeChannel(*[ChannelError("busy", retry_after_seconds=0.0)] * 9))
        tired.effects.carry_out([order])
        await tired.effects.drain(5)
        assert tired.recorded[-1] == PageEnded(order.page, "failed", "busy", QUICK.page_attempts)

        lost = Bench(tmp_path)
        lost.effects.carry_out([sample_page(channel="nowhere")])
        await lost.effects.drain(5)
        assert isinstance(lost.recorded[-1], PageEnded) and lost.recorded[-1].status == "failed"

    run(go)


def test_hands_off_does_not_stop_pages(tmp_path: Path) -> None:
    async def go() -> None:
        bench = Bench(tmp_path, held=lambda _: False)
        bench.off.touch()
        bench.effects.carry_out([sample_page(channel="phone")])
        await bench.effects.drain(5)
        assert bench.channel.sent == ["INC-1/sev2/0"]

    run(go)


def test_too_many_waiting_pages_are_said_to_have_failed(tmp_path: Path) -> None:
    async def go() -> None:
        bench = Bench(tmp_path, limits=Limits(max_waiting_pages=3))
        bench.effects.carry_out([sample_page(key=f"k{n}", page=f"P{n}", channel="phone") for n in range(5)])
        await bench.effects.drain(5)
        said = [e.status for e in bench.recorded if isinstance(e, PageEnded)]
        assert sorted(said) == ["delivered"] * 3 + ["failed"] * 2

    run(go)


def test_a_page_without_a_journal_ends_no_other_page_that_has_its_number(tmp_path: Path) -> None:
    """The journal goes on without it: its number is given again, to another page or to the same one."""
    channel = FakeChannel(ChannelError("no line", retry_after_seconds=0.05))
    bench = Bench(tmp_path, channel=channel)

    async def go() -> None:
        bench.effects.page_anyway(sample_page(page="PAGE-1", key="without", channel="phone"))
        other = sample_page(page="PAGE-1", key="other", channel="phone")
        same = sample_page(page="PAGE-2", key="without", channel="phone")
        for order in (other, same):
            await bench.record(order)
        bench.effects.carry_out([other, same])
        assert await bench.effects.drain(5)

    asyncio.run(go())
    assert sorted(channel.sent) == ["other", "without", "without"], "one try more, none besides"
    assert sorted(e.page for e in bench.recorded if isinstance(e, PageEnded)) == ["PAGE-1", "PAGE-2"]


def test_reconcile_sends_pages_again_and_asks_about_actions(tmp_path: Path) -> None:
    async def go() -> None:
        bench = Bench(tmp_path, FakeHands(observe=[Outcome("done", "the pool has 20")]))
        await bench.order()
        order = sample_page(channel="phone")
        await bench.record(order)
        bench.effects.reconcile(bench.state)
        await bench.effects.drain(5)
        assert bench.channel.sent == [order.key]
        assert bench.hands.applied == [] and bench.hands.observed == ["key-1"]
        assert bench.ends() == [("done", True)]
        assert bench.state.pages[order.page].status == "delivered"
        bench.effects.reconcile(bench.state)
        await bench.effects.drain(5)
        assert bench.channel.sent == [order.key] and bench.hands.observed == ["key-1"], "settled once"

    run(go)


def test_an_order_that_nobody_can_tell_about_ends_in_doubt(tmp_path: Path) -> None:
    async def go() -> None:
        bench = Bench(tmp_path, FakeHands(observe=[Outcome("in_doubt")] * 9))
        await bench.order()
        bench.effects.reconcile(bench.state)
        await bench.effects.drain(5)
        assert bench.ends() == [("in_doubt", True)]

    run(go)


def test_crash_points_are_passed_around_each_effect(tmp_path: Path) -> None:
    async def go() -> None:
        passed: list[str] = []
        bench = Bench(tmp_path, crash_point=passed.append)
        await bench.act()
        assert passed == ["before_effect", "after_effect"]

    run(go)


def test_hands_dispatch_by_verb() -> None:
    hands = Hands([FakeHands()])
    assert set(hands.verbs) == {"restart"}
    with pytest.raises(ActuatorError, match="two actuators"):
        Hands([FakeHands(), FakeHands()])
    with pytest.raises(ActuatorError, match="nothing here"):
        asyncio.run(hands.apply(Action("A", "k", "I", "b", "fly", "service:a")))
