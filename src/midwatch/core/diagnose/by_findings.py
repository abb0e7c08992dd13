"""Causes from findings alone, where there are no books: alerts of another system, or no normal time to compare with.

Every sign counts by how unusual it is for the entity that shows it, signs of one family together as the square root of their
number does (four names of one rise in memory are no four reasons), half when a replica beside it shows the same. What
closed incidents taught is added to it. From there on it is the engine's own combination.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

from midwatch.core.diagnose.blame import Blame
from midwatch.core.diagnose.case import Case
from midwatch.core.diagnose.clue import Clue, clue
from midwatch.core.diagnose.combine import MAX_WEIGHT, UNKNOWN_SCORE, combine
from midwatch.core.diagnose.lessons import Lessons, traits
from midwatch.core.diagnose.signs import Sign, service_of, signs
from midwatch.model import faults
from midwatch.model.entity import Entity, name_of
from midwatch.model.findings import Finding, Hypothesis
from midwatch.model.world import World

SHARED: Final = 0.5  # of a sign's weight, when a replica shows it too
HIGHEST: Final = MAX_WEIGHT - 1.0
INSIDE: Final = 4.0  # causes among the candidates for one elsewhere: a guess, worth five incidents
NO_BOOKS: Final = Blame({}, {}, {}, 0.0, 0.0)
NOTHING_LEARNED: Final = Lessons()


def by_findings(
    world: World,
    onset_at: float,
    symptoms: tuple[str, ...],
    findings: tuple[Finding, ...],
    lessons: Lessons = NOTHING_LEARNED,
) -> tuple[tuple[Hypothesis, ...], float]:
    """Hypotheses, the most probable first, and the probability of "none of these". One hypothesis per entity."""
    case = Case(world, onset_at, symptoms, findings, (), slice(0, 0), slice(0, 0))
    return combine(case, NO_BOOKS, clues(world.entities, findings, lessons))


def clues(entities: Mapping[str, Entity], findings: tuple[Finding, ...], lessons: Lessons) -> list[Clue]:
    shown = signs(entities, findings)
    told = {entity: list(_told(entities, shown, entity, lessons)) for entity in shown}
    learned = {entity: sum(lessons.weights.get(t, 0.0) for t in traits(entities, shown, entity)) for entity in shown}
    scores = {entity: sum(one.evidence.weight for one in told[entity]) + learned[entity] for entity in shown}
    level = _level(scores, lessons)
    found: list[Clue] = []
    for entity, heard in told.items():
        kind = max(heard, key=lambda one: one.evidence.weight).kind if heard else faults.ERRORS_INSIDE
        found += [Clue(entity, kind, one.evidence, 1.0, one.scope) for one in heard]
        if lessons.weights or (heard and level):
            weight = learned[entity] + level
            found.append(
                clue(entity, kind, weight, "lessons", _lesson(entity, lessons), value=weight, unit="nats", share=1.0)
            )
    return found


def _lesson(entity: str, lessons: Lessons) -> str:
    if not lessons.causes:
        return "no cause was confirmed yet that would show how far such signs can be trusted"
    return f"what {lessons.causes} incidents with a known cause taught about such signs and {name_of(entity)}"


def untaught(
    entities: Mapping[str, Entity], shown: Mapping[str, tuple[Sign, ...]], lessons: Lessons
) -> dict[str, float]:
    """Nats per entity before anything is learned from known causes."""
    return {key: sum(one.evidence.weight for one in _told(entities, shown, key, lessons)) for key in shown}


def _told(
    entities: Mapping[str, Entity], shown: Mapping[str, tuple[Sign, ...]], entity: str, lessons: Lessons
) -> Iterator[Clue]:
    service = service_of(entities, entity)
    beside = {
        sign.what
        for other, theirs in shown.items()
        if other != entity and service_of(entities, other) == service
        for sign in theirs
    }
    families: dict[str, list[tuple[float, Sign]]] = {}
    for sign in shown[entity]:
        weight = sign.meaning.trust * lessons.surprise(entity, sign.what) * (SHARED if sign.what in beside else 1.0)
        families.setdefault(sign.meaning.family, []).append((weight, sign))
    for family, held in families.items():
        whole = sum(weight for weight, _ in held) / math.sqrt(len(held))
        if whole > 0:
            _, sign = max(held, key=lambda pair: (pair[0], pair[1].what))
            rate = lessons.rate(entity, sign.what)
            text = f"{_words(sign)}{f' and {len(held) - 1} more like it' if len(held) > 1 else ''}"
            text += f", as in {rate:.0%} of past incidents" if lessons.incidents else ""
            yield clue(
                entity, sign.meaning.kind, whole, family, text, value=sign.finding.value, baseline=sign.finding.baseline,
                unit=sign.finding.unit, share=1.0, seen_at=sign.finding.entity,
            )  # fmt: skip


def _words(sign: Sign) -> str:
    role, kind, *rest = sign.what.split("|")
    detail = sign.finding.detail
    if role == "own":
        said = {"metric_up": "rises", "metric_down": "falls"}.get(kind)
        return f"{detail} {said}" if said else f"{kind.replace('_', ' ')}{f' ({detail})' if detail else ''}"
    way = f"its calls to {name_of(rest[0])}" if role == "calls" else f"calls from {name_of(rest[0])}"
    return f"{way} {'fail' if kind == 'error_shift' else 'are slow'}{f' ({detail})' if detail else ''}"


def _level(scores: Mapping[str, float], lessons: Lessons) -> float:
    """Nats added to every entity alike: "none of these" is as probable as it was among the known causes, beginning with one
    of INSIDE + 1 before any is known. Weak evidence is never lifted by it until causes are known; none counts beyond the
    engine's bound."""
    if not scores:
        return 0.0
    highest = max(scores.values())
    whole = highest + math.log(sum(math.exp(score - highest) for score in scores.values()))
    odds = math.log((lessons.causes - lessons.elsewhere + INSIDE) / (lessons.elsewhere + 1))
    level = odds + UNKNOWN_SCORE - whole
    level = level if lessons.causes else min(0.0, level)
    return min(level, HIGHEST - highest)
