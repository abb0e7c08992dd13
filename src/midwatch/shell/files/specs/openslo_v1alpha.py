"""OpenSLO v1alpha (SLO and Service), rewritten as v1.

What v1alpha has no word for is filled in: a time slice is one minute long, a window without ``isRolling`` and without a
calendar rolls (as Sloth reads it), ``value`` beside a ratio says nothing. Each objective has its own ratio, which v1
would read as a composite: several become one v1 document each, ``name-1``, ``name-2``.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, model_validator

from midwatch.shell.files.specs import openslo_v1
from midwatch.shell.files.specs.common import DnsLabel, SpecPart, StartTime, TimeZone
from midwatch.shell.files.yaml_lines import Document, Place, Problem, validate

VERSION: Final = "openslo/v1alpha"
SLICE: Final = "1m"
_UNITS: Final = {"Day": "d", "Week": "w", "Month": "M", "Quarter": "Q"}


class _Metadata(SpecPart):
    name: DnsLabel
    displayName: str = Field("", max_length=63)


class _Query(SpecPart):
    source: str = Field(min_length=1)
    queryType: str = Field(min_length=1)
    query: str = Field(min_length=1)


class _Indicator(SpecPart):
    thresholdMetric: _Query


class _Ratio(SpecPart):
    good: _Query
    total: _Query
    incremental: bool | None = None


class _Calendar(SpecPart):
    startTime: StartTime
    timeZone: TimeZone


class _Window(SpecPart):
    unit: Literal["Second", "Day", "Week", "Month", "Quarter"]
    count: int = Field(gt=0, le=999_999)
    isRolling: bool | None = None
    calendar: _Calendar | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> _Window:
        if self.isRolling and self.calendar is not None:
            raise ValueError("a window that rolls has no calendar | leave one out | openslo.window-form")
        if self.isRolling is False and self.calendar is None:
            raise ValueError("needs isRolling: true, or a calendar | | openslo.window-form")
        return self


class _Objective(SpecPart):
    displayName: str = Field("", max_length=1050)
    value: float | None = None
    ratioMetrics: _Ratio | None = None
    target: float = Field(ge=0, lt=1)
    timeSliceTarget: float | None = Field(None, ge=0, le=1)
    op: openslo_v1.Op | None = None


class _Spec(SpecPart):
    description: openslo_v1.Description = ""
    service: str = Field(min_length=1)
    indicator: _Indicator | None = None
    budgetingMethod: Literal["Occurrences", "Timeslices"]
    timeWindows: list[_Window] = Field(min_length=1, max_length=1)
    objectives: list[_Objective] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_indicator(self) -> _Spec:
        ratios = [o.ratioMetrics is not None for o in self.objectives]
        if self.indicator is None and not all(ratios):
            raise ValueError("needs indicator, or ratioMetrics in each objective | | openslo.indicator-missing")
        if self.indicator is not None and any(ratios):
            raise ValueError("needs indicator or ratioMetrics, and not both | | openslo.indicator-form")
        return self


class _SloFile(SpecPart):
    apiVersion: Literal["openslo/v1alpha"]
    kind: Literal["SLO"]
    metadata: _Metadata
    spec: _Spec


class _ServiceSpec(SpecPart):
    description: openslo_v1.Description = ""


class _ServiceFile(SpecPart):
    apiVersion: Literal["openslo/v1alpha"]
    kind: Literal["Service"]
    metadata: _Metadata
    spec: _ServiceSpec = Field(default_factory=_ServiceSpec)


def as_v1(document: Document) -> tuple[list[Document], list[Problem]]:
    """The v1 documents that a v1alpha document stands for, or its problems."""
    kind, problems = openslo_v1.kind_of(document, ["SLO", "Service"])
    if problems:
        return [], problems
    if kind == "Service":
        service, problems = validate(_ServiceFile, document)
        value = {**document.value, "apiVersion": openslo_v1.VERSION}
        return ([_rewritten(document, value, {})] if service else []), problems
    read, problems = validate(_SloFile, document)
    if read is None:
        return [], problems
    for index, objective in enumerate(read.spec.objectives):
        if read.spec.budgetingMethod == "Timeslices" and not objective.timeSliceTarget:
            place = ("spec", "objectives", index, "timeSliceTarget")
            hint, code = "for example 0.95", "openslo.slice-target-missing"
            problems.append(document.problem(place, "is missing for Timeslices", hint, code))
    duration = _duration(read.spec.timeWindows[0])
    if duration is None:
        at, hint = ("spec", "timeWindows", 0), "write whole minutes"
        problems.append(document.problem(at, "v1 counts windows in minutes", hint, "openslo.window-odd"))
    if problems or duration is None:
        return [], problems
    every = list(range(len(read.spec.objectives)))
    groups = [every] if read.spec.indicator is not None else [[index] for index in every]
    return [_slo(document, read, duration, group) for group in groups], []


def _duration(window: _Window) -> str | None:
    if window.unit != "Second":
        return f"{window.count}{_UNITS[window.unit]}"
    for length, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if window.count % length == 0:
            return f"{window.count // length}{unit}"
    return None


def _slo(document: Document, read: _SloFile, duration: str, indices: list[int]) -> Document:
    """One v1 document with the objectives ``indices``."""
    spec = read.spec
    moved: dict[Place, Place] = {("spec", "timeWindow"): ("spec", "timeWindows")}
    metadata: dict[str, Any] = dict(document.value["metadata"])
    if len(indices) < len(spec.objectives):
        metadata["name"] = f"{read.metadata.name}-{indices[0] + 1}"
    if spec.indicator is None:
        # Sloth counts objectives from 0; the rules that it made are known by this name.
        metadata["annotations"] = {"sloth/slo": f"{read.metadata.name}-{indices[0]}"}
    metric_at: Place
    if spec.indicator is not None:
        body: dict[str, Any] = {"thresholdMetric": _metric(spec.indicator.thresholdMetric)}
        metric_at = ("spec", "indicator")
        moved[("spec", "indicator", "spec", "thresholdMetric")] = (*metric_at, "thresholdMetric")
    else:
        ratio = spec.objectives[indices[0]].ratioMetrics
        assert ratio is not None  # the model saw to it
        counter = {} if ratio.incremental is None else {"counter": ratio.incremental}
        body = {"ratioMetric": {**counter, "good": _metric(ratio.good), "total": _metric(ratio.total)}}
        metric_at = ("spec", "objectives", indices[0], "ratioMetrics")
        moved[("spec", "indicator", "spec", "ratioMetric")] = metric_at
    window = spec.timeWindows[0]
    window_value: dict[str, Any] = {"duration": duration, "isRolling": window.calendar is None}
    if window.calendar is not None:
        window_value["calendar"] = {"startTime": window.calendar.startTime, "timeZone": window.calendar.timeZone}
    moved[("spec", "timeWindow", 0, "duration")] = ("spec", "timeWindows", 0, "count")
    objectives: list[dict[str, Any]] = []
    for index in indices:
        moved[("spec", "objectives", len(objectives))] = ("spec", "objectives", index)
        objectives.append(_objective(spec, spec.objectives[index]))
    value = {
        "apiVersion": openslo_v1.VERSION,
        "kind": "SLO",
        "metadata": metadata,
        "spec": {
            **({"description": spec.description} if spec.description else {}),
            "service": spec.service,
            "indicator": {"metadata": {"name": metadata["name"]}, "spec": body},
            "timeWindow": [window_value],
            "budgetingMethod": spec.budgetingMethod,
            "objectives": objectives,
        },
    }
    return _rewritten(document, value, moved)


def _objective(spec: _Spec, objective: _Objective) -> dict[str, Any]:
    found: dict[str, Any] = {"displayName": objective.displayName} if objective.displayName else {}
    if spec.indicator is not None:
        found |= {key: one for key, one in (("op", objective.op), ("value", objective.value)) if one is not None}
    found["target"] = objective.target
    if spec.budgetingMethod == "Timeslices":
        found |= {"timeSliceTarget": objective.timeSliceTarget, "timeSliceWindow": SLICE}
    return found


def _metric(query: _Query) -> dict[str, Any]:
    return {"metricSource": {"type": query.source, "spec": {"queryType": query.queryType, "query": query.query}}}


def _rewritten(document: Document, value: dict[str, Any], moved: dict[Place, Place]) -> Document:
    base = {(): document.original(())}
    return Document(
        document.path,
        value,
        document.lines,
        document.texts,
        base | {place: document.original(was) for place, was in moved.items()},
    )
