"""OpenSLO v1 (https://openslo.com): the shape of its seven kinds, with the rules of OpenSLO's Go SDK.

Where this is milder than the SDK, it is so on purpose: ``budgetingMethod``, ``timeWindow`` and an inline indicator's
``metadata`` may be left out, a label may be a number, and a ratio's objective may say ``op: gt`` as the specification's own
example does. ``docs/slos.md`` lists it. Whether midwatch can honour what is well formed is another question
(``openslo.py``).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from midwatch.shell.files.specs.common import (
    DnsLabel,
    Duration,
    SpecPart,
    StartTime,
    TimeZone,
)
from midwatch.shell.files.yaml_lines import Document, Problem, suggest, validate

VERSION: Final = "openslo/v1"
MAX_WEIGHT: Final = 1e15
Op = Literal["lte", "lt", "gte", "gt"]
Description = Annotated[str, Field(max_length=1050)]


def label_values(value: Any) -> Any:
    """Labels may be lists, nothing deeper."""
    if isinstance(value, dict):
        for key, one in value.items():
            for each in one if isinstance(one, list) else [one]:
                if isinstance(each, dict | list):
                    raise ValueError(f"{key!r} must be text, or a list of texts")
    return value


def text_values(value: Any) -> Any:
    """A mapping to single values."""
    if isinstance(value, dict):
        for key, one in value.items():
            if isinstance(one, dict | list):
                raise ValueError(f"{key!r} must be text")
    return value


class Metadata(SpecPart):
    name: DnsLabel
    displayName: str = Field("", max_length=63)
    labels: Annotated[dict[str, Any], BeforeValidator(label_values)] = Field(default_factory=dict)
    annotations: Annotated[dict[str, Any], BeforeValidator(text_values)] = Field(default_factory=dict)


class MetricSource(SpecPart):
    metricSourceRef: DnsLabel | None = None
    type: str = ""
    spec: dict[str, Any] = Field(min_length=1)


class Metric(SpecPart):
    metricSource: MetricSource


class RatioMetric(SpecPart):
    counter: bool | None = None
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric | None = None
    rawType: Literal["success", "failure"] | None = None
    raw: Metric | None = None

    @model_validator(mode="after")
    def _one_form(self) -> RatioMetric:
        if (self.total is None) == (self.raw is None):
            raise ValueError("needs total (with good or bad) or raw, and not both | | openslo.ratio-form")
        if self.raw is not None and (self.good or self.bad):
            raise ValueError("raw is a ratio already: it goes with neither good nor bad | | openslo.ratio-form")
        if self.raw is not None and self.rawType is None:
            raise ValueError("raw needs a rawType | success or failure | openslo.raw-type-missing")
        if self.total is not None and (self.good is None) == (self.bad is None):
            raise ValueError("needs good or bad, and not both | | openslo.ratio-form")
        return self


class IndicatorSpec(SpecPart):
    description: Description = ""
    ratioMetric: RatioMetric | None = None
    thresholdMetric: Metric | None = None

    @model_validator(mode="after")
    def _one_metric(self) -> IndicatorSpec:
        if (self.ratioMetric is None) == (self.thresholdMetric is None):
            raise ValueError("needs ratioMetric or thresholdMetric, and not both | | openslo.metric-form")
        return self


class Indicator(SpecPart):
    metadata: Metadata | None = None
    spec: IndicatorSpec


class CalendarPart(SpecPart):
    startTime: StartTime
    timeZone: TimeZone


class TimeWindow(SpecPart):
    duration: Duration
    isRolling: bool = False
    calendar: CalendarPart | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> TimeWindow:
        if self.isRolling and self.calendar is not None:
            raise ValueError("a window that rolls has no calendar | leave one out | openslo.window-form")
        if not self.isRolling and self.calendar is None:
            raise ValueError("needs isRolling: true, or a calendar | | openslo.window-form")
        return self


class Objective(SpecPart):
    displayName: str = ""
    op: Op | None = None
    value: float | None = None
    target: float | None = Field(None, ge=0, lt=1)
    targetPercent: float | None = Field(None, ge=0, lt=100)
    timeSliceTarget: float | None = None
    timeSliceWindow: Duration | None = None
    indicator: Indicator | None = None
    indicatorRef: DnsLabel | None = None
    compositeWeight: float | None = None

    @model_validator(mode="after")
    def _one_target(self) -> Objective:
        if (self.target is None) == (self.targetPercent is None):
            raise ValueError(
                "needs target (0.999) or targetPercent (99.9), and not both | | openslo.target-missing"
                if self.target is None
                else "needs target (0.999) or targetPercent (99.9), and not both | | openslo.target-twice"
            )
        return self

    @property
    def share(self) -> float:
        # 99.9 / 100 carries float noise that would show in every budget.
        return self.target if self.target is not None else round((self.targetPercent or 0.0) / 100, 10)

    @property
    def is_part(self) -> bool:
        return self.indicator is not None or self.indicatorRef is not None


class ConditionBody(SpecPart):
    kind: Literal["burnrate"]
    op: Op
    threshold: float
    lookbackWindow: Duration
    alertAfter: Duration | None = None


class ConditionSpec(SpecPart):
    description: Description = ""
    severity: str = Field(min_length=1)
    condition: ConditionBody


class TargetSpec(SpecPart):
    description: Description = ""
    target: str = Field(min_length=1)


class Condition(SpecPart):
    """Inline, or by name."""

    conditionRef: DnsLabel | None = None
    kind: Literal["AlertCondition"] | None = None
    metadata: Metadata | None = None
    spec: ConditionSpec | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Condition:
        _inline_or_named("conditionRef", self.conditionRef, self.kind, self.metadata, self.spec)
        return self


class NotificationTarget(SpecPart):
    """Inline, or by name."""

    targetRef: DnsLabel | None = None
    kind: Literal["AlertNotificationTarget"] | None = None
    metadata: Metadata | None = None
    spec: TargetSpec | None = None

    @model_validator(mode="after")
    def _one_way(self) -> NotificationTarget:
        _inline_or_named("targetRef", self.targetRef, self.kind, self.metadata, self.spec)
        return self


class PolicySpec(SpecPart):
    description: Description = ""
    alertWhenNoData: bool = False
    alertWhenBreaching: bool = False
    alertWhenResolved: bool = False
    conditions: list[Condition] = Field(min_length=1, max_length=1)
    notificationTargets: list[NotificationTarget] = Field(min_length=1)


class Policy(SpecPart):
    """Inline, or by name."""

    alertPolicyRef: DnsLabel | None = None
    kind: Literal["AlertPolicy"] | None = None
    metadata: Metadata | None = None
    spec: PolicySpec | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Policy:
        _inline_or_named("alertPolicyRef", self.alertPolicyRef, self.kind, self.metadata, self.spec)
        return self


def _inline_or_named(name: str, ref: str | None, *inline: Any) -> None:
    if ref is not None and any(part is not None for part in inline):
        raise ValueError(f"needs {name}, or kind, metadata and spec, and not both | | openslo.reference-form")
    if ref is None and not all(part is not None for part in inline):
        raise ValueError(f"needs {name}, or kind, metadata and spec | | openslo.reference-form")


class SloSpec(SpecPart):
    description: Description = ""
    service: str = Field(min_length=1)
    indicator: Indicator | None = None
    indicatorRef: DnsLabel | None = None
    budgetingMethod: Literal["Occurrences", "Timeslices", "RatioTimeslices"] = "Occurrences"
    timeWindow: list[TimeWindow] = Field(default_factory=list, max_length=1)
    objectives: list[Objective] = Field(min_length=1)
    alertPolicies: list[Policy] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_indicator(self) -> SloSpec:
        own, parts = self.indicator or self.indicatorRef, [o for o in self.objectives if o.is_part]
        if self.indicator is not None and self.indicatorRef is not None:
            raise ValueError("needs indicator or indicatorRef, and not both | | openslo.indicator-form")
        if own is None and not parts:
            hint = "write it under spec, or (a composite) in each objective"
            raise ValueError(f"needs indicator or indicatorRef | {hint} | openslo.indicator-missing")
        if own is not None and parts:
            raise ValueError(
                "has an indicator of its own and objectives with theirs | a composite has none under spec | "
                "openslo.indicator-form"
            )
        return self

    @property
    def is_composite(self) -> bool:
        return any(objective.is_part for objective in self.objectives)


class SloFile(SpecPart):
    apiVersion: Literal["openslo/v1"]
    kind: Literal["SLO"]
    metadata: Metadata
    spec: SloSpec


class SliFile(SpecPart):
    apiVersion: Literal["openslo/v1"]
    kind: Literal["SLI"]
    metadata: Metadata
    spec: IndicatorSpec


class _ServiceSpec(SpecPart):
    description: Description = ""


class ServiceFile(SpecPart):
    apiVersion: Literal["openslo/v1"]
    kind: Literal["Service"]
    metadata: Metadata
    spec: _ServiceSpec = Field(default_factory=_ServiceSpec)


class DataSourceSpec(SpecPart):
    description: Description = ""
    type: str = Field(min_length=1)
    connectionDetails: Any


class DataSourceFile(SpecPart):
    apiVersion: Literal["openslo/v1"]
    kind: Literal["DataSource"]
    metadata: Metadata
    spec: DataSourceSpec


class AlertPolicyFile(SpecPart):
    apiVersion: Literal["openslo/v1"]
    kind: Literal["AlertPolicy"]
    metadata: Metadata
    spec: PolicySpec


class AlertConditionFile(SpecPart):
    apiVersion: Literal["openslo/v1"]
    kind: Literal["AlertCondition"]
    metadata: Metadata
    spec: ConditionSpec


class AlertNotificationTargetFile(SpecPart):
    apiVersion: Literal["openslo/v1"]
    kind: Literal["AlertNotificationTarget"]
    metadata: Metadata
    spec: TargetSpec


AnyFile = (
    SloFile
    | SliFile
    | ServiceFile
    | DataSourceFile
    | AlertPolicyFile
    | AlertConditionFile
    | AlertNotificationTargetFile
)
KINDS: Final[dict[str, type[AnyFile]]] = {
    "SLO": SloFile,
    "SLI": SliFile,
    "Service": ServiceFile,
    "DataSource": DataSourceFile,
    "AlertPolicy": AlertPolicyFile,
    "AlertCondition": AlertConditionFile,
    "AlertNotificationTarget": AlertNotificationTargetFile,
}


def kind_of(document: Document, kinds: list[str]) -> tuple[str, list[Problem]]:
    """The document's kind, when it is one of ``kinds``."""
    kind = document.value.get("kind")
    if isinstance(kind, str) and kind in kinds:
        return kind, []
    if kind is None:
        return "", [document.problem(("kind",), "is missing", f"known: {', '.join(kinds)}", "field-missing")]
    hint = suggest(str(kind), kinds)
    return "", [document.problem(("kind",), f"{kind!r} is no kind of this version", hint, "openslo.kind-unknown")]


def read(document: Document) -> tuple[AnyFile | None, list[Problem]]:
    """One v1 document, well formed, or its problems."""
    kind, problems = kind_of(document, list(KINDS))
    if problems:
        return None, problems
    found, problems = validate(KINDS[kind], document)
    if isinstance(found, SloFile):
        problems = [*_slices(document, found), *_objectives(document, found)]
    return (None if problems else found), problems


def _slices(document: Document, found: SloFile) -> list[Problem]:
    """Time slices need a window, and a target where each is good or bad."""
    problems: list[Problem] = []
    method = found.spec.budgetingMethod
    for index, objective in enumerate(found.spec.objectives):
        place = ("spec", "objectives", index)
        if method == "Occurrences":
            continue
        if objective.timeSliceWindow is None:
            hint, code = "for example 1m", "openslo.slice-window-missing"
            problems.append(document.problem((*place, "timeSliceWindow"), f"is missing for {method}", hint, code))
        if method != "Timeslices":
            continue
        if objective.timeSliceTarget is None:
            hint, code = "for example 0.95", "openslo.slice-target-missing"
            problems.append(document.problem((*place, "timeSliceTarget"), f"is missing for {method}", hint, code))
        elif not 0 < objective.timeSliceTarget <= 1:
            code = "value-invalid"
            problems.append(document.problem((*place, "timeSliceTarget"), "must be above 0 and at most 1", "", code))
    return problems


def _objectives(document: Document, found: SloFile) -> list[Problem]:
    """What an objective must say depends on where its indicator is."""
    problems: list[Problem] = []
    for index, objective in enumerate(found.spec.objectives):
        place = ("spec", "objectives", index)
        if found.spec.is_composite and not objective.is_part:
            message = "needs indicator or indicatorRef, as the other objectives have"
            problems.append(document.problem(place, message, "", "openslo.indicator-missing"))
        if objective.indicator is not None and objective.indicatorRef is not None:
            message = "needs indicator or indicatorRef, and not both"
            problems.append(document.problem(place, message, "", "openslo.indicator-form"))
        weight = objective.compositeWeight
        if found.spec.is_composite and weight is not None and not 0 < weight <= MAX_WEIGHT:
            at = (*place, "compositeWeight")
            problems.append(document.problem(at, f"must be above 0 and at most {MAX_WEIGHT:g}", "", "value-invalid"))
        inline = objective.indicator or found.spec.indicator
        if inline is not None:
            problems += misfits(document, place, objective, inline.spec)
    return problems


def misfits(
    document: Document, place: tuple[str | int, ...], objective: Objective, spec: IndicatorSpec
) -> list[Problem]:
    """Whether ``op`` and ``value`` are there for a threshold, and nowhere else."""
    if spec.thresholdMetric is not None:
        if objective.op is None or objective.value is None:
            hint, code = "for example op: lte, value: 300", "openslo.threshold-incomplete"
            return [document.problem(place, "needs op and value", hint, code)]
        return []
    # The specification's own example says op: gt beside a ratio: more than the target is good, which is true anyway.
    wrong = "value" if objective.value is not None else "op" if objective.op in ("lte", "lt") else ""
    if not wrong:
        return []
    message, code = "means nothing for a ratioMetric", "openslo.field-meaningless"
    return [document.problem((*place, wrong), message, "leave it out", code)]
