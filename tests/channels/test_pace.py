"""A channel's pace, on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from midwatch.adapters.channels import pace as module
from midwatch.adapters.channels.pace import MAX_LANES, Pace
from midwatch.model.errors import ChannelError, RateLimited


class Virtual:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(module.asyncio, "sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def send(self, pace: Pace, error: Exception | None = None, lane: str = "") -> float:
        """When it was sent, as elapsed seconds."""
        async with pace.turn(lane=lane):
            if error:
                raise error
            return self.now - 100.0


def test_one_a_second_after_a_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Virtual(monkeypatch)

    async def go() -> list[float]:
        pace = Pace(1.0, 3, clock=lambda: time.now)
        return [await time.send(pace) for _ in range(6)]

    assert asyncio.run(go()) == [0, 0, 0, 1, 2, 3]


def test_what_belongs_together_takes_the_room_of_both_and_is_not_sent_back_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = Virtual(monkeypatch)

    async def go() -> list[float]:
        pace = Pace(1.0, 1, clock=lambda: time.now)
        async with pace.turn(sends=2):
            pass
        return [await time.send(pace), await time.send(pace)]

    assert asyncio.run(go()) == [2, 3]


def test_each_lane_has_its_own_pace_and_lanes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Virtual(monkeypatch)

    async def go() -> list[float]:
        pace = Pace(1.0, 1, clock=lambda: time.now)
        for number in range(MAX_LANES):
            assert await time.send(pace, lane=f"D{number}") == 0
        shared = [await time.send(pace, lane=lane) for lane in ("E1", "E2")]
        later = [await time.send(pace, lane="D1"), await time.send(pace, lane="D2")]  # now others are free again
        with pytest.raises(RateLimited):
            await time.send(pace, RateLimited("slower", retry_after_seconds=3.0), lane="D3")
        return [*shared, *later, await time.send(pace, lane="D4")]

    assert asyncio.run(go()) == [0, 1, 1, 1, 4], "a pause holds in every lane"


def test_a_long_queue_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Virtual(monkeypatch)

    async def stay(_: float) -> None:
        """Time stands still: many ask at one moment."""

    monkeypatch.setattr(module.asyncio, "sleep", stay)

    async def go() -> float | None:
        pace = Pace(1.0, 1, clock=lambda: time.now)
        for _ in range(5):
            await time.send(pace)
        with pytest.raises(ChannelError) as caught:
            await time.send(pace)
        return caught.value.retry_after_seconds

    assert asyncio.run(go()) == 3.0, "of the 5 s it may stand in the queue for 4, and somebody else may come as well"


def test_a_pause_holds_for_all_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Virtual(monkeypatch)

    async def go() -> list[float]:
        pace = Pace(clock=lambda: time.now)
        with pytest.raises(RateLimited):
            await time.send(pace, RateLimited("slower", retry_after_seconds=30.0))
        with pytest.raises(ChannelError, match="pause for 30 s"):
            await time.send(pace)
        time.now += 27.0
        waited = await time.send(pace)  # three seconds are waited out
        with pytest.raises(ChannelError):
            await time.send(pace, ChannelError("broken", retry_after_seconds=60.0))
        return [waited, await time.send(pace)]

    assert asyncio.run(go()) == [30.0, 30.0]
