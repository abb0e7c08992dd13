"""The poller: asks the sources of the settings for the counts of every promise that midwatch does not count itself.

It runs beside the loop and never delays it: a turn takes what is there (``counts``). A step is asked for once it is
complete; what a restart or an outage of the source left out is read back (``reading_back.py``), oldest first. While a
source does not answer, its promises keep their last counts and say since when and why there are no newer ones.

A promise without a ledger begins with its newest hours, so that it can page; the rest of its period is read back from
there, a piece of each promise in turn, by at most ``BACK_AT_ONCE`` questions beside those for what is new, and no piece is
asked for before the ledger has taken the one before it. Slices have to be judged in order, so theirs is read oldest first.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from midwatch.core.memory import Ledger
from midwatch.model.errors import SourceError
from midwatch.model.indicators import Composite
from midwatch.model.ports import Source
from midwatch.model.slo import Slo
from midwatch.model.world import Floats, SliCounts, World
from midwatch.shell.config import SourceSettings
from midwatch.shell.reading_back import PIECE_SECONDS, coarse_step, fine_from, misfit, oldest, pieces, weight

log = logging.getLogger("midwatch.sources")

KEPT_SECONDS: Final = 1200.0  # of what the ledgers have taken already: as much as the World's window
MAX_STEPS: Final = 20_000  # of one ledger, waiting to be taken; reading on waits for room, and begins where it stopped
AT_ONCE: Final = 4  # questions to one source
BACK_AT_ONCE: Final = 2  # of them for what lies further back
LONGEST_PIECE_SECONDS: Final = 8 * PIECE_SECONDS
FAST_SECONDS: Final = 0.5  # a source that answers sooner is asked for twice as much the next time
DOWN_AFTER: Final = 3  # failures on end, of any promises: the source is down, and one promise asks for all
FIRST_BACKOFF_SECONDS: Final = 5.0
MAX_BACKOFF_SECONDS: Final = 300.0


@dataclass
class _Asked:
    """One promise: everything from ``back`` up to ``seen`` was read; ``tried`` is the end of the last span that was asked
    for, and ``back_again`` when what lies before ``back`` may be asked for again."""

    slo: Slo
    seen: float
    back: float = math.inf
    oldest: float = -math.inf  # where its past begins
    tried: float = 0.0
    failures: int = 0
    not_before: float = 0.0
    back_failures: int = 0
    back_again: float = 0.0
    gap: str = ""
    busy: bool = False
    reading: bool = False  # what lies further back
    queued: bool = False
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
    behind: deque[str] = field(default_factory=deque)  # promises whose past is not read yet, whose turn it is first
    reading_back: int = 0  # tasks
    piece_seconds: float = PIECE_SECONDS


class Poller:
    """``slos`` gives the promises of now, ``span`` the begin and the end of what the ledger of a key has counted (None:
    there is none), and ``trouble`` hears what is wrong with a source, and "" when it is well again. ``clock`` gives unix
    seconds."""

    def __init__(
        self,
        sources: Mapping[str, tuple[Source, SourceSettings]],
        *,
        slos: Callable[[], Sequence[Slo]],
        span: Callable[[str], tuple[float, float] | None],
        trouble: Callable[[str, str], object],
        clock: Callable[[], float],
    ) -> None:
        self._sources = {
            name: _Served(source, settings, asyncio.Semaphore(AT_ONCE)) for name, (source, settings) in sources.items()
        }
        self._slos, self._span, self._trouble, self._clock = slos, span, trouble, clock
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
            if asked is None or (asked.pruned and not asked.busy and self._span(name) is None):
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
        self._begin_back()

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
            self._place(asked, until, step)
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
        span = self._span(one.key) or self._span(one.slo)
        return one.at.size if span is None else int(_outside(one.at, span).sum())

    def _place(self, asked: _Asked, until: float, step: float) -> None:
        """Where reading begins: where the ledger stands; without one at the newest hours, or for slices at the begin."""
        slo, span = asked.slo, self._span(asked.slo.name)
        asked.oldest = math.floor(oldest(slo, until) / step) * step
        if span is not None:
            asked.seen = max(asked.oldest, math.floor(span[1] / step) * step)
        else:
            asked.seen = asked.back = asked.oldest if slo.slices else max(asked.oldest, fine_from(until))

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
        span = self._span(asked.slo.name)
        if span is None or len(asked.keys) <= asked.slo.max_groups:
            return
        since = asked.seen - KEPT_SECONDS
        silent = [
            key for key, one in asked.keys.items() if not one.total[_outside(one.at, span) | (one.at >= since)].any()
        ]
        for key in silent:
            if self._span(key) is None:
                del asked.keys[key]

    def _kept(self, before: SliCounts | None, new: SliCounts, asked: _Asked) -> SliCounts:
        """Both, less what the ledger has taken and is older than the World's window. A late first step never counts twice:
        what is asked for begins where the last answer ended."""
        if before is None:
            return new
        first, second = (new, before) if new.at.size and before.at.size and new.at[0] < before.at[0] else (before, new)
        at, good, total = (
            np.concatenate([getattr(first, name), getattr(second, name)]) for name in ("at", "good", "total")
        )
        span = self._span(new.key)
        if span is None and new.group:  # beyond the bound of groups it is counted with the whole
            span = self._span(new.slo)
        asked.pruned = asked.pruned or span is not None
        if span is not None:
            keep = _outside(at, span) | (at >= new.seen_until - KEPT_SECONDS)
        else:
            keep = np.ones(at.size, dtype=bool)
        if (many := int(keep.sum())) > MAX_STEPS:
            self.counters["source_steps_dropped"] += many - MAX_STEPS
            keep[: len(keep) - MAX_STEPS] = False
        return SliCounts(new.slo, new.group, at[keep], good[keep], total[keep], new.seen_until, "")

    # -- what lies further back --

    def _begin_back(self) -> None:
        """Start reading on where the ledgers have room, and say how far it is."""
        behind, there = 0, 0.0
        for name, asked in self._asked.items():
            edge = self._edge(asked)
            if edge > asked.oldest:
                behind += 1
                there += (asked.seen - edge) / (asked.seen - asked.oldest) if math.isfinite(edge) else 0.0
                served = self._serving(asked.slo)
                if not asked.queued and served is not None:
                    asked.queued = True
                    served.behind.append(name)
        for served in self._sources.values():
            while served.behind and served.failures == 0 and served.reading_back < BACK_AT_ONCE:
                served.reading_back += 1
                task = asyncio.get_running_loop().create_task(self._read_back(served))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        many = len(self._asked)
        whole = (many - behind + there) / many if many else 1.0
        self._trouble(
            "reading back",
            f"the past of {behind:,} of {many:,} promises is still being read back from their source, "
            f"{whole:.0%} of all is there: until then their budgets are those of what has been counted"
            if behind
            else "",
        )

    def _edge(self, asked: _Asked) -> float:
        """Everything since then was read, by this poller or into the ledger that the store had; -inf before any question."""
        if math.isnan(asked.seen) or asked.slo.slices is not None:
            return -math.inf
        if asked.back <= asked.oldest:
            return asked.back
        span = self._span(asked.slo.name)
        return asked.back if span is None else min(asked.back, span[0])

    async def _read_back(self, served: _Served) -> None:
        """One piece after another, until none waits or what is new needs the slot."""
        try:
            while (asked := self._next(served)) is not None:
                await self._piece(asked, served)
                if served.slots.locked():
                    return
        finally:
            served.reading_back -= 1

    def _next(self, served: _Served) -> _Asked | None:
        """The promise whose turn it is, of those whose ledger has taken all that was read."""
        now = self._clock()
        for _ in range(len(served.behind)):
            name = served.behind.popleft()
            asked = self._asked.get(name)
            if asked is None or self._serving(asked.slo) is not served or self._edge(asked) <= asked.oldest:
                if asked is not None:
                    asked.queued = False
                continue
            served.behind.append(name)
            if not asked.reading and now >= asked.back_again and self._taken_all(asked):
                return asked
        return None

    def _taken_all(self, asked: _Asked) -> bool:
        for one in asked.keys.values():
            if one.at.size:
                span = self._span(one.key) or self._span(one.slo)
                if span is None or one.at[0] < span[0] - 1e-6:
                    return False
        return True

    async def _piece(self, asked: _Asked, served: _Served) -> None:
        """Read one piece before what is there. No series there is no gap: nothing happened yet."""
        slo, step = asked.slo, coarse_step(asked.slo, served.settings.step_seconds)
        end = math.floor(self._edge(asked) / step) * step
        begin = max(math.floor(asked.oldest / step) * step, end - served.piece_seconds)
        if begin >= end:
            asked.back = asked.oldest
            return
        asked.reading = True
        try:
            async with served.slots:
                began = time.monotonic()
                self.counters["source_questions"] += 1
                found = await served.source.counts(slo, begin, end, step)
        except Exception as error:  # a source is foreign code
            self.counters["source_failures"] += 1
            asked.back_failures += 1
            asked.back_again = self._clock() + _backoff(asked.back_failures)
            served.piece_seconds = max(PIECE_SECONDS, served.piece_seconds / 2)
            log.info("the past of %s could not be read, it is tried again: %s", slo.name, error)
            return
        finally:
            asked.reading = False
        fast = time.monotonic() - began < FAST_SECONDS
        served.piece_seconds = min(
            max(served.piece_seconds * (2 if fast else 0.5), PIECE_SECONDS), LONGEST_PIECE_SECONDS
        )
        asked.back_failures, asked.back = 0, max(begin, asked.oldest)
        worth = weight(slo, step, served.settings.step_seconds)
        for one in found:
            if one.group or not slo.group_by:
                before = asked.keys.get(one.key)
                seen = before.seen_until if before is not None else asked.seen
                asked.keys[one.key] = self._kept(before, replace(_weighed(one, worth), seen_until=seen, gap=""), asked)

    # -- how it goes --

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
                        span = self._span(name)
                        seen = span[1] if span is not None else self._clock()
                    found[name] = SliCounts(name, (), np.empty(0), np.empty(0), np.empty(0), seen, asked.gap)
                continue
            for key, one in asked.keys.items():
                found[key] = replace(one, gap=asked.gap) if asked.gap != one.gap else one
        return found

    def gauges(self) -> dict[str, float]:
        down = sum(1 for served in self._sources.values() if served.failures >= DOWN_AFTER)
        return {"sources": float(len(self._sources)), "sources_down": float(down)}


def _outside(at: Floats, span: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Which steps a ledger that has counted ``span`` has not taken."""
    return np.asarray((at >= span[1]) | (at < span[0] - 1e-6))


def counted_span(ledgers: Mapping[str, Ledger], key: str) -> tuple[float, float] | None:
    """Begin and end of what the ledger of ``key`` has counted; a promise with groups has one of them all."""
    ledger = ledgers.get(key)
    return None if ledger is None else (ledger.first_at, ledger.seen_until)


def _weighed(one: SliCounts, worth: float) -> SliCounts:
    return one if worth == 1 else replace(one, good=one.good * worth, total=one.total * worth)


def _backoff(failures: int) -> float:
    return min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 10))
