"""Corrections of budgets by people's word: leave a window out, count it as good, or take such a correction back."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import datetime
from typing import Final

from midwatch.core.turn import Turn
from midwatch.model.adjustments import Adjustment
from midwatch.model.events import AdjustmentWithdrawn, BudgetAdjusted, CommandGiven, CommandRefused
from midwatch.model.state import State

MAX_SECONDS: Final = 33 * 86400.0


def why_not(state: State, said: CommandGiven, now: float) -> str:
    """Why a budget cannot be corrected as it was said; "" when it may be."""
    if not said.by or not said.note.strip():
        return "a budget is adjusted with a name and a reason"
    words = said.value.split()
    if words == ["withdraw"]:
        held = any(one.id == said.target and not one.withdrawn_by for one in state.adjustments)
        return "" if held else f"no adjustment that holds is called {said.target!r}"
    window = [_moment(word) for word in words[1:]]
    if len(window) != 2 or words[0] not in ("exclude", "give_back"):
        return "say exclude or give_back with a begin and an end, or withdraw"
    since, until = window
    if since is None or until is None:
        return "a time is written like 2026-11-25T10:00:00Z, with its zone, or in unix seconds"
    if not since < until <= since + MAX_SECONDS or until > now + MAX_SECONDS:
        return "a window ends after it begins, within 33 days"
    if said.target not in ("all", *(slo.name for slo in state.slos)):
        return f"no promise is called {said.target!r}"
    return "only what has happened can be given back" if words[0] == "give_back" and until > now else ""


def adjust(turn: Turn, said: CommandGiven) -> Turn:
    """``value`` is ``exclude SINCE UNTIL`` or ``give_back SINCE UNTIL`` (ISO 8601 with zone, or unix seconds) for the
    promise ``target`` (``all`` for every one), or ``withdraw`` for the adjustment ``target``. ``note`` is the reason."""
    if why := why_not(turn.state, said, turn.now):
        return turn.emit(CommandRefused(said.verb, said.target, said.by, why))
    reason = said.note.strip()
    kind, *window = said.value.split()
    if kind == "withdraw":
        return turn.emit(AdjustmentWithdrawn(said.target, said.by, reason))
    since, until = (_moment(word) or 0.0 for word in window)
    slo = "" if said.target == "all" else said.target
    ident = f"ADJ-{turn.state.next_adjustment}"
    return turn.emit(BudgetAdjusted(Adjustment(ident, kind, slo, since, until, said.by, reason, turn.now)))


def _moment(word: str) -> float | None:
    """Unix seconds; None for what is no time, or has no zone."""
    with suppress(ValueError):
        at = float(word)
        return at if math.isfinite(at) else None
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(word)
        return moment.timestamp() if moment.tzinfo is not None else None
    return None
