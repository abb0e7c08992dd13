"""Promises in every state, for the preview and for tests of faces: the mood ``promises`` of ``fakes.py``.

The counts are drawn from a seed and go through the real ledgers; findings, adjustments and incidents are real events.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace as rewritten

from midwatch.core.memory import Ledger
from midwatch.core.slo.ledger import add, levels_for, new_ledger
from midwatch.model import events as e
from midwatch.model.adjustments import Adjustment
from midwatch.model.findings import Finding, Impact
from midwatch.model.indicators import Calendar, Composite, EventRatio, Part, Slices, Threshold
from midwatch.model.slo import Slo
from midwatch.model.world import Change, Floats

if TYPE_CHECKING:
    from midwatch.faces.console.fakes import FakeWatch

DAY = 86400.0
BERLIN = Calendar("month", time_zone="Europe/Berlin")
EVENTS = EventRatio(
    "sum(rate(http_requests_total[{{.window}}]))", bad='sum(rate(http_requests_total{code=~"5.."}[{{.window}}]))'
)


def _source(name: str, service: str, target: float, **more: object) -> Slo:
    given = {"indicator": EVENTS, "owner": "team-" + service, "source": f"slos/{service}.yaml:4", **more}
    return Slo(name, f"service:{service}", "source", target, service=service, **given)  # type: ignore[arg-type]


STATES: dict[str, Slo] = {
    "spent": _source("checkout-availability", "checkout", 0.999, description="Customers can pay."),
    "burning": _source("search-availability", "search", 0.999),
    "slowly": _source("search-freshness", "search", 0.99, indicator=Threshold("max(index_age_seconds)", "lte", 300.0)),
    "no_data": _source("notification-delivery", "notification", 0.99),
    "never": _source("notification-queue", "notification", 0.99),
    "ok": _source("catalog-availability", "catalog", 0.9995, calendar=BERLIN, period_seconds=31 * DAY),
    "slices": _source("catalog-minutes", "catalog", 0.99, slices=Slices(60.0, 0.95)),
    "no_errors": _source("user-login", "user", 0.99),
    "no_traffic": _source("review-availability", "review", 0.99),
    "groups": _source("tenants-availability", "gateway", 0.999, group_by=("tenant",)),
    "journey": _source(
        "buy-something",
        "storefront",
        0.99,
        indicator=Composite((Part("checkout-availability"), Part("catalog-availability")), "all"),
    ),
    "whole": _source("ledger-never-wrong", "ledger", 1.0),
    "young": _source("pricing-availability", "pricing", 0.995),
}
TENANTS = {"acme": 0.3, "globex": 1.4, "initech": 0.0, "hooli": 0.7}


def fake_promises(watch: FakeWatch, many: int = 0) -> None:
    """Give ``watch`` a promise in every state, and ``many`` more that are well."""
    now, rng = watch.now, np.random.default_rng(11)
    more = [_source(f"svc-{n:04d}-availability", f"svc-{n:04d}", 0.999) for n in range(many)]
    watch.say(now - 40 * DAY, e.PolicyLoaded(rewritten(watch.state.policy, slos=(*STATES.values(), *more)), ("slos/",)))
    ledgers: dict[str, Ledger] = {}
    for state, slo in STATES.items():
        if state == "groups":
            for tenant, pace in TENANTS.items():
                ledgers[f"{slo.name}{{tenant={tenant}}}"] = _ledger(slo, rng, now, pace, 40.0)
            ledgers[slo.name] = _ledger(slo, rng, now, 0.6, 160.0)
        elif state != "never":
            ledgers[slo.name] = _ledger(slo, rng, now, *_PACES.get(state, (0.35, 900.0)), state=state)
    quiet = _ledger(more[0], rng, now, 0.2, 60.0) if more else None
    ledgers.update({slo.name: quiet for slo in more if quiet is not None})
    watch.memory = replace(watch.memory, ledgers=ledgers, started_at=now - 7200)
    _happened(watch)
    for state, tier, burn, pages in (
        ("burning", "fast", 22.0, True),
        ("slowly", "ticket", 1.6, False),
        ("spent", "ticket", 1.3, False),
    ):
        slo = STATES[state]
        ident = f"burn_rate|{slo.entity}|{slo.name}/{tier}"
        detail = f"{slo.name}: {burn:g} x, {tier} tier"
        finding = Finding(
            ident, "burn_rate", slo.entity, now - 960, burn, 1.0, "x budget", 0.0, detail, slo.name, pages
        )
        watch.say(now - 900, e.FindingOpened(finding))
    watch.say(now - 1700, e.GapOpened("slo:notification-delivery", "its Prometheus refuses the connection"))


_PACES = {"spent": (1.3, 900.0), "burning": (0.3, 900.0), "slowly": (0.8, 1.0), "no_errors": (0.0, 500.0),
          "no_traffic": (0.0, 0.0), "no_data": (0.4, 300.0), "slices": (0.5, 1.0), "young": (0.4, 120.0)}  # fmt: skip


def _ledger(
    slo: Slo, rng: np.random.Generator, now: float, pace: float, per_minute: float, *, state: str = ""
) -> Ledger:
    """30 days (a young one: two hours) of counts per minute that spend the budget at ``pace`` times the even one."""
    begin = now - (7200.0 if state == "young" else 33 * DAY)
    end = now - 1800.0 if state == "no_data" else now
    at = np.arange(begin, end, 60.0)
    wave = 1 + 0.4 * np.sin(2 * np.pi * (at % DAY) / DAY)
    total = rng.poisson(per_minute * wave).astype(float) if per_minute > 1 else np.full(at.size, per_minute)
    ratio = np.full(at.size, pace * (1 - slo.target))
    if state == "burning":
        ratio[at > now - 4500] = 0.022
    if state == "slowly":
        ratio[at > now - 3 * DAY] = 0.017
    if state == "spent":
        ratio[(at > now - 9 * DAY) & (at < now - 9 * DAY + 2700)] = 0.35
    bad: Floats = rng.binomial(total.astype(int), np.minimum(ratio, 1.0)).astype(float)
    ledger = add(new_ledger(begin, levels_for(slo)), at, total - bad, total, end)
    return replace(ledger, heard_at=end)


def _happened(watch: FakeWatch) -> None:
    """An outage nine days ago that a deploy brought, maintenance, and a false alarm that was given back."""
    now, spent = watch.now, STATES["spent"]
    onset = now - 9 * DAY
    deploy = Change("c7", onset - 240, "deploy", spent.entity, "checkout 4.2.0", "4.1.7", "4.2.0", "deploy-bot")
    watch.say(onset - 240, e.ChangeSeen(deploy))
    burn = f"burn_rate|{spent.entity}|{spent.name}/fast"
    impact = Impact(spent.entity, 0.35, 20_000, onset, "errors", spent.name, 0.42)
    watch.say(
        onset + 120,
        e.FindingOpened(
            Finding(burn, "burn_rate", spent.entity, onset, 350.0, 1.0, "x budget", slo=spent.name, pages=True)
        ),
        e.IncidentOpened(
            "INC-41",
            "Checkout fails for 35 % of the requests",
            onset,
            2,
            "5 % or more are affected",
            (burn,),
            (spent.entity,),
            impact,
        ),
    )
    watch.say(onset + 2760, e.FindingClosed(burn), e.IncidentResolved("INC-41", "rolled back", impact))
    for ident, kind, slo, since, until, by, reason, counts in (
        (
            "ADJ-1",
            "exclude",
            "",
            now - 6 * DAY,
            now - 6 * DAY + 3600,
            "maria",
            "announced database upgrade",
            (53_800.0, 54_000.0),
        ),
        (
            "ADJ-2",
            "give_back",
            spent.name,
            now - 3 * DAY,
            now - 3 * DAY + 900,
            "anna",
            "a load test, no customer",
            (13_480.0, 13_498.0),
        ),
    ):
        said = Adjustment(ident, kind, slo, since, until, by, reason)
        watch.say(until + 600, e.BudgetAdjusted(said), e.AdjustmentCounted(ident, {spent.name: counts}))
