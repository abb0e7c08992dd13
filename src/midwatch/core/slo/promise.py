"""The SLO stage: keeps the ledgers, raises a finding when a budget burns too fast (``alerts.py``), and holds budgets against
their rules."""

from __future__ import annotations

from midwatch.core.slo.adjust import count_adjustments
from midwatch.core.slo.alerts import judge
from midwatch.core.slo.budget_policy import cross
from midwatch.core.slo.counting import count
from midwatch.core.slo.discover import discover
from midwatch.core.slo.wake import wake
from midwatch.core.turn import Turn


def promise(turn: Turn) -> Turn:
    """Discover promises, bring the ledgers up to date, open and close burn-rate findings, note what a budget crossed."""
    turn = count(discover(turn))
    return cross(wake(judge(count_adjustments(turn))))
