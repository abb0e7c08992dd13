"""The working set: what the loop remembers of telemetry between two ticks.

Never journaled, always rebuildable. Losing it mid-incident must not close, page again or act: stages say "warming up"
until it is back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from midwatch.model.world import Floats


@dataclass(frozen=True)
class Ledger:
    """Good and total counts of one SLO in rings of growing step: ``counts[level]`` has shape (2, steps) and
    ``head_at[level]`` is the start of its newest step in unix seconds. ``seen_until`` is the end of the last World step
    that was added, so that no step counts twice."""

    counts: tuple[Floats, ...]
    head_at: tuple[float, ...]
    first_at: float
    seen_until: float


@dataclass(frozen=True)
class Memory:
    """``ledgers`` by SLO name. ``quiet_since`` by finding id: since when its condition no longer holds (a finding closes
    only after a while). ``diagnosed`` by incident: when it was last diagnosed.
    ``told`` by incident: a digest of the last words, so that an update is written only when something changed."""

    ledgers: Mapping[str, Ledger] = field(default_factory=dict)
    quiet_since: Mapping[str, float] = field(default_factory=dict)
    diagnosed: Mapping[str, float] = field(default_factory=dict)
    told: Mapping[str, str] = field(default_factory=dict)
    held_since: Mapping[str, float] = field(default_factory=dict)  # action id -> since when its expectation holds
    burning_since: Mapping[str, float] = field(default_factory=dict)  # finding id -> since when, before its ``for`` is over
    started_at: float = 0.0  # when this memory began: "warming up" is judged by it
