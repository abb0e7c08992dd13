"""Requests that leave their course in a service: a step that always followed does not come, or a warning is new.

``courses.py`` beside this folder finds them and settles whose they are. The weight is the clearest departure's
log-likelihood ratio less what a search over all steps finds by chance, and at most ``MOST``: that a service does something
else than before is not yet a fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from midwatch.core.diagnose.blame import Blame
from midwatch.core.diagnose.case import Case
from midwatch.core.diagnose.clue import Clue, clue
from midwatch.model import faults
from midwatch.model.entity import name_of

MOST: Final = 4.0
SEARCHED: Final = 1.5  # nats that the best of a service's steps shows when nothing is wrong; see tests/diagnose
MAX_CHARS: Final = 80


def off_course(case: Case, blame: Blame) -> Iterator[Clue]:
    told: set[str] = set()
    for one in blame.courses.departures:  # the clearest first: the others of a service are its consequences
        if one.service in told or one.service not in blame.courses.origin:
            continue
        told.add(one.service)
        now, before = f"{one.now} of {one.now_of}", f"{one.before} of {one.before_of}"
        text = f"{name_of(one.service)}, {one.operation}: after {_short(one.step)!r} came {_short(one.then)!r} in {now}"
        yield clue(
            one.service, faults.ERRORS_INSIDE, min(MOST, one.nats - SEARCHED), "course", f"{text}, {before} before",
            value=one.now / one.now_of, baseline=one.before / one.before_of, unit="ratio",
        )  # fmt: skip


def _short(text: str) -> str:
    return text if len(text) <= MAX_CHARS else f"{text[: MAX_CHARS - 3]}..."
