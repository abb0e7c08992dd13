"""Words that people can use, made from the journal's facts. Every number in a text is one of its ``facts``.

Facts hold the numbers as they are printed. Nothing is guessed: an unknown cause is called unknown, no data is called no
data, and what was only rehearsed is said in the conditional. Times are UTC.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from midwatch.core.decide.sight import place, under_way
from midwatch.core.oncall.said import page_lines, runbooks
from midwatch.model.actions import Action, Scalar
from midwatch.model.faults import DESCRIPTIONS
from midwatch.model.findings import OF_BUDGETS, Hypothesis, Incident
from midwatch.model.state import ActionRecord, State

PROBABLE: Final = 0.4  # less probable causes are not named in an update
NO_FIX: Final = "midwatch has no fix for it"

_DOING: Final[dict[str, tuple[str, str, str]]] = {
    "resize_pool": ("resizing the pool", "resize the pool", "resized the pool"),
    "restart": ("restarting", "restart", "restarted"),
    "rollback_deploy": ("rolling back the deploy", "roll back the deploy", "rolled back the deploy"),
    "deploy": ("deploying", "deploy", "deployed"),
    "rollback_config": (
        "rolling back the configuration",
        "roll back the configuration",
        "rolled back the configuration",
    ),
    "apply_config": ("applying a configuration", "apply a configuration", "applied a configuration"),
    "set_flag": ("setting the flag", "set the flag", "set the flag"),
    "drain_instance": ("draining the instance", "drain the instance", "drained the instance"),
    "undrain_instance": ("undraining the instance", "undrain the instance", "undrained the instance"),
    "drain_region": ("draining the region", "drain the region", "drained the region"),
    "undrain_region": ("undraining the region", "undrain the region", "undrained the region"),
    "scale_out": ("adding instances", "add instances", "added instances"),
    "scale_in": ("removing instances", "remove instances", "removed instances"),
    "shed_load": ("shedding load", "shed load", "shed load"),
    "unshed_load": ("no longer shedding load", "stop shedding load", "stopped shedding load"),
    "kill_session": ("ending the blocking session", "end the blocking session", "ended the blocking session"),
    "rebuild_index": ("rebuilding the index", "rebuild the index", "rebuilt the index"),
    "renew_certificate": ("renewing the certificate", "renew the certificate", "renewed the certificate"),
    "flush_cache": ("flushing the cache", "flush the cache", "flushed the cache"),
    "bypass_cache": ("bypassing the cache", "bypass the cache", "bypassed the cache"),
    "free_disk": ("freeing disk space", "free disk space", "freed disk space"),
}


_BETWEEN: Final[dict[str, str]] = {
    "resize_pool": "of", "rollback_deploy": "of", "rollback_config": "of", "renew_certificate": "of", "flush_cache": "of",
    "deploy": "to", "apply_config": "to", "scale_out": "to", "scale_in": "from", "bypass_cache": "for",
    "set_flag": "in", "kill_session": "in", "rebuild_index": "in", "shed_load": "at", "unshed_load": "at",
    "restart": "", "drain_instance": "", "undrain_instance": "", "drain_region": "", "undrain_region": "",
}  # fmt: skip
"""The word between what is done and its target; "on" for all others."""


@dataclass(frozen=True)
class Words:
    """``text`` for people; ``facts`` are its numbers by name; ``gist`` changes exactly when something worth an update
    does, ``pace`` also when only a number moved."""

    text: str
    facts: dict[str, Scalar]
    gist: str
    pace: str = ""


def clock(at: float) -> str:
    """``09:41``, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M")


def percent(ratio: float) -> str:
    """``15`` for 0.15, ``0.4`` for 0.004: as many digits as help. What is not known is not 0."""
    if math.isnan(ratio):
        return "unknown"
    value = 100 * ratio
    return f"{value:.0f}" if value >= 2 else f"{value:.1g}" if value > 0 else "0"


_SHOWS: Final = {
    "error_shift": "errors",
    "latency_shift": "slow",
    "traffic_drop": "missing",
    **dict.fromkeys(sorted(OF_BUDGETS), "unkept"),
}
"""What a finding shows of requests, what says most first: a budget that burns says only that they are not as was promised.
Alerts, dying processes and waiting messages show nothing."""
_HAPPENS: Final = {
    "": ("", ""),
    "slow": ("are answered slowly", "were answered slowly"),
    "missing": ("do not reach us", "did not reach us"),
    "unkept": ("are not served as promised", "were not served as promised"),
}
_TROUBLES: Final = {
    "slow": "elevated response times",
    "missing": "missing traffic",
    "unkept": "a promise that is not kept",
}


def harm(incident: Incident) -> str:
    """What was measured of users' requests: ``errors``, ``slow``, ``missing``, ``unkept`` (less well than promised); ""
    where nothing was, and nothing may be said."""
    if incident.impact is not None:
        return incident.impact.what if incident.impact.what in _TROUBLES else "errors"
    kinds = {ident.partition("|")[0] for ident in incident.findings}
    return next((what for kind, what in _SHOWS.items() if kind in kinds), "")


def happens(incident: Incident, over: bool) -> str:
    """What becomes of requests: ``fail``, ``were answered slowly``; "" where nothing was measured."""
    return _HAPPENS.get(harm(incident), ("fail", "failed"))[over]


def plain(value: float) -> str:
    """A number as it is printed, without noise."""
    if math.isnan(value):
        return "unknown"
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def doing(verb: str) -> str:
    """``resizing the pool``."""
    return _DOING[verb][0] if verb in _DOING else f"running {verb}"


def to_do(verb: str) -> str:
    """``resize the pool``."""
    return _DOING[verb][1] if verb in _DOING else f"run {verb}"


def did(verb: str) -> str:
    """``resized the pool``."""
    return _DOING[verb][2] if verb in _DOING else f"ran {verb}"


def at_target(verb: str, target: str) -> str:
    """`` of payment`` for a pool, `` payment`` for a restart: what follows the verb."""
    between = _BETWEEN.get(verb, "on")
    return f" {between} {place(target)}" if between else f" {place(target)}"


def cause_words(hypothesis: Hypothesis) -> str:
    """``connection pool exhausted in payment``."""
    return f"{DESCRIPTIONS.get(hypothesis.kind, hypothesis.kind.replace('_', ' '))} in {place(hypothesis.entity)}"


def update(state: State, incident: Incident, now: float | None = None) -> Words:
    """The incident update: what, how much, since when; how bad; why; what midwatch does about it; until when. ``now`` is
    when it is read (unix seconds), by default the time of the newest journal entry."""
    if incident.merged_into:
        text = f"{incident.id} is part of {incident.merged_into}: what becomes of it is told there."
        return Words(text, {"merged_into": incident.merged_into}, "merged", "")
    facts: dict[str, Scalar] = {}
    parts = [_what(incident, facts), _rating(incident, facts)]
    if incident.phase != "resolved":
        parts.append(_cause(incident, facts))
        parts.append(_action(state, incident, facts, state.at if now is None else now))
    elif incident.confirmed_cause:
        entity, _, kind = incident.confirmed_cause.partition(" ")
        parts.append(f"cause: {DESCRIPTIONS.get(kind, kind)} in {place(entity)}")
        facts["cause"] = incident.confirmed_cause
    text = "; ".join(part for part in parts if part) + "."
    latest = _latest(state, incident)
    top = incident.hypotheses[0] if incident.hypotheses else None
    named = f"{top.entity} {top.kind}" if top and top.probability >= PROBABLE else "unknown"
    status = f"{latest.action.id} {'busy' if under_way(latest) else latest.status}" if latest else ""
    if NO_FIX in parts:
        status = "none"
    ended = "over" if incident.phase == "resolved" else "calm" if incident.calm_since_at is not None else "hurting"
    gist = f"{incident.severity}|{ended}|{status}|{named}|{state.hands_off}"
    affected = incident.impact.affected_ratio if incident.impact else 0.0
    pace = str(sum(affected >= step for step in (0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75)))
    return Words(text[0].upper() + text[1:], facts, gist, pace)


def _rating(incident: Incident, facts: dict[str, Scalar]) -> str:
    facts["severity"] = incident.severity
    if incident.worst == incident.severity:
        return f"SEV{incident.severity}"
    facts["worst_severity"], facts["severity_reason"] = incident.worst, incident.severity_reason
    why = f" ({incident.severity_reason})" if incident.phase != "resolved" and incident.severity_reason else ""
    return f"SEV{incident.severity}{why}, was SEV{incident.worst}"


def _what(incident: Incident, facts: dict[str, Scalar]) -> str:
    since = clock(incident.impact.since_at if incident.impact else incident.onset_at)
    facts["since"] = since
    impact = incident.impact
    if incident.phase == "resolved" and incident.resolved_at is not None:
        until = clock(incident.resolved_at)
        facts["resolved"] = until
        return f"resolved at {until} UTC: {_trouble(incident, facts)} since {since}"
    calm = f", calm since {clock(incident.calm_since_at)}" if incident.calm_since_at is not None else ""
    if calm and incident.calm_since_at is not None:
        facts["calm_since"] = clock(incident.calm_since_at)
    if not harm(incident):
        return f"{_trouble(incident, facts)} since {since} UTC{calm}"
    if impact is None or math.isnan(impact.affected_ratio):
        return f"{_trouble(incident, facts)}; how many requests are affected is not known, since {since} UTC{calm}"
    facts["affected_percent"] = percent(impact.affected_ratio)
    verb = "affected" if calm else "affecting"
    return f"{_trouble(incident, facts)}, {verb} {facts['affected_percent']} % of transactions since {since} UTC{calm}"


def _trouble(incident: Incident, facts: dict[str, Scalar]) -> str:
    where = place(incident.impact.entry) if incident.impact and incident.impact.entry else ""
    blamed = incident.hypotheses[0] if incident.hypotheses else None
    if not harm(incident):
        facts["where"] = place(incident.symptoms[0]) if incident.symptoms else incident.title
        return incident.title
    if blamed and blamed.probability >= PROBABLE:
        where = place(blamed.entity)
    where = where or (place(incident.symptoms[0]) if incident.symptoms else "")
    what = _TROUBLES.get(harm(incident), "elevated error rates")
    facts["where"] = where or incident.title
    return f"{what} in {where}" if where else incident.title or what


def _cause(incident: Incident, facts: dict[str, Scalar]) -> str:
    if incident.confirmed_cause:
        entity, _, kind = incident.confirmed_cause.partition(" ")
        facts["cause"] = incident.confirmed_cause
        return f"cause: {DESCRIPTIONS.get(kind, kind)} in {place(entity)}"
    top = incident.hypotheses[0] if incident.hypotheses else None
    if top is None:
        return "cause unknown: nothing points anywhere yet" if incident.diagnosed_at else "cause not yet known"
    if top.probability < PROBABLE:
        facts["cause_probability_percent"] = percent(top.probability)
        facts["cause"] = f"{top.entity} {top.kind}"
        return f"cause unknown: {cause_words(top)} leads with {facts['cause_probability_percent']} %"
    because = best_evidence(top)
    facts["cause"] = f"{top.entity} {top.kind}"
    if because:
        facts["evidence"] = because
        for evidence in top.evidence:
            if evidence.text == because:
                facts |= {"evidence_value": plain(evidence.value), "evidence_baseline": plain(evidence.baseline)}
    return f"likely cause: {cause_words(top)}" + (f" ({because})" if because else "")


def best_evidence(hypothesis: Hypothesis) -> str:
    """The text of the evidence that speaks loudest for it, in units that a person can check."""
    best = max((e for e in hypothesis.evidence if e.weight > 0 and e.text), key=lambda e: e.weight, default=None)
    return best.text.rstrip(".") if best else ""


def _latest(state: State, incident: Incident) -> ActionRecord | None:
    """What midwatch does, did or would do: the action under way, or else the newest that was not just refused."""
    records = state.actions_of(incident.id)
    busy = [r for r in records if under_way(r)]
    told = busy or [r for r in records if r.status not in ("refused", "dropped")]
    return max(told, key=lambda r: (r.ordered_at or r.judged_at, r.judged_at), default=None)


def _action(state: State, incident: Incident, facts: dict[str, Scalar], now: float) -> str:
    if state.hands_off:
        facts["hands_off_by"] = state.hands_off_by
        return f"hands off: midwatch touches nothing ({state.hands_off_by or 'somebody'} said so)"
    record = _latest(state, incident)
    if record is None:
        refused = [r for r in state.actions_of(incident.id) if r.status == "refused"]
        if refused:
            facts["refused_why"] = refused[-1].verdict.why
            return f"midwatch does not {to_do(refused[-1].action.verb)}: {refused[-1].verdict.why}"
        looked = now - incident.opened_at > state.policy.settle_seconds  # before that nobody looks for one
        return NO_FIX if incident.hypotheses and looked else ""
    action = record.action
    on = "" if action.target == action.hypothesis_entity else at_target(action.verb, action.target)
    what = f"{doing(action.verb)}{on}{_with(action, facts)}"
    plan = f"{to_do(action.verb)}{on}{_with(action, facts)}"
    done = f"{did(action.verb)}{on}{_with(action, facts)}"
    facts |= {"action": action.id, "target": action.target}
    if action.undo_of:
        facts["undo_of"] = action.undo_of
    match record.status:
        case "rehearsed":
            facts["verdict_why"] = record.verdict.why
            return f"would {plan} ({record.verdict.why})"
        case "asked":
            return f"waits for a yes to {plan} ({action.id})"
        case "approved" | "ordered":
            return f"now {'taking back: ' if action.undo_of else ''}{what}{_expected(record, facts)}"
        case "done" if not action.undo_of:
            return f"now {what}{_expected(record, facts)}"
        case "done":
            return f"{done}, which takes {action.undo_of} back"
        case "met":
            return f"{done}, and it helped"
        case "missed":
            return f"{done}, and it did not help"
        case "failed":
            return f"could not {plan}"
        case "in_doubt":
            return f"tried to {plan}, and nobody knows whether it took effect: a person must look"
        case "unknown":
            return f"{done}, and there is no data that shows whether it helped: a person must look"
    return ""


def _with(action: Action, facts: dict[str, Scalar]) -> str:
    if not action.parameters:
        return ""
    facts |= {f"parameter_{name}": value for name, value in action.parameters.items()}
    return " (" + ", ".join(f"{name} {value}" for name, value in sorted(action.parameters.items())) + ")"


def _expected(record: ActionRecord, facts: dict[str, Scalar]) -> str:
    expected = record.action.expectation
    since = record.ended_at if record.ended_at is not None else record.ordered_at
    if expected is None or since is None:
        return ""
    facts["recover_by"] = clock(since + expected.within_seconds + 59)  # up to the next full minute
    return f"; expect recovery by {facts['recover_by']}"


def phone(state: State, incident: Incident, reasons: tuple[str, ...] = ()) -> str:
    """The text of a page: the update, why it pages, what midwatch just did, where it says what to do, the commands that
    answer it, and its page at the console."""
    lines = [update(state, incident).text, *(reason for reason in reasons if reason)]
    for record in state.actions_of(incident.id):
        action = record.action
        if record.status == "asked":
            lines.append(f"Say yes: midwatch approve {action.id}. Say no: midwatch refuse {action.id}.")
        elif record.status == "ordered":
            lines.append(f"midwatch is {doing(action.verb)}{at_target(action.verb, action.target)} ({action.id}).")
        elif record.status in ("done", "met", "unknown") and action.undo_verb and not action.undo_of:
            done = f"midwatch {did(action.verb)}{at_target(action.verb, action.target)}"
            lines.append(f"{done}. Take it back: midwatch undo {action.id}.")
    lines += [f"Runbook: {link}" for link in runbooks(state, incident)]
    lines += page_lines(state, incident)
    if not incident.acknowledged_by and incident.phase != "resolved":
        lines.append(f"Acknowledge: midwatch ack {incident.id}.")
    if link := at_console(state, incident):
        lines.append(link)  # bare and last: telephones make it one to press
    return "\n".join(lines)


def at_console(state: State, incident: Incident) -> str:
    """The address of the incident's page, where it is acknowledged; "" when no file says where people reach the console."""
    return f"{state.policy.console}/incidents/{incident.id}" if state.policy.console else ""
