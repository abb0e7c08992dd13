"""The verdict on a chaos run: from the journal, from what left the watch, and from what arrived. It shares no code with
what it judges: who should be awake is walked through by ``gym/simulator/checks_of_pages.py``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec
from tests.chaos.receiver import Got

from midwatch.gym.simulator.checked import Checked
from midwatch.gym.simulator.checks_of_pages import awake, every_page_is_due_to_somebody, nobody_due_is_forgotten
from midwatch.gym.simulator.scenario import draw
from midwatch.gym.simulator.trace import Ticked, Trace
from midwatch.model.events import (
    EscalationStarted,
    IncidentAcknowledged,
    IncidentResolved,
    PageEnded,
    PageOrdered,
    Recorded,
)
from midwatch.model.fold import fold
from midwatch.model.state import State

RESOLVED = "resolved"
MAX_WRONG = 20
LONG_STEPS = 30  # a page that hangs when they become well takes that long to be given up and go over the next channel


@dataclass
class Verdict:
    """``wrong`` holds a sentence for each broken promise; ``figures`` what was counted."""

    wrong: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def claim(self, holds: bool, otherwise: str) -> None:
        if not holds and len(self.wrong) < MAX_WRONG:
            self.wrong.append(otherwise)


def judge(
    entries: list[Recorded],
    left: list[dict[str, Any]],
    got: list[Got],
    ticks: list[Ticked],
    well: list[tuple[float, bool]],
) -> Verdict:
    """``left`` are the pages as they left; ``well`` says at which moments every channel took what came."""
    verdict = Verdict()
    orders = {r.event.page: r.event for r in entries if isinstance(r.event, PageOrdered)}
    states = _states(entries, left)
    wrong_person = resolved = unjournaled = 0
    for one in left:
        order = orders.get(one["page"])
        if "unjournaled" in one:
            unjournaled += 1
            order = msgspec.convert(one["unjournaled"], PageOrdered)
            _without_a_journal(verdict, states[one["seq"]], order, one["at"])
            continue
        verdict.claim(order is not None, f"{one['page']} left and the journal has no order of it")
        if order is None or not order.incident:
            continue
        faults = [_fault(states[one["seq"]], order, at) for at in (one["at"], one["at_before"])]
        if all(faults):
            resolved += "is over" in faults[0]
            wrong_person += "is over" not in faults[0]
            verdict.claim(False, f"{order.page} ({order.key}) left at {one['at']:.0f}: {faults[0]}")
    _none_lost(verdict, entries, orders, got)
    _duplicates(verdict, orders, got)
    _heard(verdict, entries, got, well)
    _by_turns(verdict, entries, ticks)
    verdict.figures |= {
        "escalations": sum(isinstance(r.event, EscalationStarted) for r in entries),
        "pages_ordered": len(orders),
        "sent": len(left),
        "accepted": len(got),
        "sent_without_a_journal": unjournaled,
        "wrong_person": wrong_person,
        "resolved_paged": resolved,
        "journal_entries": len(entries),
    }
    return verdict


def _states(entries: list[Recorded], left: list[dict[str, Any]]) -> dict[int, State]:
    """The state at every head of the journal at which a page left."""
    wanted = {one["seq"] for one in left}
    found, state = {}, State()
    for recorded in entries:
        state = fold(state, recorded)
        if recorded.seq in wanted:
            found[recorded.seq] = state
    return found


def _fault(state: State, order: PageOrdered, at: float) -> str:
    """What is wrong with the page leaving in this state; "" for nothing."""
    incident, run = state.incidents.get(order.incident), state.escalations.get(order.incident)
    if incident is None:
        return "nobody knows the incident any more"
    if RESOLVED in order.topics:
        return "" if incident.phase == RESOLVED else "it tells of an end that has not come"
    if incident.phase == RESOLVED:
        return "the incident is over"
    if not order.person or run is None:
        return "" if not order.person else "there is no escalation"
    should = awake(state, incident, run, at)
    return "" if order.person in should else f"it is for {order.person}, and awake are {sorted(should)}"


def _without_a_journal(verdict: Verdict, state: State, order: PageOrdered, at: float) -> None:
    """It says so, and as far as the journal went, it is right: what began since then only its sender knew."""
    verdict.claim("cannot write its journal" in order.text, f"{order.key} left, and the journal has no order of it")
    run = state.escalations.get(order.incident)
    if run is not None and run.number == order.run:
        fault = _fault(state, order, at)
        verdict.claim(not fault, f"{order.key} left without a journal at {at:.0f}: {fault}")


def _none_lost(verdict: Verdict, entries: list[Recorded], orders: dict[str, PageOrdered], got: list[Got]) -> None:
    """Every order has an end, and what is called delivered has arrived. A page that failed was tried over another channel,
    or its person was paged again, or the incident was answered or over: ``_by_turns`` sees to that."""
    ends = {r.event.page: r.event for r in entries if isinstance(r.event, PageEnded)}
    arrived = {one.key for one in got}
    lost = 0
    for ident, order in orders.items():
        end = ends.get(ident)
        if end is None or (end.status == "delivered" and order.key not in arrived):
            lost += 1
            verdict.claim(False, f"{ident} ({order.key}) is lost: {end.status if end else 'it has no end'}")
    verdict.figures |= {"pages_lost": lost, "ends": dict(Counter(end.status for end in ends.values()))}


def _duplicates(verdict: Verdict, orders: dict[str, PageOrdered], got: list[Got]) -> None:
    """The same page twice over the same channel only under the same key."""
    by_page: dict[tuple[object, ...], set[str]] = {}
    for order in orders.values():
        what = (order.incident, order.run, order.person, order.channel, order.repeat, order.topics == (RESOLVED,))
        if order.incident:
            by_page.setdefault(what, set()).add(order.key)
    for what, keys in by_page.items():
        verdict.claim(len(keys) == 1, f"one page under several keys: {what}: {sorted(keys)}")
    many = Counter(one.key for one in got)
    verdict.figures["duplicates_under_the_same_key"] = sum(n - 1 for n in many.values())


def _heard(verdict: Verdict, entries: list[Recorded], got: list[Got], well: list[tuple[float, bool]]) -> None:
    """Of every incident that somebody was to be woken for, somebody heard: unless it was over before its channels had been
    well for ``LONG_STEPS`` on end."""
    heard = {one.incident for one in got if one.topics != (RESOLVED,)}
    began = {r.event.incident: r.at for r in entries if isinstance(r.event, EscalationStarted) and r.event.number == 1}
    over: dict[str, float] = {}
    for recorded in entries:
        if isinstance(recorded.event, IncidentResolved | IncidentAcknowledged):
            over.setdefault(recorded.event.incident, recorded.at)
    unheard = 0
    for incident, start in began.items():
        if incident in heard:
            continue
        unheard += 1
        longest = run = 0
        for at, fine in well:
            run = run + 1 if fine and start <= at <= over.get(incident, at) else 0
            longest = max(longest, run)
        verdict.claim(
            longest < LONG_STEPS, f"nobody heard of {incident}, though all channels were well for {longest} steps"
        )
    verdict.figures |= {"incidents_paged": len(began), "over_before_anybody_could_hear": unheard}


def _by_turns(verdict: Verdict, entries: list[Recorded], ticks: list[Ticked]) -> None:
    """After each turn of the loop nobody is forgotten, and no order came before its time or named nobody."""
    trace = Trace(draw(0), journal=entries, ticks=ticks)
    for checker in (nobody_due_is_forgotten, every_page_is_due_to_somebody):
        checked = Checked(checker.__name__)
        checker(trace, checked)
        verdict.figures[f"checked_{checker.__name__}"] = checked.checked
        for sentence in checked.wrong:
            verdict.claim(False, f"{checker.__name__}: {sentence}")
