"""The poller: asks the sources of the settings for the counts of every promise that midwatch does not count itself.

It runs beside the loop and never delays it: a turn takes what is there (``counts``). A step is asked for once it is
complete; what a restart or an outage of the source left out is read back (``reading_back.py``), oldest first. While a
source does not answer, its promises keep their last counts and say since when and why there are no newer ones.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from msgspec import Struct

from midwatch.adapters.sources.prometheus.client import Client
from midwatch.adapters.sources.prometheus.source import Counting, PrometheusSource
from midwatch.core.memory import Ledger
from midwatch.core.slo import exact as exactly
from midwatch.core.slo import promql
from midwatch.model.errors import ConfigError, MidwatchError, SourceError
from midwatch.model.indicators import Composite
from midwatch.model.ports import Source
from midwatch.model.slo import Slo
from midwatch.model.world import SliCounts, World
from midwatch.shell.config import SourceSettings, resolve
from midwatch.shell.reading_back import coarse_step, misfit, oldest, pieces, weight

log = logging.getLogger("midwatch.sources")

KEPT_SECONDS: Final = 1200.0  # of what the ledgers have taken already: as much as the World's window
MAX_STEPS: Final = 20_000  # of one ledger, waiting to be taken; reading on waits for room, and begins where it stopped
AT_ONCE: Final = 4  # questions to one source
DOWN_AFTER: Final = 3  # failures on end, of any promises: the source is down, and one promise asks for all
FIRST_BACKOFF_SECONDS: Final = 5.0
MAX_BACKOFF_SECONDS: Final = 300.0


class Queries(Struct, frozen=True):
    """PromQL for the good and for all events of one step."""

    good: str
    total: str


def counting(arithmetic: str) -> Counting:
    """How a promise is counted: ``exact`` (differences that add up) or ``increase`` (as Prometheus extrapolates)."""

    def asked(slo: Slo, step_seconds: float) -> Queries:
        from midwatch.core.slo import queries

        found = queries.counting(slo, promql.duration(step_seconds))
        if arithmetic == "increase":
            return Queries(found.good, found.total)
        return Queries(exactly.exact(found.good, step_seconds), exactly.exact(found.total, step_seconds))

    def friendly(slo: Slo, step_seconds: float) -> Queries:
        try:
            return asked(slo, step_seconds)
        except SourceError:
            raise
        except MidwatchError as error:
            raise SourceError(f"cannot count {slo.name}: {error}", hint=error.hint) from error
        except ValueError as error:  # of the PromQL parser
            raise SourceError(f"cannot count {slo.name}: {error}") from error

    return friendly


def build_source(name: str, settings: SourceSettings) -> Source:
    """The source of one entry of ``sources:``. References are looked up with each question."""

    def headers() -> dict[str, str]:
        try:
            found = {header: resolve(value) for header, value in settings.headers.items()}
            if settings.bearer_token:
                found["Authorization"] = f"Bearer {resolve(settings.bearer_token)}"
            if settings.tenant:
                found["X-Scope-OrgID"] = resolve(settings.tenant)
        except ConfigError as error:
            raise SourceError(f"lacks a secret: {error}", hint=error.hint) from error
        return found

    client = Client(resolve(settings.url), headers, timeout_seconds=settings.timeout_seconds)
    return PrometheusSource(name, client, counting(settings.arithmetic))


@dataclass
class _Asked:
    """One promise: everything before ``seen`` was read; ``tried`` is the end of the last span that was asked for."""

    slo: Slo
    seen: float
    tried: float = 0.0
    failures: int = 0
    not_before: float = 0.0
    gap: str = ""
    busy: bool = False
    pruned: bool = False  # what the ledger had taken is gone from here
    keys: dict[str, SliCounts] = field(default_factory=dict)


@dataclass
class _Served:
    """One source: how it does."""

    source: Source
    settings: SourceSettings
    slots: asyncio.Semaphore
    failures: int = 0
    not_before: float = 0.0
    asking: int = 0


class Poller:
    """``slos`` gives the promises of now, ``taken`` up to where the ledger of a key has counted (None: there is none), and
    ``trouble`` hears what is wrong with a source, and "" when it is well again. ``clock`` gives unix seconds."""

    def __init__(
        self,
        sources: Mapping[str, tuple[Source, SourceSettings]],
        *,
        slos: Callable[[], Sequence[Slo]],
        taken: Callable[[str], float | None],
        trouble: Callable[[str, str], object],
        clock: Callable[[], float],
    ) -> None:
        self._sources = {
            name: _Served(source, settings, asyncio.Semaphore(AT_ONCE)) for name, (source, settings) in sources.items()
        }
        self._slos, self._taken, self._trouble, self._clock = slos, taken, trouble, clock
        self._asked: dict[str, _Asked] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.counters = {"source_questions": 0, "source_failures": 0, "source_steps_dropped": 0}

    async def run(self, every_seconds: float = 1.0) -> None:
        """Ask until cancelled. Never raises otherwise."""
        try:
            while True:
                try:
                    self.begin()
                except Exception:
                    log.exception("the poller stumbled; it goes on")
                await asyncio.sleep(every_seconds)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def settle(self) -> None:
        """Wait until everything that was asked has been answered."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def begin(self) -> None:
        """Start asking for whatever is due. Returns at once."""
        now = self._clock()
        wanted = {s.name: s for s in self._slos() if s.sli == "source" and not isinstance(s.indicator, Composite)}
        for name in self._asked.keys() - wanted.keys():
            del self._asked[name]
        for name, slo in wanted.items():
            served = self._serving(slo)
            asked = self._asked.get(name)
            if asked is None or (asked.pruned and not asked.busy and self._taken(name) is None):
                asked = self._asked[name] = _Asked(slo, math.nan)  # the working set was lost: read it all back
            asked.slo = slo
            if served is None:
                asked.gap = self._unserved(slo)
            elif why := misfit(slo, served.settings.step_seconds):
                asked.gap = f"{name}: {why}"
            elif not asked.busy and self._due(asked, served, now):
                asked.busy = True
                served.asking += 1
                task = asyncio.get_running_loop().create_task(self._ask(asked, served))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _serving(self, slo: Slo) -> _Served | None:
        if slo.data_source:
            return self._sources.get(slo.data_source)
        return next(iter(self._sources.values())) if len(self._sources) == 1 else None

    def _unserved(self, slo: Slo) -> str:
        known = ", ".join(sorted(self._sources))
        if not known:
            return "settings.yaml names no source to count it"
        if slo.data_source:
            return f"settings.yaml names no source {slo.data_source!r}; known: {known}"
        return f"it does not say which source counts it; known: {known}"

    def _due(self, asked: _Asked, served: _Served, now: float) -> bool:
        if now < asked.not_before or (served.failures >= DOWN_AFTER and (now < served.not_before or served.asking)):
            return False
        return self._until(served, now) > asked.tried

    @staticmethod
    def _until(served: _Served, now: float) -> float:
        step = served.settings.step_seconds
        return math.floor((now - served.settings.delay_seconds) / step) * step

    async def _ask(self, asked: _Asked, served: _Served) -> None:
        now = self._clock()
        try:
            async with served.slots:
                if served.failures >= DOWN_AFTER and self._clock() < served.not_before:
                    return  # it went down while this one stood in the queue
                answered = await self._read_on(asked, served, now)
            if answered:
                asked.failures, asked.not_before = 0, 0.0
                self._well(served)
        except SourceError as error:
            self._failed(asked, served, error)
        except Exception as error:  # a source is foreign code: whatever it does, the next step is asked for again
            log.exception("asking for %s stumbled", asked.slo.name)
            self._failed(asked, served, SourceError(f"{type(error).__name__}"))
        finally:
            asked.busy = False
            served.asking -= 1

    async def _read_on(self, asked: _Asked, served: _Served, now: float) -> bool:
        """Whether anything was asked."""
        slo, step = asked.slo, served.settings.step_seconds
        until = self._until(served, now)
        if math.isnan(asked.seen):
            asked.seen = math.floor(self._first(slo, until) / step) * step
        parts = pieces(asked.seen, until, step, coarse_step(slo, step))
        for number, (begin, end, width) in enumerate(parts):
            if self._full(asked, round((end - begin) / width)):
                return number > 0  # the ledgers take what there is; the next look reads on
            self.counters["source_questions"] += 1
            found = await served.source.counts(slo, begin, end, width)
            last = number == len(parts) - 1
            self._take(asked, [_weighed(one, weight(slo, width, step)) for one in found], end, last)
        asked.tried = until
        return True

    def _full(self, asked: _Asked, more: int) -> bool:
        """Whether one of its ledgers has so much to take already that ``more`` steps would be too many."""
        longest = max(asked.keys.values(), key=lambda one: one.at.size, default=None)
        return longest is not None and self._waiting(longest) + more > MAX_STEPS

    def _waiting(self, one: SliCounts) -> int:
        taken = self._taken(one.key) or self._taken(one.slo)
        return one.at.size if taken is None else int((one.at >= taken).sum())

    def _first(self, slo: Slo, until: float) -> float:
        """Where reading begins: where the ledger stands, or at the period's begin."""
        begin = oldest(slo, until)
        return max(begin, self._taken(slo.name) or begin)

    def _take(self, asked: _Asked, found: Sequence[SliCounts], end: float, last: bool) -> None:
        """What one question brought. Only the newest end can be a gap; further back, what is missing had no events."""
        for one in found:
            if asked.slo.group_by and not one.group:
                continue  # nothing matched: no group is known by that
            seen = one.seen_until if last else end
            before = asked.keys.get(one.key)
            asked.keys[one.key] = self._kept(before, replace(one, seen_until=seen), asked)
        asked.seen = max((one.seen_until for one in found), default=end) if last else end
        asked.gap = found[0].gap if last and found else ""
        if asked.slo.group_by:  # a group that did not come had no events
            for key, one in asked.keys.items():
                asked.keys[key] = replace(one, seen_until=max(one.seen_until, asked.seen))
            self._forget(asked)

    def _forget(self, asked: _Asked) -> None:
        """Beyond the bound of groups, let those go that have no ledger of their own and had no events lately: labels that
        change all the time would gather without end. What they had was counted with the whole."""
        taken = self._taken(asked.slo.name)
        if taken is None or len(asked.keys) <= asked.slo.max_groups:
            return
        oldest = min(taken, asked.seen - KEPT_SECONDS)
        silent = [key for key, one in asked.keys.items() if not one.total[one.at >= oldest].any()]
        for key in silent:
            if self._taken(key) is None:
                del asked.keys[key]

    def _kept(self, before: SliCounts | None, new: SliCounts, asked: _Asked) -> SliCounts:
        """Both, less what the ledger has taken and is older than the World's window. A late first step never counts twice:
        what is asked for begins where the last answer ended."""
        if before is None:
            return new
        at, good, total = (
            np.concatenate([getattr(before, name), getattr(new, name)]) for name in ("at", "good", "total")
        )
        taken = self._taken(new.key)
        if taken is None and new.group:  # beyond the bound of groups it is counted with the whole
            taken = self._taken(new.slo)
        asked.pruned = asked.pruned or taken is not None
        keep = at >= min(new.seen_until - KEPT_SECONDS, taken if taken is not None else -math.inf)
        if (many := int(keep.sum())) > MAX_STEPS:
            self.counters["source_steps_dropped"] += many - MAX_STEPS
            keep[: len(keep) - MAX_STEPS] = False
        return SliCounts(new.slo, new.group, at[keep], good[keep], total[keep], new.seen_until, "")

    def _failed(self, asked: _Asked, served: _Served, error: SourceError) -> None:
        now = self._clock()
        self.counters["source_failures"] += 1
        asked.failures += 1
        served.failures += 1
        asked.gap = f"{error}" + (f" ({error.hint})" if error.hint else "")
        asked.not_before = now + _backoff(asked.failures)
        if served.failures >= DOWN_AFTER:
            served.not_before = now + _backoff(served.failures - DOWN_AFTER + 1)
            if self._trouble(f"source {served.source.name}", f"the source {error}"):
                log.warning("the source %s", error)
            for other in self._asked.values():
                if self._serving(other.slo) is served and not other.gap:
                    other.gap = asked.gap

    def _well(self, served: _Served) -> None:
        if served.failures >= DOWN_AFTER:
            self._trouble(f"source {served.source.name}", "")
            for other in self._asked.values():  # they waited for the source, not for themselves
                if self._serving(other.slo) is served:
                    other.not_before = 0.0
        served.failures = 0

    def shown(self, world: World) -> World:
        """``world`` with what was counted."""
        return replace(world, sli=self.counts()) if self._asked else world

    def counts(self) -> dict[str, SliCounts]:
        """For ``World.sli``: by ledger key, what was counted lately; a promise without counts yet is there with its gap."""
        found: dict[str, SliCounts] = {}
        for name, asked in self._asked.items():
            if not asked.keys:
                if asked.gap:
                    seen = asked.seen
                    if math.isnan(seen):  # never asked: seen as far as the ledger is, and no step further
                        taken = self._taken(name)
                        seen = taken if taken is not None else self._clock()
                    found[name] = SliCounts(name, (), np.empty(0), np.empty(0), np.empty(0), seen, asked.gap)
                continue
            for key, one in asked.keys.items():
                found[key] = replace(one, gap=asked.gap) if asked.gap != one.gap else one
        return found

    def gauges(self) -> dict[str, float]:
        down = sum(1 for served in self._sources.values() if served.failures >= DOWN_AFTER)
        return {"sources": float(len(self._sources)), "sources_down": float(down)}


def _weighed(one: SliCounts, worth: float) -> SliCounts:
    return one if worth == 1 else replace(one, good=one.good * worth, total=one.total * worth)


def _backoff(failures: int) -> float:
    return min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 10))


def build_sources(settings: Mapping[str, SourceSettings]) -> dict[str, tuple[Source, SourceSettings]]:
    """Every source of ``sources:``. Raises ConfigError when an address is a reference that leads nowhere."""
    return {name: (build_source(name, one), one) for name, one in settings.items()}


def seen_until(ledgers: Mapping[str, Ledger], key: str) -> float | None:
    """Up to where the ledger of ``key`` has counted; for a promise with groups, the furthest of them. None without any."""
    if key in ledgers:
        return ledgers[key].seen_until
    groups = [ledger.seen_until for name, ledger in ledgers.items() if name.startswith(key + "{")]
    return max(groups, default=None)
