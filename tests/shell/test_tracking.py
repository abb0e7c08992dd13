"""Action items from the journal to a tracker and back, against GitHub's contract fake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from midwatch.adapters.fakes.server import Answer
from midwatch.adapters.fakes.trackers import FakeGitHub, FakeGitLab
from midwatch.adapters.trackers.github import GitHubTracker
from midwatch.model.events import Event, ItemClosed, ItemFiled, ItemLate, ItemOpened, ItemSeenAgain, Recorded
from midwatch.model.fold import fold
from midwatch.model.items import ActionItem
from midwatch.model.ports import Tracker
from midwatch.model.state import State
from midwatch.shell import tracking as module
from midwatch.shell.config import Settings
from midwatch.shell.tracking import Tracking, build_trackers

ITEM = ActionItem("AI-1", "INC-1", "make it `last`", "payments", 1_790_000_000.0, "last", "service:payment pool")


class Bench:
    def __init__(self, *trackers: tuple[Tracker, frozenset[str]], wanted: Callable[[], bool] = lambda: True) -> None:
        self.state, self.recorded, self.troubles = State(), [], {}  # type: ignore[var-annotated]
        self.tracking = Tracking(
            trackers, state=lambda: self.state, record=self.record, trouble=self.troubles.__setitem__, wanted=wanted
        )

    async def record(self, event: Event) -> None:
        self.recorded.append(event)
        self.fold(event)

    def fold(self, *events: Event) -> None:
        for event in events:
            self.state = fold(self.state, Recorded(self.state.seq + 1, 5.0, event))

    def said(self, *events: Event) -> None:
        self.fold(*events)
        self.tracking.hear(events)

    async def until(self, holds: Callable[[], object]) -> None:
        running = asyncio.create_task(self.tracking.run())
        try:
            for _ in range(1000):
                if holds():
                    return
                await asyncio.sleep(0.01)
            raise AssertionError(f"not in time: {self.troubles}")
        finally:
            running.cancel()


def github(fake: FakeGitHub, owners: tuple[str, ...] = ()) -> tuple[Tracker, frozenset[str]]:
    return GitHubTracker("code", "shop/ops", lambda: fake.token, api_url=fake.url), frozenset(owners)


def test_it_is_filed_chased_and_closed() -> None:
    async def go(fake: FakeGitHub) -> None:
        bench = Bench(github(fake))
        bench.said(ItemOpened(ITEM))
        await bench.until(lambda: bench.recorded)
        assert bench.recorded == [ItemFiled("AI-1", "code", "1", "https://github.com/shop/ops/issues/1")]
        assert fake.issues[1]["title"] == "INC-1: make it last"
        bench.said(ItemSeenAgain("AI-1", "INC-2"), ItemLate("AI-1"))
        await bench.until(lambda: len(fake.comments.get(1, [])) == 2)
        again, late = (c["body"] for c in fake.comments[1])
        assert "It happened again, in INC-2" in again and "was due on 2026-09-21" in late and "INC-2" in late
        await bench.tracking.look_once()
        assert len(bench.recorded) == 1
        fake.close(1)
        await bench.tracking.look_once()
        assert bench.recorded[1] == ItemClosed("AI-1", "code", "completed in code")
        assert bench.state.items["AI-1"].status == "closed"

    with FakeGitHub() as fake:
        asyncio.run(go(fake))


def test_a_crash_between_the_issue_and_the_journal_files_nothing_twice() -> None:
    async def go(fake: FakeGitHub) -> None:
        first = Bench(github(fake))
        first.said(ItemOpened(ITEM))
        await first.until(lambda: first.recorded)
        second = Bench(github(fake))
        second.fold(ItemOpened(ITEM))  # the journal knows the item, and not that it was filed
        second.tracking.reconcile()
        await second.until(lambda: second.recorded)
        assert second.recorded == first.recorded and len(fake.issues) == 1

    with FakeGitHub() as fake:
        asyncio.run(go(fake))


def test_trouble_is_said_and_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.01)

    async def go(fake: FakeGitHub) -> None:
        fake.answers += [Answer(503, {"message": "unicorns"}, {"Retry-After": "0"})] * 2
        bench = Bench(github(fake))
        bench.said(ItemOpened(ITEM))
        seen: list[str] = []
        bench.tracking._trouble = lambda part, why: seen.append(why)
        await bench.until(lambda: bench.recorded)
        assert ["unicorns" in why for why in seen] == [True, True, False]
        assert len(fake.issues) == 1

    with FakeGitHub() as fake:
        asyncio.run(go(fake))


def test_what_is_refused_for_good_does_not_stop_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go(fake: FakeGitHub) -> None:
        fake.answers += [Answer(410, {"message": "Issues are disabled for this repo"})]
        bench = Bench(github(fake))
        bench.said(ItemOpened(ITEM))
        other = ActionItem("AI-2", "INC-1", "another", "search", 1_790_000_000.0)
        bench.said(ItemOpened(other))
        await bench.until(lambda: bench.recorded)
        assert [event.item for event in bench.recorded] == ["AI-2"]

    with FakeGitHub() as fake:
        asyncio.run(go(fake))


def test_owners_choose_the_tracker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GH", "tracker-token")
    monkeypatch.setenv("GL", "tracker-token")

    async def go(hub: FakeGitHub, lab: FakeGitLab) -> None:
        github = {
            "type": "github",
            "repository": "shop/ops",
            "token": "env:GH",
            "owners": ["search"],
            "api_url": hub.url,
        }
        gitlab = {"type": "gitlab", "project": "shop/ops", "token": "env:GL", "api_url": lab.url}
        settings = Settings.model_validate({"trackers": {"search": github, "rest": gitlab}})
        bench = Bench(*build_trackers(settings.trackers))
        bench.said(ItemOpened(ITEM), ItemOpened(ActionItem("AI-2", "INC-1", "another", "search", 1_790_000_000.0)))
        await bench.until(lambda: len(bench.recorded) == 2)
        assert {event.item: event.tracker for event in bench.recorded} == {"AI-1": "rest", "AI-2": "search"}

    with FakeGitHub() as hub, FakeGitLab() as lab:
        asyncio.run(go(hub, lab))


def test_a_replica_that_stands_by_files_nothing() -> None:
    async def go(fake: FakeGitHub) -> None:
        bench = Bench(github(fake), wanted=lambda: False)
        bench.said(ItemOpened(ITEM))
        running = asyncio.create_task(bench.tracking.run())
        await asyncio.sleep(0.1)
        running.cancel()
        assert not fake.requests

    with FakeGitHub() as fake:
        asyncio.run(go(fake))
