"""What the SLO stage could not read or count, said as gaps: the subjects are ``slo:NAME`` (no data of a promise),
``source:NAME`` (of many at once), ``counts:KEY`` (impossible data), ``groups:NAME`` (what a bound or a missing part
left out) and ``left_out:NAME`` (maintenance that goes on; without a name it is everybody's)."""

from __future__ import annotations

from collections import Counter
from typing import Final

from midwatch.core.memory import Memory
from midwatch.core.slo.budget import source_subject
from midwatch.core.slo.corrected import why
from midwatch.model.state import State
from midwatch.model.world import World

MANY: Final = 4  # promises without data for the same reason: their source is the gap
PREFIXES: Final = ("source:", "slo:", "counts:", "groups:", "left_out:")  # of the subjects, the broadest first
IMPOSSIBLE_SECONDS: Final = 3600.0  # said for so long after the newest impossible step


def slo_gaps(state: State, memory: Memory, world: World, now: float) -> dict[str, str]:
    """Subject -> reason."""
    slos = {slo.name: slo for slo in state.slos}
    blind = {one.slo: one.gap for one in world.sli.values() if one.gap and one.slo in slos}
    by_source: dict[str, list[str]] = {}
    for name in blind:
        by_source.setdefault(source_subject(slos[name]), []).append(name)
    found: dict[str, str] = {}
    for subject, names in by_source.items():
        alike = Counter(blind[name] for name in names)
        shared = sorted(why for why, promises in alike.items() if promises >= MANY)
        if shared:
            found[subject] = "; ".join(shared)
        found |= {f"slo:{name}": blind[name] for name in names if blind[name] not in shared}
    for key, ledger in memory.ledgers.items():
        if ledger.impossible_why and now - ledger.impossible_at < IMPOSSIBLE_SECONDS:
            found[f"counts:{key}"] = ledger.impossible_why
    for one in state.adjustments:
        if one.kind == "exclude" and not one.withdrawn_by and one.since_at <= now < one.until_at:
            found.setdefault(f"left_out:{one.slo or 'all promises'}", why(one))
    return found | {f"groups:{name}": note for name, note in memory.slo_notes.items()}
