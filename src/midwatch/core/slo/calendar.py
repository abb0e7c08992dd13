"""Calendar windows: the period that contains a moment, at wall-clock boundaries of a time zone.

Boundaries are counted from one anchor and never from each other, so that "the 31st of each month" is the last day of a short
month and the 31st again after it. Daylight saving makes a day of 23 or 25 hours; a boundary that the clock jumps over
falls as far behind the jump as it was written behind its beginning (midnight, jumped over, is the jump itself); one that
comes twice is its first time. Days that a zone never had (Samoa, 30 December 2011) are no period.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from midwatch.model.indicators import Calendar

_DAYS: Final = {"day": 1, "week": 7}
_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}
_ANCHORS: Final = {"week": datetime(1970, 1, 5)}  # a Monday
_ANCHOR: Final = datetime(1970, 1, 1)
DAY_SECONDS: Final = 86400.0


def period(calendar: Calendar, now: float) -> tuple[float, float]:
    """Start and end (unix seconds, end excluded) of the period that contains ``now``.

    Raises ValueError for a start that is no ISO 8601 time, and KeyError (``ZoneInfoNotFoundError``) for a zone that is not
    known; files are checked for both when they are read.
    """
    index = _index_near(calendar, now)
    while boundary(calendar, index) > now:
        index -= 1
    while boundary(calendar, index + 1) <= now:
        index += 1
    return boundary(calendar, index), boundary(calendar, index + 1)


def periods(calendar: Calendar, since: float, until: float) -> list[tuple[float, float]]:
    """Every period that touches [since, until), oldest first."""
    found = []
    at = since
    while at < until:
        start, at = period(calendar, at)
        found.append((start, at))
    return found


def anchor(calendar: Calendar) -> datetime:
    """Where the counting begins, as local time without a zone. Raises ValueError."""
    if not calendar.start:
        return _ANCHORS.get(calendar.unit, _ANCHOR)
    at = datetime.fromisoformat(calendar.start)
    return at if at.tzinfo is None else at.astimezone(ZoneInfo(calendar.time_zone)).replace(tzinfo=None)


@lru_cache(maxsize=4096)
def boundary(calendar: Calendar, index: int) -> float:
    """The moment (unix seconds) at which period number ``index``, counted from the anchor, begins."""
    zone = ZoneInfo(calendar.time_zone)
    # fold=0 reads what comes twice as its first time, and what never comes by the offset from before the jump.
    return _local(calendar, index).replace(tzinfo=zone, fold=0).astimezone(UTC).timestamp()


def _local(calendar: Calendar, index: int) -> datetime:
    """The boundary as the wall clock shows it."""
    begin, steps = anchor(calendar), index * max(1, calendar.count)
    if calendar.unit in _DAYS:
        return begin + timedelta(days=_DAYS[calendar.unit] * steps)
    months = begin.year * 12 + begin.month - 1 + _MONTHS[calendar.unit] * steps
    year, month = divmod(months, 12)
    return begin.replace(year=year, month=month + 1, day=min(begin.day, monthrange(year, month + 1)[1]))


def _index_near(calendar: Calendar, now: float) -> int:
    """A number close to that of the period that contains ``now``."""
    local = datetime.fromtimestamp(now, ZoneInfo(calendar.time_zone)).replace(tzinfo=None)
    begin, count = anchor(calendar), max(1, calendar.count)
    if calendar.unit in _DAYS:
        return (local - begin).days // (_DAYS[calendar.unit] * count)
    months = (local.year - begin.year) * 12 + local.month - begin.month
    return months // (_MONTHS[calendar.unit] * count)
