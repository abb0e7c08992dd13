"""The invariants, each a small function over the trace of one run: what it checked, what it skipped, what is wrong.

None of them looks at how good a diagnosis was: they must hold for any detector and any fleet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, TypeVar

import msgspec

from midwatch.core.slo import ledger as books
from midwatch.gym.simulator.trace import Trace
from midwatch.model import events as e
from midwatch.model.events import Recorded
from midwatch.model.state import State, fold
from midwatch.shell.journal import codec

LAST_WORDS_SECONDS: Final = 120.0
"""What was ordered so shortly before the end of a run need not have ended."""
MAX_STATE_BYTES: Final = 2_000_000
MAX_EVENTS_PER_HOUR: Final = 3000
"""In the worst hour of an incident; the design's figure for a whole incident is 500."""
MAX_BURST: Final = 400
HEALTHY_EVENTS_PER_HOUR: Final = 100
HEALTHY_START: Final = 60
"""Events that a start may write before the first quiet hour: the policy, a promise per entity, announced changes."""
ANSWER_SECONDS: Final = 60.0
_OBEYED: Final = e.HandsOffChanged | e.AutonomyChanged
"""What people cause in a healthy hour."""
_T = TypeVar("_T")


@dataclass
class Checked:
    """``checked`` counts what was looked at; ``skipped`` says what was not and why; ``wrong`` is a sentence each."""

    name: str
    checked: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def skip(self, why: str) -> None:
        self.skipped[why] = self.skipped.get(why, 0) + 1

    def claim(self, holds: bool, otherwise: str) -> None:
        self.checked += 1
        if not holds and len(self.wrong) < 20:
            self.wrong.append(otherwise)


Checker = Callable[[Trace, Checked], None]


def check(trace: Trace) -> list[Checked]:
    """Every invariant over one trace."""
    results = []
    for checker in CHECKERS:
        result = Checked(checker.__name__)
        checker(trace, result)
        results.append(result)
    return results


def _of(trace: Trace, kind: type[_T]) -> Iterator[tuple[Recorded, _T]]:
    for recorded in trace.journal:
        if isinstance(recorded.event, kind):
            yield recorded, recorded.event


def _states(trace: Trace) -> Iterator[tuple[State, Recorded]]:
    """The state before each entry, and the entry."""
    state = State()
    for recorded in trace.journal:
        yield state, recorded
        state = fold(state, recorded)


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
    ids = [event.incident for _, event in _of(trace, e.IncidentOpened)]
    c.claim(len(ids) == len(set(ids)), f"an incident's id was used twice: {ids}")
    pages = [event.page for _, event in _of(trace, e.PageOrdered)]
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


# -- actions --


def ordered_only_after_run(trace: Trace, c: Checked) -> None:
    judged: dict[str, tuple[Recorded, e.ActionJudged]] = {}
    for recorded in trace.journal:
        event = recorded.event
        if isinstance(event, e.ActionJudged):
            judged[event.action.id] = (recorded, event)
        elif isinstance(event, e.ActionOrdered):
            last = judged.get(event.action_id)
            c.claim(last is not None, f"{event.action_id} was ordered and never judged")
            if last is None:
                continue
            c.claim(
                last[1].verdict.decision == "run",
                f"{event.action_id} was ordered after the verdict {last[1].verdict.decision} ({last[1].verdict.rule})",
            )
            c.claim(last[0].at == recorded.at, f"{event.action_id} was ordered on a verdict of an earlier turn")
    for _, judged_event in _of(trace, e.ActionJudged):
        verdict = judged_event.verdict
        c.claim(bool(verdict.rule and verdict.why), f"a verdict on {judged_event.action.id} has no reason")


def no_effect_without_intent(trace: Trace, c: Checked) -> None:
    orders = {event.action_id: r.seq for r, event in _of(trace, e.ActionOrdered)}
    pages = {event.page: r.seq for r, event in _of(trace, e.PageOrdered)}
    for tried in trace.tried:
        if tried.what == "apply":
            seq = orders.get(tried.ident)
        elif tried.what == "send":
            if tried.unjournaled:
                full = any(start - 1 <= tried.at <= end + 120 for start, end in trace.full)
                c.claim(full, f"page {tried.ident} was sent without an order though the journal was not full")
                continue
            seq = pages.get(tried.ident)
        else:
            c.skip("looking changes nothing")
            continue
        c.claim(seq is not None and seq <= tried.seq, f"{tried.what} of {tried.ident} left before it was journaled")


def never_twice(trace: Trace, c: Checked) -> None:
    for key, times in trace.executed.items():
        c.claim(times == 1, f"{key} was carried out {times} times")
    tries: dict[str, int] = {}
    for tried in trace.tried:
        if tried.what == "apply":
            tries[tried.key] = tries.get(tried.key, 0) + 1
    for key, times in tries.items():
        c.claim(times == 1, f"{key} was tried {times} times")


def every_intent_ends(trace: Trace, c: Checked) -> None:
    ends: dict[str, list[tuple[Recorded, e.ActionEnded]]] = {}
    for recorded, event in _of(trace, e.ActionEnded):
        ends.setdefault(event.action_id, []).append((recorded, event))
    asked = {tried.ident for tried in trace.tried if tried.what == "observe"}
    for recorded, order in _of(trace, e.ActionOrdered):
        if recorded.at > trace.ended_at - LAST_WORDS_SECONDS:
            c.skip("ordered shortly before the end")
            continue
        found = ends.get(order.action_id, [])
        c.claim(bool(found), f"{order.action_id} was ordered and never ended")
        if found and found[-1][1].outcome.status == "in_doubt":
            c.claim(order.action_id in asked, f"{order.action_id} is in doubt and nobody asked what is true")
    for ident, several in ends.items():
        for (_, first), (r, later) in pairwise(several):
            c.claim(
                first.outcome.status == "in_doubt" and later.reconciled,
                f"{ident} ended twice (entry {r.seq}): {first.outcome.status}, then {later.outcome.status}",
            )


def missed_is_undone(trace: Trace, c: Checked) -> None:
    undo: dict[str, float] = {}
    for recorded, event in _of(trace, e.ActionJudged):
        if event.action.undo_of:
            undo.setdefault(event.action.undo_of, recorded.at)
    dropped = {event.action_id for _, event in _of(trace, e.ActionDropped)}
    actions = {event.action.id: event.action for _, event in _of(trace, e.ActionJudged)}
    for recorded, judged in _of(trace, e.ExpectationJudged):
        action = actions.get(judged.action_id)
        if judged.result != "missed" or action is None:
            continue
        if not action.undo_verb or action.undo_of:
            c.skip("has no undo")
        elif judged.action_id in dropped:
            c.skip("a person took it over")
        elif recorded.at > trace.ended_at - LAST_WORDS_SECONDS:
            c.skip("missed shortly before the end")
        else:
            c.claim(judged.action_id in undo, f"{judged.action_id} missed its expectation and no undo was even judged")


def nothing_acts_hands_off(trace: Trace, c: Checked) -> None:
    for tried in trace.tried:
        if tried.what == "apply":
            c.claim(not tried.stopped, f"{tried.ident} was carried out at {tried.at:.1f} though hands were off")
    for state, recorded in _states(trace):
        if isinstance(recorded.event, e.ActionOrdered):
            c.claim(not state.hands_off, f"{recorded.event.action_id} was ordered while hands were off")


def shadow_touches_nothing(trace: Trace, c: Checked) -> None:
    if trace.scenario.mode not in ("shadow", "suggest"):
        c.skip("not in shadow")
        return
    c.claim(not trace.executed, f"in {trace.scenario.mode} mode the fleet was touched: {sorted(trace.executed)}")
    orders = [event.action_id for _, event in _of(trace, e.ActionOrdered)]
    c.claim(not orders, f"in {trace.scenario.mode} mode actions were ordered: {orders}")


def no_action_without_data(trace: Trace, c: Checked) -> None:
    approved = {event.action_id for _, event in _of(trace, e.ActionApproved)}
    seen = {seq: ticked for ticked in trace.ticks for seq in range(ticked.first_seq, ticked.last_seq + 1)}
    undo = {event.action.id for _, event in _of(trace, e.ActionJudged) if event.action.undo_of}
    for recorded, event in _of(trace, e.ActionOrdered):
        ticked = seen.get(recorded.seq)
        if event.action_id in approved or event.approved_by or event.action_id in undo:
            c.skip("a person said yes, or it puts things back")
        elif ticked is None:
            c.skip("the turn died in the middle")
        else:
            c.claim(ticked.data, f"{event.action_id} was ordered though nothing had been reported for 30 s")


# -- pages --


def pages_arrive_or_are_retried(trace: Trace, c: Checked) -> None:
    ended = {event.page: (r, event) for r, event in _of(trace, e.PageEnded)}
    sent: dict[str, int] = {}
    for tried in trace.tried:
        if tried.what == "send":
            sent[tried.ident] = sent.get(tried.ident, 0) + 1
    orders = list(_of(trace, e.PageOrdered))
    for recorded, order in orders:
        if recorded.at > trace.ended_at - LAST_WORDS_SECONDS:
            c.skip("ordered shortly before the end")
            continue
        end = ended.get(order.page)
        c.claim(sent.get(order.page, 0) > 0, f"{order.page} was ordered and never sent")
        c.claim(end is not None, f"{order.page} was ordered {trace.ended_at - recorded.at:.0f} s ago and has no end")
        if end is None:
            continue
        if end[1].status == "delivered":
            c.claim(trace.received.get(order.key, 0) > 0, f"{order.page} is called delivered; the receiver has nothing")
        else:
            enough = end[1].attempts >= 5 or sent.get(order.page, 0) >= end[1].attempts
            c.claim(enough, f"{order.page} failed after {end[1].attempts} attempts, {sent.get(order.page, 0)} seen")
    _repeats(trace, c, orders)


def _repeats(trace: Trace, c: Checked, orders: list[tuple[Recorded, e.PageOrdered]]) -> None:
    """An incident that pages goes on doing so until somebody acknowledges it or it is over."""
    limit = 2.5 * trace.state.policy.paging.repeat_seconds + 60
    quiet_after: dict[str, float] = {}
    for recorded in trace.journal:
        if isinstance(recorded.event, e.IncidentAcknowledged | e.IncidentResolved | e.IncidentMitigated):
            quiet_after.setdefault(recorded.event.incident, recorded.at)
    by_incident: dict[str, list[float]] = {}
    for recorded, order in orders:
        by_incident.setdefault(order.incident, []).append(recorded.at)
    for incident, times in by_incident.items():
        until = quiet_after.get(incident, trace.ended_at)
        silent = until - max(times)
        if trace.crashes or trace.full or trace.scenario.jumps:
            c.skip("repeats were held up by a crash, a full journal or a leap of the clock")
        else:
            c.claim(silent <= limit, f"{incident} was not acknowledged and paged nobody for {silent:.0f} s")


# -- memory --


def losing_memory_is_harmless(trace: Trace, c: Checked) -> None:
    """Right after a loss, and while the loop warms up: nothing closes, pages anew or acts by itself that would not have
    without the loss."""
    for loss in trace.amnesias:
        allowed: set[tuple[str, ...] | None] = set()
        for number, turn in enumerate(loss.without):
            allowed |= {_deed(event) for event in loss.with_memory[number]}
            for event in turn:
                deed = _deed(event)
                if deed is None or deed in allowed:
                    continue
                if _said_by_people(trace, event):
                    c.skip("a person wanted it")
                    continue
                c.claim(False, f"turn {number} after losing its {loss.how} at {loss.at:.0f}: {deed}")
            c.checked += 1


def _deed(event: e.Event) -> tuple[str, ...] | None:
    """What may not follow from a loss of memory; None for the rest."""
    if isinstance(event, e.IncidentResolved | e.IncidentMitigated):
        return (type(event).__name__, event.incident)
    if isinstance(event, e.FindingClosed):
        return ("FindingClosed", event.finding_id)
    if isinstance(event, e.ActionOrdered):
        return ("ActionOrdered", event.action_id)
    if isinstance(event, e.PageOrdered) and event.repeat == 0:
        return ("PageOrdered", event.incident, *event.topics)
    return None


def _said_by_people(trace: Trace, event: e.Event) -> bool:
    """Whether a command about the same thing was given (a resolve, an approval, an undo)."""
    said = [command for _, command in _of(trace, e.CommandGiven)]
    if isinstance(event, e.ActionOrdered):
        record = trace.state.actions.get(event.action_id)
        undo_of = record.action.undo_of if record else ""
        return any(s.verb in ("approve", "undo") and s.target in (event.action_id, undo_of) for s in said)
    if isinstance(event, e.IncidentResolved | e.IncidentMitigated):
        return any(s.verb == "resolve" for s in said)
    return isinstance(event, e.PageOrdered) and bool(said)


def commands_are_answered(trace: Trace, c: Checked) -> None:
    """Hands-off is obeyed or refused within a minute, whatever crashed in between."""
    answers = [(r.at, ev.on) for r, ev in _of(trace, e.HandsOffChanged)]
    wishes = [(r.at, ev.verb) for r, ev in _of(trace, e.CommandGiven) if ev.verb in ("hands_off", "hands_on")]
    for state, recorded in _states(trace):
        event = recorded.event
        if not isinstance(event, e.CommandGiven) or event.verb != "hands_off" or state.hands_off:
            continue
        if recorded.at > trace.ended_at - ANSWER_SECONDS:
            c.skip("said shortly before the end")
        elif any(recorded.at <= at <= recorded.at + ANSWER_SECONDS and verb == "hands_on" for at, verb in wishes):
            c.skip("taken back at once")
        elif _blocked(trace, recorded.at):
            c.skip("the journal was full")
        else:
            done = any(recorded.at <= at <= recorded.at + ANSWER_SECONDS and on for at, on in answers)
            c.claim(done, f"hands_off of entry {recorded.seq} was not obeyed within {ANSWER_SECONDS:.0f} s")


def _blocked(trace: Trace, at: float) -> bool:
    jumped = bool(trace.scenario.jumps)
    return jumped or any(start - ANSWER_SECONDS <= at <= end for start, end in trace.full)


# -- arithmetic and bounds --


def ledgers_add_up(trace: Trace, c: Checked) -> None:
    """Good and total of each ledger are the sums of everything that was fed since it began: nothing lost or doubled."""
    truth = trace.truth
    if truth is None:
        c.skip("nothing was fed")
        return
    for slo in trace.state.slos:
        ledger = trace.memory.ledgers.get(slo.name)
        counts = books.good_and_total(truth, slo)
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


def everything_is_bounded(trace: Trace, c: Checked) -> None:
    size = len(msgspec.msgpack.encode(trace.state))
    c.claim(size <= MAX_STATE_BYTES, f"state takes {size} bytes")
    hours = max(trace.ended_at - trace.started_at, 1.0) / 3600
    inputs = sum(1 for _ in _of(trace, e.CommandGiven)) * 3 + len(trace.crashes) * 4
    allowed = MAX_BURST + MAX_EVENTS_PER_HOUR * hours + inputs
    c.claim(len(trace.journal) <= allowed, f"{len(trace.journal)} events in {hours * 60:.1f} min: {_most(trace)}")
    opened = sum(1 for _ in _of(trace, e.IncidentOpened))
    c.claim(opened <= 6, f"{opened} incidents for {len(trace.scenario.faults)} outages")
    limits = trace.state.policy.limits
    orders: dict[str, int] = {}
    for _, event in _of(trace, e.ActionOrdered):
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
    pages_arrive_or_are_retried,
    losing_memory_is_harmless,
    commands_are_answered,
    ledgers_add_up,
    everything_is_bounded,
    quiet_when_healthy,
)
