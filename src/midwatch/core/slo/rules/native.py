"""midwatch's own form: good and total are counted once for each step, and every window is derived from their sums.

    slo:sli_total:count5m, slo:sli_good:count5m     events of the last 5 minutes, recorded each 5 minutes
    slo:sli_error:ratio_rate<window>                1 - sum(good) / sum(total) over the window, for every window

A ratio of sums is right whatever the traffic: an idle step adds nothing to either sum, a busy one weighs what it carries.
An average of ratios is none of that: one idle step makes it NaN, and a night counts as much as a day. A window without
traffic has no ratio; a step that nobody could count has no sample; a step without events has the sample 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

from midwatch.core.slo import exact as exactly
from midwatch.core.slo.queries import Counting, counting
from midwatch.core.slo.rules import Group, Rule
from midwatch.core.slo.rules.common import alert, label_names, notice, number, record, selector, window_name
from midwatch.core.slo.tiers import guards, stretched, tiers_of
from midwatch.model.indicators import Alerting
from midwatch.model.slo import STANDARD_TIERS, AlertRules, BurnTier, Slo

STEP_SECONDS: Final = 300.0
ALERT_NAME: Final = "SloBurnsTooFast"
_BREAKS: Final = re.compile(r"\s*\n\s*")
Failed = Callable[[float], str]
"""PromQL that gives how many events failed in a window (seconds), fit to stand behind ``and``."""
RESERVED: Final = frozenset({"slo", "slo_service", "slo_severity"})


def group(slo: Slo, rules: AlertRules = AlertRules()) -> Group:
    """The rule group of one promise, in the order in which its rules build on each other. Raises ConfigError when the
    promise cannot be counted by queries."""
    step = step_seconds(slo)
    asked = counting(slo, window_name(step))
    labels = own_labels(slo)
    return {
        "name": f"midwatch-slo-{slo.name}",
        "interval": window_name(step),
        "rules": [
            *_counts(slo, asked, step, labels),
            *(record(ratio_name(w), ratio(slo, w, step), labels) for w in windows(slo, step)),
            *meta(slo, step, labels),
            *alerts(slo, step, guards(slo, rules)),
        ],
    }


def step_seconds(slo: Slo) -> float:
    """How long one count is: five minutes, or one time slice."""
    return slo.slices.seconds if slo.slices is not None else STEP_SECONDS


def own_labels(slo: Slo) -> dict[str, str]:
    """What every recorded series carries besides the labels to group by."""
    team = label_names(slo.labels, reserved=RESERVED | frozenset(slo.group_by))
    return {**team, "slo": slo.name, "slo_service": slo.service or slo.entity.rpartition(":")[2]}


def windows(slo: Slo, step: float) -> list[float]:
    """Every window whose ratio is recorded, shortest first: a step, those of the tiers, and the period."""
    found = {step, slo.period_seconds}
    for tier in stretched(tiers_of(slo, STANDARD_TIERS), step):
        found |= {tier.short_seconds, tier.long_seconds}
    return sorted(found)


def ratio_name(window: float) -> str:
    return f"slo:sli_error:ratio_rate{window_name(window)}"


def summed(slo_name: str, what: str, window: float, step: float) -> str:
    """The sum of the steps' counts (``what``: good or total) over ``window``. The range ends half a step early, or it
    would hold the step before its first one too (both ends count in Prometheus 2)."""
    steps = max(1, math.floor(window / step + 0.5))
    counts = selector(f"slo:sli_{what}:count{window_name(step)}", {"slo": slo_name}, window_name((steps - 0.5) * step))
    return f"sum_over_time({counts})"


def ratio(slo: Slo, window: float, step: float) -> str:
    """The bad share of the window's events. Without events there is none: that is neither good nor bad, and never NaN."""
    return f"1 - {summed(slo.name, 'good', window, step)} / ({summed(slo.name, 'total', window, step)} > 0)"


def _counts(slo: Slo, asked: Counting, step: float, labels: dict[str, str]) -> list[Rule]:
    name = f"count{window_name(step)}"
    on = f"on ({', '.join(slo.group_by)})"
    whole = selector(f"slo:sli_total:{name}", {"slo": slo.name})
    total = _exact(asked.total, step)
    if slo.slices is not None:
        return _slices(slo, total, _exact(asked.good, step), name, labels)
    if asked.bad:
        # No series of errors is no error: left out of the sum it would take the good ones with it.
        part = f"{whole} - {on} (({_exact(asked.bad, step)}) or {on} {whole} * 0)"
    else:
        # Good events without a total, or none beside one, would both be wrong sums.
        part = f"(({_exact(asked.good, step)}) and {on} {whole}) or {on} {whole} * 0"
    return [record(f"slo:sli_total:{name}", total, labels), record(f"slo:sli_good:{name}", part, labels)]


def _slices(slo: Slo, total: str, good: str, name: str, labels: dict[str, str]) -> list[Rule]:
    """A slice is one event: good when its own ratio is, or as good as its ratio. A slice without events counts nothing."""
    assert slo.slices is not None
    on = f"on ({', '.join(slo.group_by)})"
    share = f"((({good}) or {on} ({total}) * 0) / {on} (({total}) > 0))"
    if slo.slices.rule == "good":
        share = f"{share} >= bool {number(slo.slices.target)}"
    whole = selector(f"slo:sli_total:{name}", {"slo": slo.name})
    return [
        record(f"slo:sli_total:{name}", f"({total}) > bool 0", labels),
        record(f"slo:sli_good:{name}", f"({share}) or {on} {whole} * 0", labels),
    ]


def _exact(query: str, step: float) -> str:
    """Counted from differences, on one line: laid out as a tree it is forty (string literals hold no line breaks)."""
    return _BREAKS.sub(" ", exactly.exact(query, step)).strip()


def meta(slo: Slo, step: float, labels: dict[str, str], covered: str = "") -> list[Rule]:
    """What dashboards show beside the ratios. The budget that remains is of the whole period: until counts cover it, what
    is missing is taken to carry the mean traffic so far and no errors, or the first error after a start would spend all.
    ``covered`` is PromQL for that share of the period (0..1)."""
    here = {"slo": slo.name}
    budget = number(1 - slo.target)
    shortest, period = windows(slo, step)[0], slo.period_seconds
    steps = math.floor(period / step + 0.5)
    held = selector(f"slo:sli_total:count{window_name(step)}", here, window_name((steps - 0.5) * step))
    covered = covered or f"clamp_max(count_over_time({held}) / {steps}, 1)"
    info = {**labels, "slo_objective": number(slo.target * 100), "slo_owner": slo.owner, "slo_form": "native"}
    found = [
        record("slo:objective:ratio", f"vector({number(slo.target)})", labels),
        record("slo:error_budget:ratio", f"vector({budget})", labels),
        record("slo:time_period:days", f"vector({number(period / 86400)})", labels),
        record("midwatch_slo_info", "vector(1)", {k: v for k, v in info.items() if v}),
    ]
    if slo.target < 1:
        found += [
            record("slo:current_burn_rate:ratio", f"{selector(ratio_name(shortest), here)} / {budget}", labels),
            record("slo:period_burn_rate:ratio", f"{selector(ratio_name(period), here)} / {budget}", labels),
            record(
                "slo:period_error_budget_remaining:ratio",
                f"1 - {selector('slo:period_burn_rate:ratio', here)} * {covered}",
                labels,
            ),
        ]
    return found


def alerts(slo: Slo, step: float, rules: AlertRules, failed: Failed | None = None) -> list[Rule]:
    """One alert for each urgency, of all its tiers, and one for series that are gone when that was asked for. ``rules`` are
    those that hold for this promise (``tiers.guards``), ``failed`` counts the failures that they ask for."""
    alerting = slo.alerting or Alerting()
    found: list[Rule] = []
    for pages, severity in ((True, "page"), (False, "ticket")):
        tiers = [
            t
            for t in stretched(tiers_of(slo, STANDARD_TIERS), step)
            if t.pages == pages and t.factor * (1 - slo.target) < 1
        ]
        told = notice(alerting, pages)
        if not tiers or told.disabled or slo.target >= 1:
            continue
        expr = "\nor\n".join(f"(\n{_fires(slo, tier, step, rules, failed)}\n)" for tier in tiers)
        texts = {
            "summary": f"{slo.name} burns its error budget too fast",
            "description": f"{{{{ $value | humanizePercentage }}}} of the events fail; {number(100 * (1 - slo.target))} %"
            f" may over {window_name(slo.period_seconds)}.",
        }
        more = {"for": window_name(rules.for_seconds)} if rules.for_seconds > 0 else {}
        found.append(
            alert(
                alerting.name or ALERT_NAME,
                expr,
                {
                    "severity": severity,
                    **label_names(told.labels, reserved=RESERVED),
                    "slo": slo.name,  # the series has it too; promtool takes alerts with equal labels for one
                    "slo_severity": severity,
                },
                {**texts, **told.annotations},
                **more,
            )
        )
    return [*found, *([_absent(slo, step, alerting)] if alerting.absent else [])]


def _fires(slo: Slo, tier: BurnTier, step: float, rules: AlertRules, failed: Failed | None) -> str:
    """One tier: both windows burn too fast, and, where events are counted, enough of them failed in the long one."""
    threshold = tier.factor * (1 - slo.target)
    here = {"slo": slo.name}
    short, long = tier.short_seconds, tier.long_seconds
    lines = [
        f"{selector(ratio_name(short), here)} > {number(threshold)}",
        f"and {selector(ratio_name(long), here)} > {number(threshold)}",
    ]
    total = summed(slo.name, "total", long, step)
    bad = f"({total} - {summed(slo.name, 'good', long, step)})"
    if rules.min_failures > 0:
        lines.append(f"and {failed(long) if failed else bad} >= {number(rules.min_failures)}")
    if not tier.pages and rules.ticket_z > 0:
        spread = number(rules.ticket_z * math.sqrt(threshold * (1 - threshold)))
        lines.append(f"and {bad} > ({total} * {number(threshold)} + {spread} * sqrt({total}))")
    return "\n".join(f"  {line}" for line in lines)


def _absent(slo: Slo, step: float, alerting: Alerting) -> Rule:
    told = notice(alerting, False)
    labels = {**label_names(told.labels, reserved=RESERVED), "slo": slo.name, "slo_severity": "ticket"}
    return alert(
        f"{alerting.name or ALERT_NAME}NoData",
        f"absent({selector(f'slo:sli_total:count{window_name(step)}', {'slo': slo.name})})",
        {"severity": "ticket", **labels},
        {"summary": f"No series match the query for the events of {slo.name}: its budget is unknown"},
        **{"for": window_name(2 * step)},
    )
