"""Silences and maintenance windows: what covers an alert, and their end, which is said."""

from __future__ import annotations

from collections.abc import Mapping

from midwatch.core.oncall.words import clock
from midwatch.core.turn import Turn
from midwatch.model.alerts import AlertRecord, Silence, fits
from midwatch.model.events import SilenceEnded


def covered(silences: tuple[Silence, ...], words: Mapping[str, str]) -> tuple[str, str] | None:
    """(place, why) of an alert with these words, None when none of the ``silences`` (those that hold now) covers it."""
    for one in silences:
        if fits(one.matchers, words):
            until = f"{one.id} until {clock(one.end_at)} UTC, by {one.by or 'somebody'}"
            return one.kind if one.kind == "maintenance" else "silenced", f"{until}: {one.reason}"
    return None


def ended(turn: Turn) -> Turn:
    """Silences whose time is over end aloud: how many alerts under them still fire. Those are judged anew in this turn."""
    for one in tuple(turn.state.silences.values()):
        if one.end_at <= turn.now:
            still = under(turn.state.alerts, one)
            turn = turn.emit(SilenceEnded(one.id, "its time is over", still))
    return turn


def under(alerts: Mapping[str, AlertRecord], silence: Silence) -> int:
    """How many firing alerts it holds back."""
    begin = f"{silence.id} "
    held = (r for r in alerts.values() if r.place in ("silenced", "maintenance") and r.firing)
    return sum(r.why.startswith(begin) for r in held)
