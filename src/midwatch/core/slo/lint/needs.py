"""What a promise depends on, as far as other promises speak of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from midwatch.model.indicators import Composite, Histogram, Threshold
from midwatch.model.slo import Slo


def needs(slos: Sequence[Slo], calls: Mapping[str, Iterable[str]] | None) -> dict[str, dict[str, float]]:
    """Promise -> what it needs -> the target of that. A journey needs its parts. A promise of answers needs what its entity
    calls (``calls``: entity -> entities; None: nobody knows) as far as that promises answers too, by its best promise.
    What is not in the result is not known to need anything or not."""
    by_name = {slo.name: slo for slo in slos}
    best: dict[str, Slo] = {}
    for slo in slos:
        if _answers(slo) and (slo.entity not in best or slo.target > best[slo.entity].target):
            best[slo.entity] = slo
    found: dict[str, dict[str, float]] = {}
    for slo in slos:
        if isinstance(slo.indicator, Composite):
            if slo.indicator.rule == "all":
                found[slo.name] = {p.slo: by_name[p.slo].target for p in slo.indicator.parts if p.slo in by_name}
        elif calls is not None and _answers(slo):
            others = (best[key] for key in calls.get(slo.entity, ()) if key in best and key != slo.entity)
            found[slo.name] = {other.name: other.target for other in others}
    return found


def _answers(slo: Slo) -> bool:
    """Whether it is about requests that are answered, and not about how fast, or how old something is."""
    if slo.sli != "source":
        return slo.sli == "ratio"
    return not isinstance(slo.indicator, Composite | Histogram | Threshold)
