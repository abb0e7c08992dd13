"""Signals that stopped being reported while their entity goes on reporting others: an exporter that broke, a probe that
hangs.

For every gauge in the matrix at once. A signal is dead when it is silent for ``LONGER`` times the longest pause that it
ever made, and for ``MIN_SILENT`` steps at least, after ``MIN_SEEN`` reports, while another gauge of the same entity was
reported in its silence. Counts are left out: nothing happened is no silence. When the whole entity is silent others say so:
an instance that no longer reports (``resources.py``), a service, a source or all telemetry (gaps of the World,
``gaps.py``).

What is found opens no incident. What was judged by such a signal is unknown from now on, and must not look well.

>>> values = np.full((3, 60), 1.0); values[0, 40:] = np.nan; values[2, ::4] = np.nan
>>> [int(row) for row in silent(values, np.array([0, 0, 1]))]
[0]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from midwatch.core.detect.gaps import blind
from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.entity import kind_of, name_of
from midwatch.model.findings import Finding
from midwatch.model.world import Floats, Ints

LONGER: Final = 4.0
MIN_SILENT: Final = 12
MIN_SEEN: Final = 6
MOST: Final = 20  # findings at once
GAUGES: Final = frozenset(signals.UNITS) - signals.SUMMED - {signals.UP}
SUBJECTS: Final = frozenset({"service", "instance", "database", "cache", "queue", "host", "proxy"})


def silent(values: Floats, owner: Ints) -> Ints:
    """Rows of ``values`` (rows, steps; NaN where nothing was reported) that are dead; ``owner`` (rows,) numbers the
    entities."""
    rows, steps = values.shape
    if not rows or steps <= MIN_SILENT:
        return np.empty(0, dtype=np.intp)
    heard = np.isfinite(values)
    column = np.arange(steps)
    newest = np.where(heard, column, -1)
    last = newest.max(axis=1)
    before = np.maximum.accumulate(np.concatenate([np.full((rows, 1), -1), newest[:, :-1]], axis=1), axis=1)
    pauses = np.where(heard & (before >= 0), column - before - 1, 0).max(axis=1)
    quiet = steps - 1 - last
    others = np.full(int(owner.max()) + 1, -1)
    np.maximum.at(others, owner, last)
    dead = (last >= 0) & (quiet >= MIN_SILENT) & (quiet > LONGER * (pauses + 1)) & (heard.sum(axis=1) >= MIN_SEEN)
    return np.flatnonzero(dead & (others[owner] > last))


def dead_signals(turn: Turn) -> Iterator[Finding]:
    """At most ``MOST``, the longest silent first."""
    grid = turn.world.series
    if blind(turn) or not grid.steps:
        return
    index = grid.index
    rows = np.sort(
        np.concatenate([np.empty(0, dtype=np.intp), *(index.rows_by_signal.get(s, ()) for s in sorted(GAUGES))])
    )
    rows = np.array([row for row in rows.astype(np.intp) if kind_of(index.subjects[row]) in SUBJECTS], dtype=np.intp)
    if not rows.size:
        return
    numbers: dict[str, int] = {}
    owner = np.array([numbers.setdefault(index.subjects[row], len(numbers)) for row in rows], dtype=np.intp)
    values = grid.values[rows]
    found = [(int(np.flatnonzero(np.isfinite(values[at]))[-1]), int(rows[at])) for at in silent(values, owner)]
    for last, row in sorted(found)[:MOST]:
        name, signal = index.subjects[row], index.signals[row]
        seconds = (grid.steps - 1 - last) * grid.step_seconds
        text = f"{signal.replace('_', ' ')} of {name_of(name)} was last reported {seconds:.0f} s ago; the rest goes on"
        yield Finding(
            id=f"lost_signal|{name}|{signal}",
            kind="lost_signal",
            entity=name,
            since_at=float(grid.times[last]),
            value=seconds,
            baseline=0.0,
            unit="seconds",
            detail=text,
        )
