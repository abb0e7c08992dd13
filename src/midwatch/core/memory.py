"""The working set: what the loop remembers of telemetry between two ticks.

Never journaled, always rebuildable. Losing it mid-incident must not close, page again or act: stages say "warming up"
until it is back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from midwatch.core.habits import Habits
from midwatch.core.triaged import Triaged
from midwatch.model.world import Floats

LEVELS: Final[tuple[tuple[float, int], ...]] = ((10.0, 2160), (300.0, 864), (3600.0, 800))
"""(step in seconds, steps) of a ledger's rings: 6 h at 10 s, 3 d at 5 min, 33 d at 1 h."""
WARM_UP_SECONDS: Final = 20.0
"""A younger working set finds, judges, closes and lets act nothing."""


@dataclass(frozen=True)
class Ledger:
    """Good and total counts of one SLO in rings of growing step: ``counts[level]`` has shape (2, steps) and
    ``head_at[level]`` is the start of its newest step in unix seconds. ``seen_until`` is the end of the last World step
    that was added, so that no step counts twice; ``heard_at`` the end of the last one in which anything reported.

    ``late`` events came after their step had been counted, and were counted all the same. ``impossible`` steps could not
    be true (more good than all, a negative count, no number); ``impossible_at`` is the newest one, ``impossible_why`` says
    what it was.

    A composite (``rule`` weighted or all) counts nothing itself: ``parts`` are its parts with their weights, and
    ``counts`` what they make of it column by column, for plots."""

    counts: tuple[Floats, ...]
    head_at: tuple[float, ...]
    first_at: float
    seen_until: float
    heard_at: float = 0.0
    late: float = 0.0
    impossible: int = 0
    impossible_at: float = 0.0
    impossible_why: str = ""
    levels: tuple[tuple[float, int], ...] = LEVELS
    rule: str = ""
    parts: tuple[tuple[Ledger, float], ...] = ()


@dataclass(frozen=True)
class Counted:
    """What the ledgers took from the World's window, so that what comes late is noticed and counted once: ``good`` and
    ``total`` of ``keys``, shape (keys, steps), from ``start_at`` on."""

    keys: tuple[str, ...]
    start_at: float
    good: Floats
    total: Floats


@dataclass(frozen=True)
class Lateness:
    """How late requests are told (``detect/lateness.py``): ``steps`` of each of ``names``, and what their newest steps
    looked like at ``at``, shape (names, steps), up to ``end_at``."""

    names: tuple[str, ...]
    at: float
    end_at: float
    newest: Floats
    steps: Floats

    @cached_property
    def row_of(self) -> Mapping[str, int]:
        return {name: row for row, name in enumerate(self.names)}


@dataclass(frozen=True)
class OpenSlices:
    """Time slices that are not over, or may still get late events: ``good[i]`` of ``total[i]`` raw events in the slice that
    begins at ``at[i]``, ascending. Everything before ``judged_until`` has been judged, and raw events before ``seen_until``
    were taken. The ledger has seen what is judged and no more: a watch that starts again counts the slices under way from
    their begin."""

    at: Floats
    good: Floats
    total: Floats
    judged_until: float
    seen_until: float


@dataclass(frozen=True)
class Suspicion:
    """The sequential test of many promises (``slo/sequential.py``). ``up``: the running log-likelihood ratios; ``since_at``
    when each last stood at zero (unix seconds), ``bad`` and ``total`` the events since then; shape (rows, burn rates) each.
    ``down``, shape (rows,), is the same test the other way round, from "as bad as when it was raised" to "within the
    budget"."""

    up: Floats
    since_at: Floats
    bad: Floats
    total: Floats
    down: Floats


@dataclass(frozen=True)
class Sentinel:
    """What the sequential test knows of each ledger in ``keys``: every step before ``seen_until`` (unix seconds, shape
    (keys,)) is in ``suspicion``; ``told`` are those with an open finding; ``dispersion`` and ``habit`` (how failures
    vary, and how many come together) were weighed at ``weighed_at``."""

    keys: tuple[str, ...]
    seen_until: Floats
    suspicion: Suspicion
    told: npt.NDArray[np.bool_]
    dispersion: Floats
    habit: Floats
    weighed_at: float


@dataclass(frozen=True)
class Easing:
    """The facts have rated an incident milder than it is since ``since_at``, last at ``at`` (unix seconds); ``worst`` is the
    worst rating of that time, and ``reason`` its reason."""

    since_at: float
    at: float
    worst: int
    reason: str


@dataclass(frozen=True)
class Memory:
    """``ledgers`` by SLO name (``name{label=value}`` for a group of it). ``quiet_since`` by finding id: since when its
    condition no longer holds (a finding closes only after a while). ``diagnosed`` by incident: when it was last diagnosed.
    ``told`` by incident: a digest of the last words, so that an update is written only when something changed."""

    ledgers: Mapping[str, Ledger] = field(default_factory=dict)
    counted: Counted | None = None
    lateness: Lateness | None = None
    slices: Mapping[str, OpenSlices] = field(default_factory=dict)  # by ledger key
    budgets_at: float = 0.0  # when budgets were last held against their rules
    slo_notes: Mapping[str, str] = field(default_factory=dict)  # SLO name -> what its counting could not do
    quiet_since: Mapping[str, float] = field(default_factory=dict)
    diagnosed: Mapping[str, float] = field(default_factory=dict)
    told: Mapping[str, str] = field(default_factory=dict)
    easing: Mapping[str, Easing] = field(default_factory=dict)  # incident -> since when it has been milder than rated
    held_since: Mapping[str, float] = field(default_factory=dict)  # action id -> since when its expectation holds
    burning_since: Mapping[str, float] = field(
        default_factory=dict
    )  # finding id -> since when, before its ``for`` is over
    sentinel: Sentinel | None = None
    habits: Habits | None = None  # how series usually behave
    triaged: Triaged | None = None  # what triage saved itself from looking at again: core/oncall/triage.py
    started_at: float = 0.0  # when this memory began: "warming up" is judged by it
