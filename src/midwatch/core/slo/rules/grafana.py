"""A Grafana dashboard over the recorded rules of either form: objective, SLI, budget that remains, burn rates by window and
what was counted, for one promise at a time. The data source is a variable, so it can be imported anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from midwatch.core.slo.rules import sloth
from midwatch.core.slo.rules.common import window_name
from midwatch.core.slo.rules.native import STEP_SECONDS, step_seconds, windows
from midwatch.model.slo import Slo

SCHEMA_VERSION: Final = 39
_DATA_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH: Final = 24
_BUDGET_STEPS: Final[list[dict[str, Any]]] = [
    {"color": "red", "value": None},
    {"color": "orange", "value": 0},
    {"color": "green", "value": 0.25},
]
_BURN_STEPS: Final[list[dict[str, Any]]] = [
    {"color": "green", "value": None},
    {"color": "orange", "value": 1},
    {"color": "red", "value": 6},
]


def dashboard(slos: Iterable[Slo], compat: str = "") -> dict[str, Any]:
    """The dashboard's JSON as plain data (schema 39, Grafana 10 and later). ``compat``: "" reads midwatch's own rules,
    "sloth" those of its Sloth form."""
    chosen = tuple(slos)
    label = "sloth_id" if compat == "sloth" else "slo"
    here = f'{{{label}=~"$slo"}}'
    panels = [
        _stat("Objective", f"slo:objective:ratio{here}", "percentunit", 0, []),
        _stat("Budget remaining", f"slo:period_error_budget_remaining:ratio{here}", "percentunit", 6, _BUDGET_STEPS),
        _stat("Burn rate now", f"slo:current_burn_rate:ratio{here}", "none", 12, _BURN_STEPS),
        _stat("Burn rate of the period", f"slo:period_burn_rate:ratio{here}", "none", 18, _BURN_STEPS),
        _graph(
            "SLI",
            [(f"1 - slo:sli_error:ratio_rate{w}{here}", w) for w in _windows(chosen, compat)[:3]],
            5,
            "percentunit",
        ),
        _graph(
            "Budget remaining",
            [(f"slo:period_error_budget_remaining:ratio{here}", f"{{{{{label}}}}}")],
            14,
            "percentunit",
        ),
        _graph("Burn rates by window", [(_burn(w, here, label), w) for w in _windows(chosen, compat)], 23, "none"),
    ]
    if compat != "sloth":
        steps = sorted({window_name(step_seconds(slo)) for slo in chosen}) or [window_name(STEP_SECONDS)]
        counted = [
            (f"slo:sli_{what}:count{step}{here}", f"{what} in {step}") for step in steps for what in ("total", "good")
        ]
        panels.append(_graph("Events", counted, 32, "short"))
    return {
        "title": "Service level objectives" + (" (Sloth form)" if compat == "sloth" else ""),
        "uid": f"midwatch-slos{'-sloth' if compat == 'sloth' else ''}",
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "tags": ["midwatch", "slo"],
        "time": {"from": "now-7d", "to": "now"},
        "refresh": "5m",
        "timezone": "browser",
        "templating": {"list": [_source_variable(), _slo_variable(label)]},
        "annotations": {"list": []},
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels, 1)],
    }


def _windows(slos: tuple[Slo, ...], compat: str) -> list[str]:
    """Every window that any of the promises records, shortest first."""
    found: set[float] = set()
    for slo in slos:
        if compat == "sloth":
            tiers = sloth.tiers_of(slo)
            found |= {w for t in tiers for w in (t.short_seconds, t.long_seconds)} | {slo.period_seconds}
        else:
            found |= set(windows(slo, step_seconds(slo)))
    return [window_name(seconds) for seconds in sorted(found)]


def _burn(window: str, here: str, label: str) -> str:
    return f"slo:sli_error:ratio_rate{window}{here} / on ({label}) group_left () slo:error_budget:ratio{here}"


def _panel(kind: str, title: str, targets: list[tuple[str, str]], unit: str) -> dict[str, Any]:
    return {
        "type": kind,
        "title": title,
        "datasource": _DATA_SOURCE,
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _DATA_SOURCE, "expr": expr, "legendFormat": legend}
            for number, (expr, legend) in enumerate(targets)
        ],
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
    }


def _stat(title: str, expr: str, unit: str, x: int, steps: list[dict[str, Any]]) -> dict[str, Any]:
    panel = _panel("stat", title, [(expr, "")], unit)
    panel["gridPos"] = {"x": x, "y": 0, "w": 6, "h": 5}
    panel["fieldConfig"]["defaults"] |= {"decimals": 3, "noValue": "no data"}
    if steps:
        panel["fieldConfig"]["defaults"]["thresholds"] = {"mode": "absolute", "steps": steps}
    panel["options"] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value" if steps else "none"}
    return panel


def _graph(title: str, targets: list[tuple[str, str]], y: int, unit: str) -> dict[str, Any]:
    panel = _panel("timeseries", title, targets, unit)
    panel["gridPos"] = {"x": 0, "y": y, "w": _WIDTH, "h": 9}
    # A gap is shown as a gap: no traffic and no data are not zero errors.
    panel["fieldConfig"]["defaults"]["custom"] = {"drawStyle": "line", "lineWidth": 1, "spanNulls": False}
    return panel


def _source_variable() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1}


def _slo_variable(label: str) -> dict[str, Any]:
    return {
        "name": "slo",
        "label": "SLO",
        "type": "query",
        "datasource": _DATA_SOURCE,
        "query": {"query": f"label_values(slo:objective:ratio, {label})", "refId": "slo"},
        "definition": f"label_values(slo:objective:ratio, {label})",
        "refresh": 2,
        "sort": 1,
        "multi": False,
        "includeAll": False,
    }
