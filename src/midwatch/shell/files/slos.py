"""Promises from OpenSLO v1 files. ``docs/slos.md`` says exactly which part of OpenSLO is understood; what is not
understood is refused by name, because a promise that is read differently than it was meant is worse than none."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, model_validator

from midwatch.model.slo import Slo
from midwatch.shell.files.parts import EntityKey, Part, Seconds
from midwatch.shell.files.yaml_lines import Document, Problem, validate

DEFAULT_PERIOD_SECONDS: Final = 30 * 86400.0
MAX_PERIOD_SECONDS: Final = 33 * 86400.0
_OTHER_KINDS: Final = ("SLI", "Service", "DataSource", "AlertPolicy", "AlertCondition", "AlertNotificationTarget")


class _Metadata(Part):
    name: str = Field(min_length=1)
    displayName: str = ""
    labels: dict[str, Any] = Field(default_factory=dict)
    annotations: dict[str, Any] = Field(default_factory=dict)


class _SourceSpec(Part):
    """Which signal of which entity. ``unit`` is of the objective's ``value``."""

    signal: Literal["requests", "good_requests", "errors", "latency", "message_age"]
    entity: EntityKey | None = None
    unit: Literal["ms", "s"] | None = None


class _Source(Part):
    type: Literal["midwatch"] = "midwatch"
    spec: _SourceSpec


class _Metric(Part):
    metricSource: _Source


class _RatioMetric(Part):
    counter: bool = True
    good: _Metric | None = None
    bad: _Metric | None = None
    total: _Metric

    @model_validator(mode="after")
    def _one_side(self) -> _RatioMetric:
        if (self.good is None) == (self.bad is None):
            raise ValueError("needs good or bad, and not both")
        side, wanted = (self.good, "good_requests") if self.good else (self.bad, "errors")
        if side is not None and side.metricSource.spec.signal != wanted:
            raise ValueError(f"the {'good' if self.good else 'bad'} side must be the signal {wanted}")
        if self.total.metricSource.spec.signal != "requests":
            raise ValueError("total must be the signal requests")
        return self


class _ThresholdMetric(Part):
    metricSource: _Source

    @model_validator(mode="after")
    def _has_values(self) -> _ThresholdMetric:
        if self.metricSource.spec.signal not in ("latency", "message_age"):
            raise ValueError("must be the signal latency or message_age | requests and errors make a ratioMetric")
        return self


class _IndicatorSpec(Part):
    description: str = ""
    ratioMetric: _RatioMetric | None = None
    thresholdMetric: _ThresholdMetric | None = None

    @model_validator(mode="after")
    def _one_metric(self) -> _IndicatorSpec:
        if (self.ratioMetric is None) == (self.thresholdMetric is None):
            raise ValueError("needs ratioMetric or thresholdMetric, and not both")
        return self


class _Indicator(Part):
    metadata: _Metadata | None = None
    spec: _IndicatorSpec


class _Window(Part):
    duration: Seconds
    isRolling: Literal[True]


class _Objective(Part):
    displayName: str = ""
    op: Literal["lte", "lt"] | None = None
    value: float | None = Field(None, gt=0)
    target: float | None = Field(None, gt=0, lt=1)
    targetPercent: float | None = Field(None, gt=0, lt=100)

    @model_validator(mode="after")
    def _one_target(self) -> _Objective:
        if (self.target is None) == (self.targetPercent is None):
            raise ValueError("needs target (0.999) or targetPercent (99.9), and not both")
        return self

    @property
    def share(self) -> float:
        # 99.9 / 100 carries float noise that would show in every budget.
        return self.target if self.target is not None else round((self.targetPercent or 0.0) / 100, 10)


class _Spec(Part):
    description: str = ""
    service: str = Field(min_length=1)
    indicator: _Indicator
    timeWindow: list[_Window] = Field(default_factory=list, max_length=1)
    budgetingMethod: Literal["Occurrences"] = "Occurrences"
    objectives: list[_Objective] = Field(min_length=1)


class _SloFile(Part):
    apiVersion: Literal["openslo/v1"]
    kind: Literal["SLO"]
    metadata: _Metadata
    spec: _Spec


def is_openslo(value: Any) -> bool:
    """Whether a document means to be OpenSLO."""
    return isinstance(value, dict) and str(value.get("apiVersion", "")).startswith("openslo")


def slos_of(document: Document) -> tuple[list[Slo], list[Problem]]:
    """The promises of one OpenSLO document (one per objective), or its problems."""
    kind = document.value.get("kind")
    if kind in _OTHER_KINDS:
        hint = "write the indicator inside the SLO; midwatch reads kind: SLO only"
        return [], [document.problem(("kind",), f"{kind} is not supported", hint)]
    read, problems = validate(_SloFile, document)
    if read is None:
        return [], [_explained(p) for p in problems]
    problems = _across(document, read)
    if problems:
        return [], problems
    return [_slo(document, read, index) for index in range(len(read.spec.objectives))], []


_HINTS: Final = {
    "spec.indicatorRef": "write the indicator inside the SLO, under spec.indicator",
    "spec.alertPolicies": "midwatch has its own burn-rate tiers; leave it out",
    "calendar": "only rolling windows are kept; leave calendar out and set isRolling: true",
}


def _explained(problem: Problem) -> Problem:
    for part, hint in _HINTS.items():
        if problem.key == part or problem.key.rpartition(".")[2] == part:
            return Problem(problem.path, problem.line, problem.key, problem.message, hint)
    return problem


def _across(document: Document, read: _SloFile) -> list[Problem]:
    """What a single field cannot tell."""
    problems: list[Problem] = []
    threshold = read.spec.indicator.spec.thresholdMetric
    for index, objective in enumerate(read.spec.objectives):
        place = ("spec", "objectives", index)
        if threshold is not None and (objective.op is None or objective.value is None):
            problems.append(document.problem(place, "needs op and value", "for example op: lte, value: 300"))
        if threshold is None and (objective.op is not None or objective.value is not None):
            which = "op" if objective.op is not None else "value"
            problems.append(document.problem((*place, which), "means nothing for a ratioMetric", "leave it out"))
    for index, window in enumerate(read.spec.timeWindow):
        if not 3600 <= window.duration <= MAX_PERIOD_SECONDS:
            at = ("spec", "timeWindow", index, "duration")
            problems.append(document.problem(at, "must be between 1h and 33d", "30d is usual"))
    ratio = read.spec.indicator.spec.ratioMetric
    if ratio is not None:
        side = ratio.good or ratio.bad
        ours = {m.metricSource.spec.entity for m in (side, ratio.total) if m is not None}
        if len(ours - {None}) > 1:
            metric = ("spec", "indicator", "spec", "ratioMetric")
            problems.append(document.problem(metric, "good and total must be of the same entity"))
    return problems


def _slo(document: Document, read: _SloFile, index: int) -> Slo:
    spec, objective = read.spec, read.spec.objectives[index]
    ratio, threshold = spec.indicator.spec.ratioMetric, spec.indicator.spec.thresholdMetric
    if threshold is not None:
        source = threshold.metricSource.spec
        sli = "freshness" if source.signal == "message_age" else "latency"
        unit = source.unit or ("s" if source.signal == "message_age" else "ms")
        bound = (objective.value or 0.0) * (1000.0 if unit == "s" else 1.0)
        named = source.entity
    else:
        sli, bound = "ratio", 0.0
        sides = [m for m in (ratio.good, ratio.bad, ratio.total) if m is not None] if ratio else []
        named = next((m.metricSource.spec.entity for m in sides if m.metricSource.spec.entity), None)
    name = read.metadata.name if len(spec.objectives) == 1 else f"{read.metadata.name}-{index + 1}"
    return Slo(
        name=name,
        entity=named or (spec.service if ":" in spec.service else f"service:{spec.service}"),
        sli=sli,  # type: ignore[arg-type]
        target=objective.share,
        threshold_ms=bound,
        period_seconds=spec.timeWindow[0].duration if spec.timeWindow else DEFAULT_PERIOD_SECONDS,
        owner=str(read.metadata.annotations.get("owner", read.metadata.labels.get("owner", ""))),
        description=spec.description or read.metadata.displayName,
        source=f"{document.path}:{document.line(('spec', 'objectives', index))}",
    )
