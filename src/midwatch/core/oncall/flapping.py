"""Flap damping: an alert that comes and goes is one trouble, kept open until it has been quiet for a while. It pages when it
begins, and is over once."""

from __future__ import annotations

from typing import Final

from midwatch.model.alerts import AlertRecord

FLAPS: Final = 5
"""Changes within the window: fired, resolved, fired, resolved, fired."""
WINDOW_SECONDS: Final = 1800.0
QUIET_SECONDS: Final = 600.0


def flaps(record: AlertRecord, now: float) -> int:
    """How often it changed lately; 0 for one that does not flap."""
    recent = sum(now - at <= WINDOW_SECONDS for at in record.changed_at)
    return recent if recent >= FLAPS else 0


def held_open(record: AlertRecord, now: float) -> str:
    """Why a resolved alert is treated as if it went on, "" when it is not."""
    times = flaps(record, now)
    if record.firing or not times or now - record.changed_at[-1] >= QUIET_SECONDS:
        return ""
    return f"it changed {times} times in half an hour: kept open until quiet for {QUIET_SECONDS / 60:.0f} min"
