"""The poller: asks the sources of the settings for the counts of every promise that midwatch does not count itself.

It runs beside the loop and never delays it: a turn takes what is there (``counts``). A step is asked for once it is
complete; what a restart or an outage of the source left out is read back, oldest first. While a source does not answer, its
promises keep their last counts and say since when and why there are no newer ones (``served.py``).

A promise without a ledger begins with its newest hours, so that it can page; the rest of its period is read back from
there (``past_reader.py``). Slices have to be judged in order, so theirs is read oldest first.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

from midwatch.model.errors import SourceError
from midwatch.model.indicators import Composite
from midwatch.model.ports import Source
from midwatch.model.slo import Slo
from midwatch.model.world import SliCounts, World
from midwatch.shell.asked import Asked, Span, weighed
from midwatch.shell.config import SourceSettings
from midwatch.shell.past_reader import PastReader
from midwatch.shell.reading_back import coarse_step, misfit, pieces, weight
from midwatch.shell.served import AT_ONCE, DOWN_AFTER, Served, backoff

log = logging.getLogger("midwatch.sources")


class Poller:
    """``slos`` gives the promises of now, ``span`` what the ledger of a key has counted, and ``trouble`` hears what is wrong
    with a source, and "" when it is well again. ``clock`` gives unix seconds. While ``wait`` says so, ledgers may still come
    from the store: only those are asked for that are there, because a ledger goes on where it stands."""

    def __init__(
        self,
        sources: Mapping[str, tuple[Source, SourceSettings]],
        *,
        slos: Callable[[], Sequence[Slo]],
        span: Span,
        trouble: Callable[[str, str], object],
        clock: Callable[[], float],
        wait: Callable[[], bool] = lambda: False,
    ) -> None:
        self._sources = {
            name: Served(source, settings, asyncio.Semaphore(AT_ONCE)) for name, (source, settings) in sources.items()
        }
        self._slos, self._span, self._trouble, self._clock, self._wait = slos, span, trouble, clock, wait
        self._asked: dict[str, Asked] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._counted = {"source_questions": 0, "source_failures": 0}
        self._past = PastReader(self._asked, serving=self._serving, clock=clock, counters=self._counted)
        self._gone_dropped = 0  # by promises that are gone

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
        now, wait = self._clock(), self._wait()
        wanted = {s.name: s for s in self._slos() if s.sli == "source" and not isinstance(s.indicator, Composite)}
        for name in self._asked.keys() - wanted.keys():
            self._gone_dropped += self._asked.pop(name).dropped
        for name, slo in wanted.items():
            served = self._serving(slo)
            asked = self._asked.get(name)
            if asked is None or asked.lost():
                self._gone_dropped += asked.dropped if asked is not None else 0
                asked = self._asked[name] = Asked(slo, self._span)
            asked.slo = slo
            if served is None:
                asked.gap = self._unserved(slo)
            elif why := misfit(slo, served.settings.step_seconds):
                asked.gap = f"{name}: {why}"
            elif wait and self._span(name) is None:
                continue
            elif not asked.busy and self._due(asked, served, now):
                asked.busy = True
                served.asking += 1
                self._start(self._ask(asked, served))
        self._trouble("reading back", self._past.queue())
        for served in self._sources.values():
            while self._past.due(served):
                served.reading_back += 1
                self._start(self._past.read(served))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _serving(self, slo: Slo) -> Served | None:
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

    @staticmethod
    def _due(asked: Asked, served: Served, now: float) -> bool:
        if now < asked.not_before or (served.down and (now < served.not_before or served.asking)):
            return False
        return served.complete_until(now) > asked.tried

    async def _ask(self, asked: Asked, served: Served) -> None:
        now = self._clock()
        try:
            async with served.slots:
                if served.down and self._clock() < served.not_before:
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

    async def _read_on(self, asked: Asked, served: Served, now: float) -> bool:
        """Whether anything was asked."""
        slo, step = asked.slo, served.settings.step_seconds
        until = served.complete_until(now)
        if math.isnan(asked.seen):
            asked.place(until, step)
        parts = pieces(asked.seen, until, step, coarse_step(slo, step))
        for number, (begin, end, width) in enumerate(parts):
            if asked.full(round((end - begin) / width)):
                return number > 0  # the ledgers take what there is; the next look reads on
            self._counted["source_questions"] += 1
            found = await served.source.counts(slo, begin, end, width)
            worth = weight(slo, width, step)
            asked.take([weighed(one, worth) for one in found], end, last=number == len(parts) - 1)
        asked.tried = until
        return True

    def _failed(self, asked: Asked, served: Served, error: SourceError) -> None:
        now = self._clock()
        self._counted["source_failures"] += 1
        asked.failures += 1
        served.failures += 1
        asked.gap = f"{error}" + (f" ({error.hint})" if error.hint else "")
        asked.not_before = now + backoff(asked.failures)
        if served.down:
            served.not_before = now + backoff(served.failures - DOWN_AFTER + 1)
            if self._trouble(f"source {served.source.name}", f"the source {error}"):
                log.warning("the source %s", error)
            for other in self._asked.values():
                if self._serving(other.slo) is served and not other.gap:
                    other.gap = asked.gap

    def _well(self, served: Served) -> None:
        if served.down:
            self._trouble(f"source {served.source.name}", "")
            for other in self._asked.values():  # they waited for the source, not for themselves
                if self._serving(other.slo) is served:
                    other.not_before = 0.0
        served.failures = 0

    # -- what others read --

    def shown(self, world: World) -> World:
        """``world`` with what was counted."""
        return replace(world, sli=self.counts()) if self._asked else world

    def counts(self) -> dict[str, SliCounts]:
        """For ``World.sli``: by ledger key, what was counted lately; a promise without counts yet is there with its gap."""
        now = self._clock()
        return {key: one for asked in self._asked.values() for key, one in asked.counts(now).items()}

    @property
    def counters(self) -> dict[str, int]:
        dropped = self._gone_dropped + sum(asked.dropped for asked in self._asked.values())
        return {**self._counted, "source_steps_dropped": dropped}

    def gauges(self) -> dict[str, float]:
        down = sum(1 for served in self._sources.values() if served.down)
        return {"sources": float(len(self._sources)), "sources_down": float(down)}
