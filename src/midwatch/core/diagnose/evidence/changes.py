"""Changes shortly before the onset.

Fleets change all the time and most changes are harmless, so a change speaks only for the entity that already carries blame,
or that loses calls to callees that answer everybody else, by how close it was: a harmless one falls into the half minute
before an unrelated onset at a given service only a few times in a hundred. A newer version that fails more than the older
one beside it says much more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from midwatch.core.diagnose.blame import Blame
from midwatch.core.diagnose.calls import lost_by
from midwatch.core.diagnose.case import Case
from midwatch.core.diagnose.clue import Clue, clue
from midwatch.model import faults, signals
from midwatch.model.entity import entity_key, kind_of, name_of
from midwatch.model.world import Change

KINDS: Final = {"deploy": faults.BAD_DEPLOY, "config": faults.BAD_CONFIG, "flag": faults.BAD_FLAG}
AFTER_SECONDS: Final = 15.0
CLOSENESS: Final = ((15.0, 4.0), (35.0, 3.2), (75.0, 2.0), (150.0, 0.8), (300.0, 0.2))
"""(seconds before the onset, nats)."""
OWN_CALLS: Final = (
    2.5  # nats: a broken way has 3.5 to 4.5 (network.py), and a change breaks other things as often as calls
)


def changed(case: Case, entity: str) -> dict[str, Change]:
    """What was changed at one entity shortly before the onset, by the fault kind that it would be."""
    return {kind: change for (suspect, kind), change in _newest(case).items() if suspect == entity}


def _newest(case: Case) -> dict[tuple[str, str], Change]:
    newest: dict[tuple[str, str], Change] = {}
    for change in sorted(case.changes, key=lambda c: c.at):
        kind = KINDS.get(change.kind)
        if kind and -AFTER_SECONDS <= case.onset_at - change.at <= CLOSENESS[-1][0]:
            key = (_suspect(case, change), kind)
            if _says(change) or key not in newest:  # one that says nothing does not hide one that does
                newest[key] = change
    return newest


def changes(case: Case, blame: Blame) -> Iterator[Clue]:
    for (entity, kind), change in _newest(case).items():
        before = case.onset_at - change.at
        weight = next(nats for seconds, nats in CLOSENESS if before <= seconds)
        when = f"{before:.0f} s before the trouble began" if before >= 0 else f"{-before:.0f} s after the first sign"
        what = f"{change.before} -> {change.after}" if change.before or change.after else change.summary
        text = f"{change.kind} of {name_of(entity)}{f' ({what})' if what else ''} {when}"
        scope = {"change": change.id, "version": change.after, "flag": _flag(change)}
        scope = {k: v for k, v in scope.items() if v}
        lost = _lost_share(case, blame, entity)
        share = min(1.0, max(0.0, blame.of(entity) - _lost_by_others(case, blame, entity)) + lost)
        yield clue(entity, kind, weight, "change", text, value=before, unit="seconds", share=share, scope=scope)
        if lost > 0.5 * share:
            yield _own_calls(case, entity, kind, share)
        if kind == faults.BAD_DEPLOY:
            yield from _versions(case, entity, change)


def _lost_share(case: Case, blame: Blame, entity: str) -> float:
    """The share of the harm that is booked on callees which lose this entity's calls and nobody else's."""
    parts = {callee: lost / blame.errors[callee] for callee, lost in lost_by(case, entity).items()
             if blame.errors.get(callee, 0.0) > 0}  # fmt: skip
    return sum(min(1.0, part) * blame.of(callee) for callee, part in parts.items())


def _lost_by_others(case: Case, blame: Blame, entity: str) -> float:
    """The share of the harm that is booked on this entity for calls which one caller alone loses: a change here would have
    met its other callers, too."""
    errors = blame.errors.get(entity, 0.0)
    if errors <= 0:
        return 0.0
    callers = case.world.callers.get(entity, ())
    lost = sum(lost_by(case, caller).get(entity, 0.0) for caller in callers if kind_of(caller) == "service")
    return min(1.0, lost / errors) * blame.of(entity)


def _own_calls(case: Case, entity: str, kind: str, share: float) -> Clue:
    """What a change does to the entity's own calls looks like a bad way: it explains them as well as the network does, less
    what a change has of other things to break."""
    lost = lost_by(case, entity)
    names = ", ".join(sorted(name_of(callee) for callee in lost))
    text = f"its calls to {names} break, and nobody else's ({sum(lost.values()):.0f} times)"
    return clue(entity, kind, OWN_CALLS, "network", text, value=sum(lost.values()), unit="count", share=share)


def _says(change: Change) -> bool:
    return bool(change.before or change.after or change.summary)


def _suspect(case: Case, change: Change) -> str:
    """The service that a change belongs to (changes may name an instance)."""
    entity = case.world.entities.get(change.entity)
    if entity is not None and entity.kind == "instance" and "service" in entity.labels:
        return entity_key("service", entity.labels["service"])
    return change.entity if ":" in change.entity else entity_key("service", change.entity)


def _flag(change: Change) -> str:
    """The flag's name, from ``name=on`` (after or before the flip), else the last word of the summary."""
    if change.kind != "flag":
        return ""
    for value in (change.after, change.before):
        name, mark, _ = value.partition("=")
        if mark and name.strip():
            return name.strip()
    words = change.summary.split("=")[0].split()
    return words[-1] if words else ""


def _versions(case: Case, service: str, change: Change) -> Iterator[Clue]:
    """Does the new version fail more than the old one that runs beside it?"""
    ratio: dict[bool, list[float]] = {True: [0.0, 0.0], False: [0.0, 0.0]}
    for instance in case.instances(service):
        new = bool(change.after) and instance.labels.get("version") == change.after
        ratio[new][0] += case.sum(instance.key, signals.ERRORS, case.bad)
        ratio[new][1] += case.sum(instance.key, signals.REQUESTS, case.bad)
    (new_bad, new_all), (old_bad, old_all) = ratio[True], ratio[False]
    if min(new_all, old_all) < 20 or new_bad < 5 or kind_of(service) != "service":
        return
    now, old = new_bad / new_all, old_bad / old_all
    if now > 3 * old + 0.02:
        text = f"{now:.1%} of the requests to {change.after} fail, {old:.1%} of those to the other version"
        weight = min(2.5, math.log(now / max(old, 0.005)))
        yield clue(service, faults.BAD_DEPLOY, weight, "concentration", text, value=now, baseline=old, unit="ratio")
