"""How the watch did over a while, in numbers that say how sure they are.

Times are medians with a distribution-free interval from order statistics (95 % at least; none below six cases, where none
exists), shares come with Wilson's. Incidents that became part of others count there; what has not happened yet is left out
of its time, and counted as open.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct

from midwatch.core.learn.hindsight import wilson
from midwatch.core.learn.stories import Paged, Story, Told
from midwatch.core.oncall.schedule import Shift

REPEAT_SECONDS: Final = 90 * 86400.0
SEVERITIES: Final = (1, 2, 3, 4)


class Times(Struct, frozen=True):
    """Seconds. ``low`` and ``high`` bound the median; None where too few are known."""

    cases: int
    median: float | None = None
    low: float | None = None
    high: float | None = None
    p90: float | None = None


class Part(Struct, frozen=True):
    """``part`` of ``whole``; ``low`` and ``high`` bound the share."""

    part: int
    whole: int
    low: float
    high: float

    @property
    def share(self) -> float | None:
        return self.part / self.whole if self.whole else None


class Load(Struct, frozen=True):
    """Pages of a shift (of a day, where nobody wrote shifts): how many in the middle one, in the worst, and in all."""

    of: str
    count: int
    median: float | None
    most: int
    pages: int
    quiet: Part


class Review(Struct, frozen=True):
    """``times`` by measure and by severity (0 for all)."""

    since_at: float
    until_at: float
    incidents: dict[int, int]
    still_open: int
    times: dict[str, dict[int, Times]]
    load: Load
    actionable: Part
    repeats: Part
    repeated: tuple[tuple[str, int], ...]


MEASURES: Final[dict[str, Callable[[Story], float | None]]] = {
    "detect": lambda s: s.opened_at - s.onset_at,
    "acknowledge": lambda s: _between(s.paged_at, s.acknowledged_at),
    "mitigate": lambda s: _between(s.onset_at, s.mitigated_at if s.mitigated_at is not None else s.resolved_at),
    "recover": lambda s: _between(s.onset_at, s.resolved_at),
}
"""From when to when: onset to noticed, first page to the first answer, onset to eased (over, where nothing eased it before),
onset to over."""


def review(told: Told, since_at: float, until_at: float, shifts: Sequence[Shift] = ()) -> Review:
    """Of the incidents that opened in [since, until). ``told`` should reach ``REPEAT_SECONDS`` further back, so that what
    came again is seen; ``shifts`` are those of that time."""
    known = [s for s in told.stories if not s.absorbed]
    ours = [s for s in known if since_at <= s.opened_at < until_at]
    pages = [p for p in told.pages if since_at <= p.at < until_at]
    by_severity = {0: ours, **{severity: [s for s in ours if s.severity == severity] for severity in SEVERITIES}}
    kept = {severity: some for severity, some in by_severity.items() if some or severity == 0}
    caused = [s for s in ours if s.cause]
    again = [s for s in caused if _came_before(s, known)]
    paged = [s for s in ours if s.paged_at is not None]
    counted: dict[str, int] = {}
    for story in again:
        counted[story.cause] = counted.get(story.cause, 0) + 1
    return Review(
        since_at,
        until_at,
        {severity: len(some) for severity, some in kept.items()},
        sum(s.resolved_at is None for s in ours),
        {
            name: {
                severity: times(value for s in some if (value := of(s)) is not None) for severity, some in kept.items()
            }
            for name, of in MEASURES.items()
        },
        _load(pages, since_at, until_at, shifts),
        part(sum(s.acted for s in paged), len(paged)),
        part(len(again), len(caused)),
        tuple(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))),
    )


def times(values: Iterable[float]) -> Times:
    found = sorted(max(0.0, value) for value in values)
    n = len(found)
    if not n:
        return Times(0)
    middle = (found[(n - 1) // 2] + found[n // 2]) / 2
    rank = _rank(n)
    low, high = (found[rank - 1], found[n - rank]) if rank else (None, None)
    return Times(n, middle, low, high, found[math.ceil(0.9 * n) - 1])


def part(some: int, whole: int) -> Part:
    return Part(some, whole, *wilson(some, whole))


def _rank(n: int) -> int:
    """The largest r for which the r-th smallest and the r-th largest of n enclose the median in 95 % of cases: either tail
    of a fair coin's n throws holds at most 2.5 %. 0 when even the extremes do not."""
    below, rank = 0.0, 0
    for k in range(n // 2):
        below += math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2))
        if below > 0.025:
            break
        rank = k + 1
    return rank


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None or end < start else end - start


def _came_before(story: Story, known: Sequence[Story]) -> bool:
    return any(
        other.cause == story.cause and 0 < story.opened_at - other.opened_at <= REPEAT_SECONDS for other in known
    )


def _load(pages: Sequence[Paged], since_at: float, until_at: float, shifts: Sequence[Shift]) -> Load:
    if shifts:
        held = [shift for shift in shifts if shift.person]
        counts = [sum(_during(page, shift) for page in pages) for shift in held]
        return _loads("shift", counts, len(pages))
    days = max(1, math.ceil((until_at - since_at) / 86400.0))
    counts = [0] * days
    for page in pages:
        counts[min(days - 1, int((page.at - since_at) // 86400.0))] += 1
    return _loads("day", counts, len(pages))


def _during(page: Paged, shift: Shift) -> bool:
    """A page that names nobody counts for everybody whose shift it is."""
    return shift.start_at <= page.at < shift.end_at and page.person in ("", shift.person)


def _loads(of: str, counts: list[int], pages: int) -> Load:
    ordered = sorted(counts)
    n = len(ordered)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2 if n else None
    return Load(of, n, middle, max(ordered, default=0), pages, part(sum(not count for count in counts), n))
