"""Telemetry to store."""

from __future__ import annotations

import random

from midwatch.shell.ingest.rows import CONSUMER, SERVER, STATUS_ERROR, Batch, LogLine, Point, Resource, Span

dice = random.Random(11)


def resource(service: str = "payment") -> Resource:
    return Resource(service, f"{service}-eu-1", "1.4.2", "eu", "eu-host", "service", {"service.name": service})


def span(at: float, *, service: str = "payment", failed: bool = False, ms: float = 12.5, kind: int = SERVER) -> Span:
    return Span(
        resource(service), f"{dice.getrandbits(128):032x}", f"{dice.getrandbits(64):016x}", "", "POST /pay", kind, at, ms,
        STATUS_ERROR if failed else 0, "", {"http.route": "/pay", "n": 3, "ok": True, "list": [1, "a"], "q": "it's \\ ☃"},
        "PoolTimeout" if failed else "", "18 wait on 5" if failed else "", (("ab" * 16, "cd" * 8),),
    )  # fmt: skip


def line(at: float, body: str = "pool timeout ☃ \x00 it's", service: str = "payment") -> LogLine:
    return LogLine(resource(service), at, 17, body, {"thread": "main"}, "ab" * 16, "cd" * 8, "pool.timeout")


def gauge(at: float, value: float, name: str = "process.memory.usage") -> Point:
    return Point(resource(), name, "By", "gauge", at, 0.0, value, {"pool": "main"})


def histogram(at: float) -> Point:
    return Point(
        resource(), "http.server.request.duration", "s", "histogram", at, at - 60, 1.5, {"b": 1, "a": "x"}, True, True,
        10.0, (0.1, 1.0), (4.0, 5.0, 1.0),
    )  # fmt: skip


def batch(at: float, n: int = 3) -> Batch:
    return Batch(
        [span(at + i / 1000) for i in range(n)],
        [line(at + i / 1000) for i in range(n)],
        [gauge(at, 1.5), histogram(at)],
    )


__all__ = ["CONSUMER", "batch", "gauge", "histogram", "line", "resource", "span"]
