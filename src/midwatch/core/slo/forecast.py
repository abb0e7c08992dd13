"""When will the budget be gone? A date with an 80 % interval, and "not within the period" when that is the answer.

Many futures are played from the promise's own hours. Each future day is a whole day of the past, so that the hours of a day
and the clumps of an incident stay together (a block bootstrap, Künsch 1989), scaled to the traffic of its weekday. Which
days are likely is itself drawn (Bayesian bootstrap, Rubin 1981): thirty days do not say how often a rare thing happens. What
lasts longer than a day (a new level since a release, a slow rise) is a Gaussian process on the logarithm of the daily share
of bad events: a level that returns or hardly does, a slope that wears off, noise; which of these, and how strong, is drawn
for every future from their likelihood. Days are compared with their weekday's habit taken out, as far as it shows.

The measured coverage on several kinds of history is in ``docs/results/slo.md``. What it cannot know: an incident that goes
on right now (see ``at_this_rate_seconds``), a release, a season longer than a week.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Final, Literal

import numpy as np
from msgspec import Struct

from midwatch.core.memory import Ledger
from midwatch.core.slo import ledger as books
from midwatch.core.slo.budget import budget
from midwatch.core.slo.report import bad_steps, corrections
from midwatch.model.adjustments import Adjustment
from midwatch.model.slo import Slo
from midwatch.model.world import Floats, Ints

HOUR: Final = 3600.0
DAY_HOURS: Final = 24
MIN_DAYS: Final = 3
MAX_DAYS: Final = 33
FUTURES: Final = 400
LOW, HIGH = 0.1, 0.9

_RETURN: Final = (0.6, 0.8, 0.9, 0.95, 0.985)  # how much of a level is left after a day
_LEVEL: Final = (0.02, 0.06, 0.15, 0.4, 1.0)  # variance of the level
_SLOPE: Final = (0.0, 0.02**2)  # variance of the slope per day
_NOISE: Final = (0.0, 0.05, 0.2, 0.6, 1.5)  # variance of a day beyond chance
_WEARS_OFF_DAYS: Final = 25.0
_UNKNOWN_MEAN: Final = 9.0
_MOST: Final = 5.0


class Forecast(Struct, frozen=True):
    """``chance`` (0..1) that the budget is gone by ``horizon_at``; when: in one of ten futures before ``early_at``, in half
    before ``middle_at``, in nine of ten before ``late_at`` (unix seconds; None: not within the horizon). ``spent`` is the
    share that is gone already. ``at_this_rate_seconds``: how long the rest lasts if the last hour goes on; None: for ever.
    """

    state: Literal["not known", "spent", "may run out", "not within the horizon"]
    spent: float | None
    horizon_at: float
    chance: float | None = None
    early_at: float | None = None
    middle_at: float | None = None
    late_at: float | None = None
    at_this_rate_seconds: float | None = None
    days: int = 0
    why: str = ""


def of_ledger(
    slo: Slo, ledger: Ledger, adjustments: Sequence[Adjustment], now: float, *, key: str = "", seed: int = 0
) -> Forecast:
    """The forecast from the whole hours of the ledger's coarsest ring of an hour or less. What is spent already is what
    the budget says; ``key`` is the ledger's."""
    fact = budget(slo, ledger, adjustments, now, key=key)
    level = max(i for i, (step, _) in enumerate(ledger.levels) if step <= HOUR)
    step, size = ledger.levels[level]
    since = max(ledger.first_at, ledger.head_at[level] - (size - 1) * step)
    steps = books.steps(ledger, since, now, over=(fact.since_at, now))
    bad = bad_steps(steps, corrections(adjustments, slo.name, fact.key, ledger))
    hours = np.arange(math.floor(since / HOUR), math.floor(ledger.head_at[level] / HOUR) + 1)
    place = np.floor(steps.at / HOUR).astype(int) - hours[0]
    bad, total = (np.asarray(np.bincount(place, n, hours.size), np.float64) for n in (bad, steps.total))
    period = (fact.since_at, fact.until_at) if slo.calendar is not None else None
    known = (fact.bad, fact.expected) if fact.expected else None
    return forecast(bad, total, slo, float(hours[-1] + 1) * HOUR, period, seed, known)


def forecast(
    bad: Floats, total: Floats, slo: Slo, now: float, period: tuple[float, float] | None = None, seed: int = 0,
    known: tuple[float, float] | None = None,
) -> Forecast:  # fmt: skip
    """``bad[i]`` of ``total[i]`` events in each hour up to ``now``, shape (hours,). ``period``: begin and end of a calendar
    window (unix seconds); None: the window rolls. Of a calendar window only what lies in it is spent; of a rolling one,
    hours that history does not cover count as usual traffic without errors. ``known``: bad events of the period so far, and
    all that are expected in it, where somebody knows better than by the hour."""
    share = 1 - slo.target
    ends_at = period[1] if period else now + slo.period_seconds
    past_hours = round((now - period[0]) / HOUR) if period else round(slo.period_seconds / HOUR)
    ahead = max(0, math.ceil((ends_at - now) / HOUR - 1e-9))
    usual = float(total.mean()) if total.size else 0.0
    if share <= 0 or usual <= 0:
        why = "a target of 100 % has no budget" if share <= 0 else "no traffic was seen"
        return Forecast("not known", None, ends_at, why=why)
    past_bad, past_total = _past(bad, past_hours, 0.0), _past(total, past_hours, usual)
    allowed = float(past_total.sum()) + (usual * ahead if period else 0.0)
    gone_bad, allowed = known or (float(past_bad.sum()), allowed)
    spent = gone_bad / (share * allowed)
    left = (1 - spent) * share * allowed
    lasts = float(left / bad[-1] * HOUR) if bad.size and bad[-1] > 0 else None
    days = min(MAX_DAYS, bad.size // DAY_HOURS)
    if spent >= 1:
        return Forecast("spent", spent, ends_at, 1.0, now, now, now, 0.0, days, "it is gone already")
    if days < MIN_DAYS:
        why = f"{bad.size / DAY_HOURS:.1f} days of history are too few: it takes {MIN_DAYS}"
        return Forecast("not known", spent, ends_at, at_this_rate_seconds=lasts, days=days, why=why)
    if ahead == 0:
        return Forecast("not within the horizon", spent, ends_at, 0.0, at_this_rate_seconds=lasts, days=days)
    future_bad, future_total = futures(bad, total, ahead, np.random.default_rng(seed))
    gone = _gone(gone_bad, past_bad, past_total, future_bad, future_total, share, rolls=period is None)
    early, middle, late = (_at(gone, q, now) for q in (LOW, 0.5, HIGH))
    return Forecast(
        "may run out" if early is not None else "not within the horizon",
        spent,
        ends_at,
        float(np.isfinite(gone).mean()),
        early,
        middle,
        late,
        lasts,
        days,
        f"{FUTURES} futures from {days} days of history",
    )


def _past(values: Floats, hours: int, missing: float) -> Floats:
    """The last ``hours`` values, with ``missing`` for those before the first."""
    kept = values[max(0, values.size - hours) :] if hours > 0 else values[:0]
    return np.concatenate([np.full(hours - kept.size, missing), kept])


def _at(gone: Floats, share: float, now: float) -> float | None:
    hours = float(np.quantile(gone, share, method="inverted_cdf"))
    return now + hours * HOUR if math.isfinite(hours) else None


def _gone(
    gone_bad: float, past_bad: Floats, past_total: Floats, bad: Floats, total: Floats, budget: float, *, rolls: bool
) -> Floats:
    """The first hour (1, 2, ...) of each future in which the budget is gone, infinite when it never is; shape (futures,).
    ``gone_bad`` is what was spent before the first."""
    spent = gone_bad + np.cumsum(bad, axis=1)
    if rolls:
        hours = min(bad.shape[1], past_bad.size)
        spent, total = spent[:, :hours] - np.cumsum(past_bad)[:hours], total[:, :hours]
        allowed = budget * (past_total.sum() - np.cumsum(past_total)[:hours] + np.cumsum(total, axis=1))
    else:
        allowed = budget * (past_total.sum() + total.sum(axis=1))[:, None]
    hit = spent >= allowed
    return np.where(hit.any(axis=1), hit.argmax(axis=1) + 1.0, np.inf)


def futures(bad: Floats, total: Floats, ahead: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Bad and total events of the next ``ahead`` hours, shape (FUTURES, ahead) each. Needs ``MIN_DAYS`` whole days."""
    days = min(MAX_DAYS, bad.size // DAY_HOURS)
    bad, total = (a[a.size - days * DAY_HOURS :].reshape(days, DAY_HOURS) for a in (bad, total))
    to_come = math.ceil(ahead / DAY_HOURS)
    daily_bad, daily = bad.sum(axis=1), total.sum(axis=1)
    weekday = np.arange(days + to_come) % 7
    traffic = _weekly_mean(daily, weekday[:days])[weekday[days:]]
    habit, past, levels, noise = _levels(daily_bad, daily, weekday, to_come, rng)

    weights = np.cumsum(rng.dirichlet(np.ones(days), FUTURES), axis=1)
    drawn = (weights[:, None, :] < rng.random((FUTURES, to_come, 1))).sum(axis=2).clip(0, days - 1)
    scale = traffic / np.maximum(daily[drawn], 1.0)
    # A worse day than any so far is possible: days that vary a lot vary a little beyond what was seen (smoothed bootstrap).
    beyond = 0.5 * np.sqrt(noise)[:, None] * rng.normal(size=drawn.shape)
    shift = levels - np.take_along_axis(past, drawn, axis=1) + habit[weekday[days:]] - habit[weekday[drawn]] + beyond
    worse = scale * np.exp(np.clip(shift, -_MOST, _MOST))
    worse_bad, usual = bad[drawn] * worse[:, :, None], total[drawn] * scale[:, :, None]
    return worse_bad.reshape(FUTURES, -1)[:, :ahead], usual.reshape(FUTURES, -1)[:, :ahead]


def _weekly_mean(daily: Floats, weekday: Ints) -> Floats:
    """Mean per weekday, shape (7,); the mean of all before two weeks are seen."""
    if daily.size < 14:
        return np.full(7, daily.mean())
    return np.bincount(weekday, daily, 7) / np.bincount(weekday, minlength=7)


def _levels(
    bad: Floats, total: Floats, weekday: Ints, to_come: int, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats, Floats]:
    """The weekday's habit, shape (7,); for every future the level of the past days, shape (FUTURES, days), and of those
    to come, shape (FUTURES, to_come), and the variance of its noise. All of the logarithm of the daily share."""
    days = bad.size
    share = bad.sum() / max(total.sum(), 1.0)
    seen = np.log((bad + 0.5) / (share * total + 0.5))
    chance = 1 / (bad + 0.5)
    habit = _habit(seen, weekday[:days])
    seen = seen - habit[weekday[:days]]
    models = [(0.5, 0.0, 0.0, n) for n in _NOISE] + list(product(_RETURN, _LEVEL, _SLOPE, _NOISE))
    left, level, slope, noise = np.array(models).T
    day = np.arange(days + to_come)
    ramp = day - (days - 1.0)
    ramp = np.where(ramp > 0, _WEARS_OFF_DAYS * (1 - np.exp(-ramp / _WEARS_OFF_DAYS)), ramp)
    alike = left[:, None, None] ** np.abs(day[:, None] - day)
    together = level[:, None, None] * alike + slope[:, None, None] * np.outer(ramp, ramp) + _UNKNOWN_MEAN
    observed = together[:, :days, :days] + np.eye(days) * (chance + noise[:, None])[:, None, :]
    root = np.linalg.cholesky(observed)
    whitened = np.linalg.solve(root, np.broadcast_to(seen[:, None], (len(models), days, 1)))[..., 0]
    likely = -0.5 * (whitened**2).sum(axis=1) - np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    likely[: len(_NOISE)] += math.log(len(models) / len(_NOISE) - 1)  # as likely beforehand as all the others together
    weight = np.exp(likely - likely.max())
    drawn = rng.choice(len(models), FUTURES, p=weight / weight.sum())
    past, after = np.zeros((FUTURES, days)), np.zeros((FUTURES, to_come))
    for model in np.unique(drawn):
        rows = np.flatnonzero(drawn == model)
        if level[model] == 0:
            continue  # one level for all days: nothing moves
        gain = np.linalg.solve(observed[model], together[model][:days])
        mean = gain.T @ seen
        spread = together[model][days:, days:] - together[model][days:, :days] @ gain[:, days:]
        spread = np.linalg.cholesky(spread + 1e-8 * np.eye(to_come))
        past[rows] = mean[:days]
        after[rows] = mean[days:] + rng.normal(size=(rows.size, to_come)) @ spread.T
    return habit, past, after, noise[drawn]


def _habit(seen: Floats, weekday: Ints) -> Floats:
    """How much each weekday differs from the mean, shape (7,), shrunk by how sure that is; nothing before three weeks."""
    if seen.size < 21:
        return np.zeros(7)
    count = np.bincount(weekday, minlength=7)
    mean = np.bincount(weekday, seen, 7) / count - seen.mean()
    within = float(((seen - seen.mean() - mean[weekday]) ** 2).sum()) / (seen.size - 7)
    chance = within / count
    between = max(0.0, float(mean.var(ddof=1) - chance.mean()))
    return np.asarray(mean * between / (between + chance + 1e-12))
