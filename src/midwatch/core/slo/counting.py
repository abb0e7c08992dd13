"""Live counting: what the World and the sources saw goes into the ledgers, each event once.

Late: a step that was counted and has grown since is counted again by what it grew, as long as the World still holds it.
Impossible: steps that cannot be true (more good than all, a negative count, no number) are left out of a source's counts and
remembered with their reason. Older: what a source gives from before a ledger begins is new as well, so that the newest hours
can be read first and the rest of a period after them. What midwatch counts itself cannot be left out, or a flaw in it would
hide an outage: there, more bad than all counts as all bad, and is remembered just the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from midwatch.core.memory import Counted, Ledger, Memory, OpenSlices
from midwatch.core.slo import ledger as books
from midwatch.core.slo.slices import new_slices, sliced, slices_from
from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.indicators import Composite
from midwatch.model.slo import Slo
from midwatch.model.world import Floats, Ints, SliCounts, World

Bools = npt.NDArray[np.bool_]
ROUNDING: Final = 1e-4  # latency buckets are float32, and shares of a histogram do not add up to the last bit
OTHER: Final = "(other)"


@dataclass
class _Shelf:
    """What one turn makes of the ledgers; it becomes a Memory at the end."""

    ledgers: dict[str, Ledger]
    slices: dict[str, OpenSlices]
    notes: dict[str, str]


def count(turn: Turn) -> Turn:
    """Bring every ledger up to date."""
    memory, world = turn.memory, turn.world
    shelf = _Shelf({}, {}, {})
    own = [slo for slo in turn.state.slos if slo.sli != "source"]
    counted = _count_own(memory, world, own, shelf)
    composites = []
    given: dict[str, list[SliCounts]] = {}
    for one in world.sli.values():
        given.setdefault(one.slo, []).append(one)
    keys: dict[str, list[str]] = {}
    for key in memory.ledgers:
        keys.setdefault(key.partition("{")[0], []).append(key)
    for slo in turn.state.slos:
        if slo.sli != "source":
            continue
        if isinstance(slo.indicator, Composite):
            composites.append(slo)
        else:
            _count_source(memory, slo, given.get(slo.name, []), keys.get(slo.name, ()), shelf)
    for slo in composites:
        _compose(slo, {s.name: s for s in composites}, shelf, ())
    return turn.remember(ledgers=shelf.ledgers, slices=shelf.slices, slo_notes=shelf.notes, counted=counted)


# -- what midwatch counts itself --


def _count_own(memory: Memory, world: World, slos: Sequence[Slo], shelf: _Shelf) -> Counted | None:
    for slo in slos:  # a service that nobody has seen yet, or any more
        known = memory.ledgers.get(slo.name)
        start = world.series.start_at
        shelf.ledgers[slo.name] = known if known is not None else books.new_ledger(start, books.levels_for(slo))
        if slo.name in memory.slices:
            shelf.slices[slo.name] = memory.slices[slo.name]
    seen = own_counts(world, slos)
    if not seen.slos or world.series.steps == 0:
        return memory.counted
    times, end = world.series.times, world.series.end_at
    names = tuple(slo.name for slo in seen.slos)
    before_good, before_total, known_steps = _before(memory.counted, names, world)
    since = np.array([_taken_until(shelf.ledgers[name], shelf.slices.get(name)) for name in names])
    # One that has stood still since it was made belongs to an entity that is seen now for the first time.
    fresh = since == np.array([shelf.ledgers[name].first_at for name in names])
    since[fresh] = -np.inf
    new = times[None, :] >= since[:, None] - 1e-6
    late: Bools = np.asarray(~new & known_steps & (seen.total > before_total + 1e-9))
    took = new | late
    add_good = np.where(late, seen.good - before_good, np.where(new, seen.good, 0.0))
    add_total = np.where(late, seen.total - before_total, np.where(new, seen.total, 0.0))
    touched = took & ((add_total != 0) | (add_good != 0))
    some, any_late = np.asarray(touched.any(axis=1)), np.asarray(late.any(axis=1))
    strange: Bools = np.asarray(new & (seen.excess > 0))
    any_strange = np.asarray(strange.any(axis=1))
    heard_at = np.where(seen.heard.any(axis=1), times[_last(seen.heard)] + world.series.step_seconds, 0.0)
    for row, slo in enumerate(seen.slos):
        ledger = shelf.ledgers[slo.name]
        if fresh[row] and some[row]:  # its history begins with the first traffic
            ledger = books.new_ledger(float(times[int(np.argmax(touched[row]))]), books.levels_for(slo))
        columns = np.flatnonzero(touched[row]) if some[row] else _NONE
        at, good, total = times[columns], add_good[row, columns], add_total[row, columns]
        if any_late[row]:
            ledger = replace(ledger, late=ledger.late + float(add_total[row][late[row]].sum()))
        if any_strange[row]:
            column = int(np.flatnonzero(strange[row])[-1])
            what = f"{seen.excess[row, column]:.4g} more bad events than events; all count as bad"
            ledger = _impossible(ledger, int(strange[row].sum()), float(times[column]), what)
        if slo.slices is not None:
            held = shelf.slices.get(slo.name) or slices_from(ledger, world.series.start_at, slo.slices.seconds)
            shelf.slices[slo.name], at, good, total = sliced(held, slo.slices, at, good, total, end)
        ledger = books.add(ledger, at, good, total, _judged_until(shelf.slices.get(slo.name), end))
        heard = float(heard_at[row])
        shelf.ledgers[slo.name] = replace(ledger, heard_at=heard) if heard > ledger.heard_at else ledger
    current = took | ~known_steps
    return Counted(
        names,
        world.series.start_at,
        np.where(current, seen.good, before_good),
        np.where(current, seen.total, before_total),
    )


_NONE: Final = np.zeros(0, dtype=np.intp)


def _taken_until(ledger: Ledger, slices: OpenSlices | None) -> float:
    """Up to where events were taken: a ledger of slices has seen those only that are judged."""
    return slices.seen_until if slices is not None else ledger.seen_until


def _judged_until(slices: OpenSlices | None, seen: float) -> float:
    """Up to where a ledger is complete when events up to ``seen`` were taken."""
    return slices.judged_until if slices is not None else seen


def _last(flags: Bools) -> Ints:
    """The last true column of each row."""
    return np.asarray(flags.shape[1] - 1 - np.argmax(flags[:, ::-1], axis=1))


def _before(counted: Counted | None, names: tuple[str, ...], world: World) -> tuple[Floats, Floats, Bools]:
    """What was taken earlier of each step of the World, shape (names, steps), and which steps are known at all."""
    shape = (len(names), world.series.steps)
    good, total, known = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=bool)
    if counted is None:
        return good, total, known
    offset = round((world.series.start_at - counted.start_at) / world.series.step_seconds)
    width = counted.good.shape[1]
    first, last = max(0, -offset), min(shape[1], width - offset)
    if last <= first:
        return good, total, known
    source = slice(first + offset, last + offset)
    if counted.keys == names:
        good[:, first:last], total[:, first:last] = counted.good[:, source], counted.total[:, source]
        known[:, first:last] = True
        return good, total, known
    row_of = {key: row for row, key in enumerate(counted.keys)}
    for row, name in enumerate(names):
        old = row_of.get(name)
        if old is not None:
            good[row, first:last], total[row, first:last] = counted.good[old, source], counted.total[old, source]
            known[row, first:last] = True
    return good, total, known


@dataclass(frozen=True)
class OwnCounts:
    """Good and total per step of the World, shape (slos, steps); ``heard`` where anything reported; ``excess`` by how much
    the bad were more than all."""

    slos: tuple[Slo, ...]
    good: Floats
    total: Floats
    heard: Bools
    excess: Floats


def own_counts(world: World, slos: Sequence[Slo]) -> OwnCounts:
    """Good and total of many SLOs at once; those whose entity was never seen are left out. Steps without traffic count
    (0, 0). A step of a freshness SLO counts 1, good while the oldest message is younger than the threshold."""
    rows_of = world.series.index.row_of
    by_requests = [s for s in slos if s.sli in ("ratio", "latency") and (s.entity, signals.REQUESTS) in rows_of]
    by_requests = [s for s in by_requests if s.sli == "ratio" or s.entity in world.latency.row_of]
    by_age = [s for s in slos if s.sli == "freshness" and (s.entity, signals.QUEUE_LAG_SECONDS) in rows_of]
    values = world.series.values
    requests = values[[rows_of[(s.entity, signals.REQUESTS)] for s in by_requests]]
    total, heard = np.nan_to_num(requests), np.isfinite(requests)
    bad = np.zeros_like(total)
    wrong = [(n, rows_of.get((s.entity, signals.ERRORS))) for n, s in enumerate(by_requests) if s.sli == "ratio"]
    there = [(n, row) for n, row in wrong if row is not None]
    if there:
        bad[[n for n, _ in there]] = np.nan_to_num(values[[row for _, row in there]])
    slow: dict[int, list[int]] = {}
    for n, slo in enumerate(by_requests):
        if slo.sli == "latency":
            bound = int(np.searchsorted(np.asarray(signals.LATENCY_BOUNDS_MS), slo.threshold_ms)) + 1
            slow.setdefault(bound, []).append(n)
    for bound, many in slow.items():
        rows = [world.latency.row_of[by_requests[n].entity] for n in many]
        bad[many] = np.nan_to_num(world.latency.counts[rows, :, bound:].sum(axis=2))
    excess = np.where(bad > total * (1 + ROUNDING) + 1e-3, bad - total, 0.0)
    good = total - np.minimum(bad, total)
    if by_age:
        lag = values[[rows_of[(s.entity, signals.QUEUE_LAG_SECONDS)] for s in by_age]]
        seen = np.isfinite(lag)
        bounds = np.array([[s.threshold_ms] for s in by_age])
        good = np.concatenate([good, (seen & (np.nan_to_num(lag) * 1000 <= bounds)).astype(np.float64)])
        total, heard = np.concatenate([total, seen.astype(np.float64)]), np.concatenate([heard, seen])
        excess = np.concatenate([excess, np.zeros_like(lag)])
    return OwnCounts((*by_requests, *by_age), good, total, heard, excess)


def _impossible(ledger: Ledger, steps: int, at: float, what: str) -> Ledger:
    when = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return replace(
        ledger,
        impossible=ledger.impossible + steps,
        impossible_at=at,
        impossible_why=f"impossible data at {when}: {what}",
    )


# -- what sources count --


def _count_source(memory: Memory, slo: Slo, given: Sequence[SliCounts], keys: Sequence[str], shelf: _Shelf) -> None:
    """Every group of one promise, and all of them together under its name; ``keys`` are its ledgers so far."""
    kept, note = bounded(slo, given, memory.ledgers)
    if note:
        shelf.notes[slo.name] = note
    for key in keys:
        if key != slo.name or not slo.group_by:
            shelf.ledgers[key] = memory.ledgers[key]
            if key in memory.slices:
                shelf.slices[key] = memory.slices[key]
    for one in kept:
        _take(memory, slo, one, one.key, shelf)
    if slo.group_by:
        if slo.name in memory.ledgers:
            shelf.ledgers[slo.name] = memory.ledgers[slo.name]
        if slo.name in memory.slices:
            shelf.slices[slo.name] = memory.slices[slo.name]
        if kept:
            _take(memory, slo, together(slo.name, (), kept), slo.name, shelf)


def bounded(slo: Slo, given: Sequence[SliCounts], known: Mapping[str, Ledger]) -> tuple[list[SliCounts], str]:
    """At most ``max_groups`` groups: those that have a ledger first, then the ones with the most events; the rest is counted
    together as ``(other)``. And a sentence that says so, else empty."""
    if not slo.group_by or len(given) <= slo.max_groups:
        return list(given), ""
    order = sorted(given, key=lambda one: (one.key not in known, -float(np.nansum(one.total)), one.key))
    rest = order[slo.max_groups :]
    other = together(slo.name, tuple((label, OTHER) for label in slo.group_by), rest)
    note = f"{len(given)} groups, the bound is {slo.max_groups}: {len(rest)} of them are counted together"
    return [*order[: slo.max_groups], other], note


def together(slo: str, group: tuple[tuple[str, str], ...], many: Sequence[SliCounts]) -> SliCounts:
    """The sum of several counts: seen only as far as all of them were."""
    seen = min(one.seen_until for one in many)
    at = np.unique(np.concatenate([one.at for one in many]))
    at = at[at < seen]
    good, total = np.zeros(at.size), np.zeros(at.size)
    for one in many:
        keep = (one.at < seen) & possible(one.good, one.total)
        place = np.searchsorted(at, one.at[keep])
        np.add.at(good, place, one.good[keep])
        np.add.at(total, place, one.total[keep])
    return SliCounts(slo, group, at, good, total, seen, next((one.gap for one in many if one.gap), ""))


def possible(good: Floats, total: Floats) -> Bools:
    """Which counts can be true: finite, not negative, no more good than all (but for rounding)."""
    with np.errstate(invalid="ignore"):
        return np.asarray(
            np.isfinite(good)
            & np.isfinite(total)
            & (good >= -1e-9)
            & (total >= -1e-9)
            & (good <= total * (1 + ROUNDING) + 1e-9)
        )


def _take(memory: Memory, slo: Slo, given: SliCounts, key: str, shelf: _Shelf) -> None:
    ledger = memory.ledgers.get(key)
    slices = memory.slices.get(key)
    new = np.ones(given.at.size, dtype=bool) if ledger is None else given.at >= _taken_until(ledger, slices) - 1e-6
    if ledger is not None and slo.slices is None:
        new |= given.at < ledger.first_at - 1e-6
    if ledger is None:
        if not given.at.size:
            return  # a gap, and nothing was ever counted
        ledger = books.new_ledger(float(given.at[0]), books.levels_for(slo))
    at, good, total = given.at[new], given.good[new], given.total[new]
    fine = possible(good, total)
    if not fine.all():
        where = int(np.flatnonzero(~fine)[-1])
        what = f"{good[where]:.6g} good of {total[where]:.6g}; left out"
        ledger = _impossible(ledger, int((~fine).sum()), float(at[where]), what)
        at, good, total = at[fine], good[fine], total[fine]
    total = np.maximum(total, 0.0)
    good = np.clip(good, 0.0, total)  # rounding only: everything else was left out
    # A gap without a step saw nothing: what was missed may yet be read back.
    seen = given.seen_until if given.at.size or not given.gap else _taken_until(ledger, slices)
    heard = given.seen_until if not given.gap else float(given.at[-1]) if given.at.size else ledger.heard_at
    if slo.slices is not None:
        held = slices or new_slices(ledger.seen_until)
        shelf.slices[key], at, good, total = sliced(held, slo.slices, at, good, total, seen)
        seen = shelf.slices[key].judged_until
    ledger = books.add(ledger, at, good, total, seen)
    # What was left out was looked at all the same: it is not news again with the next turn.
    first = min(ledger.first_at, float(given.at[0])) if given.at.size else ledger.first_at
    shelf.ledgers[key] = replace(ledger, heard_at=max(ledger.heard_at, heard), first_at=first)


# -- composites --


def _compose(slo: Slo, composites: Mapping[str, Slo], shelf: _Shelf, above: tuple[str, ...]) -> Ledger | None:
    """The composite's ledger, its own composites first. A part without counts is left out, and said."""
    if slo.name in shelf.ledgers:
        return shelf.ledgers[slo.name]
    if slo.name in above or not isinstance(slo.indicator, Composite):
        return None
    parts, missing = [], []
    for part in slo.indicator.parts:
        deeper = composites.get(part.slo)
        found = _compose(deeper, composites, shelf, (*above, slo.name)) if deeper else shelf.ledgers.get(part.slo)
        if found is None or (not found.rule and not found.counts[-1][1].any()):
            missing.append(part.slo)
        else:
            parts.append((found, part.weight))
    if missing:
        shelf.notes[slo.name] = "nothing was counted of " + ", ".join(missing)
    if not parts:
        return None
    shelf.ledgers[slo.name] = books.compose(slo.indicator.rule, parts)
    return shelf.ledgers[slo.name]
