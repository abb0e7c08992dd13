"""A watch that is not one: a made-up fleet in a made-up state, for the preview and for tests of faces.

``FakeWatch`` satisfies ``WatchView``. Its state is the fold of real events and its commands go through the real obey stage,
so that buttons do in the preview what they do on watch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from midwatch.core.decide.obey import obey
from midwatch.core.memory import Memory
from midwatch.core.slo.ledger import add, new_ledger
from midwatch.core.turn import Turn
from midwatch.model import events as e
from midwatch.model import signals as s
from midwatch.model.actions import Action, Check, Expectation, Outcome, Playbook, Verdict
from midwatch.model.entity import Edge, Entity
from midwatch.model.errors import UsageError
from midwatch.model.events import Event, Recorded
from midwatch.model.findings import Evidence, Finding, Hypothesis, Impact
from midwatch.model.policy import Policy
from midwatch.model.slo import Slo
from midwatch.model.state import State, fold
from midwatch.model.world import Change, Floats, Gap, LatencySet, LogSet, SeriesIndex, SeriesSet, World, empty_world

CALLS: dict[str, tuple[str, ...]] = {
    "gateway": ("storefront", "search", "cart", "checkout", "user"),
    "storefront": ("catalog", "recommend", "review"),
    "search": ("catalog", "pricing"),
    "catalog": ("database:shop-db", "cache:valkey"),
    "recommend": ("catalog", "cache:valkey"),
    "pricing": ("cache:valkey",),
    "cart": ("pricing", "cache:valkey"),
    "checkout": ("cart", "payment", "order", "inventory"),
    "payment": ("fraud", "database:shop-db"),
    "fraud": ("user",),
    "order": ("database:shop-db", "queue:orders"),
    "inventory": ("database:shop-db",),
    "queue:orders": ("shipping", "notification"),
    "shipping": ("database:shop-db",),
    "user": ("database:shop-db",),
    "review": ("database:shop-db",),
}
STEPS, STEP = 240, 5.0
MOODS = ("empty", "healthy", "incident", "asking", "resolved", "handsoff", "blind", "degraded")
HOSTILE = '<script>alert("x")</script>'


def _key(name: str) -> str:
    return name if ":" in name else f"service:{name}"


@dataclass(frozen=True)
class Head:
    seq: int
    hash: str
    at: float


class FakeJournal:
    """Entries in a list."""

    def __init__(self) -> None:
        self.entries: list[Recorded] = []

    def read(self, after_seq: int = 0) -> Iterator[Recorded]:
        yield from self.entries[after_seq:]

    def head(self) -> Head:
        last = self.entries[-1] if self.entries else None
        return Head(last.seq if last else 0, f"{0x5EA1ED:064x}", last.at if last else 0.0)


class FakeWatch:
    """``mood`` is one of ``MOODS``; ``now`` the moment it was made (unix seconds)."""

    def __init__(self, mood: str, now: float, token: str | None = None, services: int = 16) -> None:
        self.now = now
        self.token = token
        self.journal = FakeJournal()
        self.state = State()
        self.memory = Memory()
        self.degraded: list[str] = []
        self.mode = "shadow" if mood == "empty" else "auto"
        self.world = empty_world(now)
        self.say(now - 7200, e.WatchStarted("0.1.0", 1, "a fresh journal"))
        if mood != "empty":
            self.world = fake_world(now, mood, services)
            self.say(now - 7199, e.PolicyLoaded(_policy(self.mode), ("policy/",)))
            self.say(now - 3600, *_changes(now))
            self.memory = Memory(ledgers=_ledgers(self.state.slos, self.world, now), started_at=now - 7200)
        if mood in ("incident", "resolved", "asking"):
            tell_incident(self, mood)
        if mood == "handsoff":
            self.say(now - 600, e.HandsOffChanged(True, "anna", "page"))
        if mood == "degraded":
            self.degraded = ["The telemetry store does not answer; paging goes on without it."]

    @property
    def hands_off(self) -> bool:
        return self.state.hands_off

    def say(self, at: float, *events: Event) -> None:
        """Journal and fold."""
        for event in events:
            recorded = Recorded(len(self.journal.entries) + 1, max(at, self.state.at), event)
            self.journal.entries.append(recorded)
            self.state = fold(self.state, recorded)

    def health(self) -> dict[str, Any]:
        return {
            "degraded": self.degraded,
            "version": "0.1.0",
            "up since": "2 h",
            "tick (median)": "38 ms",
            "store": {"healthy": not self.degraded, "rows": 4_812_331, "disk": "112 MB", "child restarts": 0},
            "ingest": {"spans": 1_204_551, "log lines": 88_123, "points": 3_519_657, "rejected": 12},
            "effects": {"waiting": 0, "in doubt": 0},
            "dead-man heartbeat": {"last sent": "21 s ago", "ok": True},
        }

    async def command(
        self, verb: str, by: str, target: str = "", value: str = "", note: str = "", via: str = "page"
    ) -> Recorded:
        if verb not in e.CommandVerb.__args__:  # type: ignore[attr-defined]
            raise UsageError(f"there is no command {verb!r}")
        said = e.CommandGiven(verb, by, target, value, note, via)
        at = max(self.state.at, self.now)
        self.say(at, said)
        recorded = self.journal.entries[-1]
        turn = obey(Turn(self.state, self.memory, self.world, at, inputs=(said,)))
        self.say(at, *turn.events)
        return recorded

    def pass_time(self, seconds: float) -> None:
        """The World moves on by itself, as it does between ticks."""
        self.now += seconds
        grid = self.world.series
        self.world = replace(self.world, now=self.now, series=replace(grid, start_at=grid.start_at + seconds))


def fake_world(now: float, mood: str, services: int = 16) -> World:
    """A World of 16 services (or as many as asked), in the mood's trouble."""
    rng = np.random.default_rng(7)
    calls = CALLS if services <= 16 else _wide_calls(services)
    rate = _rates(calls)
    start = np.floor(now / STEP) * STEP - STEPS * STEP
    wave = 1 + 0.12 * np.sin(np.arange(STEPS) / 38)
    bad = {"incident": 48, "asking": 48, "resolved": 170}.get(mood, 0)  # steps since the onset
    over = 110 if mood == "resolved" else 0
    ill = np.zeros(STEPS)
    if bad:
        ill[STEPS - bad : STEPS - over or None] = 1.0
    subjects: list[str] = []
    names: list[str] = []
    rows: list[Floats] = []

    def put(subject: str, signal: str, values: Floats) -> None:
        subjects.append(subject)
        names.append(signal)
        rows.append(np.asarray(values, dtype=np.float64))

    shares = {"payment": 0.46, "checkout": 0.31, "gateway": 0.15}
    entities: dict[str, Entity] = {}
    edges: dict[str, Edge] = {}
    for name in dict.fromkeys([*calls, *(c for many in calls.values() for c in many)]):
        key = _key(name)
        kind, plain = key.split(":", 1)
        entities[key] = Entity(kind, plain)
        count = rng.poisson(np.maximum(rate[name] * STEP * wave, 0)).astype(float)
        if name in ("order", "inventory") and bad:
            count = np.where(ill > 0, np.floor(count * 0.55), count)
        share = 0.0004 + shares.get(name, 0.0) * ill
        errors = rng.binomial(count.astype(int), np.minimum(share, 1)).astype(float)
        slow = 1 + (40.0 if name in ("payment", "checkout") else 6.0 if name == "gateway" else 0.0) * ill
        each = (6 + (sum(map(ord, plain)) % 23)) * slow
        if kind == "service":
            put(key, s.REQUESTS, count)
            put(key, s.ERRORS, errors)
            put(key, s.TIME_MS, count * each * rng.normal(1, 0.06, STEPS))
            put(key, s.POOL_LIMIT, np.full(STEPS, 5.0))
            put(key, s.POOL_WAITING, np.where(ill > 0, 18.0, 0.0) if name == "payment" else np.zeros(STEPS))
            for region in ("eu", "us"):
                instance = f"{plain}-{region}-1"
                entities[f"instance:{instance}"] = Entity("instance", instance, {"service": plain, "region": region})
                put(f"instance:{instance}", s.REQUESTS, np.floor(count / 2))
                put(f"instance:{instance}", s.ERRORS, np.floor(errors / 2))
                put(f"instance:{instance}", s.UP, np.ones(STEPS))
        elif kind == "database":
            put(key, s.DISK_RATIO, np.full(STEPS, 0.41))
        elif kind == "cache":
            put(key, s.CACHE_HITS, count * 0.93)
            put(key, s.CACHE_MISSES, count * 0.07)
        elif kind == "queue":
            put(key, s.QUEUE_DEPTH, rng.integers(0, 6, STEPS).astype(float))
        for callee in calls.get(name, ()):
            edge = Edge(key, _key(callee))
            edges[edge.key] = edge
            part = np.floor(count * min(1.0, rate[callee] / max(rate[name], 1e-9)))
            failed = rng.binomial(part.astype(int), np.minimum(0.0003 + shares.get(callee, 0.0) * ill, 1)).astype(float)
            put(edge.key, s.CALLS, part)
            put(edge.key, s.CALL_ERRORS, failed)
            put(edge.key, s.CALL_MS, part * 12.0)
    if mood != "empty":
        entities["service:notification"] = Entity("service", "notification")
        for row, (subject, signal) in enumerate(zip(subjects, names, strict=True)):
            if subject == "service:review" and signal in (s.REQUESTS, s.ERRORS, s.TIME_MS):
                rows[row] = np.zeros(STEPS)  # asked by nobody: no traffic
    gaps: tuple[Gap, ...] = ()
    if mood in ("incident", "degraded", "blind"):
        gaps = (Gap("service:notification", now - 420, "its exporter stopped sending metrics and spans"),)
    values = np.vstack(rows)
    if mood == "blind":
        values[:, -60:] = np.nan
    grid = SeriesSet(SeriesIndex(tuple(subjects), tuple(names)), values, float(start), STEP)
    return World(
        now=now,
        series=grid,
        latency=LatencySet((), np.empty((0, STEPS, len(s.LATENCY_BOUNDS_MS) + 1))),
        logs=LogSet((), np.empty((0, STEPS))),
        entities=entities,
        edges=edges,
        entries=("service:gateway",) if services <= 16 else ("service:svc-0",),
        gaps=gaps,
    )


def _rates(calls: dict[str, tuple[str, ...]]) -> dict[str, float]:
    first = next(iter(calls))
    rate = dict.fromkeys([*calls, *(c for many in calls.values() for c in many)], 0.0)
    rate[first] = 46.0
    for caller, callees in calls.items():  # callers come before callees in CALLS, nearly always
        for n, callee in enumerate(callees):
            rate[callee] += max(0.8, rate[caller] * (0.42 - 0.07 * n))
    return rate


def _wide_calls(services: int) -> dict[str, tuple[str, ...]]:
    return {
        f"svc-{n}": tuple(f"svc-{m}" for m in (2 * n + 1, 2 * n + 2) if m < services) or ("database:shop-db",)
        for n in range(services)
    }


def _policy(mode: str) -> Policy:
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


def _changes(now: float) -> list[Event]:
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


def _ledgers(slos: Sequence[Slo], world: World, now: float) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    found = {}
    for slo in slos:
        if slo.name.startswith("notification"):
            continue
        ledger = new_ledger(now - 30 * 86400)
        past = np.arange(now - 30 * 86400, now - STEPS * STEP, 60.0)
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
        "burn_rate|service:gateway|",
        "burn_rate",
        "service:gateway",
        onset,
        148.0,
        0.4,
        "x",
        40.0,
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
                    "change", "service:payment", "config change by maria 2 min before the onset: pool 20 to 5", 3.2
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
