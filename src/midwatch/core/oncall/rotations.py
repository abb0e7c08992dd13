"""People in turn: whose turn it is at a local time, and when the turns change. All of it in closed form, from the first
hand-off on, so that no edit of the past and no restart moves anybody's turn."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import date, datetime, timedelta

from midwatch.model.people import DAY_MINUTES, WEEK_MINUTES, Layer, Rotation, Window

_DAY = timedelta(days=1)


def turn_of(rotation: Rotation, wall: datetime) -> str:
    """Whose turn it is when the clock has shown ``wall``; "" before the first hand-off."""
    count = handoffs_until(rotation, wall)
    return rotation.people[(count - 1) % len(rotation.people)] if count and rotation.people else ""


def handoffs_until(rotation: Rotation, wall: datetime) -> int:
    """How many hand-offs there were, the first included, once the clock has shown ``wall``."""
    days = (wall.date() - date.fromisoformat(rotation.starts_on)).days
    if days < 0:
        return 0
    turns, rest = divmod(days, rotation.every_days)
    today = bisect_right(rotation.at, minute_of_day(wall)) if rest == 0 else len(rotation.at)
    return turns * len(rotation.at) + today


def handoffs(rotation: Rotation, since: date, until: date) -> Iterator[datetime]:
    """The hand-offs on the days from ``since`` to ``until`` (included), as local times."""
    start = date.fromisoformat(rotation.starts_on)
    late = max(0, (since - start).days)
    day = start + _DAY * (-(-late // rotation.every_days) * rotation.every_days)
    while day <= until:
        for minute in rotation.at:
            yield midnight(day) + timedelta(minutes=minute)
        day += _DAY * rotation.every_days


def open_at(layer: Layer, wall: datetime) -> bool:
    """Whether the layer counts at this time of the week, and has not ended. Holidays are another matter."""
    if layer.ends_on and wall.date() >= date.fromisoformat(layer.ends_on):
        return False
    minute = wall.weekday() * DAY_MINUTES + minute_of_day(wall)
    return not layer.windows or any(_within(window, minute) for window in layer.windows)


def _within(window: Window, minute: float) -> bool:
    if window.start < window.end:
        return window.start <= minute < window.end
    return minute >= window.start or minute < window.end


def edges(layer: Layer, since: date, until: date) -> Iterator[datetime]:
    """Every local time on these days at which the layer may say somebody else."""
    yield from handoffs(layer.rotation, since, until)
    if layer.ends_on:
        yield midnight(date.fromisoformat(layer.ends_on))
    monday = since - _DAY * since.weekday()
    while monday <= until:
        for window in layer.windows:
            for minute in (window.start, window.end):
                yield midnight(monday) + timedelta(minutes=minute % WEEK_MINUTES)
        monday += 7 * _DAY


def minute_of_day(wall: datetime) -> float:
    return wall.hour * 60 + wall.minute + wall.second / 60 + wall.microsecond / 6e7


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)
