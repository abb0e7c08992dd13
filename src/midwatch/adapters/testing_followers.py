"""The conformance kit for channels that keep a place for each incident: as ``testing.py``, against a real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from midwatch.adapters.testing import sample_page
from midwatch.model.ports import Follower
from midwatch.model.standing import Standing

T = TypeVar("T")


def sample_standing(phase: str = "open", acknowledged_by: str = "", happened: tuple[str, ...] = ()) -> Standing:
    text = 'Elevated error rates in payment, "15 %" of transactions; größer ✅ <!channel>'
    return Standing("INC-1", 2, "SEV2 INC-1: payment fails", text, phase, acknowledged_by, (), happened)


async def check_follower(follower: Follower, places: Callable[[], int], shown: Callable[[], T]) -> str:
    """A whole incident at one place: the first page makes it, nothing after makes another, and saying a standing twice shows
    what saying it once did. ``places`` counts what was made outside, ``shown`` is how it stands there."""
    assert isinstance(follower, Follower), "it keeps no place: page and follow are missing"
    before = places()
    place = await follower.page(sample_page(), sample_standing(), "")
    assert place and places() == before + 1, "the first page made no place"
    assert await follower.page(sample_page("INC-1/sev2/1", repeat=1), sample_standing(), place) == place, "it moved"
    taken = sample_standing("mitigating", "ana", ("ana acknowledged it.",))
    await follower.follow(taken, place)
    once = shown()
    await follower.follow(sample_standing("mitigating", "ana"), place)
    assert shown() == once, "said twice, it shows something else"
    resolved = sample_page("INC-1/sev2/2", repeat=2, topics=("resolved",), subject="Resolved INC-1: payment fails")
    await follower.page(resolved, sample_standing("resolved", "ana"), place)
    over = shown()
    assert over != once, "that it is over is not shown"
    await follower.follow(sample_standing("resolved", "ana"), place)
    assert shown() == over and places() == before + 1, "an incident has one place"
    return place
