"""Why an alert fires, or does not: each tier of a promise with its burn rates and the condition that decides."""

from __future__ import annotations

import math

from msgspec import Struct

from midwatch.core.memory import Ledger
from midwatch.core.slo.alerts import failures, founded, least, needed
from midwatch.core.slo.ledger import sums
from midwatch.core.slo.tiers import guards, heard
from midwatch.faces.console import words
from midwatch.model.findings import Finding
from midwatch.model.slo import AlertRules, BurnTier, Slo
from midwatch.model.state import State


class Alert(Struct, frozen=True):
    """One tier. ``long`` and ``short`` are burn rates (times the pace that just keeps the promise), None without traffic.
    ``state``: firing, quiet, waiting, no traffic, no data, dead. ``why`` is a sentence without its full stop."""

    name: str
    pages: bool
    factor: float
    long_seconds: float
    short_seconds: float
    long: float | None
    short: float | None
    state: str
    why: str
    since_at: float | None = None

    @property
    def tone(self) -> str:
        return {"firing": "bad" if self.pages else "warn", "waiting": "warn", "no data": "nodata", "quiet": "ok"}.get(
            self.state, "idle"
        )


def firing_by_key(state: State) -> dict[tuple[str, str], tuple[Finding, ...]]:
    """Open burn-rate findings by (entity, ledger key): one look at the findings serves a thousand promises."""
    found: dict[tuple[str, str], list[Finding]] = {}
    for finding in state.findings.values():
        kind, _, rest = finding.id.partition("|")
        if kind != "burn_rate":
            continue
        key = rest.partition("|")[2].rpartition("/")[0] or finding.slo
        found.setdefault((finding.entity, key), []).append(finding)
    return {k: tuple(sorted(many, key=lambda f: not f.pages)) for k, many in found.items()}


def read_alerts(
    state: State, slo: Slo, firing: tuple[Finding, ...], ledger: Ledger | None, now: float, blind: bool
) -> tuple[Alert, ...]:
    """Every tier of the promise, as written or as the policy has it, and an outage that is seen."""
    opened = {f.id.rpartition("/")[2]: f for f in firing}
    tiers = heard(slo, state.policy.tiers)
    rules = guards(slo, state.policy.alerts, {one.name: one for one in state.slos})
    found = [_tier(tier, slo, ledger, rules, opened.pop(tier.name, None), now, blind) for tier in tiers]
    for name, finding in opened.items():
        why = finding.detail.partition(": ")[2] or finding.detail or "its finding is open"
        found.insert(0, Alert(name, finding.pages, 0.0, 0.0, 0.0, None, None, "firing", why, finding.since_at))
    return tuple(found)


def _tier(
    tier: BurnTier, slo: Slo, ledger: Ledger | None, rules: AlertRules, opened: Finding | None, now: float, blind: bool
) -> Alert:
    budget = 1 - slo.target
    threshold = tier.factor * budget
    long_good, long_total = sums(ledger, tier.long_seconds, now) if ledger is not None else (0.0, 0.0)
    short_good, short_total = sums(ledger, tier.short_seconds, now) if ledger is not None else (0.0, 0.0)
    long, short = _burn(long_good, long_total, budget), _burn(short_good, short_total, budget)

    def alert(state: str, why: str) -> Alert:
        since = opened.since_at if opened is not None else None
        return Alert(
            tier.name,
            tier.pages,
            tier.factor,
            tier.long_seconds,
            tier.short_seconds,
            long,
            short,
            state,
            why,
            since,
        )

    bound = words.number(tier.factor, "x")
    if opened is not None:
        if long is not None and short is not None:
            return alert("firing", f"{_x(long)} over {window(tier.long_seconds)}; it fires above {bound}")
        return alert("firing", "no traffic since it began, which is no recovery")
    if budget <= 0:
        return alert("dead", "a target of 100 % leaves no budget that could burn")
    if threshold >= 1:
        return alert("dead", f"can never fire: {bound} would take more than every request failing")
    if ledger is None or blind:
        return alert("no data", "nothing is counted now, so it can say nothing")
    if long is None or short is None:
        missing = tier.long_seconds if long is None else tier.short_seconds
        return alert("no traffic", f"no traffic in the last {window(missing)}")
    covered = max(now - ledger.first_at, 10.0)
    expected = long_total * max(1.0, tier.long_seconds / covered)
    long_bad = long_total - long_good
    if long > tier.factor and short > tier.factor:
        if not founded(ledger, long_bad, expected, tier, budget, rules, now):
            failed, clumps = (failures(ledger, tier.long_seconds, now, together) for together in (False, True))
            many = failed / clumps if clumps else 1.0
            wanted = math.ceil(float(least(expected, tier, budget, rules, many - 1)))
            if failed < rules.min_failures:
                return alert("quiet", f"only {failed:.0f} failed; it wants {wanted} before it speaks")
            clump = f"about {many:.0f} fail together here, one hour in sixty"
            return alert("quiet", f"{failed:.0f} failed; it wants {wanted}, because {clump}")
        if long_bad <= float(needed(expected, tier, budget, rules)):
            return alert("quiet", "above its factor, by no more than chance would do")
        return alert("waiting", "its condition holds; it has not lasted long enough, or has calmed in the last minute")
    if long > tier.factor:
        return alert(
            "quiet",
            f"it burnt {_x(long)} over {window(tier.long_seconds)}; the last {window(tier.short_seconds)} are calm",
        )
    if short > tier.factor:
        return alert(
            "quiet", f"{_x(short)} lately, but {_x(long)} over {window(tier.long_seconds)}; it fires above {bound}"
        )
    return alert("quiet", f"{_x(long)} over {window(tier.long_seconds)}; it fires above {bound}")


def _burn(good: float, total: float, budget: float) -> float | None:
    """Clipped to what is shown: counts never give less than nothing."""
    if total <= 0 or budget <= 0:
        return None
    burn = (1 - good / total) / budget
    return max(0.0, burn) if math.isfinite(burn) else None


def window(seconds: float) -> str:
    """A window as people name it: ``5 min``, ``1 h``, ``3 d``."""
    if seconds >= 86400 and seconds % 86400 == 0:
        return f"{seconds / 86400:g}{words.NBSP}d"
    return f"{seconds / 3600:g}{words.NBSP}h" if seconds >= 3600 else f"{seconds / 60:g}{words.NBSP}min"


def _x(burn: float) -> str:
    return words.number(burn, "x")
