"""Pyrra's specs (https://github.com/pyrra-dev/pyrra): ``ServiceLevelObjective`` of ``pyrra.dev/v1alpha1``.

Metrics are plain selectors over counters. A latency's ``le`` becomes the bound of a histogram; grouping gives one budget
for each value of the labels.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import promql_parser
from pydantic import BeforeValidator, Field, model_validator

from midwatch.model.indicators import Alerting, BoolGauge, EventRatio, Histogram, Indicator, Notice
from midwatch.model.slo import Slo
from midwatch.shell.files.specs.common import MAX_PERIOD_SECONDS, PrometheusDuration, SpecPart, text_map
from midwatch.shell.files.specs.extras import labels_of
from midwatch.shell.files.specs.openslo_v1 import text_values
from midwatch.shell.files.yaml_lines import Document, Place, Problem, validate

VERSION: Final = "pyrra.dev/v1alpha1"
_PROPAGATED: Final = "pyrra.dev/"
_AT: Final = ("spec", "indicator")


def _percent(value: Any) -> Any:
    """Pyrra's target is text, because Kubernetes has no fractions."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is not a number | write for example '99.9' | value-invalid") from None
    return found


def _grouping(value: Any) -> Any:
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        labels_of(value)
    return value


Percent = Annotated[float, BeforeValidator(_percent), Field(gt=0, lt=100)]
Grouping = Annotated[list[str], BeforeValidator(_grouping)]


class _Query(SpecPart):
    metric: str = Field(min_length=1)


class _Ratio(SpecPart):
    errors: _Query
    total: _Query
    grouping: Grouping = Field(default_factory=list)


class _Latency(SpecPart):
    success: _Query
    total: _Query
    grouping: Grouping = Field(default_factory=list)


class _LatencyNative(SpecPart):
    total: _Query
    latency: PrometheusDuration
    grouping: Grouping = Field(default_factory=list)


class _BoolGauge(_Query):
    grouping: Grouping = Field(default_factory=list)


class _Indicator(SpecPart):
    ratio: _Ratio | None = None
    latency: _Latency | None = None
    latencyNative: _LatencyNative | None = None
    bool_gauge: _BoolGauge | None = None

    @model_validator(mode="after")
    def _one(self) -> _Indicator:
        if sum(part is not None for part in (self.ratio, self.latency, self.latencyNative, self.bool_gauge)) != 1:
            raise ValueError("needs one of ratio, latency, latencyNative and bool_gauge | | pyrra.indicator-form")
        return self


class _Alerting(SpecPart):
    disabled: bool = False
    name: str = ""
    burnrates: bool = True
    absent: bool = True


class _Metadata(SpecPart):
    name: str = Field(min_length=1)
    namespace: str = ""
    labels: Annotated[dict[str, Any], BeforeValidator(text_values)] = Field(default_factory=dict)
    annotations: Annotated[dict[str, Any], BeforeValidator(text_values)] = Field(default_factory=dict)
    # What a cluster adds when it is asked for the object.
    creationTimestamp: Any = None
    generation: Any = None
    resourceVersion: Any = None
    uid: Any = None
    managedFields: Any = None
    ownerReferences: Any = None
    finalizers: Any = None


class _Spec(SpecPart):
    description: str = ""
    target: Percent
    window: PrometheusDuration
    indicator: _Indicator
    alerting: _Alerting = Field(default_factory=_Alerting)


class _File(SpecPart):
    apiVersion: Literal["pyrra.dev/v1alpha1"]
    kind: Literal["ServiceLevelObjective"]
    metadata: _Metadata
    spec: _Spec
    status: Any = None


def is_pyrra(value: Any) -> bool:
    """Whether a document means to be Pyrra's."""
    return isinstance(value, dict) and str(value.get("apiVersion", "")).startswith("pyrra.dev")


def slos_of(document: Document) -> tuple[list[Slo], list[Problem]]:
    """The one promise of a document, or its problems."""
    read, problems = validate(_File, document)
    if read is None:
        return [], problems
    spec = read.spec
    if not 3600 <= spec.window <= MAX_PERIOD_SECONDS:
        message = f"must be between 1h and {MAX_PERIOD_SECONDS / 86400:.0f}d"
        problems.append(document.problem(("spec", "window"), message, "4w is usual", "pyrra.window-length"))
    indicator, grouping, wrong = _indicator(document, spec.indicator)
    problems += wrong
    if problems or indicator is None:
        return [], problems
    labels = text_map(document, ("metadata", "labels"))
    annotations = text_map(document, ("metadata", "annotations"))
    if read.metadata.namespace:
        annotations["kubernetes/namespace"] = read.metadata.namespace
    alerting = spec.alerting
    off = Notice(disabled=alerting.disabled or not alerting.burnrates)
    name = read.metadata.name
    slo = Slo(
        name=name,
        entity=f"service:{name}",
        sli="source",
        target=round(spec.target / 100, 10),
        period_seconds=spec.window,
        owner=labels.get("owner", labels.get(f"{_PROPAGATED}owner", labels.get(f"{_PROPAGATED}team", ""))),
        description=spec.description,
        source=f"{document.path}:{document.line(('spec',))}",
        service=name,
        indicator=indicator,
        group_by=labels_of(grouping) if grouping else (),
        alerting=Alerting(alerting.name, page=off, ticket=off, absent=alerting.absent and not alerting.disabled),
        labels={key.removeprefix(_PROPAGATED): one for key, one in labels.items() if key.startswith(_PROPAGATED)},
        annotations=annotations,
    )
    return [slo], []


def _indicator(document: Document, indicator: _Indicator) -> tuple[Indicator | None, list[str], list[Problem]]:
    if indicator.ratio is not None:
        ratio = indicator.ratio
        wrong = [
            *_selector(document, (*_AT, "ratio", "errors", "metric"), ratio.errors.metric)[1],
            *_selector(document, (*_AT, "ratio", "total", "metric"), ratio.total.metric)[1],
        ]
        return EventRatio(ratio.total.metric, bad=ratio.errors.metric), ratio.grouping, wrong
    if indicator.latency is not None:
        return _latency(document, indicator.latency)
    if indicator.latencyNative is not None:
        native = indicator.latencyNative
        wrong = _selector(document, (*_AT, "latencyNative", "total", "metric"), native.total.metric)[1]
        return Histogram(native.total.metric, native.latency, kind="native"), native.grouping, wrong
    gauge = indicator.bool_gauge
    assert gauge is not None  # the model saw to it
    wrong = _selector(document, (*_AT, "bool_gauge", "metric"), gauge.metric)[1]
    return BoolGauge(gauge.metric), gauge.grouping, wrong


def _latency(document: Document, latency: _Latency) -> tuple[Indicator | None, list[str], list[Problem]]:
    place = (*_AT, "latency", "success", "metric")
    success, wrong = _selector(document, place, latency.success.metric)
    wrong += _selector(document, (*_AT, "latency", "total", "metric"), latency.total.metric)[1]
    if success is None or wrong:
        return None, [], wrong
    hint, code = 'add the bound that is good, for example le="0.5"', "pyrra.le-missing"
    bounds = [m for m in success.matchers.matchers if m.name == "le"]
    try:
        bound = float(bounds[0].value) if len(bounds) == 1 and bounds[0].op == promql_parser.MatchOp.Equal else None
    except ValueError:
        bound = None
    if bound is None or not 0 < bound < float("inf"):
        return None, [], [document.problem(place, "needs one matcher le with a number", hint, code)]
    return (
        Histogram(_without(success, "le"), bound, total=latency.total.metric),
        latency.grouping,
        [],
    )


def _selector(document: Document, place: Place, text: str) -> tuple[promql_parser.VectorSelector | None, list[Problem]]:
    """The selector that ``text`` is, or why it is none."""
    try:
        tree = promql_parser.parse(text)
    except (ValueError, OverflowError) as error:
        message = f"is not PromQL: {str(error).splitlines()[0] if str(error) else 'cannot be read'}"
        return None, [document.problem(place, message, "", "promql-invalid")]
    if not isinstance(tree, promql_parser.VectorSelector) or tree.offset is not None or tree.at is not None:
        message, hint = "must be a metric with its labels, and nothing around it", "Pyrra adds sum and rate"
        return None, [document.problem(place, message, hint, "pyrra.not-a-selector")]
    return tree, []


def _without(selector: promql_parser.VectorSelector, label: str) -> str:
    """The selector's text without its matchers of ``label``."""
    rest = [m for m in selector.matchers.matchers if m.name != label]
    return f"{selector.name or ''}{promql_parser.Matchers(rest) if rest else ''}"
