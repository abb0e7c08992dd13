"""What ``slo_alerts.py`` measures of the forecast: does its 80 % interval hold what comes?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from slo_cases import BUDGET, SLO, Rng, Row, counts

from midwatch.core.slo import forecast as module
from midwatch.core.slo.forecast import FUTURES, forecast
from midwatch.core.slo.score_alerts import share_of

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
                    "ran_out": sum(ran_out) / max(len(ran_out), 1),
                    "foreseen": sum(foreseen) / max(len(foreseen), 1),
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
    ahead = math.ceil((found.horizon_at / 3600 - now) - 1e-9)
    future = module.futures(bad, total, ahead, np.random.default_rng(seed))
    hours = 720 if period is None else round(now - period[0] / 3600)
    past_bad, past_total = bad[now - hours :], total[now - hours :]
    gone = module._gone(float(past_bad.sum()), past_bad, past_total, *future, BUDGET, rolls=period is None)
    at = ((gone < truth).sum() + rng.random() * (gone == truth).sum()) / FUTURES
    return bool(0.1 < at < 0.9)
