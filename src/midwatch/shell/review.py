"""The journal's part in a review: what opened in a span, with the shifts of that time."""

from __future__ import annotations

from midwatch.core.learn.review import REPEAT_SECONDS, Review, review
from midwatch.core.learn.stories import collect
from midwatch.core.oncall.schedule import Shift, shifts
from midwatch.model.state import State
from midwatch.shell.recall import Seekable

LEAD_SECONDS = 86400.0  # a merge or an end may be told of long after an incident opened, never before


def review_of(journal: Seekable, state: State, since_at: float, until_at: float) -> Review:
    """Of [since, until). The journal is read once, from 90 days before, so that what came again is seen. Raises
    JournalError."""
    told = collect(journal.read(journal.seq_before(since_at - REPEAT_SECONDS - LEAD_SECONDS)))
    return review(told, since_at, until_at, shifts_of(state, since_at, until_at))


def shifts_of(state: State, since_at: float, until_at: float) -> tuple[Shift, ...]:
    """As the people files and the stand-ins say now."""
    people = state.policy.people
    return tuple(
        shift for one in people.schedules for shift in shifts(people, one, state.overrides, since_at, until_at)
    )
