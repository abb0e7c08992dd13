"""What is unsafe now: the watch is new or blind, has acted enough, waits for what is under way, or is not sure."""

from __future__ import annotations

from typing import Final

from midwatch.core.decide.guards.context import Context
from midwatch.core.decide.propose import exhausted
from midwatch.core.decide.sight import one_place, place, sees_incident, under_way, warming_up, watched
from midwatch.model.actions import Action, Verdict

HOUR_SECONDS: Final = 3600.0
HARMLESS_SEVERITY: Final = 4


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
