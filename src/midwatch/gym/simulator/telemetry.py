"""Telemetry of the simulated fleet, written straight into matrices: what the World builder would have made of it.

One buffer per run holds every step; a World is a read-only view of its newest part, so it costs nothing to hand out.
Counts are drawn so that they add up: instances to services, errors within requests, buckets to requests.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from midwatch.gym.simulator.conditions import MEMORY_LIMIT_BYTES, Conditions, Expected, solve
from midwatch.gym.simulator.fleet import CACHE, DATABASE, QUEUE, REGIONS, Fleet
from midwatch.model import signals as sig
from midwatch.model.world import Change, Floats, Gap, LatencySet, LogPattern, LogSet, SeriesIndex, SeriesSet, World

_BUCKETS: Final = len(sig.LATENCY_BOUNDS_MS) + 1
_LOG_BOUNDS: Final = np.log(np.asarray(sig.LATENCY_BOUNDS_MS))
_SIGMA: Final = 0.6
_MAX_PATTERNS: Final = 16
_SERVICE: Final = (sig.REQUESTS, sig.ERRORS, sig.TIME_MS, sig.SELF_MS, sig.ORIGIN_ERRORS)
_CALL: Final = (sig.CALLS, sig.CALL_ERRORS, sig.CALL_MS, sig.SERVER_MS, sig.ANSWERED, sig.UNANSWERED_ERRORS)
_PROCESS: Final = (
    sig.POOL_USED, sig.POOL_LIMIT, sig.POOL_WAITING, sig.CPU_RATIO, sig.CPU_THROTTLED_RATIO, sig.MEMORY_BYTES,
    sig.MEMORY_LIMIT_BYTES, sig.FD_USED, sig.FD_LIMIT, sig.RESTARTS, sig.UP,
)  # fmt: skip
_STORE: Final = (
    (DATABASE, sig.POOL_USED), (DATABASE, sig.POOL_LIMIT), (DATABASE, sig.SESSIONS_BLOCKED), (DATABASE, sig.DISK_RATIO),
    (DATABASE, sig.UP), (CACHE, sig.CACHE_HITS), (CACHE, sig.CACHE_MISSES), (CACHE, sig.UP), (QUEUE, sig.QUEUE_DEPTH),
    (QUEUE, sig.QUEUE_LAG_SECONDS), (QUEUE, sig.CONSUMED),
)  # fmt: skip


@dataclass(frozen=True)
class Blackout:
    """Nothing of ``subjects`` (entity keys; empty: nothing at all) is reported between two moments."""

    start_at: float
    end_at: float
    subjects: frozenset[str]


class Telemetry:
    """The buffer. ``advance`` writes steps, ``skip`` leaves some empty (the clock jumped), ``world`` looks at it."""

    def __init__(self, fleet: Fleet, rng: np.random.Generator, start_at: float, capacity: int, step_seconds: float):
        self.fleet, self.rng, self.start_at, self.step_seconds = fleet, rng, start_at, step_seconds
        self.index = _index(fleet)
        self.steps = 0
        self._values = np.full((len(self.index), capacity), np.nan)
        self._buckets = np.zeros((fleet.size, capacity, _BUCKETS))
        self._lines = np.zeros((_MAX_PATTERNS, capacity))
        self._patterns: list[LogPattern] = []
        self._pattern_of: dict[tuple[str, str], int] = {}
        self._queue_depth, self._queue_lag = 0.0, 0.0
        self._entities = fleet.entities
        self._blacked: dict[frozenset[str], npt.NDArray[np.bool_]] = {}
        self.errors_at_gateway = np.zeros(capacity)  # the truth, blackout or not: share of failing requests

    @property
    def now(self) -> float:
        return self.start_at + self.steps * self.step_seconds

    def skip(self, steps: int) -> None:
        self.steps += steps

    def advance(self, conditions: Conditions, steps: int = 1, blackouts: Iterable[Blackout] = ()) -> None:
        """Write ``steps`` more steps under constant ``conditions``."""
        means = solve(conditions)
        at = slice(self.steps, self.steps + steps)
        rows = [*self._services(means, conditions, steps), *self._calls(means, steps), *self._roots(means, steps)]
        rows += [self._processes(conditions, steps), self._stores(means, conditions, steps)]
        values = np.concatenate(rows)
        self._buckets[:, at] = self._latencies(values[: self.fleet.size], means)
        self.errors_at_gateway[at] = means.errors[0]
        self._log(conditions, at, steps)
        for blackout in blackouts:
            if blackout.start_at <= self.now < blackout.end_at:
                dark = self._dark_rows(blackout)
                values[dark] = np.nan
                self._buckets[dark[: self.fleet.size], at] = 0
                if not blackout.subjects:
                    self._lines[:, at] = 0
        self._values[:, at] = values
        self.steps += steps

    def world(self, now: float, window: int, changes: tuple[Change, ...] = (), gaps: tuple[Gap, ...] = ()) -> World:
        """What was seen in the newest ``window`` steps."""
        first = max(0, self.steps - window)
        at = slice(first, self.steps)
        start_at = self.start_at + first * self.step_seconds
        values, buckets, lines = self._values[:, at], self._buckets[:, at], self._lines[: len(self._patterns), at]
        for view in (values, buckets, lines):
            view.setflags(write=False)
        return World(
            now=now,
            series=SeriesSet(self.index, values, start_at, self.step_seconds),
            latency=LatencySet(self.fleet.keys[: self.fleet.size], buckets),
            logs=LogSet(tuple(self._patterns), lines),
            entities=self._entities,
            edges=self.fleet.edges,
            entries=("service:gateway",),
            changes=changes,
            gaps=gaps,
        )

    def fed(self, since_step: int = 0) -> SeriesSet:
        """Every step that was ever written, for the checkers."""
        return SeriesSet(self.index, self._values[:, since_step : self.steps], self.start_at, self.step_seconds)

    def relabel(self, versions: dict[str, str]) -> None:
        """Entities carry the version that runs now (a new mapping: older Worlds keep theirs)."""
        found = dict(self._entities)
        for key, entity in self.fleet.entities.items():
            service = key if entity.kind == "service" else f"service:{entity.labels.get('service', '')}"
            version = versions.get(service)
            if version is not None:
                found[key] = type(entity)(entity.kind, entity.name, {**entity.labels, "version": version})
        self._entities = found

    def _services(self, m: Expected, c: Conditions, steps: int) -> list[Floats]:
        rng, shape = self.rng, (*m.share.shape, steps)
        mean = np.broadcast_to((m.rate[:, None] * m.share * self.step_seconds)[:, :, None], shape)
        requests = rng.poisson(mean).astype(float)
        # An instance fails at the rate of its service, shifted by what is particular to it.
        particular = c.failing - (m.share * c.failing).sum(axis=1, keepdims=True)
        ratio = (m.errors[:, None] + particular).clip(0, 1)[:, :, None]
        errors = rng.binomial(requests.astype(np.int64), np.broadcast_to(ratio, shape)).astype(float)
        share = np.divide(m.origin, m.errors, out=np.zeros_like(m.origin), where=m.errors > 0).clip(0, 1)
        origin = rng.binomial(errors.astype(np.int64), np.broadcast_to(share[:, None, None], shape)).astype(float)
        jitter = rng.lognormal(0, 0.05, shape)
        time_ms = requests * m.mean_ms[:, None, None] * jitter
        self_ms = np.minimum(time_ms, requests * m.self_ms[:, None, None] * jitter)
        per_instance = [requests, errors, time_ms, self_ms, origin]
        flat = [block.reshape(-1, steps) for block in per_instance]
        return [block.sum(axis=1) for block in per_instance] + flat

    def _calls(self, m: Expected, steps: int) -> list[Floats]:
        rng, size = self.rng, (len(m.call_rate), steps)
        calls = rng.poisson(np.broadcast_to((m.call_rate * self.step_seconds)[:, None], size)).astype(float)
        whole = calls.astype(np.int64)
        errors = rng.binomial(whole, np.broadcast_to(m.call_errors[:, None].clip(0, 1), size)).astype(float)
        gone = np.divide(m.unanswered, m.call_errors, out=np.zeros_like(m.unanswered), where=m.call_errors > 0)
        unanswered = rng.binomial(errors.astype(np.int64), np.broadcast_to(gone.clip(0, 1)[:, None], size)).astype(
            float
        )
        jitter = rng.lognormal(0, 0.05, size)
        to_service = (self.fleet.callee < self.fleet.size)[:, None]
        answered = np.where(to_service, calls - unanswered, 0.0)
        server_ms = answered * m.server_mean_ms[:, None] * jitter
        call_ms = np.maximum(server_ms, calls * m.call_mean_ms[:, None] * jitter)
        return [calls, errors, call_ms, server_ms, answered, unanswered]

    def _roots(self, m: Expected, steps: int) -> list[Floats]:
        rate = m.rate[0] * self.step_seconds
        errors = self.rng.poisson(np.repeat((m.root_errors * rate)[:, None], steps, axis=1)).astype(float)
        time = (m.root_self_ms * rate)[:, None] * self.rng.lognormal(0, 0.05, (len(m.root_self_ms), steps))
        return [errors, time]

    def _processes(self, c: Conditions, steps: int) -> Floats:
        up = np.where(c.down >= 0.99, np.nan, 1.0)
        blocks = [
            c.pool_used, c.pool_limit, c.pool_waiting, c.cpu, c.throttled, c.memory,
            np.full_like(c.memory, MEMORY_LIMIT_BYTES), np.full_like(c.memory, 60.0), np.full_like(c.memory, 1024.0),
            np.zeros_like(c.memory), up,
        ]  # fmt: skip
        values = np.repeat(np.stack([b.reshape(-1) for b in blocks])[:, :, None], steps, axis=2)
        values[3] = (values[3] * self.rng.lognormal(0, 0.08, values[3].shape)).clip(0, 1)
        values[5] *= self.rng.lognormal(0, 0.01, values[5].shape)
        started = c.restarts.reshape(-1)
        values[9, :, 0] = np.maximum(0.0, started - getattr(self, "_started", started))
        self._started = started.copy()
        values[:, np.isnan(up.reshape(-1))] = np.nan  # a dead process reports nothing
        return values.reshape(-1, steps)

    def _stores(self, m: Expected, c: Conditions, steps: int) -> Floats:
        rng, seconds = self.rng, self.step_seconds
        rate_of = dict(zip(self.fleet.callee.tolist(), m.call_rate.tolist(), strict=True))
        lookups = sum(r for to, r in zip(self.fleet.callee, m.call_rate, strict=True) if to == self.fleet.size + 1)
        incoming = rng.poisson(rate_of.get(self.fleet.size + 2, 0.0) * seconds, steps).astype(float)
        out = np.full((len(_STORE), steps), np.nan)
        if c.store_down[0] < 1:
            out[:4] = np.array([c.backends, 100.0, c.sessions_blocked, c.disk])[:, None]
            out[4] = 1.0
        else:
            out[4] = 0.0
        hits = rng.poisson(lookups * seconds * c.cache_hit_ratio, steps)
        misses = rng.poisson(lookups * seconds * (1 - c.cache_hit_ratio), steps)
        out[5:8] = (hits, misses, np.ones(steps)) if c.store_down[1] < 1 else np.array([[np.nan], [np.nan], [0.0]])
        for step in range(steps):
            before = self._queue_depth
            taken = c.queue_consumed * (before + incoming[step])
            self._queue_depth = before + incoming[step] - taken
            self._queue_lag = self._queue_lag + seconds if taken == 0 and self._queue_depth > 0 else 0.2
            out[8:, step] = self._queue_depth, self._queue_lag, taken
        cert = np.full((1, steps), c.cert_expires_seconds)
        return np.concatenate([out, cert])

    def _latencies(self, requests: Floats, m: Expected) -> Floats:
        """Buckets per service and step; log-normal around the mean, a logistic curve standing in for the normal one."""
        centre = np.log(np.maximum(m.mean_ms, 0.05)) - _SIGMA**2 / 2
        below = 1 / (1 + np.exp(-1.702 * (_LOG_BOUNDS[None, :] - centre[:, None]) / _SIGMA))
        shares = np.diff(np.concatenate([np.zeros((len(centre), 1)), below, np.ones((len(centre), 1))], axis=1), axis=1)
        whole = np.nan_to_num(requests).astype(np.int64)
        shape = (*whole.shape, _BUCKETS)
        return self.rng.multinomial(whole, np.broadcast_to(shares[:, None, :], shape)).astype(float)

    def _log(self, c: Conditions, at: slice, steps: int) -> None:
        routine = {(key, "request <*> took <*> ms"): 2.0 for key in self.fleet.keys[:3]}
        for (entity, template), rate in {**routine, **c.logs}.items():
            row = self._pattern_of.get((entity, template))
            if row is None:
                if len(self._patterns) == _MAX_PATTERNS:
                    continue
                row = self._pattern_of[entity, template] = len(self._patterns)
                severity = 9 if (entity, template) in routine else 17
                exemplar = template.replace("<*>", "42")
                pattern = LogPattern(f"p{row}", entity, severity, template, exemplar, first_seen_at=self.now)
                self._patterns.append(pattern)
            self._lines[row, at] = self.rng.poisson(rate * self.step_seconds, steps)

    def _dark_rows(self, blackout: Blackout) -> npt.NDArray[np.bool_]:
        known = self._blacked.get(blackout.subjects)
        if known is None:
            names = blackout.subjects
            services = {key.partition(":")[2] for key in names}

            def hit(subject: str) -> bool:
                if not names:
                    return True
                caller, _, _ = subject.partition(">")
                name = caller.partition(":")[2]
                return caller in names or (caller.startswith("instance:") and name.rsplit("-", 2)[0] in services)

            known = np.array([hit(subject) for subject in self.index.subjects])
            self._blacked[blackout.subjects] = known
        return known


def _index(fleet: Fleet) -> SeriesIndex:
    pairs = [(key, signal) for signal in _SERVICE for key in fleet.keys[: fleet.size]]
    instances = [fleet.instance(s, r) for s in range(fleet.size) for r in range(len(REGIONS))]
    pairs += [(key, signal) for signal in _SERVICE for key in instances]
    pairs += [(edge, signal) for signal in _CALL for edge in fleet.edges]
    pairs += [
        (f"service:gateway>{key}", signal) for signal in (sig.ROOT_ERRORS, sig.ROOT_SELF_MS) for key in fleet.keys
    ]
    pairs += [(key, signal) for signal in _PROCESS for key in instances]
    pairs += [*_STORE, ("service:gateway", sig.CERT_EXPIRES_SECONDS)]
    return SeriesIndex(tuple(subject for subject, _ in pairs), tuple(signal for _, signal in pairs))
