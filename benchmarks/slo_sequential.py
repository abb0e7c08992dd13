"""What ``slo_alerts.py`` measures of the sequential test: how soon it finds, and how often it is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from slo_cases import BUDGET, HALF, Rng, Row, counts, finite

from midwatch.core.slo import clumps, sequential
from midwatch.core.slo.score_alerts import rate_of, share_of


def sequential_finds(rng: Rng, runs: int) -> list[Row]:
    """How long the sequential test takes at 100 requests a minute, from no suspicion, at a service whose errors were at
    half the budget: one by one, or in clumps."""
    out = []
    for kind in ("independent", "in clumps"):
        before = Clumps(rng, runs) if kind == "in clumps" else lambda steps: HALF
        habit, wild = _month(rng, 100.0, before, runs)
        for share in (0.003, 0.005, 0.01, 0.02, 0.1):
            state = sequential.nothing(runs, 0.0)
            found = np.full(runs, np.inf)
            for at in range(720):
                bad, total = counts(rng, 100 / 6, share, (runs,))
                state = _next(state, bad, total, at, wild)
                found = np.where(np.isinf(found) & sequential.alarms(state, habit), (at + 1) / 6, found)
            out.append(_found(kind, share, runs, found))
    return out


def _found(kind: str, share: float, runs: int, found: np.ndarray) -> Row:
    return {
        "errors": kind,
        "error_ratio": share,
        "runs": runs,
        "median_minutes": finite(np.median(found)),
        "minutes_90": finite(np.quantile(found, 0.9, method="inverted_cdf")),
        "under_15_minutes": share_of(int((found < 15).sum()), runs).value,
        "within_2_hours": share_of(int(np.isfinite(found).sum()), runs).value,
    }


def _month(
    rng: Rng, rate: float, share: Callable[[int], np.ndarray | float], rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """What the sequential test measures on a month of history: the habit (of hours) and the dispersion (of three days)."""
    hours, days = [], []
    for hour in range(720):
        five = [counts(rng, rate * 5, share(30), (rows,)) for _ in range(12)]
        hours.append([sum(one[i] for one in five) for i in (0, 1)])
        days += five if hour >= 720 - 72 else []
    habit = clumps.habit(*(np.stack([one[i] for one in hours], axis=1) for i in (0, 1)))
    return habit, sequential.dispersion(*(np.stack([one[i] for one in days], axis=1) for i in (0, 1)), 6)


def _next(
    state: Any,
    bad: np.ndarray,
    total: np.ndarray,
    at: int,
    dispersion: np.ndarray | None = None,
    raised: np.ndarray | None = None,
) -> Any:
    rows = bad.size
    wild = np.ones(rows) if dispersion is None else dispersion
    return sequential.step(state, bad, total, np.full(rows, at * 10.0), np.full(rows, BUDGET), wild, raised)


class Wander:
    """A share of errors that swings around a mean: log-normal, AR(1) from 10 s to 10 s."""

    def __init__(self, rng: Rng, rows: int, mean: float, spread: float, minutes: float) -> None:
        self.rng, self.mean, self.spread = rng, mean, spread
        self.keep = math.exp(-10 / (60 * minutes))
        self.level = rng.normal(size=rows)

    def __call__(self, steps: int = 1) -> np.ndarray:
        keep = self.keep**steps
        self.level = keep * self.level + math.sqrt(1 - keep * keep) * self.rng.normal(size=self.level.size)
        return np.minimum(self.mean * np.exp(self.spread * self.level - self.spread**2 / 2), 0.5)


def sequential_is_quiet(rng: Rng, weeks: int) -> list[Row]:
    """False wake-ups per week. Rows of half a day each, started with a month of history."""
    cases: list[tuple[str, float, Callable[[int], Callable[..., np.ndarray | float]]]] = [
        (f"independent, half the budget, {rate:g}/min", rate, lambda rows: lambda steps=1: HALF)
        for rate in (1.0, 100.0, 10000.0)
    ]
    cases.append(("independent, the whole budget, 100/min", 100.0, lambda rows: lambda steps=1: BUDGET))
    for spread, minutes in ((0.5, 5.0), (0.5, 30.0), (1.0, 30.0), (0.5, 180.0)):
        name = f"half the budget, swinging by a factor of {math.exp(spread):.1f} over {minutes:g} min, 100/min"
        cases.append((name, 100.0, lambda rows, s=spread, m=minutes: Wander(rng, rows, HALF, s, m)))
    cases.append(
        ("half the budget in clumps of 5 % over 5 min (20 a week), 100/min", 100.0, lambda rows: Clumps(rng, rows))
    )
    steps, rows = 4320, 14 * weeks
    out = []
    for name, rate, make in cases:
        share = make(rows)
        habit, wild = _month(rng, rate, share, rows)
        result: Row = {
            "data": name,
            "weeks": weeks,
            "dispersion": float(np.median(wild)),
            "habit": float(np.median(habit)),
        }
        tempered, plain = Agents(rows, wild, habit), Agents(rows, np.ones(rows), np.zeros(rows))
        for at in range(steps):
            bad, total = counts(rng, rate / 6, share(1), (rows,))
            tempered.see(bad, total, at)
            plain.see(bad, total, at)
        false, untempered = tempered.woken, plain.woken
        for key, count in (("per_week", false), ("per_week_untempered", untempered)):
            found = rate_of(count, 30.0 * weeks)  # per 30 days of 30-day weeks: per week
            result |= {key: found.value, f"{key}_low": found.low, f"{key}_high": found.high}
        out.append(result)
    return out


class Agents:
    """The sequential test of many promises, with its findings opened and closed as in the watch."""

    def __init__(self, rows: int, dispersion: np.ndarray, habit: np.ndarray) -> None:
        self.state, self.dispersion, self.habit, self.woken = sequential.nothing(rows, 0.0), dispersion, habit, 0
        self.raised = np.full(rows, np.nan)

    def see(self, bad: np.ndarray, total: np.ndarray, at: int) -> None:
        self.state = _next(self.state, bad, total, at, self.dispersion, self.raised)
        over = ~np.isnan(self.raised) & (self.state.down >= sequential.END_NATS)
        if over.any():
            self.raised[over] = np.nan
            self.state = sequential.forget(self.state, over, at * 10.0)
        fresh = np.flatnonzero(sequential.alarms(self.state, self.habit) & np.isnan(self.raised))
        burn = self.state.up[fresh].argmax(axis=1)
        self.raised[fresh] = self.state.bad[fresh, burn] / self.state.total[fresh, burn]
        self.woken += fresh.size


class Clumps:
    """Failures in clumps that come to half the budget (``clumpy``), step by step."""

    def __init__(self, rng: Rng, rows: int, inside: float = 0.05, minutes: float = 5.0) -> None:
        self.rng, self.inside = rng, inside
        self.ends, self.begins = 10 / (60 * minutes), HALF / inside * 10 / (60 * minutes)
        self.on = rng.random(rows) < HALF / inside

    def __call__(self, steps: int = 1) -> np.ndarray:
        mean = np.zeros(self.on.size)
        for _ in range(steps):
            luck = self.rng.random(self.on.size)
            self.on = np.where(self.on, luck >= self.ends, luck < self.begins)
            mean += self.on * self.inside / steps
        return mean
