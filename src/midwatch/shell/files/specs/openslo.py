"""OpenSLO documents, all versions together -> promises.

Everything is read as v1 first (``openslo_v1alpha.py``, ``openslo_v2alpha.py`` rewrite). Then references are followed across
all documents, and each objective becomes a promise. A document that no promise leads to is only checked for its form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from msgspec.structs import replace

from midwatch.model.entity import service_key
from midwatch.model.indicators import Calendar, Composite, Part, Slices
from midwatch.model.slo import Slo
from midwatch.shell.files.specs import openslo_v1 as v1
from midwatch.shell.files.specs import openslo_v1alpha, openslo_v2alpha
from midwatch.shell.files.specs.common import (
    DEFAULT_PERIOD_SECONDS,
    MAX_PERIOD_SECONDS,
    MAX_SIGNAL_PERIOD_SECONDS,
    MIN_PERIOD_SECONDS,
    calendar_of,
    json_like,
    longest_seconds,
    text_map,
)
from midwatch.shell.files.specs.extras import Extras, extras_of
from midwatch.shell.files.specs.metrics import Measured, measured, thresholded
from midwatch.shell.files.specs.policies import Alerts, alerts_of
from midwatch.shell.files.yaml_lines import Document, Place, Problem, suggest

VERSIONS: Final = (v1.VERSION, openslo_v1alpha.VERSION, openslo_v2alpha.VERSION)


@dataclass
class Built:
    """The promises of one document. ``unserved``: by promise, why nothing that midwatch has can count it."""

    slos: list[Slo] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unserved: dict[str, list[Problem]] = field(default_factory=dict)


def is_openslo(value: Any) -> bool:
    """Whether a document means to be OpenSLO."""
    return isinstance(value, dict) and str(value.get("apiVersion", "")).startswith("openslo")


def well_formed(document: Document) -> tuple[list[tuple[Document, v1.AnyFile]], list[Problem]]:
    """The v1 documents that a document stands for, or what is wrong with its form: the verdict of OpenSLO's Go SDK."""
    document = json_like(document)
    version = document.value.get("apiVersion")
    if version == openslo_v1alpha.VERSION:
        documents, problems = openslo_v1alpha.as_v1(document)
    elif version == openslo_v2alpha.VERSION:
        documents, problems = openslo_v2alpha.as_v1(document)
    elif version == v1.VERSION:
        documents, problems = [document], []
    else:
        message, hint = f"{version!r} is no version that midwatch reads", suggest(str(version), VERSIONS)
        return [], [document.problem(("apiVersion",), message, hint, "openslo.version-unknown")]
    found: list[tuple[Document, v1.AnyFile]] = []
    for one in documents:
        read, wrong = v1.read(one)
        problems += wrong
        if read is not None:
            found.append((one, read))
    return ([] if problems else found), problems


class Library:
    """Every well-formed document by kind and name, for references."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, str], list[tuple[Document, v1.AnyFile]]] = {}
        self.types: dict[str, str] = {}  # data source -> its type

    def add(self, document: Document, read: v1.AnyFile) -> None:
        self._all.setdefault((read.kind, read.metadata.name), []).append((document, read))
        if isinstance(read, v1.DataSourceFile):
            self.types.setdefault(read.metadata.name, read.spec.type)

    def find(self, kind: str, name: str, document: Document, place: Place) -> tuple[Document, Any] | Problem:
        """What ``name`` at ``place`` of ``document`` refers to."""
        held = self._all.get((kind, name), [])
        if not held:
            names = [n for k, n in self._all if k == kind]
            message, code = f"no {kind} {name!r} is defined in these files", "openslo.reference-missing"
            return document.problem(place, message, suggest(name, names) or f"define a {kind}", code)
        if any(read != held[0][1] for _, read in held[1:]):
            at = ", ".join(f"{d.path}:{d.line(('metadata', 'name'))}" for d, _ in held)
            message, code = f"{kind} {name!r} is defined more than once, differently", "openslo.reference-ambiguous"
            return document.problem(place, message, at, code)
        return held[0]


def slos_of(library: Library, document: Document, read: v1.SloFile) -> Built:
    """The promises of one SLO document: one for each objective, and of a composite the whole besides."""
    built = Built()
    annotations = text_map(document, ("metadata", "annotations"))
    extras, rest, wrong = extras_of(document, annotations)
    built.problems += wrong
    alerts = alerts_of(document, read.spec.alertPolicies, library.find)
    built.problems += alerts.problems
    window = _window(document, read)
    if isinstance(window, Problem):
        built.problems.append(window)
        return built
    about = _About(document, read, extras, rest, alerts, window)
    single = None if read.spec.is_composite else _indicator(library, document, ("spec",), read.spec)
    if isinstance(single, Problem):
        built.problems.append(single)
        return built
    for index, objective in enumerate(read.spec.objectives):
        own = single or _indicator(library, document, ("spec", "objectives", index), objective)
        if isinstance(own, Problem):
            built.problems.append(own)
            continue
        _add(built, about, index, objective, *own)
    if read.spec.is_composite and extras.group_by:
        where, message = ("metadata", "annotations"), "a composite cannot be grouped"
        built.problems.append(
            document.problem(where, message, "group its parts' own SLOs", "openslo.group-unsupported")
        )
    if read.spec.is_composite and not built.problems:
        built.slos.append(_composite(about, built.slos))
    if built.problems:
        built.slos, built.unserved = [], {}
    elif any(built.unserved.values()) and read.spec.is_composite:
        # A composite with a part that nobody counts would be a promise about the rest only.
        built.unserved[built.slos[-1].name] = [p for found in built.unserved.values() for p in found]
    return built


@dataclass(frozen=True)
class _About:
    """What all promises of a document share."""

    document: Document
    read: v1.SloFile
    extras: Extras
    annotations: dict[str, str]
    alerts: Alerts
    window: tuple[float, Calendar | None]

    def slo(self, name: str, index: int, target: float, sli: Any, entity: str) -> Slo:
        read, extras, (period, calendar) = self.read, self.extras, self.window
        service = read.spec.service
        labels = text_map(self.document, ("metadata", "labels")) if extras.labels is None else extras.labels
        place: Place = ("spec", "objectives", index) if index >= 0 else ("metadata", "name")
        return Slo(
            name=name,
            entity=entity or extras.entity or service_key(service),
            sli=sli,
            target=target,
            period_seconds=period,
            owner=extras.owner or self.annotations.get("owner", labels.get("owner", "")),
            description=read.spec.description or read.metadata.displayName,
            source=f"{self.document.path}:{self.document.line(place)}",
            service=service,
            calendar=calendar,
            group_by=extras.group_by,
            max_groups=extras.max_groups,
            tiers=self.alerts.tiers if extras.tiers is None else extras.tiers,
            alerting=self.alerts.alerting if extras.alerting is None else extras.alerting,
            labels=labels,
            annotations=self.annotations,
        )


def _add(
    built: Built,
    about: _About,
    index: int,
    objective: v1.Objective,
    home: Document,
    place: Place,
    spec: Any,
    types: Any,
) -> None:
    """The promise of one objective, or its problems."""
    at: Place = ("spec", "objectives", index)
    found = measured(home, place, spec, types)
    problems = [*found.problems, *_more_problems(about, at, objective, found, spec)]
    if problems:
        built.problems += [p for p in problems if p not in built.problems]
        return
    single = len(about.read.spec.objectives) == 1 and not about.read.spec.is_composite
    name = about.extras.name or about.read.metadata.name
    slo = about.slo(name if single else f"{name}-{index + 1}", index, objective.share, found.sli, found.entity)
    if found.sli == "source":
        indicator = (
            thresholded(found, objective.op or "", objective.value or 0.0) if found.threshold else found.indicator
        )
        slo = replace(slo, indicator=indicator, data_source=found.data_source)
    elif found.sli != "ratio":
        slo = replace(slo, threshold_ms=(objective.value or 0.0) * (1000.0 if found.unit == "s" else 1.0))
    slo = replace(slo, slices=_slices(about.read, objective))
    built.slos.append(slo)
    built.unserved[slo.name] = found.unserved


def _more_problems(
    about: _About, at: Place, objective: v1.Objective, found: Measured, spec: v1.IndicatorSpec
) -> list[Problem]:
    """What well-formed objectives may still ask for in vain."""
    document = about.document
    problems = v1.misfits(document, at, objective, spec)
    if found.sli in ("latency", "freshness") and not problems:
        if objective.op not in ("lte", "lt"):
            problems.append(document.problem((*at, "op"), "must be 'lte' or 'lt'", "", "value-invalid"))
        if not (objective.value or 0.0) > 0:
            problems.append(document.problem((*at, "value"), "must be above 0", "", "value-invalid"))
    if not objective.share > 0:
        word = "target" if objective.target is not None else "targetPercent"
        message = "a promise of nothing has no budget: must be above 0"
        problems.append(document.problem((*at, word), message, "", "openslo.target-zero"))
    period, calendar = about.window
    longest = MAX_PERIOD_SECONDS if found.sli == "source" else MAX_SIGNAL_PERIOD_SECONDS
    if not MIN_PERIOD_SECONDS <= period <= longest:
        days = f"{longest / 86400:.0f}d"
        reason = "30d is usual" if found.sli == "source" or not calendar else "midwatch keeps its own counts so long"
        where = ("spec", "timeWindow", 0, "duration")
        problems.append(document.problem(where, f"must be between 1h and {days}", reason, "openslo.window-length"))
    if found.sli != "source" and about.extras.group_by:
        noted = ("metadata", "annotations")
        message = "what midwatch counts itself is not kept by label: it cannot be grouped"
        problems.append(document.problem(noted, message, "name a source", "openslo.group-unsupported"))
    return problems


def _indicator(
    library: Library, document: Document, place: Place, holder: v1.SloSpec | v1.Objective
) -> tuple[Document, Place, v1.IndicatorSpec, dict[str, str]] | Problem:
    """Where the indicator of an SLO or an objective stands, and what it says."""
    if holder.indicator is not None:
        return document, (*place, "indicator", "spec"), holder.indicator.spec, library.types
    named = library.find("SLI", holder.indicatorRef or "", document, (*place, "indicatorRef"))
    return named if isinstance(named, Problem) else (named[0], ("spec",), named[1].spec, library.types)


def _window(document: Document, read: v1.SloFile) -> tuple[float, Calendar | None] | Problem:
    """Seconds of the period, and its calendar."""
    if not read.spec.timeWindow:
        return DEFAULT_PERIOD_SECONDS, None
    window = read.spec.timeWindow[0]
    if window.calendar is None:
        return window.duration.seconds, None
    calendar = calendar_of(window.duration, window.calendar.startTime, window.calendar.timeZone)
    if calendar is None:
        at: Place = ("spec", "timeWindow", 0, "duration")
        hint = "write days, weeks, months (M), quarters (Q) or years (Y)"
        return document.problem(at, "a calendar has no such unit", hint, "openslo.calendar-unit")
    return longest_seconds(calendar), calendar


def _slices(read: v1.SloFile, objective: v1.Objective) -> Slices | None:
    if read.spec.budgetingMethod == "Occurrences" or objective.timeSliceWindow is None:
        return None
    if read.spec.budgetingMethod == "RatioTimeslices":
        return Slices(objective.timeSliceWindow.seconds, rule="ratio")
    return Slices(objective.timeSliceWindow.seconds, objective.timeSliceTarget or 0.0)


def _composite(about: _About, parts: list[Slo]) -> Slo:
    """The whole of a composite: its target is the mean of its parts' targets by weight, so that its budget is the mean of
    theirs; of a journey it is their product, what independent parts that keep their promises make together."""
    weights = [o.compositeWeight if o.compositeWeight is not None else 1.0 for o in about.read.spec.objectives]
    if about.extras.composite == "all":
        target = 1.0
        for part in parts:
            target *= part.target
    else:
        target = sum(w * p.target for w, p in zip(weights, parts, strict=True)) / sum(weights)
    whole = about.slo(about.extras.name or about.read.metadata.name, -1, round(target, 12), "source", "")
    members = tuple(Part(part.name, weight) for part, weight in zip(parts, weights, strict=True))
    return replace(whole, indicator=Composite(members, about.extras.composite))
