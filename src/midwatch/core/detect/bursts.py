"""Does a log say something new, or an old complaint far more often? A Poisson rate test per row of counts.

The newest ``WIDTH`` steps are held against up to ``HISTORY`` before them: log-likelihood ratio of "its own rate" against
"the rate of the history", divided by the history's index of dispersion, because complaints come in bursts. A row that was
never written before counts as half a line in the whole history. It must be ``FACTOR`` times as often, ``MIN_LINES`` lines,
more than ever in three of the steps, and still going on.

What is found opens no incident: a new error line is a lead, and after a deploy an ordinary one.

Null rates: docs/detectors.md.

>>> counts = np.zeros((2, 60)); counts[0, -3:] = 4; counts[1] = 4
>>> [int(row) for row in bursts(counts).rows]
[0]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from midwatch.core.turn import Turn
from midwatch.model.entity import name_of
from midwatch.model.findings import Finding
from midwatch.model.world import Floats, Ints

WIDTH: Final = 6
HISTORY: Final = 72
MIN_HISTORY: Final = 24
MIN_LINES: Final = 6.0
FACTOR: Final = 4.0
THRESHOLD: Final = 14.0  # nats
ERROR: Final = 17  # severity number: warnings come and go
MOST: Final = 20  # findings at once, the surest


@dataclass(frozen=True)
class Bursts:
    """``rows`` that burst, with the lines per step ``now`` and ``before`` and how sure that is (nats); shape (rows,)
    each."""

    rows: Ints
    now: Floats
    before: Floats
    log_bayes: Floats


def bursts(counts: Floats) -> Bursts:
    """Rows of ``counts`` (rows, steps; lines, no NaN) that burst in the newest steps."""
    steps = counts.shape[1]
    if steps < WIDTH + MIN_HISTORY:
        return Bursts(np.empty(0, dtype=np.intp), np.empty(0), np.empty(0), np.empty(0))
    history, newest = counts[:, max(0, steps - WIDTH - HISTORY) : -WIDTH], counts[:, -WIDTH:]
    before, now = history.mean(axis=1), newest.mean(axis=1)
    rate = np.maximum(history.sum(axis=1), 0.5) / history.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.clip(np.nan_to_num(history.var(axis=1) / before, nan=1.0), 1.0, None)
        likelihood = WIDTH * (now * np.log(np.maximum(now, 1e-9) / rate) - now + rate) / spread
    going = (newest[:, -2:] > 0).any(axis=1)
    above = (newest > history.max(axis=1)[:, None]).sum(axis=1) >= 3
    loud = (newest.sum(axis=1) >= MIN_LINES) & (now >= FACTOR * rate) & above
    rows = np.flatnonzero(going & loud & (likelihood >= THRESHOLD))
    return Bursts(rows, now[rows], before[rows], likelihood[rows])


def log_bursts(turn: Turn) -> Iterator[Finding]:
    """New and bursting error templates, the surest ``MOST``."""
    logs, grid = turn.world.logs, turn.world.series
    errors = [row for row, pattern in enumerate(logs.patterns) if pattern.severity >= ERROR]
    if not errors:
        return
    found = bursts(np.nan_to_num(logs.counts[errors]))
    for at in np.argsort(-found.log_bayes, kind="stable")[:MOST]:
        pattern = logs.patterns[errors[int(found.rows[at])]]
        now, before = float(found.now[at]) / grid.step_seconds, float(found.before[at]) / grid.step_seconds
        news = "new" if before == 0 else f"{before * 60:.1f} a minute before"
        yield Finding(
            id=f"log_burst|{pattern.entity}|{pattern.id}",
            kind="log_burst",
            entity=pattern.entity,
            since_at=grid.end_at - WIDTH * grid.step_seconds,
            value=now,
            baseline=before,
            unit="lines/s",
            log_bayes=float(found.log_bayes[at]),
            detail=f"{name_of(pattern.entity)} logs {now * 60:.0f} times a minute ({news}): {pattern.template[:120]}",
        )
