"""How bad an incident is, as facts change: worse at once, milder only once it has been milder for a while.

A rating that swings wakes people twice, so going down has hysteresis: the facts have to rate it milder than it is for
``hold_seconds`` on end, and then it is rated as the worst of that time. No data is no improvement: where nothing is seen,
or nobody looked, the time starts again. Each time it got worse after it was milder, the next time takes twice as long,
eight times at most. A person's word goes before the facts: never milder than they said, and worse only once the facts are
worse than they were when it was said; that word is over then.

Example: SEV2 (6 % affected) at 09:00. From 09:20 on 2 % to 3 % are: SEV3 at 09:30. At 09:32 6 % are: SEV2 at once, and pages
again. From 09:40 on 2 % are: SEV3 at 10:00.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from midwatch.core.memory import Easing

MAX_DOUBLED: Final = 3
MAX_APART_SECONDS: Final = 360.0  # turns come every 300 s at the latest and see as far back


class Facts(Struct, frozen=True):
    """What the facts alone rate it, and why."""

    severity: int
    reason: str


class Word(Struct, frozen=True):
    """What a person said, and how the facts rated it then; 0 and 0 where nobody said anything that holds."""

    severity: int = 0
    facts: int = 0


def wanted(facts: int, word: Word) -> int:
    """As bad as the incident ought to be rated, were there no hysteresis."""
    if not word.severity:
        return facts
    return facts if facts < min(word.facts, word.severity) else word.severity


def hold(hold_seconds: float, rises: int) -> float:
    """How long it has to be milder, once it got worse again ``rises`` times."""
    return hold_seconds * 2.0 ** min(rises, MAX_DOUBLED)


def rerated(
    held: int, facts: Facts | None, word: Word, easing: Easing | None, now: float, hold_seconds: float
) -> tuple[Facts | None, Easing | None]:
    """What it is to be rated now (None: as it is), and since when it has been milder. ``held`` is its severity, ``facts``
    None where nobody can see. ``hold_seconds`` 0 or less: never milder."""
    if facts is None:
        return None, None
    due = wanted(facts.severity, word)
    if due < held:
        return Facts(due, facts.reason), None
    if due == held or hold_seconds <= 0:
        return None, None
    if easing is None or not 0 <= now - easing.at <= MAX_APART_SECONDS:
        easing = Easing(now, now, due, facts.reason)
    elif due <= easing.worst:
        easing = Easing(easing.since_at, now, due, facts.reason)
    else:
        easing = Easing(easing.since_at, now, easing.worst, easing.reason)
    if now - easing.since_at < hold_seconds:
        return None, easing
    minutes = (now - easing.since_at) / 60
    return Facts(easing.worst, f"milder for {minutes:.0f} min: {easing.reason}"), None
