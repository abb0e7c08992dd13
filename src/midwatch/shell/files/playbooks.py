"""Playbooks from YAML: a list under ``playbooks:``. The shipped ones lie in ``midwatch/playbooks``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, field_validator, model_validator

import midwatch
from midwatch.model.actions import Check, ParameterRule, Playbook, VerbSpec
from midwatch.model.entity import ENTITY_KINDS
from midwatch.model.faults import FAULT_KINDS
from midwatch.shell.files.parts import Part, Seconds
from midwatch.shell.files.yaml_lines import Document, Problem, suggest, validate

SHIPPED: Final = Path(midwatch.__file__).parent / "playbooks"
TARGETS: Final = ("entity", "service", "instance", "region", "caller", "callers", "queue", "database", "cache")


class _Rule(Part):
    value: str | int | float | bool | None = None
    signal: str = ""
    times: float = 1.0
    plus: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    scope: str = ""

    @model_validator(mode="after")
    def _one_source(self) -> _Rule:
        if sum((self.value is not None, bool(self.signal), bool(self.scope))) != 1:
            raise ValueError("needs exactly one of value, signal and scope")
        return self


class _Check(Part):
    subject: str = "symptom"
    signal: str
    comparison: Literal["<", "<=", ">", ">="]
    threshold: float
    unit: str = ""
    window: Seconds = 15.0


class _Expect(Part):
    within: Seconds = Field(60.0, gt=0)
    hold: Seconds = Field(15.0, ge=0)
    checks: list[_Check] = Field(default_factory=list, max_length=6)

    @model_validator(mode="after")
    def _in_time(self) -> _Expect:
        if self.hold >= self.within:
            raise ValueError("hold must be shorter than within")
        return self


class _Playbook(Part):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=60)
    description: str = ""
    kinds: list[str] = Field(min_length=1)
    verb: str = Field(min_length=1)
    target: str = "entity"
    target_kinds: list[str] = Field(default_factory=list)
    requires_scope: list[str] = Field(default_factory=list)
    parameters: dict[str, _Rule] = Field(default_factory=dict)
    min_probability: float = Field(0.5, ge=0, le=1)
    priority: int = Field(100, ge=0, le=1000)
    autonomy: Literal["shadow", "suggest", "ask", "canary", "auto"] = "ask"
    accepts_downtime: bool = False
    expect: _Expect = Field(default_factory=lambda: _Expect(within=60.0, hold=15.0))

    @field_validator("kinds")
    @classmethod
    def _known_kinds(cls, value: list[str]) -> list[str]:
        for kind in value:
            if kind not in FAULT_KINDS:
                raise ValueError(f"{kind!r} is no fault kind | {suggest(kind, FAULT_KINDS)}")
        return value

    @field_validator("target")
    @classmethod
    def _known_target(cls, value: str) -> str:
        if value not in TARGETS:
            raise ValueError(f"{value!r} is no target | {suggest(value, TARGETS)}")
        return value

    @field_validator("target_kinds")
    @classmethod
    def _known_target_kinds(cls, value: list[str]) -> list[str]:
        for kind in value:
            if kind not in ENTITY_KINDS:
                raise ValueError(f"{kind!r} is no kind of entity | {suggest(kind, ENTITY_KINDS)}")
        return value


def is_playbooks(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"playbooks"}


def playbooks_of(document: Document) -> tuple[list[Playbook], list[Problem]]:
    """The playbooks of one document, and the problems of those that cannot be read."""
    listed = document.value["playbooks"]
    if not isinstance(listed, list):
        return [], [document.problem(("playbooks",), "must be a list", "begin each playbook with '- name: ...'")]
    found: list[Playbook] = []
    problems: list[Problem] = []
    for index in range(len(listed)):
        read, wrong = validate(_Playbook, document, ("playbooks", index))
        problems += wrong
        if read is not None:
            found.append(_playbook(read, f"{document.path}:{document.line(('playbooks', index))}"))
    return found, problems


def _playbook(read: _Playbook, source: str) -> Playbook:
    return Playbook(
        name=read.name,
        kinds=tuple(read.kinds),
        verb=read.verb,
        target=read.target,
        target_kinds=tuple(read.target_kinds),
        parameters={
            name: ParameterRule(r.value, r.signal, r.times, r.plus, r.minimum, r.maximum, r.scope)
            for name, r in read.parameters.items()
        },
        min_probability=read.min_probability,
        priority=read.priority,
        autonomy=read.autonomy,
        requires_scope=tuple(read.requires_scope),
        expect_within_seconds=read.expect.within,
        expect_hold_seconds=read.expect.hold,
        expect_checks=tuple(
            Check(c.subject, c.signal, c.comparison, c.threshold, c.unit, c.window) for c in read.expect.checks
        ),
        description=read.description,
        source=source,
        accepts_downtime=read.accepts_downtime,
    )


def misfits(playbook: Playbook, spec: VerbSpec) -> list[str]:
    """Why a playbook could never run with the verb as it is declared: parameters that are unknown or missing."""
    wrong = [
        f"{playbook.verb} has no parameter {name!r}" for name in playbook.parameters if name not in spec.parameters
    ]
    wrong += [
        f"{playbook.verb} needs the parameter {name!r}"
        for name, p in spec.parameters.items()
        if p.required and name not in playbook.parameters
    ]
    return wrong
