"""Is it one instance, one region? A fault that lives in one place shows there and not beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from midwatch.core.diagnose.blame import Blame, concentrated
from midwatch.core.diagnose.calls import well
from midwatch.core.diagnose.case import Case
from midwatch.core.diagnose.clue import Clue, clue
from midwatch.core.diagnose.evidence.changes import changed
from midwatch.core.diagnose.evidence.processes import died, fell_silent, speaks
from midwatch.model import faults, signals
from midwatch.model.entity import Entity, entity_key, name_of, split_edge

MIN_SHARE: Final = 0.10
ONE_PLACE: Final = 0.85
MIN_REQUESTS: Final = 10.0


def concentration(case: Case, blame: Blame) -> Iterator[Clue]:
    for service in case.services:
        if blame.of(service) >= MIN_SHARE:
            yield from _one_instance(case, blame, service)
    yield from _one_region(case, blame)


def instance_excess(case: Case, service: str) -> dict[str, float]:
    """Excess of originated errors (or of own time, where nothing fails) per instance that had traffic before."""
    instances = [
        i for i in case.instances(service) if case.sum(i.key, signals.REQUESTS, case.normal) >= MIN_REQUESTS / 2
    ]
    errors = {i.name: case.excess(i.key, signals.ORIGIN_ERRORS) for i in instances}
    if sum(v for v in errors.values() if v > 0) < 3:
        errors = {i.name: case.excess(i.key, signals.ERRORS) for i in instances}
    if sum(v for v in errors.values() if v > 0) >= 3:
        return errors
    return {i.name: case.excess(i.key, signals.SELF_MS) for i in instances}


def _one_instance(case: Case, blame: Blame, service: str) -> Iterator[Clue]:
    if _succeeded(case, service):
        return
    parts = instance_excess(case, service)
    unanswered = _unanswered_by_region(case, service)
    if sum(unanswered.values()) > sum(v for v in parts.values() if v > 0):
        by_region = {i.labels.get("region", ""): i.name for i in case.instances(service)}
        parts = {by_region.get(region, region): amount for region, amount in unanswered.items()}
    place, share = concentrated(parts)
    if len(case.instances(service)) < 2 or share < ONE_PLACE or well(case, f"instance:{place}"):
        return  # an instance that answers all that reaches it is not the bad one: the way to it is
    text = f"{share:.0%} of the trouble of {name_of(service)} is on {place}"
    region = next((i.labels.get("region", "") for i in case.instances(service) if i.name == place), "")
    scope = {"instance": place, **({"region": region} if region else {})}
    yield clue(service, faults.BAD_INSTANCE, 2.2, "concentration", text, value=share, unit="ratio", scope=scope)
    for kind, change in changed(case, service).items():
        if kind != faults.BAD_DEPLOY or _everywhere(case, service, change.after):
            text = f"{_reached(kind)} all instances of {name_of(service)}, and {share:.0%} of its trouble is on {place}"
            yield clue(service, kind, -2.2, "concentration", text, value=share, unit="ratio")


def _succeeded(case: Case, service: str) -> bool:
    """Whether most requests are served by instances that had none before, as after a roll-out: the trouble of those that
    went says nothing of a place."""
    served = {i.key: case.sum(i.key, signals.REQUESTS, case.bad) for i in case.instances(service)}
    new = sum(n for i, n in served.items() if case.sum(i, signals.REQUESTS, case.normal) == 0)
    return new > 0.5 * sum(served.values())


def _everywhere(case: Case, service: str, version: str) -> bool:
    """Whether all instances run the version: a roll-out under way touches one place, as a bad place does."""
    return all(i.labels.get("version", version) == version for i in case.instances(service))


def _reached(kind: str) -> str:
    return {faults.BAD_DEPLOY: "the deploy reached", faults.BAD_CONFIG: "the setting reached"}.get(
        kind, "the flag reached"
    )


def _unanswered_by_region(case: Case, service: str) -> dict[str, float]:
    """Calls that failed without an answer, by the region of the caller (calls stay in their region while they can)."""
    found: dict[str, float] = {}
    for subject in case.world.series.index.subjects_by_signal.get(signals.UNANSWERED_ERRORS, ()):
        caller, callee = split_edge(subject)
        entity = case.world.entities.get(caller)
        if callee == service and entity is not None and entity.kind == "instance":
            region = entity.labels.get("region", "")
            found[region] = found.get(region, 0.0) + max(0.0, case.excess(subject, signals.UNANSWERED_ERRORS))
    return found


def _one_region(case: Case, blame: Blame) -> Iterator[Clue]:
    """Several services in trouble, all of them in one region, or in one zone of the only region. A zone is not in the
    scope as a region: what drains regions would take its name ("1" at Azure) for that of something else."""
    label, regions = "region", _places(case, "region")
    if len(regions) < 2:
        label, regions = "zone", _places(case, "zone")
    if len(regions) < 2:
        return
    mute = {r: sum(_mute(case, some) for some in found.values()) for r, found in regions.items()}
    troubled = {r: sum(_trouble(case, some) for some in found.values()) for r, found in regions.items()}
    worst = max(regions, key=lambda r: (mute[r], troubled[r]))
    # Where a whole region falls silent, what waits for it elsewhere is in trouble as well, but speaks.
    dark = mute[worst] >= max(3, 0.6 * len(regions[worst]))
    if not dark:
        worst = max(troubled, key=lambda r: troubled[r])
    counted = mute if dark else troubled
    others = sum(n for r, n in counted.items() if r != worst)
    needed = max(3, 0.4 * len(regions[worst]))
    if counted[worst] < needed or others > 0.25 * counted[worst]:
        return
    doors = [i for entry in case.world.entries for i in case.instances(entry) if i.labels.get(label) == worst]
    if not dark and any(died(case, door) for door in doors):
        return  # nothing comes in where the front door fell over: the region behind it is not the cause
    text = (
        f"{counted[worst]} of {len(regions[worst])} services are unreachable or silent in {worst}, {others} elsewhere"
    )
    yield clue(
        entity_key("region", worst), faults.REGION_DARK, 5.0, "concentration", text,
        value=float(counted[worst]), baseline=float(others), unit="count", share=1.0, scope={label: worst},
    )  # fmt: skip


def _places(case: Case, label: str) -> dict[str, dict[str, list[Entity]]]:
    """The instances of each place that ``label`` names, by service."""
    found: dict[str, dict[str, list[Entity]]] = {}
    for service in case.services:
        for instance in case.instances(service):
            if instance.labels.get(label):
                found.setdefault(instance.labels[label], {}).setdefault(service, []).append(instance)
    return found


def _mute(case: Case, instances: list[Entity]) -> bool:
    """Whether a service's instances in a place fell silent, and none of those that a roll-out put there speaks."""
    return not any(speaks(case, i) for i in instances) and any(fell_silent(case, i) for i in instances)


def _trouble(case: Case, instances: list[Entity]) -> bool:
    """Whether they lost their traffic (to less than a third of usual)."""
    usual = sum(case.sum(i.key, signals.REQUESTS, case.normal) for i in instances) * case.scale
    now = sum(case.sum(i.key, signals.REQUESTS, case.bad) for i in instances)
    return usual >= MIN_REQUESTS / 2 and now < usual / 3
