"""The World: everything that was seen in a window, frozen, as matrices.

Rows are series, columns are steps. Detectors and diagnosis work on whole matrices; nothing here holds one Python object
per sample. The builder (``shell/ingest``) owns the mutable side and hands out snapshots of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from midwatch.model import signals
from midwatch.model.entity import Edge, Entity
from midwatch.model.visit import Visit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True)
class SeriesIndex:
    """What each row of a matrix is: ``subjects[i]`` (an entity or edge key) and ``signals[i]``.

    Immutable and shared by every World until a new series appears, so its lookups are built once.
    """

    subjects: tuple[str, ...]
    signals: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.subjects) != len(self.signals):
            raise ValueError("an index needs one signal per subject")

    @cached_property
    def row_of(self) -> Mapping[tuple[str, str], int]:
        return {pair: row for row, pair in enumerate(zip(self.subjects, self.signals, strict=True))}

    @cached_property
    def rows_by_signal(self) -> Mapping[str, Ints]:
        """Row numbers per signal, ascending."""
        rows: dict[str, list[int]] = {}
        for row, signal in enumerate(self.signals):
            rows.setdefault(signal, []).append(row)
        return {signal: np.array(numbers, dtype=np.intp) for signal, numbers in rows.items()}

    @cached_property
    def subjects_by_signal(self) -> Mapping[str, tuple[str, ...]]:
        """Subjects per signal, in the order of ``rows_by_signal``."""
        return {s: tuple(self.subjects[r] for r in rows.tolist()) for s, rows in self.rows_by_signal.items()}

    @cached_property
    def rows_by_owner(self) -> Mapping[str, tuple[int, ...]]:
        """Row numbers per entity, ascending: its own, those of its calls and, under ``endpoint:NAME``, of its endpoints."""
        rows: dict[str, list[int]] = {}
        for row, subject in enumerate(self.subjects):
            owner = subject.partition(">")[0]
            if owner.startswith("endpoint:"):
                owner = owner.partition("/")[0]
            rows.setdefault(owner, []).append(row)
        return {owner: tuple(numbers) for owner, numbers in rows.items()}

    def __len__(self) -> int:
        return len(self.subjects)


EMPTY_INDEX = SeriesIndex((), ())


@dataclass(frozen=True)
class SeriesSet:
    """``values[row, step]``: float64 (or float32), NaN where nothing was reported. ``times[step]`` is the step's start
    in unix seconds; the last step is the last *complete* one."""

    index: SeriesIndex
    values: Floats
    start_at: float
    step_seconds: float

    @property
    def steps(self) -> int:
        return int(self.values.shape[1]) if self.values.ndim == 2 else 0

    @property
    def end_at(self) -> float:
        return self.start_at + self.steps * self.step_seconds

    @cached_property
    def times(self) -> Floats:
        return self.start_at + np.arange(self.steps, dtype=np.float64) * self.step_seconds

    def get(self, subject: str, signal: str) -> Floats | None:
        """The series of one subject and signal, shape (steps,), or None when it was never seen."""
        row = self.index.row_of.get((subject, signal))
        return None if row is None else self.values[row]

    def block(self, signal: str) -> tuple[tuple[str, ...], Floats]:
        """All subjects that carry ``signal`` and their values, shape (subjects, steps)."""
        rows = self.index.rows_by_signal.get(signal)
        if rows is None:
            return (), np.empty((0, self.steps))
        return self.index.subjects_by_signal[signal], self.values[rows]


@dataclass(frozen=True)
class LatencySet:
    """``counts[row, step, bucket]``: requests per latency bucket (``signals.LATENCY_BOUNDS_MS`` and one above)."""

    subjects: tuple[str, ...]
    counts: Floats

    @cached_property
    def row_of(self) -> Mapping[str, int]:
        return {subject: row for row, subject in enumerate(self.subjects)}

    def get(self, subject: str) -> Floats | None:
        """Counts of one subject, shape (steps, buckets)."""
        row = self.row_of.get(subject)
        return None if row is None else self.counts[row]

    def slower_than(self, subject: str, threshold_ms: float) -> Floats | None:
        """Requests per step slower than ``threshold_ms``, which is rounded up to the next bucket bound."""
        counts = self.get(subject)
        if counts is None:
            return None
        first = int(np.searchsorted(np.asarray(signals.LATENCY_BOUNDS_MS), threshold_ms)) + 1
        return np.asarray(counts[:, first:].sum(axis=1))


class LogPattern(Struct, frozen=True):
    """A log template of one entity: ``template`` with masked variables, the newest raw line as ``exemplar``."""

    id: str
    entity: str
    severity: int  # OpenTelemetry severity number: 9 info, 13 warn, 17 error, 21 fatal
    template: str
    exemplar: str = ""
    first_seen_at: float = 0.0
    instance: str = ""
    trace_id: str = ""


@dataclass(frozen=True)
class LogSet:
    """``counts[row, step]``: lines per pattern and step."""

    patterns: tuple[LogPattern, ...]
    counts: Floats


class TraceExemplar(Struct, frozen=True):
    """One bad request worth showing: where it entered, where its first error or its longest self time lies."""

    trace_id: str
    entry: str
    at: float
    duration_ms: float
    failed: bool
    origin: str
    message: str = ""
    path: tuple[str, ...] = ()  # entity keys from the entry to the origin


class Change(Struct, frozen=True):
    """Something that was changed: ``kind`` is deploy, config, flag, scale or infra."""

    id: str
    at: float
    kind: str
    entity: str
    summary: str = ""
    before: str = ""
    after: str = ""
    by: str = ""
    source: str = "announced"  # or "seen": inferred from telemetry (a new service.version, a new instance)


class Gap(Struct, frozen=True):
    """What could not be read, and why. Nothing inside a gap is ever rendered as ok."""

    subject: str
    since_at: float
    reason: str


@dataclass(frozen=True)
class SliCounts:
    """What a source counted for one promise (one group of it): ``good[i]`` of ``total[i]`` events in the step that begins at
    ``at[i]`` (unix seconds, ascending), shape (n,) each; everything before ``seen_until`` was looked at, so a step that is
    missing had no events. ``gap`` says why nothing could be read since ``seen_until``; empty while all is well."""

    slo: str
    group: tuple[tuple[str, str], ...]
    at: Floats
    good: Floats
    total: Floats
    seen_until: float
    gap: str = ""

    @property
    def key(self) -> str:
        """The ledger's name: ``slo`` alone, or ``slo{label=value,...}``."""
        return self.slo + ("{" + ",".join(f"{k}={v}" for k, v in self.group) + "}" if self.group else "")


@dataclass(frozen=True)
class World:
    """What was seen up to ``now`` (unix seconds). ``sli`` holds, by ledger key, what sources counted for promises lately.
    ``visits`` are whole requests, from sources that keep them; the live loop keeps sums only."""

    now: float
    series: SeriesSet
    latency: LatencySet
    logs: LogSet
    entities: Mapping[str, Entity] = field(default_factory=dict)
    edges: Mapping[str, Edge] = field(default_factory=dict)
    entries: tuple[str, ...] = ()  # entity keys where requests enter
    exemplars: tuple[TraceExemplar, ...] = ()
    changes: tuple[Change, ...] = ()
    gaps: tuple[Gap, ...] = ()
    sli: Mapping[str, SliCounts] = field(default_factory=dict)
    visits: tuple[Visit, ...] = ()

    @cached_property
    def callees(self) -> Mapping[str, tuple[str, ...]]:
        """Entity key -> keys that it calls."""
        found: dict[str, list[str]] = {}
        for edge in self.edges.values():
            found.setdefault(edge.caller, []).append(edge.callee)
        return {caller: tuple(sorted(callees)) for caller, callees in found.items()}

    @cached_property
    def callers(self) -> Mapping[str, tuple[str, ...]]:
        """Entity key -> keys that call it."""
        found: dict[str, list[str]] = {}
        for edge in self.edges.values():
            found.setdefault(edge.callee, []).append(edge.caller)
        return {callee: tuple(sorted(callers)) for callee, callers in found.items()}

    @cached_property
    def components(self) -> Mapping[str, str]:
        """Entity key -> the representative of all that calls join it to, in any direction (union-find)."""
        parent: dict[str, str] = {}

        def find(key: str) -> str:
            root = key
            while parent.setdefault(root, root) != root:
                root = parent[root]
            while parent[key] != root:
                parent[key], key = root, parent[key]
            return root

        for edge in self.edges.values():
            parent[find(edge.caller)] = find(edge.callee)
        return {key: find(key) for key in parent}

    @cached_property
    def instances(self) -> Mapping[str, tuple[Entity, ...]]:
        """Service key -> its instances."""
        found: dict[str, list[Entity]] = {}
        for entity in self.entities.values():
            if entity.kind == "instance" and "service" in entity.labels:
                found.setdefault(f"service:{entity.labels['service']}", []).append(entity)
        return {service: tuple(sorted(many, key=lambda e: e.name)) for service, many in found.items()}


def empty_world(now: float, step_seconds: float = 5.0) -> World:
    """A World in which nothing was seen: what the loop gets before the first telemetry."""
    return World(
        now=now,
        series=SeriesSet(EMPTY_INDEX, np.empty((0, 0)), now, step_seconds),
        latency=LatencySet((), np.empty((0, 0, len(signals.LATENCY_BOUNDS_MS) + 1))),
        logs=LogSet((), np.empty((0, 0))),
    )
