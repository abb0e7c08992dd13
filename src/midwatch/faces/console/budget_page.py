"""One promise, whole: how its budget goes, what was in the way, its alerts and why, its ledger, its groups."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from markupsafe import Markup
from msgspec import Struct

from midwatch.core.memory import Ledger, Memory
from midwatch.core.slo import ledger as books
from midwatch.core.slo.calendar import periods
from midwatch.core.slo.forecast import Forecast
from midwatch.core.slo.formulas import Row as Detection
from midwatch.core.slo.formulas import gone_seconds, table
from midwatch.core.slo.report import concerns
from midwatch.core.slo.tiers import in_force
from midwatch.faces.console import foresight, slo_words, words
from midwatch.faces.console.alerts import firing_by_key, read_alerts
from midwatch.faces.console.budgets import Budget, budget_plot, keys_of, read_budget, way, why
from midwatch.faces.console.pulse import Fleet
from midwatch.model.adjustments import Adjustment
from midwatch.model.findings import Incident
from midwatch.model.indicators import Calendar, Composite
from midwatch.model.slo import Slo
from midwatch.model.state import State
from midwatch.model.world import World
from midwatch.shell import plots
from midwatch.shell.plots import Mark
from midwatch.shell.slo_report import ADJUSTED
from midwatch.shell.slo_views import habit

LEDGER_DAYS: Final = 31
MAX_GROUPS_SHOWN: Final = 200
MAX_MARKS: Final = 40
MAX_INCIDENTS: Final = 20


class LedgerDay(Struct, frozen=True):
    """One local day of the ledger. ``spent`` is its share of the period's budget, None when there is none."""

    date: str
    good: float
    total: float
    spent: float | None

    @property
    def bad(self) -> float:
        return self.total - self.good


class Happening(Struct, frozen=True):
    """A row beside the burn-down: what happened when, with a link for incidents."""

    at: float
    until: float | None
    kind: str
    text: str
    link: str = ""


class Detected(Struct, frozen=True):
    """One error ratio against every tier: a cell for each, and how long the whole budget lasts at it."""

    error_ratio: float
    gone_seconds: float
    cells: tuple[Detection, ...]


def detection(state: State, budget: Budget, ledger: Ledger | None, now: float) -> list[Detected]:
    """How fast each tier would notice, at the traffic and the clumps of failures that are usual here
    (``core/slo/formulas.py``)."""
    slo, fact = budget.slo, budget.fact
    if slo.target >= 1:
        return []
    per_minute = fact.expected / fact.period_seconds * 60 if fact.expected else None
    found: dict[float, list[Detection]] = {}
    for row in table(slo, in_force(slo, state.policy), per_minute, habit=habit(slo, ledger, now)):
        found.setdefault(row.error_ratio, []).append(row)
    return [Detected(ratio, gone_seconds(slo, ratio), tuple(rows)) for ratio, rows in found.items()]


def find(state: State, memory: Memory, ident: str) -> tuple[Slo, str] | None:
    """The promise and ledger key that ``ident`` names: a promise's name, or one of its groups."""
    named = {slo.name: slo for slo in state.slos}
    if ident in named:
        return named[ident], ident
    slo = named.get(ident.partition("{")[0])
    return (slo, ident) if slo is not None and ident in memory.ledgers else None


def budget_page(
    state: State, memory: Memory, fleet: Fleet, world: World, now: float, ident: str, foreseen: Forecast | None = None
) -> dict[str, Any]:
    """What ``budget.html`` shows of ``ident``, which ``find`` has found; ``foreseen`` is when its budget will be gone."""
    found = find(state, memory, ident)
    if found is None:
        raise KeyError(ident)
    slo, key = found
    opened = firing_by_key(state)
    groups = _groups(slo, key, state, memory, fleet, now, world)
    shown = key
    if groups and key not in memory.ledgers:
        shown = groups[0].key  # a promise with groups is shown by its worst one
    ledger = memory.ledgers.get(shown)
    budget = read_budget(slo, shown, memory, state, opened.get((slo.entity, shown), ()), fleet, now, world)
    alerts = read_alerts(state, slo, budget.firing, ledger, now, budget.state == "no data")
    incidents = sorted((i for i in state.incidents.values() if concerns(i, slo)), key=lambda i: -i.onset_at)
    adjustments = [a for a in state.adjustments if a.slo in ("", slo.name)]
    happened = happenings(budget, incidents, state, now)
    days = ledger_days(budget, ledger, now)
    blind = budget.state == "no data"
    gone = None if blind else foresight.gone(foreseen)
    return {
        "foreseen": "" if blind else foresight.said(foreseen, now),
        "gone": gone,
        "alarm": ("bad" if any(f.pages for f in budget.firing) else "warn") if budget.firing else "",
        "nothing": _nothing(budget),
        "b": budget,
        "slo": slo,
        "shown": shown,
        "note": memory.slo_notes.get(slo.name, ""),
        "period": slo_words.span(slo, budget.fact.since_at, budget.fact.until_at),
        "alerts": alerts,
        "why": why(budget, alerts),
        "burn_wide": Markup(burn_plot(budget, ledger, adjustments, happened, now, 1080, "p-wide", gone)),
        "burn_tall": Markup(burn_plot(budget, ledger, adjustments, happened, now, 360, "p-tall", gone)),
        "happened": happened,
        "rates": _rates(budget, ledger, now),
        "days": days,
        "days_wide": Markup(day_plot(budget, days, 1080, "p-wide")),
        "days_tall": Markup(day_plot(budget, days, 360, "p-tall")),
        "adjustments": adjustments[::-1][:MAX_MARKS],
        "adjusted_words": ADJUSTED,
        "detection": detection(state, budget, ledger, now),
        "groups": groups[:MAX_GROUPS_SHOWN],
        "groups_more": max(0, len(groups) - MAX_GROUPS_SHOWN),
        "incidents": incidents[:MAX_INCIDENTS],
        "parts": slo.indicator.parts if isinstance(slo.indicator, Composite) else (),
        "known": {s.name for s in state.slos},
    }


def _nothing(budget: Budget) -> str:
    """Why there is nothing to plot."""
    if budget.slo.target >= 1:
        return "a target of 100 % leaves no budget"
    return f"{budget.state}, {budget.gap}" if budget.gap else budget.state


def _rates(budget: Budget, ledger: Ledger | None, now: float) -> dict[str, Any] | None:
    """The plot of burn rates; what is not seen any more is not called the present."""
    if ledger is None:
        return None
    drawn = budget_plot(ledger, budget.slo, now)
    if budget.state == "no data":
        drawn["summary"] = drawn["summary"].replace("now ", "when last seen ", 1)
    return drawn


def _groups(slo: Slo, key: str, state: State, memory: Memory, fleet: Fleet, now: float, world: World) -> list[Budget]:
    """The budgets of the promise's groups, the worst first; none when one group is shown by itself."""
    if key != slo.name:
        return []
    opened = firing_by_key(state)
    found = [
        read_budget(slo, k, memory, state, opened.get((slo.entity, k), ()), fleet, now, world)
        for k in keys_of([slo], memory).get(slo.name, ())
    ]
    return sorted(found, key=lambda b: b.order)


def happenings(budget: Budget, incidents: list[Incident], state: State, now: float) -> list[Happening]:
    """What lies in the period, newest first, bounded: incidents, changes, adjustments, and edits of the promise."""
    slo, since = budget.slo, budget.fact.since_at
    found = [
        Happening(i.onset_at, i.resolved_at or now, "incident", i.title, i.id)
        for i in incidents
        if (i.resolved_at or now) > since
    ]
    homes = {slo.entity, f"service:{slo.service}"}
    found += [
        Happening(c.at, None, c.kind, f"{words.entity(c.entity)}{': ' + c.summary if c.summary else ''}")
        for c in state.changes
        if c.entity in homes and c.at > since
    ]
    found += [
        Happening(a.since_at, a.until_at, "adjustment", f"{ADJUSTED.get(a.kind, a.kind)} by {a.by}: {a.reason}")
        for a in state.adjustments
        if a.applies_to(slo.name) and a.until_at > since
    ]
    found += [
        Happening(e.at, None, "edit", f"the promise was changed: {e.what}")
        for e in state.slo_edits
        if e.slo == slo.name
    ]
    return sorted((h for h in found if (h.until or h.at) > since), key=lambda h: -h.at)[:MAX_MARKS]


def burn_plot(
    budget: Budget,
    ledger: Ledger | None,
    adjustments: list[Adjustment],
    happened: list[Happening],
    now: float,
    width: int,
    kind: str,
    gone: plots.Gone | None = None,
) -> str:
    """The burn-down as SVG; empty when there is nothing to draw."""
    if ledger is None or not budget.fact.allowed:
        return ""
    marks = [
        Mark(
            h.at,
            "incident" if h.link else "adjustment" if h.kind == "adjustment" else "change",
            h.link or h.kind,
            f"{h.link or h.kind}: {h.text}",
            h.until,
        )
        for h in happened
    ]
    zone = budget.slo.calendar.time_zone if budget.slo.calendar is not None else "UTC"
    said = f"Budget left of {budget.key}: {budget.left_events}, {words.percent(budget.fact.left)}"
    return plots.burn_down_svg(
        way(budget, ledger, adjustments, now),
        said,
        marks=marks,
        width=width,
        height=280 if width > 500 else 230,
        kind=kind,
        time_zone=zone,
        tone=budget.tone,
        gone=gone,
    )


def day_plot(budget: Budget, days: list[LedgerDay], width: int, kind: str) -> str:
    """The share of the budget that went on each day; empty without a budget."""
    if not budget.fact.allowed or not days:
        return ""
    shown = days[::-1]
    spent = max(shown, key=lambda d: d.spent or 0.0)
    said = f"Budget spent per day; the most on {spent.date}, {words.percent(spent.spent)}"
    return plots.day_bars_svg(
        [d.date[4:].lstrip("0") if width > 500 else d.date[4:6].lstrip("0") for d in shown],
        [d.spent for d in shown],
        said,
        limit=86400.0 / budget.fact.period_seconds,
        width=width,
        height=130,
        kind=kind,
    )


def ledger_days(budget: Budget, ledger: Ledger | None, now: float) -> list[LedgerDay]:
    """Sums per local day, the newest first, of the period or of the last ``LEDGER_DAYS``."""
    if ledger is None:
        return []
    name = budget.slo.calendar.time_zone if budget.slo.calendar is not None else "UTC"
    zone = ZoneInfo(name)
    since = max(budget.fact.since_at, now - LEDGER_DAYS * 86400.0, ledger.first_at)
    steps = books.steps(ledger, since, now, over=(budget.fact.since_at, now))
    found = []
    for start, end in periods(Calendar("day", time_zone=name), since, now):
        inside = (steps.at >= start) & (steps.at < end)
        g, t = float(steps.good[inside].sum()), float(steps.total[inside].sum())
        spent = (t - g) / budget.fact.allowed if budget.fact.allowed else None
        found.append(LedgerDay(datetime.fromtimestamp(start, zone).strftime("%a %d %b"), g, t, spent))
    return found[::-1]
