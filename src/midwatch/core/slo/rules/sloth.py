"""The rules that Sloth (https://sloth.dev) emits for the same promise: groups, names, labels, annotations and PromQL, so
that its dashboards and routes keep working. Its arithmetic comes with it: the period is an average of 5-minute ratios, and
``native`` says what that costs.

A promise that is no Sloth spec is written as Sloth would write it from OpenSLO, whose every query it divides as it stands.
"""

from __future__ import annotations

import textwrap
from typing import Final

from midwatch.core.slo import promql
from midwatch.core.slo.queries import counting
from midwatch.core.slo.rules import Group, Rule
from midwatch.core.slo.rules.common import alert, label_names, notice, number, record, selector, window_name
from midwatch.model.indicators import EventRatio, RawRatio
from midwatch.model.slo import STANDARD_TIERS, BurnTier, Slo

REFERENCE_DAYS: Final = 30.0
DAY_SECONDS: Final = 86400.0
SLO_ANNOTATION: Final = "sloth/slo"
_TITLE: Final = (
    "({urgency}) {{{{$labels.sloth_service}}}} {{{{$labels.sloth_slo}}}} SLO error budget burn rate is too fast."
)
_SUMMARY: Final = "{{$labels.sloth_service}} {{$labels.sloth_slo}} SLO error budget burn rate is over expected."
_BURN_MATCH: Final = "/ on(sloth_id, sloth_slo, sloth_service) group_left\n"


def groups(slo: Slo) -> list[Group]:
    """Sloth's two or three groups for one promise. Raises ConfigError when it cannot be counted by queries."""
    ident = identity(slo)
    tiers = tiers_of(slo)
    windows = sorted({w for tier in tiers for w in (tier.short_seconds, tier.long_seconds)})
    labels = {**label_names(slo.labels), **ident}
    name = ident["sloth_id"]
    found: list[Group] = [
        {"name": f"sloth-slo-sli-recordings-{name}", "rules": _ratios(slo, windows, ident, labels)},
        {"name": f"sloth-slo-meta-recordings-{name}", "rules": _meta(slo, windows[0], ident, labels)},
    ]
    alerts = _alerts(slo, tiers, ident)
    return [*found, {"name": f"sloth-slo-alerts-{name}", "rules": alerts}] if alerts else found


def identity(slo: Slo) -> dict[str, str]:
    """The three labels that Sloth's own queries select by."""
    service = slo.service or slo.entity.rpartition(":")[2]
    name = slo.annotations.get(SLO_ANNOTATION, slo.name)
    return {"sloth_id": f"{service}-{name}", "sloth_service": service, "sloth_slo": name}


def document_of(slo: Slo) -> tuple[str, str, str]:
    """What tells the spec documents apart that promises came from: Sloth writes one document for each."""
    ident = identity(slo)
    of_sloth = slo.name == ident["sloth_id"]
    # An OpenSLO document names its objectives by number.
    return (
        slo.source.rpartition(":")[0],
        ident["sloth_service"],
        "" if of_sloth else ident["sloth_slo"].rpartition("-")[0],
    )


def tiers_of(slo: Slo) -> tuple[BurnTier, ...]:
    """What the promise or the AlertWindows file says, else Sloth's: 2, 5, 10 and 10 % of the budget in fixed windows."""
    if slo.tiers:
        return slo.tiers
    scale = slo.period_seconds / (REFERENCE_DAYS * DAY_SECONDS)
    return tuple(BurnTier(t.name, t.factor * scale, t.long_seconds, t.short_seconds, t.pages) for t in STANDARD_TIERS)


def _name(window: float) -> str:
    return f"slo:sli_error:ratio_rate{window_name(window)}"


def _ratios(slo: Slo, windows: list[float], ident: dict[str, str], labels: dict[str, str]) -> list[Rule]:
    rules = [
        record(_name(w), error_ratio(slo, window_name(w)), {**labels, "sloth_window": window_name(w)}) for w in windows
    ]
    if slo.period_seconds in windows:
        return rules
    period = window_name(slo.period_seconds)
    shortest = selector(_name(windows[0]), ident, period)
    mean = f"sum_over_time({shortest})\n/ ignoring (sloth_window)\ncount_over_time({shortest})\n"
    return [*rules, record(_name(slo.period_seconds), mean, {**labels, "sloth_window": period})]


def error_ratio(slo: Slo, window: str) -> str:
    """The bad share in one window, from the queries as the team wrote them."""
    what = slo.indicator
    if isinstance(what, RawRatio) and promql.is_template(what.query):
        query = promql.substitute(what.query, window)
        return f"({query})" if what.of == "bad" else f"1 - ({query})"
    if isinstance(what, EventRatio) and promql.is_template(what.total) and not slo.group_by:
        total = promql.substitute(what.total, window)
        if what.bad:
            return f"({promql.substitute(what.bad, window)})\n/\n({total})\n"
        good = promql.substitute(what.good, window)
        inner = f"(\n{textwrap.indent(good, '  ')}\n)\n/\n(\n{textwrap.indent(total, '  ')}\n)"
        return f"(\n  1 - (\n{textwrap.indent(inner, '    ')}\n  )\n)"
    asked = counting(slo, window)
    if asked.bad:
        return f"({asked.bad})\n/\n({asked.total})\n"
    return f"1 - (\n  ({asked.good})\n  /\n  ({asked.total})\n)"


def _meta(slo: Slo, shortest: float, ident: dict[str, str], labels: dict[str, str]) -> list[Rule]:
    target = number(slo.target)
    budget = selector("slo:error_budget:ratio", ident)

    def burn(window: float) -> str:
        return f"{selector(_name(window), ident)}\n{_BURN_MATCH}{budget}\n"

    of_sloth = slo.name == ident["sloth_id"]  # so the reader of Sloth's specs names them
    kubernetes = "kubernetes/name" in slo.annotations
    info = {
        **labels,
        "sloth_mode": "cli-gen-k8s" if kubernetes else "cli-gen-prom" if of_sloth else "cli-gen-openslo",
        "sloth_objective": number(slo.target * 100),
        "sloth_spec": "sloth.slok.dev/v1" if kubernetes else "prometheus/v1" if of_sloth else "openslo/v1alpha",
        "sloth_version": "dev",
    }
    return [
        record("slo:objective:ratio", f"vector({target})", labels),
        record("slo:error_budget:ratio", f"vector(1-{target})", labels),
        record("slo:time_period:days", f"vector({number(slo.period_seconds / DAY_SECONDS)})", labels),
        record("slo:current_burn_rate:ratio", burn(shortest), labels),
        record("slo:period_burn_rate:ratio", burn(slo.period_seconds), labels),
        record(
            "slo:period_error_budget_remaining:ratio",
            f"1 - {selector('slo:period_burn_rate:ratio', ident)}",
            labels,
        ),
        record("sloth_slo_info", "vector(1)", info),
    ]


def _alerts(slo: Slo, tiers: tuple[BurnTier, ...], ident: dict[str, str]) -> list[Rule]:
    """One alert for each urgency that is not disabled. OpenSLO's alert policies are none that Sloth reads."""
    if slo.alerting is None or not slo.alerting.name:
        return []
    found: list[Rule] = []
    for pages, urgency in ((True, "page"), (False, "ticket")):
        told = notice(slo.alerting, pages)
        own = [tier for tier in tiers if tier.pages == pages]
        if told.disabled or not own:
            continue
        expr = "or\n".join(_fires(slo, tier, ident) for tier in own)
        annotations = {"summary": _SUMMARY, "title": _TITLE.format(urgency=urgency), **told.annotations}
        found.append(alert(slo.alerting.name, expr, {**told.labels, "sloth_severity": urgency}, annotations))
    return found


def _fires(slo: Slo, tier: BurnTier, ident: dict[str, str]) -> str:
    threshold = f"({number(tier.factor)} * {number(1 - slo.target)})"

    def over(window: float) -> str:
        return f"    max({selector(_name(window), ident)} > {threshold}) without (sloth_window)\n"

    return f"(\n{over(tier.short_seconds)}    and\n{over(tier.long_seconds)})\n"
