"""What ``slo_alerts.py`` measures: one function per question, each gives plain rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from midwatch.core.slo import clumps, sequential
from midwatch.core.slo.forecast import FUTURES, forecast
from midwatch.core.slo.formulas import row
from midwatch.core.slo.score_alerts import Labelled, compare, rate_of, share_of
from midwatch.core.slo.simulate import Series, play
from midwatch.core.slo.tiers import AVERAGED, GUARDED, TEXTBOOK, AlertPolicy
from midwatch.model.slo import AlertRules, Slo

SLO = Slo("simulated", "service:simulated", "ratio", 0.999)
BUDGET = 1 - SLO.target
RATES = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)  # requests per minute
HALF = 0.5 * BUDGET
SURE_SECONDS = 15.0  # a median is measured to so many: a formula's answer is one minute wide
MOST_TIMES = 30  # as many runs as usual, where chance needs more
Rng = np.random.Generator
Row = dict[str, Any]


def counts(rng: Rng, expected: np.ndarray | float, share: np.ndarray | float, shape: tuple[int, ...]) -> Any:
    total = rng.poisson(expected, shape).astype(np.float64)
    return rng.binomial(total.astype(np.int64), share).astype(np.float64), total


def clumpy(rng: Rng, rows: int, steps: int, inside: float = 0.05, minutes: float = 5.0) -> np.ndarray:
    """Shares of errors per minute that come to half the budget: none most of the time, ``inside`` during clumps."""
    begins = rng.random((rows, steps)) < HALF / inside / minutes
    lasting = np.ceil(rng.exponential(minutes, (rows, steps))).astype(np.int64)
    ends = np.maximum.accumulate(np.where(begins, np.arange(steps) + lasting, 0), axis=1)
    return np.where(np.arange(steps) < ends, inside, 0.0)


def false_pages(rng: Rng, months: int) -> list[Row]:
    """Pages and tickets while errors are at half the budget: none of them is wanted. A month of history goes before, which
    is not counted; ``first_month`` is what that brought, while nothing of the service's habits was known."""
    first, steps = 30 * 1440, 60 * 1440
    policies = (GUARDED, TEXTBOOK, AVERAGED)
    out = []
    for rate in RATES:
        for kind in ("independent", "in clumps"):
            share = HALF if kind == "independent" else clumpy(rng, months, steps)
            bad, total = counts(rng, rate, share, (months, steps))
            for policy in policies:
                played = play(Series(bad, total, 60.0), SLO, policy)
                (early, pages), (_, tickets) = (
                    (int(begins[:, :first].sum()), int(begins[:, first:].sum()))
                    for begins in (
                        np.diff(on.astype(np.int8), axis=1, prepend=0) == 1 for on in (played.paging, played.ticketing)
                    )
                )
                found = rate_of(pages, 30.0 * months)
                out.append(
                    {
                        "per_minute": rate,
                        "errors": kind,
                        "policy": policy.name,
                        "months": months,
                        "pages": pages,
                        "per_30_days": found.value,
                        "low": found.low,
                        "high": found.high,
                        "first_month": early / months,
                        "tickets_per_30_days": tickets / months,
                    }
                )
    return out


def habits(rng: Rng, runs: int) -> list[Row]:
    """What a habit of clumps costs a real incident: minutes until it pages, at a service that has had a month of them and
    at one that has not."""
    first, lasts = 30 * 1440, 240
    out = []
    for rate in (10.0, 100.0, 1000.0):
        for ratio in (1.0, 0.5, 0.2, 0.1, 0.05):
            for kind in ("independent", "in clumps"):
                share = (
                    np.full((runs, first + lasts), HALF) if kind == "independent" else clumpy(rng, runs, first + lasts)
                )
                share[:, first - 360 : first] = 0.0  # nothing is under way when it begins
                share[:, first:] = ratio
                bad, total = counts(rng, rate, share, share.shape)
                on = play(Series(bad, total, 60.0), SLO, GUARDED).paging[:, first:]
                found = np.where(on.any(axis=1), on.argmax(axis=1) + 1.0, np.inf)
                hours = (of[:, :first].reshape(runs, -1, 60).sum(axis=2) for of in (bad, total))
                out.append(
                    {
                        "per_minute": rate,
                        "error_ratio": ratio,
                        "errors": kind,
                        "runs": runs,
                        "habit": float(np.median(clumps.habit(*hours))),
                        "median_minutes": _finite(np.median(found)),
                        "minutes_90": _finite(np.quantile(found, 0.9, method="inverted_cdf")),
                    }
                )
    return out


def outages(rng: Rng, runs: int) -> list[Row]:
    """Everything fails, at a moment of its own in each run, after 6.5 h at half the budget; looked at every 10 s."""
    look = AlertRules(interval_seconds=10.0)
    policies = (
        AlertPolicy("guarded", rules=look),
        AlertPolicy("guarded, no outage rule", rules=AlertRules(interval_seconds=10.0, outage=False)),
        AlertPolicy("textbook", rules=AlertRules(0.0, 0.0, False, interval_seconds=10.0)),
    )
    before = 6 * 360 + 180
    out = []
    for rate in RATES:
        steps = before + max(360, round(120 / rate * 6))
        bad, total = counts(rng, rate / 6, HALF, (runs, steps))
        onset = rng.random(runs)  # within the step: that part of its requests is still served
        first = rng.binomial(total[:, before].astype(np.int64), 1 - onset)
        bad[:, before] = first
        bad[:, before + 1 :] = total[:, before + 1 :]
        failed = np.cumsum(bad[:, before:], axis=1)
        fifth = (failed >= 5).argmax(axis=1)
        for policy in policies:
            paging = play(Series(bad, total, 10.0), SLO, policy).paging[:, before:]
            seen = paging.any(axis=1)
            at = paging.argmax(axis=1)
            failures = failed[np.arange(runs), at][seen]
            allowed = ((failures <= 6) | (at[seen] <= fifth[seen])).sum()
            late = ((failures <= 6) | (at[seen] <= fifth[seen] + 1)).sum()
            found, next_look = share_of(int(allowed), runs), share_of(int(late), runs)
            minutes = (at[seen] + 1 - onset[seen]) / 6
            out.append(
                {
                    "per_minute": rate,
                    "policy": policy.name,
                    "runs": runs,
                    "paged": int(seen.sum()),
                    "failures_median": float(np.median(failures)) if seen.any() else None,
                    "failures_90": float(np.quantile(failures, 0.9)) if seen.any() else None,
                    "minutes_median": float(np.median(minutes)) if seen.any() else None,
                    "within_6_or_first_look": found.value,
                    "low": found.low,
                    "high": found.high,
                    "within_one_more_look": next_look.value,
                }
            )
    return out


def against_formulas(rng: Rng, runs: int) -> list[Row]:
    """Median time to detect and to fall silent, against the arithmetic; looked at every minute, good before. Runs go on
    until the median is sure to a quarter of a look, or there are thirty times as many."""
    out = []
    for pause in (0.0, 300.0):
        rules = AlertRules(for_seconds=pause, outage=False)
        policy = AlertPolicy("guarded", rules=rules)
        for tier in policy.tiers_for(SLO):
            if pause and tier.name != "fast":
                continue
            for ratio in (1.0, 0.1, 0.01):
                for rate in (1.0, 10.0, 100.0, 1000.0, 10000.0):
                    expected = row(SLO, tier, rules, ratio, rate)
                    if expected.state == "fires":
                        out.append(_one_formula(rng, runs, policy, tier, expected, ratio, rate))
    return out


def _one_formula(rng: Rng, runs: int, policy: AlertPolicy, tier: Any, expected: Any, ratio: float, rate: float) -> Row:
    before = math.ceil(tier.long_seconds / 60)
    lasts = math.ceil(max(1.5 * expected.detect_by_seconds, tier.short_seconds) / 60) + 2
    after = math.ceil(tier.short_seconds / 60) + 5
    share = np.zeros(before + lasts + after)
    share[before : before + lasts] = ratio
    detected, silent, error = np.zeros(0), np.zeros(0), math.inf
    while error > SURE_SECONDS and detected.size < runs * MOST_TIMES:
        bad, total = counts(rng, rate, share, (runs, share.size))
        on = play(Series(bad, total, 60.0), SLO, AlertPolicy("one", (tier,), policy.rules)).on[0]
        rising = on[:, before : before + lasts]
        seconds = np.where(rising.any(axis=1), (rising.argmax(axis=1) + 1) * 60.0, np.inf)
        ends = np.where(on.any(axis=1), on.shape[1] - on[:, ::-1].argmax(axis=1), 0) - (before + lasts)
        detected, silent = np.concatenate([detected, seconds]), np.concatenate([silent, ends * 60.0])
        found = np.isfinite(detected)
        spread = np.quantile(detected[found], [0.16, 0.84]) if found.any() else np.zeros(2)
        error = 1.2533 * float(spread[1] - spread[0]) / 2 / math.sqrt(detected.size)
    runs, detect, reset = detected.size, float(np.median(detected)), float(np.median(silent))
    off = max(expected.detect_seconds - detect, detect - expected.detect_by_seconds, 0.0)
    return {
        "tier": tier.name,
        "error_ratio": ratio,
        "per_minute": rate,
        "for_seconds": policy.rules.for_seconds,
        "runs": runs,
        "found": int(found.sum()),
        "formula_seconds": expected.detect_seconds,
        "formula_by_seconds": expected.detect_by_seconds,
        "measured_seconds": detect,
        "off_by_seconds": off,
        "standard_error_seconds": error,
        "within_one_look": off <= 60.0,
        "within_one_look_and_error": off <= 60.0 + 2 * error,
        "reset_formula_seconds": expected.reset_seconds,
        "reset_measured_seconds": reset,
        "reset_within_one_look": abs(reset - expected.reset_seconds) <= 60.0,
        "failures_expected": ratio * rate * expected.detect_seconds / 60,
    }


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
        "median_minutes": _finite(np.median(found)),
        "minutes_90": _finite(np.quantile(found, 0.9, method="inverted_cdf")),
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


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


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


KINDS = ("steady", "seasonal", "bursty", "trend", "wandering", "new level", "few requests")


def history(rng: Rng, kind: str, days: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Bad and total events per hour; around the budget, so that the question is open. The forecast is asked at day 60."""
    hours = np.arange(days * 24)
    traffic, share = np.full(hours.size, 6000.0), np.full(hours.size, BUDGET)
    level = rng.uniform(0.5, 1.5)
    if kind == "few requests":
        traffic[:] = 60.0
    if kind == "seasonal":
        turn = 2 * np.pi * hours / 24 + rng.uniform(0, 2 * np.pi)
        weekend = hours // 24 % 7 >= 5
        traffic = traffic * (1 + 0.6 * np.sin(turn)) * np.where(weekend, 0.4, 1.0)
        share = share * (1 + 0.5 * np.sin(turn)) * np.where(weekend, 0.7, 1.1)
    if kind == "bursty":
        share = share * 0.3
        for _ in range(rng.poisson(days / 30 * 5)):
            begin, lasts = rng.integers(0, hours.size), rng.integers(1, 4)
            share[begin : begin + lasts] += rng.lognormal(-2.3, 0.9) * BUDGET * 720 / lasts
    if kind == "trend":
        share = share * np.exp(rng.uniform(-0.5, 1.0) * (hours - 1440) / 720)
    if kind == "wandering":
        walk = [rng.normal()]
        for _ in range(days - 1):
            walk.append(0.9 * walk[-1] + math.sqrt(1 - 0.81) * rng.normal())
        share = share * np.repeat(np.exp(0.5 * np.array(walk) - 0.125), 24)
    if kind == "new level":
        since = 1440 - rng.integers(24, 15 * 24)
        share, level = share * np.where(hours < since, 0.4, rng.uniform(0.8, 3.0)), 1.0
    return counts(rng, traffic, np.minimum(level * share, 0.9), (hours.size,))


def forecasts(rng: Rng, runs: int) -> list[Row]:
    """Does the 80 % interval hold what comes? "Not within the period" is an answer like any date.

    ``calibrated`` breaks ties at random where much of the forecast lies on one answer (the randomised probability integral
    transform, Brockwell 2007): it should be 80 % however sure the forecast is.
    """
    out = []
    for kind in KINDS:
        for calendar in (False, True):
            held, level, ran_out, foreseen, open_questions, held_open = [], [], [], [], 0, 0
            for _ in range(runs):
                bad, total = history(rng, kind)
                now = 60 * 24
                into = int(rng.integers(3, 20)) * 24 if calendar else 0
                ahead = 720 - into
                period = ((now - into) * 3600.0, (now + ahead) * 3600.0) if calendar else None
                seed = int(rng.integers(2**31))
                found = forecast(bad[:now], total[:now], SLO, now * 3600.0, period, seed)
                if found.state == "spent":
                    continue
                truth = _truth(bad, total, now, into, ahead, calendar)
                early, late = (math.inf if x is None else x / 3600 - now for x in (found.early_at, found.late_at))
                inside = early <= truth <= late
                held.append(inside)
                if not early == late == math.inf:
                    open_questions, held_open = open_questions + 1, held_open + inside
                level.append(_level(found, bad[:now], total[:now], now, period, seed, truth, rng))
                ran_out.append(math.isfinite(truth))
                foreseen.append(found.chance)
            share, even, asked = (
                share_of(sum(held), len(held)),
                share_of(sum(level), len(level)),
                share_of(held_open, open_questions),
            )
            out.append(
                {
                    "history": kind,
                    "window": "calendar" if calendar else "rolling",
                    "runs": len(held),
                    "coverage": share.value,
                    "low": share.low,
                    "high": share.high,
                    "calibrated": even.value,
                    "calibrated_low": even.low,
                    "calibrated_high": even.high,
                    "open": open_questions,
                    "coverage_open": asked.value,
                    "ran_out": float(np.mean(ran_out)),
                    "foreseen": float(np.mean(foreseen)),
                }
            )
    return out


def _truth(bad: np.ndarray, total: np.ndarray, now: int, into: int, ahead: int, calendar: bool) -> float:
    """Hours until the budget is gone, by what really came."""
    for hour in range(1, ahead + 1):
        first = now - into if calendar else now + hour - 720
        until = now + ahead if calendar else now + hour
        if bad[first : now + hour].sum() >= BUDGET * total[first:until].sum():
            return float(hour)
    return math.inf


def _level(found: Any, bad: Any, total: Any, now: int, period: Any, seed: int, truth: float, rng: Rng) -> bool:
    """Whether the truth lies in the middle 80 % of the futures, ties broken at random."""
    from midwatch.core.slo import forecast as module

    ahead = math.ceil((found.horizon_at / 3600 - now) - 1e-9)
    future = module.futures(bad, total, ahead, np.random.default_rng(seed))
    hours = 720 if period is None else round(now - period[0] / 3600)
    gone = module._gone(bad[now - hours :], total[now - hours :], *future, BUDGET, rolls=period is None)
    at = ((gone < truth).sum() + rng.random() * (gone == truth).sum()) / FUTURES
    return bool(0.1 < at < 0.9)


def backtests(rng: Rng, incidents: int) -> list[Row]:
    """Ninety days with labelled incidents, at three rates of traffic: the guarded policy against the textbook."""
    out = []
    for rate in (1.0, 30.0, 1000.0):
        steps = 90 * 1440
        share = np.full(steps, 0.3 * BUDGET)
        labelled = []
        for number in range(incidents):
            begin = int((number + rng.uniform(0.2, 0.6)) * steps / incidents)
            lasts = int(rng.integers(15, 180))
            share[begin : begin + lasts] = 10 ** rng.uniform(-1.7, 0)
            labelled.append(Labelled(begin * 60.0, (begin + lasts) * 60.0, f"incident {number + 1}"))
        bad, total = counts(rng, rate, share, (steps,))
        found = compare(Series(bad, total, 60.0), SLO, GUARDED, TEXTBOOK, labelled)
        for score in (found.a, found.b):
            out.append(
                {
                    "per_minute": rate,
                    "policy": score.policy,
                    "incidents": incidents,
                    "pages": len(score.pages),
                    "precision": score.precision.value,
                    "precision_low": score.precision.low,
                    "precision_high": score.precision.high,
                    "recall": score.recall.value,
                    "recall_low": score.recall.low,
                    "recall_high": score.recall.high,
                    "delay_minutes": None if score.delay_seconds is None else score.delay_seconds / 60,
                    "budget_spent": score.budget_spent,
                    "pages_per_30_days": score.pages_per_30_days.value,
                }
            )
    return out


def timed(name: str, work: Callable[[], list[Row]]) -> list[Row]:
    started = time.perf_counter()
    rows = work()
    print(f"{name}: {len(rows)} rows in {time.perf_counter() - started:.0f} s", flush=True)
    return rows
