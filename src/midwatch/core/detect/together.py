"""What people taught about which entities belong to one incident (by merging and splitting), held against a new finding.

A word counts for ``FADES_SECONDS``. It never takes an entity out of an incident that is about that very entity, and words
that keep two apart hold only while they cover at least half of what the incident is about: in a mass outage that has grown
beyond them, one outage stays one incident.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from midwatch.model.entity import name_of
from midwatch.model.regroup_steps import Pairing

FADES_SECONDS: Final = 180 * 86400.0


@dataclass(frozen=True)
class Word:
    """``together``: it belongs there although nothing connects the two; else it does not although calls do."""

    together: bool
    why: str


def word_about(pairings: Sequence[Pairing], entity: str, symptoms: Sequence[str], now: float) -> Word | None:
    """What people's words say about ``entity`` joining an incident with ``symptoms``; None when they say nothing, or when
    they contradict each other evenly."""
    if not pairings or entity in symptoms:
        return None
    others = set(symptoms)
    said = [p for p in pairings if now - p.at <= FADES_SECONDS and _other(p, entity) in others]
    net = sum(1 if p.net > 0 else -1 for p in said)
    if net > 0:
        return Word(True, sentence(next(p for p in reversed(said) if p.net > 0)))
    if net < 0 and -2 * net >= len(symptoms):
        return Word(False, sentence(next(p for p in reversed(said) if p.net < 0)))
    return None


def _other(pairing: Pairing, entity: str) -> str | None:
    if entity == pairing.first:
        return pairing.second
    return pairing.first if entity == pairing.second else None


def sentence(pairing: Pairing) -> str:
    """``ann said on 2026-12-01 that payment and cart belong together (INC-3)``."""
    day = time.strftime("%Y-%m-%d", time.gmtime(pairing.at))
    how = "belong together" if pairing.net > 0 else "are separate"
    return (
        f"{pairing.by} said on {day} that {_name(pairing.first)} and {_name(pairing.second)} {how} ({pairing.incident})"
    )


def _name(entity: str) -> str:
    return name_of(entity) or entity
