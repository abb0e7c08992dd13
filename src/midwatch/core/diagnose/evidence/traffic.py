"""More requests than before: a surge from outside, or retries that multiply inside.

The cause is the traffic; where hands are missing is another question: the scope's ``service`` is the one behind the entry
point whose own time and errors make up most of the harm. More instances help there, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from midwatch.core.diagnose.blame import Blame
from midwatch.core.diagnose.case import Case
from midwatch.core.diagnose.clue import Clue, clue
from midwatch.model import faults, signals
from midwatch.model.entity import kind_of, name_of

SURGE: Final = 1.6
OVERALL: Final = 1.3
NARROW: Final = 0.3
"""Of the users' harm: so much must be a service's own for it to be where the surge does not get through."""


def traffic(case: Case, blame: Blame) -> Iterator[Clue]:
    """Requests at an entry point are a multiple of what they were. The surge explains what saturates behind it."""
    entries = case.world.entries
    before = sum(case.sum(e, signals.REQUESTS, case.normal) for e in entries) * case.scale
    after = sum(case.sum(e, signals.REQUESTS, case.bad) for e in entries)
    if after < OVERALL * before:
        return  # one of many entry points busier than usual is no surge
    scope = _narrow_place(blame)
    for entry in entries:
        usual = case.sum(entry, signals.REQUESTS, case.normal) * case.scale
        now = case.sum(entry, signals.REQUESTS, case.bad)
        if usual < 20 or now < SURGE * usual:
            continue
        factor = now / usual
        seconds = (case.bad.stop - case.bad.start) * case.world.series.step_seconds
        text = f"{now / seconds:.0f} requests/s at {name_of(entry)}, {factor:.1f} times as many as before"
        yield clue(
            entry, faults.TRAFFIC_SURGE, 3.0 + min(1.5, factor - SURGE), "traffic", text,
            value=now / seconds, baseline=usual / seconds, unit="requests/s", share=0.9, scope=scope,
        )  # fmt: skip


def _narrow_place(blame: Blame) -> dict[str, str]:
    """``{"service": name}`` of the service to whom most of the harm belongs; empty when nobody stands out."""
    most = max(blame.share, key=lambda key: (blame.share[key], key), default="")
    stands_out = kind_of(most) == "service" and blame.share[most] >= NARROW
    return {"service": name_of(most)} if stands_out else {}
