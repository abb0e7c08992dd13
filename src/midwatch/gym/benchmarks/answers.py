"""From the engine's ranking to a benchmark's answer."""

from __future__ import annotations

from collections.abc import Callable

from midwatch.core.diagnose.diagnose import Ranking
from midwatch.gym.benchmarks.contract import Ranked


def answer(ranking: Ranking | None, called: Callable[[str], str]) -> tuple[Ranked, ...]:
    """Entities by the names that ``called`` gives them, the most probable first; those that share a name share their
    probability. Empty when the engine has nothing to compare with, or nothing to blame."""
    mass: dict[str, float] = {}
    for entity, probability in ranking.by_entity if ranking is not None else ():
        mass[called(entity)] = mass.get(called(entity), 0.0) + probability
    return tuple(Ranked(name, p) for name, p in sorted(mass.items(), key=lambda pair: (-pair[1], pair[0])))
