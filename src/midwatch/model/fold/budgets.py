"""Corrections and crossings of error budgets: that part of the fold. Pure."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from midwatch.model import events as e
from midwatch.model.adjustments import Crossing
from midwatch.model.fold.registry import on
from midwatch.model.state import State

MAX_ADJUSTMENTS = 500


@on(e.BudgetAdjusted)
def _budget_adjusted(state: State, event: e.BudgetAdjusted, at: float) -> State:
    said = replace(event.adjustment, said_at=event.adjustment.said_at or at)
    kept = (*state.adjustments, said)[-MAX_ADJUSTMENTS:]
    return replace(state, adjustments=kept, next_adjustment=state.next_adjustment + 1)


@on(e.AdjustmentCounted)
def _adjustment_counted(state: State, event: e.AdjustmentCounted, at: float) -> State:
    return _adjustment(state, event.adjustment, counts=event.counts, counted=True)


@on(e.AdjustmentWithdrawn)
def _adjustment_withdrawn(state: State, event: e.AdjustmentWithdrawn, at: float) -> State:
    return _adjustment(state, event.adjustment, withdrawn_by=event.by)


def _adjustment(state: State, ident: str, **changes: Any) -> State:
    changed = tuple(replace(a, **changes) if a.id == ident else a for a in state.adjustments)
    return replace(state, adjustments=changed)


@on(e.BudgetCrossed)
def _budget_crossed(state: State, event: e.BudgetCrossed, at: float) -> State:
    ident = f"{event.key}|{event.action}|{event.at:g}"
    left = {k: v for k, v in state.crossings.items() if k != ident}
    if event.over:
        left[ident] = Crossing(event.key, event.slo, event.action, event.at, event.spent, at, event.covered_seconds)
    return replace(state, crossings=left)
