"""Have requests changed their shape? Calls per request of the caller, for every edge of the call graph at once.

The newest ``WIDTH`` steps are held against up to ``HISTORY`` before them: a caller that asks three times where it asked
once (an N+1 query, retries), that no longer asks at all (a branch that is skipped, a cache that now answers), or that asks
somebody new. The score is the Poisson log-likelihood ratio of the calls, given the caller's requests, divided by the index
of dispersion of as wide blocks of the history: routes of different shapes mix differently from minute to minute. And either
half of the newest steps must lie ``FACTOR`` times beyond all blocks of the history.

What is found opens no incident: it is what a deploy may do on purpose.

Null rates: docs/detectors.md.

>>> requests = np.full((2, 90), 50.0); calls = requests.copy(); calls[0, -12:] *= 3
>>> [int(row) for row in shapes(calls, requests).rows]
[0]

"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.entity import name_of, split_edge
from midwatch.model.findings import Finding
from midwatch.model.world import Floats, Ints

WIDTH: Final = 12
HISTORY: Final = 120
MIN_HISTORY: Final = 48
FACTOR: Final = 2.0
MIN_CALLS: Final = 30.0  # expected or seen in the newest steps
THRESHOLD: Final = 18.0  # nats
MOST: Final = 20  # findings at once, the surest


@dataclass(frozen=True)
class Shapes:
    """``rows`` whose calls per request changed, ``now`` and ``before``, and how sure that is (nats); shape (rows,) each."""

    rows: Ints
    now: Floats
    before: Floats
    log_bayes: Floats


def shapes(calls: Floats, requests: Floats) -> Shapes:
    """Rows of ``calls`` on an edge and ``requests`` of its caller (rows, steps; counts, no NaN) with a new ratio."""
    steps = calls.shape[1]
    if steps < WIDTH + MIN_HISTORY:
        return Shapes(np.empty(0, dtype=np.intp), np.empty(0), np.empty(0), np.empty(0))
    blocks = (min(steps, WIDTH + HISTORY) // WIDTH) * WIDTH
    asked, served = (part[:, steps - blocks :].reshape(len(part), -1, WIDTH).sum(axis=2) for part in (calls, requests))
    seen, usual, mine = asked[:, -1], asked[:, :-1].sum(axis=1), served[:, :-1].sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.maximum(usual, 0.5) / mine
        expected = ratio * served[:, -1]
        apart = (asked[:, :-1] - ratio[:, None] * served[:, :-1]) ** 2
        spread = np.clip(apart.sum(axis=1) / np.maximum(ratio * mine, 1e-9), 1.0, None)
        likelihood = (seen * np.log(np.maximum(seen, 1e-9) / expected) - seen + expected) / spread
        each = np.where(served > 0, asked / served, np.nan)
        most, least = np.fmax.reduce(each[:, :-1], axis=1), np.fmin.reduce(each[:, :-1], axis=1)
        half = _halves(calls[:, -WIDTH:], requests[:, -WIDTH:])
        more = (half >= FACTOR * np.maximum(most, ratio)[:, None]).all(axis=1)
        fewer = (half * FACTOR <= np.minimum(least, ratio)[:, None]).all(axis=1)
    enough = (mine > 0) & (np.maximum(seen, expected) >= MIN_CALLS)
    rows = np.flatnonzero(enough & (more | fewer) & (np.nan_to_num(likelihood) >= THRESHOLD))
    return Shapes(rows, seen[rows] / served[rows, -1], usual[rows] / mine[rows], likelihood[rows])


def _halves(calls: Floats, requests: Floats) -> Floats:
    """Calls per request in either half of the steps, shape (rows, 2); NaN where nothing was asked for."""
    halves = (part.reshape(len(part), 2, -1).sum(axis=2) for part in (calls, requests))
    made, asked = halves
    return np.where(asked > 0, made / np.maximum(asked, 1e-9), np.nan)


def trace_shapes(turn: Turn) -> Iterator[Finding]:
    """Edges whose calls per request changed, the surest ``MOST``; nothing of a caller whose own requests are not known."""
    grid = turn.world.series
    edges, calls = grid.block(signals.CALLS)
    if not edges:
        return
    ends = [split_edge(edge) for edge in edges]
    rows = np.array([grid.index.row_of.get((caller, signals.REQUESTS), -1) for caller, _ in ends], dtype=np.intp)
    known = np.flatnonzero(rows >= 0)
    newest = slice(max(0, grid.steps - WIDTH - HISTORY), grid.steps)
    found = shapes(np.nan_to_num(calls[known][:, newest]), np.nan_to_num(grid.values[rows[known]][:, newest]))
    for at in np.argsort(-found.log_bayes, kind="stable")[:MOST]:
        number = int(known[found.rows[at]])
        caller, callee = ends[number]
        now, before = float(found.now[at]), float(found.before[at])
        was = f"{before:.2g} before" if before > 0 else "never before"
        yield Finding(
            id=f"shape|{edges[number]}|",
            kind="shape",
            entity=edges[number],
            since_at=grid.end_at - WIDTH * grid.step_seconds,
            value=now,
            baseline=before,
            unit="calls/request",
            log_bayes=float(found.log_bayes[at]),
            detail=f"{name_of(caller)} calls {name_of(callee)} {now:.2g} times per request, {was}",
        )
