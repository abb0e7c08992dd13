"""A metric source of OpenSLO -> what midwatch counts.

``type: midwatch`` names a signal that midwatch counts itself. Everything else is asked of a source; its ``spec`` says

    query: PROMQL                           of a ratio's good, bad, total or raw, or of a threshold
    histogram: SELECTOR                     of a threshold: the _bucket series without le (or, kind: native, the histogram)
    gauge: SELECTOR                         of a threshold: a gauge that is 1 while well
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import Field

from midwatch.model.indicators import BoolGauge, EventRatio, Histogram, Indicator, RawRatio, Threshold
from midwatch.shell.files.parts import EntityKey, Part
from midwatch.shell.files.specs import openslo_v1 as v1
from midwatch.shell.files.yaml_lines import Document, Place, Problem, suggest, validate

MIDWATCH: Final = "midwatch"
PROMETHEUS_KIN: Final = frozenset(
    {"prometheus", "promql", "thanos", "mimir", "cortex", "victoriametrics", "victoria-metrics"}
)
_KEYS: Final = ("query", "queryType", "histogram", "kind", "total", "gauge")


class _SignalSpec(Part):
    """Which signal of which entity. ``unit`` is of the objective's ``value``."""

    signal: Literal["requests", "good_requests", "errors", "latency", "message_age"]
    entity: EntityKey | None = None
    unit: Literal["ms", "s"] | None = None


class _HistogramSpec(Part):
    histogram: str = Field(min_length=1)
    kind: Literal["explicit", "native"] = "explicit"
    total: str = ""


@dataclass
class Measured:
    """What a metric means. ``problems`` stop the promise; ``unserved`` says why nothing that midwatch has can count it."""

    sli: Literal["ratio", "latency", "freshness", "source"] = "source"
    entity: str = ""
    unit: str = ""
    indicator: Indicator | None = None
    threshold: dict[str, Any] | None = None  # the spec of a thresholdMetric: an indicator once op and value are known
    data_source: str = ""
    problems: list[Problem] = field(default_factory=list)
    unserved: list[Problem] = field(default_factory=list)


def measured(document: Document, place: Place, spec: v1.IndicatorSpec, types: dict[str, str]) -> Measured:
    """What the indicator at ``place`` of ``document`` says. ``types``: data source -> its type."""
    if spec.thresholdMetric is not None:
        at = (*place, "thresholdMetric", "metricSource")
        source = spec.thresholdMetric.metricSource
        if _is_midwatch(source):
            return _signal(document, at)
        found = _asked(document, {at: source}, types)
        found.threshold = source.spec
        if not found.problems and _known_type(source, types):
            _check_threshold(document, at, source, found)
        return found
    ratio = spec.ratioMetric
    assert ratio is not None  # the model saw to it
    at = (*place, "ratioMetric")
    sides = {
        (*at, name, "metricSource"): metric.metricSource
        for name in ("good", "bad", "total", "raw")
        if (metric := getattr(ratio, name)) is not None
    }
    if any(_is_midwatch(source) for source in sides.values()):
        return _signals(document, at, sides)
    found = _asked(document, sides, types)
    if not found.problems:
        found.indicator = _ratio(ratio, sides, at)
        served = all(_known_type(source, types) for source in sides.values())
        templates = all("{{" in str(source.spec.get("query", "")) for source in sides.values())
        if served and ratio.counter is False and ratio.raw is None and not templates:
            message = "counter: false has no counters to take the increase of"
            hint = "count over {{.window}}, for example sum_over_time(x[{{.window}}])"
            found.unserved.append(document.problem((*at, "counter"), message, hint, "openslo.counter-false"))
    return found


def thresholded(found: Measured, op: str, value: float) -> Indicator:
    """The indicator of a threshold once the objective is known."""
    spec = found.threshold or {}
    if "histogram" in spec:
        return Histogram(
            str(spec["histogram"]), value, kind=spec.get("kind", "explicit"), total=str(spec.get("total", ""))
        )
    if "gauge" in spec:
        return BoolGauge(str(spec["gauge"]))
    return Threshold(_query(spec), op, value)  # type: ignore[arg-type]


def _ratio(ratio: v1.RatioMetric, sides: dict[Place, v1.MetricSource], at: Place) -> Indicator:
    def query(name: str) -> str:
        source = sides.get((*at, name, "metricSource"))
        return _query(source.spec) if source is not None else ""

    if ratio.raw is not None:
        return RawRatio(query("raw"), of="good" if ratio.rawType == "success" else "bad")
    return EventRatio(query("total"), good=query("good"), bad=query("bad"))


def _query(spec: dict[str, Any]) -> str:
    """The query; of a source that has none, all that is said, so that nothing is lost."""
    query = spec.get("query")
    return query if isinstance(query, str) else json.dumps(spec, sort_keys=True, default=str)


def _is_midwatch(source: v1.MetricSource) -> bool:
    return source.type == MIDWATCH or (not source.type and not source.metricSourceRef and "signal" in source.spec)


def _type(source: v1.MetricSource, types: dict[str, str]) -> str:
    return (source.type or types.get(source.metricSourceRef or "", "") or "prometheus").lower()


def _known_type(source: v1.MetricSource, types: dict[str, str]) -> bool:
    return _type(source, types) in PROMETHEUS_KIN


def _asked(document: Document, sides: dict[Place, v1.MetricSource], types: dict[str, str]) -> Measured:
    """Which source is asked, and whether midwatch can."""
    found = Measured()
    names: dict[str, Place] = {}
    for place, source in sides.items():
        kind = _type(source, types)
        names.setdefault(source.metricSourceRef or ("" if kind in PROMETHEUS_KIN else kind), place)
        if source.metricSourceRef and source.metricSourceRef not in types and not source.type:
            message = f"no DataSource {source.metricSourceRef!r} is defined, and no type is given"
            hint, code = "define it, or write type: Prometheus", "openslo.reference-missing"
            found.problems.append(document.problem((*place, "metricSourceRef"), message, hint, code))
        elif kind not in PROMETHEUS_KIN:
            message = f"{source.type or kind} cannot be asked by midwatch"
            hint = "known: midwatch, Prometheus and what speaks its API"
            found.unserved.append(document.problem((*place, "type"), message, hint, "openslo.source-unsupported"))
        else:
            _check_keys(document, place, source, found)
    if len(names) > 1:
        at = list(names.values())[1]
        listed = " and ".join(sorted(name or "the only one" for name in names))
        message = f"all of an indicator must come from one source, not {listed}"
        found.problems.append(document.problem(at, message, "", "openslo.sources-mixed"))
    found.data_source = next(iter(names), "")
    return found


def _check_keys(document: Document, place: Place, source: v1.MetricSource, found: Measured) -> None:
    for key in source.spec:
        if key not in _KEYS:
            message, hint = "is not known here", suggest(key, _KEYS)
            found.problems.append(document.problem((*place, "spec", key), message, hint, "unknown-field"))
    query = source.spec.get("query")
    if "query" in source.spec and (not isinstance(query, str) or not query.strip()):
        found.problems.append(document.problem((*place, "spec", "query"), "must be text", "", "value-invalid"))
    in_ratio = "ratioMetric" in place
    if "query" not in source.spec and (in_ratio or not {"histogram", "gauge"} & set(source.spec)):
        found.problems.append(document.problem((*place, "spec"), "needs a query", "", "openslo.query-missing"))


def _check_threshold(document: Document, at: Place, source: v1.MetricSource, found: Measured) -> None:
    forms = [key for key in ("query", "histogram", "gauge") if key in source.spec]
    if len(forms) != 1:
        message, code = f"needs one of query, histogram and gauge, and not {' and '.join(forms)}", "openslo.metric-form"
        found.problems.append(document.problem((*at, "spec"), message, "", code))
    elif forms == ["histogram"]:
        found.problems += validate(_HistogramSpec, document, (*at, "spec"))[1]
    elif forms == ["gauge"] and not isinstance(source.spec["gauge"], str):
        found.problems.append(document.problem((*at, "spec", "gauge"), "must be text", "", "value-invalid"))


def _signal_spec(document: Document, place: Place) -> tuple[_SignalSpec | None, list[Problem]]:
    return validate(_SignalSpec, document, (*place, "spec"))


def _signal(document: Document, place: Place) -> Measured:
    spec, problems = _signal_spec(document, place)
    if spec is None:
        return Measured(problems=problems)
    if spec.signal not in ("latency", "message_age"):
        message, hint = "must be the signal latency or message_age", "requests and errors make a ratioMetric"
        return Measured(problems=[document.problem((*place, "spec"), message, hint, "openslo.signal-wrong")])
    sli: Literal["latency", "freshness"] = "freshness" if spec.signal == "message_age" else "latency"
    return Measured(sli, spec.entity or "", spec.unit or ("s" if sli == "freshness" else "ms"))


def _signals(document: Document, at: Place, sides: dict[Place, v1.MetricSource]) -> Measured:
    """A ratio of midwatch's own signals."""
    wanted = {"good": "good_requests", "bad": "errors", "total": "requests"}
    said = {"good": "the good side", "bad": "the bad side", "total": "total"}
    problems: list[Problem] = []
    entities: list[str] = []
    for place in sides:
        name = str(place[-2])
        spec, wrong = _signal_spec(document, place)
        problems += wrong
        if spec is None:
            continue
        if name not in wanted:
            message, code = "midwatch counts requests: it has no raw ratio", "openslo.signal-wrong"
            problems.append(document.problem(place, message, "", code))
        elif spec.signal != wanted[name]:
            message = f"{said[name]} must be the signal {wanted[name]}"
            problems.append(document.problem((*place, "spec"), message, "", "openslo.signal-wrong"))
        if spec.entity is not None and spec.entity not in entities:
            entities.append(spec.entity)
    if len(entities) > 1:
        message = "good and total must be of the same entity"
        problems.append(document.problem(at, message, "", "openslo.sources-mixed"))
    return Measured("ratio", entities[0] if entities else "", problems=problems)
