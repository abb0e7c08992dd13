"""Why the first and not the second: which evidence separates two hypotheses, and what to look at to tell them apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from midwatch.model.findings import Evidence, Hypothesis

LEAST: Final = 0.25  # nats; what differs by less does not separate
MAX_SHOWN: Final = 4


@dataclass(frozen=True)
class Difference:
    """One kind of evidence. ``nats`` is how much more it speaks for the first (below 0: for the second); ``first`` and
    ``second`` are what was seen of each, None where nothing was."""

    kind: str
    nats: float
    first: Evidence | None
    second: Evidence | None

    @property
    def times(self) -> float:
        """By what factor it moves the odds between the two."""
        return math.exp(abs(self.nats))


@dataclass(frozen=True)
class RunnerUp:
    """``times`` as probable is the first as the second. ``check`` is what to look at next to tell them apart ("" when
    nothing is written down for either); the hypotheses' own ``refuted_by`` say what either outcome would mean."""

    first: Hypothesis
    second: Hypothesis
    times: float
    differences: tuple[Difference, ...]
    check: str


def runner_up(hypotheses: Sequence[Hypothesis]) -> RunnerUp | None:
    """The first two of ``hypotheses`` held against each other; None when there are not two."""
    if len(hypotheses) < 2:
        return None
    first, second = hypotheses[0], hypotheses[1]
    times = first.probability / second.probability if second.probability > 0 else math.inf
    check = first.next_check or second.next_check
    return RunnerUp(first, second, times, differences(first, second), check)


def differences(first: Hypothesis, second: Hypothesis) -> tuple[Difference, ...]:
    """By kind of evidence (the strongest counts, as in ``combine``), those that separate most first."""
    mine, theirs = strongest(first.evidence), strongest(second.evidence)
    found = [
        Difference(kind, _weight(mine.get(kind)) - _weight(theirs.get(kind)), mine.get(kind), theirs.get(kind))
        for kind in dict.fromkeys((*mine, *theirs))
    ]
    return tuple(sorted((d for d in found if abs(d.nats) >= LEAST), key=lambda d: (-abs(d.nats), d.kind))[:MAX_SHOWN])


def strongest(evidence: Iterable[Evidence]) -> dict[str, Evidence]:
    held: dict[str, Evidence] = {}
    for one in evidence:
        if one.kind not in held or abs(one.weight) > abs(held[one.kind].weight):
            held[one.kind] = one
    return held


def _weight(evidence: Evidence | None) -> float:
    return evidence.weight if evidence is not None else 0.0
