"""Promises -> OpenSLO v1, as YAML that is the same every time.

OpenSLO documents of any version come out as the v1 documents that they were read as. Promises of other formats are written
from their values; what OpenSLO has no field for goes into annotations (``extras.py``), so that reading the result
gives the same values again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import yaml

from midwatch.model.entity import service_key
from midwatch.model.indicators import BoolGauge, Composite, EventRatio, Histogram, RawRatio, Threshold
from midwatch.model.slo import Slo
from midwatch.shell.files.specs import SpecSet
from midwatch.shell.files.specs.common import NAMESPACE, slug
from midwatch.shell.files.specs.openslo_v1 import VERSION

_LABEL_KEY: Final = re.compile(r"^[a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$")
_LENGTHS: Final = ((86400, "d"), (3600, "h"), (60, "m"))
_CALENDAR_UNITS: Final = {"day": "d", "week": "w", "month": "M", "quarter": "Q", "year": "Y"}
MAX_DESCRIPTION: Final = 1050


class _Dumper(yaml.SafeDumper):
    """Long queries as blocks, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def to_openslo_v1(spec_set: SpecSet) -> str:
    """All that was read, as OpenSLO v1 documents in the order in which they were read; "" of nothing."""
    written = {name for document in spec_set.documents if document.openslo for name in document.slos}
    trees = [dict(document.openslo) for document in spec_set.documents if document.openslo]
    return dumped([*trees, *(openslo_of(slo) for slo in spec_set.slos if slo.name not in written)])


def dumped(trees: Iterable[dict[str, Any]]) -> str:
    """YAML documents of these trees, keys in their order."""
    return yaml.dump_all(
        list(trees),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=120,
        default_flow_style=False,
        explicit_start=True,
    )


def openslo_of(slo: Slo) -> dict[str, Any]:
    """The OpenSLO v1 document of one promise. Raises ValueError for a composite, which only its own document can say."""
    if isinstance(slo.indicator, Composite):
        raise ValueError(f"{slo.name} is a composite: it is written by the document that it was read from")
    name = slug(slo.name) or "slo"
    objective: dict[str, Any] = {"target": slo.target}
    body = _body(slo, objective)
    spec: dict[str, Any] = {"description": slo.description[:MAX_DESCRIPTION]} if slo.description else {}
    spec["service"] = slo.service or slo.entity
    spec["indicator"] = {"metadata": {"name": name}, "spec": body}
    spec["timeWindow"] = [_window(slo)]
    spec["budgetingMethod"] = "Occurrences"
    if slo.slices is not None:
        spec["budgetingMethod"] = "Timeslices" if slo.slices.rule == "good" else "RatioTimeslices"
        objective |= {"timeSliceTarget": slo.slices.target} if slo.slices.rule == "good" else {}
        objective["timeSliceWindow"] = _duration(slo.slices.seconds)
    spec["objectives"] = [objective]
    return {"apiVersion": VERSION, "kind": "SLO", "metadata": _metadata(slo, name), "spec": spec}


def _metadata(slo: Slo, name: str) -> dict[str, Any]:
    annotations = dict(slo.annotations)

    def note(word: str, value: Any) -> None:
        annotations[NAMESPACE + word] = value if isinstance(value, str) else msgspec.json.encode(value).decode()

    found: dict[str, Any] = {"name": name}
    if name != slo.name:
        note("name", slo.name)
    if all(_LABEL_KEY.match(key) for key in slo.labels):
        found |= {"labels": dict(slo.labels)} if slo.labels else {}
    else:
        note("labels", slo.labels)
    if slo.owner and slo.owner != slo.annotations.get("owner", slo.labels.get("owner", "")):
        note("owner", slo.owner)
    service = slo.service or slo.entity
    if slo.sli == "source" and slo.entity != service_key(service):
        note("entity", slo.entity)
    if slo.group_by:
        note("group-by", ",".join(slo.group_by))
        note("max-groups", str(slo.max_groups))
    if slo.alerting is not None:
        note("alerting", slo.alerting)
    if slo.tiers is not None:
        note("tiers", slo.tiers)
    return found | ({"annotations": annotations} if annotations else {})


def _body(slo: Slo, objective: dict[str, Any]) -> dict[str, Any]:
    """The indicator's spec; a threshold's op and value go into ``objective``."""
    what = slo.indicator
    if slo.sli != "source" or what is None:
        return _signal(slo, objective)
    if isinstance(what, EventRatio):
        side = {"good": _asked(slo, query=what.good)} if what.good else {"bad": _asked(slo, query=what.bad)}
        return {"ratioMetric": {"counter": True, **side, "total": _asked(slo, query=what.total)}}
    if isinstance(what, RawRatio):
        kind = "success" if what.of == "good" else "failure"
        return {"ratioMetric": {"rawType": kind, "raw": _asked(slo, query=what.query)}}
    if isinstance(what, Threshold):
        objective |= {"op": what.op, "value": what.bound}
        return {"thresholdMetric": _asked(slo, query=what.query)}
    if isinstance(what, Histogram):
        objective |= {"op": "lte", "value": what.threshold}
        rest = {"total": what.total} if what.total else {}
        return {"thresholdMetric": _asked(slo, histogram=what.selector, kind=what.kind, **rest)}
    assert isinstance(what, BoolGauge)
    objective |= {"op": "gte", "value": 1}
    return {"thresholdMetric": _asked(slo, gauge=what.selector)}


def _asked(slo: Slo, **spec: str) -> dict[str, Any]:
    ref = {"metricSourceRef": slo.data_source} if slo.data_source else {}
    return {"metricSource": {**ref, "type": "Prometheus", "spec": spec}}


def _signal(slo: Slo, objective: dict[str, Any]) -> dict[str, Any]:
    def source(signal: str, **more: str) -> dict[str, Any]:
        return {"metricSource": {"type": "midwatch", "spec": {"signal": signal, "entity": slo.entity, **more}}}

    if slo.sli == "ratio":
        return {"ratioMetric": {"counter": True, "good": source("good_requests"), "total": source("requests")}}
    objective |= {"op": "lte", "value": slo.threshold_ms}
    return {"thresholdMetric": source("latency" if slo.sli == "latency" else "message_age", unit="ms")}


def _window(slo: Slo) -> dict[str, Any]:
    if slo.calendar is None:
        return {"duration": _duration(slo.period_seconds), "isRolling": True}
    calendar = slo.calendar
    return {
        "duration": f"{calendar.count}{_CALENDAR_UNITS[calendar.unit]}",
        "isRolling": False,
        "calendar": {
            "startTime": (calendar.start or "1970-01-01T00:00:00").replace("T", " "),
            "timeZone": calendar.time_zone,
        },
    }


def _duration(seconds: float) -> str:
    for length, unit in _LENGTHS:
        if seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    return f"{seconds:g}s"  # OpenSLO has no seconds; midwatch reads them
