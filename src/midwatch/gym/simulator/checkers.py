"""The invariants, each a small function over the trace of one run: what it checked, what it skipped, what is wrong.

Those of actions, pages, people and ratings have files of their own. None of them looks at how good a diagnosis was: they
must hold for any detector and any fleet.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np

from midwatch.core.slo import ledger as books
from midwatch.gym.simulator.checked import Checked, of
from midwatch.gym.simulator.checks_of_actions import (
    every_intent_ends,
    gaps_are_said,
    healthy_is_left_alone,
    missed_is_undone,
    never_twice,
    no_action_without_data,
    no_data_is_not_an_outage,
    no_effect_without_intent,
    nothing_acts_hands_off,
    ordered_only_after_run,
    shadow_touches_nothing,
)
from midwatch.gym.simulator.checks_of_pages import (
    every_page_is_due_to_somebody,
    no_resolved_incident_pages,
    nobody_due_is_forgotten,
    nobody_wrong_is_paged,
)
from midwatch.gym.simulator.checks_of_people import (
    commands_are_answered,
    losing_memory_is_harmless,
    pages_arrive_or_are_retried,
    regrouping_loses_nothing,
)
from midwatch.gym.simulator.checks_of_ratings import nothing_is_milder_too_soon
from midwatch.gym.simulator.trace import Trace
from midwatch.model import events as e
from midwatch.model import signals
from midwatch.model.slo import Slo
from midwatch.model.world import Floats, World
from midwatch.shell.journal import codec

MAX_STATE_BYTES: Final = 2_000_000
MAX_EVENTS_PER_HOUR: Final = 3000
"""In the worst hour of an incident; the design's figure for a whole incident is 500."""
MAX_BURST: Final = 400
HEALTHY_EVENTS_PER_HOUR: Final = 100
HEALTHY_START: Final = 60
"""Events that a start may write before the first quiet hour: the policy, a promise per entity, announced changes."""
_OBEYED: Final = e.HandsOffChanged | e.AutonomyChanged
"""What people cause in a healthy hour."""


Checker = Callable[[Trace, Checked], None]


def check(trace: Trace) -> list[Checked]:
    """Every invariant over one trace."""
    results = []
    for checker in CHECKERS:
        result = Checked(checker.__name__)
        checker(trace, result)
        results.append(result)
    return results


# -- the run --


def nothing_raised(trace: Trace, c: Checked) -> None:
    c.claim(not trace.broken, f"the run broke: {trace.broken}")


def time_and_seq_go_forward(trace: Trace, c: Checked) -> None:
    for before, after in pairwise(trace.journal):
        c.claim(after.seq == before.seq + 1, f"seq {before.seq} is followed by {after.seq}")
        c.claim(after.at >= before.at, f"entry {after.seq} lies {before.at - after.at:.1f} s before its predecessor")


def state_is_the_fold(trace: Trace, c: Checked) -> None:
    for seq, same in trace.folds:
        c.claim(same, f"at entry {seq} the live state was not the fold of the journal")
    ids = [event.incident for _, event in of(trace, e.IncidentOpened)]
    c.claim(len(ids) == len(set(ids)), f"an incident's id was used twice: {ids}")
    pages = [event.page for _, event in of(trace, e.PageOrdered)]
    c.claim(len(pages) == len(set(pages)), f"a page's id was used twice: {pages}")


def events_survive_encoding(trace: Trace, c: Checked) -> None:
    for recorded in trace.journal:
        encoded = codec.encode(recorded.event)
        decoded = codec.decode(encoded.kind, encoded.version, encoded.facts, encoded.texts)
        # Or in writing: NaN ("no data") is a value here and is not equal to itself.
        c.claim(
            decoded == recorded.event or repr(decoded) == repr(recorded.event),
            f"entry {recorded.seq} ({encoded.kind}) changed on its way through the codec",
        )


# -- arithmetic and bounds --


def ledgers_add_up(trace: Trace, c: Checked) -> None:
    """Good and total of each ledger are the sums of everything that was fed since it began: nothing lost or doubled."""
    truth = trace.truth
    if truth is None:
        c.skip("nothing was fed")
        return
    for slo in trace.state.slos:
        ledger = trace.memory.ledgers.get(slo.name)
        counts = good_and_total(truth, slo)
        if ledger is None or counts is None:
            c.skip("no ledger yet")
            continue
        times = truth.series.times
        kept = (times >= ledger.first_at - 1e-6) & (times < ledger.seen_until - 1e-6)
        good, total = float(counts[0][kept].sum()), float(counts[1][kept].sum())
        for (step, _), ring in zip(books.LEVELS, ledger.counts, strict=True):
            had_good, had_total = float(ring[0].sum()), float(ring[1].sum())
            c.claim(
                math.isclose(had_good, good, abs_tol=1e-6) and math.isclose(had_total, total, abs_tol=1e-6),
                f"{slo.name} at {step:g} s holds {had_good:.0f}/{had_total:.0f}, fed were {good:.0f}/{total:.0f}",
            )
            c.claim(bool((ring[0] <= ring[1] + 1e-9).all()), f"{slo.name}: more good than total")
            c.claim(bool((ring >= 0).all()), f"{slo.name}: a negative count")


def good_and_total(world: World, slo: Slo) -> tuple[Floats, Floats] | None:
    """What ``core/slo/counting.own_counts`` should count per step, shape (steps,) each, written a second time on purpose: a
    check by the same code would find nothing. None when the entity was never seen."""
    if slo.sli == "freshness":
        lag = world.series.get(slo.entity, signals.QUEUE_LAG_SECONDS)
        if lag is None:
            return None
        seen = np.isfinite(lag)
        return (seen & (lag * 1000 <= slo.threshold_ms)).astype(np.float64), seen.astype(np.float64)
    requests = world.series.get(slo.entity, signals.REQUESTS)
    if requests is None:
        return None
    total = np.nan_to_num(requests)
    if slo.sli == "ratio":
        bad = world.series.get(slo.entity, signals.ERRORS)
    else:
        bad = world.latency.slower_than(slo.entity, slo.threshold_ms)
        if bad is None:
            return None
    bad = np.zeros_like(total) if bad is None else np.nan_to_num(bad)
    return total - np.minimum(bad, total), total


def everything_is_bounded(trace: Trace, c: Checked) -> None:
    size = len(msgspec.msgpack.encode(trace.state))
    c.claim(size <= MAX_STATE_BYTES, f"state takes {size} bytes")
    hours = max(trace.ended_at - trace.started_at, 1.0) / 3600
    inputs = sum(1 for _ in of(trace, e.CommandGiven)) * 3 + len(trace.crashes) * 4
    allowed = MAX_BURST + MAX_EVENTS_PER_HOUR * hours + inputs
    c.claim(len(trace.journal) <= allowed, f"{len(trace.journal)} events in {hours * 60:.1f} min: {_most(trace)}")
    opened = sum(1 for _ in of(trace, e.IncidentOpened))
    c.claim(opened <= 6, f"{opened} incidents for {len(trace.scenario.faults)} outages")
    limits = trace.state.policy.limits
    orders: dict[str, int] = {}
    for _, event in of(trace, e.ActionOrdered):
        record = trace.state.actions.get(event.action_id)
        if record is not None and not record.action.undo_of:
            orders[record.action.incident] = orders.get(record.action.incident, 0) + 1
    for incident, count in orders.items():
        c.claim(count <= limits.max_actions_per_incident, f"{count} actions were ordered in {incident}")


def quiet_when_healthy(trace: Trace, c: Checked) -> None:
    """About 100 events in a healthy hour, once the start is over."""
    if not trace.scenario.healthy:
        c.skip("something was broken")
        return
    said = sum(1 for r in trace.journal if isinstance(r.event, e.CommandGiven | e.CommandRefused | e.ChangeSeen))
    said += sum(1 for r in trace.journal if isinstance(r.event, e.GapOpened | e.GapClosed | _OBEYED))
    hours = max(trace.ended_at - trace.started_at, 1.0) / 3600
    allowed = HEALTHY_START + HEALTHY_EVENTS_PER_HOUR * hours + 2 * len(trace.crashes)
    c.claim(len(trace.journal) - said <= allowed, f"{len(trace.journal) - said} events though healthy: {_most(trace)}")


def _most(trace: Trace) -> dict[str, int]:
    counts: dict[str, int] = {}
    for recorded in trace.journal:
        name = type(recorded.event).__name__
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1])[:5])


CHECKERS: Final[tuple[Checker, ...]] = (
    nothing_raised,
    time_and_seq_go_forward,
    state_is_the_fold,
    events_survive_encoding,
    ordered_only_after_run,
    no_effect_without_intent,
    never_twice,
    every_intent_ends,
    missed_is_undone,
    nothing_acts_hands_off,
    shadow_touches_nothing,
    no_action_without_data,
    healthy_is_left_alone,
    no_data_is_not_an_outage,
    gaps_are_said,
    pages_arrive_or_are_retried,
    nobody_wrong_is_paged,
    no_resolved_incident_pages,
    every_page_is_due_to_somebody,
    nobody_due_is_forgotten,
    losing_memory_is_harmless,
    commands_are_answered,
    regrouping_loses_nothing,
    nothing_is_milder_too_soon,
    ledgers_add_up,
    everything_is_bounded,
    quiet_when_healthy,
)
