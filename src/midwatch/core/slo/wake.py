"""Wakes the agent, not people: a finding for a promise whose share of bad events crept above its budget.

Every full step of the ledgers' finest ring goes through the sequential test once, all promises together. A finding of this
kind opens an incident and so a diagnosis; alone it is rated SEV4, which pages nobody. Where something harmful is already
open the agent is awake and nothing is added. The state lives in memory; when it is lost it is made again from the ring.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from midwatch.core.memory import Ledger, Sentinel, Suspicion
from midwatch.core.slo import ledger as books
from midwatch.core.slo import sequential
from midwatch.core.slo.alerts import RELEARN_SECONDS, ledgers_of
from midwatch.core.slo.tiers import counts_events
from midwatch.core.turn import Turn
from midwatch.model.events import FindingClosed, FindingOpened
from midwatch.model.findings import HARMFUL, SLOW_BURN, Finding
from midwatch.model.slo import Slo
from midwatch.model.world import Floats

HISTORY_SECONDS: Final = sequential.MIN_BLOCKS * sequential.BLOCK_SECONDS
WEIGH_SECONDS: Final = 300.0
DAY_SECONDS: Final = 86400.0
MAX_NEW_PER_TURN: Final = 20


@dataclass(frozen=True)
class _Row:
    slo: Slo
    key: str
    ledger: Ledger

    @property
    def ident(self) -> str:
        return f"{SLOW_BURN}|{self.slo.entity}|{self.key}"


def wake(turn: Turn) -> Turn:
    """Take in the steps that are new; open and close findings."""
    if not turn.state.policy.alerts.wake:
        return turn
    rows = [_Row(*found) for found in ledgers_of(turn) if counts_events(found[0])]
    if not rows:
        return turn
    sentinel = _same_rows(turn.memory.sentinel, rows, turn.now)
    opened = [turn.state.findings.get(row.ident) for row in rows]
    budget = np.array([1 - row.slo.target for row in rows])
    raised = np.array([np.nan if f is None else f.value for f in opened]) * budget
    gone = np.array([told and f is None for told, f in zip(sentinel.told, opened, strict=True)])
    if gone.any():  # somebody ended it: what led to it is settled
        sentinel = replace(sentinel, suspicion=sequential.forget(sentinel.suspicion, gone, turn.now))
    if turn.now - sentinel.weighed_at >= WEIGH_SECONDS:
        sentinel = replace(sentinel, dispersion=_dispersion(rows), weighed_at=turn.now)
    sentinel = _caught_up(sentinel, rows, budget, raised)
    turn, over = _say(turn, rows, opened, sentinel)
    told = np.array([row.ident in turn.state.findings for row in rows])
    suspicion = sequential.forget(sentinel.suspicion, over, turn.now) if over.any() else sentinel.suspicion
    return turn.remember(sentinel=replace(sentinel, suspicion=suspicion, told=told))


def _same_rows(before: Sentinel | None, rows: list[_Row], now: float) -> Sentinel:
    """``before`` for the promises of today: new ones start from all that their ring holds."""
    keys = tuple(row.key for row in rows)
    if before is not None and before.keys == keys:
        return before
    fresh = Sentinel(
        keys,
        seen_until=np.array([max(row.ledger.first_at, _ring_start(row.ledger)) for row in rows]),
        suspicion=sequential.nothing(len(rows), now),
        told=np.zeros(len(rows), dtype=bool),
        dispersion=np.ones(len(rows)),
        weighed_at=-math.inf,
    )
    if before is None:
        return fresh
    place = {key: index for index, key in enumerate(before.keys)}
    old = np.array([place.get(key, -1) for key in keys])
    kept = old >= 0

    def merged(was: Floats, now: Floats) -> Floats:
        out = now.copy()
        out[kept] = was[old[kept]]
        return out

    one, two = before.suspicion, fresh.suspicion
    suspicion = Suspicion(
        merged(one.up, two.up),
        merged(one.since_at, two.since_at),
        merged(one.bad, two.bad),
        merged(one.total, two.total),
        merged(one.down, two.down),
    )
    told = np.asarray(merged(before.told.astype(np.float64), fresh.told.astype(np.float64)) > 0)
    return replace(fresh, seen_until=merged(before.seen_until, fresh.seen_until), suspicion=suspicion, told=told)


def _ring_start(ledger: Ledger) -> float:
    step, size = books.LEVELS[0]
    return ledger.head_at[0] - (size - 1) * step


def _dispersion(rows: list[_Row]) -> Floats:
    """From the last day or more at 5 minutes; the hours before a young ledger's first count are no history."""
    step = books.LEVELS[1][0]
    counts = np.stack([row.ledger.counts[1] for row in rows])
    return sequential.dispersion(counts[:, 1] - counts[:, 0], counts[:, 1], round(sequential.BLOCK_SECONDS / step))


def _caught_up(sentinel: Sentinel, rows: list[_Row], budget: Floats, raised: Floats) -> Sentinel:
    """Every whole step that was not taken in yet, oldest first. A promise without new steps gets empty ones."""
    step, size = books.LEVELS[0]
    until = np.array([math.floor((row.ledger.seen_until + 1e-6) / step) * step for row in rows])
    first = np.floor(sentinel.seen_until / step + 1e-6) * step
    head = np.array([row.ledger.head_at[0] for row in rows])
    first = np.maximum(first, head - (size - 1) * step)
    count = np.maximum(np.rint((until - first) / step), 0).astype(int)
    steps = int(count.max(initial=0))
    if steps == 0:
        return sentinel
    bad, total = np.zeros((2, len(rows), steps))
    column = size - 1 - np.rint((head - first) / step).astype(int)
    for index, row in enumerate(rows):
        if count[index]:
            good, whole = row.ledger.counts[0][:, column[index] : column[index] + count[index]]
            total[index, : whole.size], bad[index, : whole.size] = whole, whole - good
    suspicion = sentinel.suspicion
    for at in range(steps):
        suspicion = sequential.step(
            suspicion, bad[:, at], total[:, at], first + at * step, budget, sentinel.dispersion, raised
        )
    return replace(sentinel, suspicion=suspicion, seen_until=np.maximum(sentinel.seen_until, until))


def _say(
    turn: Turn, rows: list[_Row], opened: list[Finding | None], sentinel: Sentinel
) -> tuple[Turn, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Close what is over, open what is new; also which rows are over."""
    over = np.zeros(len(rows), dtype=bool)
    if turn.now - turn.memory.started_at >= RELEARN_SECONDS:
        over = np.array([f is not None for f in opened]) & (sentinel.suspicion.down >= sequential.END_NATS)
        turn = turn.emit(
            *(FindingClosed(rows[i].ident, "its errors are back within the budget") for i in np.flatnonzero(over))
        )
    awake = {finding.entity for finding in turn.state.findings.values() if finding.kind in HARMFUL}
    fresh = 0
    for i in np.flatnonzero(sequential.alarms(sentinel.suspicion)):
        row = rows[i]
        young = turn.now - row.ledger.first_at < HISTORY_SECONDS
        if young or row.slo.entity in awake or fresh == MAX_NEW_PER_TURN:
            continue
        fresh += 1
        awake.add(row.slo.entity)
        turn = turn.emit(FindingOpened(_finding(row, sentinel.suspicion, int(i))))
    return turn, over


def _finding(row: _Row, suspicion: Suspicion, index: int) -> Finding:
    burn = int(suspicion.up[index].argmax())
    bad, total = float(suspicion.bad[index, burn]), float(suspicion.total[index, burn])
    since = float(suspicion.since_at[index, burn])
    share = bad / total
    return Finding(
        id=row.ident,
        kind=SLOW_BURN,
        entity=row.slo.entity,
        since_at=since,
        value=share / (1 - row.slo.target),
        baseline=1.0,
        unit="x budget",
        log_bayes=float(sequential.nats(suspicion)[index]),
        detail=f"{row.key}: {share:.2%} bad of {total:.0f}, {share / (1 - row.slo.target):.1f} x what its budget bears",
        slo=row.slo.name,
    )
