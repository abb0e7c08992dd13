"""The clock on the wall, made monotone: what it has shown so far. Rules about times of day are rules about that.

Where clocks are put back, an hour is shown twice, and only its first time counts. Where they are put forward, what is
jumped over is reached at the jump. So every local time is reached exactly once, in order: shifts that lie end to end on
the wall lie end to end in time, without gap or overlap, however long the day is.

``reached`` and ``shown`` are each other's inverse in the only way that is possible: ``shown(t) >= wall`` exactly when
``t >= reached(wall)``. A zone's changes must lie further apart than they move the clock, as all since 1970 do.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

_LEAST: Final = timedelta(microseconds=1)


@lru_cache(maxsize=16384)
def reached(wall: datetime, zone: str) -> float:
    """The first moment (unix seconds) at which the clock of ``zone`` shows ``wall`` (no zone in it) or anything later."""
    tz = ZoneInfo(zone)
    at = wall.replace(tzinfo=tz, fold=0).timestamp()
    if datetime.fromtimestamp(at, tz).replace(tzinfo=None, fold=0) == wall.replace(fold=0):
        return at
    # Jumped over: read by the offset from after the jump it lies before the jump, and the other way round.
    return _change(int(wall.replace(tzinfo=tz, fold=1).timestamp()), int(at), tz)


def shown(at: float, zone: str) -> datetime:
    """The latest local time that the clock of ``zone`` has shown by ``at``, without a zone."""
    tz = ZoneInfo(zone)
    local = datetime.fromtimestamp(at, tz)
    if not local.fold:
        return local.replace(tzinfo=None)
    back = local.replace(fold=0).timestamp()
    change = _change(int(back), int(at), tz)
    offset = datetime.fromtimestamp(change - 1, tz).utcoffset() or timedelta()
    return datetime(1970, 1, 1) + timedelta(seconds=change) + offset - _LEAST


def _change(before: int, after: int, tz: ZoneInfo) -> float:
    """The second in (``before``, ``after``] from which on another offset holds than at ``before``."""
    old = datetime.fromtimestamp(before, tz).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, tz).utcoffset() == old:
            before = middle
        else:
            after = middle
    return float(after)
