"""The ledgers that a restarted watch reads back from the store: a part of them at a time, so that it need not wait for all.

Whoever is read within ``FIRST_SECONDS`` is there with the first turn. The others follow while the watch runs: what midwatch
counts itself begins with the World's window meanwhile, so that it can page, and is joined with its past when that comes.
Until all is there, or time is up, nothing is written over what the store has.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from midwatch.core.memory import Ledger, Memory, OpenSlices
from midwatch.core.slo import ledger as books
from midwatch.core.slo.slices import sliced, slices_from
from midwatch.model.entity import kind_of, name_of
from midwatch.model.errors import StoreError
from midwatch.model.indicators import Composite, Slices
from midwatch.model.slo import Slo
from midwatch.model.world import Floats
from midwatch.shell.store import slo_counts

FIRST_SECONDS: Final = 6.0  # the start waits for so long
LAST_SECONDS: Final = 300.0  # less than a ledger's finest ring holds, so that what was counted meanwhile can be joined
AT_ONCE: Final = 200  # ledgers made between two looks at what else there is to do
MONTH_SECONDS: Final = 33 * 86400.0  # what a ledger's usual rings hold
TAIL_SECONDS: Final = 7200.0  # between the newest stored counts and now: longer, and nobody watched
SPAN_SECONDS: Final = 7 * 86400.0  # that spans are kept
FINE_SECONDS: Final = books.LEVELS[0][0]
COARSE_SECONDS: Final = 300
WORLD_STEP_SECONDS: Final = 5


@dataclass
class Read:
    """What was read back and nobody took yet: ``slices`` are those under way, ``kept`` is up to where the store has each
    ledger."""

    ledgers: dict[str, Ledger] = field(default_factory=dict)
    slices: dict[str, OpenSlices] = field(default_factory=dict)
    kept: dict[str, float] = field(default_factory=dict)

    def add(self, other: Read) -> None:
        self.ledgers |= other.ledgers
        self.slices |= other.slices
        self.kept |= other.kept


class LedgerReader:
    """Reads the ledgers of ``slos`` from ``store``, beside the loop. ``read`` is what waits to be taken."""

    def __init__(self, store: Any, slos: Sequence[Slo], now: float) -> None:
        self.read = Read()
        self._wanted = {slo.name for slo in slos if not isinstance(slo.indicator, Composite)}
        self._came: set[str] = set()
        self._why = ""
        self._task = asyncio.get_running_loop().create_task(self._all(store, slos, now))

    @property
    def busy(self) -> bool:
        return not self._task.done()

    async def first(self) -> None:
        """Wait for all, but not for long."""
        await asyncio.wait({self._task}, timeout=FIRST_SECONDS)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def taken(self) -> Read:
        """What came since it was last asked for."""
        found, self.read = self.read, Read()
        self._came |= {key.partition("{")[0] for key in found.ledgers}
        return found

    def words(self) -> str:
        """What is missing, in a sentence; empty when nothing is."""
        lost = sorted(self._wanted - self._came)
        if not lost or not (self.busy or self._why):
            return ""
        some = ", ".join(lost[:3]) + (f" and {len(lost) - 3:,} more" if len(lost) > 3 else "")
        if self.busy:
            return f"still being read back: the budget of {some}"
        return f"not read back, and begins anew: the budget of {some} ({self._why})"

    async def _all(self, store: Any, slos: Sequence[Slo], now: float) -> None:
        try:
            async with asyncio.timeout(LAST_SECONDS):
                async for part in parts(store, slos, now):
                    self.read.add(part)
        except TimeoutError:
            self._why = f"it took longer than {LAST_SECONDS:g} s"
        except StoreError as error:
            self._why = str(error)


def joined(memory: Memory, read: Read) -> Memory:
    """The working set with ledgers that came later than the first turn."""
    ledgers, slices = dict(memory.ledgers), dict(memory.slices)
    for key, past in read.ledgers.items():
        live = ledgers.get(key)
        ledgers[key] = past if live is None else books.joined(past, live)
        if live is None and key in read.slices:
            slices[key] = read.slices[key]
    return replace(memory, ledgers=ledgers, slices=slices)


async def read_ledgers(store: Any, slos: Sequence[Slo], now: float) -> Read:
    """All of them. Raises StoreError."""
    found = Read()
    async for part in parts(store, slos, now):
        found.add(part)
    return found


async def parts(store: Any, slos: Sequence[Slo], now: float) -> AsyncIterator[Read]:
    """The ledgers of all promises, groups included, as ``Read`` after ``Read``: of those that were counted, and of their
    requests since then; last, of those with nothing counted, from the requests of the last days. Raises StoreError.

    A ledger has seen everything up to the last full ten seconds before ``now`` when spans say what happened since it was
    stored, else up to then; from there on the World's own steps, read back from the same rows, are counted.
    """
    until = math.floor(now / FINE_SECONDS) * FINE_SECONDS
    by_name = {slo.name: slo for slo in slos if not isinstance(slo.indicator, Composite)}
    stored: set[str] = set()
    async for rows in slo_counts.read_parts(
        store,
        until - MONTH_SECONDS,
        until,
        longer={slo.name: until - slo.period_seconds for slo in by_name.values() if slo.period_seconds > MONTH_SECONDS},
        exact=[slo.name for slo in by_name.values() if books.QUARTERS in books.levels_for(slo)],
    ):
        found = Read()
        named = [(key, by_name.get(key.partition("{")[0]), one) for key, one in rows.items()]
        known = [(key, slo, one) for key, slo, one in named if slo is not None and one.at.size]
        for first in range(0, len(known), AT_ONCE):
            some = known[first : first + AT_ONCE]
            found.ledgers |= await asyncio.to_thread(_made, some)
            found.kept |= {key: one.seen_until for key, _, one in some}
        stored |= {key.partition("{")[0] for key in found.kept}
        own = [slo for key, slo, _ in known if key == slo.name and _own(slo)]
        by_event, by_slice = ([slo for slo in own if (slo.slices is not None) == cut] for cut in (False, True))
        for some_slos in (by_event, by_slice):
            if some_slos:
                # Of slices, what was not judged yet is older than what was not seen yet.
                longest = max(slo.slices.seconds if slo.slices is not None else 0.0 for slo in some_slos)
                since = max(min(found.kept[slo.name] for slo in some_slos), until - TAIL_SECONDS - longest)
                await _add_requests(store, some_slos, since, until, WORLD_STEP_SECONDS, found)
        yield found
    unknown = [slo for slo in by_name.values() if _own(slo) and slo.name not in stored]
    if unknown:
        found = Read()
        # A multiple of every step: no bucket of the store lies on both sides.
        recent = math.floor((until - FINE_SECONDS * books.LEVELS[0][1]) / books.LEVELS[-1][0] + 1) * books.LEVELS[-1][0]
        await _add_requests(store, unknown, until - SPAN_SECONDS, recent, COARSE_SECONDS, found)
        await _add_requests(store, unknown, recent, until, int(FINE_SECONDS), found)
        yield found


def _own(slo: Slo) -> bool:
    """Whether spans say what happened: requests of a service."""
    return slo.sli in ("ratio", "latency") and kind_of(slo.entity) == "service"


def _made(many: Sequence[tuple[str, Slo, slo_counts.Rows]]) -> dict[str, Ledger]:
    return {key: ledger_of(slo, one) for key, slo, one in many}


def ledger_of(slo: Slo, rows: slo_counts.Rows) -> Ledger:
    """The ledger that these rows were written from. Five minutes of them lie in the middle of their step, so that short
    windows are neither early nor late on the whole."""
    at = np.minimum(rows.at + rows.step / 2, rows.seen_until - 1.0)
    empty = books.new_ledger(float(rows.at[0]), books.levels_for(slo))
    return replace(books.add(empty, at, rows.good, rows.total, rows.seen_until), heard_at=_heard(rows))


def _heard(rows: slo_counts.Rows) -> float:
    """The end of the last step with events."""
    busy = np.flatnonzero(rows.total > 0)
    return float(min(rows.at[busy[-1]] + rows.step[busy[-1]], rows.seen_until)) if busy.size else 0.0


async def _add_requests(
    store: Any, slos: list[Slo], since: float, until: float, step_seconds: int, found: Read
) -> None:
    """Requests of [since, until) from spans into the ledgers that have not seen them. Raises StoreError."""
    bounds = sorted({slo_counts.latency_bound(slo.threshold_ms) for slo in slos if slo.sli == "latency"})
    requests = await slo_counts.read_requests(store, since, until, step_seconds, bounds)
    for slo in slos:
        seen = requests.get(name_of(slo.entity))
        ledger = found.ledgers.get(slo.name)
        if seen is None:
            continue
        after = seen.at >= (ledger.seen_until if ledger is not None else since) - 1e-6
        if not after.any():
            continue
        at, total = seen.at[after], seen.total[after]
        if slo.sli == "ratio":
            good = total - seen.failed[after]
        else:
            good = seen.within[after, bounds.index(slo_counts.latency_bound(slo.threshold_ms))]
        if slo.slices is not None:
            if ledger is not None and step_seconds == WORLD_STEP_SECONDS:  # coarser steps lie across slices
                _slice_on(found, slo, slo.slices, ledger, (at, good, total), since, until)
            continue
        if ledger is None:
            ledger = books.new_ledger(float(at[0]), books.levels_for(slo))
        end = float(at[-1]) + step_seconds
        found.ledgers[slo.name] = replace(books.add(ledger, at, good, total, until), heard_at=max(ledger.heard_at, end))


def _slice_on(
    found: Read,
    slo: Slo,
    slices: Slices,
    ledger: Ledger,
    raw: tuple[Floats, Floats, Floats],
    since: float,
    until: float,
) -> None:
    """The slices that were under way when the watch stopped, from all their events; one that begins before ``since`` is
    left out, and none is judged twice."""
    held = slices_from(ledger, since, slices.seconds)
    found.slices[slo.name], at, good, total = sliced(held, slices, *raw, until)
    found.ledgers[slo.name] = books.add(ledger, at, good, total, found.slices[slo.name].judged_until)
