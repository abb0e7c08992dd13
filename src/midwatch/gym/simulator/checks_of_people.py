"""Invariants of what people rely on: pages arrive, commands are obeyed, a loss of memory does nothing."""

from __future__ import annotations

from typing import Final

from midwatch.gym.simulator.checked import LAST_WORDS_SECONDS, Checked, of, states
from midwatch.gym.simulator.trace import Trace
from midwatch.model import events as e
from midwatch.model.events import Recorded
from midwatch.model.fold import fold

ANSWER_SECONDS: Final = 60.0


def pages_arrive_or_are_retried(trace: Trace, c: Checked) -> None:
    ended = {event.page: (r, event) for r, event in of(trace, e.PageEnded)}
    sent: dict[str, int] = {}
    for tried in trace.tried:
        if tried.what == "send":
            sent[tried.ident] = sent.get(tried.ident, 0) + 1
    orders = list(of(trace, e.PageOrdered))
    for recorded, order in orders:
        if recorded.at > trace.ended_at - LAST_WORDS_SECONDS:
            c.skip("ordered shortly before the end")
            continue
        end = ended.get(order.page)
        if end is not None and end[1].status == "withdrawn":
            c.skip("by the time it was to be sent, nobody needed it")
            continue
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
        elif isinstance(recorded.event, e.IncidentMerged):  # from then on the one that stays pages
            quiet_after.setdefault(recorded.event.absorbed, recorded.at)
    by_incident: dict[str, list[float]] = {}
    for recorded, order in (pair for pair in orders if pair[1].incident):  # a notice is about none
        by_incident.setdefault(order.incident, []).append(recorded.at)
    for incident, times in by_incident.items():
        until = quiet_after.get(incident, trace.ended_at)
        silent = until - max(times)
        if trace.crashes or trace.full or trace.scenario.jumps:
            c.skip("repeats were held up by a crash, a full journal or a leap of the clock")
        else:
            c.claim(silent <= limit, f"{incident} was not acknowledged and paged nobody for {silent:.0f} s")


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


def regrouping_loses_nothing(trace: Trace, c: Checked) -> None:
    """Whatever people merge and split: every harmful finding counts in one open incident at most, no action is left with an
    incident that is part of another while it is under way, and what was merged pages from where it went."""
    for state, recorded in states(trace):
        if not isinstance(recorded.event, e.IncidentMerged | e.IncidentSplit):
            continue
        event, after = recorded.event, fold(state, recorded)
        homes = [f for incident in after.open_incidents for f in incident.findings if f in after.findings]
        c.claim(len(homes) == len(set(homes)), f"after entry {recorded.seq} a finding counts in two incidents")
        if isinstance(event, e.IncidentSplit):
            left = after.incidents[event.incident]
            c.claim(bool(left.findings), f"entry {recorded.seq} left {event.incident} empty")
            continue
        gone, kept = state.incidents[event.absorbed], after.incidents[event.incident]
        c.claim(set(gone.findings) <= set(kept.findings), f"entry {recorded.seq} lost findings of {gone.id}")
        c.claim(kept.severity <= gone.severity, f"entry {recorded.seq} made {gone.id} milder by merging it")
        busy = [r.action.id for r in after.actions_of(gone.id) if r.status in ("approved", "ordered", "done")]
        c.claim(not busy, f"{', '.join(busy)} went on in {gone.id}, which is part of {kept.id}")


def _deed(event: e.Event) -> tuple[str, ...] | None:
    """What may not follow from a loss of memory; None for the rest."""
    if isinstance(event, e.IncidentResolved | e.IncidentMitigated):
        return (type(event).__name__, event.incident)
    if isinstance(event, e.FindingClosed):
        return ("FindingClosed", event.finding_id)
    if isinstance(event, e.ActionOrdered):
        return ("ActionOrdered", event.action_id)
    if isinstance(event, e.EscalationStarted):  # its pages follow from state and time alone, as repeats do
        return ("EscalationStarted", event.incident)
    if isinstance(event, e.PageOrdered) and event.repeat == 0 and not event.person:
        return ("PageOrdered", event.incident, *event.topics)
    return None


def _said_by_people(trace: Trace, event: e.Event) -> bool:
    """Whether a command about the same thing was given (a resolve, an approval, an undo)."""
    said = [command for _, command in of(trace, e.CommandGiven)]
    if isinstance(event, e.ActionOrdered):
        record = trace.state.actions.get(event.action_id)
        undo_of = record.action.undo_of if record else ""
        return any(s.verb in ("approve", "undo") and s.target in (event.action_id, undo_of) for s in said)
    if isinstance(event, e.IncidentResolved | e.IncidentMitigated):
        return any(s.verb == "resolve" for s in said)
    return isinstance(event, e.PageOrdered | e.EscalationStarted) and bool(said)


def commands_are_answered(trace: Trace, c: Checked) -> None:
    """Hands-off is obeyed or refused within a minute, whatever crashed in between."""
    answers = [(r.at, ev.on) for r, ev in of(trace, e.HandsOffChanged)]
    wishes = [(r.at, ev.verb) for r, ev in of(trace, e.CommandGiven) if ev.verb in ("hands_off", "hands_on")]
    for state, recorded in states(trace):
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
