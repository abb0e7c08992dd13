"""The made-up story that ``fakes.py`` tells: its promises, playbooks, changes and one incident, as real events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from midwatch.core.slo.ledger import add, new_ledger
from midwatch.model import events as e
from midwatch.model import signals as s
from midwatch.model.actions import Action, Check, Expectation, Outcome, Playbook, Verdict
from midwatch.model.events import Event
from midwatch.model.findings import Evidence, Finding, Hypothesis, Impact
from midwatch.model.policy import Policy
from midwatch.model.slo import Slo
from midwatch.model.world import Change, World

if TYPE_CHECKING:
    from midwatch.faces.console.fakes import FakeWatch


def fake_policy(mode: str) -> Policy:
    def slo(name: str, entity: str, target: float, ms: float = 0.0) -> Slo:
        return Slo(name, entity, "latency" if ms else "ratio", target, ms, owner="team-shop", source="slos/shop.yaml:3")

    books = (
        Playbook(
            "widen-the-pool",
            ("pool_exhausted",),
            "resize_pool",
            autonomy="auto",
            description="Give an exhausted pool room.",
        ),
        Playbook(
            "roll-back-a-bad-deploy",
            ("bad_deploy",),
            "rollback_deploy",
            autonomy="canary",
            description="Back to the last version.",
        ),
        Playbook(
            "drain-a-dark-region",
            ("region_dark",),
            "drain_region",
            autonomy="ask",
            description="Send traffic elsewhere.",
        ),
        Playbook(
            "end-a-blocking-session",
            ("lock_contention",),
            "kill_session",
            autonomy="suggest",
            description="Free the lock.",
        ),
    )
    return Policy(
        mode=mode,  # type: ignore[arg-type]
        slos=(
            slo("gateway-availability", "service:gateway", 0.999),
            slo("checkout-availability", "service:checkout", 0.995),
            slo("search-latency", "service:search", 0.99, 250),
            slo("review-availability", "service:review", 0.99),
            slo("notification-availability", "service:notification", 0.99),
        ),
        playbooks=books,
    )


def fake_changes(now: float) -> list[Event]:
    return [
        e.ChangeSeen(
            Change("c1", now - 3500, "deploy", "service:pricing", "pricing 1.8.2", "1.8.1", "1.8.2", "deploy-bot")
        ),
        e.ChangeSeen(
            Change(
                "c2",
                now - 410,
                "config",
                "service:payment",
                "smaller pool to save connections",
                "pool 20",
                "pool 5",
                "maria",
            )
        ),
    ]


def fake_ledgers(slos: Sequence[Slo], world: World, now: float) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    found = {}
    for slo in slos:
        if slo.name.startswith("notification"):
            continue
        ledger = new_ledger(now - 30 * 86400)
        past = np.arange(now - 30 * 86400, now - world.series.steps * world.series.step_seconds, 60.0)
        idle = slo.name.startswith("review")
        total = np.zeros(len(past)) if idle else rng.poisson(900, len(past)).astype(float)
        miss = rng.poisson(total * (1 - slo.target) * (0.0 if slo.name.startswith("search") else 0.35)).astype(float)
        ledger = add(ledger, past, total - miss, total, float(past[-1]))
        count = world.series.get(slo.entity, s.REQUESTS)
        wrong = world.series.get(slo.entity, s.ERRORS)
        if count is not None and wrong is not None:
            count, wrong = np.nan_to_num(count), np.nan_to_num(wrong)
            wrong = np.zeros_like(count) if slo.sli == "latency" else wrong
            ledger = add(ledger, world.series.times, count - wrong, count, world.series.end_at)
        found[slo.name] = ledger
    return found


def tell_incident(watch: FakeWatch, mood: str, ident: str = "INC-7") -> None:
    """The demo's story: payment's pool is too small since a config change, and checkout feels it."""
    now = watch.now
    onset = now - (240 if mood != "resolved" else 850)
    seen = onset + 20
    error = Finding(
        "error_shift|service:checkout|", "error_shift", "service:checkout", onset, 0.31, 0.0004, "ratio", 88.0
    )
    burn = Finding(
        "burn_rate|service:gateway|gateway-availability/fast",
        "burn_rate",
        "service:gateway",
        onset,
        148.0,
        0.4,
        "x",
        40.0,
        detail="gateway-availability: 148 x over 1 h, fast tier at 14.4 x",
        slo="gateway-availability",
        pages=True,
    )
    full = Finding("saturation|service:payment|pool", "saturation", "service:payment", onset, 18, 0, "requests", 22.0)
    impact = Impact("service:gateway", 0.15, 1650, onset, "errors", "gateway-availability", 0.031)
    watch.say(seen, e.FindingOpened(error), e.FindingOpened(full), e.FindingOpened(burn))
    watch.say(
        seen,
        e.IncidentOpened(
            ident,
            "Elevated error rates in checkout, affecting 15 % of the requests at gateway",
            onset,
            2,
            "5 % or more of the requests are affected",
            (error.id, burn.id),
            ("service:checkout", "service:gateway"),
            impact,
        ),
    )
    watch.say(seen + 1, e.CauseRanked(ident, _hypotheses(), 0.07, "pool, change and blame agree"))
    action = _action(ident)
    decision: Literal["ask", "run"] = "ask" if mood == "asking" else "run"
    why = "auto is allowed for widen-the-pool (9 of 9 verified)" if decision == "run" else "this playbook asks first"
    watch.say(seen + 2, e.ActionJudged(action, Verdict(decision, "autonomy", why)))
    drain = Action(
        "A-13",
        "k13",
        ident,
        "drain-a-dark-region",
        "drain_region",
        "region:eu",
        blast_radius=16,
        undo_verb="undrain_region",
        hypothesis_kind="region_dark",
        hypothesis_entity="region:eu",
        probability=0.02,
    )
    watch.say(
        seen + 2, e.ActionJudged(drain, Verdict("refuse", "blast_radius", "it touches 16 entities, the limit is 2"))
    )
    watch.say(
        seen + 3,
        e.PageOrdered("P-3", ident, "pk3", "ops-webhook", "SEV2: checkout fails for 15 % of requests", "", 2),
        e.PageEnded("P-3", "delivered"),
    )
    text = (
        "Elevated error rates in payment, affecting 15 % of transactions since "
        "the pool was made smaller; SEV2; likely cause: connection pool exhausted, 18 waiting on 5"
    )
    if mood == "asking":
        watch.say(seen + 4, e.UpdateWritten(ident, f"{text}; midwatch asks: resize the pool of payment to 20?"))
        return
    watch.say(
        seen + 4,
        e.ActionOrdered("A-12"),
        e.UpdateWritten(
            ident, f"{text}; now resizing the pool; expect recovery within 90 s.", {"affected_ratio": 0.15}
        ),
    )
    watch.say(seen + 6, e.ActionEnded("A-12", Outcome("done", "pool of payment is 20, was 5", {"size": 5})))
    if mood != "resolved":
        return
    watch.say(seen + 70, e.ExpectationJudged("A-12", "met", "error share of checkout is 0.1 %, below 1 %, for 15 s"))
    watch.say(seen + 71, e.IncidentCalmed(ident, True), e.IncidentMitigated(ident, "A-12"))
    watch.say(seen + 80, e.IncidentAcknowledged(ident, "anna"))
    watch.say(seen + 131, e.IncidentResolved(ident, "users have not felt it for 60 s", impact))
    watch.say(
        seen + 132,
        e.FindingClosed(full.id),
        e.UpdateWritten(
            ident,
            "Resolved: checkout is back at 0.1 % errors. The pool of payment was too small (5); it is 20 now.",
        ),
        e.PostmortemWritten(ident, _postmortem(ident)),
    )


def _action(ident: str) -> Action:
    return Action(
        "A-12",
        "k12",
        ident,
        "widen-the-pool",
        "resize_pool",
        "service:payment",
        {"size": 20},
        permissions=("pool:write",),
        undo_verb="resize_pool",
        expectation=Expectation((Check("service:checkout", "error_ratio", "<", 0.01, "ratio"),), 90.0, 15.0),
        why="18 requests wait for 5 connections",
        hypothesis_kind="pool_exhausted",
        hypothesis_entity="service:payment",
        probability=0.86,
    )


def _hypotheses() -> tuple[Hypothesis, ...]:
    nan = float("nan")
    return (
        Hypothesis(
            "service:payment",
            "pool_exhausted",
            0.86,
            (
                Evidence(
                    "saturation",
                    "service:payment",
                    "requests wait for a connection; 5 of 5 are in use",
                    6.1,
                    18,
                    0,
                    "requests",
                ),
                Evidence(
                    "blame_errors",
                    "service:payment",
                    "of checkout's failures begin in payment",
                    5.4,
                    0.97,
                    0.02,
                    "ratio",
                ),
                Evidence(
                    "change",
                    "service:payment",
                    "config change by maria 3 min before the onset: pool 20 to 5",
                    3.2,
                    170.0,
                    nan,
                    "seconds",
                ),
                Evidence("logs", "service:payment", "new error: PoolTimeout after <*> ms", 2.8, 412, 0, "count"),
                Evidence(
                    "concentration", "service:payment", "both instances and both regions alike", -0.4, nan, nan, ""
                ),
            ),
            ("service:payment", "service:checkout", "service:gateway"),
            refuted_by="waiters at 0 while checkout still fails",
            next_check="waiters on payment's pool, 15 s after the resize",
        ),
        Hypothesis(
            "database:shop-db",
            "lock_contention",
            0.05,
            (
                Evidence("saturation", "database:shop-db", "sessions blocked by a lock", -2.2, 0, 0, "sessions"),
                Evidence(
                    "blame_time",
                    "database:shop-db",
                    "of payment's extra time is spent in the database",
                    0.6,
                    0.08,
                    0.04,
                    "ratio",
                ),
            ),
            ("database:shop-db", "service:payment", "service:checkout"),
            refuted_by="other callers of shop-db are as fast as ever",
            next_check="blocked sessions in shop-db",
        ),
        Hypothesis("region:eu", "region_dark", 0.02, (), ("region:eu", "service:payment")),
    )


def _postmortem(ident: str) -> str:
    return f"""# {ident}: checkout failed for 15 % of requests

**Summary.** A configuration change made payment's connection pool smaller (20 to 5). Requests waited and timed out.
midwatch found the exhausted pool, widened it, and checkout recovered.

## Impact

| what | value |
|---|---|
| requests affected | 1,650 (15 % at gateway) |
| error budget spent | 3.1 % of the period |
| time to detect | 20 s |
| time to recover | 91 s |

## Contributing factors

- The change was reviewed for cost, not for load: nothing compared the pool with its traffic.
- Nothing refuses a pool smaller than its recent peak.

## What went well

- The page named the cause, with its numbers, before anybody looked.

## Action items

1. Refuse a pool size below the 7-day peak. *Owner: team-shop*
2. Alert on waiters, not on errors alone. *Owner: team-shop*
"""
