"""Where errors begin and time is spent: the plain hypothesis for everything that carries blame, before anything says why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from midwatch.core.diagnose.blame import Blame
from midwatch.core.diagnose.case import Case
from midwatch.core.diagnose.clue import Clue, clue
from midwatch.model import faults
from midwatch.model.entity import kind_of, name_of

MIN_SHARE: Final = 0.03
MIN_PART: Final = 0.1  # of what an entity is blamed for, to say that it fails or is slow
KINDS: Final = {
    "service": (faults.ERRORS_INSIDE, faults.SLOW_SERVICE),
    "external": (faults.ERRORS_INSIDE, faults.SLOW_SERVICE),
    "proxy": (faults.ERRORS_INSIDE, faults.SLOW_SERVICE),
    "database": (faults.DATABASE_DOWN, faults.SLOW_QUERY),
    "cache": (faults.CACHE_DOWN, faults.CACHE_DOWN),
    "queue": (faults.QUEUE_STUCK, faults.QUEUE_STUCK),
}


def inside(case: Case, blame: Blame) -> Iterator[Clue]:
    """Clues "errors begin in ..." and "excess time is spent in ..." with their sums."""
    for entity, share in blame.share.items():
        if share < MIN_SHARE:
            continue
        failing, slow = KINDS[kind_of(entity)]
        errors, time_ms = blame.errors.get(entity, 0.0), blame.time_ms.get(entity, 0.0)
        if errors > 0 and blame.of_failures(entity) > MIN_PART * share:
            text = f"{errors:.0f} more errors than usual begin in {name_of(entity)}"
            yield clue(entity, failing, 0.5, "blame_errors", text, value=errors, baseline=0.0, unit="count")
        if time_ms > 0 and blame.of_waiting(entity) > MIN_PART * share and blame.roots > 0:
            each = time_ms / blame.roots
            text = f"{each:.0f} ms more of each entry request are spent in {name_of(entity)}"
            yield clue(entity, slow, 0.5, "blame_time", text, value=each, baseline=0.0, unit="ms")
