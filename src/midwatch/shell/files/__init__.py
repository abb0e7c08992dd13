"""Files that people write -> model values: promises (``specs``), playbooks, ``people``, ``midwatch.yaml``.

``load(paths)`` raises at the first problem; ``load_what_can_be(paths)`` leaves out the promises that cannot be honoured and
says why; ``check(paths)`` reports every problem. A document is recognised by what it says (``apiVersion: openslo/v1``,
``playbooks:``, or the keys of ``midwatch.yaml``), never by its file's name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from midwatch.model.actions import Playbook
from midwatch.model.people import People
from midwatch.model.policy import Policy
from midwatch.model.slo import Slo
from midwatch.shell.files.paths import files_of
from midwatch.shell.files.people import is_people, people_of
from midwatch.shell.files.playbooks import SHIPPED, is_playbooks, playbooks_of
from midwatch.shell.files.policy import KEYS, PolicyFile, applied, policy_of
from midwatch.shell.files.specs import FORMATS, SpecSet, documents_of, is_spec, specs_of
from midwatch.shell.files.yaml_lines import Document, Problem, read_documents, suggest

__all__ = ["Loaded", "Problem", "check", "load", "load_what_can_be", "shipped_playbooks"]


@dataclass
class _Found:
    """What the files said, gathered."""

    specs: list[Document] = field(default_factory=list)
    promised: SpecSet = field(default_factory=SpecSet)
    playbooks: dict[str, Playbook] = field(default_factory=dict)
    people_documents: list[Document] = field(default_factory=list)
    people: People = field(default_factory=People)
    people_problems: list[Problem] = field(default_factory=list)
    policy: PolicyFile | None = None
    names: dict[str, str] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def spec_problems(self) -> list[Problem]:
        """What is wrong with promises, and what nothing that midwatch has can count."""
        unserved = [p for name in self.promised.unserved for p in self.promised.unserved[name]]
        return list(dict.fromkeys([*self.promised.problems, *unserved]))


@dataclass(frozen=True)
class Loaded:
    """A policy, the files that said it, and why some of their promises were left out."""

    policy: Policy
    sources: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    people_problems: tuple[Problem, ...] = ()  # with any, nobody of the people files is in the policy


def load(paths: Iterable[Path]) -> tuple[Policy, tuple[str, ...]]:
    """The policy that the files and folders say together, with the shipped playbooks, and the files that said it.

    A team's playbook takes the place of a shipped one of the same name. Raises ConfigError (path, line, key, hint).
    """
    found = _gather(paths)
    problems = [*found.problems, *found.people_problems, *found.spec_problems]
    if problems:
        raise problems[0].error()
    return _policy(found, found.promised.slos), tuple(found.sources)


def load_what_can_be(paths: Iterable[Path]) -> Loaded:
    """Like ``load``, but a promise that cannot be honoured is left out, with its reason, and the rest goes on.

    What is wrong in a policy or a playbook, or in a file that is no YAML at all (it might be the policy), is still a
    ConfigError: acting by half a policy is worse than not starting.
    """
    found = _gather(paths)
    if found.problems:
        raise found.problems[0].error()
    kept = tuple(slo for slo in found.promised.slos if slo.name not in found.promised.unserved)
    policy = _policy(found, kept)
    if found.people_problems:
        policy = replace(policy, people=People())
    return Loaded(policy, tuple(found.sources), tuple(found.spec_problems), tuple(found.people_problems))


def check(paths: Iterable[Path]) -> list[Problem]:
    """Every problem of every file, in order of path and line."""
    found = _gather(paths)
    problems = [*found.problems, *found.people_problems, *found.spec_problems]
    return sorted(problems, key=lambda p: (p.path, p.line, p.key))


def shipped_playbooks() -> tuple[Playbook, ...]:
    """The playbooks that come with midwatch. Raises ConfigError when the installation is damaged."""
    found = _gather([SHIPPED])
    if found.problems:
        raise found.problems[0].error()
    return tuple(replace(p, source="shipped") for p in found.playbooks.values())


def _policy(found: _Found, slos: tuple[Slo, ...]) -> Policy:
    policy = applied(Policy(), found.policy) if found.policy else Policy()
    with_shipped = found.policy is None or found.policy.shipped_playbooks is not False
    books = {**({p.name: p for p in shipped_playbooks()} if with_shipped else {}), **found.playbooks}
    return replace(policy, slos=slos, playbooks=tuple(books.values()), people=found.people)


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
    found.promised = specs_of(found.specs)
    found.people, found.people_problems = people_of(found.people_documents)
    return found


def _take(found: _Found, document: Document) -> None:
    value = document.value
    if is_spec(value):
        found.specs += documents_of(document)
    elif is_playbooks(value):
        books, problems = playbooks_of(document)
        found.problems += problems
        for book in books:
            line = int(book.source.rpartition(":")[2])
            if _is_new(found, f"the playbook {book.name}", book.source, document, (), line):
                found.playbooks[book.name] = book
    elif is_people(value):
        found.people_documents.append(document)
    elif isinstance(value, dict) and (KEYS & set(value) or not value):
        read, problems = policy_of(document)
        found.problems += problems
        if read is not None and _is_new(found, "midwatch's policy", f"{document.path}:1", document, ()):
            found.policy = read
    else:
        hint = (
            f"an SLO begins with an apiVersion or version of {', '.join(FORMATS)}, playbooks with playbooks:, a policy "
            "with mode:"
        )
        if isinstance(value, dict) and value:
            close = suggest(next(iter(value)), (*KEYS, "playbooks", "apiVersion"))
            hint = close if close.startswith("did") else hint
        first = (next(iter(value)),) if isinstance(value, dict) and value else ()
        found.problems.append(document.problem(first, "midwatch does not know what this is", hint, "unknown-document"))


def _is_new(
    found: _Found, what: str, source: str, document: Document, place: tuple[str | int, ...], line: int = 0
) -> bool:
    """Whether ``what`` was not read before; says where it was."""
    if what in found.names:
        at = line or document.line(place)
        key = ".".join(str(p) for p in place)
        found.problems.append(
            Problem(
                document.path, at, key, f"{what} is there already", f"first in {found.names[what]}", "duplicate-name"
            )
        )
        return False
    found.names[what] = source
    return True
