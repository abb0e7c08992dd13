"""How a source is asked about the past of a promise: how far back, in which pieces, and what a step counts for.

The newest six hours are read at the source's own step, which is what a ledger keeps fine, and what lies further back at five
minutes: 90 days are 26,000 steps then. Slices that are no multiple of five minutes are read at the source's step throughout.
"""

from __future__ import annotations

import math
from typing import Final

from midwatch.core.slo.ledger import levels_for
from midwatch.core.slo.queries import LOOK_SECONDS
from midwatch.model.indicators import RawRatio, Threshold
from midwatch.model.slo import Slo

COARSE_SECONDS: Final = 300.0
FINE_SPAN_SECONDS: Final = 6 * 3600.0  # what the ledger keeps at its finest
PIECE_SECONDS: Final = 86400.0  # of one question, when much is read back
MAX_PIECE_STEPS: Final = 10_000  # what one query may ask for, with room


def oldest(slo: Slo, until_at: float) -> float:
    """Where the past of ``slo`` begins: its period, or as much of it as a ledger holds (400 days at the longest)."""
    held = max(step * size for step, size in levels_for(slo))
    return until_at - min(slo.period_seconds, held)


def fine_from(until_at: float) -> float:
    """From where on every step is read as the source counts it: a whole hour."""
    return math.floor((until_at - FINE_SPAN_SECONDS) / 3600.0) * 3600.0


def coarse_step(slo: Slo, step_seconds: float) -> float:
    """The step for what lies further back: no step may lie in two slices."""
    if slo.slices is not None and slo.slices.seconds % COARSE_SECONDS:
        return step_seconds
    return COARSE_SECONDS


def misfit(slo: Slo, step_seconds: float) -> str:
    """Why ``slo`` cannot be counted at this step, else empty."""
    if slo.slices is None or slo.slices.seconds % step_seconds == 0:
        return ""
    return (
        f"its slices of {slo.slices.seconds:g} s are no multiple of its source's step of {step_seconds:g} s: "
        "set step_seconds in settings.yaml"
    )


def weight(slo: Slo, width: float, step_seconds: float) -> float:
    """What each count over ``width`` seconds is worth beside one over ``step_seconds``. Events are events; a ratio that was
    averaged, or a value that was looked at, is worth the time that it stands for, however wide the step."""
    match slo.indicator:
        case RawRatio():  # one for each step
            return width / step_seconds
        case Threshold():  # one for each look
            return min(width, LOOK_SECONDS) / min(step_seconds, LOOK_SECONDS)
        case _:
            return 1.0


def pieces(
    since_at: float, until_at: float, step_seconds: float, coarse_seconds: float = COARSE_SECONDS
) -> list[tuple[float, float, float]]:
    """(begin, end, step) that cover [since, until): coarse where it lies more than six hours back, a day at most each.
    ``coarse_seconds`` is ``coarse_step``.
    ``since_at`` and ``until_at`` lie on multiples of ``step_seconds``."""
    found: list[tuple[float, float, float]] = []
    longest = PIECE_SECONDS if MAX_PIECE_STEPS * coarse_seconds >= PIECE_SECONDS else 3600.0
    fine, at = fine_from(until_at), since_at
    if since_at < fine:
        # Up to the next coarse boundary in fine steps, so that no step is counted on both sides.
        first = min(math.ceil(since_at / coarse_seconds) * coarse_seconds, fine)
        if first > at:
            found.append((at, first, step_seconds))
        at = first
        while at < fine:
            end = min((math.floor(at / longest) + 1) * longest, fine)
            found.append((at, end, coarse_seconds))
            at = end
    if at < until_at:
        found.append((at, until_at, step_seconds))
    return found
