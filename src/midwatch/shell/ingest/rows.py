"""What a telemetry payload is after decoding: flat rows, ready for the World and for the store.

Rows are plain slotted objects (one per item, so they must be cheap). Times are unix seconds, durations milliseconds.
All rows of one resource share one ``Resource``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

Signal = Literal["metrics", "logs", "traces"]
SIGNALS: Final[tuple[Signal, ...]] = ("metrics", "logs", "traces")

PointKind = Literal["gauge", "sum", "histogram", "summary"]

# Span kinds and status codes as numbered by OTLP.
INTERNAL: Final = 1
SERVER: Final = 2
CLIENT: Final = 3
PRODUCER: Final = 4
CONSUMER: Final = 5
STATUS_ERROR: Final = 2

_PLACES: Final = ("container.id", "k8s.pod.name", "container.hostname", "k8s.object.name")


@dataclass(slots=True, eq=False)
class Resource:
    """Who reports. ``service`` and ``instance`` are never empty (``unknown`` when the sender did not say);
    ``version``, ``region`` and ``host`` are "" when unknown. ``kind`` is the entity kind of what reports: service,
    database, cache, queue, proxy or host. Compared by identity: rows of one resource block share the object."""

    service: str
    instance: str
    version: str = ""
    region: str = ""
    host: str = ""
    kind: str = "service"
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def entity(self) -> str:
        return f"{self.kind}:{self.service}"

    @property
    def spoken_of(self) -> tuple[str, ...]:
        """The container or pod that it speaks of, by every name, the narrowest first; empty when of none."""
        pod, container = (self.attributes.get(f"k8s.{name}.name") for name in ("pod", "container"))
        within = (f"{pod}/{container}",) if pod and container else ()
        return within + tuple(str(self.attributes[name]) for name in _PLACES if self.attributes.get(name))

    @property
    def places(self) -> tuple[str, ...]:
        """Every name of the place where it runs; inside of a pod or container, the host has the name of that."""
        host = self.attributes.get("host.name") if self.knows_itself else ""
        return (*self.spoken_of, str(host)) if host else self.spoken_of

    @property
    def knows_itself(self) -> int:
        """2 when it says which instance of which service it is, 1 for the service alone, 0 when only what runs it does."""
        if not self.attributes.get("service.name"):
            return 0
        return 2 if self.attributes.get("service.instance.id") else 1


@dataclass(slots=True, eq=False)
class Span:
    """One finished span. ``trace_id`` (32) and ids (16) are lower-case hex, ``parent_id`` is "" for a root.
    ``kind`` 1 internal, 2 server, 3 client, 4 producer, 5 consumer; ``status`` 0 unset, 1 ok, 2 error."""

    resource: Resource
    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    start_at: float
    duration_ms: float
    status: int
    message: str
    attributes: dict[str, Any]
    exception_type: str = ""
    exception_message: str = ""
    links: tuple[tuple[str, str], ...] = ()  # (trace id, span id)
    callee: str = ""  # entity key of who answers this client span, once the World builder knows

    @property
    def end_at(self) -> float:
        return self.start_at + self.duration_ms / 1000.0


@dataclass(slots=True, eq=False)
class LogLine:
    """One log record. ``severity`` is OpenTelemetry's number (9 info, 13 warn, 17 error, 21 fatal; 0 not said)."""

    resource: Resource
    at: float
    severity: int
    body: str
    attributes: dict[str, Any]
    trace_id: str = ""
    span_id: str = ""
    event: str = ""


@dataclass(slots=True, eq=False)
class Point:
    """One metric data point. ``value`` is the gauge's or sum's value, or a histogram's or summary's *sum*; ``count``
    is the number of observations of a histogram or summary. ``bounds`` (upper, ascending) has one entry less than
    ``counts``. ``delta`` says that values are since the last report, not since ``start_at``."""

    resource: Resource
    name: str
    unit: str
    kind: PointKind
    at: float
    start_at: float
    value: float
    attributes: dict[str, Any]
    monotonic: bool = False
    delta: bool = False
    count: float = 0.0
    bounds: tuple[float, ...] = ()
    counts: tuple[float, ...] = ()


@dataclass(slots=True)
class Batch:
    """Everything that one payload carried. ``rejected`` items were unusable; ``notes`` counts, by reason, what was
    rejected or mended."""

    spans: list[Span] = field(default_factory=list)
    logs: list[LogLine] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    rejected: int = 0
    notes: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.spans) + len(self.logs) + len(self.points)

    def note(self, reason: str, rejected: int = 0) -> None:
        """Count ``reason``; ``rejected`` items were lost by it."""
        self.notes[reason] = self.notes.get(reason, 0) + 1
        self.rejected += rejected


@dataclass(frozen=True, slots=True)
class Limits:
    """Every bound of ingestion in one place. Reaching one is counted and shown, never silent."""

    body_bytes: int = 16 * 1024 * 1024  # of a request as it arrives
    decompressed_bytes: int = 64 * 1024 * 1024
    line_chars: int = 8192  # of a log body or an attribute value
    requests_in_flight: int = 32
    services: int = 500
    instances_per_service: int = 64
    endpoints_per_service: int = 64
    patterns_per_service: int = 100
    metrics_per_service: int = 60  # names that we have no signal for
    callees_per_service: int = 64
    streams: int = 200_000  # counters whose last value is remembered
    series: int = 50_000
    open_traces: int = 20_000
    open_spans: int = 200_000
    spans_per_trace: int = 2_000
    exemplars: int = 50
    changes: int = 500
    ahead_seconds: float = 60.0  # a timestamp further in the future than this is replaced by the arrival
    duration_seconds: float = 86_400.0  # a span longer than this is not believed
