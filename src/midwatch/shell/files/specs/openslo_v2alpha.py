"""OpenSLO v2alpha (``apiVersion: openslo.com/v2alpha``), rewritten as v1.

Its seven kinds are those of v1 with other words: ``sli`` and ``sliRef`` for indicators, ``serviceRef``, and a metric that
names its data source (``dataSourceRef``) or carries it (``dataSourceSpec``).
"""

from __future__ import annotations

from typing import Any, Final

from midwatch.shell.files.specs import openslo_v1
from midwatch.shell.files.specs.common import slug
from midwatch.shell.files.yaml_lines import Document, Place, Problem, suggest

VERSION: Final = "openslo.com/v2alpha"
_RENAMED: Final = {"sli": "indicator", "sliRef": "indicatorRef", "serviceRef": "service"}
_METRICS: Final = ("good", "bad", "total", "raw", "thresholdMetric")
_METRIC_KEYS: Final = ("dataSourceRef", "dataSourceSpec", "spec")


def as_v1(document: Document) -> tuple[list[Document], list[Problem]]:
    """The v1 documents that a v2alpha document stands for (a carried data source becomes its own), or its problems."""
    rewrite = _Rewrite(document)
    value = rewrite.tree(document.value, (), ())
    if rewrite.problems:
        return [], rewrite.problems
    value["apiVersion"] = openslo_v1.VERSION
    moved = {(): document.original(())} | rewrite.moved
    whole = Document(document.path, value, document.lines, document.texts, moved)
    return [*rewrite.sources, whole], []


class _Rewrite:
    """One walk over a document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.moved: dict[Place, Place] = {}
        self.problems: list[Problem] = []
        self.sources: list[Document] = []
        self._carried_already: list[tuple[dict[str, Any], str]] = []

    def tree(self, value: Any, was: Place, now: Place) -> Any:
        """``value`` at ``was`` with v1's words, to stand at ``now``."""
        if was != now:
            self.moved[now] = self._document.original(was)
        if isinstance(value, list):
            return [self.tree(one, (*was, index), (*now, index)) for index, one in enumerate(value)]
        if not isinstance(value, dict):
            return value
        found: dict[str, Any] = {}
        for key, one in value.items():
            if key in _RENAMED.values() and now[:1] == ("spec",):
                old = next(new for new, v1 in _RENAMED.items() if v1 == key)
                self._say((*was, key), "is not known here", f"did you mean {old}?", "unknown-field")
                continue
            word = str(_RENAMED.get(key, key)) if now[:1] == ("spec",) else key
            if key in _METRICS and isinstance(one, dict):
                found[word] = self._metric(one, (*was, key), (*now, word))
            elif key in ("metadata", "connectionDetails"):
                found[word] = one  # a label may have any name
            else:
                found[word] = self.tree(one, (*was, key), (*now, word))
        return found

    def _metric(self, value: dict[str, Any], was: Place, now: Place) -> dict[str, Any]:
        source: dict[str, Any] = {}
        inner = (*now, "metricSource")
        self.moved[now] = self._document.original(was)
        self.moved[inner] = self._document.original(was)
        for key in value:
            if key not in _METRIC_KEYS:
                self._say((*was, key), "is not known here", suggest(key, _METRIC_KEYS), "unknown-field")
        ref, carried = value.get("dataSourceRef"), value.get("dataSourceSpec")
        if (ref is None) == (carried is None):
            message = "needs dataSourceRef or dataSourceSpec, and not both"
            self._say(was, message, "", "openslo.reference-form")
        if ref is not None:
            source["metricSourceRef"] = ref
            self.moved[(*inner, "metricSourceRef")] = self._document.original((*was, "dataSourceRef"))
        if isinstance(carried, dict):
            source |= self._carried(carried, (*was, "dataSourceSpec"))
        elif carried is not None:
            self._say((*was, "dataSourceSpec"), "must be a mapping of keys to values", "", "value-invalid")
        source["spec"] = value.get("spec")
        return {"metricSource": source}

    def _carried(self, value: dict[str, Any], was: Place) -> dict[str, Any]:
        """A data source inside a metric: v1 only refers to them."""
        for other, name in self._carried_already:
            if other == value:
                return {"metricSourceRef": name}
        metadata = self._document.value.get("metadata")
        owner = metadata.get("name") if isinstance(metadata, dict) else ""
        name = slug(f"{str(owner)[:40]}-source-{len(self.sources) + 1}")
        tree = {"apiVersion": openslo_v1.VERSION, "kind": "DataSource", "metadata": {"name": name}, "spec": value}
        moved: dict[Place, Place] = {(): self._document.original(was), ("spec",): self._document.original(was)}
        self.sources.append(Document(self._document.path, tree, self._document.lines, self._document.texts, moved))
        self._carried_already.append((value, name))
        return {"metricSourceRef": name}

    def _say(self, place: Place, message: str, hint: str, code: str) -> None:
        self.problems.append(self._document.problem(place, message, hint, code))
