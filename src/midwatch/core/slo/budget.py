"""What is left of a promise's budget, and what is not known about it.

Three states are never mixed: *no data* (nobody could look: the last known numbers stand beside their age), *no traffic*
(somebody looked and there was nothing to count) and *no errors*. What is undefined is None; nothing here is ever NaN or
infinite.

The budget is (1 - target) x the traffic of the whole period. What the period has not shown yet (its rest, or what lies
before the ledger's begin) is expected at the mean rate of the history there is, or the first error after a start would
spend it all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

from midwatch.core.memory import Ledger, Memory
from midwatch.core.slo import adjust
from midwatch.core.slo import ledger as books
from midwatch.core.slo.calendar import period
from midwatch.core.slo.corrected import corrected, touching
from midwatch.core.slo.slices import SETTLE_SECONDS
from midwatch.model.adjustments import Adjustment
from midwatch.model.slo import Slo
from midwatch.model.state import State

Standing = Literal["no_data", "no_traffic", "no_errors", "ok", "burning", "spent"]

BURN_SECONDS: Final = 3600.0
MIN_BAD: Final = 5.0
STALE_SECONDS: Final = 600.0  # nothing was counted for so long: nobody looks
QUIET_EVENTS: Final = 10.0  # no traffic: nothing where so many events were to be expected
QUIET_SECONDS: Final = 300.0  # and at least so long


class Counts(Struct, frozen=True):
    """What budgets are made of, wherever it was counted (a ledger, the store): ``good`` of ``total`` events in the period,
    of which ``covered_seconds`` were looked at; ``usual_total`` events in the ``usual_seconds`` before now, for the expected
    rate; ``hour_good`` of ``hour_total`` in the last hour; ``recent_total`` in the last ``quiet_seconds``."""

    good: float
    total: float
    covered_seconds: float
    usual_total: float
    usual_seconds: float
    hour_good: float = 0.0
    hour_total: float = 0.0
    recent_total: float = 0.0


class Budget(Struct, frozen=True):
    """One ledger's budget of [since_at, until_at) (unix seconds; a rolling period ends now).

    ``good`` of ``total`` events, adjustments included; ``sli`` their ratio. ``expected`` events of the whole period allow
    ``allowed`` bad ones; ``spent`` and ``left`` are shares of that (left is below zero when overspent), ``left_events`` and
    ``left_seconds`` (of total outage at the expected traffic) the same in other units. ``burn`` is the last hour's rate.
    ``last_seen_at`` is when anything was last heard; ``why`` says why there is no data since, else it is empty.
    ``adjusted`` is what adjustments took away or gave back, in bad events. ``late`` events came after their step and were
    counted; ``impossible`` steps were left out, ``impossible_why`` says what the newest was.
    """

    key: str
    slo: str
    state: Standing
    target: float
    since_at: float
    until_at: float
    covered_seconds: float
    good: float = 0.0
    total: float = 0.0
    sli: float | None = None
    expected: float | None = None
    allowed: float | None = None
    spent: float | None = None
    left: float | None = None
    left_events: float | None = None
    left_seconds: float | None = None
    burn: float | None = None
    last_seen_at: float | None = None
    age_seconds: float | None = None
    why: str = ""
    adjusted: float = 0.0
    late: float = 0.0
    impossible: int = 0
    impossible_why: str = ""

    @property
    def bad(self) -> float:
        return self.total - self.good

    @property
    def period_seconds(self) -> float:
        return self.until_at - self.since_at


def stale_seconds(slo: Slo) -> float:
    """How far a ledger may lie behind while somebody looks: a slice is counted when it is judged."""
    return STALE_SECONDS + (slo.slices.seconds + SETTLE_SECONDS if slo.slices is not None else 0.0)


def bounds(slo: Slo, now: float) -> tuple[float, float]:
    """Start and end of the period that counts at ``now``."""
    return (now - slo.period_seconds, now) if slo.calendar is None else period(slo.calendar, now)


def budget(
    slo: Slo, ledger: Ledger | None, adjustments: Iterable[Adjustment], now: float, *, key: str = "", blind: str = ""
) -> Budget:
    """The budget of one ledger. ``key`` is the ledger's (the SLO's name unless it is a group), ``blind`` why nothing can be
    seen of it right now (``blind_why``)."""
    key, adjustments = key or slo.name, tuple(adjustments)
    since, until = bounds(slo, now)
    if ledger is None:
        return Budget(key, slo.name, "no_data", slo.target, since, until, 0.0, why=blind or "nothing was counted yet")
    good, total = books.between(ledger, since, now)
    less = adjust.correction(adjustments, slo.name, key, ledger, since, now)
    usual_seconds = max(min(until - since, ledger.seen_until - ledger.first_at), books.LEVELS[0][0])
    usual = books.between(ledger, ledger.seen_until - usual_seconds, ledger.seen_until)[1]
    left = touching(adjustments, slo.name, now - BURN_SECONDS, now)
    hour = books.sums(corrected(ledger, left), BURN_SECONDS, now)
    quiet = quiet_seconds(usual, usual_seconds)
    counts = Counts(
        max(0.0, good + less.good),
        max(0.0, total + less.total),
        max(0.0, min(ledger.seen_until, now) - max(since, ledger.first_at)),
        usual,
        usual_seconds,
        *hour,
        books.sums(ledger, quiet, now)[1],
    )
    if not blind and now - ledger.seen_until > stale_seconds(slo):
        blind = "nothing was counted since"
    heard = ledger.heard_at or (ledger.seen_until if usual > 0 else 0.0)
    return reckon(
        slo, counts, now, key=key, blind=blind, last_seen_at=min(heard, now) or None, adjusted=less.good - less.total,
        late=ledger.late, impossible=ledger.impossible, impossible_why=ledger.impossible_why,
    )  # fmt: skip


def reckon(
    slo: Slo, counts: Counts, now: float, *, key: str = "", blind: str = "", last_seen_at: float | None = None,
    adjusted: float = 0.0, late: float = 0.0, impossible: int = 0, impossible_why: str = "",
) -> Budget:  # fmt: skip
    """The arithmetic of a budget, from counts alone."""
    since, until = bounds(slo, now)
    length = until - since
    good, total = min(counts.good, counts.total), counts.total
    rate = counts.usual_total / counts.usual_seconds if counts.usual_seconds > 0 else 0.0
    expected = total + rate * max(0.0, length - counts.covered_seconds)
    bad = total - good
    share = 1 - slo.target
    allowed = share * expected if expected > 0 else None
    spent = bad / allowed if allowed else None
    left = None if spent is None else 1 - spent
    burn = None
    if counts.hour_total > 0 and share > 0:
        burn = (counts.hour_total - counts.hour_good) / counts.hour_total / share
    return Budget(
        key=key or slo.name,
        slo=slo.name,
        state=_standing(counts, bad, spent, burn, share, blind),
        target=slo.target,
        since_at=since,
        until_at=until,
        covered_seconds=min(counts.covered_seconds, length),
        good=good,
        total=total,
        sli=good / total if total > 0 else None,
        expected=expected if expected > 0 else None,
        allowed=allowed,
        spent=spent,
        left=left,
        left_events=None if allowed is None else allowed - bad,
        left_seconds=None if left is None else left * share * length,
        burn=burn,
        last_seen_at=last_seen_at,
        age_seconds=None if last_seen_at is None else max(0.0, now - last_seen_at),
        why=blind,
        adjusted=adjusted,
        late=late,
        impossible=impossible,
        impossible_why=impossible_why,
    )


def _standing(
    counts: Counts, bad: float, spent: float | None, burn: float | None, share: float, blind: str
) -> Standing:
    if blind:
        return "no_data"
    if (spent is not None and spent >= 1) or (share <= 0 and bad > 0):
        return "spent"
    if counts.recent_total <= 0:
        return "no_traffic"
    if burn is not None and burn > 1 and counts.hour_total - counts.hour_good >= MIN_BAD:
        return "burning"
    return "no_errors" if bad <= 0 else "ok"


def quiet_seconds(usual_total: float, usual_seconds: float) -> float:
    """How long nothing must come for "no traffic": at one request an hour, five minutes without one say nothing."""
    if usual_total <= 0:
        return QUIET_SECONDS
    return min(max(QUIET_SECONDS, QUIET_EVENTS * usual_seconds / usual_total), max(QUIET_SECONDS, usual_seconds))


def blind_why(state: State, slo: Slo, key: str = "") -> str:
    """Why nothing can be seen of a promise right now, from the gaps in the journal; empty while somebody looks."""
    said = [state.gaps.get(f"slo:{one}") for one in (key or slo.name, slo.name)]
    if slo.sli == "source":
        said.append(state.gaps.get(source_subject(slo)))
    else:  # other gaps of an entity (a bound that was reached) do not blind
        said += [why for why in (state.gaps.get("telemetry"), state.gaps.get(slo.entity)) if why and "nothing" in why]
    return next((why for why in said if why), "")


def source_subject(slo: Slo) -> str:
    """What the gap of a source is called when it hits many promises at once."""
    return f"source:{slo.data_source or 'default'}"


def budgets(state: State, memory: Memory, now: float) -> list[Budget]:
    """Every promise with its groups, in the order of ``state.slos``; the whole of a promise comes before its groups."""
    groups: dict[str, list[str]] = {}
    for key in memory.ledgers:
        name, mark, _ = key.partition("{")
        if mark:
            groups.setdefault(name, []).append(key)
    return [
        budget(slo, memory.ledgers.get(key), state.adjustments, now, key=key, blind=blind_why(state, slo, key))
        for slo in state.slos
        for key in (slo.name, *sorted(groups.get(slo.name, ())))
    ]
