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

from midwatch.core.diagnose.blame import Blame
from midwatch.core.diagnose.case import Case
from midwatch.core.diagnose.clue import Clue
from midwatch.model import faults
from midwatch.model.entity import name_of
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

REFUTED_BY: Final[Mapping[str, str]] = {
    faults.POOL_EXHAUSTED: "errors go on while connections are free",
    faults.BAD_DEPLOY: "instances that run the old version fail as often",
    faults.BAD_CONFIG: "the old configuration fails as well",
    faults.BAD_FLAG: "requests without the flag fail as well",
    faults.MEMORY_LEAK: "memory stays flat after a restart while errors go on",
    faults.CPU_STARVED: "it gets its CPU and stays slow",
    faults.CRASH_LOOP: "its processes live on while errors go on",
    faults.BAD_INSTANCE: "errors go on while the instance gets no traffic",
    faults.REGION_DARK: "errors go on while the region gets no traffic",
    faults.SLOW_QUERY: "the statement is fast again and requests stay slow",
    faults.LOCK_CONTENTION: "nobody waits for a lock and requests stay slow",
    faults.CACHE_DOWN: "the cache answers and requests stay slow",
    faults.NETWORK_FAULT: "the callee's other callers see the same",
    faults.DISK_FULL: "writes fail with room on the disk",
    faults.CERT_EXPIRED: "handshakes fail with a valid certificate",
    faults.TRAFFIC_SURGE: "traffic is back to normal and requests still fail",
    faults.QUEUE_STUCK: "messages are taken and the oldest still gets older",
}
NEXT_CHECK: Final[Mapping[str, str]] = {
    faults.POOL_EXHAUSTED: "what holds the connections: long transactions, or a leak",
    faults.BAD_DEPLOY: "error ratio by version",
    faults.SLOW_SERVICE: "a profile of the service, or its own dependencies that are not traced",
    faults.ERRORS_INSIDE: "the first error line of a failing request",
    faults.NETWORK_FAULT: "retransmits between the two hosts",
    faults.SLOW_QUERY: "the statement's plan: is an index missing?",
    faults.LOCK_CONTENTION: "which session is at the head of the lock queue",
}


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
    return top, 1.0 - sum(h.probability for h in top)


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
        refuted_by=REFUTED_BY.get(suspect.kind, f"{name_of(suspect.entity)} is well and users still feel it"),
        next_check=NEXT_CHECK.get(suspect.kind, ""),
    )
