"""When users will be well again, from how long similar incidents lasted: an interval, never a moment.

Of n past lengths that are exchangeable with this one, the k-th smallest and the k-th largest hold it with probability
(n + 1 - 2k) / (n + 1), whatever their distribution (S. S. Wilks, Ann. Math. Statist. 12, 1941, on tolerance limits).
An incident that goes on has outlasted the shorter ones, so only those that lasted longer than it has already are asked; with
fewer than ``MIN_CASES`` of them there is no estimate. Seconds and unix seconds throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from midwatch.model.findings import Incident
from midwatch.model.state import State

COVERAGE: Final = 0.8
MIN_CASES: Final = 9  # the least for which the outermost two hold four of five
KNOWN: Final = 0.4  # a cause less probable than this is not what incidents are alike by
MAX_CHECKED: Final = 200


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


def estimate(incident: Incident, past: Sequence[Incident], now: float) -> Eta | None:
    """As ``eta``, from ``past`` incidents that are over."""
    elapsed = now - incident.onset_at
    for of, alike in _likenesses(incident):
        longer = sorted(length for one in past if alike(one) and (length := lasted(one)) > elapsed)
        if len(longer) >= MIN_CASES:
            rank = int((len(longer) + 1) * (1 - COVERAGE) / 2 + 1e-9)
            low, high = longer[rank - 1], longer[-rank]
            middle = longer[len(longer) // 2]
            began = incident.onset_at
            return Eta(began + low, began + middle, began + high, len(longer), of)
    return None


def lasted(incident: Incident) -> float:
    """From its onset to when users no longer felt it; 0 for what goes on."""
    end = incident.mitigated_at if incident.mitigated_at is not None else incident.resolved_at
    return end - incident.onset_at if end is not None else 0.0


def coverage(state: State) -> Held:
    """What the intervals were worth: each past incident as it was when it opened, told from those that were over by then,
    its cause left out, since nobody knew it yet. The newest ``MAX_CHECKED``."""
    over = sorted(_past(state, ""), key=lambda one: one.opened_at)
    held = cases = 0
    for incident in over[-MAX_CHECKED:]:
        before = [one for one in over if one.resolved_at is not None and one.resolved_at <= incident.opened_at]
        if lasted(incident) <= incident.opened_at - incident.onset_at:
            continue  # it was over before anybody could have said anything
        told = estimate(_unknown(incident), before, incident.opened_at)
        if told is not None:
            cases += 1
            held += told.early_at <= incident.onset_at + lasted(incident) <= told.late_at
    return Held(held, cases)


def _unknown(incident: Incident) -> Incident:
    return replace(incident, hypotheses=(), confirmed_cause="")


def _past(state: State, but: str) -> list[Incident]:
    return [
        one
        for one in state.incidents.values()
        if one.phase == "resolved" and not one.merged_into and one.id != but and lasted(one) > 0
    ]


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
