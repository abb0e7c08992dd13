"""Pages to people through the real watch: their own address as it is sent, the next channel when one fails, and nothing to
whom it no longer concerns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.oncall.test_escalation import scene
from tests.shell.conftest import make_settings

from midwatch.core.oncall.handoff import hand_off
from midwatch.core.oncall.page import page
from midwatch.core.oncall.rota import rota
from midwatch.core.oncall.wake import unwanted, wake
from midwatch.core.turn import Turn
from midwatch.model.errors import ChannelError
from midwatch.model.events import (
    CommandGiven,
    Event,
    IncidentOpened,
    IncidentResolved,
    OverrideSet,
    PageEnded,
    PageOrdered,
)
from midwatch.model.people import Override
from midwatch.model.state import State
from midwatch.shell import people_files
from midwatch.shell.effects import Effects, Hands, Limits
from midwatch.shell.run import Watch

TEAM = """
people:
  ana: {contacts: [{channel: phone, to: env:ANA_PHONE}, chat]}
  ben: {contacts: [chat]}
teams: {shop: {members: [ana, ben], services: [payment], escalation: shop}}
schedules: {shop: {layers: [{people: [ana], starts_on: 2020-01-06}]}}
escalations: {shop: {levels: [{wake: [schedule: shop], wait: 60s}, {wake: [person: ben], wait: 60s}]}}
catch_all: shop
"""


class Phone:
    """Keeps what it took; ``broken`` ones refuse for good."""

    def __init__(self, name: str, *, broken: bool = False) -> None:
        self.name, self.broken = name, broken
        self.took: list[PageOrdered] = []

    async def send(self, order: PageOrdered) -> None:
        if self.broken:
            raise ChannelError("no such number", retry_after_seconds=None)
        self.took.append(order)


class Clock:
    now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


class Story:
    """A watch whose detection is ``next``: what it holds is journaled by the next turn, and people are woken for it."""

    def __init__(self, folder: Path, *channels: Phone) -> None:
        self.clock, self.next = Clock(), list[Event]()
        settings = make_settings(folder)
        (settings.folder / "people").mkdir(parents=True)
        (settings.folder / "people" / "team.yaml").write_text(TEAM)
        self.watch = Watch(settings, channels=channels, clock=self.clock, tick=self._tick)

    def _tick(self, state: State, memory: object, world: object, inputs: object, now: float) -> object:
        turn = Turn(state, memory, world, now, inputs)  # type: ignore[arg-type]
        turn = turn.emit(*self.next)
        self.next = []
        for stage in (rota, hand_off, wake, page):
            turn = stage(turn)
        return turn.events, turn.memory

    async def turn(self, seconds: float, *events: Event) -> None:
        self.clock.now += seconds
        self.next = list(events)
        await self.watch.tick_once()
        await self.watch.effects.drain(5.0)


OPENED = IncidentOpened("INC-1", "payment fails", 1_790_000_000.0, 2, "so", (), ("service:payment",))


def test_the_address_is_looked_up_as_it_is_sent_and_the_next_channel_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANA_PHONE", "+49 30 1234")
    phone, chat = Phone("phone"), Phone("chat")

    async def go() -> Story:
        story = Story(tmp_path, phone, chat)
        await story.watch.start()
        try:
            await story.turn(1, OPENED)
            await story.turn(20)
            phone.broken = True
            await story.turn(200)  # every level is due by now
            await story.turn(5)
        finally:
            await story.watch.stop()
        return story

    story = asyncio.run(go())
    assert [(p.person, p.to) for p in phone.took] == [("ana", "+49 30 1234")]
    assert [p.person for p in chat.took] == ["ben", "ana"]
    assert {p.ordered.to for p in story.watch.state.pages.values()} == {"env:ANA_PHONE", ""}, (
        "the journal has the reference"
    )


def test_an_address_that_is_not_there_is_the_next_channels_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANA_PHONE", raising=False)
    phone, chat = Phone("phone"), Phone("chat")

    async def go() -> Story:
        story = Story(tmp_path, phone, chat)
        story.watch.effects.limits = Limits(page_attempts=1)
        await story.watch.start()
        try:
            await story.turn(1, OPENED)
            await story.turn(20)
            await story.turn(1)
        finally:
            await story.watch.stop()
        return story

    story = asyncio.run(go())
    assert not phone.took and [p.person for p in chat.took] == ["ana"]
    (failed,) = [p for p in story.watch.state.pages.values() if p.status == "failed"]
    assert "ANA_PHONE is not set" in failed.why


def test_what_is_over_or_somebody_elses_is_withdrawn_and_not_sent(tmp_path: Path) -> None:
    made = scene().run(until=5)
    order, phone, ends = made.pages()[0][1], Phone("phone"), list[Event]()

    async def record(event: Event) -> None:
        ends.append(event)

    async def send() -> str:
        effects = Effects(
            hands=Hands([]),
            channels={"phone": phone},
            record=record,
            state=lambda: made.state,
            hands_off_file=tmp_path / "no",
            unwanted=lambda one: unwanted(made.state, one, made.now),
        )
        effects.carry_out([replace(order, to="")])
        await effects.drain(5.0)
        end = ends.pop()
        assert isinstance(end, PageEnded) and end.attempts == (end.status == "delivered")
        return f"{end.status}: {end.why}"

    assert asyncio.run(send()) == "delivered: "
    made.record(OverrideSet(Override("shop", "cleo", made.now, made.now + 900, ident="OVR-1")))
    assert asyncio.run(send()) == "withdrawn: ana is not due any more: cleo is"
    made.record(IncidentResolved("INC-1", "calm"))
    assert asyncio.run(send()) == "withdrawn: INC-1 is resolved"
    assert len(phone.took) == 1


def test_a_slip_in_a_people_file_leaves_nobody_unwoken(tmp_path: Path) -> None:
    async def go() -> tuple[int, str]:
        story = Story(tmp_path, Phone("phone"))
        await story.watch.start()
        await story.watch.stop()
        (tmp_path / "watch" / "people" / "team.yaml").write_text("people: {ana: {zone: nowhere}}")
        again = Watch(story.watch.settings, channels=[Phone("phone")], clock=story.clock, tick=story._tick)  # type: ignore[arg-type]
        await again.start()
        try:
            return len(again.state.policy.people.people), again.vitals.troubles["people"]
        finally:
            await again.stop()

    people, trouble = asyncio.run(go())
    assert people == 2 and "the people as they were hold" in trouble and "no time zone" in trouble


def test_a_command_about_people_is_obeyed_by_the_turn(tmp_path: Path) -> None:
    async def go() -> State:
        story = Story(tmp_path, Phone("phone"))
        await story.watch.start()
        try:
            await story.turn(1)
            now = story.clock.now
            await story.watch.command(CommandGiven("override", "ana", "shop", f"ben {now:.0f} {now + 600:.0f}"))
            await story.turn(1)
            await story.turn(1)
            return story.watch.state
        finally:
            await story.watch.stop()

    state = asyncio.run(go())
    assert state.overrides[0].person == "ben" and state.on_call["shop"].person == "ben"


def test_files_that_change_are_read_while_the_watch_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people_files, "LOOK_SECONDS", 0.02)
    contacts: list[str] = []
    file = tmp_path / "watch" / "people" / "team.yaml"

    async def go() -> list[tuple[str, ...]]:
        story = Story(tmp_path, Phone("phone"))
        watch, seen = story.watch, list[tuple[str, ...]]()
        await watch.start()
        contacts.append(watch.vitals.troubles["contacts"])

        async def until(true: Callable[[], bool]) -> None:
            for _ in range(1000):
                if true():
                    break
                await asyncio.sleep(0.02)
            seen.append((*(p.ident for p in watch.state.policy.people.people), watch.vitals.troubles.get("people", "")))

        try:
            file.write_text(TEAM.replace("ben: {contacts: [chat]}", "ben: {contacts: [chat]}\n  cleo: {}"))
            await until(lambda: len(watch.state.policy.people.people) == 3)
            file.write_text("people: {ana: {zone: nowhere}}")
            await until(lambda: "people" in watch.vitals.troubles)
            file.write_text(TEAM)
            await until(lambda: len(watch.state.policy.people.people) == 2)
        finally:
            await watch.stop()
        return seen

    grown, wrong, back = asyncio.run(go())
    assert "channels that the settings do not have: chat" in contacts[0]
    assert grown == ("ana", "ben", "cleo", "") and back == ("ana", "ben", "")
    assert wrong[:3] == ("ana", "ben", "cleo") and "no time zone" in wrong[3]
