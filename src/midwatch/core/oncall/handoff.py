"""Hand-offs: who comes on call is journaled, and hears what is going on. A function of state and now; what was handed over
while midwatch was down is told as soon as it is back, and what a contact did not take goes to the next one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from midwatch.core.oncall.notices import NOTICE, moment, notice, sent_on, zone_of
from midwatch.core.oncall.page import RESOLVED
from midwatch.core.oncall.schedule import on_call, shifts
from midwatch.core.turn import Turn
from midwatch.model.events import OnCallChanged, PageOrdered
from midwatch.model.people import OnCall, Person, Schedule
from midwatch.model.state import State

LOOK_AHEAD_SECONDS: Final = 28 * 86400.0
MAX_LISTED: Final = 10


def hand_off(turn: Turn) -> Turn:
    """Journal who is on call where that changed, and tell them; send on notices that did not get through."""
    people = turn.state.policy.people
    for schedule in people.schedules:
        person, why = on_call(people, schedule, turn.state.overrides, turn.now)
        before = turn.state.on_call.get(schedule.name)
        if before is not None and before.person == person:
            continue
        turn = turn.emit(OnCallChanged(schedule.name, person, before.person if before else "", why))
        coming = people.person(person)
        if before is None or coming is None:
            continue  # the first look is no hand-off
        subject = _subject(turn.state, schedule, coming, turn.now)
        text = "\n".join(_text(turn.state, schedule, coming, before, turn.now))
        key = f"{_shift(schedule.name)}{turn.now:.0f}"
        turn = turn.emit(*notice(turn.state, coming, key, subject, text))
    return turn.emit(*sent_on(turn.state, turn.now))


def handed_on(state: State, order: PageOrdered) -> str:
    """Why a notice of a shift need not be sent any more: somebody else has it by now. "" when it is to be sent."""
    for name, now_on in state.on_call.items():
        if order.key.startswith(f"{NOTICE}/{_shift(name)}") and now_on.person != order.person:
            return f"{now_on.person or 'nobody'} is on call in {name} by now"
    return ""


def _shift(schedule: str) -> str:
    return f"shift/{schedule}/"


def _subject(state: State, schedule: Schedule, person: Person, now: float) -> str:
    ends = shifts(state.policy.people, schedule, state.overrides, now, now + LOOK_AHEAD_SECONDS)[0].end_at
    zone = zone_of(person, schedule)
    going = sum(i.phase != RESOLVED for i in state.incidents.values())
    return f"You are on call in {schedule.name} until {moment(ends, zone)} ({zone}); {going or 'nothing'} open"


def _text(state: State, schedule: Schedule, coming: Person, before: OnCall, now: float) -> Iterator[str]:
    """What is going on, and what the shift before had, on the clock of who comes."""
    people, zone = state.policy.people, zone_of(coming, schedule)
    last = people.person(before.person)
    whom = last.called if last else before.person or "nobody"
    yield f"You took over {schedule.name} from {whom}: {moment(now, zone)} ({zone}, like all times here)."
    going = [i for i in state.incidents.values() if i.phase != RESOLVED]
    for incident in sorted(going, key=lambda i: (i.severity, i.opened_at))[:MAX_LISTED]:
        whose = f"acknowledged by {incident.acknowledged_by}" if incident.acknowledged_by else "nobody has answered"
        since = moment(incident.onset_at, zone)
        yield f"Open: {incident.id} SEV{incident.severity} since {since}, {incident.title}; {whose}."
    if len(going) > MAX_LISTED:
        yield f"And {len(going) - MAX_LISTED} more."
    for record in state.actions.values():
        if record.status in ("asked", "in_doubt"):
            yield f"{record.action.id} waits for a person: {record.action.verb} ({record.status.replace('_', ' ')})."
    ended = (i for i in state.incidents.values() if i.phase == RESOLVED and not i.merged_into)
    over = [i for i in ended if (i.resolved_at or 0.0) >= before.since_at]
    paged = {p.ordered.page for p in state.pages.values() if p.ordered.run and p.ordered_at >= before.since_at}
    yield f"The shift before: {_some(len(paged), 'page')}, {_some(len(over), 'incident')} over."
    if state.hands_off:
        yield f"Hands are off (by {state.hands_off_by or 'somebody'}): midwatch touches nothing."
    for silence in list(state.silences.values())[:MAX_LISTED]:
        yield f"{silence.id} holds back alerts until {moment(silence.end_at, zone)}: {silence.reason}"


def _some(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
