"""Specs of promises, as teams already have them -> model values: OpenSLO (v1, v1alpha, v2alpha), Sloth, Pyrra.

``read_specs(paths)`` reads files and folders together, so that references between them are found. What cannot be honoured
is left out with its reason, and the rest goes on. ``to_openslo_v1`` (``write.py``) writes all of it as OpenSLO v1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from midwatch.model.slo import BurnTier, Slo
from midwatch.shell.files.paths import files_of
from midwatch.shell.files.playbooks import is_playbooks
from midwatch.shell.files.policy import KEYS
from midwatch.shell.files.specs import openslo, openslo_v1, pyrra, sloth
from midwatch.shell.files.specs.common import DEFAULT_PERIOD_SECONDS
from midwatch.shell.files.yaml_lines import Document, Problem, read_documents, suggest

__all__ = ["FORMATS", "SpecDocument", "SpecSet", "documents_of", "is_spec", "read_specs", "specs_of"]
FORMATS: Final = (*openslo.VERSIONS, sloth.PLAIN, sloth.KUBERNETES, pyrra.VERSION)


@dataclass(frozen=True)
class SpecDocument:
    """One document as it was read. ``openslo``: its v1 form (empty for the other formats); ``slos``: the names of the
    promises that it makes."""

    format: str
    kind: str
    name: str
    path: str
    line: int
    openslo: Mapping[str, Any] = field(default_factory=dict)
    slos: tuple[str, ...] = ()


@dataclass(frozen=True)
class SpecSet:
    """What specs say together.

    ``unserved``: by the promise's name, why nothing that midwatch has can count it (a query for Datadog): it can be
    listed and converted, not kept. ``windows``: by period in seconds, the tiers of Sloth's ``AlertWindows``.
    """

    slos: tuple[Slo, ...] = ()
    problems: tuple[Problem, ...] = ()
    documents: tuple[SpecDocument, ...] = ()
    unserved: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)
    windows: Mapping[float, tuple[BurnTier, ...]] = field(default_factory=dict)


def is_spec(value: Any) -> bool:
    """Whether a YAML document means to be a spec, or a list of specs."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(one, dict) and is_spec(one) for one in value)
    return openslo.is_openslo(value) or sloth.is_sloth(value) or pyrra.is_pyrra(value)


def documents_of(document: Document) -> list[Document]:
    """A document, or what it lists."""
    if isinstance(document.value, list):
        return [document.part((index,)) for index in range(len(document.value))]
    return [document]


def read_specs(paths: Iterable[Path]) -> SpecSet:
    """Everything that the files and folders promise. Playbooks and policies between them are passed over. Never raises."""
    documents: list[Document] = []
    problems: list[Problem] = []
    for path in paths:
        files, wrong = files_of(Path(path))
        problems += wrong
        for file in files:
            found, wrong = read_documents(file)
            problems += wrong
            for document in found:
                if is_spec(document.value):
                    documents += documents_of(document)
                elif not _is_ours(document.value):
                    problems.append(_unknown(document))
    return specs_of(documents, problems)


def specs_of(documents: Sequence[Document], problems: Iterable[Problem] = ()) -> SpecSet:
    """What these documents, each of which ``is_spec``, promise together; ``problems`` are those known before."""
    gathered = _Gathered(problems=list(problems))
    for document in documents:
        if sloth.is_alert_windows(document.value):
            gathered.take_windows(document)
    formed: list[tuple[Document, openslo_v1.AnyFile]] = []
    others: list[Document] = []
    for document in documents:
        if openslo.is_openslo(document.value):
            found, wrong = openslo.well_formed(document)
            gathered.problems += wrong
            formed += found
        elif not sloth.is_alert_windows(document.value):
            others.append(document)
    library = openslo.Library()
    for document, read in formed:
        library.add(document, read)
    for document, read in formed:
        gathered.take_openslo(library, document, read)
    for document in others:
        gathered.take_other(document)
    return SpecSet(
        tuple(gathered.slos),
        tuple(sorted(gathered.problems, key=lambda p: (p.path, p.line, p.key))),
        tuple(gathered.documents),
        gathered.unserved,
        gathered.windows,
    )


@dataclass
class _Gathered:
    slos: list[Slo] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    documents: list[SpecDocument] = field(default_factory=list)
    unserved: dict[str, tuple[Problem, ...]] = field(default_factory=dict)
    windows: dict[float, tuple[BurnTier, ...]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def take_windows(self, document: Document) -> None:
        found, wrong = sloth.alert_windows(document)
        self.problems += wrong
        if found is None:
            return
        period, tiers = found
        if period in self.windows and self.windows[period] != tiers:
            message, code = "there are other AlertWindows for this period already", "duplicate-name"
            self.problems.append(document.problem(("spec", "sloPeriod"), message, "", code))
            return
        self.windows[period] = tiers
        self._note(document, sloth.KUBERNETES, "AlertWindows", "")

    def take_openslo(self, library: openslo.Library, document: Document, read: openslo_v1.AnyFile) -> None:
        slos: list[Slo] = []
        if isinstance(read, openslo_v1.SloFile):
            built = openslo.slos_of(library, document, read)
            self.problems += [p for p in built.problems if p not in self.problems]
            slos = self._new(document, built.slos)
            self.unserved |= {s.name: tuple(built.unserved[s.name]) for s in slos if built.unserved.get(s.name)}
            if not slos:
                return
        self._note(document, openslo_v1.VERSION, read.kind, read.metadata.name, document.value, slos)

    def take_other(self, document: Document) -> None:
        of_sloth = sloth.is_sloth(document.value)
        if of_sloth:
            found, wrong = sloth.slos_of(document, self.windows.get(DEFAULT_PERIOD_SECONDS))
        else:
            found, wrong = pyrra.slos_of(document)
        self.problems += wrong
        slos = self._new(document, found)
        if slos:
            version = document.value.get("apiVersion", document.value.get("version", ""))
            kind = str(document.value.get("kind", "PrometheusServiceLevel"))
            self._note(document, str(version), kind, slos[0].service, {}, slos)

    def _new(self, document: Document, slos: list[Slo]) -> list[Slo]:
        """Those of ``slos`` whose names are not taken; a document whose first is taken adds nothing."""
        kept: list[Slo] = []
        for slo in slos:
            if slo.name in self.names:
                line = document.line(("metadata", "name")) if "metadata" in document.value else _line(slo)
                key = "metadata.name" if "metadata" in document.value else "slos"
                message, hint = f"the SLO {slo.name} is there already", f"first in {self.names[slo.name]}"
                self.problems.append(Problem(document.path, line, key, message, hint, "duplicate-name"))
                continue
            self.names[slo.name] = slo.source
            kept.append(slo)
        self.slos += kept
        return kept

    def _note(
        self,
        document: Document,
        version: str,
        kind: str,
        name: str,
        tree: Mapping[str, Any] | None = None,
        slos: Sequence[Slo] = (),
    ) -> None:
        self.documents.append(
            SpecDocument(version, kind, name, document.path, document.line(()), tree or {}, tuple(s.name for s in slos))
        )


def _line(slo: Slo) -> int:
    return int(slo.source.rpartition(":")[2])


def _is_ours(value: Any) -> bool:
    return is_playbooks(value) or (isinstance(value, dict) and (bool(KEYS & set(value)) or not value))


def _unknown(document: Document) -> Problem:
    value = document.value
    version = value.get("apiVersion", value.get("version")) if isinstance(value, dict) else None
    hint = suggest(str(version), FORMATS) if version else f"known: {', '.join(FORMATS)}"
    place = ("apiVersion",) if isinstance(value, dict) and "apiVersion" in value else ()
    return document.problem(place, "midwatch does not know what this is", hint, "unknown-document")
