"""What an action should change by when: written in the playbook, or derived from what hurts."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from midwatch.core.slo.measure import measure
from midwatch.model import signals
from midwatch.model.actions import Check, Expectation, Playbook
from midwatch.model.findings import ALERT, DYING, Finding, Hypothesis, Incident
from midwatch.model.state import State
from midwatch.model.world import World

_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
MAX_CHECKS: Final = 3
REMAINS: Final = 0.25  # of the excess over the baseline: so much may remain for "it fell"
BASELINE_SECONDS: Final = 120.0
CHANGE: Final = 0.7  # of what is seen now: the most that may remain in any case
CHECK_SECONDS: Final = 15.0
LIVES_SECONDS: Final = 40.0  # shorter than the pause between two deaths, and than what a playbook waits for
ERROR_FLOOR: Final = 0.02
SLOW_FLOOR: Final = 0.05
LAG_FLOOR_SECONDS: Final = 15.0


def expectation(
    state: State,
    world: World,
    incident: Incident,
    hypothesis: Hypothesis,
    target: str,
    playbook: Playbook,
    harmful: tuple[Finding, ...],
) -> Expectation:
    """The playbook's own checks (``target``, ``entity`` and ``symptom`` stand for keys), or one per symptom: what users
    feel has fallen to a quarter of its excess over the time before."""
    if playbook.expect_checks:
        names = {"target": target, "entity": hypothesis.entity, "symptom": _symptom(incident)}
        checks = tuple(replace(c, subject=names.get(c.subject, c.subject)) for c in playbook.expect_checks)
    else:
        checks = derived(state, world, incident, harmful)
    return Expectation(checks, playbook.expect_within_seconds, playbook.expect_hold_seconds)


def _symptom(incident: Incident) -> str:
    if incident.impact and incident.impact.entry:
        return incident.impact.entry
    return incident.symptoms[0] if incident.symptoms else ""


def derived(state: State, world: World, incident: Incident, harmful: tuple[Finding, ...]) -> tuple[Check, ...]:
    """At most ``MAX_CHECKS`` checks, the entry point's findings first, then the surest."""
    entry = _symptom(incident)
    felt = [f for f in harmful if f.kind != DYING]  # what users feel is the better judge, where they feel it
    ranked = sorted(felt or harmful, key=lambda f: (f.entity != entry, -f.log_bayes, f.id))
    checks: dict[tuple[str, str], Check] = {}
    for finding in ranked:
        check = _check(state, world, incident, finding)
        if check is not None:
            checks.setdefault((check.subject, check.signal), check)
    return tuple(checks.values())[:MAX_CHECKS]


def _check(state: State, world: World, incident: Incident, finding: Finding) -> Check | None:
    entity = finding.entity
    if finding.kind == ALERT:
        return None  # its sender knows what it measures; midwatch does not
    if finding.kind == DYING:
        return Check(entity, signals.RESTARTS, "<=", 0.0, "1/s", LIVES_SECONDS)
    slo = next((s for s in state.slos if s.name == finding.slo), None) if finding.slo else None
    if finding.kind == "queue_lag" or (slo is not None and slo.sli == "freshness"):
        worst = max(measure(world, entity, signals.QUEUE_LAG_SECONDS, CHECK_SECONDS), finding.value)
        worst = finding.value if math.isnan(worst) else worst
        limit = slo.threshold_ms / 1000 if slo is not None else max(LAG_FLOOR_SECONDS, 0.5 * worst)
        return Check(entity, signals.QUEUE_LAG_SECONDS, "<=", round(limit, 3), "s")
    if slo is not None and slo.sli == "latency":
        return _fell(world, incident, finding, f"slow_ratio:{slo.threshold_ms:g}", SLOW_FLOOR)
    if finding.kind == "latency_shift":  # it names the share of slow requests that it judged
        slow = finding.slo.startswith("slow_ratio:")
        return _fell(world, incident, finding, finding.slo, SLOW_FLOOR) if slow else _faster(world, incident, entity)
    if finding.kind == "traffic_drop":
        before = _before(world, incident, entity, "request_rate")
        return None if math.isnan(before) else Check(entity, "request_rate", ">=", round(0.6 * before, 4), "1/s")
    return _fell(world, incident, finding, "error_ratio", ERROR_FLOOR)


def _fell(world: World, incident: Incident, finding: Finding, signal: str, floor: float) -> Check:
    """The ratio is back to its baseline plus a quarter of the excess. ``floor`` is good enough, unless what is seen now
    is hardly worse: an action that changes nothing must not pass, so less is asked for over a longer window."""
    before = _before(world, incident, finding.entity, signal)
    if finding.unit == "ratio" and not math.isnan(finding.baseline):
        before = finding.baseline if math.isnan(before) else min(before, finding.baseline)
    before = 0.0 if math.isnan(before) else before
    now = measure(world, finding.entity, signal, CHECK_SECONDS)
    if math.isnan(now):
        now = finding.value if finding.unit == "ratio" else before
    allowed = min(before + REMAINS * max(0.0, now - before), CHANGE * now)
    if now <= 0 or CHANGE * now >= floor:
        return Check(finding.entity, signal, "<=", round(max(floor, allowed), 4), "ratio", CHECK_SECONDS)
    return Check(finding.entity, signal, "<=", round(max(before, CHANGE * now), 5), "ratio", 3 * CHECK_SECONDS)


def _faster(world: World, incident: Incident, entity: str) -> Check:
    """The mean is back to its baseline plus a quarter of the excess."""
    before = _before(world, incident, entity, "mean_ms")
    now = measure(world, entity, "mean_ms", CHECK_SECONDS)
    before = 0.0 if math.isnan(before) else before
    excess = 0.0 if math.isnan(now) else max(0.0, now - before)
    return Check(entity, "mean_ms", "<=", round(max(1.0, 1.1 * before + REMAINS * excess), 3), "ms", CHECK_SECONDS)


def holds(check: Check, value: float) -> bool | None:
    """Whether ``value`` is as the check wants it; None when there is no value."""
    return None if math.isnan(value) else _COMPARE[check.comparison](value, check.threshold)


def _before(world: World, incident: Incident, entity: str, signal: str) -> float:
    return measure(world, entity, signal, BASELINE_SECONDS, end_at=incident.onset_at - world.series.step_seconds)
