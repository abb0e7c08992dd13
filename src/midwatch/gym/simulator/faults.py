"""Every fault kind as a change of the physics, with the fixes that cure it; and the healthy controls.

Who is hit, when and how hard is drawn from the seed. A fault lasts until an accepted fix took effect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from midwatch.gym.simulator.conditions import MEMORY_LIMIT_BYTES, Conditions
from midwatch.gym.simulator.fleet import CACHE, DATABASE, QUEUE, REGIONS, Fleet
from midwatch.model import faults as kinds
from midwatch.model.world import Change

CONTROLS: Final = ("healthy", "good_deploy", "doubled_traffic", "harmless_batch_job")
HARMLESS: Final = frozenset(CONTROLS)


@dataclass(frozen=True)
class Fault:
    """``number`` is the service or store that is hit (``Fleet.keys``), ``region`` 0 or 1, ``call`` the edge of a network
    fault; ``strength`` 0..1. ``accepted`` are the fixes that cure it, as (verb, target)."""

    kind: str
    entity: str
    onset_at: float
    strength: float
    number: int = 0
    region: int = 0
    call: int = 0
    accepted: frozenset[tuple[str, str]] = frozenset()
    changes: tuple[Change, ...] = ()


@dataclass
class Active:
    """A fault as it runs: cured or not."""

    fault: Fault
    cured_at: float | None = None
    seen: dict[str, float] = field(default_factory=dict)

    def acts(self, now: float) -> bool:
        return now >= self.fault.onset_at and (self.cured_at is None or now < self.cured_at)


def _fail(c: Conditions, f: Fault, share: float, template: str) -> None:
    c.failing[f.number] = np.maximum(c.failing[f.number], share)
    c.logs[f.entity, template] = 6.0 * share


def _pool_exhausted(c: Conditions, f: Fault, elapsed: float) -> None:
    share = 0.12 + 0.7 * f.strength
    c.pool_limit[f.number] = np.maximum(2, np.floor(c.pool_limit[f.number] / 3))
    c.pool_used[f.number] = c.pool_limit[f.number]
    c.pool_waiting[f.number] = 4 + np.floor(20 * f.strength)
    c.added_ms[f.number] += 1200 * share
    _fail(c, f, share, "PoolTimeout: no connection within <*> ms")


def _slow_service(c: Conditions, f: Fault, elapsed: float) -> None:
    c.added_ms[f.number] += 300 + 900 * f.strength


def _bad_deploy(c: Conditions, f: Fault, elapsed: float) -> None:
    c.versions[f.entity] = "1.1.0"
    if f.strength < 0.3:
        c.added_ms[f.number] += 500 + 1500 * f.strength
    else:
        _fail(c, f, 0.1 + 0.6 * f.strength, "KeyError: <*> in handler")


def _bad_config(c: Conditions, f: Fault, elapsed: float) -> None:
    _fail(c, f, 0.1 + 0.7 * f.strength, "ConfigError: cannot parse <*>")


def _bad_flag(c: Conditions, f: Fault, elapsed: float) -> None:
    _fail(c, f, 0.1 + 0.5 * f.strength, "NotImplementedError: path <*>")


def _memory_leak(c: Conditions, f: Fault, elapsed: float) -> None:
    period = 90 + 90 * (1 - f.strength)
    cycle, phase = divmod(elapsed, period)
    base = c.memory[f.number]
    c.memory[f.number] = base + (MEMORY_LIMIT_BYTES - base) * phase / period
    c.restarts[f.number] += cycle
    c.added_ms[f.number] += 60 * phase / period
    if cycle and phase < 15:
        c.down[f.number] = 0.9


def _cpu_starved(c: Conditions, f: Fault, elapsed: float) -> None:
    c.cpu[f.number], c.throttled[f.number] = 0.99, 0.5 + 0.4 * f.strength
    c.added_ms[f.number] += 250 + 700 * f.strength


def _crash_loop(c: Conditions, f: Fault, elapsed: float) -> None:
    c.restarts[f.number] += elapsed // 10
    c.down[f.number] = 0.3 + 0.5 * f.strength
    c.blocked_ms[f.number] = 1.0
    c.logs[f.entity, "fatal: cannot start: <*>"] = 0.5


def _bad_instance(c: Conditions, f: Fault, elapsed: float) -> None:
    c.failing[f.number, f.region] = 0.3 + 0.6 * f.strength
    c.logs[f.entity, "IOError: device <*>"] = 2.0


def _region_dark(c: Conditions, f: Fault, elapsed: float) -> None:
    c.down[1:, f.region] = 0.95
    c.failing[0, f.region] = 0.95


def _slow_query(c: Conditions, f: Fault, elapsed: float) -> None:
    c.store_ms[0] += 150 + 500 * f.strength
    c.backends += 30 * f.strength


def _lock_contention(c: Conditions, f: Fault, elapsed: float) -> None:
    c.sessions_blocked = 4 + np.floor(10 * f.strength)
    c.store_ms[0] += 400 + 800 * f.strength
    c.store_down[0] = 0.1 + 0.2 * f.strength


def _cache_down(c: Conditions, f: Fault, elapsed: float) -> None:
    c.store_down[1] = 1.0
    c.blocked_ms[f.number] = 5.0
    c.cache_hit_ratio = 0.0
    c.store_ms[0] *= 4 + 60 * f.strength  # the stampede
    c.backends += 40


def _network_fault(c: Conditions, f: Fault, elapsed: float) -> None:
    c.call_lost[f.call] = 0.1 + 0.5 * f.strength
    c.call_ms[f.call] += 200 + 400 * f.strength
    c.logs[f.entity, "connect: <*> timed out"] = 3.0


def _disk_full(c: Conditions, f: Fault, elapsed: float) -> None:
    c.disk = 1.0
    c.store_down[0] = 0.3 + 0.3 * f.strength
    c.blocked_ms[f.number] = 3.0
    c.logs[f.entity, "could not extend file <*>: No space left on device"] = 3.0


def _cert_expired(c: Conditions, f: Fault, elapsed: float) -> None:
    c.cert_expires_seconds = -elapsed
    _fail(c, f, 0.5 + 0.4 * f.strength, "certificate verify failed: certificate has expired")


def _traffic_surge(c: Conditions, f: Fault, elapsed: float) -> None:
    c.traffic *= 3 + 3 * f.strength
    c.cpu[:] = np.minimum(1.0, c.cpu * 4)
    _fail(c, f, 0.15 + 0.4 * f.strength, "too many requests: queue of <*> is full")


def _queue_stuck(c: Conditions, f: Fault, elapsed: float) -> None:
    c.queue_consumed = 0.0


def _database_down(c: Conditions, f: Fault, elapsed: float) -> None:
    c.store_down[0] = 1.0
    c.blocked_ms[f.number] = 1.0


def _service_down(c: Conditions, f: Fault, elapsed: float) -> None:
    c.down[f.number] = 1.0
    c.blocked_ms[f.number] = 1.0


def _errors_inside(c: Conditions, f: Fault, elapsed: float) -> None:
    _fail(c, f, 0.1 + 0.5 * f.strength, "unexpected: <*>")


def _doubled_traffic(c: Conditions, f: Fault, elapsed: float) -> None:
    c.traffic *= 1 + min(1.0, elapsed / 60)
    c.cpu *= 1.7


def _harmless_batch_job(c: Conditions, f: Fault, elapsed: float) -> None:
    c.cpu[f.number] = 0.97


def _nothing(c: Conditions, f: Fault, elapsed: float) -> None:
    pass


_EFFECTS: Final[dict[str, Callable[[Conditions, Fault, float], None]]] = {
    kinds.POOL_EXHAUSTED: _pool_exhausted,
    kinds.SLOW_SERVICE: _slow_service,
    kinds.BAD_DEPLOY: _bad_deploy,
    kinds.BAD_CONFIG: _bad_config,
    kinds.BAD_FLAG: _bad_flag,
    kinds.MEMORY_LEAK: _memory_leak,
    kinds.CPU_STARVED: _cpu_starved,
    kinds.CRASH_LOOP: _crash_loop,
    kinds.BAD_INSTANCE: _bad_instance,
    kinds.REGION_DARK: _region_dark,
    kinds.SLOW_QUERY: _slow_query,
    kinds.LOCK_CONTENTION: _lock_contention,
    kinds.CACHE_DOWN: _cache_down,
    kinds.NETWORK_FAULT: _network_fault,
    kinds.DISK_FULL: _disk_full,
    kinds.CERT_EXPIRED: _cert_expired,
    kinds.TRAFFIC_SURGE: _traffic_surge,
    kinds.QUEUE_STUCK: _queue_stuck,
    kinds.DATABASE_DOWN: _database_down,
    kinds.SERVICE_DOWN: _service_down,
    kinds.ERRORS_INSIDE: _errors_inside,
    "healthy": _nothing,
    "good_deploy": _nothing,
    "doubled_traffic": _doubled_traffic,
    "harmless_batch_job": _harmless_batch_job,
}
FAULTS: Final = tuple(kind for kind in _EFFECTS if kind not in HARMLESS)


def apply_fault(conditions: Conditions, fault: Fault, now: float) -> None:
    _EFFECTS[fault.kind](conditions, fault, max(0.0, now - fault.onset_at))


def draw_fault(kind: str, fleet: Fleet, rng: np.random.Generator, onset_at: float) -> Fault:
    """A fault of ``kind``: its victim drawn from everything that it can hit."""
    region, strength = int(rng.integers(2)), float(rng.random())
    number, entity, call = int(rng.integers(1, fleet.size)), "", 0
    if kind in (kinds.SLOW_QUERY, kinds.LOCK_CONTENTION, kinds.DISK_FULL, kinds.DATABASE_DOWN):
        entity = DATABASE
    elif kind == kinds.CACHE_DOWN:
        entity = CACHE
    elif kind == kinds.QUEUE_STUCK:
        entity = QUEUE
    elif kind in (kinds.CERT_EXPIRED, kinds.TRAFFIC_SURGE):
        number = 0
    elif kind == kinds.NETWORK_FAULT:
        call = int(rng.choice(np.flatnonzero((fleet.callee < fleet.size) & (fleet.vital > 0))))
        number = int(fleet.callee[call])
    elif kind in (kinds.POOL_EXHAUSTED,):
        number = int(rng.choice([u for u in fleet.users_of(DATABASE) if u > 0]))
    elif kind == kinds.REGION_DARK:
        entity = f"region:{REGIONS[region]}"
    if entity and kind != kinds.REGION_DARK:
        number = fleet.number_of[entity]
    entity = entity or fleet.keys[number]
    fault = Fault(kind, entity, onset_at, strength, number, region, call)
    return replace(fault, accepted=_accepted(fault, fleet), changes=_changes(fault, fleet, rng))


def _accepted(f: Fault, fleet: Fleet) -> frozenset[tuple[str, str]]:
    here = f.entity
    both = {("restart", here), ("scale_out", here)}
    table: dict[str, set[tuple[str, str]]] = {
        kinds.POOL_EXHAUSTED: {("resize_pool", here)},
        kinds.SLOW_SERVICE: both,
        kinds.BAD_DEPLOY: {("rollback_deploy", here)},
        kinds.BAD_CONFIG: {("rollback_config", here)},
        kinds.BAD_FLAG: {("set_flag", here)},
        kinds.MEMORY_LEAK: {("restart", here), ("rollback_deploy", here)},
        kinds.CPU_STARVED: both,
        kinds.CRASH_LOOP: {("rollback_deploy", here), ("rollback_config", here)},
        kinds.BAD_INSTANCE: {
            ("drain_instance", fleet.instance(f.number, f.region) if f.number < fleet.size else ""),
            ("restart", fleet.instance(f.number, f.region) if f.number < fleet.size else ""),
        },
        kinds.REGION_DARK: {("drain_region", here)},
        kinds.SLOW_QUERY: {("rebuild_index", here)},
        kinds.LOCK_CONTENTION: {("kill_session", here)},
        kinds.CACHE_DOWN: {("bypass_cache", fleet.keys[u]) for u in fleet.users_of(CACHE)} | {("restart", here)},
        kinds.NETWORK_FAULT: {("restart", here)},
        kinds.DISK_FULL: {("free_disk", here)},
        kinds.CERT_EXPIRED: {("renew_certificate", here)},
        kinds.TRAFFIC_SURGE: {("shed_load", here), ("scale_out", here)},
        kinds.QUEUE_STUCK: {("restart", fleet.keys[fleet.consumer])},
        kinds.SERVICE_DOWN: {("restart", here)},
    }
    return frozenset(table.get(f.kind, set()))


_CHANGE_KINDS: Final = {
    kinds.BAD_DEPLOY: "deploy",
    kinds.CRASH_LOOP: "deploy",
    kinds.BAD_CONFIG: "config",
    kinds.BAD_FLAG: "flag",
    kinds.MEMORY_LEAK: "deploy",
    "good_deploy": "deploy",
}


def _changes(f: Fault, fleet: Fleet, rng: np.random.Generator) -> tuple[Change, ...]:
    """The change behind the fault, if any, and innocent ones around it: what changed last is not an answer key."""
    found = []
    kind = _CHANGE_KINDS.get(f.kind)
    if kind is not None:
        at = f.onset_at - float(rng.uniform(1, 20))
        found.append(Change(f"chg-{f.kind}", at, kind, f.entity, f"{kind} of {f.entity}", "1.0.0", "1.1.0", "ci"))
    for n in range(int(rng.integers(0, 4))):
        innocent = fleet.keys[int(rng.integers(1, fleet.size))]
        at = f.onset_at + float(rng.uniform(-40, 60))
        found.append(
            Change(f"chg-{n}", at, str(rng.choice(["deploy", "config", "flag"])), innocent, "routine", by="ci")
        )
    return tuple(sorted(found, key=lambda change: change.at))
