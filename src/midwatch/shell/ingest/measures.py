"""Metric points into the ring: gauges per instance and service, counters per step, requests from histograms."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from midwatch.model import signals as sig
from midwatch.model.signals import LATENCY_BOUNDS_MS
from midwatch.shell.ingest import semconv
from midwatch.shell.ingest.registry import Registry, Reporter
from midwatch.shell.ingest.requests import Requests
from midwatch.shell.ingest.ring import ANYONE, LATE, Ring
from midwatch.shell.ingest.rows import Limits, Point
from midwatch.shell.ingest.semconv import Combine, Rule
from midwatch.shell.ingest.spans import clean
from midwatch.shell.ingest.streams import Increase, Parts, Streams, combined

_SPANS_STALE_SECONDS: Final = 120.0
_MAX_SPREAD_STEPS: Final = 24
_POOL_SIGNALS: Final = (sig.POOL_USED, sig.POOL_LIMIT, sig.POOL_WAITING)
_TIGHT_RATIO: Final = 0.9
_POOL_KEYS: Final = ("db.client.connection.pool.name", "pool.name", "pool", "db.client.connections.pool.name", "name")
_OTHER_SUM: Final = Rule("", "count", "sum", "sum")
_OTHER_GAUGE: Final = Rule("", "gauge", "mean", "mean")


class Measures:
    """``add`` takes one point of a known reporter."""

    def __init__(self, ring: Ring, registry: Registry, requests: Requests, limits: Limits) -> None:
        self._ring, self._registry, self._requests, self._limits = ring, registry, requests, limits
        self.streams = Streams(limits.streams)
        self._parts: dict[tuple[str, str], Parts] = {}
        self._chosen: dict[tuple[str, str], tuple[int, float]] = {}  # (instance, signal) -> rank, last used
        self._latency_index: dict[tuple[tuple[float, ...], float], tuple[int, ...]] = {}

    def add(self, point: Point, reporter: Reporter, at: float) -> None:
        """``at`` is the point's time as believed (a clock far ahead is replaced by the arrival)."""
        if point.kind in ("histogram", "summary"):
            self._distribution(point, reporter, at)
            return
        rule = semconv.rule_of(point.name, point.unit)
        if rule is None:
            self._other(point, reporter, at)
            return
        if not semconv.counts_state(rule, point.attributes) and rule.how != "filesystem":
            return
        who = reporter.instance or reporter.entity
        if rule.how not in ("count", "uptime", "start") and not self._is_choice(who, rule, at):
            self._other(point, reporter, at)
            return
        if rule.how == "uptime":
            self._registry.started(reporter, at - point.value * rule.scale, at)
        elif rule.how == "start":
            seconds = point.value * (1e-3 if point.value > 1e11 else 1.0)
            self._registry.started(reporter, seconds, at)
        elif rule.how == "count":
            self._count(point, rule.signal, reporter)
        else:
            value = self._value(point, rule, reporter, at)
            if value is not None:
                self._gauge(point, rule, reporter, value, at)

    def _is_choice(self, who: str, rule: Rule, at: float) -> bool:
        """Among several names of one thing the best ranked one that reports is kept."""
        known = self._chosen.get((who, rule.signal))
        if known is None or rule.rank <= known[0] or at - known[1] > _SPANS_STALE_SECONDS:
            self._chosen[who, rule.signal] = (rule.rank, at)
            return True
        return False

    def _value(self, point: Point, rule: Rule, reporter: Reporter, at: float) -> float | None:
        if rule.how == "rate":
            increase = self.streams.increase(point)
            seconds = increase.at - increase.since_at if increase is not None else 0.0
            if increase is None or seconds <= 0:
                return None
            rate = increase.value * rule.scale / seconds
            return min(rate, 1.0) if rule.signal == sig.CPU_THROTTLED_RATIO else rate
        if rule.how == "epoch":
            return point.value * rule.scale - at
        if rule.how == "filesystem":
            return self._filesystem(point, reporter, at)
        return point.value * rule.scale

    def _filesystem(self, point: Point, reporter: Reporter, at: float) -> float | None:
        """Used over all of one filesystem, from its states."""
        mount = point.attributes.get("system.filesystem.mountpoint") or point.attributes.get("mountpoint") or ""
        parts = self._parts_of(f"{reporter.instance or reporter.entity} {mount}", "*filesystem")
        parts.put(semconv.state_of(point.attributes), point.value, at)
        values = parts.fresh(at)
        whole = sum(values.values())
        return values["used"] / whole if len(values) > 1 and whole > 0 and "used" in values else None

    # --- gauges -------------------------------------------------------------------------------------------------------

    def _parts_of(self, subject: str, signal: str) -> Parts:
        found = self._parts.get((subject, signal))
        if found is None:
            if len(self._parts) >= self._limits.series:
                self._parts.clear()
            found = self._parts[subject, signal] = Parts()
        return found

    def _gauge(self, point: Point, rule: Rule, reporter: Reporter, value: float, at: float) -> None:
        column = self._ring.column(at)
        if column == LATE:
            return
        attributes = point.attributes
        signal = rule.signal
        if signal in (sig.QUEUE_DEPTH, sig.QUEUE_LAG_SECONDS):
            queue = semconv.queue_in(attributes)
            if queue or reporter.entity.startswith("queue:"):
                subject = self._registry.ensure(f"queue:{clean(queue)}") if queue else reporter.entity
                across: Combine = "sum" if semconv.is_partitioned(attributes) else "max"
                self._put(subject, signal, _key(attributes) or reporter.instance, value, at, column, across)
                return
        if signal == sig.UP and attributes and reporter.entity.startswith("proxy:"):
            if not self._backend(attributes, value, column):
                self._other(point, reporter, at)
            return
        who = reporter.instance or reporter.entity
        if rule.combine == "pool":
            value = self._pool(who, signal, attributes, value, at, column)
        elif attributes:
            value = self._put(who, signal, _key(attributes), value, at, column, rule.combine)
        else:
            self._ring.put(who, signal, column, value)
        if reporter.instance:
            self._put(reporter.entity, signal, reporter.instance, value, at, column, rule.across)

    def _put(self, subject: str, signal: str, key: str, value: float, at: float, column: int, how: Combine) -> float:
        """Replace one part of a gauge; returns and writes what all fresh parts make."""
        parts = self._parts_of(subject, signal)
        parts.put(key, value, at)
        made = combined(parts.fresh(at) or {key: value}, how)
        self._ring.put(subject, signal, column, made)
        return made

    def _pool(
        self, who: str, signal: str, attributes: dict[str, object], value: float, at: float, column: int
    ) -> float:
        """Several pools of one process: together, unless one is tight, which is then the one shown."""
        name = str(next((attributes[key] for key in _POOL_KEYS if key in attributes), ""))
        parts = self._parts_of(who, signal)
        parts.put(name, value, at)
        fresh = {s: self._parts_of(who, s).fresh(at) for s in _POOL_SIGNALS}
        tight = _tightest(fresh) if len(fresh[signal]) > 1 else ""
        for each, values in fresh.items():
            if values and (each == signal or tight):
                shown = values[tight] if tight in values else sum(values.values())
                self._ring.put(who, each, column, shown)
        mine = fresh[signal] or {name: value}
        return mine[tight] if tight in mine else sum(mine.values())

    def _backend(self, attributes: dict[str, object], value: float, column: int) -> bool:
        """A proxy's word on one instance: down is down, even while the process still reports."""
        for text in attributes.values():
            instance = f"instance:{text}"
            if instance in self._registry.entities:
                self._ring.put(instance, sig.UP, column, float(value >= 1.0))
                return True
        return False

    # --- counters -----------------------------------------------------------------------------------------------------

    def _count(self, point: Point, signal: str, reporter: Reporter) -> None:
        increase = self.streams.increase(point)
        if increase is None:
            return
        if signal == sig.RESTARTS:
            if increase.value > 0:
                self._registry.restarted(reporter, increase.at, increase.value, "counter")
            return
        subjects = [(reporter.entity, reporter.service_owner)]
        if reporter.instance:
            subjects.append((reporter.instance, reporter.instance_owner))
        queue = semconv.queue_in(point.attributes) if signal == sig.CONSUMED else ""
        if queue:
            key = self._registry.ensure(f"queue:{clean(queue)}")
            self._requests.metered_queues.add(key)
            subjects.append((key, ANYONE))
        for subject, owner in subjects:
            row = self._ring.row(subject, signal, owner, summed=True)
            for column, share in self._columns(increase):
                self._ring.vouch(owner, column)
                self._ring.values[row, column] += increase.value * share

    def _columns(self, increase: Increase) -> list[tuple[int, float]]:
        """The steps over which an increase is spread evenly, with their shares."""
        step = self._ring.step_seconds
        last = int(increase.at // step)
        first = max(int(increase.since_at // step), last - _MAX_SPREAD_STEPS)
        if first >= last:
            column = self._ring.column(increase.at)
            return [] if column == LATE else [(column, 1.0)]
        begin = max(increase.since_at, first * step)
        whole = increase.at - begin
        found: list[tuple[int, float]] = []
        for number in range(first, last + 1):
            share = (min(increase.at, (number + 1) * step) - max(begin, number * step)) / whole
            column = self._ring.column(number * step) if share > 0 else LATE
            if column != LATE:
                found.append((column, share))
        return found

    # --- histograms ---------------------------------------------------------------------------------------------------

    def _distribution(self, point: Point, reporter: Reporter, at: float) -> None:
        scale = semconv.duration_scale(point.name, point.unit)
        if scale is None:
            self._other(point, reporter, at)
            return
        increase = self.streams.increase(point)
        service = reporter.service
        if increase is None or at - service.spans_at < _SPANS_STALE_SECONDS or increase.count <= 0:
            return
        errors = increase.count if semconv.request_failed(point.attributes) else 0.0
        subjects = [(reporter.entity, reporter.service_owner)]
        if reporter.instance:
            subjects.append((reporter.instance, reporter.instance_owner))
        if reporter.region:
            subjects.append((reporter.region, ANYONE))
        route = semconv.route_in(point.attributes)
        endpoint = self._requests.endpoint(reporter, clean(route), at) if route else ""
        if endpoint:
            subjects.append((self._registry.ensure(endpoint), reporter.service_owner))
        buckets = self._buckets(point.bounds, scale)
        for column, share in self._columns(increase):
            for subject, owner in subjects:
                self._ring.vouch(owner, column)
                row = self._requests.red(
                    subject, owner, column, increase.count * share, errors * share, increase.value * scale * share
                )
                for bucket, count in zip(buckets, increase.counts, strict=False):
                    if count:
                        self._ring.latency[row, column, bucket] += count * share

    def _buckets(self, bounds: tuple[float, ...], scale: float) -> tuple[int, ...]:
        """Our bucket for each of theirs, by upper bound."""
        known = self._latency_index.get((bounds, scale))
        if known is None:
            last = len(LATENCY_BOUNDS_MS)
            known = (*(min(bisect_left(LATENCY_BOUNDS_MS, round(b * scale, 6)), last) for b in bounds), last)
            if len(self._latency_index) > 1000:
                self._latency_index.clear()
            self._latency_index[bounds, scale] = known
        return known

    # --- metrics without a signal -------------------------------------------------------------------------------------

    def _other(self, point: Point, reporter: Reporter, at: float) -> None:
        """Kept under ``metric:<name>``: gauges as they are, counters per second, histograms as their mean."""
        names = reporter.service.metrics
        if point.name not in names:
            if len(names) >= self._limits.metrics_per_service:
                self._registry.over(reporter.entity, "metrics", at)
                return
            names.add(point.name)
        column = self._ring.column(at)
        if column == LATE:
            return
        value, rule = point.value, _OTHER_GAUGE
        if point.kind in ("histogram", "summary"):
            increase = self.streams.increase(point)
            if increase is None or increase.count <= 0:
                return
            value = increase.value / increase.count
        elif point.kind == "sum":
            rule = _OTHER_SUM
            if point.monotonic:
                increase = self.streams.increase(point)
                if increase is None or increase.at <= increase.since_at:
                    return
                value = increase.value / (increase.at - increase.since_at)
        signal = f"metric:{clean(point.name)[:120]}"
        who = reporter.instance or reporter.entity
        key = _key(point.attributes)
        value = self._put(who, signal, key, value, at, column, rule.combine)
        if reporter.instance:
            self._put(reporter.entity, signal, reporter.instance, value, at, column, rule.across)

    def forget(self, before_at: float) -> None:
        """Drop what has not been reported since ``before_at``."""
        self._parts = {
            key: parts
            for key, parts in self._parts.items()
            if any(part.at >= before_at for part in parts.parts.values())
        }
        self._chosen = {key: known for key, known in self._chosen.items() if known[1] >= before_at}


def _key(attributes: dict[str, object]) -> str:
    return ",".join(f"{key}={attributes[key]}" for key in sorted(attributes)) if attributes else ""


def _tightest(fresh: dict[str, dict[str, float]]) -> str:
    """The pool with requests waiting or nearly all connections in use, "" when none is tight."""
    used, limits, waiting = (fresh[s] for s in _POOL_SIGNALS)
    worst, name = 0.0, ""
    for pool in sorted(used.keys() | waiting.keys()):
        ratio = used.get(pool, 0.0) / limits[pool] if limits.get(pool) else 0.0
        score = waiting.get(pool, 0.0) * 1000.0 + ratio
        if (waiting.get(pool, 0.0) >= 1 or ratio >= _TIGHT_RATIO) and score > worst:
            worst, name = score, pool
    return name
