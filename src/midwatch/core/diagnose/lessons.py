"""What past incidents taught: how usual a sign is, and what it was worth when the cause was known.

Values only; ``core/learn/lessons.py`` makes them from closed incidents.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from midwatch.core.diagnose.signs import Sign, service_of
from midwatch.model.entity import Entity

UNSEEN_RATE: Final = 0.1  # of a sign that no history tells about
HIT_RATE: Final = (
    0.5  # how often the culprit shows a given sign of its fault: a round guess, used until causes are known
)
MAX_SURPRISE: Final = 3.0


@dataclass(frozen=True)
class Lessons:
    """``usual[(entity, sign)]`` and ``usual[("", sign)]``: the share of past incidents in which an entity (any entity)
    showed it. ``weights``: nats by trait, fitted on ``causes`` incidents whose cause a person or a fix confirmed.
    ``elsewhere`` is how many of these causes were no candidate."""

    usual: Mapping[tuple[str, str], float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    incidents: int = 0
    causes: int = 0
    elsewhere: int = 0

    def rate(self, entity: str, what: str) -> float:
        """How often ``entity`` shows the sign in incidents, whatever their cause."""
        anybody = self.usual.get(("", what), 1.0 / (self.incidents + 2) if self.incidents else UNSEEN_RATE)
        return self.usual.get((entity, what), anybody)

    def surprise(self, entity: str, what: str) -> float:
        """Log-likelihood ratio (nats, 0..MAX_SURPRISE) of the sign under "it is the culprit" against the usual."""
        return min(MAX_SURPRISE, max(0.0, math.log(HIT_RATE / self.rate(entity, what))))


def traits(entities: Mapping[str, Entity], shown: Mapping[str, tuple[Sign, ...]], entity: str) -> Iterator[str]:
    """What a weight can be learned for: the entity's signs and their families, whether its replicas show them too, which
    families of theirs it lacks, who it is and of what service."""
    service = service_of(entities, entity)
    beside = [other for other in shown if other != entity and service_of(entities, other) == service]
    theirs = {sign.what for other in beside for sign in shown[other]}
    mine = {sign.what: sign for sign in shown[entity]}
    for what in mine:
        yield what
        if beside and what not in theirs:
            yield f"alone|{what}"
    own = {sign.meaning.family for sign in mine.values()}
    yield from (f"family|{family}" for family in sorted(own))
    if beside:
        around = {sign.meaning.family for other in beside for sign in shown[other]}
        yield from (f"family alone|{family}" for family in sorted(own - around))
        yield from (f"family beside|{family}" for family in sorted(around - own))
    yield f"service|{service}"
    yield f"entity|{entity}"
    if not mine:
        yield "no sign"
