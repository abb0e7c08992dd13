"""Files that people write -> model values: OpenSLO promises, playbooks, ``midwatch.yaml``.

``load(paths)`` raises at the first problem; ``check(paths)`` reports all of them. A document is recognised by what it
says (``apiVersion: openslo/v1``, ``playbooks:``, or the keys of ``midwatch.yaml``), never by its file's name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from midwatch.model.actions import Playbook
from midwatch.model.policy import Policy
from midwatch.model.slo import Slo
from midwatch.shell.files.playbooks import SHIPPED, is_playbooks, playbooks_of
from midwatch.shell.files.policy import KEYS, PolicyFile, applied, policy_of
from midwatch.shell.files.slos import is_openslo, slos_of
from midwatch.shell.files.yaml_lines import Document, Problem, read_documents, suggest

__all__ = ["Problem", "check", "load", "shipped_playbooks"]
SUFFIXES: Final = (".yaml", ".yml")
MAX_FILES: Final = 1000


@dataclass
class _Found:
    """What the files said, gathered."""

    slos: list[Slo] = field(default_factory=list)
    playbooks: dict[str, Playbook] = field(default_factory=dict)
    policy: PolicyFile | None = None
    policy_at: str = ""
    names: dict[str, str] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def load(paths: Iterable[Path]) -> tuple[Policy, tuple[str, ...]]:
    """The policy that the files and folders say together, with the shipped playbooks, and the files that said it.

    A team's playbook takes the place of a shipped one of the same name. Raises ConfigError (path, line, key, hint).
    """
    found = _gather(paths)
    if found.problems:
        raise found.problems[0].error()
    policy = applied(Policy(), found.policy) if found.policy else Policy()
    with_shipped = found.policy is None or found.policy.shipped_playbooks is not False
    books = {**({p.name: p for p in shipped_playbooks()} if with_shipped else {}), **found.playbooks}
    return replace(policy, slos=tuple(found.slos), playbooks=tuple(books.values())), tuple(found.sources)


def check(paths: Iterable[Path]) -> list[Problem]:
    """Every problem of every file, in order of path and line."""
    return sorted(_gather(paths).problems, key=lambda p: (p.path, p.line, p.key))


def shipped_playbooks() -> tuple[Playbook, ...]:
    """The playbooks that come with midwatch. Raises ConfigError when the installation is damaged."""
    found = _gather([SHIPPED])
    if found.problems:
        raise found.problems[0].error()
    return tuple(replace(p, source="shipped") for p in found.playbooks.values())


def files_of(path: Path) -> tuple[list[Path], list[Problem]]:
    """The YAML files that ``path`` (a file or a folder) stands for; hidden ones are left out."""
    if path.is_dir():
        many = sorted(
            p
            for p in path.rglob("*")
            if p.suffix in SUFFIXES and p.is_file() and not any(q.startswith(".") for q in p.relative_to(path).parts)
        )
        if len(many) > MAX_FILES:
            return [], [Problem(str(path), 0, "", f"holds more than {MAX_FILES} YAML files", "name a smaller folder")]
        return many, []
    if not path.exists():
        return [], [Problem(str(path), 0, "", "does not exist", "check the path")]
    return [path], []


def _gather(paths: Iterable[Path]) -> _Found:
    found = _Found()
    for path in paths:
        files, problems = files_of(Path(path))
        found.problems += problems
        for file in files:
            documents, problems = read_documents(file)
            found.problems += problems
            if documents and str(file) not in found.sources:
                found.sources.append(str(file))
                for document in documents:
                    _take(found, document)
    return found


def _take(found: _Found, document: Document) -> None:
    value = document.value
    if is_openslo(value):
        slos, problems = slos_of(document)
        found.problems += problems
        for slo in slos:
            if _is_new(found, f"the SLO {slo.name}", slo.source, document, ("metadata", "name")):
                found.slos.append(slo)
    elif is_playbooks(value):
        books, problems = playbooks_of(document)
        found.problems += problems
        for book in books:
            line = int(book.source.rpartition(":")[2])
            if _is_new(found, f"the playbook {book.name}", book.source, document, (), line):
                found.playbooks[book.name] = book
    elif isinstance(value, dict) and (KEYS & set(value) or not value):
        read, problems = policy_of(document)
        found.problems += problems
        if read is not None and _is_new(found, "midwatch's policy", f"{document.path}:1", document, ()):
            found.policy, found.policy_at = read, document.path
    else:
        hint = "an SLO begins with apiVersion: openslo/v1, playbooks with playbooks:, a policy with mode:"
        if isinstance(value, dict) and value:
            close = suggest(next(iter(value)), (*KEYS, "playbooks", "apiVersion"))
            hint = close if close.startswith("did") else hint
        first = (next(iter(value)),) if isinstance(value, dict) and value else ()
        found.problems.append(document.problem(first, "midwatch does not know what this is", hint))


def _is_new(
    found: _Found, what: str, source: str, document: Document, place: tuple[str | int, ...], line: int = 0
) -> bool:
    """Whether ``what`` was not read before; says where it was."""
    if what in found.names:
        at = line or document.line(place)
        key = ".".join(str(p) for p in place)
        found.problems.append(
            Problem(document.path, at, key, f"{what} is there already", f"first in {found.names[what]}")
        )
        return False
    found.names[what] = source
    return True
