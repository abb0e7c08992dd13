"""Which fixes are written down for what diagnosis says? Nothing here judges; the guards do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from midwatch.core.decide.expectation import expectation, holds
from midwatch.core.decide.sight import harm, place, service_of
from midwatch.core.slo.measure import measure
from midwatch.model.actions import Action, ParameterRule, ParameterSpec, Playbook, Scalar, VerbSpec
from midwatch.model.entity import ENTITY_KINDS, entity_key, kind_of, name_of
from midwatch.model.faults import DESCRIPTIONS
from midwatch.model.findings import Hypothesis, Incident
from midwatch.model.state import ActionRecord, State
from midwatch.model.world import World

FLOOR: Final = 0.15  # less probable than this is not worth a sentence
SIGNAL_SECONDS: Final = 60.0
MAX_CALLERS: Final = 8
OPEN: Final = frozenset({"refused", "asked", "rehearsed"})
"""Statuses of a proposal that was judged and not carried out: it may be judged again."""


@dataclass(frozen=True)
class Candidate:
    """One fix that could be tried. ``before`` is what was journaled of the same proposal, if anything."""

    action: Action
    hypothesis: Hypothesis
    playbook: Playbook
    before: ActionRecord | None = None


def propose(state: State, world: World, incident: Incident, now: float) -> tuple[Candidate, ...]:
    """Candidates for one incident, best first: by probability of the cause, then by the playbook's priority.

    What was tried on a target in this incident is proposed again only as ``_spent`` allows. Ids of new ones are all
    ``state.next_action``: whoever journals one asks again for the next.
    """
    found: list[Candidate] = []
    for hypothesis in sorted(incident.hypotheses, key=lambda h: -h.probability):
        if hypothesis.probability < FLOOR:
            continue
        for playbook in sorted(state.policy.playbooks, key=lambda p: (p.priority, p.name)):
            for target in targets_of(world, hypothesis, playbook.target):
                candidate = _candidate(state, world, incident, hypothesis, playbook, target, now)
                if candidate is not None and all(candidate.action.key != other.action.key for other in found):
                    found.append(candidate)
    return tuple(found)


def not_tried(record: ActionRecord) -> bool:
    """It was ordered and never reached its target: a crash or a last look came first. The limits per hour bound it."""
    return record.status == "failed" and record.outcome is not None and record.outcome.untouched


def exhausted(state: State, incident: Incident) -> frozenset[tuple[str, str]]:
    """Causes (entity, kind) of which a fix was tried in this incident without success, and none with success."""
    tried: dict[tuple[str, str], set[str]] = {}
    for record in state.actions_of(incident.id):
        if record.ordered_at is not None and not record.action.undo_of and not not_tried(record):
            cause = (record.action.hypothesis_entity, record.action.hypothesis_kind)
            tried.setdefault(cause, set()).add(record.status)
    return frozenset(cause for cause, how in tried.items() if how <= {"missed", "failed"})


def _candidate(
    state: State,
    world: World,
    incident: Incident,
    hypothesis: Hypothesis,
    playbook: Playbook,
    target: str,
    now: float,
) -> Candidate | None:
    if hypothesis.kind not in playbook.kinds or any(not hypothesis.scope.get(k) for k in playbook.requires_scope):
        return None
    if playbook.target_kinds and kind_of(target) not in playbook.target_kinds:
        return None
    spec = state.policy.verbs.get(playbook.verb)
    parameters = parameters_of(world, hypothesis, target, playbook, spec)
    earlier = [
        r
        for r in state.actions_of(incident.id)
        if (r.action.verb, r.action.target) == (playbook.verb, target) and not r.action.undo_of
    ]
    tried = [r for r in earlier if r.status not in OPEN]
    if any(_spent(world, r, playbook, parameters, now) for r in tried):
        return None
    attempt = sum(r.action.playbook == playbook.name for r in tried) + 1
    key = f"{incident.id}/{playbook.name}/{name_of(target)}/{attempt}"
    before = next((r for r in earlier if r.action.key == key), None)
    action = Action(
        id=before.action.id if before else f"ACT-{state.next_action}",
        key=key,
        incident=incident.id,
        playbook=playbook.name,
        verb=playbook.verb,
        target=target,
        parameters=parameters,
        action_class=spec.action_class if spec else "irreversible",
        permissions=spec.permissions if spec else (),
        blast_radius=spec.blast_radius if spec else 1,
        undo_verb=spec.undo if spec else "",
        expectation=expectation(state, world, incident, hypothesis, target, playbook, harm(state, incident)),
        why=_why(hypothesis, playbook),
        hypothesis_kind=hypothesis.kind,
        hypothesis_entity=hypothesis.entity,
        probability=hypothesis.probability,
        timeout_seconds=spec.timeout_seconds if spec else 8.0,
    )
    return Candidate(action, hypothesis, playbook, before)


def _spent(world: World, record: ActionRecord, playbook: Playbook, parameters: dict[str, Scalar], now: float) -> bool:
    """Whether an earlier use of the same verb on the same target rules it out now.

    What did not help is not done again. What helped may be done again once what it had mended is broken again: a restart
    as it was, but what still stands (a rollback, a drain) only with other parameters.
    """
    if not_tried(record):
        return False
    same = record.action.parameters == parameters
    if record.status != "met":
        return same or record.action.playbook == playbook.name
    if record.action.action_class != "transient" and same:
        return True
    return not _came_back(world, record, playbook, now)


def _came_back(world: World, record: ActionRecord, playbook: Playbook, now: float) -> bool:
    if record.ended_at is None or record.action.expectation is None:
        return False
    settled = now - record.ended_at >= max(60.0, playbook.expect_within_seconds)
    return settled and any(
        holds(c, measure(world, c.subject, c.signal, c.window_seconds)) is False
        for c in record.action.expectation.checks
    )


def _why(hypothesis: Hypothesis, playbook: Playbook) -> str:
    cause = DESCRIPTIONS.get(hypothesis.kind, hypothesis.kind.replace("_", " "))
    what = playbook.description or f"playbook {playbook.name}"
    return f"{cause} in {place(hypothesis.entity)} with probability {hypothesis.probability:.2f}: {what}"


def targets_of(world: World, hypothesis: Hypothesis, target: str) -> tuple[str, ...]:
    """The keys to try, in order. ``callers`` stands for every service that calls the entity, those that suffer most
    first; everything else is one key (``target_of``)."""
    if target != "callers":
        return (target_of(world, hypothesis, target),)
    services = [key for key in world.callers.get(hypothesis.entity, ()) if kind_of(key) == "service"]

    def harm_of(key: str) -> tuple[float, float]:
        seen = (measure(world, key, "error_ratio", 30.0), measure(world, key, "mean_ms", 30.0))
        return (0.0 if math.isnan(seen[0]) else -seen[0], 0.0 if math.isnan(seen[1]) else -seen[1])

    return tuple(sorted(services, key=lambda key: (harm_of(key), key))[:MAX_CALLERS])


def target_of(world: World, hypothesis: Hypothesis, target: str) -> str:
    """The key that a playbook's ``target`` names: the hypothesis' entity, its service, or a key of its scope; "" when
    the scope does not have it (and an empty target matches nothing)."""
    if target == "entity":
        return hypothesis.entity
    named = hypothesis.scope.get(target, "")
    if target == "service" and not named:
        of = service_of(world, hypothesis.entity)
        return of if kind_of(of) == "service" else ""
    if not named or (":" in named and kind_of(named) in ENTITY_KINDS):
        return named
    return entity_key("service" if target == "caller" else target, named)


def parameters_of(
    world: World, hypothesis: Hypothesis, target: str, playbook: Playbook, spec: VerbSpec | None
) -> dict[str, Scalar]:
    """The parameters by the playbook's rules. One that cannot be filled is left out; the guards refuse when it was
    needed."""
    filled: dict[str, Scalar] = {}
    for name, rule in playbook.parameters.items():
        value = _fill(world, hypothesis, target, rule, spec.parameters.get(name) if spec else None)
        if value is not None:
            filled[name] = value
    return filled


def _fill(
    world: World, hypothesis: Hypothesis, target: str, rule: ParameterRule, spec: ParameterSpec | None
) -> Scalar | None:
    if rule.value is not None:
        return rule.value
    if rule.scope:
        text = hypothesis.scope.get(rule.scope, "")
        return _typed(text, spec.type if spec else "str") if text else None
    now = largest(world, target, rule.signal)
    if math.isnan(now):
        return None
    value = now * rule.times + rule.plus
    value = min(value, rule.maximum) if rule.maximum is not None else value
    value = max(value, rule.minimum) if rule.minimum is not None else value
    return value if spec is not None and spec.type == "float" else math.ceil(value - 1e-9)


def largest(world: World, target: str, signal: str) -> float:
    """``signal`` of the target's largest instance, or of the target itself; NaN when neither reports it."""
    each = [measure(world, i.key, signal, SIGNAL_SECONDS) for i in world.instances.get(target, ())]
    seen = [v for v in each if not math.isnan(v)]
    return max(seen) if seen else measure(world, target, signal, SIGNAL_SECONDS)


def _typed(text: str, kind: str) -> Scalar:
    """``text`` as the verb wants it; left as text when it cannot be, so that a guard names the misfit."""
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
    except ValueError:
        return text
    return {"true": True, "false": False}.get(text.lower(), text) if kind == "bool" else text
