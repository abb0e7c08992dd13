"""A clue: one piece of evidence for one hypothesis, as the evidence functions make it."""

from __future__ import annotations

from dataclasses import dataclass, field

from midwatch.model.findings import Evidence


@dataclass(frozen=True)
class Clue:
    """``evidence`` speaks for fault ``kind`` at ``entity`` with its weight (log-likelihood ratio, nats).

    ``share`` is how much of the users' harm (0..1) the hypothesis would explain, where that is not simply the blame of
    ``entity`` itself: a locked database also explains the pools that run full in front of it. ``scope`` narrows it.
    """

    entity: str
    kind: str
    evidence: Evidence
    share: float | None = None
    scope: dict[str, str] = field(default_factory=dict)


def clue(
    entity: str,
    kind: str,
    weight: float,
    why: str,
    text: str,
    *,
    value: float = float("nan"),
    baseline: float = float("nan"),
    unit: str = "",
    share: float | None = None,
    scope: dict[str, str] | None = None,
    seen_at: str = "",
) -> Clue:
    """Shorthand: ``why`` is the evidence kind, ``seen_at`` the entity that showed it (default: the suspect)."""
    return Clue(entity, kind, Evidence(why, seen_at or entity, text, weight, value, baseline, unit), share, scope or {})
