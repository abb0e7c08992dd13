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
from midwatch.core.slo.burndown import BurnDown, burn_down
from midwatch.core.slo.calendar import period
from midwatch.core.slo.ledger import LEVELS, burn_rate, sums
from midwatch.faces.console import charts, slo_words, words
from midwatch.faces.console.alerts import Alert, firing_by_key, read_alerts
from midwatch.faces.console.charts import Spark
from midwatch.faces.console.pulse import Fleet
from midwatch.model.findings import Finding
from midwatch.model.slo import Slo
from midwatch.model.state import State
from midwatch.model.world import Floats, World

PLOT_BIN_SECONDS: Final = 60.0
PLOT_SECONDS: Final = 3 * 3600.0
NOW_SECONDS: Final = 300.0
PER_PAGE: Final = 100
MAX_QUERY_CHARS: Final = 100
QUIET_AFTER_SECONDS: Final = 600.0  # a source that was not heard for so long has no present


class Budget(Struct, frozen=True):
    """One ledger's budget. ``state``: no data, no traffic, no errors, ok, burning, spent; ``standing`` says it in a word
    or three. What is not known is None. ``allowed`` bad events make up the budget of [start_at, end_at)."""

    slo: Slo
    key: str
    state: str
    standing: str
    tone: str
    good: float
    total: float
    sli: float | None
    allowed: float | None
    left: float | None
    now_burn: float | None
    start_at: float
    end_at: float
    covered_seconds: float
    seen_until: float | None
    gap: str
    firing: tuple[Finding, ...]

    @property
    def bad(self) -> float:
        return self.total - self.good

    @property
    def order(self) -> tuple[int, float, str]:
        rank = ("spent", "burning", "no data", "ok", "no errors", "no traffic").index(self.state)
        if self.tone == "warn":
            rank = 1
        return (rank, self.left if self.left is not None else 2.0, self.key)

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
        return slo_words.left_events(self.slo, self.bad, self.allowed) if self.allowed is not None else ""

    @property
    def left_time(self) -> str:
        if self.left is None or self.slo.target >= 1:
            return ""
        return slo_words.left_time(self.slo, self.left, self.end_at - self.start_at)


class Row(Struct, frozen=True):
    """One promise in the list, with what only the shown ones get."""

    budget: Budget
    spark: Spark
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
            read_budget(slo, key, memory.ledgers.get(key), opened.get((slo.entity, key), ()), fleet, now, world)
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
    ledger: Ledger | None,
    firing: tuple[Finding, ...],
    fleet: Fleet,
    now: float,
    world: World | None = None,
) -> Budget:
    start, end = (now - slo.period_seconds, now) if slo.calendar is None else period(slo.calendar, now)
    gap = _gap(slo, key, ledger, fleet, now, world)
    if ledger is None:
        return Budget(
            slo,
            key,
            "no data",
            "no data",
            "nodata",
            0.0,
            0.0,
            None,
            None,
            None,
            None,
            start,
            end,
            0.0,
            None,
            gap or "nothing was counted yet",
            firing,
        )
    good, total = sums(ledger, now - start, now)
    spent, allowed = _spent(slo, ledger, good, total, start, end, now)
    burn = burn_rate(ledger, slo, NOW_SECONDS, now)
    recent = sums(ledger, NOW_SECONDS, now)[1]
    left = None if spent is None else 1 - spent
    state, standing, tone = _stand(good, total, recent, left, firing, bool(gap))
    return Budget(
        slo,
        key,
        state,
        standing,
        tone,
        good,
        total,
        good / total if total > 0 else None,
        allowed,
        left,
        burn if math.isfinite(burn) else None,
        start,
        end,
        max(0.0, min(now - start, now - ledger.first_at)),
        ledger.seen_until,
        gap,
        firing,
    )


def _stand(
    good: float, total: float, recent: float, left: float | None, firing: tuple[Finding, ...], blind: bool
) -> tuple[str, str, str]:
    """(state, words, tone). What cannot be seen is never well; what is over does not hide that it goes on."""
    if blind:
        return "no data", "no data", "nodata"
    if total <= 0 or recent <= 0:
        return "no traffic", "no traffic", "idle"
    pages = any(f.pages for f in firing)
    if left is not None and left <= 0:
        return "spent", "spent, still burning" if firing else "spent", "bad"
    if firing:
        return "burning", "burning" if pages else "burning slowly", "bad" if pages else "warn"
    if good >= total:
        return "no errors", "no errors", "ok"
    return "ok", "ok", "ok"


def _spent(
    slo: Slo, ledger: Ledger, good: float, total: float, start: float, end: float, now: float
) -> tuple[float | None, float | None]:
    """Share spent and budget in events. Until counts cover the period, it is that of the traffic to be expected."""
    if total <= 0 or slo.target >= 1:
        return None, None
    covered = max(now - max(start, ledger.first_at), LEVELS[0][0])
    allowed = (1 - slo.target) * total * max(1.0, (end - start) / covered)
    return (total - good) / allowed, allowed


def _gap(slo: Slo, key: str, ledger: Ledger | None, fleet: Fleet, now: float, world: World | None) -> str:
    """Why the present of this promise is not known; empty when it is."""
    counts = world.sli.get(key) if world is not None else None
    if slo.sli == "source":
        if counts is not None and counts.gap:
            return counts.gap
        if ledger is not None and now - ledger.seen_until > QUIET_AFTER_SECONDS:
            return "its source was not heard lately"
        return ""
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
        alerts = read_alerts(state, budget.slo, budget.key, ledger, now, blind)
        path = None
        if ledger is not None and budget.allowed is not None:
            path = charts.descent(way(budget, ledger, now))
        found.append(
            Row(
                budget,
                burn_spark(ledger, budget.slo, now),
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
        return f"{loud[0].name} alert fires{more}: {loud[0].why}."
    alive = [a for a in alerts if a.state in ("quiet", "waiting")]
    if not alive:
        return f"No alert: {alerts[0].why}." if alerts else "No alert is set for it."
    near = max(alive, key=lambda a: (a.long or 0.0) / max(a.factor, 1e-9))
    return f"No alert. Nearest is {near.name}: {near.why}."


def burn_spark(ledger: Ledger | None, slo: Slo, now: float) -> Spark:
    values = burn_series(ledger, slo, now)[1] if ledger is not None else np.array([])
    return charts.spark(values, limit=1.0, top=2.0, width=220, height=40)


def way(budget: Budget, ledger: Ledger, now: float) -> BurnDown:
    """How this period's budget went, from the finest counts that cover it."""
    at, good, total, step = steps_since(ledger, budget.start_at, now)
    return burn_down(
        at,
        total - good,
        budget.allowed or 0.0,
        step_seconds=step,
        start_at=budget.start_at,
        end_at=budget.end_at,
        first_at=ledger.first_at,
        seen_until=ledger.seen_until,
        now=now,
    )


def steps_since(ledger: Ledger, since: float, now: float) -> tuple[Floats, Floats, Floats, float]:
    """(starts, good, total, step in seconds) of the steps from ``since`` on, from the finest ring that reaches so far."""
    for (step, size), ring, head in zip(LEVELS, ledger.counts, ledger.head_at, strict=True):
        if now - since <= step * size or step == LEVELS[-1][0]:
            count = min(size, max(1, math.ceil((head + step - since) / step)))
            at = head - step * np.arange(count - 1, -1, -1, dtype=np.float64)
            return at, ring[0, -count:], ring[1, -count:], step
    raise AssertionError("LEVELS is never empty")


def burn_series(ledger: Ledger, slo: Slo, now: float) -> tuple[Floats, Floats]:
    """Burn rate per minute over the last hours: (times, rates), shape (n,) each; NaN where nothing was requested."""
    step, size = LEVELS[0]
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
