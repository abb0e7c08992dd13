"""Series that are where they never were: what the World's window of twenty minutes is too short to tell.

Minute by minute the loop remembers of every service, store, queue and host how much it was asked, how long it took and what
it used (``novelty.py``: all values seen, their recent means, the time of day). A series is out of its habits when it is
``THRESHOLD`` standard deviations from all of that (more on the first day), and until it is less than half of it, or has
been there so long that it is a habit. Nothing is said in the first hours. While an incident is open nothing is learned: an
outage is no habit.

The memory lives with the process: a restart forgets it, and then nothing is said for hours again. What is found opens no
incident: twice the traffic is news and no harm.

Null rates: docs/detectors.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from midwatch.core.detect.novelty import aligned, blank, score, step
from midwatch.core.habits import Habits
from midwatch.core.turn import Turn
from midwatch.model import signals
from midwatch.model.entity import kind_of, name_of
from midwatch.model.findings import Finding
from midwatch.model.world import Floats, World

MINUTE: Final = 60.0
MAX_MINUTES: Final = 2  # looked at in one turn: after a pause it catches up over the next ones
MAX_ROWS: Final = 40_000
THRESHOLD: Final = 3.0
THRESHOLD_AT_FIRST: Final = 5.0  # until a whole day was seen
DAY: Final = 86400.0
MOST: Final = 20  # findings at once, the oddest
MEAN_MS: Final = "mean_ms"
KINDS: Final = frozenset({"service", "database", "cache", "queue", "host", "proxy", "external"})
JUDGED: Final = (
    signals.REQUESTS,
    signals.TIME_MS,
    signals.POOL_USED,
    signals.CPU_CORES,
    signals.CPU_RATIO,
    signals.MEMORY_BYTES,
    signals.FD_USED,
    signals.DISK_RATIO,
    signals.QUEUE_DEPTH,
    signals.SESSIONS_BLOCKED,
)
# What is multiplied rather than added to: twice as much is as far from half as much.
SCALED: Final = frozenset({signals.REQUESTS, MEAN_MS, signals.MEMORY_BYTES, signals.QUEUE_DEPTH})
WORDS: Final = {signals.REQUESTS: "requests/s", MEAN_MS: "ms per request"}


def remember(turn: Turn) -> Turn:
    """Learn the minutes that are over; look at the newest one only while an incident is open."""
    grid, habits = turn.world.series, turn.memory.habits
    last = math.floor(grid.end_at / MINUTE) * MINUTE
    first = math.ceil(grid.start_at / MINUTE) * MINUTE
    since = max(first, habits.seen_until if habits else 0.0)
    if not grid.steps or last <= since:
        return turn
    habits = _with_room(habits, turn.world)
    if turn.state.open_incidents:
        return turn.remember(habits=_looked(habits, turn.world, last - MINUTE))
    for at in np.arange(since, last, MINUTE)[:MAX_MINUTES]:
        habits = _learned(habits, turn.world, float(at))
    return turn.remember(habits=habits)


def out_of_habit(turn: Turn) -> Iterator[Finding]:
    """The series that are out of their habits, the oddest ``MOST``."""
    habits = turn.memory.habits
    if habits is None:
        return
    rows = np.flatnonzero(habits.odd > 0)
    for row in rows[np.argsort(-habits.odd[rows], kind="stable")][:MOST]:
        subject, signal = habits.keys[row]
        value, odd = float(habits.value[row]), float(habits.odd[row])
        word = WORDS.get(signal, signal.replace("_", " "))
        hours = (habits.seen_until - float(habits.novelty.daily.first_at[row])) / 3600
        yield Finding(
            id=f"novel|{subject}|{signal}",
            kind="novel",
            entity=subject,
            since_at=float(habits.since_at[row]),
            value=value,
            baseline=_unscaled(signal, float(habits.novelty.values.mean[row])),
            unit=signals.UNITS.get(signal, "ms") if signal != signals.REQUESTS else "requests/s",
            detail=f"{value:.4g} {word} at {name_of(subject)}: {odd:.1f} deviations from its habits of {hours:.0f} hours",
        )


def _learned(habits: Habits, world: World, at: float) -> Habits:
    values = _minute(habits.keys, world, at)
    novelty, found, begins = step(habits.novelty, _scaled(habits.keys, values), at)
    return _judged(replace(habits, novelty=novelty, seen_until=at + MINUTE), values, found, begins, at)


def _looked(habits: Habits, world: World, at: float) -> Habits:
    values = _minute(habits.keys, world, at)
    found = score(habits.novelty, _scaled(habits.keys, values), at)
    return _judged(replace(habits, seen_until=at + MINUTE), values, found, found, at)


def _judged(habits: Habits, values: Floats, found: Floats, begins: Floats, at: float) -> Habits:
    young = ~(at - habits.novelty.daily.first_at >= DAY)
    odd = np.where(
        (begins >= np.where(young, THRESHOLD_AT_FIRST, THRESHOLD)) | ((habits.odd > 0) & (found >= THRESHOLD / 2)),
        found,
        0.0,
    )
    since = np.where((odd > 0) & (habits.odd <= 0), at, habits.since_at)
    return replace(habits, odd=odd, since_at=since, value=values)


def _unscaled(signal: str, value: float) -> float:
    return math.expm1(value) / MINUTE if signal in SCALED else value


def _minute(keys: tuple[tuple[str, str], ...], world: World, at: float) -> Floats:
    """One value per key for the minute that begins at ``at``: requests per second, ms per request, mean of a gauge; NaN
    where nothing was reported."""
    grid = world.series
    first = round((at - grid.start_at) / grid.step_seconds)
    within = grid.values[:, max(0, first) : first + round(MINUTE / grid.step_seconds)]
    heard = np.isfinite(within)
    count = heard.sum(axis=1)
    with np.errstate(invalid="ignore"):
        sums = np.where(count > 0, np.where(heard, within, 0.0).sum(axis=1), np.nan)
        means = sums / np.maximum(count, 1)
    found = np.full(len(keys), np.nan)
    row_of = grid.index.row_of
    for number, (subject, signal) in enumerate(keys):
        if signal == MEAN_MS:
            spent, asked = row_of.get((subject, signals.TIME_MS)), row_of.get((subject, signals.REQUESTS))
            if spent is not None and asked is not None and sums[asked] > 0:
                found[number] = sums[spent] / sums[asked]
            continue
        row = row_of.get((subject, signal))
        if row is not None:
            found[number] = sums[row] / MINUTE if signal == signals.REQUESTS else means[row]
    return found


def _scaled(keys: tuple[tuple[str, str], ...], values: Floats) -> Floats:
    scaled = np.array([signal in SCALED for _, signal in keys], dtype=bool)
    with np.errstate(invalid="ignore"):
        return np.where(scaled, np.log1p(np.maximum(values, 0.0) * MINUTE), values)


def _with_room(habits: Habits | None, world: World) -> Habits:
    """The habits, with rows for the series that are new. When there is no more room, those that the World no longer holds
    go first."""
    keys = habits.keys if habits else ()
    known = set(keys)
    wanted = [key for key in _series(world) if key not in known]
    if habits is not None and not wanted:
        return habits
    kept = list(range(len(keys)))
    if len(keys) + len(wanted) > MAX_ROWS:
        present = set(_series(world))
        kept = [row for row in kept if keys[row] in present]
    added = wanted[: max(0, MAX_ROWS - len(kept))]
    rows = np.array(kept, dtype=np.intp)
    zero = np.zeros(len(added))
    old = habits or Habits((), 0.0, blank(0), np.zeros(0), np.zeros(0), np.zeros(0))
    return Habits(
        (*(keys[row] for row in kept), *added),
        old.seen_until,
        aligned(old.novelty, rows, len(added)),
        np.concatenate([old.odd[rows], zero]),
        np.concatenate([old.since_at[rows], zero]),
        np.concatenate([old.value[rows], zero + np.nan]),
        len(wanted) - len(added),
    )


def _series(world: World) -> list[tuple[str, str]]:
    index = world.series.index
    return [
        (subject, MEAN_MS if signal == signals.TIME_MS else signal)
        for signal in JUDGED
        for subject in index.subjects_by_signal.get(signal, ())
        if kind_of(subject) in KINDS
    ]
