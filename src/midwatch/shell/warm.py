"""The warm start: what a restarted watch reads back from the store, so that days of budgets survive and an incident under
way is diagnosed from what came before it.

Bounded in time, because nobody is watched meanwhile: the newest minutes are read first, and what was not read when time
is up is left out and said. Reading and rebuilding happen on threads; the lease and pages under way go on.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from midwatch.core.memory import Ledger, OpenSlices
from midwatch.core.slo import ledger as books
from midwatch.core.slo.slices import sliced, slices_from
from midwatch.model.entity import kind_of, name_of
from midwatch.model.errors import StoreError
from midwatch.model.indicators import Composite, Slices
from midwatch.model.slo import Slo
from midwatch.model.world import Floats
from midwatch.shell.store import slo_counts

if TYPE_CHECKING:
    from midwatch.shell.ingest.builder import WorldBuilder
    from midwatch.shell.ingest.rows import Batch

WINDOW_SECONDS: Final = 1200.0  # of the World
ENOUGH_SECONDS: Final = 420.0  # what the detectors look at: with less of it, the baseline is short
READ_SECONDS: Final = 3.0  # for the World; putting it together takes about as long as reading it
LEDGER_SECONDS: Final = 6.0
LEDGERS_AT_ONCE: Final = 200  # between two looks at the clock
MONTH_SECONDS: Final = 33 * 86400.0  # what a ledger's usual rings hold
TAIL_SECONDS: Final = 7200.0  # between the newest stored counts and now: longer, and nobody watched
SPAN_SECONDS: Final = 7 * 86400.0  # that spans are kept
BLOCK_SECONDS: Final = 60.0
SLICE_SECONDS: Final = 15.0
FINE_SECONDS: Final = books.LEVELS[0][0]
COARSE_SECONDS: Final = 300
WORLD_STEP_SECONDS: Final = 5


@dataclass
class Warmth:
    """What was read back. ``since_at`` is where the World begins (``now`` when nothing was read); ``slices`` are those
    under way; ``kept`` is up to where the store has each ledger; ``notes`` are sentences on what is missing."""

    since_at: float
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    slices: dict[str, OpenSlices] = field(default_factory=dict)
    kept: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


async def warm_up(store: Any, builder: WorldBuilder, slos: tuple[Slo, ...], now: float) -> Warmth:
    """Fill ``builder`` and rebuild the ledgers of ``slos`` from ``store``. Never raises."""
    found = Warmth(now)
    batches, _ = await asyncio.gather(_read(store, found, now), _ledgers_in_time(store, slos, now, found))
    await asyncio.to_thread(_build, builder, batches)
    return found


async def _read(store: Any, found: Warmth, now: float) -> list[tuple[float, Batch]]:
    """Batches in time order, ending ``now``: block after block back in time until the window is full or time is up."""
    blocks: list[list[tuple[float, Batch]]] = []
    until = now
    end = time.monotonic() + READ_SECONDS
    try:
        while until > now - WINDOW_SECONDS and time.monotonic() < end:
            since = max(until - BLOCK_SECONDS, now - WINDOW_SECONDS)
            rows = store.rows_since(since, until, slice_seconds=SLICE_SECONDS)
            blocks.append([one async for one in rows])
            until = since
    except StoreError as error:
        found.notes.append(f"telemetry from before the start could not be read back: {error}")
    found.since_at = until
    if until > now - ENOUGH_SECONDS and not found.notes:
        found.notes.append(f"only {now - until:.0f} s of telemetry from before the start were read back in time")
    return [one for block in reversed(blocks) for one in block]


def _build(builder: WorldBuilder, batches: list[tuple[float, Batch]]) -> None:
    for at, batch in batches:
        builder.add(batch, at)


async def _ledgers_in_time(store: Any, slos: tuple[Slo, ...], now: float, found: Warmth) -> None:
    why = f"it took longer than {LEDGER_SECONDS:g} s"
    try:
        async with asyncio.timeout(LEDGER_SECONDS):
            await read_ledgers(store, slos, now, found)
            return
    except TimeoutError:
        pass
    except StoreError as error:
        why = str(error)
    lost = [slo.name for slo in slos if slo.name not in found.ledgers and not isinstance(slo.indicator, Composite)]
    if lost:
        some = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
        found.notes.append(f"not read back, and begins anew: the budget of {some} ({why})")


async def read_ledgers(store: Any, slos: tuple[Slo, ...], now: float, found: Warmth) -> None:
    """The ledgers of all promises, groups included: one question for what was counted, and one for the requests since then
    (with nothing counted, for those of the last days). Raises StoreError.

    A ledger has seen everything up to the last full ten seconds before ``now`` when spans say what happened since it was
    stored, else up to then; from there on the World's own steps, read back from the same rows, are counted.
    """
    until = math.floor(now / FINE_SECONDS) * FINE_SECONDS
    counted = [slo for slo in slos if not isinstance(slo.indicator, Composite)]
    by_name = {slo.name: slo for slo in counted}
    rows = await slo_counts.read_rows(
        store,
        until - MONTH_SECONDS,
        until,
        longer={slo.name: until - slo.period_seconds for slo in counted if slo.period_seconds > MONTH_SECONDS},
        exact=[slo.name for slo in counted if books.QUARTERS in books.levels_for(slo)],
    )
    known = [
        (key, by_name[key.partition("{")[0]], one) for key, one in rows.items() if key.partition("{")[0] in by_name
    ]
    known = [(key, slo, one) for key, slo, one in known if one.at.size]
    for first in range(0, len(known), LEDGERS_AT_ONCE):
        some = known[first : first + LEDGERS_AT_ONCE]
        made = await asyncio.to_thread(lambda many: {key: ledger_of(slo, one) for key, slo, one in many}, some)
        found.ledgers |= made
        found.kept |= {key: one.seen_until for key, _, one in some}
    own = [slo for slo in counted if slo.sli in ("ratio", "latency") and kind_of(slo.entity) == "service"]
    stored = [slo for slo in own if slo.name in found.kept]
    by_event, by_slice = ([s for s in stored if (s.slices is not None) == cut] for cut in (False, True))
    for some_slos in (by_event, by_slice):
        if some_slos:
            # Of slices, what was not judged yet is older than what was not seen yet.
            longest = max(slo.slices.seconds if slo.slices is not None else 0.0 for slo in some_slos)
            since = max(min(found.kept[slo.name] for slo in some_slos), until - TAIL_SECONDS - longest)
            await _add_requests(store, some_slos, since, until, WORLD_STEP_SECONDS, found)
    unknown = [slo for slo in own if slo.name not in found.kept]
    if unknown:
        # A multiple of every step: no bucket of the store lies on both sides.
        recent = math.floor((until - FINE_SECONDS * books.LEVELS[0][1]) / books.LEVELS[-1][0] + 1) * books.LEVELS[-1][0]
        await _add_requests(store, unknown, until - SPAN_SECONDS, recent, COARSE_SECONDS, found)
        await _add_requests(store, unknown, recent, until, int(FINE_SECONDS), found)


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
    store: Any, slos: list[Slo], since: float, until: float, step_seconds: int, found: Warmth
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
    found: Warmth,
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
