"""Times of day, weeks and dates as people write them in a schedule."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator

from midwatch.model.people import DAY_MINUTES, WEEK_MINUTES, Window

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK: Final = re.compile(r"^(\d{1,2}):(\d{2})$")
_WINDOW: Final = re.compile(r"^([a-z]{3})(?:-([a-z]{3}))?(?: (\d{1,2}:\d{2})-(\d{1,2}:\d{2}))?$")


def minute(value: Any) -> int:
    """``09:00`` as minutes after midnight; 24:00 is the day's end. YAML 1.1 reads ``17:00`` as the number 1020, which is
    the same."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= DAY_MINUTES:
        return value
    match = _CLOCK.match(str(value).strip())
    if match is None or int(match[2]) > 59 or int(match[1]) * 60 + int(match[2]) > DAY_MINUTES:
        raise ValueError(f"{value!r} is no time of day | write for example 09:00")
    return int(match[1]) * 60 + int(match[2])


def windows(value: Any) -> tuple[Window, ...]:
    """``mon-fri 09:00-17:00`` as one window for each of its days, ``sat-sun`` as one, ``fri 18:00-08:00`` into the next
    morning."""
    match = _WINDOW.match(str(value).strip().lower())
    if match is None or match[1] not in DAYS or (match[2] or "mon") not in DAYS:
        raise ValueError(f"{value!r} is no part of a week | write for example mon-fri 09:00-17:00, or sat-sun")
    first, last = DAYS.index(match[1]), DAYS.index(match[2] or match[1])
    days = [first + n for n in range((last - first) % 7 + 1)]
    if match[3] is None:
        start, end = first * DAY_MINUTES, (first + len(days)) * DAY_MINUTES
        return (Window(start, end % WEEK_MINUTES),)  # a whole week wraps around to where it began
    begins, ends = minute(match[3]), minute(match[4])
    length = (ends - begins) % DAY_MINUTES or DAY_MINUTES
    found = []
    for day in days:
        start = (day % 7) * DAY_MINUTES + begins
        found.append(Window(start % WEEK_MINUTES, (start + length) % WEEK_MINUTES))
    return tuple(found)


def day(value: Any) -> str:
    """A date, as ISO 8601."""
    if type(value) is date:
        return value.isoformat()
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise ValueError(f"{value!r} is no date | write for example 2026-01-05") from None


def zone(value: Any) -> str:
    """A name of the IANA time zone database."""
    try:
        ZoneInfo(str(value))
    except (ValueError, OSError, KeyError):  # KeyError: ZoneInfoNotFoundError
        raise ValueError(f"{value!r} is no time zone | write for example Europe/Berlin") from None
    return str(value)


Minute = Annotated[int, BeforeValidator(minute)]
Day = Annotated[str, BeforeValidator(day)]
Zone = Annotated[str, BeforeValidator(zone)]
