"""Each promise with what is left of its budget. No traffic, no errors and no data are three different states."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from msgspec import Struct

from midwatch.core.memory import Ledger, Memory
from midwatch.core.slo.ledger import LEVELS, budget_spent, burn_rate, sums
from midwatch.faces.console import charts, words
from midwatch.faces.console.charts import Spark
from midwatch.faces.console.pulse import Fleet
from midwatch.model.slo import BurnTier, Slo
from midwatch.model.state import State
from midwatch.model.world import Floats

PLOT_BIN_SECONDS = 60.0
PLOT_SECONDS = 3 * 3600.0


class Burn(Struct, frozen=True):
    """One tier: the burn rate of both windows, NaN without traffic. ``firing`` when both exceed the factor."""

    tier: BurnTier
    long: float
    short: float

    @property
    def firing(self) -> bool:
        return self.long >= self.tier.factor and self.short >= self.tier.factor


class Budget(Struct, frozen=True):
    """``standing``: no data, no traffic, no errors, healthy, burning or spent. ``left`` is 1 - spent, NaN if unknown."""

    slo: Slo
    standing: str
    tone: str
    sli: float
    good: float
    total: float
    left: float
    burns: tuple[Burn, ...]
    covered_seconds: float
    spark: Spark
    now_burn: float

    @property
    def order(self) -> tuple[int, float, str]:
        rank = {"bad": 0, "warn": 1, "nodata": 2, "idle": 3, "ok": 4}[self.tone]
        return (rank, self.left if math.isfinite(self.left) else 2.0, self.slo.name)

    @property
    def promise(self) -> str:
        what = {
            "ratio": "of the requests succeed",
            "latency": f"of the requests are answered within {words.measured(self.slo.threshold_ms, 'ms')}",
            "freshness": f"of the time no message is older than {words.measured(self.slo.threshold_ms, 'ms')}",
        }[self.slo.sli]
        return f"{words.target_percent(self.slo.target)} {what}, over {words.duration(self.slo.period_seconds)}"


def read_budgets(state: State, memory: Memory, fleet: Fleet, now: float) -> list[Budget]:
    """Every promise of ``state``, the ones in trouble first."""
    budgets = [_budget(slo, memory.ledgers.get(slo.name), state, fleet, now) for slo in state.slos]
    return sorted(budgets, key=lambda b: b.order)


def _budget(slo: Slo, ledger: Ledger | None, state: State, fleet: Fleet, now: float) -> Budget:
    pulse = fleet.pulses.get(slo.entity)
    blind = fleet.stale or (pulse is not None and pulse.tone == "nodata") or (pulse is None and ledger is None)
    nan = float("nan")
    if ledger is None:
        burns = tuple(Burn(t, nan, nan) for t in state.policy.tiers)
        return Budget(slo, "no data", "nodata", nan, 0, 0, nan, burns, 0.0, charts.spark(np.array([])), nan)
    good, total = sums(ledger, slo.period_seconds, now)
    recent_total = sums(ledger, 300.0, now)[1]
    spent = budget_spent(ledger, slo, now)
    now_burn = burn_rate(ledger, slo, 300.0, now)
    burns = tuple(
        Burn(t, burn_rate(ledger, slo, t.long_seconds, now), burn_rate(ledger, slo, t.short_seconds, now))
        for t in state.policy.tiers
    )
    if blind:
        standing, tone = "no data", "nodata"
    elif total <= 0 or recent_total <= 0:
        standing, tone = "no traffic", "idle"
    elif spent >= 1:
        standing, tone = "spent", "bad"
    elif any(b.firing and b.tier.pages for b in burns):
        standing, tone = ("burning", "bad") if now_burn >= 1 else ("burnt fast lately", "warn")
    elif any(min(b.short, now_burn) >= b.tier.factor and b.tier.pages for b in burns):
        standing, tone = "burning now", "warn"
    elif any(b.firing for b in burns):
        standing, tone = "burning slowly", "warn"
    elif good >= total:
        standing, tone = "no errors", "ok"
    else:
        standing, tone = "healthy", "ok"
    _, rates = burn_series(ledger, slo, now)
    shown = charts.spark(rates, limit=1.0, top=2.0, width=220, height=40)
    sli = good / total if total > 0 else nan
    covered = min(slo.period_seconds, now - ledger.first_at)
    return Budget(slo, standing, tone, sli, good, total, 1 - spent, burns, covered, shown, now_burn)


def burn_series(ledger: Ledger, slo: Slo, now: float) -> tuple[Floats, Floats]:
    """Burn rate per minute over the last hours: (times, rates), shape (n,) each; NaN where nothing was requested."""
    step, size = LEVELS[0]
    ring, end = ledger.counts[0], ledger.head_at[0] + step
    per = round(PLOT_BIN_SECONDS / step)
    bins = min(round(PLOT_SECONDS / PLOT_BIN_SECONDS), size // per)
    part = ring[:, -bins * per :].reshape(2, bins, per).sum(axis=2)
    times = end - PLOT_BIN_SECONDS * np.arange(bins, 0, -1, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = np.where(part[1] > 0, (1 - part[0] / part[1]) / (1 - slo.target), np.nan)
    begun = times + PLOT_BIN_SECONDS > ledger.first_at
    return times[begun], np.maximum(rates[begun], 0.0)


def budget_plot(ledger: Ledger, slo: Slo, now: float) -> dict[str, Any]:
    times, rates = burn_series(ledger, slo, now)
    return charts.plot(
        times,
        [("burn rate", rates, "amber")],
        unit="x",
        title="Burn rate per minute,",
        limit=1.0,
    )
