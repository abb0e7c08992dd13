"""The physics of a fleet in one moment: what is slow, failing, down or full, and what everybody sees of it.

``Conditions`` are the causes (a fault or a fix changes a few numbers); ``solve`` carries them along the call graph to
means: errors and time flow from callees to callers, traffic from callers to callees. Noise is added by ``telemetry.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from midwatch.gym.simulator.fleet import REGIONS, Fleet
from midwatch.model.world import Floats

MEMORY_LIMIT_BYTES = 256e6
TIMEOUT_MS = 2000.0


@dataclass
class Conditions:
    """Shapes: (services, regions) unless said otherwise. ``failing`` and ``down`` are shares of requests; ``down``
    requests get no answer at all. ``added_ms`` is time spent inside; ``blocked_ms`` is how long an unanswered call waits."""

    fleet: Fleet
    traffic: float = 1.0
    failing: Floats = field(init=False)
    down: Floats = field(init=False)
    added_ms: Floats = field(init=False)
    drained: Floats = field(init=False)
    cpu: Floats = field(init=False)
    throttled: Floats = field(init=False)
    memory: Floats = field(init=False)
    pool_used: Floats = field(init=False)
    pool_limit: Floats = field(init=False)
    pool_waiting: Floats = field(init=False)
    restarts: Floats = field(init=False)
    blocked_ms: Floats = field(init=False)  # (services + stores,)
    store_down: Floats = field(init=False)  # (stores,)
    store_ms: Floats = field(init=False)  # (stores,)
    call_lost: Floats = field(init=False)  # (calls,): share of calls lost on the way
    call_ms: Floats = field(init=False)  # (calls,): time added on the way
    disk: float = 0.35
    sessions_blocked: float = 0.0
    backends: float = 22.0
    cache_hit_ratio: float = 0.9
    queue_consumed: float = 1.0  # share of the incoming messages that are consumed
    cert_expires_seconds: float = 60 * 86400.0
    versions: dict[str, str] = field(default_factory=dict)
    logs: dict[tuple[str, str], float] = field(default_factory=dict)  # (entity key, template) -> lines per second

    def __post_init__(self) -> None:
        fleet, shape = self.fleet, (self.fleet.size, len(REGIONS))
        self.failing = np.repeat(fleet.base_errors[:, None], shape[1], axis=1)
        for name in ("down", "added_ms", "drained", "throttled", "pool_waiting", "restarts"):
            setattr(self, name, np.zeros(shape))
        self.cpu = np.full(shape, 0.18)
        self.memory = np.repeat(fleet.memory_bytes[:, None], shape[1], axis=1)
        self.pool_limit = np.repeat(fleet.pool_limit[:, None], shape[1], axis=1)
        self.pool_used = np.floor(self.pool_limit * 0.3)
        self.blocked_ms = np.full(fleet.size + 3, TIMEOUT_MS)
        self.store_down = np.zeros(3)
        self.store_ms = fleet.store_ms.copy()
        self.call_lost = np.zeros(len(fleet.caller))
        self.call_ms = np.zeros(len(fleet.caller))


@dataclass(frozen=True)
class Expected:
    """Means per second and per request. Per service: ``rate``, ``errors`` (share), ``origin`` (share of requests that
    fail first here), ``mean_ms``, ``self_ms``; per call: ``call_rate``, ``call_errors``, ``unanswered``, ``call_mean_ms``,
    ``server_mean_ms``; of the gateway's requests: ``root_errors`` and ``root_self_ms`` per service and store."""

    rate: Floats
    errors: Floats
    origin: Floats
    mean_ms: Floats
    self_ms: Floats
    share: Floats  # (services, regions) of each service's traffic
    call_rate: Floats
    call_errors: Floats
    unanswered: Floats
    call_mean_ms: Floats
    server_mean_ms: Floats
    root_errors: Floats  # (services + stores,)
    root_self_ms: Floats


def solve(c: Conditions) -> Expected:
    """What the fleet shows under ``c``. One pass from the leaves up (errors, time), one from the gateway down."""
    fleet = c.fleet
    size = fleet.size
    weight = 1.0 - c.drained
    weight[weight.sum(axis=1) <= 0] = 1.0  # a proxy with no backend left uses them all
    share = weight / weight.sum(axis=1, keepdims=True)
    own = (share * c.failing).sum(axis=1).clip(0, 1)
    down = np.concatenate([(share * c.down).sum(axis=1), c.store_down]).clip(0, 1)
    self_ms = fleet.self_ms + (share * c.added_ms).sum(axis=1)

    calls = len(fleet.caller)
    errors, mean_ms, origin = np.zeros(size + 3), np.zeros(size + 3), np.zeros(size)
    mean_ms[size:] = c.store_ms
    lost, call_fail, call_mean = np.zeros(calls), np.zeros(calls), np.zeros(calls)
    callees, per, vital = fleet.callee.tolist(), fleet.per_request, fleet.vital
    for s in range(size - 1, -1, -1):
        well, waited = 1.0 - own[s], 0.0
        for call in fleet.calls_of[s]:
            to = callees[call]
            gone = 1 - (1 - c.call_lost[call]) * (1 - down[to])
            fail = 1 - (1 - gone) * (1 - errors[to])
            lost[call], call_fail[call] = gone, fail
            call_mean[call] = gone * c.blocked_ms[to] + (1 - gone) * (mean_ms[to] + c.call_ms[call])
            well *= 1 - min(1.0, per[call]) * vital[call] * fail
            waited += per[call] * call_mean[call]
        errors[s], origin[s], mean_ms[s] = 1 - well, own[s], self_ms[s] + waited

    visits, blame = np.zeros(size + 3), np.zeros(size + 3)
    root = np.zeros(size + 3)
    visits[0], blame[0] = 1.0, errors[0]
    for s in range(size):
        through = visits[s] * (1 - 0.7 * own[s])
        parts = [(call, min(1.0, per[call]) * vital[call] * call_fail[call]) for call in fleet.calls_of[s]]
        whole = own[s] + sum(p for _, p in parts)
        root[s] += blame[s] * own[s] / whole if whole > 0 else 0.0
        for call, part in parts:
            to = callees[call]
            visits[to] += through * per[call] * (1 - lost[call])
            if whole > 0 and call_fail[call] > 0:
                flow = blame[s] * part / whole
                direct = lost[call] / call_fail[call] if to < size else 1.0
                root[to] += flow * direct
                blame[to] += flow * (1 - direct)
    rate = fleet.requests_per_second * c.traffic
    call_rate = rate * visits[fleet.caller] * per
    unanswered_here = np.zeros(size)
    np.add.at(unanswered_here, fleet.caller, np.minimum(1.0, per) * vital * lost)
    return Expected(
        rate=rate * visits[:size],
        errors=errors[:size],
        origin=np.minimum(errors[:size], origin + unanswered_here),
        mean_ms=mean_ms[:size],
        self_ms=self_ms,
        share=share,
        call_rate=call_rate,
        call_errors=call_fail,
        unanswered=lost,
        call_mean_ms=call_mean,
        server_mean_ms=mean_ms[fleet.callee],
        root_errors=root,
        root_self_ms=np.concatenate([visits[:size] * self_ms, visits[size:] * c.store_ms]),
    )
