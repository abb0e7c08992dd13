"""Metric streams: what must be remembered between two reports of one stream."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from midwatch.shell.ingest.rows import Point

_MIN_FRESH_SECONDS: Final = 30.0
_MAX_PARTS: Final = 512

StreamKey = tuple[str, str, str, tuple[tuple[str, str], ...]]


def stream_key(point: Point) -> StreamKey:
    """What identifies a stream: reporter, metric and attributes (their order does not matter)."""
    resource = point.resource
    attributes = point.attributes
    if not attributes:
        return resource.service, resource.instance, point.name, ()
    return (
        resource.service,
        resource.instance,
        point.name,
        tuple(sorted((key, str(value)) for key, value in attributes.items())),
    )


@dataclass(slots=True)
class Last:
    """The newest report of a cumulative stream."""

    at: float
    start_at: float
    value: float
    count: float
    counts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Increase:
    """What was added between ``since_at`` and ``at``."""

    since_at: float
    at: float
    value: float
    count: float = 0.0
    counts: tuple[float, ...] = ()


class Streams:
    """Turns cumulative counters and histograms into increases; at most ``limit`` streams, the least recently reported
    one is forgotten first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._last: OrderedDict[StreamKey, Last] = OrderedDict()
        self.resets = 0
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._last)

    def increase(self, point: Point) -> Increase | None:
        """What ``point`` adds, None when there is nothing to compare it with or it is older than what is known."""
        if point.delta:
            since = point.start_at if 0.0 < point.start_at < point.at else point.at
            return Increase(since, point.at, point.value, point.count, point.counts)
        key = stream_key(point)
        last = self._last.get(key)
        new = Last(point.at, point.start_at, point.value, point.count, point.counts)
        if last is None:
            self._last[key] = new
            if len(self._last) > self._limit:
                self._last.popitem(last=False)
                self.forgotten += 1
            return None
        if point.at <= last.at:
            return None
        self._last[key] = new
        self._last.move_to_end(key)
        reset = point.value < last.value or point.count < last.count or len(point.counts) != len(last.counts)
        if reset or (point.start_at > last.start_at > 0.0 and point.start_at >= last.at):
            # The process began again: everything it reports now was added since.
            self.resets += 1
            since = max(last.at, point.start_at) if point.start_at < point.at else last.at
            return Increase(since, point.at, point.value, point.count, point.counts)
        return Increase(
            last.at,
            point.at,
            point.value - last.value,
            point.count - last.count,
            tuple(max(0.0, now - before) for now, before in zip(point.counts, last.counts, strict=True)),
        )


@dataclass(slots=True)
class Part:
    value: float
    at: float
    gap_seconds: float = 0.0


class Parts:
    """The newest value of each stream (or instance) that makes up one gauge. A part that has not reported for three of
    its intervals no longer counts."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}

    def put(self, key: str, value: float, at: float) -> None:
        part = self.parts.get(key)
        if part is None:
            if len(self.parts) < _MAX_PARTS:
                self.parts[key] = Part(value, at)
            return
        if at < part.at:
            return
        if at > part.at:
            part.gap_seconds = at - part.at
        part.value, part.at = value, at

    def fresh(self, at: float) -> dict[str, float]:
        """Values by key of the parts that still count at ``at``."""
        found = {
            key: part.value
            for key, part in self.parts.items()
            if at - part.at <= max(_MIN_FRESH_SECONDS, 3.0 * min(part.gap_seconds, 120.0))
        }
        if len(found) < len(self.parts) and len(self.parts) > 8:
            self.parts = {key: part for key, part in self.parts.items() if key in found}
        return found


def combined(values: dict[str, float], how: str) -> float:
    """One value of several: sum, max, min or mean."""
    if how == "max":
        return max(values.values())
    if how == "min":
        return min(values.values())
    total = sum(values.values())
    return total / len(values) if how == "mean" else total
