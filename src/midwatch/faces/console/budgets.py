"""All promises with what is left of their budgets: grouped by service, trouble first, a page at a time.

No data, no traffic and no errors are three states. What is read for every promise is cheap (two sums and its open
findings); plots and tiers are made only for those that a page shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct

from midwatch.core.memory import Ledger, Memory
from midwatch.core.slo import budget as core
from midwatch.core.slo import ledger as books
from midwatch.core.slo.burndown import BurnDown, burn_down
from midwatch.core.slo.ledger import burn_rate
from midwatch.core.slo.report import bad_steps, corrections, within
from midwatch.faces.console import charts, slo_words, words
from midwatch.faces.console.alerts import Alert, firing_by_key, read_alerts
from midwatch.faces.console.charts import Spark
from midwatch.faces.console.pulse import Fleet
from midwatch.model.adjustments import Adjustment
from midwatch.model.findings import Finding
from midwatch.model.slo import Slo
from midwatch.model.state import State
from midwatch.model.world import Floats, World

PLOT_BIN_SECONDS: Final = 60.0
PLOT_SECONDS: Final = 3 * 3600.0
NOW_SECONDS: Final = 300.0
PER_PAGE: Final = 100
MAX_QUERY_CHARS: Final = 100


class Budget(Struct, frozen=True):
    """One ledger's budget: ``fact`` is the arithmetic (None where something is not known), ``state`` is no data, no traffic,
    no errors, ok, burning or spent, ``standing`` says it in a few words. ``firing`` are its open alerts, ``now_burn`` the
    burn rate of the last 5 minutes, ``gap`` why its present is not known."""

    slo: Slo
    fact: core.Budget
    state: str
    standing: str
    tone: str
    now_burn: float | None
    firing: tuple[Finding, ...]

    @property
    def key(self) -> str:
        return self.fact.key

    @property
    def gap(self) -> str:
        return self.fact.why

    @property
    def order(self) -> tuple[int, float, str]:
        rank = ("spent", "burning", "no data", "ok", "no errors", "no traffic").index(self.state)
        return (rank, self.fact.left if self.fact.left is not None else 2.0, self.key)

    @property
    def group(self) -> str:
        """The service that it is listed under."""
        return self.slo.service or words.entity(self.slo.entity) or "no service"

    @property
    def promise(self) -> str:
        return slo_words.promise(self.slo)

    @property
    def left_events(self) -> str:
        """What is left, in events; empty when that is not known."""
        fact = self.fact
        return slo_words.left_events(self.slo, fact.bad, fact.allowed) if fact.allowed else ""

    @property
    def left_time(self) -> str:
        fact = self.fact
        return slo_words.left_time(self.slo, fact.left, fact.period_seconds) if fact.left is not None else ""


class Row(Struct, frozen=True):
    """One promise in the list, with what only the shown ones get."""

    budget: Budget
    path: Spark | None
    why: str
    groups: int = 0


def read_budgets(state: State, memory: Memory, fleet: Fleet, now: float, world: World | None = None) -> list[Budget]:
    """Every promise of ``state``, the ones in trouble first. A promise with groups stands as its worst group does."""
    opened = firing_by_key(state)
    keys = keys_of(state.slos, memory)
    found = []
    for slo in state.slos:
        many = [
            read_budget(slo, key, memory, state, opened.get((slo.entity, key), ()), fleet, now, world)
            for key in keys.get(slo.name, (slo.name,))
        ]
        found.append(min(many, key=lambda b: b.order))
    return sorted(found, key=lambda b: b.order)


def keys_of(slos: Iterable[Slo], memory: Memory) -> dict[str, tuple[str, ...]]:
    """Ledger keys of each promise that has groups: ``name{label=value}``."""
    grouped = {slo.name for slo in slos if slo.group_by}
    found: dict[str, list[str]] = {}
    for key in memory.ledgers if grouped else ():
        name = key.partition("{")[0]
        if name in grouped and key != name:
            found.setdefault(name, []).append(key)
    return {name: tuple(sorted(many)) for name, many in found.items()}


def read_budget(
    slo: Slo,
    key: str,
    memory: Memory,
    state: State,
    firing: tuple[Finding, ...],
    fleet: Fleet,
    now: float,
    world: World | None = None,
) -> Budget:
    ledger = memory.ledgers.get(key)
    blind = core.blind_why(state, slo, key) or _gap(slo, key, ledger, fleet, world)
    fact = core.budget(slo, ledger, state.adjustments, now, key=key, blind=blind)
    stands, standing, tone = _stand(fact, firing)
    burn = burn_rate(ledger, slo, NOW_SECONDS, now) if ledger is not None else float("nan")
    return Budget(slo, fact, stands, standing, tone, max(0.0, burn) if math.isfinite(burn) else None, firing)


def _stand(fact: core.Budget, firing: tuple[Finding, ...]) -> tuple[str, str, str]:
    """(state, words, tone). What cannot be seen is never well; what is over does not hide that it goes on."""
    state = fact.state.replace("_", " ")
    if state == "no data":
        return state, state, "nodata"
    burning = bool(firing) or state == "burning" or (fact.burn is not None and fact.burn > 1)
    if state == "spent":
        return state, "spent, still burning" if burning else "spent", "bad"
    if firing:
        pages = any(f.pages for f in firing)
        return "burning", "burning" if pages else "burning slowly", "bad" if pages else "warn"
    if state == "burning":
        return state, "burning, no alert", "warn"
    return state, state, "idle" if state == "no traffic" else "ok"


def _gap(slo: Slo, key: str, ledger: Ledger | None, fleet: Fleet, world: World | None) -> str:
    """Why the present of this promise is not known, as far as the live view shows it; empty when it is."""
    if slo.sli == "source":
        counts = world.sli.get(key) if world is not None else None
        return counts.gap if counts is not None else ""
    pulse = fleet.pulses.get(slo.entity)
    if fleet.stale:
        return "no telemetry arrives"
    if pulse is not None and pulse.tone == "nodata":
        return pulse.detail or f"{words.entity(slo.entity)} does not report"
    return f"{words.entity(slo.entity)} was never seen" if pulse is None and ledger is None else ""


# the list


def wanted(budgets: Sequence[Budget], query: str, state: str) -> list[Budget]:
    """Those in ``state`` (empty: any) whose name, service, entity, owner or description holds every word of ``query``."""
    parts = query.lower()[:MAX_QUERY_CHARS].split()

    def fits(b: Budget) -> bool:
        said = f"{b.key} {b.slo.service} {b.slo.entity} {b.slo.owner} {b.slo.description}".lower()
        return (not state or b.state == state) and all(part in said for part in parts)

    return [b for b in budgets if fits(b)]


def page_of(budgets: Sequence[Budget], number: int) -> tuple[list[Budget], int, int]:
    """The page's promises, its number (1 and up, brought into range) and how many pages there are. Services stay together,
    the one with the worst promise first."""
    worst: dict[str, int] = {}
    for place, budget in enumerate(budgets):
        worst.setdefault(budget.group, place)
    together = sorted(budgets, key=lambda b: (worst[b.group], b.order))
    pages = max(1, math.ceil(len(together) / PER_PAGE))
    number = min(max(1, number), pages)
    return together[(number - 1) * PER_PAGE : number * PER_PAGE], number, pages


def rows(budgets: Sequence[Budget], state: State, memory: Memory, now: float) -> list[Row]:
    """The shown ones with their plots and the reason why an alert fires or does not."""
    keys = keys_of((b.slo for b in budgets), memory)
    found = []
    for budget in budgets:
        ledger = memory.ledgers.get(budget.key)
        blind = budget.state == "no data"
        alerts = read_alerts(state, budget.slo, budget.firing, ledger, now, blind)
        path = None
        if ledger is not None and budget.fact.allowed:
            path = charts.descent(way(budget, ledger, state.adjustments, now))
        found.append(
            Row(
                budget,
                path,
                why(budget, alerts),
                len(keys.get(budget.slo.name, ())),
            )
        )
    return found


def why(budget: Budget, alerts: Sequence[Alert]) -> str:
    """Why somebody was told, or nobody: one sentence about the tier that is nearest to firing."""
    if budget.state == "no data":
        return f"No alert can be judged: {budget.gap}." if budget.gap else "No alert can be judged."
    loud = [a for a in alerts if a.state == "firing"]
    if loud:
        more = f", and {len(loud) - 1} more" if len(loud) > 1 else ""
        return f"The {loud[0].name} alert fires{more}: {loud[0].why}."
    alive = [a for a in alerts if a.state in ("quiet", "waiting")]
    if not alive:
        return f"No alert: {alerts[0].why}." if alerts else "No alert is set for it."
    near = max(alive, key=lambda a: (a.long or 0.0) / max(a.factor, 1e-9))
    return f"No alert. Nearest is {near.name}: {near.why}."


class Card(Struct, frozen=True):
    """One promise on the watch page: its budget and the burn rate of the last hours."""

    budget: Budget
    spark: Spark


def cards(budgets: Sequence[Budget], memory: Memory, now: float) -> list[Card]:
    return [Card(b, burn_spark(memory.ledgers.get(b.key), b.slo, now)) for b in budgets]


def burn_spark(ledger: Ledger | None, slo: Slo, now: float) -> Spark:
    values = burn_series(ledger, slo, now)[1] if ledger is not None else np.array([])
    return charts.spark(values, limit=1.0, top=2.0, width=220, height=40)


def way(budget: Budget, ledger: Ledger, adjustments: Sequence[Adjustment], now: float) -> BurnDown:
    """How this period's budget went, from the finest counts that cover it. What an adjustment covers spends nothing."""
    fact = budget.fact
    steps = books.steps(ledger, fact.since_at, now)
    return burn_down(
        steps.at,
        bad_steps(steps, within(corrections(adjustments, budget.slo.name, budget.key, ledger), fact.since_at, now)),
        fact.allowed or 0.0,
        step_seconds=steps.seconds,
        start_at=fact.since_at,
        end_at=fact.until_at,
        first_at=ledger.first_at,
        seen_until=ledger.seen_until,
        now=now,
    )


def burn_series(ledger: Ledger, slo: Slo, now: float) -> tuple[Floats, Floats]:
    """Burn rate per minute over the last hours: (times, rates), shape (n,) each; NaN where nothing was requested."""
    step, size = ledger.levels[0]
    ring, end = ledger.counts[0], ledger.head_at[0] + step
    per = round(PLOT_BIN_SECONDS / step)
    bins = min(round(PLOT_SECONDS / PLOT_BIN_SECONDS), size // per)
    part = ring[:, -bins * per :].reshape(2, bins, per).sum(axis=2)
    times = end - PLOT_BIN_SECONDS * np.arange(bins, 0, -1, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = np.where((part[1] > 0) & (slo.target < 1), (1 - part[0] / part[1]) / (1 - slo.target), np.nan)
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


def chips(budgets: Sequence[Budget]) -> list[tuple[str, str, str, int]]:
    """(state, word, tone, how many) for every state that some promise is in."""
    counted: dict[str, int] = {}
    for budget in budgets:
        counted[budget.state] = counted.get(budget.state, 0) + 1
    return [(s, word, tone, counted[s]) for s, (tone, word) in slo_words.STATES.items() if s in counted]
