"""How a promise is measured at a source that midwatch does not collect itself: a Prometheus-compatible API, or files.

Queries are kept as the team wrote them. Each is one of two shapes, told apart by its syntax tree (``core/slo/promql.py``):
a *template* with ``{{.window}}`` in it, as Sloth writes them, or a bare expression over counters, as Pyrra and OpenSLO do.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Comparison = Literal["lt", "lte", "gt", "gte"]


class EventRatio(Struct, frozen=True, tag="events"):
    """Good of total events, or total less bad. Exactly one of ``good`` and ``bad`` is there."""

    total: str
    good: str = ""
    bad: str = ""


class RawRatio(Struct, frozen=True, tag="raw"):
    """A query that is already a ratio (0..1). It has no count of events, so it can only be averaged over time."""

    query: str
    of: Literal["good", "bad"] = "bad"


class Histogram(Struct, frozen=True, tag="histogram"):
    """Events at or below ``threshold`` of a histogram, in the histogram's own unit.

    ``explicit``: ``selector`` selects the ``_bucket`` series without ``le``; ``total`` selects the count (empty: the
    ``+Inf`` bucket).
    ``native``: ``selector`` selects the native (exponential) histogram itself.
    """

    selector: str
    threshold: float
    kind: Literal["explicit", "native"] = "explicit"
    total: str = ""


class BoolGauge(Struct, frozen=True, tag="gauge"):
    """A gauge that is 1 while well and 0 while not (``up``, ``probe_success``): every sample is an event."""

    selector: str


class Threshold(Struct, frozen=True, tag="threshold"):
    """A value that is looked at once each step, well while ``value <op> bound``. Each look is an event."""

    query: str
    op: Comparison
    bound: float


class Part(Struct, frozen=True):
    """One promise inside a composite: ``slo`` is its name; ``weight`` counts only when weighted."""

    slo: str
    weight: float = 1.0


class Composite(Struct, frozen=True, tag="composite"):
    """Several promises as one. ``weighted``: the mean of the parts' ratios by weight. ``all``: a journey, which is good
    in a step only as far as every part is (the product of the parts' ratios, as if they failed independently)."""

    parts: tuple[Part, ...]
    rule: Literal["weighted", "all"] = "weighted"


Indicator = EventRatio | RawRatio | Histogram | BoolGauge | Threshold | Composite


class Calendar(Struct, frozen=True):
    """A window that begins anew at wall-clock boundaries: every ``count`` ``unit``s from ``start`` (local ISO 8601 time,
    empty: the usual boundary: midnight, Monday, the first of the month) in ``time_zone`` (IANA name)."""

    unit: Literal["day", "week", "month", "quarter", "year"]
    count: int = 1
    time_zone: str = "UTC"
    start: str = ""


class Slices(Struct, frozen=True):
    """Time-slice budgeting: the period is cut into slices of ``seconds``. ``good``: a slice counts one event, good when
    its own ratio is at least ``target`` (OpenSLO Timeslices). ``ratio``: each slice counts alike, whatever its traffic
    (OpenSLO RatioTimeslices). A slice without events counts nothing."""

    seconds: float
    target: float = 0.0
    rule: Literal["good", "ratio"] = "good"


class Notice(Struct, frozen=True):
    """What an alert of one urgency carries."""

    disabled: bool = False
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Alerting(Struct, frozen=True):
    """What a team wrote about the alerts of a promise; labels and annotations of ``page`` and ``ticket`` come on
    top of the common ones."""

    name: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    page: Notice = Notice()
    ticket: Notice = Notice()
    absent: bool = False  # also alert when the series are gone
