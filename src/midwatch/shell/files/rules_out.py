"""Rules and dashboards written down: plain rule files, PrometheusRule resources, payloads for a Mimir or Cortex ruler, and
Grafana's JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from msgspec.structs import replace

from midwatch.core.slo.rules import Group, composite, grafana, native, sloth
from midwatch.core.slo.rules.common import slug
from midwatch.model.errors import ConfigError, MidwatchError, UsageError
from midwatch.model.indicators import Composite
from midwatch.model.slo import AlertRules, Slo
from midwatch.shell.files.yaml_out import dumped

Form = Literal["file", "crd", "mimir", "grafana"]
Compat = Literal["", "sloth"]
NAMESPACE: Final = "midwatch"
RULER_PATH: Final = "/prometheus/config/v1/rules"
SEVERAL: Final = (
    "Prometheus reads only the first document of a file, and says nothing about the others: load each as a file of its own,"
    " or write one document."
)


@dataclass(frozen=True)
class Written:
    """``text`` to write to a file; ``left_out``: promise -> why no rules can be written for it; ``warnings``: what to know
    before it is loaded."""

    text: str
    left_out: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def write_rules(
    slos: Iterable[Slo],
    *,
    compat: Compat = "",
    period_seconds: float | None = None,
    form: Form = "file",
    extra_labels: Mapping[str, str] | None = None,
    rules: AlertRules = AlertRules(),
    one_document: bool = False,
) -> str:
    """The text of ``written``; warnings and what was left out stand in its first lines, as comments (JSON has none). Raises
    ConfigError when no rule at all can be written."""
    out = written(
        slos,
        compat=compat,
        period_seconds=period_seconds,
        form=form,
        extra_labels=extra_labels,
        rules=rules,
        one_document=one_document,
    )
    why_not = [f"left out: {' '.join(why.split())}" for why in out.left_out.values()]
    said = "".join(f"# {line}\n" for line in (*out.warnings, *why_not))
    return out.text if form == "grafana" else said + out.text


def written(
    slos: Iterable[Slo],
    *,
    compat: Compat = "",
    period_seconds: float | None = None,
    form: Form = "file",
    extra_labels: Mapping[str, str] | None = None,
    rules: AlertRules = AlertRules(),
    one_document: bool = False,
) -> Written:
    """Rules for every promise that queries can count, and why the others have none.

    ``compat``: "" is midwatch's own form, "sloth" what Sloth emits. ``period_seconds`` replaces each promise's period, and
    scales the tiers that it does not name itself. ``form``: ``file`` (one ``groups:`` document; in the Sloth form one for
    each spec document, and a resource for a Kubernetes resource, as Sloth does it, unless ``one_document``), ``crd``
    (PrometheusRule), ``mimir`` (one YAML document per rule group, each the body of a POST) or ``grafana``.
    ``extra_labels`` go onto every recorded series; ``rules`` hold the low-traffic guard of midwatch's own alerts.
    """
    if form not in get_args(Form) or compat not in get_args(Compat):
        raise UsageError(f"no such form: {form!r}, {compat!r}")
    chosen = [_adapted(slo, period_seconds, extra_labels or {}) for slo in slos]
    grouped, left_out = _grouped(chosen, compat, rules)
    if not grouped:
        reasons = "; ".join(left_out.values()) or "there are no promises"
        raise ConfigError(f"no rules to write: {reasons}", hint="rules need promises that a source counts by queries")
    kept = [slo for slo in chosen if slo.name in grouped]
    if form == "file" and compat == "sloth" and not one_document:
        return _as_sloth(kept, grouped, left_out)
    return Written(_FORMS[form](kept, grouped, compat), left_out)


def _adapted(slo: Slo, period_seconds: float | None, extra_labels: Mapping[str, str]) -> Slo:
    if period_seconds is not None:
        slo = replace(slo, period_seconds=period_seconds, calendar=None)
    return replace(slo, labels={**slo.labels, **extra_labels}) if extra_labels else slo


def _grouped(slos: list[Slo], compat: str, rules: AlertRules) -> tuple[dict[str, list[Group]], dict[str, str]]:
    """Promise -> its rule groups, and promise -> why it has none. Parts come before the composites made of them."""
    grouped: dict[str, list[Group]] = {}
    left_out: dict[str, str] = {}
    for slo in sorted(slos, key=lambda slo: isinstance(slo.indicator, Composite)):
        try:
            if compat == "sloth":
                grouped[slo.name] = sloth.groups(slo)
            elif isinstance(slo.indicator, Composite):
                others = {other.name: other for other in slos if other.name in grouped}
                grouped[slo.name] = [composite.group(slo, others, rules)]
            else:
                grouped[slo.name] = [native.group(slo, rules)]
        except MidwatchError as error:
            left_out[slo.name] = str(error)
    return grouped, left_out


def _file(slos: list[Slo], grouped: Mapping[str, list[Group]], compat: str) -> str:
    return f"{_head(compat)}{dumped({'groups': [group for slo in slos for group in grouped[slo.name]]})}"


def _as_sloth(slos: list[Slo], grouped: Mapping[str, list[Group]], left_out: Mapping[str, str]) -> Written:
    """A document for each spec document: a resource where that was one."""
    resources = [slo for slo in slos if "kubernetes/name" in slo.annotations]
    plain: dict[tuple[str, str, str], list[Slo]] = {}
    for slo in slos:
        if "kubernetes/name" not in slo.annotations:
            plain.setdefault(sloth.document_of(slo), []).append(slo)
    texts = [_file(some, grouped, "sloth") for some in plain.values()]
    texts += [_crd(resources, grouped, "sloth")] if resources else []
    return Written("---\n".join(texts), left_out, (SEVERAL,) if len(plain) > 1 else ())


def _crd(slos: list[Slo], grouped: Mapping[str, list[Group]], compat: str) -> str:
    """One PrometheusRule for each resource that promises came from, or for each service."""
    resources: dict[tuple[str, str], dict[str, Any]] = {}
    for slo in slos:
        said = slo.annotations
        name = said.get("kubernetes/name") or slug(f"slo-{slo.service or slo.entity.rpartition(':')[2]}", 253)
        namespace = said.get("kubernetes/namespace", "")
        if (namespace, name) not in resources:
            managed = {"app.kubernetes.io/component": "SLO", "app.kubernetes.io/managed-by": compat or "midwatch"}
            own = json.loads(said.get("kubernetes/labels", "{}"))
            metadata = {"name": name, **({"namespace": namespace} if namespace else {}), "labels": {**own, **managed}}
            resources[namespace, name] = {
                "apiVersion": "monitoring.coreos.com/v1",
                "kind": "PrometheusRule",
                "metadata": metadata,
                "spec": {"groups": []},
            }
        resources[namespace, name]["spec"]["groups"] += grouped[slo.name]
    return "---\n".join(f"{_head(compat)}{dumped(resource)}" for resource in resources.values())


def _mimir(slos: list[Slo], grouped: Mapping[str, list[Group]], compat: str) -> str:
    said = f"# Each document is the body of one POST to {RULER_PATH}/{{namespace}} (Content-Type: application/yaml).\n"
    return said + "---\n".join(dumped(group) for slo in slos for group in grouped[slo.name])


def _grafana(slos: list[Slo], grouped: Mapping[str, list[Group]], compat: str) -> str:
    return json.dumps(grafana.dashboard(slos, compat), indent=2, ensure_ascii=False) + "\n"


def _head(compat: str) -> str:
    return f"# Written by midwatch{' in the form of Sloth' if compat == 'sloth' else ''}: change the spec, not this file.\n"


_FORMS: Final[dict[str, Callable[[list[Slo], Mapping[str, list[Group]], str], str]]] = {
    "file": _file,
    "crd": _crd,
    "mimir": _mimir,
    "grafana": _grafana,
}
