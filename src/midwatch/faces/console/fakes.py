"""A watch that is not one: a made-up fleet in a made-up state, for the preview and for tests of faces.

``FakeWatch`` satisfies ``WatchView``. Its state is the fold of real events and its commands go through the real obey stage,
so that buttons do in the preview what they do on watch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from msgspec import structs

from midwatch.core.decide.obey import obey
from midwatch.core.memory import Memory
from midwatch.core.oncall.by_hand import by_hand
from midwatch.core.oncall.rota import rota
from midwatch.core.turn import Turn
from midwatch.faces.console.fake_alerts import fake_alerts
from midwatch.faces.console.fake_history import tell_another, tell_history
from midwatch.faces.console.fake_people import tell_people
from midwatch.faces.console.fake_promises import fake_promises
from midwatch.faces.console.fake_story import fake_changes, fake_ledgers, fake_policy, tell_incident
from midwatch.model import events as e
from midwatch.model import signals as s
from midwatch.model.entity import Edge, Entity, service_key
from midwatch.model.errors import UsageError
from midwatch.model.events import Event, Recorded
from midwatch.model.fold import fold
from midwatch.model.state import State
from midwatch.model.world import Floats, Gap, LatencySet, LogPattern, LogSet, SeriesIndex, SeriesSet, World, empty_world
from midwatch.shell import alert_views
from midwatch.shell.access_settings import AccessSettings
from midwatch.shell.gate import Gate
from midwatch.shell.journal.codec import kind_of

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
MOODS = ("empty", "healthy", "incident", "asking", "resolved", "handsoff", "blind", "degraded", "promises", "alerts")
HOSTILE = '<script>alert("x")</script>'


@dataclass(frozen=True)
class Head:
    seq: int
    hash: str
    at: float


class FakeJournal:
    """Entries in a list."""

    def __init__(self) -> None:
        self.entries: list[Recorded] = []

    def read(self, after_seq: int = 0, without: Sequence[str] = ()) -> Iterator[Recorded]:
        yield from (one for one in self.entries[after_seq:] if kind_of(one.event) not in without)

    def seq_before(self, at: float) -> int:
        return sum(one.at < at for one in self.entries)

    def head(self) -> Head:
        last = self.entries[-1] if self.entries else None
        return Head(last.seq if last else 0, f"{0x5EA1ED:064x}", last.at if last else 0.0)


class FakeWatch:
    """``mood`` is one of ``MOODS``; ``now`` the moment it was made (unix seconds). In the mood ``promises`` there is a
    promise in every state, and as many more as asked that are well."""

    def __init__(
        self,
        mood: str,
        now: float,
        token: str | None = None,
        services: int = 16,
        tokens: Mapping[str, str] | None = None,
        promises: int = 0,
    ) -> None:
        self.now = now
        self.otlp_port = 4318
        self.token = token
        self.tokens = tokens or {}
        self.gate = Gate(AccessSettings())
        self.journal = FakeJournal()
        self.state = State()
        self.memory = Memory()
        self.degraded: list[str] = []
        self.mode = "shadow" if mood == "empty" else "auto"
        self.world = empty_world(now)
        born = now - (40 * 86400.0 if mood in ("promises", "oncall") else 7200.0)
        self.say(born, e.WatchStarted("0.1.0", 1, "a fresh journal"))
        if mood != "empty":
            self.world = fake_world(now, mood, services)
            self.say(born + 1, e.PolicyLoaded(fake_policy(self.mode), ("policy/",)))
            if mood not in ("promises", "oncall"):
                self.say(now - 3600, *fake_changes(now))
            self.memory = Memory(ledgers=fake_ledgers(self.state.slos, self.world, now), started_at=now - 7200)
        if mood == "busy":
            tell_history(self)
        if mood in ("incident", "resolved", "asking", "busy"):
            tell_incident(self, mood)
        if mood == "busy":
            tell_another(self)
        if mood == "promises":
            fake_promises(self, promises)
        if mood == "oncall":
            tell_people(self)
        if mood == "alerts":
            fake_alerts(self)
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

    @property
    def head(self) -> Head:
        return self.journal.head()

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

    def senders(self) -> list[dict[str, Any]]:
        if not self.state.alerts:
            return []
        dropped = {("prometheus", "could not be read"): 2, ("", "refused with 401"): 5}
        return alert_views.senders({"prometheus": 412, "pagerduty": 17}, dropped)

    async def command(self, given: e.CommandGiven) -> Recorded:
        if given.verb not in e.CommandVerb.__args__:  # type: ignore[attr-defined]
            raise UsageError(f"there is no command {given.verb!r}")
        said = structs.replace(given, by=given.credential or given.by)
        at = max(self.state.at, self.now)
        self.say(at, said)
        recorded = self.journal.entries[-1]
        turn = rota(by_hand(obey(Turn(self.state, self.memory, self.world, at, inputs=(said,)))))
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
    bad = {"incident": 48, "asking": 48, "busy": 48, "resolved": 170}.get(mood, 0)  # steps since the onset
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
        key = service_key(name)
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
            edge = Edge(key, service_key(callee))
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
        logs=_logs(ill),
        entities=entities,
        edges=edges,
        entries=("service:gateway",) if services <= 16 else ("service:svc-0",),
        gaps=gaps,
    )


def _logs(ill: Floats) -> LogSet:
    pattern = LogPattern("p1", "service:payment", 17, "PoolTimeout after <*> ms")
    usual = LogPattern("p2", "service:payment", 13, "retrying call to fraud, attempt <*>")
    return LogSet((pattern, usual), np.vstack([np.floor(9 * ill), np.ones(STEPS)]))


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
