"""How late a service's requests are told: batches, clocks that are behind, collectors on the way.

A step that looked nearly empty and filled up a turn later was late, not quiet. What is learned is how many of the newest
steps say too little to be called a loss of traffic; real loss stays empty, and so teaches nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from midwatch.core.memory import Lateness
from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.world import Floats

LOOKED_AT: Final = 24
"""Newest steps that may be late: what is told two minutes late is not waited for."""
FILLED: Final = 0.8
FORGET_SECONDS: Final = 300.0
"""A step of lateness that is not seen again is forgotten after so long."""


def learn_lateness(turn: Turn) -> Turn:
    """Compare the requests of each entity with what they looked like a turn before."""
    grid, before = turn.world.series, turn.memory.lateness
    names, values = grid.block(signals.REQUESTS)
    newest = np.nan_to_num(values[:, -LOOKED_AT:])
    steps = np.zeros(len(names))
    if before is not None and before.newest.size and newest.size:
        rows = np.arange(len(names))
        if before.names != names:
            rows = np.array([before.row_of.get(name, -1) for name in names], dtype=int)
        passed = round((grid.end_at - before.end_at) / grid.step_seconds)
        known = rows >= 0
        steps[known] = np.maximum(0.0, before.steps[rows[known]] - (turn.now - before.at) / FORGET_SECONDS)
        steps[known] = np.maximum(steps[known], _filled(before.newest[rows[known]], newest[known], passed))
    return turn.remember(lateness=Lateness(names, turn.now, grid.end_at, newest, steps))


def _filled(old: Floats, new: Floats, passed: int) -> Floats:
    """The age in steps (1: the newest then) of the oldest step of ``old`` that has filled up since, 0 for none; ``new`` ends
    ``passed`` steps later. Shapes (rows, steps) -> (rows,)."""
    width = min(old.shape[1], new.shape[1] - passed)
    if width <= 0 or passed < 0:
        return np.zeros(len(old))
    then, now = old[:, -width:], new[:, new.shape[1] - passed - width : new.shape[1] - passed]
    grown = then < FILLED * now
    ages = np.arange(width, 0, -1)
    return np.asarray(np.where(grown, ages, 0).max(axis=1), dtype=np.float64)
