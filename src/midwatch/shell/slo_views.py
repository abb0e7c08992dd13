"""Read models of promises: what the API and the command line show, as plain values that become JSON as they are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Final

from midwatch.core.memory import Ledger, Memory
from midwatch.core.slo import ledger as books
from midwatch.core.slo.budget import Budget, budgets
from midwatch.core.slo.clumps import habit_of
from midwatch.core.slo.formulas import gone_seconds, table
from midwatch.core.slo.tiers import AlertPolicy, counts_events, in_force
from midwatch.model.errors import NotFound
from midwatch.model.findings import SLOW_BURN, Finding
from midwatch.model.slo import Slo
from midwatch.model.state import State
from midwatch.shell.queries import plain

RATE_SECONDS: Final = 86400.0  # what "usual traffic" is measured over


def promises(state: State, memory: Memory, now: float) -> list[dict[str, Any]]:
    """A row for each ledger, in the order in which the promises are written; groups come after their promise."""
    named = {slo.name: slo for slo in state.slos}
    fires = firing(state)
    return [
        _row(named[one.slo], one, fires.get(one.key, ())) for one in budgets(state, memory, now) if one.slo in named
    ]


def promise(state: State, memory: Memory, now: float, name: str) -> dict[str, Any]:
    """Everything about one promise. Raises NotFound, with what was perhaps meant."""
    slo = find(state.slos, name)
    ledger = memory.ledgers.get(slo.name)
    rows = [row for row in promises(state, memory, now) if row["slo"] == slo.name]
    usual = per_minute(ledger, now)
    policy = in_force(slo, state.policy)
    return {
        "promise": plain(slo),
        "budgets": rows,
        "tiers": [plain(tier) for tier in policy.tiers],
        "own_tiers": slo.tiers is not None,
        "firing": [plain(one) for one in state.findings.values() if one.slo == slo.name],
        "adjustments": [plain(one) for one in state.adjustments if one.slo in ("", slo.name)],
        "incidents": [
            {"id": i.id, "title": i.title, "onset_at": i.onset_at, "resolved_at": i.resolved_at}
            for i in state.incidents.values()
            if any(state.findings[f].slo == slo.name for f in i.findings if f in state.findings)
        ],
        "per_minute": usual,
        "alerts": alerts(slo, policy, usual, habit(slo, ledger, now)),
    }


def alerts(slo: Slo, policy: AlertPolicy, usual: float | None, habit: float = 0.0) -> dict[str, Any]:
    """The table of detection, reset and budget spent. ``usual``: requests a minute, None when nobody knows; ``habit``: how
    many failures come together."""
    rows = table(slo, policy, usual, habit=habit)
    ratios = dict.fromkeys(row.error_ratio for row in rows)
    return {
        "slo": slo.name,
        "target": slo.target,
        "period_seconds": slo.period_seconds,
        "per_minute": usual,
        "habit": habit,
        "policy": policy.name,
        "gone_seconds": [{"error_ratio": ratio, "seconds": gone_seconds(slo, ratio)} for ratio in ratios],
        "rows": [plain(row) for row in rows],
    }


def habit(slo: Slo, ledger: Ledger | None, now: float) -> float:
    """How many failures come together, one hour in sixty (``clumps.py``); 0 where failures are no measure."""
    return habit_of(ledger, now) if ledger is not None and counts_events(slo) else 0.0


def per_minute(ledger: Ledger | None, now: float) -> float | None:
    """The usual traffic: of the last day, or of as much of it as was seen. None before there is any."""
    if ledger is None:
        return None
    covered = min(RATE_SECONDS, max(0.0, min(now, ledger.seen_until) - ledger.first_at))
    if covered < 60:
        return None
    _, total = books.sums(ledger, covered + max(0.0, now - ledger.seen_until), now)
    return total / covered * 60 if total > 0 else None


def find(slos: Iterable[Slo], name: str) -> Slo:
    """By name, or by a part that only one name has. Raises NotFound."""
    named = {slo.name: slo for slo in slos}
    if name in named:
        return named[name]
    within = [one for one in named if name in one] if name else []
    if len(within) == 1:
        return named[within[0]]
    close = within[:3] or difflib.get_close_matches(name, named, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "known: " + (", ".join(sorted(named)[:10]) or "none yet")
    raise NotFound(f"there is no promise {name!r}", hint=hint)


def firing(state: State) -> dict[str, tuple[Finding, ...]]:
    """Open findings of burn rates by ledger key. Those of the sequential test wake nobody: they are no alert."""
    found: dict[str, list[Finding]] = {}
    for finding in state.findings.values():
        if finding.slo and finding.kind != SLOW_BURN:
            key = finding.id.rpartition("|")[2].rpartition("/")[0] or finding.slo
            found.setdefault(key, []).append(finding)
    return {key: tuple(many) for key, many in found.items()}


def _row(slo: Slo, budget: Budget, fires: tuple[Finding, ...]) -> dict[str, Any]:
    return {
        "name": slo.name,
        "service": slo.service or slo.entity.partition(":")[2],
        "entity": slo.entity,
        "sli": slo.sli,
        "owner": slo.owner,
        "description": slo.description,
        "written_in": slo.source,
        "calendar": slo.calendar is not None,
        "bad": budget.bad,
        "alert": "page" if any(f.pages for f in fires) else "ticket" if fires else "",
        "alerts": [f.detail for f in fires],
        **plain(budget),
    }
