"""When a burning budget is worth an alert: the conditions, for numbers and for whole arrays, and the stage that asks them
of the running ledgers.

Multi-window multi-burn-rate (Site Reliability Workbook, chapter 5) with a guard against noise, and one rule beside it:

- A tier fires when both windows burn faster than its factor, and its long window holds ``min_failures`` bad events, or as
  many clumps of them where failures come in clumps (``clumps.py``), though never more than three times what its factor
  asks for. The short window needs no such number: at one request in ten minutes it never holds five. A tier that writes a
  ticket also wants the ratio above its threshold by ``ticket_z`` standard errors, which is the same as a Wilson lower bound
  above it (Wilson 1927: the interval is the score test turned around).
- An *outage* is the shortest run of newest steps with ``min_failures`` bad events when at least half of its events failed
  and chance at the budget's ratio would do that less than once in 1e9. It pages after five failures where a window takes a
  hundred.

What a person left out (maintenance) or gave back counts for none of these; one that was said afterwards closes what fires
because of it alone.

How often these cry on healthy data and how fast they are: ``docs/results/slo.md``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgspec import structs

from midwatch.core.memory import Ledger
from midwatch.core.slo import ledger as books
from midwatch.core.slo.budget import stale_seconds
from midwatch.core.slo.clumps import habit_of
from midwatch.core.slo.composite import journey, weighted
from midwatch.core.slo.corrected import corrected, left_out_seconds, touching, why
from midwatch.core.slo.tiers import counts_events, guards, heard, pages_outages, stretched
from midwatch.core.turn import Turn
from midwatch.model.adjustments import Adjustment
from midwatch.model.events import FindingClosed, FindingOpened
from midwatch.model.findings import Finding
from midwatch.model.slo import AlertRules, BurnTier, Slo
from midwatch.model.world import Floats

RELEARN_SECONDS: Final = 60.0  # a ledger that begins anew says nothing about what was burning before
WIDEST: Final = 3.0  # times the failures that a tier's factor asks for: no habit may hide more
OUTAGE: Final = "outage"
OUTAGE_SHARE: Final = 0.5
OUTAGE_NATS: Final = math.log(1e9)
OUTAGE_SECONDS: Final = 3600.0  # a run of failures that is spread over more than this is not one outage
BLIP_SECONDS: Final = 10.0
CALM_NATS: Final = 3.0  # of so many expected failures none shows once in twenty times
FEW_EVENTS: Final = 5.0
PART_SECONDS: Final = 3600.0  # a part of a composite that had no events for so long says nothing any more

Bools = npt.NDArray[np.bool_]


def needed(total: Any, tier: BurnTier, budget: float, rules: AlertRules) -> Any:
    """How many bad of ``total`` events (a number or an array) the long window must exceed for the tier to fire, the
    ``min_failures`` left aside."""
    threshold = tier.factor * budget
    z = 0.0 if tier.pages else rules.ticket_z
    return total * threshold + z * np.sqrt(total * threshold * max(0.0, 1 - threshold))


def least(total: Any, tier: BurnTier, budget: float, rules: AlertRules, habit: Any = 0.0) -> Any:
    """How many failures the long window must hold whatever their ratio: ``min_failures``, where ``habit`` failures that come
    together (``clumps.habit``) count as one."""
    wide = np.minimum(rules.min_failures * (1 + habit), WIDEST * total * tier.factor * budget)
    return np.maximum(rules.min_failures, wide)


def fires(
    long_bad: Any,
    long_total: Any,
    short_bad: Any,
    short_total: Any,
    tier: BurnTier,
    budget: float,
    rules: AlertRules,
    habit: Any = 0.0,
) -> Any:
    """Whether the tier fires on these counts (numbers, or arrays of one shape). ``budget`` is 1 - target, ``long_total``
    the expected events of a window that history does not cover yet. No traffic never fires, nor does a dead tier."""
    threshold = tier.factor * budget
    if threshold >= 1:  # it would take more than all requests failing
        return np.zeros(np.shape(long_bad), dtype=bool)
    return (
        (long_bad > needed(long_total, tier, budget, rules))
        & (long_bad >= least(long_total, tier, budget, rules, habit))
        & (short_bad > short_total * threshold)
    )


def outage(bad: Any, total: Any, budget: float, rules: AlertRules) -> Any:
    """Whether a run of newest steps with ``bad`` of ``total`` events (numbers or arrays) is an outage. Chernoff's bound on
    the chance of it at the budget's ratio: ``exp(-total * KL(bad/total, budget))``."""
    whole = np.maximum(total, 1.0)
    ratio = np.minimum(bad / whole, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        nats = ratio * np.log(ratio / budget) + np.where(ratio < 1, (1 - ratio) * np.log((1 - ratio) / (1 - budget)), 0)
    enough = (bad >= max(1.0, rules.min_failures)) & (ratio >= OUTAGE_SHARE) & (ratio > budget)
    return enough & (whole * np.nan_to_num(nats) >= OUTAGE_NATS)


def newest_run(bad: Floats, total: Floats, failures: float) -> tuple[float, float, int]:
    """Bad, total and length of the shortest run of newest steps with ``failures`` bad events; all steps when they hold
    less."""
    behind = np.cumsum(bad[::-1])
    steps = min(int(np.searchsorted(behind, failures - 1e-9)) + 1, bad.size)
    return float(behind[steps - 1]) if steps else 0.0, float(total[total.size - steps :].sum()), steps


def judge(turn: Turn) -> Turn:
    """Open a finding for every tier that fires and every outage, and close those that have calmed."""
    policy, slos = turn.state.policy, {slo.name: slo for slo in turn.state.slos}
    waiting: dict[str, float] = {}
    for slo, key, ledger in ledgers_of(turn):
        tiers = heard(slo, policy.tiers)
        tiers = tiers if slo.slices is None else stretched(tiers, slo.slices.seconds)
        tiers = (*tiers, outage_tier(slo)) if pages_outages(slo, policy.alerts) else tiers
        turn = _judge(turn, slo, key, ledger, tiers, guards(slo, policy.alerts, slos), waiting)
    return turn.remember(burning_since=waiting)


def ledgers_of(turn: Turn) -> Iterator[tuple[Slo, str, Ledger]]:
    """Every ledger with its promise and its key, groups included. A target of 1 has no budget that could burn."""
    slos = {slo.name: slo for slo in turn.state.slos if slo.target < 1}
    for key, ledger in turn.memory.ledgers.items():
        slo = slos.get(key) or slos.get(key.partition("{")[0])
        if slo is not None:
            yield slo, key, ledger


def outage_tier(slo: Slo) -> BurnTier:
    """The outage rule in a tier's words."""
    return BurnTier(OUTAGE, OUTAGE_SHARE / (1 - slo.target), OUTAGE_SECONDS, BLIP_SECONDS, True)


def _judge(
    turn: Turn,
    slo: Slo,
    key: str,
    ledger: Ledger,
    tiers: tuple[BurnTier, ...],
    rules: AlertRules,
    waiting: dict[str, float],
) -> Turn:
    """``waiting`` gathers since when a condition holds whose ``for_seconds`` are not over yet."""
    idents = {tier.name: f"burn_rate|{slo.entity}|{key}/{tier.name}" for tier in tiers}
    # An outage looks at its newest run, which a source counts behind time: ten seconds before now hold nothing of it.
    longest = max((OUTAGE_SECONDS if tier.name == OUTAGE else tier.short_seconds for tier in tiers), default=0.0)
    at = judged_at(slo, ledger, turn.now)
    good, total = books.sums(ledger, longest, at)
    if total - good <= 0 and not any(ident in turn.state.findings for ident in idents.values()):
        return turn  # nothing failed in the longest window that a tier wants burning: none can fire
    whole, farthest = ledger, max((OUTAGE_SECONDS, *(tier.long_seconds for tier in tiers)))
    left = touching(turn.state.adjustments, slo.name, at - farthest, at)
    ledger = corrected(whole, left)
    for tier in tiers:
        ident = idents[tier.name]
        if ident in turn.state.findings:
            if turn.now - turn.memory.started_at < RELEARN_SECONDS:
                continue
            if _calm(slo, tier, ledger, at):
                turn = turn.emit(FindingClosed(ident, "burns no faster than it may"))
            elif left and _only_corrected(slo, tier, whole, ledger, left, rules, at):
                turn = turn.emit(FindingClosed(ident, why(left[-1])))
        elif (burns := _burns(slo, tier, ledger, rules, at, left)) is not None and not _calm(slo, tier, ledger, at):
            since = turn.memory.burning_since.get(ident, turn.now)
            if turn.now - since < rules.for_seconds:
                waiting[ident] = since
            else:
                turn = turn.emit(FindingOpened(_finding(ident, slo, key, tier, ledger, burns, at, rules)))
    return turn


def judged_at(slo: Slo, ledger: Ledger, now: float) -> float:
    """Where the windows end. What a source counts lies a step and a delay behind ``now``, and a slice its width: the five
    minutes before now hold nothing of a step of five minutes. They end with what was seen, unless nobody looks any more."""
    behind = slo.sli == "source" or slo.slices is not None
    return min(now, ledger.seen_until) if behind and now - ledger.seen_until <= stale_seconds(slo) else now


def _only_corrected(
    slo: Slo, tier: BurnTier, whole: Ledger, ledger: Ledger, left: Sequence[Adjustment], rules: AlertRules, now: float
) -> bool:
    """Whether the tier would fire on all that was counted, and does not on what corrections left of it."""
    burns = _burns(slo, tier, whole, rules, now)
    return burns is not None and _burns(slo, tier, ledger, rules, now, left) is None


def _burns(
    slo: Slo, tier: BurnTier, ledger: Ledger, rules: AlertRules, now: float, left: Sequence[Adjustment] = ()
) -> float | None:
    """The burn rate when the tier fires, else None. ``left`` are the corrections that made ``ledger``.

    A window that history does not cover yet is judged by its expected traffic: half a minute of errors after a minute of
    life is not three days of them, nor are those after a night of maintenance.
    """
    budget = 1 - slo.target
    if tier.name == OUTAGE:
        bad, whole, _ = _run(ledger, rules)
        return bad / whole / budget if whole > 0 and outage(bad, whole, budget, rules) else None
    good_short, short = books.sums(ledger, tier.short_seconds, now)
    good_long, long = books.sums(ledger, tier.long_seconds, now)
    covered = now - ledger.first_at
    if left:
        begin = max(now - tier.long_seconds, ledger.first_at)
        covered = now - begin - left_out_seconds(left, begin, now)
    expected = long * max(1.0, tier.long_seconds / max(covered, ledger.levels[0][0]))
    bad = long - good_long
    counts = (bad, expected, short - good_short, short)
    if not fires(*counts, tier, budget, structs.replace(rules, min_failures=0.0)):
        return None
    if not founded(ledger, bad, expected, tier, budget, rules, now):
        return None
    return bad / expected / budget


def founded(
    ledger: Ledger, bad: float, total: float, tier: BurnTier, budget: float, rules: AlertRules, now: float
) -> bool:
    """Whether the tier's long window, with ``bad`` of ``total`` events, holds as many failures as ``least`` asks for. Of a
    composite those of its parts are counted, each by what is a habit there."""
    if failures(ledger, tier.long_seconds, now) < rules.min_failures:
        return False
    plain = bad >= WIDEST * total * tier.factor * budget
    return plain or failures(ledger, tier.long_seconds, now, together=True) >= rules.min_failures


def failures(ledger: Ledger, window_seconds: float, now: float, together: bool = False) -> float:
    """Bad events of the window; of a composite those of all its parts. ``together``: those that come together as a habit
    (``clumps.py``) count as one."""
    if ledger.rule:
        return sum(failures(part, window_seconds, now, together) for part, _ in ledger.parts)
    good, total = books.sums(ledger, window_seconds, now)
    return (total - good) / (1 + habit_of(ledger, now) if together else 1.0)


def _run(ledger: Ledger, rules: AlertRules) -> tuple[float, float, int]:
    good, total = ledger.counts[0][:, -math.ceil(OUTAGE_SECONDS / ledger.levels[0][0]) :]
    return newest_run(total - good, total, rules.min_failures)


def _calm(slo: Slo, tier: BurnTier, ledger: Ledger, now: float) -> bool:
    """Whether the newest minute is within the tier's rate: an alert need not wait for its short window to empty once the
    errors have stopped. No traffic is not calm.

    For a page it is a minute, or so much more that a burn at the tier's rate would have shown, but no more than the short
    window holds (and five events where each can fail by itself): one good request between failures ends nothing. Where
    counts come step by step it ends with the newest step that held events, however wide a step is.
    """
    budget, threshold = 1 - slo.target, tier.factor * (1 - slo.target)

    def newest(width: float) -> tuple[float, float]:
        if slo.sli == "source" or slo.slices is not None:
            return _newest(ledger, width, now - PART_SECONDS)
        return books.sums(ledger, width, now)

    width = min(60.0, tier.short_seconds)
    if newest(width)[1] <= 0:
        return False
    enough = CALM_NATS / threshold if tier.pages else 1.0
    few = FEW_EVENTS if tier.pages and counts_events(slo) else 1.0
    while True:
        good, total = newest(width)
        whole = width >= tier.short_seconds
        if total >= enough or (whole and (total >= few or width >= tier.long_seconds)):
            break
        width = min(2 * width, tier.long_seconds if whole else tier.short_seconds)
    # A short window that is calm resets the alert anyway; an outage has none that would say anything.
    rate = threshold if whole and tier.name != OUTAGE else 0.5 * threshold
    return (total - good) / total <= max(budget, rate)


def _newest(ledger: Ledger, width: float, since: float) -> tuple[float, float]:
    """Good and total of the newest ``width`` seconds with events. Of a composite every part has its own, unless they end
    before ``since``: the newest step of a slow part is older than a minute of a fast one."""
    if ledger.rule:
        alive = [part.rule != "" or _newest_end(part) > since for part, _ in ledger.parts]
        parts = zip(ledger.parts, alive, strict=True)
        found = np.array([_newest(part, width, since) if on else (0.0, 0.0) for (part, _), on in parts]).T
        if ledger.rule == "weighted":
            good, total = weighted(found[0], found[1], np.array([weight for _, weight in ledger.parts]))
            return float(good), float(total)
        good, total = journey(found[0][:, None], found[1][:, None])
        return float(good.sum()), float(total.sum())
    end = _newest_end(ledger)
    return books.between(ledger, end - width, end)


def _newest_end(ledger: Ledger) -> float:
    """Where the newest column with events ends, no later than what was seen of every part."""
    step, size = ledger.levels[0]
    starts = ledger.head_at[0] - step * np.arange(size - 1, -1, -1)
    busy = np.flatnonzero((ledger.counts[0][1] > 0) & (starts < ledger.seen_until))
    return min(float(starts[busy[-1]]) + step, ledger.seen_until) if busy.size else ledger.seen_until


def _finding(
    ident: str, slo: Slo, key: str, tier: BurnTier, ledger: Ledger, burns: float, now: float, rules: AlertRules
) -> Finding:
    if tier.name == OUTAGE:
        what = f"{burns * (1 - slo.target):.0%} of the newest requests failed"
        since = ledger.head_at[0] - (_run(ledger, rules)[2] - 1) * ledger.levels[0][0]
    else:
        what = f"{burns:.1f} x over {span(tier.long_seconds)}, {tier.name} tier at {tier.factor:g} x"
        since = _since(ledger, tier, slo, now)
    return Finding(
        id=ident,
        kind="burn_rate",
        entity=slo.entity,
        since_at=since,
        value=burns,
        baseline=1.0,
        unit="x budget",
        detail=f"{key}: {what}",
        slo=slo.name,
        pages=tier.pages,
    )


def _since(ledger: Ledger, tier: BurnTier, slo: Slo, now: float) -> float:
    """The first step of the short window in which more than the budget's share was bad."""
    step, size = ledger.levels[0]
    steps = min(size, math.ceil(tier.short_seconds / step))
    good, total = ledger.counts[0][:, -steps:]
    bad = np.flatnonzero((total - good) > np.maximum(total * (1 - slo.target), 0.5))
    return float(ledger.head_at[0] - (steps - 1 - int(bad[0])) * step) if bad.size else now


def span(seconds: float) -> str:
    """A window in words: ``5 min``, ``6 h``."""
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds / 60:g} min"
