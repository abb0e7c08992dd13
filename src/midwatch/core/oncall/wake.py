"""The stage that wakes people: for each open incident that pages and that a team's escalation covers, who is due now.

What an incident pages about are its topics (``page.py``). A topic that nobody was told of begins an escalation, or is told
at once to everybody whom a running one has woken. An acknowledgement ends it; one that outlives its time while users
still feel the incident is withdrawn aloud, and the next escalation begins. Where no people are named, or none of them can
be reached at all, ``page.py`` pages the policy's channels.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from midwatch.core.oncall import escalation
from midwatch.core.oncall.escalation import NAMED, Due, Woken, contacts_of, people_of
from midwatch.core.oncall.handoff import handed_on
from midwatch.core.oncall.holidays import away, entry_at
from midwatch.core.oncall.owners import escalation_of, policy_of, team_of
from midwatch.core.oncall.page import RESOLVED, RESOLVED_WITHIN_SECONDS, covers, ending, topics
from midwatch.core.oncall.said import headline
from midwatch.core.oncall.words import phone
from midwatch.core.turn import Turn
from midwatch.model.events import AcknowledgementExpired, EscalationAdvanced, EscalationStarted, PageOrdered
from midwatch.model.findings import Incident
from midwatch.model.people import Escalation, EscalationPolicy, Person
from midwatch.model.state import State

MAX_NAMED: Final = 3
JUST_AFTER_SECONDS: Final = 0.001  # a level that is woken early is due a moment ago, whatever rounding does


def wake(turn: Turn) -> Turn:
    """Order the pages that are due to people now."""
    if not turn.state.policy.people.escalations:
        return turn
    orders: list[PageOrdered] = []  # a page about one incident changes nothing for another
    for incident in tuple(turn.state.incidents.values()):
        if incident.phase == RESOLVED:
            orders += _over(turn.state, incident, turn.now)
            continue
        current = {**topics(turn.state, incident, turn.now), **_help(turn.state, incident)}
        if current:
            turn, due = _wake(turn, incident, current)
            orders += due
    first = turn.state.next_page
    return turn.emit(*(replace(order, page=f"PAGE-{first + n}") for n, order in enumerate(orders)))


def _help(state: State, incident: Incident) -> dict[str, str]:
    """That somebody asked for help is a topic of its own, until it is answered."""
    run = state.escalations.get(incident.id)
    if run is None or not run.asked_by or answered(incident, run):
        return {}
    return {f"help-{run.number}": f"{run.asked_by} asks for help."}


def _wake(turn: Turn, incident: Incident, current: dict[str, str]) -> tuple[Turn, list[PageOrdered]]:
    """What its escalation comes to now, and the pages that are due, without their numbers."""
    policy = escalation_of(turn.state, incident)
    run = turn.state.escalations.get(incident.id)
    asked = run is not None and f"help-{run.number}" in current
    if policy is None or (quiet(turn.state, policy, incident.severity, turn.now) and not asked):
        return turn, []
    fresh = tuple(t for t in current if run is None or not any(covers(told, t) for told in run.topics))
    turn = _begun(turn, incident, policy, run, tuple(current[t] for t in fresh))
    run = turn.state.escalations.get(incident.id)
    policy = escalation_of(turn.state, incident)
    if run is None or policy is None or answered(turn.state.incidents[incident.id], run):
        return turn, []
    turn, awake = _moved_on(turn, incident, policy)
    run = turn.state.escalations[incident.id]
    return turn, [
        _order(turn.state, incident, run, policy, one, tuple(current) if one.first or not fresh else fresh, current)
        for one in escalation.due(turn.state, incident.id, run, awake, bool(fresh), turn.now)
    ]


def answered(incident: Incident, run: Escalation) -> bool:
    """Acknowledged since it began. In the same instant does not count: nobody reads that fast."""
    return incident.acknowledged_at is not None and incident.acknowledged_at > run.started_at


def quiet(state: State, policy: EscalationPolicy, severity: int, now: float) -> bool:
    """Whether the policy's quiet hours let this severity wait."""
    people = state.policy.people
    return severity > policy.quiet_severity and entry_at(people.calendar(policy.quiet), now) is not None


def _begun(
    turn: Turn, incident: Incident, policy: EscalationPolicy, run: Escalation | None, fresh: tuple[str, ...]
) -> Turn:
    """A first escalation, or the next one after an answer that no longer holds."""
    if run is not None and not answered(incident, run):
        return turn
    team, why = team_of(turn.state, incident)
    if run is not None and not fresh:
        why = _expired(incident, policy, turn.now)
        if not why:
            return turn
        turn = turn.emit(AcknowledgementExpired(incident.id, incident.acknowledged_by, why))
    elif run is not None:
        why = f"{incident.acknowledged_by} acknowledged it before: {fresh[0]}"
    number = run.number + 1 if run else 1
    policy = policy_of(turn.state.policy.people, team) or policy
    taken = turn.state.turns.get(policy.name, 0)
    holder = _holder(turn.state, incident, policy, taken, turn.now)
    seconds = policy.levels[0].wait_seconds if holder else 0.0
    name = team.name if team else ""
    return turn.emit(
        EscalationStarted(incident.id, policy.name, name, why, number, taken, holder=holder, holder_seconds=seconds)
    )


def _holder(state: State, incident: Incident, policy: EscalationPolicy, taken: int, now: float) -> str:
    """Who has the incident and hears its news before a level is woken: whoever acknowledged it, as long as that holds; ""
    where nobody does, they cannot be woken, or the first level would wake just them."""
    people, by = state.policy.people, incident.acknowledged_by
    if incident.acknowledged_at is None or 0 < policy.ack_seconds <= now - incident.acknowledged_at:
        return ""
    person = people.person(by) or people.known(by)
    if person is None or not contacts_of(state, person) or away(people, person.ident, now) is not None:
        return ""
    first = [one.ident for one, _ in people_of(state, policy.levels[0], now, taken)]
    return "" if first == [person.ident] else person.ident


def _expired(incident: Incident, policy: EscalationPolicy, now: float) -> str:
    """Why an acknowledgement holds no longer; "" while it does."""
    if (
        not policy.ack_seconds
        or incident.acknowledged_at is None
        or now - incident.acknowledged_at < policy.ack_seconds
    ):
        return ""
    if incident.phase == "mitigated" or incident.calm_since_at is not None:
        return ""
    minutes = (now - incident.acknowledged_at) / 60
    return f"{incident.acknowledged_by or 'somebody'} acknowledged it {minutes:.0f} min ago and it still goes on"


def _moved_on(turn: Turn, incident: Incident, policy: EscalationPolicy) -> tuple[Turn, tuple[Woken, ...]]:
    """While nobody whom it has woken is there or can be reached, the next level is woken at once; the first one also
    where it is so bad that a level is woken along with it. And who is awake then."""
    run = turn.state.escalations[incident.id]
    awake = escalation.woken(turn.state, run, policy, incident.severity, turn.now)
    for _ in policy.levels:
        clock_seconds = escalation.elapsed(run, turn.now)
        at_once = clock_seconds < 0 and any(incident.severity <= level.at_once for level in policy.levels)
        following = (0, 0.0) if at_once else escalation.next_level(policy, incident.severity, clock_seconds)
        if following is None:
            break
        lost = [escalation.out_of_reach(turn.state, incident.id, run, one) for one in awake]
        if not all(lost) and not at_once:
            break
        level, begins = following
        ahead = run.ahead_seconds + begins - clock_seconds + JUST_AFTER_SECONDS
        why = f"SEV{incident.severity}" if at_once else "; ".join(lost) or "nobody is on call before it"
        turn = turn.emit(EscalationAdvanced(incident.id, level + 1, ahead, why))
        run = turn.state.escalations[incident.id]
        awake = escalation.woken(turn.state, run, policy, incident.severity, turn.now)
    return turn, awake


def _order(
    state: State,
    incident: Incident,
    run: Escalation,
    policy: EscalationPolicy,
    due: Due,
    about: tuple[str, ...],
    reasons: dict[str, str],
) -> PageOrdered:
    why_you = _why_you(state, run, policy, due.woken)
    return PageOrdered(
        page="",
        incident=incident.id,
        key=f"{incident.id}/{run.number}/{due.woken.person.ident}/{due.contact.channel}/{due.repeat}",
        channel=due.contact.channel,
        subject=f"SEV{incident.severity} {incident.id}: {headline(state, incident)}",
        text=phone(state, incident, (*(reasons[t] for t in about), why_you)),
        severity=incident.severity,
        repeat=due.repeat,
        topics=about,
        person=due.woken.person.ident,
        to=due.contact.to,
        level=due.woken.level + 1,
        run=run.number,
    )


def _why_you(state: State, run: Escalation, policy: EscalationPolicy, one: Woken) -> str:
    """``To Cleo: level 2 of 2. Ben was woken before and has not answered.``"""
    level = f"level {one.level + 1} of {len(policy.levels)}" if len(policy.levels) > 1 and one.level >= 0 else ""
    why = ", ".join(words for words in ("" if level and one.why == NAMED else one.why, level) if words)
    before = [ident for ident, told in run.told.items() if told.repeat >= 0 and ident != one.person.ident]
    people = [p.called for p in map(state.policy.people.person, before[:MAX_NAMED]) if p is not None]
    if not people or one.level < (0 if run.holder else 1):
        return f"To {one.person.called}: {why}."
    names = f"{', '.join(people[:-1])} and {people[-1]} were" if len(people) > 1 else f"{people[0]} was"
    return f"To {one.person.called}: {why}. {names} woken before; nobody has answered."


def _over(state: State, incident: Incident, now: float) -> tuple[PageOrdered, ...]:
    """Those who were paged are told once that it is over, over the channel that last took a page of theirs."""
    if incident.resolved_at is None or now - incident.resolved_at > RESOLVED_WITHIN_SECONDS:
        return ()
    sent = [p for p in state.pages_of(incident.id) if p.ordered.person]
    told = {p.ordered.person for p in sent if RESOLVED in p.ordered.topics}
    orders: list[PageOrdered] = []
    for ident in dict.fromkeys(p.ordered.person for p in sent):
        person = state.policy.people.person(ident)
        taken = [p.ordered for p in sent if p.ordered.person == ident and p.status == "delivered"]
        if person is None or ident in told or not taken:
            continue
        orders.append(_end(state, incident, person, taken[-1]))
    return tuple(orders)


def _end(state: State, incident: Incident, person: Person, last: PageOrdered) -> PageOrdered:
    said = f"Merged into {incident.merged_into}:" if incident.merged_into else "Resolved"
    return PageOrdered(
        page="",
        incident=incident.id,
        key=f"{incident.id}/{RESOLVED}/{person.ident}/{last.channel}",
        channel=last.channel,
        subject=f"{said} {incident.id}: {incident.title or 'incident'}",
        text=phone(state, incident, (ending(incident),)),
        severity=incident.severity,
        repeat=last.repeat + 1,
        topics=(RESOLVED,),
        person=person.ident,
        to=last.to,
    )


def unwanted(state: State, order: PageOrdered, now: float) -> str:
    """The last look before a page leaves: why nobody needs it any more; "" when it is to be sent."""
    incident = state.incidents.get(order.incident)
    if incident is None:
        return handed_on(state, order)
    if RESOLVED in order.topics:
        return ""
    if incident.phase == RESOLVED:
        return f"{incident.id} is resolved"
    run = state.escalations.get(incident.id)
    if not order.person or run is None:
        return ""
    if run.number > order.run or answered(incident, run):
        return f"{incident.acknowledged_by or 'somebody'} acknowledged {incident.id}"
    policy = escalation_of(state, incident)
    awake: tuple[Woken, ...] = escalation.woken(state, run, policy, incident.severity, now) if policy else ()
    if any(one.person.ident == order.person for one in awake):
        return ""
    return f"{order.person} is not due any more: {', '.join(one.person.ident for one in awake) or 'nobody'} is"
