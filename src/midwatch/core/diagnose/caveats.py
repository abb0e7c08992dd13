"""What a person should know beside the probabilities: which evidence was missing, and which causes may both be true.

Both are said as evidence that weighs nothing, so that whoever shows a hypothesis shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import structs

from midwatch.core.diagnose.case import Case
from midwatch.model import signals
from midwatch.model.entity import name_of
from midwatch.model.findings import Evidence, Hypothesis

COLLECTED_AS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("traces", (signals.ROOT_SELF_MS, signals.ROOT_ERRORS, signals.SELF_MS)),
    ("calls", (signals.CALLS,)),
    ("both ends of calls", (signals.SERVER_MS,)),
    ("processes", (signals.CPU_RATIO, signals.CPU_THROTTLED_RATIO, signals.MEMORY_BYTES, signals.RESTARTS)),
)
OWN_SHARE: Final = 0.2  # of the harm, that a second cause must explain and the first does not
OWN_WEIGHT: Final = 2.5  # nats of evidence besides its share: what merely carries blame may be a consequence
GENERAL: Final = frozenset({"share", "blame_errors", "blame_time"})


def missing(case: Case) -> tuple[str, ...]:
    """The kinds of evidence that nobody collects here."""
    carried = case.world.series.index.subjects_by_signal
    found = [name for name, told in COLLECTED_AS if not any(signal in carried for signal in told)]
    return (*found, *(() if case.world.logs.patterns else ("logs",)))


def lacking(case: Case, entity: str) -> Evidence | None:
    """What the verdict on ``entity`` had to do without; None when nothing was missing."""
    names = missing(case)
    silent = sorted({gap.subject for gap in case.world.gaps})[:3]
    said = ([f"not collected: {', '.join(names)}"] if names else []) + (
        [f"nothing was heard of {', '.join(silent)}"] if silent else []
    )
    return Evidence("missing", entity, "; ".join(said), 0.0) if said else None


def beside(first: Hypothesis, other: Hypothesis) -> Evidence | None:
    """Says that ``other`` can be true besides ``first``: its own evidence is strong, and what it explains the first does
    not. None when one of the two is enough."""
    mine, theirs = _share(first), _share(other)
    own = sum(e.weight for e in other.evidence if e.kind not in GENERAL)
    if other.entity == first.entity or theirs < OWN_SHARE or mine + theirs > 1.05 or own < OWN_WEIGHT:
        return None
    text = f"it explains {theirs:.0%} that {name_of(first.entity)} does not: both may be true at once"
    return Evidence("beside", other.entity, text, 0.0, theirs, 0.0, "ratio")


def with_caveats(case: Case, ranked: Sequence[Hypothesis]) -> tuple[Hypothesis, ...]:
    """``ranked`` with what is to be known beside the probabilities."""
    if not ranked:
        return ()
    first, rest = ranked[0], ranked[1:]
    said = lacking(case, first.entity)
    lead = _add(first, said) if said else first
    return (lead, *(_add(other, also) if (also := beside(first, other)) else other for other in rest))


def _share(one: Hypothesis) -> float:
    return next((e.value for e in one.evidence if e.kind == "share"), 0.0)


def _add(one: Hypothesis, said: Evidence) -> Hypothesis:
    return structs.replace(one, evidence=(*one.evidence, said))
