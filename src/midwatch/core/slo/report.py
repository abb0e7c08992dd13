"""The facts of a month: what was promised, what came of it, and what nobody knows. Pure; ``shell/slo_report.py`` writes
them down.

A month is a window like any other: its SLI is the sum of good over the sum of total, and its budget (1 - target) x total.
Where counts cover only a part of the month, total is extended at the usual rate, as ``budget.py`` does it, and the report
says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from midwatch.core.memory import Ledger
from midwatch.core.slo import adjust
from midwatch.core.slo.burndown import BurnDown, burn_down
from midwatch.core.slo.calendar import period, periods
from midwatch.core.slo.ledger import Steps
from midwatch.core.slo.month import Account, Correction, Day, Kept, Month, MonthReport
from midwatch.model.adjustments import Adjustment
from midwatch.model.findings import OF_BUDGETS, Incident
from midwatch.model.indicators import Calendar
from midwatch.model.slo import Slo
from midwatch.model.world import Change, Floats

WORST_DAYS: Final = 3
SLACK_SECONDS: Final = 3600.0  # a month seen but for less than this is seen whole: hourly steps have such edges


def report(
    accounts: Iterable[Account],
    month: str,
    *,
    incidents: Iterable[Incident] = (),
    changes: Iterable[Change] = (),
    now: float,
    time_zone: str = "UTC",
) -> MonthReport:
    """The facts of ``month`` (``YYYY-MM``, local to ``time_zone``) as they are known at ``now`` (unix seconds). Raises
    ValueError when ``month`` is none, or has not begun."""
    first = parse_month(month)
    start, end = _bounds(first, time_zone)
    if now < start:
        raise ValueError(f"{month} has not begun yet")
    happened = tuple(sorted((i for i in incidents if _during(i, start, end, now)), key=lambda i: i.onset_at))
    changed = tuple(sorted((c for c in changes if start <= c.at < end), key=lambda c: c.at))
    kept = [_kept(account, first, time_zone, happened, changed, now) for account in accounts]
    return MonthReport(
        month, time_zone, start, end, now, tuple(sorted(kept, key=_order)), incidents=happened, changes=changed
    )


def parse_month(month: str) -> date:
    """The first day of ``YYYY-MM``; ValueError says what was wanted."""
    try:
        return datetime.strptime(month, "%Y-%m").date()
    except ValueError:
        raise ValueError(f"{month!r} is no month; it is written as 2026-10") from None


def concerns(incident: Incident, slo: Slo) -> bool:
    """Whether the incident spent this promise's budget: it was rated by it, it has a finding of its burn rate (of an
    alert, or of the sequential test), or its users are the promise's."""
    if incident.impact is not None and incident.impact.slo == slo.name:
        return True
    names = [f"{kind}|{slo.entity}|{slo.name}" for kind in OF_BUDGETS]
    burning = tuple(f"{name}{end}" for name in names for end in ("/", "{"))  # of a tier, or of a group
    return slo.entity in incident.symptoms or any(f in names or f.startswith(burning) for f in incident.findings)


def corrections(adjustments: Sequence[Adjustment], slo: str, key: str, ledger: Ledger) -> list[Correction]:
    """What each adjustment changes by itself. Where windows overlap the earlier one has the overlap, so each is what all up
    to it change, less what those before it do."""
    mine = [a for a in adjustments if a.applies_to(slo)]
    found = []
    for number, one in enumerate(mine, 1):
        span = (one.since_at, one.until_at)
        whole = adjust.correction(mine[:number], slo, key, ledger, *span)
        before = adjust.correction(mine[: number - 1], slo, key, ledger, *span)
        change = (whole.good - before.good, whole.total - before.total)
        if change != (0.0, 0.0):
            found.append(Correction(one.kind, *span, *change, one.by, one.reason))
    return found


def bad_steps(steps: Steps, corrections: Iterable[Correction]) -> Floats:
    """Bad events per step, corrections spread over the steps that they correct, in proportion. Shape (n,)."""
    bad = steps.total - steps.good
    for one in corrections:
        inside = (steps.at + steps.seconds > one.since_at) & (steps.at < one.until_at)
        before = float(bad[inside].sum())
        if before > 0:
            bad = np.where(inside, bad * max(0.0, 1 + (one.total - one.good) / before), bad)
    return np.asarray(bad)


def _kept(
    account: Account, first: date, time_zone: str, incidents: Sequence[Incident], changes: Sequence[Change], now: float
) -> Kept:
    slo = account.slo
    start, end = _bounds(first, time_zone)
    here = within(account.corrections, start, end)
    steps = account.steps(start, min(end, now))
    month = _month(account, steps, start, end, now, here)
    last = _bounds(_month_before(first), time_zone)
    before = _month(account, account.steps(*last), *last, now, within(account.corrections, *last))
    bad = bad_steps(steps, here)
    days = _days(account, steps, bad, month, start, end, time_zone, now)
    worst = sorted((d for d in days if d.bad > 0), key=lambda d: (-(d.spent or 0.0), -d.bad))[:WORST_DAYS]
    return Kept(
        slo,
        account.key or slo.name,
        month,
        _month(account, steps, start, end, now, ()),
        before if before.covered_seconds > 0 else None,
        _way(account, steps, bad, month, start, end, now),
        days,
        tuple(worst),
        tuple(i for i in incidents if concerns(i, slo)),
        tuple(c for c in changes if c.entity == slo.entity),
        tuple(c for c in account.corrections if c.since_at < end and c.until_at > start),
        _unknown(account, month, start, end, now, ZoneInfo(time_zone)),
    )


def _month(
    account: Account, steps: Steps, start: float, end: float, now: float, corrections: Sequence[Correction]
) -> Month:
    total = max(0.0, float(steps.total.sum()) + sum(c.total for c in corrections))
    good = min(total, max(0.0, float(steps.good.sum()) + sum(c.good for c in corrections)))
    stop = min(end, now, account.seen_until)
    covered = max(0.0, stop - max(start, account.first_at))
    if covered <= 0:
        return Month(0.0, 0.0, None, None, None, "no data", 0.0, False)
    whole = end - start - covered < SLACK_SECONDS
    if total <= 0:
        return Month(good, total, None, None, None, "no traffic", covered, whole)
    expected = total
    if covered < end - start:
        usual = account.per_second(max(account.first_at, stop - (end - start)), stop)
        expected += usual * (end - start - covered)
    allowed = (1 - account.slo.target) * expected
    spent = (total - good) / allowed if allowed > 0 else (0.0 if good >= total else None)
    lost = spent is None or spent >= 1
    standing = "no errors" if good >= total else "missed" if lost else "kept"
    return Month(good, total, good / total, allowed, spent, standing, covered, whole)


def _way(
    account: Account, steps: Steps, bad: Floats, month: Month, start: float, end: float, now: float
) -> BurnDown | None:
    if month.allowed is None:
        return None
    return burn_down(
        steps.at,
        bad,
        month.allowed,
        step_seconds=steps.seconds,
        start_at=start,
        end_at=end,
        first_at=account.first_at,
        seen_until=account.seen_until,
        now=now,
    )


def within(corrections: Iterable[Correction], start: float, end: float) -> list[Correction]:
    """What the corrections change in [start, end): where a boundary cuts one's window, its share of time counts."""
    found = []
    for one in corrections:
        since, until = max(start, one.since_at), min(end, one.until_at)
        if until > since:
            share = (until - since) / (one.until_at - one.since_at)
            found.append(replace(one, since_at=since, until_at=until, good=one.good * share, total=one.total * share))
    return found


def _days(
    account: Account, steps: Steps, bad: Floats, month: Month, start: float, end: float, time_zone: str, now: float
) -> tuple[Day, ...]:
    """Each local day of the month that has begun; a step belongs to the day in which it begins."""
    days, zone = [], ZoneInfo(time_zone)
    for begin, over in periods(Calendar("day", time_zone=time_zone), start, min(end, now)):
        inside = (steps.at >= begin) & (steps.at < over)
        good, total = float(steps.good[inside].sum()), float(steps.total[inside].sum())
        spent = float(bad[inside].sum()) / month.allowed if month.allowed else None
        seen = min(over, now, account.seen_until) > max(begin, account.first_at)
        days.append(Day(begin, datetime.fromtimestamp(begin, zone).date().isoformat(), good, total, spent, seen))
    return tuple(days)


def _unknown(account: Account, month: Month, start: float, end: float, now: float, zone: ZoneInfo) -> tuple[str, ...]:
    said = []
    if month.standing == "no data":
        why = f": {account.gap}" if account.gap else ""
        return (f"Nothing was counted in this month{why}.",)
    if account.first_at > start + SLACK_SECONDS:
        lost = (account.first_at - start) / 86400
        said.append(f"Nothing is known before {_when(account.first_at, zone)} ({lost:.1f} days of the month).")
    until = min(end, now)
    if account.seen_until < until - SLACK_SECONDS or (account.gap and now < end):
        why = f": {account.gap}" if account.gap else ""
        said.append(f"No data since {_when(account.seen_until, zone)}{why}.")
    if now < end:
        said.append(
            f"The month is not over: {(now - start) / 86400:.1f} of {(end - start) / 86400:.0f} days have passed."
        )
    if month.allowed is not None and not month.whole:
        said.append("The budget is that of the whole month at the traffic seen so far.")
    if account.slo.target >= 1:
        said.append("A target of 100 % leaves no budget: one failure is too many.")
    return tuple(said)


def _during(incident: Incident, start: float, end: float, now: float) -> bool:
    """What became part of another incident is told of there."""
    return not incident.merged_into and incident.onset_at < end and (incident.resolved_at or now) > start


def _order(kept: Kept) -> tuple[int, float, str]:
    rank = {"missed": 0, "no data": 1, "kept": 2, "no traffic": 3, "no errors": 4}[kept.month.standing]
    spent = kept.month.spent if kept.month.spent is not None else math.inf
    return (rank, -spent, kept.name)


def _bounds(first: date, time_zone: str) -> tuple[float, float]:
    middle = datetime(first.year, first.month, 15, tzinfo=ZoneInfo(time_zone)).timestamp()
    return period(Calendar("month", time_zone=time_zone), middle)


def _month_before(first: date) -> date:
    return date(first.year - (first.month == 1), (first.month - 2) % 12 + 1, 1)


def _when(at: float, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(at, zone).strftime("%d %b %H:%M")
