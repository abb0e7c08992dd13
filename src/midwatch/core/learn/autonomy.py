"""Autonomy is earned by verified outcomes: what a met or a missed expectation does to its playbook's level.

- A miss demotes by one rung, down to ``ask`` at the lowest: a person looks before the next time. (Below ``ask`` nothing
  runs, so nothing could be earned back.)
- ``PROMOTE_AFTER`` met on end, since the last miss or change of level, promote by one rung, never above the level that
  the playbook's file declares. Only a person may go beyond that, or down to suggest and shadow.
"""

from __future__ import annotations

from typing import Final

from midwatch.model.actions import AUTONOMY_LADDER, Playbook
from midwatch.model.events import AutonomyChanged
from midwatch.model.state import PlaybookRecord

PROMOTE_AFTER: Final[dict[str, int]] = {"ask": 3, "canary": 5}
LOWEST: Final = "ask"


def earned(playbook: Playbook, record: PlaybookRecord, result: str) -> AutonomyChanged | None:
    """The change of level that an outcome (met or missed, already counted in ``record``) brings, if any."""
    rung, lowest = AUTONOMY_LADDER.index(record.level), AUTONOMY_LADDER.index(LOWEST)
    if result == "missed" and rung > lowest:
        why = f"missed ({record.met} met, {record.missed} missed)"
        return AutonomyChanged(playbook.name, AUTONOMY_LADDER[rung - 1], why)
    needed = PROMOTE_AFTER.get(record.level)
    ceiling = AUTONOMY_LADDER.index(playbook.autonomy)
    if result == "met" and needed is not None and record.streak >= needed and rung < ceiling:
        return AutonomyChanged(playbook.name, AUTONOMY_LADDER[rung + 1], f"met {record.streak} times on end")
    return None
