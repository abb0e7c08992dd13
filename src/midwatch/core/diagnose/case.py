"""A case: the World cut into normal time and bad time, for one incident.

All evidence functions read from here, so that "normal" and "bad" mean the same everywhere. Sums are per window; helpers
say per what.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np

from midwatch.model import signals
from midwatch.model.entity import Entity, kind_of
from midwatch.model.findings import DYING, Finding
from midwatch.model.world import Change, Floats, World

NORMAL_STEPS: Final = 48
BAD_STEPS: Final = 48
MIN_NORMAL_STEPS: Final = 6
GUARD_SECONDS: Final = 5.0  # so much before the onset may already be touched; less than half a step is no step


@dataclass(frozen=True)
class Case:
    """``normal`` and ``bad`` are column slices of ``world.series``; ``onset_at`` in unix seconds."""

    world: World
    onset_at: float
    symptoms: tuple[str, ...]
    findings: tuple[Finding, ...]
    changes: tuple[Change, ...]
    normal: slice
    bad: slice
    scale: float = field(default=1.0)  # bad steps over normal steps: what a normal sum should be in bad time

    @property
    def felt(self) -> bool:
        """False when all that was found is processes that keep dying: users feel nothing of it."""
        return not self.findings or any(f.kind != DYING for f in self.findings)

    def values(self, subject: str, signal: str, which: slice) -> Floats:
        series = self.world.series.get(subject, signal)
        return np.empty(0) if series is None else series[which]

    def sum(self, subject: str, signal: str, which: slice) -> float:
        """Sum over the window; 0 when nothing was reported."""
        if which != self.normal and which != self.bad:
            return float(np.nansum(self.values(subject, signal, which)))
        row = self.world.series.index.row_of.get((subject, signal))
        return 0.0 if row is None else (self._bad_sums if which == self.bad else self._normal_sums)[row]

    @cached_property
    def _normal_sums(self) -> list[float]:
        return _sums(self.world.series.values[:, self.normal])

    @cached_property
    def _bad_sums(self) -> list[float]:
        return _sums(self.world.series.values[:, self.bad])

    def level(self, subject: str, signal: str, which: slice) -> float:
        """Mean of a gauge over the window; NaN when nothing was reported."""
        seen = self.values(subject, signal, which)
        seen = seen[np.isfinite(seen)]
        return float(seen.mean()) if seen.size else math.nan

    def peak(self, subject: str, signal: str, which: slice) -> float:
        seen = self.values(subject, signal, which)
        seen = seen[np.isfinite(seen)]
        return float(seen.max()) if seen.size else math.nan

    def excess(self, subject: str, signal: str, per: float = math.nan) -> float:
        """Bad sum minus what normal time makes one expect: scaled by the windows' lengths, or by ``per`` (the ratio of
        bad to normal requests) where given."""
        factor = self.scale if math.isnan(per) else per
        return self.sum(subject, signal, self.bad) - factor * self.sum(subject, signal, self.normal)

    def excess_count(self, subject: str, signal: str, per: float = math.nan) -> float:
        """``excess`` of something that is counted, 0 where chance alone makes as much of what is usual (two standard
        deviations of the difference of two Poisson counts)."""
        factor = self.scale if math.isnan(per) else per
        usual = self.sum(subject, signal, self.normal)
        more = self.sum(subject, signal, self.bad) - factor * usual
        return 0.0 if abs(more) < 2 * math.sqrt(factor * (1 + factor) * max(usual, 0.0)) else more

    def per(self, subject: str, part: str, whole: str, which: slice) -> float:
        """``part / whole`` over the window, NaN without any ``whole``."""
        count = self.sum(subject, whole, which)
        return self.sum(subject, part, which) / count if count > 0 else math.nan

    @cached_property
    def services(self) -> tuple[str, ...]:
        return tuple(key for key in self.world.entities if kind_of(key) == "service")

    def instances(self, service: str) -> tuple[Entity, ...]:
        return self.world.instances.get(service, ())

    def path_to_symptom(self, cause: str) -> tuple[str, ...]:
        """The shortest chain of callers from ``cause`` up to a symptom or an entry point (breadth first)."""
        goals = {s for s in self.symptoms if s != cause} or set(self.world.entries)
        goals |= set(self.world.entries)
        if cause in self.world.entries:
            return (cause,)
        seen = {cause}
        frontier: list[tuple[str, ...]] = [(cause,)]
        while frontier:
            following: list[tuple[str, ...]] = []
            for path in frontier:
                for caller in self.world.callers.get(path[-1], ()):
                    if caller in goals and caller in self.world.entries:
                        return (*path, caller)
                    if caller not in seen:
                        seen.add(caller)
                        following.append((*path, caller))
            frontier = following
        return (cause, *self.symptoms[:1]) if self.symptoms and self.symptoms[0] != cause else (cause,)


def _sums(values: Floats) -> list[float]:
    """Of each row, all at once: a fleet has tens of thousands, and every witness asks for some."""
    found: list[float] = np.nansum(values, axis=1).tolist()
    return found


def make_case(
    world: World,
    onset_at: float,
    symptoms: tuple[str, ...],
    findings: Iterable[Finding],
    changes: Iterable[Change],
    trouble_until_at: float = 0.0,
) -> Case | None:
    """Cut the World at ``onset_at``; None when there is no normal time to compare with.

    ``trouble_until_at`` is when the last trouble before this one was over: normal time starts after it, unless too little
    would be left.
    """
    if np.isinf(world.series.values).any():  # a ratio over nothing, or a broken exporter: nobody knows
        known = np.where(np.isinf(world.series.values), np.nan, world.series.values)
        world = replace(world, series=replace(world.series, values=known))
    grid = world.series
    onset = math.floor((onset_at - grid.start_at) / grid.step_seconds + 1e-9)
    end_normal = onset - round(GUARD_SECONDS / grid.step_seconds)
    if end_normal < 2 or grid.steps - onset < 1:
        return None
    # Before the first telemetry there is nothing to compare with: skip leading steps in which nobody was seen.
    _, requests = grid.block(signals.REQUESTS)
    active = np.flatnonzero(np.nan_to_num(requests).sum(axis=0) > 0) if requests.size else np.empty(0, dtype=np.intp)
    first = int(active[0]) + (1 if active.size and active[0] > 0 else 0) if active.size else 0
    start_normal = max(first, end_normal - NORMAL_STEPS)
    over = math.ceil((trouble_until_at - grid.start_at) / grid.step_seconds)
    if start_normal < over <= end_normal - MIN_NORMAL_STEPS:
        start_normal = over
    if end_normal - start_normal < 2:
        return None
    normal = slice(start_normal, end_normal)
    bad = slice(onset, min(grid.steps, onset + BAD_STEPS))
    scale = (bad.stop - bad.start) / (normal.stop - normal.start)
    return Case(world, onset_at, symptoms, tuple(findings), tuple(changes), normal, bad, scale)
