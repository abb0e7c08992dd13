"""``midwatch.yaml``: what midwatch may do on its own, whom it wakes, and what it must never touch.

Channels are named here and set up in the watch's settings, where their secrets are references.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec.structs import replace
from pydantic import Field, model_validator

from midwatch.model.adjustments import BudgetRule
from midwatch.model.policy import FreezeWindow, GuardLimits, PagePolicy, Policy, SeverityRule
from midwatch.shell.files.parts import EntityKey, Moment, Part, Ratio, Seconds
from midwatch.shell.files.yaml_lines import Document, Problem, validate


class _Freeze(Part):
    start: Moment
    end: Moment
    reason: str = Field(min_length=1)

    @model_validator(mode="after")
    def _forward(self) -> _Freeze:
        if self.end <= self.start:
            raise ValueError("end must come after start")
        return self


_L: Final = GuardLimits()
_P: Final = PagePolicy()
RELEASE_BELOW: Final = 0.05


class _Limits(Part):
    max_blast_radius: int = Field(_L.max_blast_radius, ge=0)
    max_actions_per_hour: int = Field(_L.max_actions_per_hour, ge=0)
    max_actions_per_incident: int = Field(_L.max_actions_per_incident, ge=0)
    max_same_action_per_hour: int = Field(_L.max_same_action_per_hour, ge=0)
    min_probability: float = Field(_L.min_probability, ge=0, le=1)
    min_margin: float = Field(_L.min_margin, ge=0, le=1)
    permissions: list[str] = Field(default_factory=list)
    freezes: list[_Freeze] = Field(default_factory=list)
    protected: list[EntityKey] = Field(default_factory=list)


class _Paging(Part):
    channels: list[str] = Field(default_factory=list)
    page_severity: int = Field(_P.page_severity, ge=0, le=4)
    repeat: Seconds = Field(_P.repeat_seconds, ge=10)
    max_repeats: int = Field(_P.max_repeats, ge=0, le=1000)
    owner: str = Field(_P.owner, min_length=1)


class _Severity(Part):
    severity: int = Field(ge=1, le=4)
    min_affected_ratio: float = Field(0.0, ge=0, le=1)
    min_burn: float = Field(float("inf"), ge=0)
    reason: str = Field(min_length=1)


class _BudgetRule(Part):
    at: Ratio = Field(gt=0, le=10)
    do: Literal["tell", "demote", "freeze"]
    slos: list[str] = Field(default_factory=list)
    release: Ratio | None = Field(None, ge=0)
    channels: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _consistent(self) -> _BudgetRule:
        if self.release is not None and self.release > self.at:
            raise ValueError("release must not lie above at")
        if self.channels and self.do != "tell":
            raise ValueError("only tell has channels")
        return self


class PolicyFile(Part):
    """The keys of ``midwatch.yaml``."""

    mode: Literal["shadow", "suggest", "ask", "canary", "auto"] | None = None
    discover_slos: bool | None = None
    shipped_playbooks: bool | None = None
    resolve_after: Seconds | None = Field(None, ge=0)
    settle: Seconds | None = Field(None, ge=0, le=120)
    limits: _Limits | None = None
    paging: _Paging | None = None
    budget_policies: list[_BudgetRule] | None = None
    severities: list[_Severity] | None = Field(None, min_length=1)


KEYS: Final = frozenset(PolicyFile.model_fields)


def policy_of(document: Document) -> tuple[PolicyFile | None, list[Problem]]:
    """One ``midwatch.yaml``, or its problems."""
    return validate(PolicyFile, document)


def applied(policy: Policy, file: PolicyFile) -> Policy:
    """``policy`` with what ``file`` says; what it does not say stays."""
    changes: dict[str, Any] = {
        "mode": file.mode,
        "discover_slos": file.discover_slos,
        "resolve_after_seconds": file.resolve_after,
        "settle_seconds": file.settle,
        "limits": _limits(file.limits) if file.limits else None,
        "paging": _paging(file.paging) if file.paging else None,
        "budget_rules": tuple(_budget_rule(rule) for rule in file.budget_policies)
        if file.budget_policies is not None
        else None,
        "severities": tuple(
            SeverityRule(s.severity, s.min_affected_ratio, s.min_burn, s.reason) for s in file.severities
        )
        if file.severities
        else None,
    }
    return replace(policy, **{key: value for key, value in changes.items() if value is not None})


def _budget_rule(read: _BudgetRule) -> BudgetRule:
    """Without a release of its own a rule ends five points below where it began."""
    release = read.release if read.release is not None else max(0.0, read.at - RELEASE_BELOW)
    return BudgetRule(read.at, read.do, tuple(read.slos), release, tuple(read.channels))


def _limits(read: _Limits) -> GuardLimits:
    return GuardLimits(
        read.max_blast_radius,
        read.max_actions_per_hour,
        read.max_actions_per_incident,
        read.max_same_action_per_hour,
        read.min_probability,
        read.min_margin,
        tuple(read.permissions),
        tuple(FreezeWindow(f.start, f.end, f.reason) for f in read.freezes),
        tuple(read.protected),
    )


def _paging(read: _Paging) -> PagePolicy:
    return PagePolicy(tuple(read.channels), read.page_severity, read.repeat, read.max_repeats, read.owner)
