"""Silences by people's word: set one, end one."""

from __future__ import annotations

import math
from typing import Final

from midwatch.core.turn import Turn
from midwatch.model.alerts import Silence, parse_matchers
from midwatch.model.events import CommandGiven, CommandRefused, SilenceEnded, SilenceSet

MAX_SECONDS: Final = 30 * 86400.0
MAX_SILENCES: Final = 500
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def silence(turn: Turn, said: CommandGiven) -> Turn:
    """``target`` are matchers; ``value`` is how long (``2h``), or ``maintenance START END`` in unix seconds; ``note`` is the
    reason."""
    if not said.by or not said.note.strip():
        return _refused(turn, said, "a silence needs a name and a reason")
    try:
        matchers = parse_matchers(said.target)
        kind, start, end = _window(said.value, turn.now)
    except ValueError as error:
        return _refused(turn, said, str(error))
    if not start < end <= turn.now + MAX_SECONDS or end <= turn.now:
        return _refused(turn, said, "a silence ends after it begins, in the future, within 30 days")
    if len(turn.state.silences) >= MAX_SILENCES:
        return _refused(turn, said, f"there are {MAX_SILENCES} silences: end some first")
    ident = f"SIL-{turn.state.next_silence}"
    return turn.emit(SilenceSet(Silence(ident, kind, matchers, start, end, said.by, said.note.strip()[:2000])))


def unsilence(turn: Turn, said: CommandGiven) -> Turn:
    known = turn.state.silences.get(said.target)
    if known is None:
        return _refused(turn, said, f"no silence that holds is called {said.target!r}")
    begin = f"{known.id} "
    firing = sum(r.firing and r.why.startswith(begin) for r in turn.state.alerts.values())
    return turn.emit(SilenceEnded(known.id, f"{said.by or 'somebody'} ended it", firing, said.by))


def _window(text: str, now: float) -> tuple[str, float, float]:
    words = text.split()
    if len(words) == 3 and words[0] in ("maintenance", "silence"):
        start, end = float(words[1]), float(words[2])
        if not (math.isfinite(start) and math.isfinite(end)):
            raise ValueError("a time is written in unix seconds")
        return words[0], start, end
    if len(words) == 1 and words[0][-1] in _UNITS and words[0][:-1].isdigit():
        return "silence", now, now + int(words[0][:-1]) * _UNITS[words[0][-1]]
    raise ValueError("say how long (30m, 2h, 1d), or maintenance with a begin and an end in unix seconds")


def _refused(turn: Turn, said: CommandGiven, why: str) -> Turn:
    return turn.emit(CommandRefused(said.verb, said.target, said.by, why))
