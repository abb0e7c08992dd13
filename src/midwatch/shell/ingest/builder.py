"""The World builder: telemetry in, frozen Worlds out.

``add`` is called with each decoded batch and its arrival time; ``world(now)`` copies the complete steps out of the
ring. Time only comes from these arguments, so a recording is replayed under its own clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from midwatch.model import signals as sig
from midwatch.model.entity import Edge, Entity, kind_of
from midwatch.model.world import (
    Change,
    Floats,
    Gap,
    LatencySet,
    SeriesSet,
    World,
    empty_world,
)
from midwatch.shell.ingest.measures import Measures
from midwatch.shell.ingest.patterns import Patterns
from midwatch.shell.ingest.registry import Registry, Reporter
from midwatch.shell.ingest.requests import Requests
from midwatch.shell.ingest.ring import ANYONE, LATE, Ring
from midwatch.shell.ingest.rows import Batch, Limits, Resource
from midwatch.shell.ingest.templates import Templates
from midwatch.shell.ingest.traces import TraceBuffer

# What a container runtime says of a process is no sign that the process lives.
_TOLD_BY_OTHERS: Final = ("container.", "container_", "k8s.", "kube_")
_SWEEP_SECONDS: Final = 0.25
_ON_THE_WAY: Final = 10.0  # messages


class WorldBuilder:
    """Owns the mutable side of the World.

    ``steps`` of ``step_seconds`` make the window. A step is complete ``settle_seconds`` after its end. A service is a
    gap when nothing of it arrived for ``silent_seconds`` (or for longer than it habitually pauses).
    """

    def __init__(
        self,
        step_seconds: float = 5.0,
        steps: int = 240,
        limits: Limits | None = None,
        settle_seconds: float = 1.5,
        silent_seconds: float = 30.0,
    ) -> None:
        self.limits = limits or Limits()
        self.step_seconds, self.settle_seconds, self._silent_seconds = step_seconds, settle_seconds, silent_seconds
        self._ring = Ring(steps, step_seconds, self.limits.series)
        self._registry = Registry(self._ring, self.limits)
        self._patterns = Patterns(steps, step_seconds, self._registry, self.limits)
        self._traces = TraceBuffer(self.limits)
        self._requests = Requests(self._ring, self._registry, self.limits, self._traces, self._patterns)
        self._measures = Measures(self._ring, self._registry, self._requests, self.limits)
        self._now = 0.0
        self._heard_at = 0.0
        self._swept_at = 0.0
        self._tidied_step = 0
        self._counters = dict.fromkeys(
            ("spans", "logs", "points", "rejected", "late", "clock_ahead", "absurd_duration", "time_went_back"), 0
        )

    # --- in -----------------------------------------------------------------------------------------------------------

    def add(self, batch: Batch, at: float) -> None:
        """Take a batch that arrived ``at`` (unix seconds)."""
        if at < self._now:
            # A clock set back must not lose data: what arrives now arrives no earlier than what arrived before.
            self._counters["time_went_back"] += self._now - at > 1.0
            at = self._now
        self._now = at
        counters = self._counters
        counters["spans"] += len(batch.spans)
        counters["logs"] += len(batch.logs)
        counters["points"] += len(batch.points)
        counters["rejected"] += batch.rejected
        if len(batch):
            self._heard_at = at
        self._add_spans(batch, at)
        self._add_points(batch, at)
        self._add_logs(batch, at)
        if at - self._swept_at >= _SWEEP_SECONDS:
            self._sweep(at)

    def _believed(self, stated_at: float, at: float) -> float:
        """The time of an item that arrived ``at``: its own, unless its clock is far ahead."""
        if stated_at > at:
            if stated_at > at + self.limits.ahead_seconds:
                self._counters["clock_ahead"] += 1
            return at
        return stated_at

    def _reporter(self, resource: Resource, seen_at: float, at: float) -> Reporter | None:
        reporter = self._registry.reporter(resource, at)
        if reporter is not None:
            self._hear(reporter, seen_at, at)
        return reporter

    def _hear(self, reporter: Reporter, seen_at: float, at: float) -> None:
        ring = self._ring
        reporter.heard_at = max(reporter.heard_at, at)
        reporter.service.heard_at = max(reporter.service.heard_at, at)
        ring.hear(reporter.service_owner, seen_at)
        if reporter.instance_owner != reporter.service_owner:
            ring.hear(reporter.instance_owner, seen_at)
        ring.hear(ANYONE, seen_at)

    def _add_spans(self, batch: Batch, at: float) -> None:
        ring, believed = self._ring, self._believed
        longest_ms = self.limits.duration_seconds * 1000.0
        resource: Resource | None = None
        reporter: Reporter | None = None
        seen_step = -1
        for span in batch.spans:
            end_at = believed(span.end_at, at)
            column = ring.column(end_at)
            if column == LATE:
                self._counters["late"] += 1
                continue
            if span.duration_ms > longest_ms:
                self._counters["absurd_duration"] += 1
                continue
            step = int(end_at // ring.step_seconds)
            if span.resource is not resource or step != seen_step:
                resource, seen_step = span.resource, step
                reporter = self._reporter(resource, end_at, at)
            if reporter is not None:
                if span.end_at > at:
                    span.start_at = at - span.duration_ms / 1000.0
                self._requests.count(span, reporter, column, at)

    def _add_points(self, batch: Batch, at: float) -> None:
        ring = self._ring
        resource: Resource | None = None
        reporter: Reporter | None = None
        seen_step, heard = -1, False
        for point in batch.points:
            when = self._believed(point.at, at)
            if ring.column(when) == LATE:
                self._counters["late"] += 1
                continue
            point.at = when
            step = int(when // ring.step_seconds)
            if point.resource is not resource or step != seen_step:
                resource, seen_step, heard = point.resource, step, False
                reporter = self._registry.reporter(resource, at)
            if reporter is not None:
                if not heard and not (reporter.instance and point.name.startswith(_TOLD_BY_OTHERS)):
                    self._hear(reporter, when, at)
                    heard = True
                self._measures.add(point, reporter, when)

    def _add_logs(self, batch: Batch, at: float) -> None:
        ring = self._ring
        resource: Resource | None = None
        reporter: Reporter | None = None
        seen_step = -1
        for line in batch.logs:
            when = self._believed(line.at, at)
            if ring.column(when) == LATE:
                self._counters["late"] += 1
                continue
            step = int(when // ring.step_seconds)
            if line.resource is not resource or step != seen_step:
                resource, seen_step = line.resource, step
                reporter = self._registry.reporter(resource, at)
                if reporter is not None and not ("k8s.object.name" in resource.attributes and reporter.instance):
                    self._hear(reporter, when, at)  # an event of the cluster is no sign that the pod in it lives
            if reporter is not None:
                self._patterns.add(line, reporter, when)

    def add_change(self, change: Change) -> None:
        """A change that somebody announced. Announced again under the same id, it replaces itself; it also replaces
        what was inferred from telemetry for the same entity and version."""
        changes = self._registry.changes
        for known in list(changes):
            same = known.id == change.id
            seen = known.source == "seen" and known.entity == change.entity and known.after == change.after
            if same or (seen and abs(known.at - change.at) < 120.0):
                changes.remove(known)
        changes.append(change)

    # --- out ----------------------------------------------------------------------------------------------------------

    def _sweep(self, now: float) -> None:
        self._swept_at = now
        self._requests.sweep(now)
        step = int(now // self.step_seconds)
        if self._tidied_step == 0:
            self._tidied_step = step
        elif step - self._tidied_step >= max(12, self._ring.steps // 4):
            self._tidied_step = step
            self._tidy(now)

    def _tidy(self, now: float) -> None:
        """Forget what has left the window."""
        window = self._ring.steps * self.step_seconds
        self._registry.forget(now - window)
        self._measures.forget(now - window)
        if self._ring.forget(self._ring.head - self._ring.steps):
            self._requests.forget_rows()
        self._ring.release(self._registry.owners)
        self._registry.forget_map(now - window, set(self._ring.subjects))
        self._requests.forget(self._registry.entities)
        self._patterns.forget(self._registry.services)

    @property
    def templates(self) -> Templates:
        """The log templates mined so far."""
        return self._patterns.templates

    def finish(self) -> None:
        """Judge every trace that is still open: the recording is over."""
        self._requests.sweep(self._now, everything=True)

    def world(self, now: float) -> World:
        """What was seen up to ``now``: complete steps only."""
        now = max(now, self._now)
        self._now = now
        self._sweep(now)
        ring = self._ring
        last = int((now - self.settle_seconds) // self.step_seconds) - 1
        if ring.head < 0 or last < ring.first:
            return empty_world(now, self.step_seconds)
        if ring.head < last:
            ring.advance(last)
        heard = ring.heard_until(last)
        self._up_rows()
        self._lag_rows()
        values = ring.snapshot(last, heard)
        index = ring.index
        self._fill_up(values, heard, last)
        self._fill_lag(values)
        start_at = ring.start_at(last)
        subjects, latency = ring.latency_snapshot(last)
        for array in (values, latency):
            array.setflags(write=False)
        entities, edges = self._mappings()
        return World(
            now=now,
            series=SeriesSet(index, values, start_at, self.step_seconds),
            latency=LatencySet(subjects, latency),  # type: ignore[arg-type]  # float32: counts, and a third of the room
            logs=self._patterns.log_set(ring.first, last, values.shape[1]),
            entities=entities,
            edges=edges,
            entries=self._entries(),
            exemplars=self._requests.exemplars(start_at),
            changes=tuple(sorted(self._registry.changes, key=lambda change: change.at)),
            gaps=self._gaps(now),
        )

    def _up_rows(self) -> None:
        for service in self._registry.services.values():
            for instance in service.instances:
                self._ring.row(instance, sig.UP)

    def _fill_up(self, values: Floats, heard: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], last: int) -> None:
        """UP of each instance: 1 where it reported, 0 where it did not although others did, NaN before its first
        report, while nothing at all arrived, and after another process took its place."""
        ring = self._ring
        width = values.shape[1]
        oldest = last - width + 1
        for service in self._registry.services.values():
            for key, reporter in service.instances.items():
                row = ring.rows.get((key, sig.UP))
                if row is None:
                    continue
                owner = reporter.instance_owner
                up = np.where(heard[owner], 1.0, np.where(heard[ANYONE], 0.0, np.nan))
                up[: max(0, ring.first_heard[owner] - oldest)] = np.nan
                silent = ring.silent_since(owner, last)
                if silent is not None and self._replaced(reporter, service.instances):
                    up[max(0, silent - oldest) :] = np.nan
                told = values[row - 1]  # a proxy's word, where there is one; it holds until the next or for three steps
                for _ in range(3 if np.isfinite(told).any() else 0):
                    told[1:] = np.where(np.isnan(told[1:]), told[:-1], told[1:])
                values[row - 1] = np.fmin(up, told)

    def _lag_rows(self) -> None:
        for queue in [subject for subject, signal in self._ring.rows if signal == sig.QUEUE_DEPTH]:
            self._ring.row(queue, sig.QUEUE_LAG_SECONDS)

    def _fill_lag(self, values: Floats) -> None:
        """The age of the oldest message where only the depth is told and more than a few wait, as there are always some on
        the way: messages leave in the order in which they came, so those that wait are the newest that were sent."""
        rows = self._ring.rows
        for queue in [subject for subject, signal in rows if signal == sig.QUEUE_DEPTH]:
            if (queue, sig.QUEUE_LAG_SECONDS) not in rows:
                continue  # the bound of series is reached
            depth, lag = (values[rows[queue, signal] - 1] for signal in (sig.QUEUE_DEPTH, sig.QUEUE_LAG_SECONDS))
            senders = [edge for edge, ends in self._registry.edges.items() if ends.callee == queue]
            sent = [values[rows[edge, sig.CALLS] - 1] for edge in senders if (edge, sig.CALLS) in rows]
            if sent and not np.isfinite(lag).any() and np.nansum(sent) > 0:
                age = sending_steps(depth, np.nansum(sent, axis=0)) * self.step_seconds
                lag[:] = np.where(depth < _ON_THE_WAY, 0.0, age)

    def _replaced(self, gone: Reporter, instances: Mapping[str, Reporter]) -> bool:
        return any(
            other is not gone
            and other.region == gone.region
            and other.heard_at > gone.heard_at
            and gone.heard_at - 30.0 < other.first_at < gone.heard_at + 120.0
            and other.first_at > gone.first_at
            for other in instances.values()
        )

    def _mappings(self) -> tuple[Mapping[str, Entity], Mapping[str, Edge]]:
        """Copies of entities and edges; they are small next to the matrices."""
        registry = self._registry
        return MappingProxyType(dict(registry.entities)), MappingProxyType(dict(registry.edges))

    def _entries(self) -> tuple[str, ...]:
        """Services that requests enter and that no other service calls; where all are called, the one that most
        requests enter."""
        entered = self._requests.entries
        free = [key for key in entered if key not in self._registry.called]
        if not free and entered:
            free = [max(entered, key=lambda key: entered[key])]
        if not free:  # no traces: services that report requests and that nobody is known to call
            free = [
                key
                for key in self._registry.services
                if kind_of(key) == "service"
                and key not in self._registry.called
                and (key, sig.REQUESTS) in self._ring.rows
            ]
        return tuple(sorted(free))

    def _gaps(self, now: float) -> tuple[Gap, ...]:
        found = self._registry.gaps(now, self._silent_seconds)
        if self._heard_at and now - self._heard_at > self._silent_seconds:
            found.insert(0, Gap("telemetry", self._heard_at, "nothing arrives at all"))
        if self._ring.refused:
            found.append(Gap("telemetry", self._now, f"the bound of {self.limits.series} series is reached"))
        return tuple(found)

    @property
    def stats(self) -> dict[str, int]:
        """Counters since the start, and a few sizes."""
        return {
            **self._counters,
            **self._registry.counters,
            **{f"traces_{name}": value for name, value in self._traces.counters.items()},
            "traces_open": len(self._traces),
            "series": len(self._ring.index),
            "series_refused": self._ring.refused,
            "streams": len(self._measures.streams),
            "stream_resets": self._measures.streams.resets,
            "templates": len(self._patterns),
        }


def sending_steps(waiting: Floats, sent: Floats) -> Floats:
    """In how many of the newest steps as many were sent as wait, at the end of each step; both of shape (steps,). What was
    sent before the first step is taken for as fast as since. NaN where what waits is not known, or nothing was sent yet."""
    so_far = np.concatenate([[0.0], np.cumsum(sent)])
    here = np.arange(1.0, so_far.size)
    begun = so_far[1:] - waiting  # what was sent when the oldest that waits was
    with np.errstate(divide="ignore", invalid="ignore"):
        longer = np.where(so_far[1:] > 0, here * waiting / so_far[1:], np.nan)
        return np.where(begun >= 0, here - np.interp(begun, so_far, np.arange(so_far.size)), longer)


__all__ = ["WorldBuilder"]
