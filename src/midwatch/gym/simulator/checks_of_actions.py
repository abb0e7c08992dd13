"""Invariants of actions: verdict, intent, effect, outcome, undo; and what may not be acted upon."""

from __future__ import annotations

import math
from itertools import pairwise

from midwatch.gym.simulator.checked import LAST_WORDS_SECONDS, Checked, of, states
from midwatch.gym.simulator.trace import Trace
from midwatch.model import events as e
from midwatch.model.events import Recorded
from midwatch.model.findings import HARMFUL, OF_BUDGETS


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
    for _, judged_event in of(trace, e.ActionJudged):
        verdict = judged_event.verdict
        c.claim(bool(verdict.rule and verdict.why), f"a verdict on {judged_event.action.id} has no reason")


def no_effect_without_intent(trace: Trace, c: Checked) -> None:
    orders = {event.action_id: r.seq for r, event in of(trace, e.ActionOrdered)}
    pages = {event.page: r.seq for r, event in of(trace, e.PageOrdered)}
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
    for recorded, event in of(trace, e.ActionEnded):
        ends.setdefault(event.action_id, []).append((recorded, event))
    asked = {tried.ident for tried in trace.tried if tried.what == "observe"}
    for recorded, order in of(trace, e.ActionOrdered):
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
    for recorded, event in of(trace, e.ActionJudged):
        if event.action.undo_of:
            undo.setdefault(event.action.undo_of, recorded.at)
    dropped = {event.action_id for _, event in of(trace, e.ActionDropped)}
    actions = {event.action.id: event.action for _, event in of(trace, e.ActionJudged)}
    for recorded, judged in of(trace, e.ExpectationJudged):
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
    for state, recorded in states(trace):
        if isinstance(recorded.event, e.ActionOrdered):
            c.claim(not state.hands_off, f"{recorded.event.action_id} was ordered while hands were off")


def shadow_touches_nothing(trace: Trace, c: Checked) -> None:
    if trace.scenario.mode not in ("shadow", "suggest"):
        c.skip("not in shadow")
        return
    c.claim(not trace.executed, f"in {trace.scenario.mode} mode the fleet was touched: {sorted(trace.executed)}")
    orders = [event.action_id for _, event in of(trace, e.ActionOrdered)]
    c.claim(not orders, f"in {trace.scenario.mode} mode actions were ordered: {orders}")


def no_action_without_data(trace: Trace, c: Checked) -> None:
    approved = {event.action_id for _, event in of(trace, e.ActionApproved)}
    seen = {seq: ticked for ticked in trace.ticks for seq in range(ticked.first_seq, ticked.last_seq + 1)}
    undo = {event.action.id for _, event in of(trace, e.ActionJudged) if event.action.undo_of}
    for recorded, event in of(trace, e.ActionOrdered):
        ticked = seen.get(recorded.seq)
        if event.action_id in approved or event.approved_by or event.action_id in undo:
            c.skip("a person said yes, or it puts things back")
        elif ticked is None:
            c.skip("the turn died in the middle")
        else:
            c.claim(ticked.data, f"{event.action_id} was ordered though nothing had been reported for 30 s")


def healthy_is_left_alone(trace: Trace, c: Checked) -> None:
    """Where nothing is broken nobody is operated on, unless a person said so."""
    if not trace.scenario.healthy:
        c.skip("something was broken")
        return
    approved = {event.action_id for _, event in of(trace, e.ActionApproved)}
    orders = [ev.action_id for _, ev in of(trace, e.ActionOrdered) if ev.action_id not in approved]
    c.claim(not orders, f"nothing was broken, and {orders} were ordered")


def no_data_is_not_an_outage(trace: Trace, c: Checked) -> None:
    """No traffic, no errors and no data are three states: what is not reported has not stopped."""
    for recorded, event in of(trace, e.FindingOpened):
        if event.finding.kind not in HARMFUL:
            continue
        dark = [b for b in trace.scenario.blackouts if b.start_at <= recorded.at < b.end_at]
        covered = any(not b.subjects or event.finding.entity in b.subjects for b in dark)
        if event.finding.since_at < min((b.start_at for b in dark), default=math.inf) - 5:
            c.skip("it began before the telemetry went away")
        elif event.finding.kind in OF_BUDGETS:
            c.skip("a burn rate looks back over a long window")
        else:
            at = recorded.at - trace.started_at
            c.claim(not covered, f"{event.finding.id} was opened at {at:.0f} s from nothing but a gap in the telemetry")


def gaps_are_said(trace: Trace, c: Checked) -> None:
    """When nothing is reported for a while, the journal says so."""
    said = [recorded.at for recorded, _ in of(trace, e.GapOpened)]
    for blackout in trace.scenario.blackouts:
        turns = [t for t in trace.ticks if blackout.start_at + 30 <= t.at < blackout.end_at]
        if blackout.subjects or len(turns) < 3 or trace.crashes or trace.full or trace.scenario.jumps:
            c.skip("short, partial, or midwatch had troubles of its own")
        else:
            found = any(blackout.start_at <= at <= blackout.end_at for at in said)
            c.claim(found, f"nothing was reported for {blackout.end_at - blackout.start_at:.0f} s and nobody said so")
