"""Sloth's specs (https://sloth.dev): ``version: prometheus/v1``, the Kubernetes form ``PrometheusServiceLevel``, and
``AlertWindows``.

Queries are kept as written, with ``{{.window}}``. A promise is named ``service-name``, which is Sloth's ``sloth_id``. SLI
plugins are Go programs that make the queries: they are refused by name.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from midwatch.model.indicators import Alerting, EventRatio, Indicator, Notice, RawRatio
from midwatch.model.slo import BurnTier, Slo
from midwatch.shell.files.specs.common import (
    DEFAULT_PERIOD_SECONDS,
    WINDOW,
    PrometheusDuration,
    SpecPart,
    text_map,
)
from midwatch.shell.files.specs.openslo_v1 import text_values
from midwatch.shell.files.yaml_lines import Document, Place, Problem, validate

PLAIN: Final = "prometheus/v1"
KUBERNETES: Final = "sloth.slok.dev/v1"
Texts = Annotated[dict[str, Any], BeforeValidator(text_values)]
_NAME: Final = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,126}[A-Za-z0-9])?$")
# What Sloth does anyway, and what only checks.
_HARMLESS_PLUGINS: Final = ("sloth.dev/core/", "sloth.dev/contrib/validate_")
# The Kubernetes form has the same keys in the other spelling.
_SNAKE: Final = {
    "errorQuery": "error_query",
    "totalQuery": "total_query",
    "errorRatioQuery": "error_ratio_query",
    "pageAlert": "page_alert",
    "ticketAlert": "ticket_alert",
    "sloPlugins": "slo_plugins",
}
_FREE: Final = ("labels", "annotations", "infoLabels", "options", "config")


def _name(value: Any) -> Any:
    if isinstance(value, str) and not _NAME.match(value):
        raise ValueError(f"{value!r} is no name | letters, digits, and - _ . between them | name-invalid")
    return value


Name = Annotated[str, BeforeValidator(_name)]


class _Plugin(SpecPart):
    id: str = Field(min_length=1)
    config: Any = None
    priority: int = 0


class _Chain(SpecPart):
    overridePrevious: bool = False
    chain: list[_Plugin] = Field(default_factory=list)


class _SliPlugin(SpecPart):
    id: str = Field(min_length=1)
    options: Texts = Field(default_factory=dict)


class _Events(SpecPart):
    error_query: str = Field(min_length=1)
    total_query: str = Field(min_length=1)


class _Raw(SpecPart):
    error_ratio_query: str = Field(min_length=1)


class _Sli(SpecPart):
    events: _Events | None = None
    raw: _Raw | None = None
    plugin: _SliPlugin | None = None

    @model_validator(mode="after")
    def _one(self) -> _Sli:
        if sum(part is not None for part in (self.events, self.raw, self.plugin)) != 1:
            raise ValueError("needs one of events, raw and plugin | | sloth.sli-form")
        return self


class _Alert(SpecPart):
    disable: bool = False
    labels: Texts = Field(default_factory=dict)
    annotations: Texts = Field(default_factory=dict)


class _Alerting(SpecPart):
    name: str = ""
    labels: Texts = Field(default_factory=dict)
    annotations: Texts = Field(default_factory=dict)
    page_alert: _Alert = Field(default_factory=_Alert)
    ticket_alert: _Alert = Field(default_factory=_Alert)


class _Interval(SpecPart):
    """How often Sloth's rule groups are evaluated: nothing that a promise rests on."""

    all: Any = None
    slierror: Any = None
    metadata: Any = None
    alert: Any = None


class _Slo(SpecPart):
    name: Name
    objective: float = Field(gt=0, lt=100)
    description: str = ""
    labels: Texts = Field(default_factory=dict)
    infoLabels: Texts = Field(default_factory=dict)
    sli: _Sli
    alerting: _Alerting = Field(default_factory=_Alerting)
    interval: _Interval | None = None
    plugins: _Chain = Field(default_factory=_Chain)


class _Spec(SpecPart):
    service: Name
    labels: Texts = Field(default_factory=dict)
    slos: list[_Slo] = Field(min_length=1)
    slo_plugins: _Chain = Field(default_factory=_Chain)


class _PlainFile(_Spec):
    version: Literal["prometheus/v1"]


class _KubernetesFile(SpecPart):
    apiVersion: Literal["sloth.slok.dev/v1"]
    kind: Literal["PrometheusServiceLevel"]
    metadata: dict[str, Any]
    spec: _Spec
    status: Any = None


class _Pace(SpecPart):
    errorBudgetPercent: float = Field(gt=0, le=100)
    shortWindow: PrometheusDuration
    longWindow: PrometheusDuration

    @model_validator(mode="after")
    def _order(self) -> _Pace:
        if self.shortWindow >= self.longWindow:
            raise ValueError("shortWindow must be shorter than longWindow | | sloth.windows-order")
        return self


class _Urgency(SpecPart):
    quick: _Pace
    slow: _Pace


class _WindowsSpec(SpecPart):
    sloPeriod: PrometheusDuration
    page: _Urgency
    ticket: _Urgency


class _WindowsFile(SpecPart):
    apiVersion: Literal["sloth.slok.dev/v1"]
    kind: Literal["AlertWindows"]
    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: _WindowsSpec


def is_sloth(value: Any) -> bool:
    """Whether a document means to be Sloth's."""
    return isinstance(value, dict) and (
        str(value.get("version", "")).startswith("prometheus/") or str(value.get("apiVersion", "")).startswith("sloth.")
    )


def is_alert_windows(value: Any) -> bool:
    return is_sloth(value) and value.get("kind") == "AlertWindows"


def alert_windows(document: Document) -> tuple[tuple[float, tuple[BurnTier, ...]] | None, list[Problem]]:
    """The period (seconds) that an ``AlertWindows`` document is for and its tiers, or its problems.

    A tier's factor is the share of the budget that may go in its long window, by how often that window fits in the period.
    """
    read, problems = validate(_WindowsFile, document)
    if read is None:
        return None, problems
    spec = read.spec
    tiers = tuple(
        BurnTier(
            f"{urgency}-{pace}",
            round(part.errorBudgetPercent / 100 * spec.sloPeriod / part.longWindow, 12),
            part.longWindow,
            part.shortWindow,
            urgency == "page",
        )
        for urgency, both in (("page", spec.page), ("ticket", spec.ticket))
        for pace, part in (("quick", both.quick), ("slow", both.slow))
    )
    return (spec.sloPeriod, tiers), []


def slos_of(document: Document, tiers: tuple[BurnTier, ...] | None = None) -> tuple[list[Slo], list[Problem]]:
    """The promises of one document that can be honoured, and what is wrong with it or with the others of its promises.

    ``tiers``: those that an ``AlertWindows`` document gives for Sloth's period of 30 days.
    """
    annotations: dict[str, str] = {}
    at: Place = ()
    if "apiVersion" in document.value:
        document = _in_snake_case(document)
        whole, problems = validate(_KubernetesFile, document)
        if whole is None:
            return [], [_in_camel_case(p) for p in problems]
        at, spec = ("spec",), whole.spec
        annotations = {
            f"kubernetes/{key}": str(whole.metadata[key]) for key in ("name", "namespace") if whole.metadata.get(key)
        }
        if isinstance(whole.metadata.get("labels"), dict):
            annotations["kubernetes/labels"] = json.dumps(whole.metadata["labels"], sort_keys=True, default=str)
    else:
        plain, problems = validate(_PlainFile, document)
        if plain is None:
            return [], problems
        spec = plain
    problems = _plugins(document, (*at, "slo_plugins", "chain"), spec.slo_plugins)
    if problems:
        return [], problems
    slos: list[Slo] = []
    for index, one in enumerate(spec.slos):
        place = (*at, "slos", index)
        wrong = [*_refused(document, place, one)]
        if any(s.name == f"{spec.service}-{one.name}" for s in slos):
            wrong.append(document.problem((*place, "name"), f"{one.name} is there already", "", "duplicate-name"))
        if not wrong:
            slos.append(_slo(document, at, index, spec, annotations, tiers))
        problems += wrong
    return slos, problems


def _slo(
    document: Document,
    at: Place,
    index: int,
    spec: _Spec,
    annotations: dict[str, str],
    tiers: tuple[BurnTier, ...] | None,
) -> Slo:
    place, one = (*at, "slos", index), spec.slos[index]
    labels = {**text_map(document, (*at, "labels")), **text_map(document, (*place, "labels"))}
    return Slo(
        name=f"{spec.service}-{one.name}",
        entity=f"service:{spec.service}",
        sli="source",
        # 99.9 / 100 carries float noise that would show in every budget.
        target=round(one.objective / 100, 10),
        period_seconds=DEFAULT_PERIOD_SECONDS,
        owner=labels.get("owner", ""),
        description=one.description,
        source=f"{document.path}:{document.line(place)}",
        service=spec.service,
        indicator=_indicator(one.sli),
        tiers=tiers,
        alerting=_alerting(document, (*place, "alerting"), one.alerting),
        labels=labels,
        annotations={"sloth/slo": one.name, **annotations},
    )


def _indicator(sli: _Sli) -> Indicator:
    if sli.raw is not None:
        return RawRatio(sli.raw.error_ratio_query, of="bad")
    assert sli.events is not None  # the plugin was refused
    return EventRatio(sli.events.total_query, bad=sli.events.error_query)


def _alerting(document: Document, place: Place, alerting: _Alerting) -> Alerting:
    def texts(*inside: str) -> dict[str, str]:
        return text_map(document, (*place, *inside))

    def notice(name: str, alert: _Alert) -> Notice:
        return Notice(alert.disable, texts(name, "labels"), texts(name, "annotations"))

    return Alerting(
        name=alerting.name,
        labels=texts("labels"),
        annotations=texts("annotations"),
        page=notice("page_alert", alerting.page_alert),
        ticket=notice("ticket_alert", alerting.ticket_alert),
    )


def _refused(document: Document, place: Place, one: _Slo) -> list[Problem]:
    """Why a well-formed promise cannot be honoured."""
    problems = _plugins(document, (*place, "plugins", "chain"), one.plugins)
    sli = one.sli
    if sli.plugin is not None:
        message = f"the SLI plugin {sli.plugin.id} is a program for Sloth, which midwatch does not run"
        hint = "write the queries that it makes under events or raw"
        problems.append(document.problem((*place, "sli", "plugin", "id"), message, hint, "sloth.sli-plugin"))
    queries = [
        (kind, name, getattr(part, name))
        for kind, part in (("events", sli.events), ("raw", sli.raw))
        if part is not None
        for name in type(part).model_fields
    ]
    for kind, name, query in queries:
        if "{{" not in query:
            at, message = (*place, "sli", kind, name), f"does not use {WINDOW}"
            hint = "Sloth asks it of many windows: write [{{.window}}] where the range belongs"
            problems.append(document.problem(at, message, hint, "sloth.window-missing"))
    alerting = one.alerting
    if not alerting.name and not (alerting.page_alert.disable and alerting.ticket_alert.disable):
        at, hint = (*place, "alerting", "name"), "name the alerts, or disable page_alert and ticket_alert"
        problems.append(document.problem(at, "is missing", hint, "field-missing"))
    return problems


def _plugins(document: Document, place: Place, chain: _Chain) -> list[Problem]:
    """Plugins that make other rules than Sloth's own would make other promises."""
    problems = []
    for index, plugin in enumerate(chain.chain):
        if not plugin.id.startswith(_HARMLESS_PLUGINS):
            message = f"the SLO plugin {plugin.id} is a program for Sloth, which midwatch does not run"
            at, hint = (*place, index, "id"), "leave it out if the promise does not rest on it"
            problems.append(document.problem(at, message, hint, "sloth.slo-plugin"))
    return problems


def _in_snake_case(document: Document) -> Document:
    moved: dict[Place, Place] = {(): document.original(())}

    def walk(value: Any, was: Place, now: Place) -> Any:
        if isinstance(value, list):
            return [walk(one, (*was, index), (*now, index)) for index, one in enumerate(value)]
        if not isinstance(value, dict) or (now and now[-1] in _FREE):
            return value
        found = {}
        for key, one in value.items():
            word = str(_SNAKE.get(key, key)) if now else key
            if (*was, key) != (*now, word):
                moved[(*now, word)] = document.original((*was, key))
            found[word] = walk(one, (*was, key), (*now, word))
        return found

    return Document(document.path, walk(document.value, (), ()), document.lines, document.texts, moved)


def _in_camel_case(problem: Problem) -> Problem:
    """A problem of the Kubernetes form, with the names that are written there."""
    hint, message = problem.hint, problem.message
    for camel, snake in _SNAKE.items():
        hint, message = hint.replace(snake, camel), message.replace(snake, camel)
    key = problem.key
    for camel, snake in _SNAKE.items():
        key = key.replace(snake, camel)
    return Problem(problem.path, problem.line, key, message, hint, problem.code)
