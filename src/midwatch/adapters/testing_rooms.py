"""The conformance kit for chats that have war rooms: as ``testing.py``, against a real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from midwatch.adapters.testing_followers import sample_standing
from midwatch.model.errors import RoomGone
from midwatch.model.ports import Rooms

T = TypeVar("T")


async def check_rooms(
    again: Callable[[], Rooms], now: float, person: str, places: Callable[[], int], shown: Callable[[], T]
) -> str:
    """The whole life of a room, each step twice and the second time by another process (``again`` makes one), as after a
    crash. ``places`` counts the rooms that there are, ``shown`` is what is to be seen in the chat; ``now`` in unix seconds.
    Returns the room's place."""
    mark, name = f"midwatch INC-1, {now:.3f}", "inc-1-payment-errors"
    before = places()
    made = await again().open(name, mark, now, False)
    assert made.place and made.name, "it does not say where the room is"
    assert await again().open(name, mark, now, False) == made and places() == before + 1, "it made a second room"
    other = await again().open(name, f"midwatch INC-1, {now - 86400.0:.3f}", now, False)
    assert other.place != made.place and other.name != made.name, "it took another incident's room"
    summary = await again().summarise(made.place, sample_standing(), mark, False)
    assert summary and await again().summarise(made.place, sample_standing(), mark, True) == summary, "said twice"
    for _ in range(2):
        await again().pin(made.place, summary)
        await again().invite(made.place, person, "")
        await again().show(made.place, summary, sample_standing("mitigating", "ana"), "SEV2 · mitigating · ana <&> co")
    once = shown()
    await again().show(made.place, summary, sample_standing("mitigating", "ana"), "SEV2 · mitigating · ana <&> co")
    assert shown() == once, "shown again, it shows something else"
    await again().say(made.place, "ana has it <!channel> \N{WHITE HEAVY CHECK MARK}")
    assert shown() != once, "what was said is not there"
    await again().archive(made.place)
    for late in (again().archive(made.place), again().say(made.place, "late")):
        try:
            await late
        except RoomGone:
            continue
        raise AssertionError("a room that is archived takes what is said as if it were there")
    return made.place
