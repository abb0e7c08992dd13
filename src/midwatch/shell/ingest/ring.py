"""The ring: every series of the window as rows of one growing matrix, one column per step.

Sums start a step at 0 and gauges at NaN. Whether a sum's 0 means "none" or "nobody reported" is decided by the row's
*owner*: the reporter whose silence would explain it. ``Ring.snapshot`` turns a silent owner's sums into NaN.
"""

from __future__ import annotations

import math
from collections.abc import Container
from typing import Final

import numpy as np
import numpy.typing as npt

from midwatch.model.signals import LATENCY_BOUNDS_MS, SUMMED
from midwatch.model.world import Floats, SeriesIndex

BUCKETS: Final = len(LATENCY_BOUNDS_MS) + 1
SINK: Final = 0  # row and latency row that swallow what exceeds a bound; never shown
ALWAYS: Final = 0  # owner that is never silent: gauges
ANYONE: Final = 1  # owner that is heard whenever anything arrives
LATE: Final = -1
_MAX_HOLD_STEPS: Final = 24


class Ring:
    """``steps`` columns of ``step_seconds`` each, at most ``max_rows`` series.

    Absolute step numbers (``floor(unix seconds / step_seconds)``) name columns; ``column`` maps a time to one and moves
    the head forward when the time is newer than anything before.
    """

    def __init__(self, steps: int, step_seconds: float, max_rows: int) -> None:
        self.steps, self.step_seconds, self.max_rows = steps, step_seconds, max_rows
        self.head = -1  # newest absolute step, -1 before the first
        self.first = -1  # oldest absolute step with data
        self.rows: dict[tuple[str, str], int] = {}
        self.subjects: list[str] = [""]
        self.signals: list[str] = [""]
        self.values: Floats = np.full((64, steps), np.nan)
        self.fill: Floats = np.full(64, np.nan)
        self.row_owner: npt.NDArray[np.intp] = np.zeros(64, dtype=np.intp)
        self.latency_rows: dict[str, int] = {}
        self.latency_subjects: list[str] = [""]
        self.latency: npt.NDArray[np.float32] = np.zeros((16, steps, BUCKETS), dtype=np.float32)
        self.owners: dict[str, int] = {"*always": ALWAYS, "*anyone": ANYONE}
        self.heard: npt.NDArray[np.bool_] = np.zeros((16, steps), dtype=np.bool_)
        self.heard[ALWAYS] = True
        self.last_heard: list[int] = [0, -1]
        self.first_heard: list[int] = [0, -1]
        self.gap_steps: list[float] = [1.0, 1.0]  # typical distance between two reports, in steps
        self._free: list[int] = []  # owners that were released
        self.refused = 0
        self._index: SeriesIndex | None = None
        self._latency_subjects: tuple[str, ...] | None = None

    # --- rows ---------------------------------------------------------------------------------------------------------

    def row(self, subject: str, signal: str, owner: int = ALWAYS, summed: bool | None = None) -> int:
        """The row of a series, made on first sight; SINK when the bound is reached."""
        key = (subject, signal)
        found = self.rows.get(key)
        if found is not None:
            return found
        if len(self.subjects) > self.max_rows:
            self.refused += 1
            return SINK
        number = len(self.subjects)
        if number == len(self.values):
            self._grow()
        is_sum = signal in SUMMED if summed is None else summed
        self.fill[number] = 0.0 if is_sum else math.nan
        self.values[number] = self.fill[number]
        self.row_owner[number] = owner if is_sum else ALWAYS
        self.rows[key] = number
        self.subjects.append(subject)
        self.signals.append(signal)
        self._index = None
        return number

    def put(self, subject: str, signal: str, column: int, value: float) -> None:
        """Set a gauge. (Asking for the row may replace ``values``, so it must come before indexing.)"""
        row = self.row(subject, signal, summed=False)
        self.values[row, column] = value

    def add(self, subject: str, signal: str, owner: int, column: int, amount: float) -> None:
        """Add to a sum."""
        row = self.row(subject, signal, owner, summed=True)
        self.values[row, column] += amount

    def _grow(self) -> None:
        more = len(self.values)
        self.values = np.concatenate((self.values, np.full((more, self.steps), np.nan)))
        self.fill = np.concatenate((self.fill, np.full(more, np.nan)))
        self.row_owner = np.concatenate((self.row_owner, np.zeros(more, dtype=np.intp)))

    def latency_row(self, subject: str) -> int:
        """The latency row of ``subject``; SINK when the bound is reached."""
        found = self.latency_rows.get(subject)
        if found is not None:
            return found
        number = len(self.latency_subjects)
        if number > self.max_rows // 8:
            self.refused += 1
            return SINK
        if number == len(self.latency):
            self.latency = np.concatenate((self.latency, np.zeros_like(self.latency)))
        self.latency_rows[subject] = number
        self.latency_subjects.append(subject)
        self._latency_subjects = None
        return number

    def owner(self, key: str) -> int:
        """The number of a reporter."""
        found = self.owners.get(key)
        if found is None and self._free:
            found = self.owners[key] = self._free.pop()
        elif found is None:
            found = self.owners[key] = len(self.last_heard)
            if found == len(self.heard):
                self.heard = np.concatenate((self.heard, np.zeros_like(self.heard)))
            self.last_heard.append(-1)
            self.first_heard.append(-1)
            self.gap_steps.append(1.0)
        return found

    def release(self, held: Container[int]) -> None:
        """Let go of reporters that are not ``held`` and that no series needs: their numbers go to the next ones."""
        needed = set(self.row_owner[: len(self.subjects)].tolist())
        for key, owner in list(self.owners.items()):
            if owner > ANYONE and owner not in held and owner not in needed:
                del self.owners[key]
                self.heard[owner] = False
                self.last_heard[owner] = self.first_heard[owner] = -1
                self.gap_steps[owner] = 1.0
                self._free.append(owner)

    # --- time ---------------------------------------------------------------------------------------------------------

    def column(self, at: float) -> int:
        """The column of time ``at`` (unix seconds), LATE when it is older than the window."""
        step = int(at // self.step_seconds)
        if step > self.head:
            self.advance(step)
        elif step <= self.head - self.steps:
            return LATE
        if step < self.first:
            self.first = step
        return step % self.steps

    def advance(self, step: int) -> None:
        """Make ``step`` the newest one; the columns in between begin empty."""
        if self.head < 0:
            self.head = self.first = step
            return
        fresh = min(step - self.head, self.steps)
        columns = [(step - back) % self.steps for back in range(fresh)]
        count = len(self.subjects)
        self.values[:count, columns] = self.fill[:count, None]
        self.latency[: len(self.latency_subjects), columns] = 0.0
        self.heard[1:, columns] = False
        self.head = max(step, self.head)
        self.first = max(self.first, self.head - self.steps + 1)

    def hear(self, owner: int, at: float) -> None:
        """``owner`` reported at ``at``. A pause no longer than its habit counts as reported, too."""
        step = int(at // self.step_seconds)
        if self.heard[owner, step % self.steps] and step <= self.last_heard[owner]:
            return
        if self.column(at) == LATE:
            return
        self.heard[owner, step % self.steps] = True
        last = self.last_heard[owner]
        if self.first_heard[owner] < 0 or step < self.first_heard[owner]:
            self.first_heard[owner] = step
        if step <= last:
            return
        if last >= 0:
            gap = step - last
            if gap <= self.hold(owner):
                for between in range(max(last + 1, self.head - self.steps + 1), step):
                    self.heard[owner, between % self.steps] = True
            # A habit is learned at once when it is slower and forgotten slowly; a long silence is no habit.
            if gap <= _MAX_HOLD_STEPS:
                self.gap_steps[owner] = max(float(gap), 0.95 * self.gap_steps[owner])
        self.last_heard[owner] = step

    def vouch(self, owner: int, column: int) -> None:
        """A report of ``owner`` covers an earlier step, too (an increase over several steps)."""
        if owner > ALWAYS and not self.heard[owner, column]:
            self.heard[owner, column] = True
            step = self.head - (self.head - column) % self.steps
            self.first_heard[owner] = min(step, self.first_heard[owner])

    def hold(self, owner: int) -> int:
        """Steps without a report that are still no silence."""
        return min(_MAX_HOLD_STEPS, max(2, math.ceil(1.5 * self.gap_steps[owner])))

    def silent_since(self, owner: int, step: int) -> int | None:
        """The first step of ``owner``'s silence as judged at ``step``, or None while it reports."""
        last = self.last_heard[owner]
        return last + 1 if last >= 0 and step - last > self.hold(owner) else None

    # --- snapshots ----------------------------------------------------------------------------------------------------

    @property
    def index(self) -> SeriesIndex:
        """What the rows are (SINK left out); the same object until a series appears."""
        if self._index is None:
            self._index = SeriesIndex(tuple(self.subjects[1:]), tuple(self.signals[1:]))
        return self._index

    def window_slices(self, last: int) -> tuple[slice, slice]:
        """Column slices, oldest first, that hold the steps from the first one with data up to ``last``."""
        first = max(self.first, last - self.steps + 1)
        a, b = first % self.steps, last % self.steps + 1
        if a < b:
            return slice(a, b), slice(0, 0)
        return slice(a, self.steps), slice(0, b)

    def heard_until(self, last: int) -> npt.NDArray[np.bool_]:
        """``heard[owner, step]`` for the window that ends with step ``last``, habits of pausing filled in."""
        one, two = self.window_slices(last)
        heard = np.concatenate((self.heard[:, one], self.heard[:, two]), axis=1)
        width = heard.shape[1]
        for owner in range(1, len(self.last_heard)):
            seen = self.last_heard[owner]
            if seen >= 0 and seen < last:
                begin = width - (last - seen)
                heard[owner, max(begin, 0) : max(begin + self.hold(owner), 0)] = True
        return heard

    def snapshot(self, last: int, heard: npt.NDArray[np.bool_]) -> Floats:
        """A copy of all series up to step ``last``, shape (series, steps); sums of the silent are NaN."""
        count = len(self.subjects)
        one, two = self.window_slices(last)
        values = np.concatenate((self.values[1:count, one], self.values[1:count, two]), axis=1)
        values[~heard[self.row_owner[1:count]]] = np.nan
        return values

    def latency_snapshot(self, last: int) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
        """Subjects and a copy of their bucket counts, shape (subjects, steps, buckets)."""
        if self._latency_subjects is None:
            self._latency_subjects = tuple(self.latency_subjects[1:])
        count = len(self.latency_subjects)
        one, two = self.window_slices(last)
        return self._latency_subjects, np.concatenate((self.latency[1:count, one], self.latency[1:count, two]), axis=1)

    def start_at(self, last: int) -> float:
        return max(self.first, last - self.steps + 1) * self.step_seconds

    def forget(self, horizon: int) -> int:
        """Drop series that hold nothing and reporters not heard since step ``horizon``; returns how many series went.

        Row numbers change: whoever remembers some must ask again.
        """
        count = len(self.subjects)
        with np.errstate(all="ignore"):
            empty = ~(np.nan_to_num(self.values[:count]) != 0.0).any(axis=1)
            # A gauge that reads 0 is a report; only all-NaN is empty.
            empty &= np.where(np.isnan(self.fill[:count]), np.isnan(self.values[:count]).all(axis=1), True)
        last_heard = np.asarray(self.last_heard)
        silent = last_heard[self.row_owner[:count]] < horizon
        silent |= self.row_owner[:count] <= ANYONE
        drop = empty & silent
        drop[SINK] = False
        if not drop.any():
            return 0
        keep = np.flatnonzero(~drop)
        self.values[: len(keep)] = self.values[keep]
        self.fill[: len(keep)] = self.fill[keep]
        self.row_owner[: len(keep)] = self.row_owner[keep]
        self.subjects = [self.subjects[i] for i in keep.tolist()]
        self.signals = [self.signals[i] for i in keep.tolist()]
        self.rows = {pair: row for row, pair in enumerate(zip(self.subjects, self.signals, strict=True)) if row != SINK}
        kept = [SINK] + [i for i in range(1, len(self.latency_subjects)) if self.latency[i].any()]
        self.latency[: len(kept)] = self.latency[kept]
        self.latency[len(kept) :] = 0.0
        self.latency_subjects = [self.latency_subjects[i] for i in kept]
        self.latency_rows = {subject: row for row, subject in enumerate(self.latency_subjects) if row != SINK}
        self._index, self._latency_subjects = None, None
        return int(drop.sum())
