"""Is something with a bound filling up? Slope and time until full, for every row of a matrix at once.

The window is cut into ``BLOCKS`` blocks; a line through their means has its error from the scatter of the means around it,
which takes in whatever wanders within a block (batch means as an estimate of the long-run variance: Law & Kelton,
Simulation Modeling and Analysis). A rise is a trend when it is ``SURE`` errors steep, all but one of the blocks lie above
the one before, it has taken ``MIN_RISE`` of the bound within the window, and the bound is reached within
``HORIZON_SECONDS`` at that pace.

What is found opens no incident: it is what a person would like to have seen coming.

Null rates: docs/detectors.md.

>>> used = np.linspace(0.5, 0.8, 240) + np.random.default_rng(1).normal(0, 0.01, 240)
>>> found = trends(np.stack([used, np.full(240, 0.5)]))
>>> [int(row) for row in found.rows], round(float(found.steps_left[0]))
([0], 175)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.entity import kind_of, name_of
from midwatch.model.findings import Finding
from midwatch.model.world import Floats, Ints, World

BLOCKS: Final = 10
WINDOW: Final = 240
MIN_WINDOW: Final = 120
SURE: Final = 12.0
MIN_RISE: Final = 0.1
HORIZON_SECONDS: Final = 1800.0
FULL: Final = 0.95  # at this share others say so
MOST: Final = 20  # findings at once, the soonest to be full

# What is used, what of, and in which words.
BOUNDED: Final[tuple[tuple[str, str, str], ...]] = (
    (signals.DISK_RATIO, "", "disk"),
    (signals.MEMORY_BYTES, signals.MEMORY_LIMIT_BYTES, "memory"),
    (signals.FD_USED, signals.FD_LIMIT, "file descriptors"),
    (signals.POOL_USED, signals.POOL_LIMIT, "connections"),
)
SUBJECTS: Final = frozenset({"service", "instance", "database", "cache", "host"})


@dataclass(frozen=True)
class Trends:
    """``rows`` that fill up, the share of the bound ``now``, the rise per step, and steps until full; shape (rows,) each."""

    rows: Ints
    now: Floats
    per_step: Floats
    steps_left: Floats


def trends(used: Floats, horizon: float = np.inf) -> Trends:
    """Rows of ``used`` (rows, steps; share of the bound, NaN where nothing was reported) that fill up within ``horizon``
    steps. A row with a block in which nothing was reported is not judged."""
    steps = min(used.shape[1], WINDOW) // BLOCKS * BLOCKS
    nothing = np.empty(0)
    if steps < MIN_WINDOW or not len(used):
        return Trends(np.empty(0, dtype=np.intp), nothing, nothing, nothing)
    width = steps // BLOCKS
    blocks = used[:, -steps:].reshape(len(used), BLOCKS, width)
    heard = np.isfinite(blocks)
    means = np.where(heard, blocks, 0.0).sum(axis=2) / np.where(heard.any(axis=2), heard.sum(axis=2), np.nan)
    at = np.arange(BLOCKS) - (BLOCKS - 1) / 2
    slope = means @ at / (at @ at)
    level = means.mean(axis=1)
    apart = means - level[:, None] - slope[:, None] * at
    error = np.sqrt((apart**2).sum(axis=1) / (BLOCKS - 2) / (at @ at))
    now = means[:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        left = (1.0 - now) / slope * width
        steep = slope >= SURE * np.maximum(error, 1e-12)
        climbs = (np.diff(means, axis=1) > 0).sum(axis=1) >= BLOCKS - 2
        rows = np.flatnonzero(
            steep & climbs & (means[:, -1] - means[:, 0] >= MIN_RISE) & (now < FULL) & (left <= horizon)
        )
    return Trends(rows, now[rows], slope[rows] / width, left[rows])


def trending(turn: Turn) -> Iterator[Finding]:
    """Disks, memory, descriptors and connections that will be full soon, the soonest ``MOST``."""
    step = turn.world.series.step_seconds
    found: list[Finding] = []
    for signal, limit, word in BOUNDED:
        names, share = _shares(turn.world, signal, limit)
        rising = trends(share, HORIZON_SECONDS / step)
        for at, row in enumerate(rising.rows):
            left, now = float(rising.steps_left[at]) * step, float(rising.now[at])
            found.append(
                Finding(
                    id=f"trend|{names[row]}|{signal}",
                    kind="trend",
                    entity=names[row],
                    since_at=turn.world.series.end_at - share.shape[1] * step,
                    value=left,
                    baseline=now,
                    unit="seconds",
                    detail=f"{word} of {name_of(names[row])}: {now:.0%} used, full in about {left / 60:.0f} minutes",
                )
            )
    yield from sorted(found, key=lambda finding: (finding.value, finding.id))[:MOST]


def _shares(world: World, signal: str, limit: str) -> tuple[list[str], Floats]:
    """Who carries ``signal`` (and ``limit``, when it has one), and its share of the bound, shape (names, newest steps)."""
    grid = world.series
    names, values = grid.block(signal)
    bound = [grid.index.row_of.get((name, limit), -1) if limit else 0 for name in names]
    keep = [row for row, name in enumerate(names) if kind_of(name) in SUBJECTS and bound[row] >= 0]
    share = values[keep][:, -WINDOW:]
    if limit and keep:
        tops = np.nan_to_num(grid.values[[bound[row] for row in keep]][:, -WINDOW:]).max(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(tops[:, None] > 0, share / tops[:, None], np.nan)
    return [names[row] for row in keep], share
