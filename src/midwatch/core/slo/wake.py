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
import numpy.typing as npt

from midwatch.core.memory import Ledger, Sentinel, Suspicion
from midwatch.core.slo import clumps, sequential
from midwatch.core.slo import ledger as books
from midwatch.core.slo.alerts import RELEARN_SECONDS, ledgers_of
from midwatch.core.slo.corrected import corrected, pieces, touching, why
from midwatch.core.slo.tiers import counts_events
from midwatch.core.turn import Turn
from midwatch.model.adjustments import Adjustment
from midwatch.model.events import FindingClosed, FindingOpened
from midwatch.model.findings import HARMFUL, SLOW_BURN, Finding
from midwatch.model.slo import Slo
from midwatch.model.world import Floats

HISTORY_SECONDS: Final = 3600.0 + sequential.MIN_BLOCKS * sequential.BLOCK_SECONDS
WEIGH_SECONDS: Final = 300.0
JUDGED_SECONDS: Final = 3600.0  # what is being judged is no yardstick for itself
MAX_NEW_PER_TURN: Final = 20
HABITS_AT_ONCE: Final = 500  # ledgers, a month of hours each


@dataclass(frozen=True)
class _Row:
    slo: Slo
    key: str
    ledger: Ledger
    left: tuple[Adjustment, ...]  # corrections of the last days

    @property
    def ident(self) -> str:
        return f"{SLOW_BURN}|{self.slo.entity}|{self.key}"


def wake(turn: Turn) -> Turn:
    """Take in the steps that are new; open and close findings."""
    if not turn.state.policy.alerts.wake:
        return turn
    since = turn.now - math.prod(books.LEVELS[1])
    rows = [
        _Row(slo, key, ledger, touching(turn.state.adjustments, slo.name, since, turn.now))
        for slo, key, ledger in ledgers_of(turn)
        if counts_events(slo)
    ]
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
        fresh = math.isinf(sentinel.weighed_at)  # nothing is suspected yet: look once without weighing
        seen = _caught_up(sentinel, rows, budget, raised) if fresh else sentinel
        sentinel = replace(
            sentinel,
            dispersion=_dispersion(rows, seen.suspicion),
            habit=_habit(rows, turn.now),
            weighed_at=turn.now,
        )
    sentinel = _caught_up(sentinel, rows, budget, raised)
    turn, suspicion = _corrected_away(turn, rows, budget, raised, sentinel)
    turn, suspicion = _closed(turn, rows, np.where(_open(turn, rows), raised, np.nan), suspicion)
    turn = _opened(turn, rows, suspicion, sentinel.habit)
    told = _open(turn, rows)
    return turn.remember(sentinel=replace(sentinel, suspicion=suspicion, told=told))


def _open(turn: Turn, rows: list[_Row]) -> npt.NDArray[np.bool_]:
    return np.array([row.ident in turn.state.findings for row in rows])


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
        habit=np.zeros(len(rows)),
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

    suspicion = sequential.put(fresh.suspicion, np.flatnonzero(kept), sequential.only(before.suspicion, old[kept]))
    told = np.asarray(merged(before.told.astype(np.float64), fresh.told.astype(np.float64)) > 0)
    return replace(fresh, seen_until=merged(before.seen_until, fresh.seen_until), suspicion=suspicion, told=told)


def _ring_start(ledger: Ledger) -> float:
    step, size = books.LEVELS[0]
    return ledger.head_at[0] - (size - 1) * step


def _dispersion(rows: list[_Row], suspicion: Suspicion) -> Floats:
    """From the last days at 5 minutes, up to where what is suspected now began, and an hour ago at the latest; before a
    ledger's first count and without traffic there is nothing to weigh."""
    step, size = books.LEVELS[1]
    counts = np.stack([corrected(row.ledger, row.left).counts[1] for row in rows])
    head = np.array([row.ledger.head_at[1] for row in rows])
    ends_at = head[:, None] - step * np.arange(size - 1, -1, -1) + step
    usual_until = np.minimum(sequential.begun(suspicion), head - JUDGED_SECONDS)
    counts = counts * (ends_at <= usual_until[:, None])[:, None, :]
    return sequential.dispersion(counts[:, 1] - counts[:, 0], counts[:, 1], round(sequential.BLOCK_SECONDS / step))


def _habit(rows: list[_Row], now: float) -> Floats:
    """How many failures come together at each, from the hours of the last month."""
    found = np.zeros(len(rows))
    for first in range(0, len(rows), HABITS_AT_ONCE):
        hours = [clumps.hours_of(corrected(row.ledger, row.left), now) for row in rows[first : first + HABITS_AT_ONCE]]
        found[first : first + len(hours)] = clumps.habit(*(np.concatenate(part) for part in zip(*hours, strict=True)))
    return found


def _caught_up(sentinel: Sentinel, rows: list[_Row], budget: Floats, raised: Floats) -> Sentinel:
    """Every whole step that was not taken in yet, oldest first: those of each promise, and no more."""
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
        at = first[index] + step * np.arange(steps)
        for kind, since, over in pieces(row.left):
            touched = (at < over) & (at + step > since)
            bad[index, touched] = 0.0
            if kind == "exclude":
                total[index, touched] = 0.0
    suspicion, dispersion = sentinel.suspicion, sentinel.dispersion
    done = 0
    for upto in np.unique(count[count > 0]).tolist():  # one that was away for hours does not make all others wait
        left = np.flatnonzero(count >= upto)
        some = sequential.only(suspicion, left)
        for at in range(done, upto):
            some = sequential.step(
                some,
                bad[left, at],
                total[left, at],
                first[left] + at * step,
                budget[left],
                dispersion[left],
                raised[left],
            )
        suspicion, done = sequential.put(suspicion, left, some), upto
    return replace(sentinel, suspicion=suspicion, seen_until=np.maximum(sentinel.seen_until, until))


def _corrected_away(
    turn: Turn, rows: list[_Row], budget: Floats, raised: Floats, sentinel: Sentinel
) -> tuple[Turn, Suspicion]:
    """A correction that was said afterwards settles what was suspected, or told, because of what it takes away."""
    suspicion, gone = sentinel.suspicion, np.zeros(len(rows), dtype=bool)
    for i in np.flatnonzero(sequential.alarms(suspicion, sentinel.habit) | np.isfinite(raised)).tolist():
        row, finding = rows[i], turn.state.findings.get(rows[i].ident)
        since = finding.since_at if finding is not None else float(sequential.begun(suspicion)[i])
        left = touching(row.left, row.slo.name, since, turn.now)
        if not left or (finding is not None and turn.now - turn.memory.started_at < RELEARN_SECONDS):
            continue
        good, total = books.between(corrected(row.ledger, left), since, turn.now)
        gone[i] = total - good <= budget[i] * total
        if gone[i] and finding is not None:
            turn = turn.emit(FindingClosed(row.ident, why(left[-1])))
    return turn, sequential.forget(suspicion, gone, turn.now) if gone.any() else suspicion


def _closed(turn: Turn, rows: list[_Row], raised: Floats, suspicion: Suspicion) -> tuple[Turn, Suspicion]:
    """Close what is over; nothing is suspected of it any more."""
    over = np.isfinite(raised) & (suspicion.down >= sequential.END_NATS)
    if not over.any() or turn.now - turn.memory.started_at < RELEARN_SECONDS:
        return turn, suspicion
    back = "its errors are back within the budget"
    turn = turn.emit(*(FindingClosed(rows[i].ident, back) for i in np.flatnonzero(over)))
    return turn, sequential.forget(suspicion, over, turn.now)


def _opened(turn: Turn, rows: list[_Row], suspicion: Suspicion, habit: Floats) -> Turn:
    """Say what is sure, where nothing harmful is open yet and history is long enough to know what is usual."""
    awake = {finding.entity for finding in turn.state.findings.values() if finding.kind in HARMFUL}
    found: list[FindingOpened] = []
    for i in np.flatnonzero(sequential.alarms(suspicion, habit)):
        row = rows[i]
        young = turn.now - row.ledger.first_at < HISTORY_SECONDS
        if not young and row.slo.entity not in awake and len(found) < MAX_NEW_PER_TURN:
            awake.add(row.slo.entity)
            found.append(FindingOpened(_finding(row, suspicion, int(i))))
    return turn.emit(*found)


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
