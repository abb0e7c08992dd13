"""OpenSLO's alert policies -> burn-rate tiers and what an alert carries.

A condition ``burnrate`` has one window, a tier has two. ``alertAfter`` says for how long it must hold, and that is what a
short window is for, so it becomes the short window; without it a twelfth of the long one, as the Site Reliability
Workbook (chapter 5) has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from midwatch.model.indicators import Alerting
from midwatch.model.slo import BurnTier
from midwatch.shell.files.specs import openslo_v1 as v1
from midwatch.shell.files.yaml_lines import Document, Place, Problem

Find = Callable[[str, str, Document, Place], tuple[Document, Any] | Problem]
_NOTIFY: Final = "notify"
_TICKETS: Final = frozenset({"ticket", "warning", "warn", "info", "low", "minor", "notice", "email", "none"})


@dataclass
class Alerts:
    """What the policies of one promise say together. ``tiers`` is None when it has no policies."""

    tiers: tuple[BurnTier, ...] | None = None
    alerting: Alerting | None = None
    problems: list[Problem] = field(default_factory=list)


def alerts_of(document: Document, policies: list[v1.Policy], find: Find) -> Alerts:
    """The tiers of ``spec.alertPolicies``. ``find(kind, name, document, place)`` gives what a reference names."""
    if not policies:
        return Alerts()
    found = Alerts()
    tiers: list[BurnTier] = []
    names: list[str] = []
    targets: list[str] = []
    absent = False
    for index, policy in enumerate(policies):
        place: Place = ("spec", "alertPolicies", index)
        home, spec, name = document, policy.spec, policy.metadata.name if policy.metadata else ""
        inside: Place = (*place, "spec")
        if policy.alertPolicyRef is not None:
            named = find("AlertPolicy", policy.alertPolicyRef, document, (*place, "alertPolicyRef"))
            if isinstance(named, Problem):
                found.problems.append(named)
                continue
            home, inside, name, spec = named[0], ("spec",), policy.alertPolicyRef, named[1].spec
        assert spec is not None  # the model saw to it
        names.append(name)
        absent = absent or spec.alertWhenNoData
        tier = _tier(home, inside, spec.conditions[0], find)
        if isinstance(tier, Problem):
            found.problems.append(tier)
        elif spec.alertWhenBreaching:
            tiers.append(tier)
        for number, target in enumerate(spec.notificationTargets):
            said = _target(home, (*inside, "notificationTargets", number), target, find)
            if isinstance(said, Problem):
                found.problems.append(said)
            elif said not in targets:
                targets.append(said)
    found.tiers = tuple(tiers)
    annotations = {_NOTIFY: ", ".join(targets)} if targets else {}
    found.alerting = Alerting(name=names[0] if len(names) == 1 else "", annotations=annotations, absent=absent)
    return found


def _tier(document: Document, place: Place, condition: v1.Condition, find: Find) -> BurnTier | Problem:
    at: Place = (*place, "conditions", 0)
    name, spec = condition.metadata.name if condition.metadata else "", condition.spec
    home, inside = document, (*at, "spec")
    if condition.conditionRef is not None:
        named = find("AlertCondition", condition.conditionRef, document, (*at, "conditionRef"))
        if isinstance(named, Problem):
            return named
        home, inside, name, spec = named[0], ("spec",), condition.conditionRef, named[1].spec
    assert spec is not None  # the model saw to it
    body = spec.condition
    where = (*inside, "condition")
    if body.op in ("lte", "lt"):
        message, hint = "would alert while the budget is not burning", "write op: gt"
        return home.problem((*where, "op"), message, hint, "openslo.alert-backwards")
    if not body.threshold > 0:
        return home.problem((*where, "threshold"), "must be above 0", "", "value-invalid")
    long = body.lookbackWindow.seconds
    after = body.alertAfter.seconds if body.alertAfter else 0.0
    short = after if 0 < after < long else long / 12
    return BurnTier(name, body.threshold, long, short, spec.severity.lower() not in _TICKETS)


def _target(document: Document, place: Place, target: v1.NotificationTarget, find: Find) -> str | Problem:
    if target.targetRef is None:
        return target.metadata.name if target.metadata else ""
    named = find("AlertNotificationTarget", target.targetRef, document, (*place, "targetRef"))
    return named if isinstance(named, Problem) else target.targetRef
