"""When users will be well again, from how long similar incidents lasted: an interval, never a moment.

Of n past lengths that are exchangeable with this one, the k-th smallest and the k-th largest hold it with probability
(n + 1 - 2k) / (n + 1), whatever their distribution (S. S. Wilks, Ann. Math. Statist. 12, 1941, on tolerance limits).
Lengths are not exchangeable while a team gets better or worse, or in bad weeks: so only the newest are asked, and k is not
taken from the formula but from how deep among its predecessors each past incident lay (its rank from the nearer end): such
that four of five of the last ones would have been held. That is the conformal quantile of the depths (V. Vovk et al.,
Algorithmic Learning in a Random World, 2005), which are far more alike over time than lengths are. What it is worth was
measured: docs/results/oncall.md.

An incident that goes on has outlasted the shorter ones, so only those that lasted longer than it has already are asked; with
fewer than ``MIN_CASES`` of them there is no estimate. Seconds and unix seconds throughout.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from midwatch.model.findings import Incident
from midwatch.model.state import State

COVERAGE: Final = 0.8
MIN_CASES: Final = 9  # the least for which the outermost two hold four of five
KNOWN: Final = 0.4  # a cause less probable than this is not what incidents are alike by
NEWEST: Final = 40  # similar incidents that are asked: what was long ago says little of now
CHECKED: Final = 60  # past incidents whose depths say how wide is wide enough
MIN_CHECKED: Final = 20  # with fewer, the formula


@dataclass(frozen=True)
class Eta:
    """Users are well between ``early_at`` and ``late_at`` in four cases of five, and before ``middle_at`` in half. ``of``
    says which past incidents were asked, ``cases`` how many of them lasted longer than this one has."""

    early_at: float
    middle_at: float
    late_at: float
    cases: int
    of: str


@dataclass(frozen=True)
class Held:
    """How often past intervals held what came: ``held`` of ``cases``."""

    held: int
    cases: int


def eta(state: State, incident: Incident, now: float) -> Eta | None:
    """The estimate at ``now``; None for what is over or eased, and where too few incidents are like it."""
    if incident.phase == "resolved" or incident.mitigated_at is not None:
        return None
    return estimate(incident, _past(state, incident.id), now)


def estimate(
    incident: Incident, past: Sequence[Incident], now: float, depths: Sequence[float] | None = None
) -> Eta | None:
    """As ``eta``, from ``past`` incidents that are over, in the order in which they ended. ``depths`` are theirs, where they
    are known already."""
    of, longer = _asked(incident, past, now)
    if not longer:
        return None
    rank = max(1, int((len(longer) + 1) * _tail(depths_of(past) if depths is None else depths) + 1e-9))
    began = incident.onset_at
    low, middle, high = longer[rank - 1], longer[len(longer) // 2], longer[-rank]
    return Eta(began + low, began + middle, began + high, len(longer), of)


def _asked(incident: Incident, past: Sequence[Incident], now: float) -> tuple[str, list[float]]:
    """Which incidents are asked, and how long they lasted, shortest first; none where there are too few."""
    elapsed = now - incident.onset_at
    for of, alike in _likenesses(incident):
        longer: list[float] = []
        for one in reversed(past):
            if (length := lasted(one)) > elapsed and alike(one):
                longer.append(length)
                if len(longer) == NEWEST:
                    break
        if len(longer) >= MIN_CASES:
            return of, sorted(longer)
    return "", []


def depths_of(past: Sequence[Incident]) -> list[float]:
    """``depth`` of each of ``past``, which are in the order in which they ended."""
    ends = [one.resolved_at or 0.0 for one in past]
    return [depth(one, past[: bisect_right(ends, one.opened_at)]) for one in past]


def depth(one: Incident, before: Sequence[Incident]) -> float:
    """How deep it lay among those that were asked when it opened, its cause not known yet: the largest k / (n + 1) whose
    interval held it, 0 outside of them all, NaN where there were too few. ``before``: those that were over by then."""
    _, longer = _asked(_unknown(one), before, one.opened_at)
    length = lasted(one)
    if not longer or length <= one.opened_at - one.onset_at:  # it was over before anybody could have said anything
        return math.nan
    shorter, longest = bisect_left(longer, length), bisect_right(longer, length)
    return min(longest, len(longer) - shorter) / (len(longer) + 1)


def _tail(depths: Sequence[float]) -> float:
    """Which share to leave out at either end."""
    known = [one for one in depths if not math.isnan(one)][-CHECKED:]
    if len(known) < MIN_CHECKED:
        return (1 - COVERAGE) / 2
    return sorted(known)[int((len(known) + 1) * (1 - COVERAGE) + 1e-9) - 1]


def lasted(incident: Incident) -> float:
    """From its onset to when users no longer felt it; 0 for what goes on."""
    end = incident.mitigated_at if incident.mitigated_at is not None else incident.resolved_at
    return end - incident.onset_at if end is not None else 0.0


def coverage(state: State) -> Held:
    """What the intervals were worth: each past incident as it was when it opened, told from those that were over by then,
    its cause left out, since nobody knew it yet."""
    over = _past(state, "")
    ends = [one.resolved_at or 0.0 for one in over]
    depths = depths_of(over)
    held = cases = 0
    for incident, deep in zip(over, depths, strict=True):
        known = bisect_right(ends, incident.opened_at)
        told = estimate(_unknown(incident), over[:known], incident.opened_at, depths[:known])
        if told is not None and not math.isnan(deep):
            cases += 1
            held += told.early_at <= incident.onset_at + lasted(incident) <= told.late_at
    return Held(held, cases)


def _unknown(incident: Incident) -> Incident:
    return replace(incident, hypotheses=(), confirmed_cause="")


def _past(state: State, but: str) -> list[Incident]:
    """In the order in which they ended."""
    over = [
        one
        for one in state.incidents.values()
        if one.phase == "resolved" and not one.merged_into and one.id != but and lasted(one) > 0
    ]
    return sorted(over, key=lambda one: one.resolved_at or 0.0)


def _likenesses(incident: Incident) -> Iterable[tuple[str, Callable[[Incident], bool]]]:
    """From most alike to least."""
    kind = _kind(incident)
    if kind:
        yield f"incidents of this kind ({kind.replace('_', ' ')})", lambda one: _kind(one) == kind
    yield f"SEV{incident.worst} incidents", lambda one: one.worst == incident.worst
    yield "incidents", lambda one: True


def _kind(incident: Incident) -> str:
    if incident.confirmed_cause:
        return incident.confirmed_cause.partition(" ")[2]
    ranked = incident.hypotheses or incident.first_ranked
    return ranked[0].kind if ranked and ranked[0].probability >= KNOWN else ""
