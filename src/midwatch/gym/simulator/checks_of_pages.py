"""Invariants of escalation, against who should be awake as a second, slower piece of code works it out: slot by slot and
day by day, where the product computes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from midwatch.core.oncall.page import RESOLVED, topics
from midwatch.gym.simulator.checked import Checked, of, states
from midwatch.gym.simulator.trace import Trace
from midwatch.model import events as e
from midwatch.model.findings import Incident
from midwatch.model.people import Escalation, EscalationPolicy, Schedule, Target
from midwatch.model.state import State

SELDOM: Final = 12
TOLERANCE_SECONDS: Final = 0.01
"""A level that is woken early begins this much before its order."""


def nobody_wrong_is_paged(trace: Trace, c: Checked) -> None:
    """Whoever a page went out to was to be awake for that incident, at the moment when it left."""
    orders = {order.page: order for _, order in of(trace, e.PageOrdered)}
    for state, at, ident in _sends(trace, c):
        order = orders.get(ident)
        if order is None or not order.person or not order.run:
            continue
        incident, run = state.incidents.get(order.incident), state.escalations.get(order.incident)
        if incident is None or run is None:
            c.claim(False, f"{ident} is about an incident that nobody is woken for")
            continue
        should = awake(state, incident, run, at)
        c.claim(order.person in should, f"{ident} went to {order.person}; awake for {incident.id} are {sorted(should)}")


def no_resolved_incident_pages(trace: Trace, c: Checked) -> None:
    """Once the journal has its end, only that is told."""
    orders = {order.page: order for _, order in of(trace, e.PageOrdered)}
    for state, _, ident in _sends(trace, c):
        order = orders.get(ident)
        incident = state.incidents.get(order.incident) if order is not None else None
        if order is not None and incident is not None and RESOLVED not in order.topics:
            c.claim(incident.phase != RESOLVED, f"{ident} went out though {incident.id} was over")


def every_page_is_due_to_somebody(trace: Trace, c: Checked) -> None:
    """Where people are named, a page names one, unless there is nobody at all; and no page comes before it is due."""
    for state, recorded in states(trace):
        order = recorded.event
        incident = state.incidents.get(order.incident) if isinstance(order, e.PageOrdered) else None
        if not isinstance(order, e.PageOrdered) or incident is None or RESOLVED in order.topics:
            continue
        if not order.person:
            if state.policy.people.escalations:
                policy = _policy(state, incident)
                there = {p for level in policy.levels for p in _targets(state, level.targets, recorded.at)}
                c.claim(not there, f"{order.page} names nobody though {sorted(there)} could be woken")
            continue
        run = state.escalations.get(incident.id)
        c.claim(
            run is not None and not _answered(incident, run), f"{order.page} pages though {incident.id} was answered"
        )
        if run is not None:
            c.claim(order.person in awake(state, incident, run, recorded.at), f"{order.page} came before its time")


def nobody_due_is_forgotten(trace: Trace, c: Checked) -> None:
    """After each turn, whoever is to be awake for an incident that nobody answered was told since that was so."""
    ends = {tick.last_seq: tick.at for tick in trace.ticks if tick.last_seq >= tick.first_seq}
    for state, recorded in states(trace):
        if recorded.seq - 1 not in ends:
            continue
        at = ends[recorded.seq - 1]
        if any(start <= at <= end for start, end in trace.full):
            c.skip("the journal was full")
            continue
        for incident in state.open_incidents:
            run = state.escalations.get(incident.id)
            if run is None or _answered(incident, run) or not topics(state, incident, at):
                continue
            for person, since in awake(state, incident, run, at).items():
                told = run.told.get(person)
                fine = told is not None and told.at >= since - TOLERANCE_SECONDS
                c.claim(fine, f"{person} was to be awake for {incident.id} since {at - since:.0f} s, and was not told")


def _sends(trace: Trace, c: Checked) -> list[tuple[State, float, str]]:
    """The state that the journal had when each page left, when, and which page."""
    wanted: dict[int, list[tuple[float, str]]] = {}
    for tried in trace.tried:
        if tried.what == "send" and not tried.unjournaled:
            wanted.setdefault(tried.seq, []).append((tried.at, tried.ident))
        elif tried.what == "send":
            c.skip("the journal was full")
    found = []
    last = State()
    for state, _ in states(trace):
        found += [(state, at, ident) for at, ident in wanted.pop(state.seq, ())]
        last = state
    final = trace.state if trace.state.seq >= last.seq else last
    found += [(final, at, ident) for many in wanted.values() for at, ident in many]
    return found


def awake(state: State, incident: Incident, run: Escalation, at: float) -> dict[str, float]:
    """Who is to be awake, and since when they are to have been told (unix seconds), by walking through every page of every
    round. What was said a little before counts: a minute, or half of the time between two pages."""
    policy = _policy(state, incident)
    elapsed = at - run.started_at + run.ahead_seconds
    newest: dict[int, tuple[int, float]] = {}  # level -> round and due time of its newest page
    length = sum(level.wait_seconds for level in policy.levels)
    begins, number = 0.0, 0
    while begins <= elapsed:
        offset = begins
        for index, level in enumerate(policy.levels):
            first = begins if incident.severity <= level.at_once else offset
            for repeat in range(level.repeats + 1):
                due = first + repeat * level.wait_seconds / (level.repeats + 1)
                if due <= elapsed:
                    newest[index] = (number, due)
            offset += level.wait_seconds
        begins += length if number < policy.rounds else SELDOM * length
        number += 1
    found = {run.holder: run.started_at} if run.holder else {}
    for index, (turn, due) in newest.items():
        level = policy.levels[index]
        people = _targets(state, level.targets, at)
        if level.in_turn and people:
            people = [people[(run.turn + turn) % len(people)]]
        little = min(60.0, level.wait_seconds / (level.repeats + 1) / 2)
        for person in people:
            found[person] = max(found.get(person, 0.0), run.started_at + due - run.ahead_seconds - little)
    return found


def _answered(incident: Incident, run: Escalation) -> bool:
    return incident.acknowledged_at is not None and incident.acknowledged_at > run.started_at


def _policy(state: State, incident: Incident) -> EscalationPolicy:
    run = state.escalations.get(incident.id)
    people = state.policy.people
    name = run.policy if run else people.catch_all
    return next((p for p in people.escalations if p.name == name), EscalationPolicy(name))


def _targets(state: State, targets: tuple[Target, ...], at: float) -> list[str]:
    people = state.policy.people
    found: list[str] = []
    for target in targets:
        kind, name = target.kind, target.name
        if kind == "person":
            found.append(name)
        elif kind == "team":
            found += [ident for team in people.teams if team.name == name for ident in team.members]
        else:
            found += [who for s in people.schedules if s.name == name and (who := _on_call(s, state, at))]
    return list(dict.fromkeys(found))


def _on_call(schedule: Schedule, state: State, at: float) -> str:
    """Counts hand-offs one by one. Simulated schedules have no windows and no holidays."""
    zone = ZoneInfo(schedule.zone)
    now = datetime.fromtimestamp(at, zone).replace(tzinfo=None)
    person = ""
    for layer in schedule.layers:
        day, count = datetime.fromisoformat(layer.rotation.starts_on), 0
        while day <= now:
            count += sum(day + timedelta(minutes=minute) <= now for minute in layer.rotation.at)
            day += timedelta(days=layer.rotation.every_days)
        if count:
            person = layer.rotation.people[(count - 1) % len(layer.rotation.people)]
            break
    for one in (*schedule.overrides, *state.overrides):
        if one.schedule == schedule.name and one.start_at <= at < one.end_at and one.instead_of in ("", person):
            person = one.person
    return person
