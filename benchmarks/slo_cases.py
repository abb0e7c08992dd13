"""What ``slo_alerts.py`` measures of the alerts: one function per question, each gives plain rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from midwatch.core.slo import clumps
from midwatch.core.slo.alerts import OUTAGE_SECONDS, newest_run, outage
from midwatch.core.slo.formulas import row
from midwatch.core.slo.score_alerts import Labelled, compare, rate_of, share_of
from midwatch.core.slo.simulate import Series, play
from midwatch.core.slo.tiers import AVERAGED, GUARDED, TEXTBOOK, AlertPolicy
from midwatch.model.slo import AlertRules, Slo

SLO = Slo("simulated", "service:simulated", "ratio", 0.999)
BUDGET = 1 - SLO.target
RATES = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)  # requests per minute
HALF = 0.5 * BUDGET
LOOK_SECONDS = 60.0
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
                        "median_minutes": finite(np.median(found)),
                        "minutes_90": finite(np.quantile(found, 0.9, method="inverted_cdf")),
                    }
                )
    return out


def outages(rng: Rng, runs: int, rates: tuple[float, ...] = RATES) -> list[Row]:
    """Everything fails, at a moment of its own in each run, after 6.5 h at half the budget; counted in steps of 10 s and
    looked at as often. ``guarded, as the watch looks``: every 5 s, when every other time the newest step is half over."""
    look = AlertRules(interval_seconds=10.0)
    policies = (
        AlertPolicy("guarded", rules=look),
        AlertPolicy("guarded, no outage rule", rules=AlertRules(interval_seconds=10.0, outage=False)),
        AlertPolicy("textbook", rules=AlertRules(0.0, 0.0, False, interval_seconds=10.0)),
    )
    before = 6 * 360 + 180
    out = []
    for rate in rates:
        steps = before + max(360, round(120 / rate * 6))
        bad, total = counts(rng, rate / 12, HALF, (runs, 2 * steps))  # halves of steps
        onset = 2 * rng.random(runs)  # in halves of the step within which it begins: what came before is still served
        for half in (0, 1):
            served = np.clip(onset - half, 0, 1)
            bad[:, 2 * before + half] = rng.binomial(total[:, 2 * before + half].astype(np.int64), 1 - served)
        bad[:, 2 * before + 2 :] = total[:, 2 * before + 2 :]
        whole = Series(bad.reshape(runs, steps, 2).sum(axis=2), total.reshape(runs, steps, 2).sum(axis=2), 10.0)
        for policy in policies:
            paging = play(whole, SLO, policy).paging[:, before:]
            out.append(_outage(rate, policy.name, paging, whole.bad[:, before:], 10.0, onset * 5))
        tiers = AlertPolicy("tiers", rules=AlertRules(interval_seconds=5.0, outage=False))
        paging = play(Series(bad, total, 5.0), SLO, tiers).paging[:, 2 * before :] | _watched(
            bad, total, whole, 2 * before
        )
        out.append(_outage(rate, "guarded, as the watch looks", paging, bad[:, 2 * before :], 5.0, onset * 5))
    return out


def _watched(bad: np.ndarray, total: np.ndarray, whole: Series, begin: int) -> np.ndarray:
    """Where the running watch's outage rule pages first, looking at its ring after each half of a step from ``begin`` on;
    shape (runs, looks)."""
    rules, most = AlertRules(), round(OUTAGE_SECONDS / whole.step_seconds)
    on = np.zeros((bad.shape[0], bad.shape[1] - begin), dtype=bool)
    for run in range(on.shape[0]):
        for look in range(on.shape[1]):
            end, half = divmod(begin + look + 1, 2)
            ring = [
                np.append(steps[run, :end], halves[run, 2 * end : 2 * end + half])[-most:]
                for steps, halves in ((whole.bad, bad), (whole.total, total))
            ]
            failed, events, _ = newest_run(ring[0], ring[1], rules.min_failures)
            if outage(failed, events, BUDGET, rules):
                on[run, look] = True
                break
    return on


def _outage(rate: float, policy: str, paging: np.ndarray, bad: np.ndarray, step: float, onset: np.ndarray) -> Row:
    """``onset``: seconds after the beginning of the first step; one look at the end of each."""
    runs, seen, at = len(paging), paging.any(axis=1), paging.argmax(axis=1)[paging.any(axis=1)]
    failed = np.cumsum(bad, axis=1)[seen]
    fifth = (failed >= 5).argmax(axis=1)
    failures, seconds = failed[np.arange(at.size), at], (at + 1) * step - onset[seen]
    few = failures <= 6
    within, first, second = (int(n.sum()) for n in (few, few | (at <= fifth), few | (at <= fifth + 1)))
    found = share_of(first, runs)
    return {
        "per_minute": rate,
        "policy": policy,
        "runs": runs,
        "paged": int(seen.sum()),
        "failures_median": float(np.median(failures)) if at.size else None,
        "failures_90": float(np.quantile(failures, 0.9)) if at.size else None,
        "seconds_median": float(np.median(seconds)) if at.size else None,
        "seconds_longest": float(seconds.max()) if at.size else None,
        "within_6": within / runs,
        "within_6_or_first_look": found.value,
        "low": found.low,
        "high": found.high,
        "within_one_more_look": second / runs,
    }


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
    detected, silent, error = _timed(rng, runs, policy, tier, expected, ratio, rate)
    detect, reset = float(np.median(detected)), float(np.median(silent))
    off = max(expected.detect_seconds - detect, detect - expected.detect_by_seconds, 0.0)
    even = _timed(rng, runs, policy, tier, expected, ratio, rate, even=True) if off > LOOK_SECONDS else None
    return {
        "tier": tier.name,
        "error_ratio": ratio,
        "per_minute": rate,
        "for_seconds": policy.rules.for_seconds,
        "runs": detected.size,
        "found": int(np.isfinite(detected).sum()),
        "formula_seconds": expected.detect_seconds,
        "formula_by_seconds": expected.detect_by_seconds,
        "measured_seconds": detect,
        "off_by_seconds": off,
        "standard_error_seconds": error,
        "even_traffic_seconds": float(np.median(even[0])) if even else None,
        "even_traffic_error_seconds": even[2] if even else None,
        "within_one_look": off <= LOOK_SECONDS,
        "reset_formula_seconds": expected.reset_seconds,
        "reset_measured_seconds": reset,
        "reset_within_one_look": abs(reset - expected.reset_seconds) <= LOOK_SECONDS,
        "failures_expected": ratio * rate * expected.detect_seconds / 60,
    }


def _timed(
    rng: Rng, runs: int, policy: AlertPolicy, tier: Any, expected: Any, ratio: float, rate: float, even: bool = False
) -> tuple[np.ndarray, np.ndarray, float]:
    """Seconds from the first error until each run is told (infinite: never), seconds from the last error until it is
    silent, and the standard error of the first's median. ``even``: as many requests in each minute, only which of them
    fail is chance."""
    before = math.ceil(tier.long_seconds / 60)
    lasts = math.ceil(max(1.5 * expected.detect_by_seconds, tier.short_seconds) / 60) + 2
    after = math.ceil(tier.short_seconds / 60) + 5
    share = np.zeros(before + lasts + after)
    share[before : before + lasts] = ratio
    detected, silent, error = np.zeros(0), np.zeros(0), math.inf
    while error > SURE_SECONDS and detected.size < runs * MOST_TIMES:
        bad, total = counts(rng, rate, share, (runs, share.size))
        if even:
            total = np.full(total.shape, rate)
            bad = rng.binomial(round(rate), share, total.shape).astype(np.float64)
        on = play(Series(bad, total, 60.0), SLO, AlertPolicy("one", (tier,), policy.rules)).on[0]
        rising = on[:, before : before + lasts]
        seconds = np.where(rising.any(axis=1), (rising.argmax(axis=1) + 1) * 60.0, np.inf)
        ends = np.where(on.any(axis=1), on.shape[1] - on[:, ::-1].argmax(axis=1), 0) - (before + lasts)
        detected, silent = np.concatenate([detected, seconds]), np.concatenate([silent, ends * 60.0])
        found = np.isfinite(detected)
        spread = np.quantile(detected[found], [0.16, 0.84]) if found.any() else np.zeros(2)
        error = 1.2533 * float(spread[1] - spread[0]) / 2 / math.sqrt(detected.size)
    return detected, silent, error


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


def finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def timed(name: str, work: Callable[[], list[Row]]) -> list[Row]:
    started = time.perf_counter()
    rows = work()
    print(f"{name}: {len(rows)} rows in {time.perf_counter() - started:.0f} s", flush=True)
    return rows
