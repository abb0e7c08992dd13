"""What may be relied on right now: is there data, is somebody hurt, is the working set back?"""

from __future__ import annotations

import math
from typing import Final

from midwatch.core.memory import WARM_UP_SECONDS, Memory
from midwatch.core.slo.measure import measure, total
from midwatch.core.slo.seen import SIGHT_SECONDS, sees
from midwatch.model import signals
from midwatch.model.entity import Entity, kind_of, name_of
from midwatch.model.findings import HARMFUL, Finding, Incident
from midwatch.model.state import ActionRecord, State
from midwatch.model.world import World

BUSY: Final = frozenset({"approved", "ordered", "done"})
"""Statuses of an action that is under way: decided, being carried out, or being verified."""


def warming_up(memory: Memory, now: float) -> bool:
    """Whether the working set is too young to judge by."""
    return now - memory.started_at < WARM_UP_SECONDS


def watched(incident: Incident) -> tuple[str, ...]:
    """The entities whose data says whether users still feel it: the entry point, or else every symptom."""
    return (incident.impact.entry,) if incident.impact and incident.impact.entry else incident.symptoms


def sees_incident(world: World, incident: Incident, window_seconds: float = SIGHT_SECONDS) -> bool:
    """Whether there is data of what hurts. With several symptoms and no entry point, one that is seen will do."""
    return any(sees(world, subject, window_seconds) for subject in watched(incident))


def harm(state: State, incident: Incident) -> tuple[Finding, ...]:
    """The incident's findings that users can feel and that are still open."""
    found = (state.findings.get(ident) for ident in incident.findings)
    return tuple(f for f in found if f is not None and f.kind in HARMFUL)


def under_way(record: ActionRecord) -> bool:
    """Whether the action is decided, being carried out or being verified. An undo is over once it is done."""
    return record.status in BUSY and not (record.action.undo_of and record.status == "done")


def service_of(world: World, key: str) -> str:
    """The service that ``key`` belongs to (itself, or the instance's service), or ``key`` when there is none."""
    entity = world.entities.get(key)
    if kind_of(key) == "instance" and isinstance(entity, Entity) and entity.labels.get("service"):
        return f"service:{entity.labels['service']}"
    return key


def standing(world: World, service: str) -> tuple[str, ...]:
    """The instances of ``service`` that were heard of lately. What reports no instances has none that is known of."""
    keys = [instance.key for instance in world.instances.get(service, ())]
    return tuple(key for key in keys if total(world, key, signals.UP, SIGHT_SECONDS) > 0)


def hurt(state: State, world: World, service: str) -> float:
    """The share of a service's own requests that fail or, where a finding names a bound, are slower than it; NaN without
    data."""
    asked = ["error_ratio"]
    for finding in state.findings.values():
        if one_place(world, finding.entity, service):
            slo = next((s for s in state.slos if s.name == finding.slo and s.sli == "latency"), None)
            asked.append(f"slow_ratio:{slo.threshold_ms:g}" if slo else finding.slo)
    shares = [measure(world, service, s, SIGHT_SECONDS) for s in asked if s.startswith(("error_ratio", "slow_ratio:"))]
    return max((share for share in shares if not math.isnan(share)), default=math.nan)


def one_place(world: World, a: str, b: str) -> bool:
    """Whether blaming ``a`` or ``b`` is the same place: one service, or one of its instances."""
    return a == b or service_of(world, a) == service_of(world, b)


def place(key: str) -> str:
    """What people call it: the name without its kind; an edge becomes ``caller to callee``."""
    caller, edge, callee = key.partition(">")
    return f"{name_of(caller)} to {name_of(callee)}" if edge else name_of(key) or key
