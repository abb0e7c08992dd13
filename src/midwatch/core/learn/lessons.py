"""Lessons from closed incidents: base rates from all of them, weights from those whose cause is known.

The weights are a conditional logit (McFadden 1974): in each incident one entity was the culprit among all that were there,
the probability of each is the softmax of the nats that its traits add up to, on top of what the engine says untaught. A
unit normal prior on every weight keeps what was seen once small, shares what always comes together (correlated signs are
not counted twice), and leaves the engine's own word alone where nothing was seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.optimize import minimize

from midwatch.core.diagnose.by_findings import untaught
from midwatch.core.diagnose.lessons import Lessons, traits
from midwatch.core.diagnose.signs import Sign, signs
from midwatch.model.entity import Entity
from midwatch.model.findings import Finding
from midwatch.model.world import Floats

MIN_SEEN: Final = 3  # times that a trait was seen, at anybody, before a weight is learned for it
OF_ANYBODY: Final = 5.0  # incidents of its own that an entity needs to count as much as everybody's rate does
MAX_ITERATIONS: Final = 300


@dataclass(frozen=True)
class Closed:
    """An incident that is over: what was there, what was found, and the entity that was at fault ("" when unknown)."""

    entities: Mapping[str, Entity]
    findings: tuple[Finding, ...]
    cause: str = ""


def lessons_from(closed: Iterable[Closed]) -> Lessons:
    """Everything that past incidents teach."""
    past = list(closed)
    shown = [signs(one.entities, one.findings) for one in past]
    lessons = Lessons(_usual(shown), incidents=len(past))
    known = [(one, seen) for one, seen in zip(past, shown, strict=True) if one.cause]
    inside = [(one, seen) for one, seen in known if one.cause in seen]
    weights = _weights(inside, lessons) if inside else {}
    return replace(lessons, weights=weights, causes=len(known), elsewhere=len(known) - len(inside))


def _usual(shown: Sequence[Mapping[str, tuple[Sign, ...]]]) -> dict[tuple[str, str], float]:
    """Rates of each sign at anybody and at each entity, the latter shrunk towards the former."""
    there = Counter(entity for one in shown for entity in one)
    seen = Counter((entity, sign.what) for one in shown for entity, theirs in one.items() for sign in theirs)
    anybody: Counter[str] = Counter()
    for (_, what), count in seen.items():
        anybody[what] += count
    whole = sum(there.values())
    rates = {("", what): (count + 0.5) / (whole + 1) for what, count in anybody.items()}
    for entity, incidents in there.items():
        for what in anybody:
            count = seen.get((entity, what), 0)
            rates[entity, what] = (count + OF_ANYBODY * rates["", what]) / (incidents + OF_ANYBODY)
    return rates


def _weights(known: Sequence[tuple[Closed, Mapping[str, tuple[Sign, ...]]]], lessons: Lessons) -> dict[str, float]:
    rows: list[tuple[str, ...]] = []
    offsets: list[float] = []
    starts, culprits = [0], []
    for one, shown in known:
        before = untaught(one.entities, shown, lessons)
        for entity in shown:
            if entity == one.cause:
                culprits.append(len(rows))
            rows.append(tuple(traits(one.entities, shown, entity)))
            offsets.append(before[entity])
        starts.append(len(rows))
    often = Counter(trait for row in rows for trait in row)
    column = {trait: i for i, trait in enumerate(sorted(t for t, n in often.items() if n >= MIN_SEEN))}
    x = np.zeros((len(rows), len(column)))
    for row, held in enumerate(rows):
        x[row, [column[trait] for trait in held if trait in column]] = 1.0
    fitted = conditional_logit(x, np.array(offsets), np.array(starts), np.array(culprits))
    return {trait: float(fitted[i]) for trait, i in column.items()}


def conditional_logit(x: Floats, offsets: Floats, starts: np.ndarray, chosen: np.ndarray) -> Floats:
    """Weights, shape (traits,), that make the ``chosen`` rows (one per group) probable under a unit normal prior.

    ``x`` has shape (rows, traits), ``offsets`` (rows,) nats; group g is the rows ``starts[g]`` to ``starts[g + 1]``. The
    loss is convex, so the answer does not depend on where the search begins.
    """
    sizes = np.diff(starts)

    def loss(weights: Floats) -> tuple[float, Floats]:
        scores = x @ weights + offsets
        scores = scores - np.repeat(np.maximum.reduceat(scores, starts[:-1]), sizes)
        mass = np.exp(scores)
        sums = np.add.reduceat(mass, starts[:-1])
        surplus = mass / np.repeat(sums, sizes)
        surplus[chosen] -= 1.0
        missed = float(np.log(sums).sum() - scores[chosen].sum())
        return missed + float(weights @ weights) / 2, x.T @ surplus + weights

    found = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": MAX_ITERATIONS})
    return np.asarray(found.x, dtype=float)
