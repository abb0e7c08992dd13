"""From clues to hypotheses with probabilities.

For each (entity, fault kind): score = BLAME_POWER * log(share of the harm that it explains) + the sum of its clues'
weights, the strongest per kind of evidence only (three log lines about one pool are one piece of evidence) + the prior of
the kind. Scores become probabilities by softmax beside a constant score for "none of these".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import structs

from midwatch.core.diagnose.blame import Blame
from midwatch.core.diagnose.case import Case
from midwatch.core.diagnose.caveats import with_caveats
from midwatch.core.diagnose.checks import next_check, refuted_by
from midwatch.core.diagnose.clue import Clue
from midwatch.model import faults
from midwatch.model.findings import Evidence, Hypothesis

BLAME_POWER: Final = 1.5
MIN_SHARE: Final = 0.01
MIN_SHARE_UNFELT: Final = 0.2  # where nobody says what users feel, who carries no blame may still be the cause
UNKNOWN_SCORE: Final = -1.5
"""Nats for "none of these", set on simulated incidents from which evidence was taken away at random
(``benchmarks/calibration.py --seed 7``): -2 is calibrated best there, and half a nat is kept for what a simulator does not
know."""
MAX_HYPOTHESES: Final = 8
MAX_EVIDENCE: Final = 6
MAX_WEIGHT: Final = 7.0


@dataclass
class _Suspect:
    entity: str
    kind: str
    share: float
    evidence: list[Evidence] = field(default_factory=list)
    scope: dict[str, str] = field(default_factory=dict)


def combine(
    case: Case, blame: Blame, clues: Iterable[Clue], priors: Mapping[str, float] | None = None
) -> tuple[tuple[Hypothesis, ...], float]:
    """Hypotheses, the most probable first, and the probability of "none of these".

    ``priors`` are log-priors by fault kind, learned from confirmed causes (0 where nothing is known).
    """
    suspects = _suspects(blame, clues)
    least = MIN_SHARE if case.findings else MIN_SHARE_UNFELT
    scores = {key: _score(s, priors or {}, least) for key, s in suspects.items()}
    highest = max([UNKNOWN_SCORE, *scores.values()])
    mass = {key: math.exp(score - highest) for key, score in scores.items()}
    nothing = math.exp(UNKNOWN_SCORE - highest)
    whole = sum(mass.values()) + nothing
    ranked = sorted(suspects, key=lambda key: (-mass[key], key))
    top = tuple(_hypothesis(case, suspects[key], mass[key] / whole, least) for key in ranked[:MAX_HYPOTHESES])
    # What tells a hypothesis apart from the next is worth most for the first; each has its own for when it leads.
    top = tuple(structs.replace(one, next_check=next_check(top[i : i + 2])) for i, one in enumerate(top))
    return with_caveats(case, top), 1.0 - sum(h.probability for h in top)


def _suspects(blame: Blame, clues: Iterable[Clue]) -> dict[tuple[str, str], _Suspect]:
    suspects: dict[tuple[str, str], _Suspect] = {}
    for one in clues:
        key = (one.entity, one.kind)
        suspect = suspects.get(key)
        if suspect is None:
            suspect = suspects[key] = _Suspect(one.entity, one.kind, blame.of(one.entity))
        if one.share is not None:
            suspect.share = max(suspect.share, min(one.share, 1.0))
        suspect.evidence.append(one.evidence)
        for name, value in one.scope.items():
            suspect.scope.setdefault(name, value)
    _share_changes(tuple(suspects.values()))
    return suspects


def _share_changes(suspects: Sequence[_Suspect]) -> None:
    """What was changed at an entity belongs to the scope of every suspicion of it: a crash loop that came with a deploy is
    cured by taking the deploy back."""
    changed = {s.entity: s.scope for s in suspects if s.kind == faults.BAD_DEPLOY and "change" in s.scope}
    for suspect in suspects:
        for name in ("change", "version"):
            if name in changed.get(suspect.entity, {}):
                suspect.scope.setdefault(name, changed[suspect.entity][name])


def _score(suspect: _Suspect, priors: Mapping[str, float], least: float) -> float:
    strongest: dict[str, float] = {}
    for evidence in suspect.evidence:
        held = strongest.get(evidence.kind, 0.0)
        strongest[evidence.kind] = evidence.weight if abs(evidence.weight) > abs(held) else held
    weight = max(-MAX_WEIGHT, min(MAX_WEIGHT, sum(strongest.values())))
    return BLAME_POWER * math.log(max(suspect.share, least)) + weight + priors.get(suspect.kind, 0.0)


def _hypothesis(case: Case, suspect: _Suspect, probability: float, least: float) -> Hypothesis:
    evidence = sorted(suspect.evidence, key=lambda e: -e.weight)[:MAX_EVIDENCE]
    share = Evidence(
        "share",
        suspect.entity,
        f"it explains {suspect.share:.0%} of what {'users feel' if case.felt else 'was found'}",
        BLAME_POWER * math.log(max(suspect.share, least)),
        suspect.share,
        0.0,
        "ratio",
    )
    return Hypothesis(
        entity=suspect.entity,
        kind=suspect.kind,
        probability=probability,
        evidence=(*evidence, share),
        path=case.path_to_symptom(suspect.entity),
        scope=suspect.scope,
        refuted_by=refuted_by(suspect.kind, suspect.entity),
    )
