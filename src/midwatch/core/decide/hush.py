"""Silences by people's word: set one, end one."""

from __future__ import annotations

import math
from typing import Final

from midwatch.core.turn import Turn
from midwatch.model.alerts import Silence, parse_matchers
from midwatch.model.events import CommandGiven, CommandRefused, SilenceEnded, SilenceSet
from midwatch.model.state import State

MAX_SECONDS: Final = 30 * 86400.0
MAX_SILENCES: Final = 500
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def why_not(state: State, said: CommandGiven, now: float) -> str:
    """Why a silence cannot be set or ended as it was said; "" when it may be obeyed."""
    if said.verb == "unsilence":
        return "" if said.target in state.silences else f"no silence that holds is called {said.target!r}"
    if not said.by or not said.note.strip():
        return "a silence needs a name and a reason"
    try:
        parse_matchers(said.target)
        _, start, end = _window(said.value, now)
    except ValueError as error:
        return str(error)
    if not start < end <= now + MAX_SECONDS or end <= now:
        return "a silence ends after it begins, in the future, within 30 days"
    full = len(state.silences) >= MAX_SILENCES
    return f"there are {MAX_SILENCES} silences: end some first" if full else ""


def silence(turn: Turn, said: CommandGiven) -> Turn:
    """``target`` are matchers; ``value`` is how long (``2h``), or ``maintenance START END`` in unix seconds; ``note`` is the
    reason."""
    if why := why_not(turn.state, said, turn.now):
        return turn.emit(CommandRefused(said.verb, said.target, said.by, why))
    kind, start, end = _window(said.value, turn.now)
    ident, matchers = f"SIL-{turn.state.next_silence}", parse_matchers(said.target)
    return turn.emit(SilenceSet(Silence(ident, kind, matchers, start, end, said.by, said.note.strip())))


def unsilence(turn: Turn, said: CommandGiven) -> Turn:
    if why := why_not(turn.state, said, turn.now):
        return turn.emit(CommandRefused(said.verb, said.target, said.by, why))
    begin = f"{said.target} "
    firing = sum(r.firing and r.why.startswith(begin) for r in turn.state.alerts.values())
    return turn.emit(SilenceEnded(said.target, f"{said.by or 'somebody'} ended it", firing, said.by))


def _window(text: str, now: float) -> tuple[str, float, float]:
    words = text.split()
    if len(words) == 3 and words[0] in ("maintenance", "silence"):
        start, end = float(words[1]), float(words[2])
        if not (math.isfinite(start) and math.isfinite(end)):
            raise ValueError("a time is written in unix seconds")
        return words[0], start, end
    if len(words) == 1 and words[0][-1] in _UNITS and words[0][:-1].isascii() and words[0][:-1].isdigit():
        return "silence", now, now + int(words[0][:-1]) * _UNITS[words[0][-1]]
    raise ValueError("say how long (30m, 2h, 1d), or maintenance with a begin and an end in unix seconds")
