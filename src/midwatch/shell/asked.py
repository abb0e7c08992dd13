"""What is known of one promise that a source counts: how far it was read, and what the ledgers have not taken yet.

Counts wait here between the poller, which brings them, and the loop, which takes what there is with each turn. The newest
twenty minutes stay after they were taken, as in the World.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from midwatch.core.memory import Ledger
from midwatch.model.slo import Slo
from midwatch.model.world import Floats, SliCounts
from midwatch.shell.reading_back import fine_from, oldest

KEPT_SECONDS: Final = 1200.0  # of what the ledgers have taken already: as much as the World's window
MAX_STEPS: Final = 20_000  # of one ledger, waiting to be taken; reading on waits for room, and begins where it stopped

Span = Callable[[str], tuple[float, float] | None]
"""Begin and end of what the ledger of a key has counted (unix seconds); None when there is none."""


@dataclass
class Asked:
    """One promise: everything from ``back`` up to ``seen`` was read (unix seconds; ``seen`` is NaN before the first
    question); ``tried`` is the end of the last span that was asked for, and ``back_again`` when what lies before ``back``
    may be asked for again. ``keys`` are its counts by ledger key, ``dropped`` the steps for which there was no room."""

    slo: Slo
    span: Span
    seen: float = math.nan
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
    dropped: int = 0
    keys: dict[str, SliCounts] = field(default_factory=dict)

    def lost(self) -> bool:
        """Whether the ledger is gone that had taken what is gone from here: all has to be read again."""
        return self.pruned and not self.busy and not self.reading and self.span(self.slo.name) is None

    def place(self, until: float, step_seconds: float) -> None:
        """Where reading begins: where the ledger stands; without one at the newest hours, or for slices at the begin."""
        span = self.span(self.slo.name)
        self.oldest = math.floor(oldest(self.slo, until) / step_seconds) * step_seconds
        if span is not None:
            self.seen = max(self.oldest, math.floor(span[1] / step_seconds) * step_seconds)
        else:
            self.seen = self.back = self.oldest if self.slo.slices else max(self.oldest, fine_from(until))

    def edge(self) -> float:
        """Everything since then was read, by the poller or into the ledger that the store had; -inf when nothing before the
        first question is read in pieces (slices), and before that question."""
        if math.isnan(self.seen) or self.slo.slices is not None:
            return -math.inf
        if self.back <= self.oldest:
            return self.back
        span = self.span(self.slo.name)
        return self.back if span is None else min(self.back, span[0])

    def full(self, more: int) -> bool:
        """Whether one of its ledgers has so much to take already that ``more`` steps would be too many."""
        longest = max(self.keys.values(), key=lambda one: one.at.size, default=None)
        return longest is not None and self._waiting(longest) + more > MAX_STEPS

    def taken_all(self) -> bool:
        """Whether the ledgers have taken all that was read further back."""
        for one in self.keys.values():
            if one.at.size:
                span = self.span(one.key) or self.span(one.slo)
                if span is None or one.at[0] < span[0] - 1e-6:
                    return False
        return True

    def take(self, found: Sequence[SliCounts], end: float, last: bool) -> None:
        """What one question about new steps brought. Only the newest end can be a gap; further back, what is missing had no
        events."""
        for one in found:
            if self.slo.group_by and not one.group:
                continue  # nothing matched: no group is known by that
            self._keep(replace(one, seen_until=one.seen_until if last else end))
        self.seen = max((one.seen_until for one in found), default=end) if last else end
        self.gap = found[0].gap if last and found else ""
        if self.slo.group_by:  # a group that did not come had no events
            for key, one in self.keys.items():
                self.keys[key] = replace(one, seen_until=max(one.seen_until, self.seen))
            self._forget()

    def take_back(self, found: Sequence[SliCounts], begin: float) -> None:
        """What one question about the past brought, from ``begin`` on. No series there is no gap: nothing happened yet."""
        self.back_failures, self.back = 0, max(begin, self.oldest)
        for one in found:
            if one.group or not self.slo.group_by:
                before = self.keys.get(one.key)
                seen = before.seen_until if before is not None else self.seen
                self._keep(replace(one, seen_until=seen, gap=""))

    def _keep(self, new: SliCounts) -> None:
        """With what is there, less what the ledger has taken and is older than the World's window. A late first step never
        counts twice: what is asked for begins where the last answer ended."""
        before = self.keys.get(new.key)
        if before is None:
            self.keys[new.key] = new
            return
        first, second = (new, before) if new.at.size and before.at.size and new.at[0] < before.at[0] else (before, new)
        at, good, total = (
            np.concatenate([getattr(first, name), getattr(second, name)]) for name in ("at", "good", "total")
        )
        span = self.span(new.key)
        if span is None and new.group:  # beyond the bound of groups it is counted with the whole
            span = self.span(new.slo)
        self.pruned = self.pruned or span is not None
        if span is not None:
            keep = _outside(at, span) | (at >= new.seen_until - KEPT_SECONDS)
        else:
            keep = np.ones(at.size, dtype=bool)
        if (many := int(keep.sum())) > MAX_STEPS:
            self.dropped += many - MAX_STEPS
            keep[: len(keep) - MAX_STEPS] = False
        self.keys[new.key] = SliCounts(new.slo, new.group, at[keep], good[keep], total[keep], new.seen_until, "")

    def _waiting(self, one: SliCounts) -> int:
        span = self.span(one.key) or self.span(one.slo)
        return one.at.size if span is None else int(_outside(one.at, span).sum())

    def _forget(self) -> None:
        """Beyond the bound of groups, let those go that have no ledger of their own and had no events lately: labels that
        change all the time would gather without end. What they had was counted with the whole."""
        span = self.span(self.slo.name)
        if span is None or len(self.keys) <= self.slo.max_groups:
            return
        since = self.seen - KEPT_SECONDS
        silent = [
            key for key, one in self.keys.items() if not one.total[_outside(one.at, span) | (one.at >= since)].any()
        ]
        for key in silent:
            if self.span(key) is None:
                del self.keys[key]

    def counts(self, now: float) -> dict[str, SliCounts]:
        """By ledger key, what was counted lately; without counts yet, the gap alone."""
        if self.keys:
            return {k: replace(one, gap=self.gap) if self.gap != one.gap else one for k, one in self.keys.items()}
        if not self.gap:
            return {}
        seen, name = self.seen, self.slo.name
        if math.isnan(seen):  # never asked: seen as far as the ledger is, and no step further
            span = self.span(name)
            seen = span[1] if span is not None else now
        return {name: SliCounts(name, (), np.empty(0), np.empty(0), np.empty(0), seen, self.gap)}


def _outside(at: Floats, span: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Which steps a ledger that has counted ``span`` has not taken."""
    return np.asarray((at >= span[1]) | (at < span[0] - 1e-6))


def counted_span(ledgers: Mapping[str, Ledger], key: str) -> tuple[float, float] | None:
    """Begin and end of what the ledger of ``key`` has counted; a promise with groups has one of them all."""
    ledger = ledgers.get(key)
    return None if ledger is None else (ledger.first_at, ledger.seen_until)


def weighed(one: SliCounts, worth: float) -> SliCounts:
    """Counts of which each is worth so much (``reading_back.weight``)."""
    return one if worth == 1 else replace(one, good=one.good * worth, total=one.total * worth)
