"""Good and total per step, counted by the other side: two range queries for each promise and span.

The queries come from ``counting`` (``core/slo/queries.py`` and ``core/slo/exact.py``; the shell passes it in), so that
rules, back-tests and live budgets count alike. What comes back is kept as it is: impossible data (good above total, a
negative count, NaN) is for the ledger to report, not for the source to hide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np

from midwatch.adapters.sources.prometheus.client import Client, Series
from midwatch.adapters.sources.prometheus.manifest import EARLIER_SECONDS, MAX_POINTS
from midwatch.model.errors import SourceError
from midwatch.model.indicators import RawRatio
from midwatch.model.slo import Slo
from midwatch.model.world import Floats, SliCounts

ABSENT_SECONDS: Final = 150.0
"""A query that matched nothing for so long, at the newest end, is said: scrapes come each minute at the slowest."""
USUAL_SECONDS: Final = 86400.0
"""A query for good events that matched nothing for so long, beside events that did happen, is taken to be misspelt."""

Group = tuple[tuple[str, str], ...]


class Queries(Protocol):
    """PromQL for the events of one step."""

    @property
    def good(self) -> str: ...

    @property
    def total(self) -> str: ...


Counting = Callable[[Slo, float], Queries]
"""``counting(slo, step_seconds)``; raises MidwatchError when the promise cannot be counted so."""


class PrometheusSource:
    """``counts`` as the port says. Steps lie on multiples of ``step_seconds``; the newest whole one before ``until_at`` is
    the last. A step for which the query for the total gives nothing is left out."""

    def __init__(self, name: str, client: Client, counting: Counting) -> None:
        self._name, self._client, self._counting = name, client, counting
        self._good_seen: set[str] = set()

    @property
    def name(self) -> str:
        return self._name

    @property
    def client(self) -> Client:
        """For questions about the source itself."""
        return self._client

    async def counts(self, slo: Slo, since_at: float, until_at: float, step_seconds: float) -> Sequence[SliCounts]:
        first = math.ceil(since_at / step_seconds - 1e-9)
        last = math.floor(until_at / step_seconds + 1e-9)  # boundaries: step k lies in [k, k + 1) x step_seconds
        if last <= first:
            return [_nothing(slo, first * step_seconds, "")]
        try:
            asked = self._counting(slo, step_seconds)
            totals = await self._ask(asked.total, slo, first, last, step_seconds)
            goods = await self._ask(asked.good, slo, first, last, step_seconds) if totals else {}
            if (
                totals
                and not goods
                and slo.name not in self._good_seen
                and await self._never_good(asked.good, last * step_seconds)
            ):
                why = "there are events, yet its query for good events has matched nothing for a day"
                return [_nothing(slo, first * step_seconds, f"{self._name}: {why}: is it misspelt?")]
        except SourceError as error:
            raise SourceError(f"{self._name} {error}", hint=error.hint) from error
        if goods:
            self._good_seen.add(slo.name)
        if not totals:
            absent = (last - first) * step_seconds >= ABSENT_SECONDS
            why = f"{self._name}: no series match the query for its events" if absent else ""
            return [_nothing(slo, first * step_seconds, why)]
        start_at, until = first * step_seconds, last * step_seconds
        raw = isinstance(slo.indicator, RawRatio)
        return [
            self._merge(slo, group, totals[group], goods.get(group), (start_at, until, step_seconds), raw)
            for group in sorted(totals)
        ]

    async def _ask(self, query: str, slo: Slo, first: int, last: int, step_seconds: float) -> dict[Group, Series]:
        """By group, in pieces that the API accepts. ``at`` becomes the step's begin."""
        found: dict[Group, list[Series]] = {}
        for begin in range(first, last, MAX_POINTS):
            end = min(begin + MAX_POINTS, last)
            for series in await self._client.query_range(
                query, (begin + 1) * step_seconds - EARLIER_SECONDS, end * step_seconds - EARLIER_SECONDS, step_seconds
            ):
                group = tuple((label, series.labels.get(label, "")) for label in slo.group_by)
                at = (np.rint((series.at + EARLIER_SECONDS) / step_seconds) - 1) * step_seconds
                found.setdefault(group, []).append(Series(series.labels, at, series.values))
        return {group: _joined(slo, pieces) for group, pieces in found.items()}

    async def _never_good(self, query: str, until_at: float) -> bool:
        step = 600.0
        end = math.floor(until_at / step) * step
        return not await self._client.query_range(query, end - USUAL_SECONDS, end, step)

    def _merge(
        self, slo: Slo, group: Group, total: Series, good: Series | None, span: tuple[float, float, float], raw: bool
    ) -> SliCounts:
        """One group's steps. ``span``: begin, end and step in seconds."""
        since, until, step = span
        at, whole = total.at, total.values
        part = np.zeros_like(whole)
        if good is not None:
            _, here, there = np.intersect1d(at, good.at, assume_unique=True, return_indices=True)
            part[here] = good.values[there]
        seen = float(at[-1]) + step if at.size else since
        if raw:  # nothing by nothing: a ratio of no events
            kept = ~(np.isnan(whole) | np.isnan(part))
            at, whole, part = at[kept], whole[kept], part[kept]
        if slo.group_by:  # a group that is silent is not a source that is
            return SliCounts(slo.name, group, at, part, whole, until)
        absent = until - seen >= ABSENT_SECONDS
        gap = f"{self._name}: no series match the query for its events any more" if absent else ""
        return SliCounts(slo.name, group, at, part, whole, seen, gap)


def _joined(slo: Slo, pieces: list[Series]) -> Series:
    """Pieces of one group in order of time. Two series of one group at a time would count one event for another."""
    at = np.concatenate([piece.at for piece in pieces])
    values = np.concatenate([piece.values for piece in pieces])
    order = np.argsort(at, kind="stable")
    at, values = at[order], values[order]
    if at.size > 1 and not (np.diff(at) > 0).all():
        what = (
            f"more than one series for each of its groups ({', '.join(slo.group_by)})"
            if slo.group_by
            else "several series"
        )
        raise SourceError(f"gives {what} for {slo.name}", hint="sum in the query, or name the labels to group by")
    return Series(pieces[0].labels, at, values)


def _nothing(slo: Slo, seen_until: float, gap: str) -> SliCounts:
    empty: Floats = np.empty(0)
    return SliCounts(slo.name, (), empty, empty, empty, seen_until, gap)
