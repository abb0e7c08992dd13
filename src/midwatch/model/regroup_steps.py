"""How a person's merging and splitting changes incidents, and what it teaches: that part of the fold. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from midwatch.model import rating_steps
from midwatch.model.findings import Impact, Incident

MAX_PAIRINGS: Final = 500
MAX_NET: Final = 3
"""A few words to the contrary undo any number of words before."""


class Pairing(Struct, frozen=True):
    """What people said about two entities: ``net`` above 0, they belong to one incident; below 0, they don't. ``at``, ``by``
    and ``incident`` are of the last word. ``first`` sorts before ``second``."""

    first: str
    second: str
    net: int
    at: float
    by: str
    incident: str


def keeper(old: Incident, absorbed: Incident, at: float) -> Incident:
    """The incident that stays, with everything that the other one was about: as bad as the worse of the two."""
    worse = absorbed if absorbed.severity < old.severity else old
    calm = (old.calm_since_at, absorbed.calm_since_at)
    return replace(
        old,
        onset_at=min(old.onset_at, absorbed.onset_at),
        severity=worse.severity,
        severity_reason=worse.severity_reason,
        title=worse.title,
        phase=absorbed.phase if old.phase == "open" else old.phase,
        findings=_joined(old.findings, absorbed.findings),
        symptoms=_joined(old.symptoms, absorbed.symptoms),
        impact=max((old.impact, absorbed.impact), key=_felt),
        hypotheses=old.hypotheses or absorbed.hypotheses,
        unknown=old.unknown if old.hypotheses else absorbed.unknown,
        diagnosed_at=old.diagnosed_at if old.hypotheses else absorbed.diagnosed_at,
        confirmed_cause=old.confirmed_cause or absorbed.confirmed_cause,
        calm_since_at=max(c for c in calm if c is not None) if None not in calm else None,
        absorbed=(*old.absorbed, absorbed.id, *absorbed.absorbed),
        regrouped_at=at,
        **rating_steps.merged(old, absorbed, worse.severity),
    )


def _felt(impact: Impact | None) -> float:
    return -1.0 if impact is None or math.isnan(impact.affected_ratio) else impact.affected_ratio


def _joined(some: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return (*some, *(one for one in more if one not in some))


def gone(old: Incident, into: str, at: float) -> Incident:
    """The incident that became part of another."""
    return replace(old, phase="resolved", resolved_at=at, merged_into=into)


def rest(old: Incident, findings: Iterable[str], symptoms: Iterable[str], at: float) -> Incident:
    """What is left once ``findings`` and ``symptoms`` belong elsewhere."""
    moved, elsewhere = set(findings), set(symptoms)
    return replace(
        old,
        findings=tuple(f for f in old.findings if f not in moved),
        symptoms=tuple(s for s in old.symptoms if s not in elsewhere),
        regrouped_at=at,
    )


def learned(
    known: tuple[Pairing, ...], pairs: Iterable[tuple[str, str]], together: bool, incident: str, by: str, at: float
) -> tuple[Pairing, ...]:
    """``known`` with one more word about each of ``pairs``; the newest last."""
    held = {(p.first, p.second): p for p in known}
    for one, other in pairs:
        first, second = sorted((one, other))
        before = held.pop((first, second), None)
        net = (before.net if before else 0) + (1 if together else -1)
        if net:
            held[first, second] = Pairing(first, second, max(-MAX_NET, min(MAX_NET, net)), at, by, incident)
    return tuple(held.values())[-MAX_PAIRINGS:]
