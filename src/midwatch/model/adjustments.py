"""What people say about budgets: corrections of what was counted, and what shall happen when a budget runs low."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

BudgetAction = Literal["tell", "demote", "freeze"]


class Adjustment(Struct, frozen=True):
    """A correction of one promise (``slo`` empty: of all), for [since_at, until_at) in unix seconds. Never changed, only
    withdrawn by another word.

    ``exclude``: what was counted then does not count (maintenance). ``give_back``: what was bad then counts as good (a
    false positive). ``counts`` are good and total of the window per ledger key, as they were when it was over: rings
    forget, the budget must not. Until ``counted`` they are read from the ledgers.
    """

    id: str
    kind: str
    slo: str
    since_at: float
    until_at: float
    by: str
    reason: str
    said_at: float = 0.0
    counts: dict[str, tuple[float, float]] = {}
    counted: bool = False
    withdrawn_by: str = ""

    def applies_to(self, slo: str) -> bool:
        return not self.withdrawn_by and self.slo in ("", slo)


class BudgetRule(Struct, frozen=True):
    """At ``at`` (share of the budget spent, 0..1 and above) of any of ``slos`` (none: all): ``tell`` its owner through
    ``channels`` (none: those of paging), ``demote`` what is risky to a person's yes, or ``freeze`` it. It ends below
    ``release``."""

    at: float
    action: BudgetAction
    slos: tuple[str, ...] = ()
    release: float = 0.0
    channels: tuple[str, ...] = ()

    def ident(self, key: str) -> str:
        return f"{key}|{self.action}|{self.at:g}"


class Crossing(Struct, frozen=True):
    """A rule that holds for a ledger: since when, how much was spent then, and how much of the period had been counted."""

    key: str
    slo: str
    action: str
    at: float
    spent: float
    since_at: float = 0.0
    covered_seconds: float = 0.0


class SloEdit(Struct, frozen=True):
    """A promise was written differently: its counts stay, the arithmetic follows the new words."""

    at: float
    slo: str
    what: str
