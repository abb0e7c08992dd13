"""``midwatch.yaml``: what midwatch may do on its own, whom it wakes, and what it must never touch.

Channels are named here and set up in the watch's settings, where their secrets are references.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec.structs import replace
from pydantic import Field, field_validator, model_validator

from midwatch.core.slo.alerts import OUTAGE
from midwatch.core.slo.tiers import REFERENCE_SECONDS, chosen
from midwatch.model.adjustments import BudgetRule
from midwatch.model.alerts import Inhibition, parse_matchers
from midwatch.model.policy import FreezeWindow, GuardLimits, PagePolicy, Policy, SeverityRule
from midwatch.model.slo import STANDARD_TIERS, AlertRules, BurnTier
from midwatch.model.war_room import WarRoomPolicy
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
_A: Final = AlertRules()
_W: Final = WarRoomPolicy()
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


class _Tier(Part):
    """``budget_percent`` of a 30-day budget within ``long``, or the factor that comes to."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[a-z0-9][a-z0-9_-]*$")
    factor: float | None = Field(None, gt=0)
    budget_percent: float | None = Field(None, gt=0, le=100)
    long: Seconds = Field(ge=60, le=30 * 86400)
    short: Seconds = Field(ge=10)
    pages: bool

    @model_validator(mode="after")
    def _consistent(self) -> _Tier:
        if (self.factor is None) == (self.budget_percent is None):
            raise ValueError("say either factor or budget_percent")
        if self.short > self.long:
            raise ValueError("short must not be longer than long")
        return self

    def tier(self) -> BurnTier:
        factor = self.factor or (self.budget_percent or 0.0) / 100 * REFERENCE_SECONDS / self.long
        return BurnTier(self.name, factor, self.long, self.short, self.pages)


class _Alerts(Part):
    tiers: list[_Tier] | None = Field(None, max_length=12)
    only: list[str] = Field(default_factory=list)
    off: list[str] = Field(default_factory=list)
    min_failures: float = Field(_A.min_failures, ge=0, le=1000)
    ticket_z: float = Field(_A.ticket_z, ge=0, le=10)
    outage: bool = _A.outage
    for_: Seconds = Field(_A.for_seconds, ge=0, le=86400, alias="for")
    interval: Seconds = Field(_A.interval_seconds, ge=1, le=3600)
    wake: bool = _A.wake

    @model_validator(mode="after")
    def _known(self) -> _Alerts:
        names = [tier.name for tier in self.tiers or ()]
        if len(set(names)) < len(names) or OUTAGE in names:
            raise ValueError(f"every tier needs a name of its own, and {OUTAGE} is taken")
        self.chosen()
        return self

    def chosen(self) -> tuple[BurnTier, ...]:
        tiers = STANDARD_TIERS if self.tiers is None else tuple(tier.tier() for tier in self.tiers)
        return chosen(tiers, only=self.only, off=self.off)

    def rules(self) -> AlertRules:
        return AlertRules(self.min_failures, self.ticket_z, self.outage, self.for_, self.interval, self.wake)


class _Inhibition(Part):
    """``while`` an alert that fits this fires, those that fit ``hold`` and have the same values of ``equal`` wake nobody.
    Both as matchers: ``alertname="Down", zone="eu"``."""

    while_: str = Field(alias="while")
    hold: str
    equal: list[str] = Field(default_factory=list, max_length=10)

    @field_validator("while_", "hold")
    @classmethod
    def _read(cls, value: str) -> str:
        parse_matchers(value)
        return value


_Address = Annotated[str, Field(max_length=120, pattern=r"^(https?://[^\s<>|]+)?$")]


class _WarRoom(Part):
    """``channel`` is one of the watch's channels that can open rooms (Slack)."""

    channel: str = Field(min_length=1, max_length=80)
    severity: int = Field(_W.severity, ge=1, le=4)
    prefix: str = Field(_W.prefix, pattern=r"^[a-z0-9][a-z0-9-]{0,20}$")
    private: bool = _W.private
    archive_after: Seconds = Field(_W.archive_seconds, ge=0, le=365 * 86400)
    link: _Address = _W.link


_Step = Annotated[str, Field(min_length=1, max_length=200)]


class PolicyFile(Part):
    """The keys of ``midwatch.yaml``."""

    mode: Literal["shadow", "suggest", "ask", "canary", "auto"] | None = None
    discover_slos: bool | None = None
    shipped_playbooks: bool | None = None
    resolve_after: Seconds | None = Field(None, ge=0)
    milder_after: Seconds | None = Field(None, ge=0, le=86400)
    settle: Seconds | None = Field(None, ge=0, le=120)
    limits: _Limits | None = None
    paging: _Paging | None = None
    alerts: _Alerts | None = None
    budget_policies: list[_BudgetRule] | None = None
    severities: list[_Severity] | None = Field(None, min_length=1)
    inhibitions: list[_Inhibition] | None = Field(None, max_length=100)
    checklists: dict[Annotated[int, Field(ge=1, le=4)], Annotated[list[_Step], Field(max_length=30)]] | None = None
    war_room: _WarRoom | None = None
    console_url: _Address | None = None


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
        "milder_after_seconds": file.milder_after,
        "settle_seconds": file.settle,
        "limits": _limits(file.limits) if file.limits else None,
        "paging": _paging(file.paging) if file.paging else None,
        "tiers": file.alerts.chosen() if file.alerts else None,
        "alerts": file.alerts.rules() if file.alerts else None,
        "budget_rules": tuple(_budget_rule(rule) for rule in file.budget_policies)
        if file.budget_policies is not None
        else None,
        "severities": tuple(
            SeverityRule(s.severity, s.min_affected_ratio, s.min_burn, s.reason) for s in file.severities
        )
        if file.severities
        else None,
        "inhibitions": tuple(
            Inhibition(parse_matchers(one.while_), parse_matchers(one.hold), tuple(one.equal))
            for one in file.inhibitions
        )
        if file.inhibitions is not None
        else None,
        "checklists": {**policy.checklists, **{n: tuple(dict.fromkeys(steps)) for n, steps in file.checklists.items()}}
        if file.checklists is not None
        else None,
        "war_room": _war_room(file.war_room) if file.war_room else None,
        "console_url": file.console_url,
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


def _war_room(read: _WarRoom) -> WarRoomPolicy:
    return WarRoomPolicy(read.channel, read.severity, read.prefix, read.private, read.archive_after, read.link)


def _paging(read: _Paging) -> PagePolicy:
    return PagePolicy(tuple(read.channels), read.page_severity, read.repeat, read.max_repeats, read.owner)
