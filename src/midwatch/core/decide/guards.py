"""May it? A visible list of small guards; the first that has something to say decides, and with no match: refuse.

A guard gets the action and what it may look at, and answers with a Verdict or None ("no objection from me"). The order
is part of the policy: what nobody may do comes first, then what is unsafe now, then who must say yes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from midwatch.core.decide.propose import exhausted
from midwatch.core.decide.sight import (
    hurt,
    one_place,
    place,
    sees_incident,
    service_of,
    standing,
    under_way,
    warming_up,
    watched,
)
from midwatch.core.memory import Memory
from midwatch.core.slo.budget import blind_why, budget
from midwatch.model.actions import AUTONOMY_LADDER, Action, ParameterSpec, Playbook, Scalar, VerbSpec, Verdict
from midwatch.model.entity import kind_of
from midwatch.model.findings import Hypothesis, Incident
from midwatch.model.policy import GuardLimits
from midwatch.model.state import ActionRecord, State
from midwatch.model.world import World

HOUR_SECONDS: Final = 3600.0
HARMLESS_SEVERITY: Final = 4
NEARLY_TOTAL: Final = 0.8
STOPS: Final = frozenset({"restart"})
"""Verbs during which the target serves nobody."""


@dataclass(frozen=True)
class Context:
    """What a guard may look at. ``approved_by`` are the people who said yes, ``credentials`` what they showed for it ("" is
    the shared token); ``hypothesis`` and ``playbook`` are None for an undo."""

    state: State
    memory: Memory
    world: World
    now: float
    incident: Incident | None
    hypothesis: Hypothesis | None = None
    playbook: Playbook | None = None
    approved_by: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()

    @property
    def limits(self) -> GuardLimits:
        return self.state.policy.limits

    def spec(self, action: Action) -> VerbSpec | None:
        return self.state.policy.verbs.get(action.verb)

    def others(self, action: Action) -> tuple[ActionRecord, ...]:
        """Every other action, without the one that ``action`` takes back."""
        return tuple(r for r in self.state.actions.values() if r.action.id not in (action.id, action.undo_of))


Guard = Callable[[Action, Context], Verdict | None]


def judge(action: Action, context: Context) -> Verdict:
    """The verdict of the first guard that has one."""
    for guard in GUARDS:
        verdict = guard(action, context)
        if verdict is not None:
            return verdict
    return Verdict("refuse", "no_match", "no rule allows it")


# -- what nobody may do --


def hands_off(action: Action, context: Context) -> Verdict | None:
    if not context.state.hands_off:
        return None
    by = context.state.hands_off_by or "somebody"
    return Verdict("refuse", "hands_off", f"hands off, said {by}: midwatch touches nothing until hands-on")


def unknown_verb(action: Action, context: Context) -> Verdict | None:
    if context.spec(action) is not None:
        return None
    return Verdict("refuse", "unknown_verb", f"no actuator declares the verb {action.verb!r}")


def empty_target(action: Action, context: Context) -> Verdict | None:
    if action.target.partition(":")[2].strip():
        return None
    return Verdict("refuse", "empty_target", f"{action.verb} names no target, and an empty target matches nothing")


def target_kind(action: Action, context: Context) -> Verdict | None:
    spec = context.spec(action)
    kind = kind_of(action.target)
    if spec is not None and kind in spec.targets and ">" not in action.target:
        return None
    accepted = " or ".join(spec.targets) if spec and spec.targets else "nothing"
    return Verdict("refuse", "target_kind", f"{action.verb} works on {accepted}, not on {action.target}")


def declared(action: Action, context: Context) -> Verdict | None:
    """The action must be what its verb declares; what claims to be reversible must have an undo."""
    spec = context.spec(action)
    if spec is None or action.undo_of:
        return None
    if action.action_class != spec.action_class or set(action.permissions) != set(spec.permissions):
        why = f"it says {action.action_class}, {action.verb} is declared {spec.action_class}"
        return Verdict("refuse", "declared", why)
    if action.action_class == "reversible" and not action.undo_verb:
        return Verdict("refuse", "declared", f"{action.verb} is called reversible and names no undo")
    return None


def parameter_limits(action: Action, context: Context) -> Verdict | None:
    spec = context.spec(action)
    if spec is None:
        return None
    for name in action.parameters:
        if name not in spec.parameters:
            return Verdict("refuse", "parameters", f"{action.verb} has no parameter {name!r}")
    for name, declared_as in spec.parameters.items():
        if name not in action.parameters:
            if declared_as.required:
                return Verdict("refuse", "parameters", f"{name} is needed and nothing says what it should be")
            continue
        why = _misfit(name, action.parameters[name], declared_as)
        if why:
            return Verdict("refuse", "parameters", why)
    return None


_TYPES: Final[dict[str, tuple[type, ...]]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


def _misfit(name: str, value: Scalar, spec: ParameterSpec) -> str:
    if not isinstance(value, _TYPES[spec.type]) or (isinstance(value, bool) and spec.type != "bool"):
        return f"{name} must be of type {spec.type}, not {value!r}"
    if isinstance(value, str):
        bad = spec.choices and value not in spec.choices
        return f"{name} must be one of {', '.join(spec.choices)}, not {value!r}" if bad else ""
    if isinstance(value, bool):
        return ""
    if not math.isfinite(value):
        return f"{name} is not a number"
    if spec.minimum is not None and value < spec.minimum:
        return f"{name} = {value:g} is below the least that is allowed, {spec.minimum:g}"
    if spec.maximum is not None and value > spec.maximum:
        return f"{name} = {value:g} is above the most that is allowed, {spec.maximum:g}"
    return ""


def protected(action: Action, context: Context) -> Verdict | None:
    if action.target not in context.limits.protected:
        return None
    return Verdict("refuse", "protected", f"{action.target} is protected: midwatch never touches it")


def permissions(action: Action, context: Context) -> Verdict | None:
    granted = context.limits.permissions
    missing = [p for p in action.permissions if not any(_grants(g, p) for g in granted)]
    if not missing:
        return None
    return Verdict("refuse", "permissions", f"{action.verb} needs {', '.join(missing)}, which midwatch was not granted")


def _grants(granted: str, wanted: str) -> bool:
    """Equal, or ``area.*`` for everything in an area. Nothing matches an empty grant."""
    return bool(granted) and (granted == wanted or (granted.endswith(".*") and wanted.startswith(granted[:-1])))


def blast_radius(action: Action, context: Context) -> Verdict | None:
    most = context.limits.max_blast_radius
    if action.blast_radius <= most:
        return None
    return Verdict("refuse", "blast_radius", f"it can touch {action.blast_radius} entities, {most} are allowed")


# -- what is unsafe now --


def risky(action: Action, context: Context) -> bool:
    """Moves forward, or cannot be taken back. Taking back what midwatch did is never risky in this sense."""
    spec = context.spec(action)
    return not action.undo_of and (action.action_class == "irreversible" or (spec is not None and spec.promoting))


def freeze(action: Action, context: Context) -> Verdict | None:
    """Risky actions wait until a freeze is over; mitigations go on."""
    for window in context.limits.freezes:
        if window.start_at <= context.now < window.end_at and risky(action, context):
            hours = (window.end_at - context.now) / HOUR_SECONDS
            why = f"frozen for {hours:.1f} h more ({window.reason}), and it is {_riskiness(action)}"
            return Verdict("refuse", "freeze", why)
    return None


def _riskiness(action: Action) -> str:
    return "irreversible" if action.action_class == "irreversible" else "not a mitigation"


def warm(action: Action, context: Context) -> Verdict | None:
    if action.undo_of or not warming_up(context.memory, context.now):
        return None
    age = max(0.0, context.now - context.memory.started_at)
    return Verdict("refuse", "warming_up", f"warming up: the working set is {age:.0f} s old")


def sighted(action: Action, context: Context) -> Verdict | None:
    incident = context.incident
    if action.undo_of or incident is None or sees_incident(context.world, incident):
        return None
    where = ", ".join(place(key) for key in watched(incident)) or "what hurts"
    return Verdict("refuse", "no_data", f"no data of {where}: midwatch does not act blind")


def rate_limits(action: Action, context: Context) -> Verdict | None:
    """Bounds per hour, per incident and per action. What takes an action back is not held up by them."""
    if action.undo_of:
        return None
    limits = context.limits
    ordered = [r for r in context.others(action) if r.ordered_at is not None and not r.action.undo_of]
    hour = [r for r in ordered if r.ordered_at is not None and context.now - r.ordered_at < HOUR_SECONDS]
    same = [r for r in hour if (r.action.verb, r.action.target) == (action.verb, action.target)]
    if len(same) >= limits.max_same_action_per_hour:
        why = f"{action.verb} on {place(action.target)} was done {len(same)} times within an hour"
        return Verdict("refuse", "same_action_rate", f"{why}, {limits.max_same_action_per_hour} are allowed")
    here = [r for r in ordered if r.action.incident == action.incident]
    if len(here) >= limits.max_actions_per_incident:
        why = f"{len(here)} actions were taken in {action.incident}, {limits.max_actions_per_incident} are allowed"
        return Verdict("refuse", "incident_rate", why)
    if len(hour) >= limits.max_actions_per_hour:
        why = f"{len(hour)} actions were taken within an hour, {limits.max_actions_per_hour} are allowed"
        return Verdict("refuse", "hourly_rate", why)
    return None


def in_doubt(action: Action, context: Context) -> Verdict | None:
    """While nobody knows whether an action took effect, its target is not touched, and its incident waits for people."""
    doubted = [r for r in context.others(action) if r.status == "in_doubt"]
    for record in doubted:
        if record.action.target == action.target:
            why = f"nobody knows whether {record.action.id} ({record.action.verb}) took effect on it"
            return Verdict("refuse", "in_doubt", f"{why}; refuse {record.action.id} once that is settled")
    for record in doubted:
        if record.action.incident == action.incident and not context.approved_by and not action.undo_of:
            return Verdict(
                "ask", "in_doubt", f"{record.action.id} ({record.action.verb}) is in doubt: a person decides"
            )
    return None


def unknown_effect(action: Action, context: Context) -> Verdict | None:
    """An action whose effect could not be seen holds the incident until a person says so."""
    if context.approved_by or action.undo_of:
        return None
    for record in context.others(action):
        if record.action.incident == action.incident and record.status == "unknown":
            return Verdict("ask", "unknown_effect", f"nobody could see what {record.action.id} did: a person decides")
    return None


def one_at_a_time(action: Action, context: Context) -> Verdict | None:
    for record in context.others(action):
        if not under_way(record):
            continue
        other = f"{record.action.id} ({record.action.verb} on {place(record.action.target)})"
        if record.action.incident == action.incident:
            return Verdict("refuse", "in_flight", f"{other} is under way in this incident: one at a time")
        if record.action.target == action.target:
            return Verdict("refuse", "in_flight", f"{other} is under way on the same target")
    return None


def confidence(action: Action, context: Context) -> Verdict | None:
    """Sure enough, and clearly surer than of the next place. Places whose fixes were tried and missed do not count as
    the next place. A person who approves takes that on."""
    hypothesis, incident = context.hypothesis, context.incident
    if hypothesis is None or incident is None or context.approved_by:
        return None
    least = max(context.limits.min_probability, context.playbook.min_probability if context.playbook else 0.0)
    p = hypothesis.probability
    if p < least:
        return Verdict("refuse", "confidence", f"the cause is {p:.0%} probable, {least:.0%} are needed")
    ruled_out = exhausted(context.state, incident)
    rivals = [
        h
        for h in incident.hypotheses
        if (h.entity, h.kind) not in ruled_out and not one_place(context.world, h.entity, hypothesis.entity)
    ]
    rival = max(rivals, key=lambda h: h.probability, default=None)
    if rival is not None and p - rival.probability < context.limits.min_margin:
        why = f"{p:.0%} for {place(hypothesis.entity)} against {rival.probability:.0%} for {place(rival.entity)}"
        return Verdict("refuse", "confidence", f"{why}: the margin must be {context.limits.min_margin:.0%}")
    return None


def felt(action: Action, context: Context) -> Verdict | None:
    """What no user feels is no reason to touch production without a person. It is judged again when it gets worse."""
    incident = context.incident
    if incident is None or context.hypothesis is None or context.approved_by or incident.severity < HARMLESS_SEVERITY:
        return None
    why = f"SEV{incident.severity}: users barely feel it, so it is suggested and nobody is woken to be asked"
    return Verdict("rehearse", "felt", why)


def error_budget(action: Action, context: Context) -> Verdict | None:
    """A spent budget blocks what is risky, never a reversible or transient mitigation of the incident spending it. So does
    a budget rule that froze it earlier."""
    if not risky(action, context):
        return None
    state, now = context.state, context.now
    for crossing in state.crossings.values():
        if crossing.action == "freeze" and _budget_touches(crossing.slo, action, context):
            why = f"{crossing.at:.0%} of the error budget of {crossing.key} went, which freezes what is {_riskiness(action)}"
            return Verdict("refuse", "error_budget", why)
    for slo in state.slos:
        ledger = context.memory.ledgers.get(slo.name)
        if ledger is None or not one_place(context.world, slo.entity, action.target):
            continue
        spent = budget(slo, ledger, state.adjustments, now, blind=blind_why(state, slo)).spent
        if spent is not None and spent >= 1.0:
            why = f"{spent:.0%} of the error budget of {slo.name} is spent, and it is {_riskiness(action)}"
            return Verdict("refuse", "error_budget", why)
    return None


def _budget_touches(slo: str, action: Action, context: Context) -> bool:
    return any(s.name == slo and one_place(context.world, s.entity, action.target) for s in context.state.slos)


# -- who must say yes --


def rehearsal(action: Action, context: Context) -> Verdict | None:
    if not context.state.policy.rehearse:
        return None
    return Verdict("rehearse", "rehearsal", "a rehearsal: everything is judged and nothing is touched")


def shadow(action: Action, context: Context) -> Verdict | None:
    level, because = _level(action, context)
    if level != "shadow":
        return None
    return Verdict("rehearse", "shadow", f"{because}: midwatch says what it would do and touches nothing")


def irreversible(action: Action, context: Context) -> Verdict | None:
    """Two names with one credential may be one person."""
    people = min(len(set(context.approved_by)), len(set(context.credentials)))
    if action.action_class != "irreversible" or people >= 2:
        return None
    why = f"it cannot be taken back: two people must say yes, each with a token of their own, and {people} did"
    return Verdict("ask", "irreversible", why)


def budget_demoted(action: Action, context: Context) -> Verdict | None:
    """A budget rule takes the risky from the machine's hands before it freezes it."""
    if context.approved_by or not risky(action, context):
        return None
    for crossing in context.state.crossings.values():
        if crossing.action == "demote" and _budget_touches(crossing.slo, action, context):
            why = f"{crossing.at:.0%} of the error budget of {crossing.key} went, so a person must say yes"
            return Verdict("ask", "budget_demoted", why)
    return None


def own_undo(action: Action, context: Context) -> Verdict | None:
    """Whoever allowed the action allowed its undo: it was declared with it."""
    if not action.undo_of:
        return None
    return Verdict("run", "undo", f"takes {action.undo_of} back")


def approved(action: Action, context: Context) -> Verdict | None:
    people = sorted(set(context.approved_by))
    return Verdict("run", "approved", f"approved by {' and '.join(people)}") if people else None


def only_one(action: Action, context: Context) -> Verdict | None:
    """Stopping the only instance of what still serves somebody well makes an outage out of a slowness: a person says yes,
    unless the playbook accepts the downtime. It never allows more than the level does."""
    if action.verb not in STOPS or action.undo_of or (context.playbook and context.playbook.accepts_downtime):
        return None
    if _level(action, context)[0] not in ("canary", "auto"):
        return None
    service = service_of(context.world, action.target)
    left = [key for key in standing(context.world, service) if key != action.target]
    share = hurt(context.state, context.world, service)
    if len(left) >= (1 if action.target != service else 2) or share >= NEARLY_TOTAL:
        return None
    why = f"no second instance of {place(service)} is seen that would serve meanwhile"
    served = "nobody knows how many it serves well" if math.isnan(share) else f"{1 - share:.0%} is still served well"
    return Verdict("ask", "only_one", f"{why}, and {served}: a person must say yes")


def autonomy(action: Action, context: Context) -> Verdict | None:
    level, because = _level(action, context)
    if level == "suggest":
        return Verdict("rehearse", "autonomy", f"{because}: midwatch suggests, people act")
    if level == "ask":
        return Verdict("ask", "autonomy", f"{because}: a person must say yes")
    if level == "canary":
        if kind_of(action.target) == "instance" or action.blast_radius <= 1:
            return Verdict("run", "autonomy", f"{because}: it touches one thing only")
        return Verdict(
            "ask", "autonomy", f"{because}: it can touch {action.blast_radius} things, so a person must say yes"
        )
    if level == "auto":
        return Verdict("run", "autonomy", because)
    return None


def _level(action: Action, context: Context) -> tuple[str, str]:
    """The lower of the mode and of what the playbook has earned, and a sentence that says which."""
    mode = context.state.policy.mode
    book = context.state.playbooks.get(action.playbook)
    if action.undo_of or book is None:
        return mode, f"the mode is {mode}"
    if _rung(book.level) < _rung(mode):
        earned = f"{book.met} met, {book.missed} missed"
        return book.level, f"the playbook {action.playbook} is at {book.level} ({earned})"
    return mode, f"the mode is {mode}"


def _rung(level: str) -> int:
    return AUTONOMY_LADDER.index(level) if level in AUTONOMY_LADDER else 0


GUARDS: Final[tuple[Guard, ...]] = (
    hands_off,
    warm,
    sighted,
    unknown_verb,
    empty_target,
    target_kind,
    declared,
    parameter_limits,
    protected,
    permissions,
    blast_radius,
    freeze,
    rate_limits,
    in_doubt,
    unknown_effect,
    one_at_a_time,
    confidence,
    felt,
    error_budget,
    rehearsal,
    shadow,
    irreversible,
    budget_demoted,
    own_undo,
    approved,
    only_one,
    autonomy,
)
TRY_NEXT: Final = frozenset(
    {
        "unknown_verb", "empty_target", "target_kind", "declared", "parameters", "protected", "permissions",
        "blast_radius", "freeze", "same_action_rate", "error_budget", "confidence",
    }
)  # fmt: skip
"""Rules that say no to this fix, not to acting: the next one may be tried."""
