"""The engine: what was seen and when it began in, causes with probabilities out.

One pure function for all who ask: the loop's stage every few seconds, a replay of history, ``midwatch investigate`` over
the store, and the public benchmarks. It knows no journal and no clock, and nothing of where the World came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from midwatch.core.diagnose.blame import Blame, blame
from midwatch.core.diagnose.case import Case, make_case
from midwatch.core.diagnose.clue import Clue
from midwatch.core.diagnose.combine import combine
from midwatch.core.diagnose.evidence.certificates import certificates
from midwatch.core.diagnose.evidence.changes import changes
from midwatch.core.diagnose.evidence.concentration import concentration
from midwatch.core.diagnose.evidence.courses import off_course
from midwatch.core.diagnose.evidence.inside import inside
from midwatch.core.diagnose.evidence.logs import logs
from midwatch.core.diagnose.evidence.network import network
from midwatch.core.diagnose.evidence.pools import pools
from midwatch.core.diagnose.evidence.processes import processes
from midwatch.core.diagnose.evidence.queues import queues
from midwatch.core.diagnose.evidence.stores import stores
from midwatch.core.diagnose.evidence.traffic import traffic
from midwatch.core.diagnose.neighbourhood import neighbourhood
from midwatch.core.diagnose.settle import settle
from midwatch.model.findings import Finding, Hypothesis
from midwatch.model.world import Change, World

Witness = Callable[[Case, Blame], Iterable[Clue]]

WITNESSES: Final[tuple[Witness, ...]] = (
    inside,
    pools,
    stores,
    processes,
    concentration,
    network,
    changes,
    traffic,
    queues,
    certificates,
    logs,
    off_course,
)


@dataclass(frozen=True)
class Ranking:
    """``hypotheses``, the most probable first; ``unknown`` is the probability of "none of these"; all sum to 1."""

    hypotheses: tuple[Hypothesis, ...]
    unknown: float

    @property
    def by_entity(self) -> tuple[tuple[str, float], ...]:
        """(entity key, probability that it is this entity, whatever the kind), the most probable first."""
        mass: dict[str, float] = {}
        for one in self.hypotheses:
            mass[one.entity] = mass.get(one.entity, 0.0) + one.probability
        return tuple(sorted(mass.items(), key=lambda pair: (-pair[1], pair[0])))


def diagnose(
    world: World,
    onset_at: float,
    symptoms: Iterable[str],
    findings: Iterable[Finding] = (),
    changed: Iterable[Change] = (),
    priors: Mapping[str, float] | None = None,
    trouble_until_at: float = 0.0,
) -> Ranking | None:
    """Rank the causes of what began at ``onset_at`` (unix seconds); None when there is no normal time to compare with.

    ``symptoms`` are the entity keys at which it is felt, ``priors`` log-priors by fault kind, ``trouble_until_at`` the end
    of the last trouble before this one.
    """
    symptoms = tuple(symptoms)
    case = make_case(neighbourhood(world, symptoms), onset_at, symptoms, findings, changed, trouble_until_at)
    if case is None:
        return None
    whose = settle(case, blame(case))
    clues = [one for witness in WITNESSES for one in witness(case, whose)]
    return Ranking(*combine(case, whose, clues, priors))
