"""What users felt, from the load generator's own log: the only witness that a score trusts.

A request is bad when it failed (5xx, or no answer) or took longer than ``SLOW_MS``. Routes are judged one by one,
so that harm on a rare route is not drowned in healthy traffic elsewhere.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

SLOW_MS: Final = 300.0  # six times what the slowest route takes at its 99th percentile while all is well
HARM_WINDOW_SECONDS: Final = 10.0
HARM_BAD: Final = 3  # a route is harmed when so many of its requests are bad within the window ...
HARM_RATIO: Final = 0.05  # ... and at least this share of them
RECOVERED_SECONDS: Final = 120.0
ROUTE_TARGET: Final = 0.95  # recovered: for so long, every route at or above this share of good requests ...
TOTAL_TARGET: Final = 0.99  # ... and all requests together above this one


@dataclass(frozen=True)
class Request:
    """One request of a user: when it was sent (unix seconds), its route, whether it was answered well, how long it took."""

    at: float
    route: str
    ok: bool
    ms: float

    @property
    def bad(self) -> bool:
        return not self.ok or self.ms > SLOW_MS


def first_harm(requests: Sequence[Request], since_at: float) -> float | None:
    """When the first bad request of the first harmed window was sent, after ``since_at``; None when nobody was hurt."""
    by_route: dict[str, list[Request]] = defaultdict(list)
    for request in requests:
        if request.at >= since_at:
            by_route[request.route].append(request)
    starts = [at for group in by_route.values() if (at := _route_harm(group)) is not None]
    return min(starts, default=None)


def _route_harm(group: Sequence[Request]) -> float | None:
    times = [r.at for r in group]
    bad = [i for i, r in enumerate(group) if r.bad]
    for n, first in enumerate(bad[: len(bad) - HARM_BAD + 1]):
        if times[bad[n + HARM_BAD - 1]] - times[first] > HARM_WINDOW_SECONDS:
            continue
        end = bisect_left(times, times[first] + HARM_WINDOW_SECONDS)
        hurt = sum(1 for i in bad[n:] if i < end)
        if hurt >= HARM_RATIO * (end - first):
            return times[first]
    return None


def in_target(requests: Iterable[Request], start_at: float, end_at: float) -> bool:
    """Whether users were served well over the whole window; an empty window is not."""
    total: dict[str, int] = defaultdict(int)
    bad: dict[str, int] = defaultdict(int)
    for request in requests:
        if start_at <= request.at < end_at:
            total[request.route] += 1
            bad[request.route] += request.bad
    if not total:
        return False
    if sum(bad.values()) > (1 - TOTAL_TARGET) * sum(total.values()):
        return False
    # Two bad requests on a rare route are no outage.
    return all(bad[route] <= max(2, (1 - ROUTE_TARGET) * count) for route, count in total.items())


def recovered_at(requests: Sequence[Request], since_at: float, until_at: float) -> float | None:
    """The start of the first ``RECOVERED_SECONDS`` in target after ``since_at`` that ends by ``until_at``."""
    ordered = sorted(requests, key=lambda r: r.at)
    times = [r.at for r in ordered]
    start = since_at
    while start + RECOVERED_SECONDS <= until_at:
        window = ordered[bisect_left(times, start) : bisect_left(times, start + RECOVERED_SECONDS)]
        if in_target(window, start, start + RECOVERED_SECONDS):
            return start
        start += 1.0
    return None


def bad_share(requests: Iterable[Request], start_at: float, end_at: float) -> float:
    """The share of bad requests in the window, NaN without requests."""
    seen = [r.bad for r in requests if start_at <= r.at < end_at]
    return sum(seen) / len(seen) if seen else float("nan")
