"""Everything that people decided beforehand: promises, playbooks, guards' limits, paging. Journaled when it changes, so
that a replay runs under the policy of its day."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from midwatch.model.actions import Playbook, VerbSpec
from midwatch.model.adjustments import BudgetRule
from midwatch.model.alerts import Inhibition
from midwatch.model.people import People
from midwatch.model.room import CHECKLISTS
from midwatch.model.slo import STANDARD_TIERS, AlertRules, BurnTier, Slo
from midwatch.model.war_room import WarRoomPolicy


class SeverityRule(Struct, frozen=True):
    """First match wins: SEV ``severity`` when at least ``min_affected_ratio`` of an entry point's requests are hit, or
    the burn rate is at least ``min_burn``."""

    severity: int
    min_affected_ratio: float
    min_burn: float
    reason: str


SEVERITY_TABLE: tuple[SeverityRule, ...] = (
    SeverityRule(1, 0.50, float("inf"), "half or more of the requests are affected"),
    SeverityRule(2, 0.05, 100.0, "5 % or more of the requests are affected"),
    SeverityRule(3, 0.01, 14.4, "1 % or more of the requests are affected, or the budget burns at 14.4 x"),
    SeverityRule(4, 0.0, 0.0, "users are barely affected"),
)


class FreezeWindow(Struct, frozen=True):
    """No risky action between these two moments (unix seconds)."""

    start_at: float
    end_at: float
    reason: str


class GuardLimits(Struct, frozen=True):
    max_blast_radius: int = 2
    max_actions_per_hour: int = 20
    max_actions_per_incident: int = 6
    max_same_action_per_hour: int = 2
    min_probability: float = 0.45
    min_margin: float = 0.10  # over the runner-up of another entity
    permissions: tuple[str, ...] = ()  # granted to midwatch; an action that needs another one is refused
    freezes: tuple[FreezeWindow, ...] = ()
    protected: tuple[str, ...] = ()  # entity keys that midwatch never touches


class PagePolicy(Struct, frozen=True):
    """Whom to page: ``channels`` are names that the shell knows; pages repeat until somebody acknowledges."""

    channels: tuple[str, ...] = ()
    page_severity: int = 3  # this severity and worse wake people
    repeat_seconds: float = 300.0
    max_repeats: int = 24
    owner: str = "on-call"


class Policy(Struct, frozen=True):
    mode: Literal["shadow", "suggest", "ask", "canary", "auto"] = "shadow"  # the ceiling for every playbook
    slos: tuple[Slo, ...] = ()
    discover_slos: bool = True
    tiers: tuple[BurnTier, ...] = STANDARD_TIERS  # for a period of 30 days; scaled to each promise's own
    alerts: AlertRules = AlertRules()
    budget_rules: tuple[BudgetRule, ...] = ()
    severities: tuple[SeverityRule, ...] = SEVERITY_TABLE
    playbooks: tuple[Playbook, ...] = ()
    verbs: dict[str, VerbSpec] = field(default_factory=dict)
    limits: GuardLimits = GuardLimits()
    paging: PagePolicy = PagePolicy()
    resolve_after_seconds: float = 60.0  # calm for so long: resolved
    milder_after_seconds: float = 600.0  # the facts have to rate it milder so long before it is; 0: never
    settle_seconds: float = 9.0  # an incident is looked at so long before anybody is woken or anything touched
    rehearse: bool = False  # replay: judge everything, touch nothing
    inhibitions: tuple[Inhibition, ...] = ()
    people: People = People()
    checklists: dict[int, tuple[str, ...]] = field(default_factory=CHECKLISTS.copy)  # by severity
    war_room: WarRoomPolicy = WarRoomPolicy()
    console_url: str = ""  # where people reach the console; "" when nobody said

    @property
    def console(self) -> str:
        """Where people reach the console, without a slash at its end; "" when no file says it."""
        return (self.console_url or self.war_room.link).rstrip("/")
