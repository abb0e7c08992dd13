"""Hand-made Worlds, states and a small driver, so that scenarios read as timelines.

``Scene`` runs stages under a clock of its own and plays the shell: it carries out what is ordered by the script given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from msgspec.structs import replace

from midwatch.core.memory import Memory
from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.actions import Action, Outcome, ParameterRule, ParameterSpec, Playbook, VerbSpec
from midwatch.model.entity import Entity
from midwatch.model.events import (
    ActionEnded,
    ActionOrdered,
    CauseRanked,
    CommandGiven,
    Event,
    FindingClosed,
    FindingOpened,
    IncidentOpened,
    PageOrdered,
    PolicyLoaded,
    Recorded,
)
from midwatch.model.findings import Finding, Hypothesis, Impact
from midwatch.model.fold import fold
from midwatch.model.policy import GuardLimits, PagePolicy, Policy
from midwatch.model.state import State
from midwatch.model.world import LatencySet, LogSet, SeriesIndex, SeriesSet, World

START = 1_700_000_000.0
STEP = 5.0
STEPS = 60
PAYMENT = "service:payment"
CHECKOUT = "service:checkout"
GATEWAY = "service:gateway"


def world(
    now: float = START,
    series: Mapping[tuple[str, str], float | Sequence[float]] | None = None,
    instances: Sequence[str] = ("payment-eu-1", "payment-us-1"),
    entities: Sequence[Entity] = (),
) -> World:
    """A World that ends at ``now``: each series is a constant, or its last values (the steps before repeat the first).
    Instances are up unless ``series`` says otherwise."""
    pairs = {**{(f"instance:{n}", signals.UP): 1.0 for n in instances}, **(series if series is not None else healthy())}
    rows = np.empty((len(pairs), STEPS))
    for row, given in enumerate(pairs.values()):
        many = [float(given)] if isinstance(given, int | float) else [float(v) for v in given]
        rows[row] = ([many[0]] * STEPS + many)[-STEPS:]
    known = [Entity("service", n) for n in ("payment", "checkout", "gateway")]
    known += [Entity("instance", n, {"service": n.split("-")[0], "region": n.split("-")[1]}) for n in instances]
    known += list(entities)
    index = SeriesIndex(tuple(s for s, _ in pairs), tuple(s for _, s in pairs))
    return World(
        now=now,
        series=SeriesSet(index, rows, now - STEPS * STEP, STEP),
        latency=LatencySet((), np.empty((0, STEPS, len(signals.LATENCY_BOUNDS_MS) + 1))),
        logs=LogSet((), np.empty((0, STEPS))),
        entities={e.key: e for e in known},
        entries=(GATEWAY,),
    )


def healthy() -> dict[tuple[str, str], float]:
    return traffic(0.0)


def traffic(error_ratio: float, requests: float = 100.0) -> dict[tuple[str, str], float]:
    """Gateway and payment with so many requests per step and such a share of errors; payment's pool is 5."""
    return {
        (GATEWAY, signals.REQUESTS): requests,
        (GATEWAY, signals.ERRORS): requests * error_ratio,
        (PAYMENT, signals.REQUESTS): requests,
        (PAYMENT, signals.ERRORS): requests * error_ratio,
        (PAYMENT, signals.POOL_LIMIT): 5.0,
    }


def blind() -> dict[tuple[str, str], float]:
    return {key: float("nan") for key in healthy()}


RESIZE = VerbSpec(
    "resize_pool",
    "set a pool's size",
    "reversible",
    ("platform.pool",),
    ("service",),
    {"size": ParameterSpec("int", minimum=1, maximum=100)},
    undo="resize_pool",
)
RESTART = VerbSpec("restart", "restart", "transient", ("platform.restart",), ("service", "instance"), blast_radius=2)
ROLLBACK = VerbSpec("rollback_deploy", "roll back", "reversible", ("platform.deploy",), ("service",), undo="deploy")
DEPLOY = VerbSpec(
    "deploy",
    "deploy",
    "reversible",
    ("platform.deploy",),
    ("service",),
    {"version": ParameterSpec("str")},
    undo="rollback_deploy",
    promoting=True,
)
DRAIN = VerbSpec("drain_instance", "drain", "reversible", ("proxy.drain",), ("instance",), undo="undrain_instance")
UNDRAIN = VerbSpec("undrain_instance", "undrain", "reversible", ("proxy.drain",), ("instance",), undo="drain_instance")
DROP = VerbSpec("drop_table", "drop", "irreversible", ("platform.pool",), ("service",))
VERBS = {v.verb: v for v in (RESIZE, RESTART, ROLLBACK, DEPLOY, DRAIN, UNDRAIN, DROP)}

BOOKS = (
    Playbook(
        "resize-pool",
        ("pool_exhausted",),
        "resize_pool",
        parameters={"size": ParameterRule(signal="pool_limit", times=4, maximum=60)},
        autonomy="auto",
        priority=10,
        description="resize the pool",
    ),
    Playbook("restart", ("pool_exhausted", "memory_leak"), "restart", autonomy="auto", priority=50),
    Playbook("rollback", ("bad_deploy",), "rollback_deploy", autonomy="auto", priority=10),
    Playbook("drain", ("bad_instance",), "drain_instance", "instance", ("instance",), autonomy="auto"),
)
LIMITS = GuardLimits(permissions=("platform.*", "proxy.drain"))


def policy(**changes: object) -> Policy:
    base = Policy(
        mode="auto",
        settle_seconds=0,
        playbooks=BOOKS,
        verbs=VERBS,
        limits=LIMITS,
        paging=PagePolicy(channels=("phone",)),
    )
    return replace(base, **changes)


def pool_exhausted(probability: float = 0.8) -> Hypothesis:
    return Hypothesis(PAYMENT, "pool_exhausted", probability)


def finding(entity: str = GATEWAY, value: float = 0.15, kind: str = "error_shift", at: float = START) -> Finding:
    return Finding(f"{kind}|{entity}|", kind, entity, at, value, 0.0, "ratio", 20.0)


def act(state: State, at: float, *events: Event) -> State:
    for event in events:
        state = fold(state, Recorded(state.seq + 1, at, event))
    return state


def broken(
    at: float = START,
    hypotheses: tuple[Hypothesis, ...] = (pool_exhausted(),),
    severity: int = 2,
    using: Policy | None = None,
) -> State:
    """A state with one open incident at the gateway, diagnosed."""
    found = finding(at=at)
    impact = Impact(GATEWAY, 0.15, 150, at)
    return act(
        State(),
        at,
        PolicyLoaded(using or policy()),
        FindingOpened(found),
        IncidentOpened("INC-1", "elevated errors", at, severity, "because", (found.id,), (GATEWAY,), impact),
        CauseRanked("INC-1", hypotheses, 1 - sum(h.probability for h in hypotheses)),
    )


def turn(state: State, seen: World | None = None, now: float = START + 20, memory: Memory | None = None) -> Turn:
    """A turn with a working set that is long warm."""
    return Turn(state, memory or Memory(started_at=now - 1000), seen or world(now, traffic(0.15)), now)


Stage = Callable[[Turn], Turn]
Hand = Callable[[Action], Outcome]


def works(action: Action) -> Outcome:
    return Outcome("done", "ok", {"size": 5} if action.verb == "resize_pool" else {})


@dataclass
class Scene:
    """A clock, a state, and stages: ``at(10, traffic(0.15))`` sets the World from then on, ``run(until=60)`` ticks."""

    stages: tuple[Stage, ...]
    state: State = field(default_factory=broken)
    hand: Hand = works
    now: float = START
    tick_seconds: float = 5.0
    memory: Memory = field(default_factory=lambda: Memory(started_at=START - 1000))
    log: list[tuple[float, Event]] = field(default_factory=list)
    seen: list[tuple[float, Mapping[tuple[str, str], float]]] = field(default_factory=lambda: [(0.0, traffic(0.15))])
    inbox: list[CommandGiven] = field(default_factory=list)

    def at(self, second: float, series: Mapping[tuple[str, str], float]) -> Scene:
        self.seen.append((START + second, series))
        self.seen.sort(key=lambda pair: pair[0])
        return self

    def say(
        self, verb: str, target: str = "", by: str = "ana", value: str = "", note: str = "", credential: str = ""
    ) -> Scene:
        self.inbox.append(CommandGiven(verb, by, target, value, note, credential=credential))
        return self

    def record(self, event: Event) -> None:
        self.state = fold(self.state, Recorded(self.state.seq + 1, self.now, event))
        self.log.append((self.now - START, event))

    def world(self) -> World:
        """Every step shows what was set at its time."""
        keys = {key for _, series in self.seen for key in series}
        times = [self.now - (STEPS - i) * STEP for i in range(STEPS)]
        rows = {key: [self._value(key, t) for t in times] for key in sorted(keys)}
        return world(self.now, rows)

    def _value(self, key: tuple[str, str], at: float) -> float:
        values = [series.get(key, float("nan")) for since, series in self.seen if since <= at]
        return values[-1] if values else float("nan")

    def tick(self) -> Scene:
        inputs: tuple[Event, ...] = tuple(self.inbox)
        for said in self.inbox:
            self.record(said)
        self.inbox = []
        done = Turn(self.state, self.memory, self.world(), self.now, inputs)
        for stage in self.stages:
            done = stage(done)
        self.memory = done.memory
        for event in done.events:
            self.record(event)
        for event in done.events:
            if isinstance(event, ActionOrdered):
                self.record(ActionEnded(event.action_id, self.hand(self.state.actions[event.action_id].action)))
        self.now += self.tick_seconds
        return self

    def run(self, until: float) -> Scene:
        while self.now < START + until:
            self.tick()
        return self

    def heal(self) -> Scene:
        """The harmful findings close."""
        for ident in list(self.state.findings):
            self.record(FindingClosed(ident))
        return self

    def told(self, kind: type) -> list[tuple[float, Event]]:
        return [(at, event) for at, event in self.log if isinstance(event, kind)]

    def pages(self) -> list[tuple[float, PageOrdered]]:
        return [(at, event) for at, event in self.log if isinstance(event, PageOrdered)]
