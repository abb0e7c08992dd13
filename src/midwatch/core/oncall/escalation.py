"""Who is due to be woken for an incident now: a pure function of the journal's state, the people files and the time.

An escalation has a clock of its own: the seconds since it began, and those by which it was moved on. On that clock the
levels of its policy follow each other in closed form, so that a restart, an outage or a leap of the clock loses nobody:
what fell due meanwhile is due at once, one page for each person. Nothing waits in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from midwatch.core.oncall.holidays import away
from midwatch.core.oncall.schedule import on_call
from midwatch.model.people import Contact, Escalation, EscalationPolicy, Level, Override, People, Person, Target
from midwatch.model.state import PageRecord, State

SELDOM: Final = 12  # times the usual pace, once all rounds went unanswered
PATIENCE_SECONDS: Final = 45.0  # a page that is not handed over by then goes over the next channel too
AGAIN_SECONDS: Final = 60.0  # once all of a person's channels failed, the first is tried again
HOLDER: Final = -1
"""The level of who has the incident: they are asked before the first."""
JUST_SECONDS: Final = 60.0  # a page that old, or half of the time between two repeats, counts as the one that is due
NAMED: Final = "named"
"""Why a level wakes somebody whom it names."""


@dataclass(frozen=True)
class Slot:
    """The newest page of a level that is due on the escalation's clock: of which round, and since when (seconds). What was
    said ``just_seconds`` before counts as it."""

    level: int
    round: int
    due_seconds: float
    just_seconds: float


@dataclass(frozen=True)
class Woken:
    """Somebody who is to be awake: by which level (from 0, or ``HOLDER``), since when (unix seconds), and why them. What was
    said to them ``just_seconds`` before is enough."""

    person: Person
    level: int
    since_at: float
    why: str
    just_seconds: float = 0.0


@dataclass(frozen=True)
class Due:
    """A page that is due now. ``repeat`` counts the person's pages in this escalation from 0."""

    woken: Woken
    contact: Contact
    repeat: int
    first: bool  # nothing was told to the person in this escalation


def slots(policy: EscalationPolicy, severity: int, elapsed_seconds: float) -> Iterator[Slot]:
    """Of each level that was reached, in their order."""
    begins, level_seconds = 0.0, sum(level.wait_seconds for level in policy.levels)
    if level_seconds <= 0:
        return
    number, began = _round(policy, elapsed_seconds, level_seconds)
    for index, level in enumerate(policy.levels):
        offset = 0.0 if severity <= level.at_once else begins
        begins += level.wait_seconds
        pace = level.wait_seconds / (level.repeats + 1)
        just = min(JUST_SECONDS, pace / 2)
        inside = elapsed_seconds - began - offset
        if inside >= 0:
            yield Slot(index, number, began + offset + min(level.repeats, int(inside / pace)) * pace, just)
        elif number > 0:
            before = _round_start(policy, number - 1, level_seconds)
            yield Slot(index, number - 1, before + offset + level.repeats * pace, just)


def _round(policy: EscalationPolicy, elapsed_seconds: float, level_seconds: float) -> tuple[int, float]:
    """Which round it is, and when that began."""
    brisk = policy.rounds * level_seconds
    if elapsed_seconds < brisk:
        number = max(0, int(elapsed_seconds / level_seconds))
    else:
        number = policy.rounds + int((elapsed_seconds - brisk) / (level_seconds * SELDOM))
    return number, _round_start(policy, number, level_seconds)


def _round_start(policy: EscalationPolicy, number: int, level_seconds: float) -> float:
    return (min(number, policy.rounds) + max(0, number - policy.rounds) * SELDOM) * level_seconds


def next_level(policy: EscalationPolicy, severity: int, elapsed_seconds: float) -> tuple[int, float] | None:
    """The level (from 0) that is woken next in this round, and when on the escalation's clock; None at the last."""
    level_seconds = sum(level.wait_seconds for level in policy.levels)
    if level_seconds <= 0:
        return None
    _, began = _round(policy, elapsed_seconds, level_seconds)
    begins = began
    for index, level in enumerate(policy.levels):
        if begins > elapsed_seconds and severity > level.at_once:
            return index, begins
        begins += level.wait_seconds
    return None


def elapsed(run: Escalation, now: float) -> float:
    """The escalation's clock; less than 0 while only who has the incident is asked."""
    return now - run.started_at + run.ahead_seconds


def woken(state: State, run: Escalation, policy: EscalationPolicy, severity: int, now: float) -> tuple[Woken, ...]:
    """Everybody who is to be awake by now, each once, by the level that wants them most recently. Who has the incident is
    from the beginning, by no level."""
    found: dict[str, Woken] = {}
    for person, _ in people_of(state, Level((Target("person", run.holder),)), now) if run.holder else ():
        found[person.ident] = Woken(person, HOLDER, run.started_at, "you acknowledged it before")
    for slot in slots(policy, severity, elapsed(run, now)):
        since = run.started_at + slot.due_seconds - run.ahead_seconds
        for person, why in people_of(state, policy.levels[slot.level], now, run.turn + slot.round):
            before = found.get(person.ident)
            if before is None or since - slot.just_seconds > before.since_at - before.just_seconds:
                found[person.ident] = Woken(person, slot.level, since, why, slot.just_seconds)
    return tuple(found.values())


def people_of(state: State, level: Level, at: float, turn: int = 0) -> tuple[tuple[Person, str], ...]:
    """Whom a level wakes at this moment, and why them; nobody who is away."""
    many = _all_of(state, level, at)
    return (many[turn % len(many)],) if level.in_turn and many else many


def _all_of(state: State, level: Level, at: float) -> tuple[tuple[Person, str], ...]:
    """A turn asks for each of a thousand incidents, so the answers of the last moment are kept, with the very people and
    stand-ins that were asked about: neither ever changes."""
    global _last
    people, last = state.policy.people, _last
    if last.people is not people or last.overrides is not state.overrides or last.at != at:
        _last = last = _Moment(people, state.overrides, at, {})
    known = last.found.get(level)
    if known is None:
        named = (pair for target in level.targets for pair in _target(state, target, at))
        found: dict[str, tuple[Person, str]] = {}
        for ident, why in named:
            person = people.person(ident)
            if person is not None and ident not in found and away(people, ident, at) is None:
                found[ident] = (person, why)
        known = last.found[level] = tuple(found.values())
    return known


@dataclass(frozen=True)
class _Moment:
    people: People
    overrides: tuple[Override, ...]
    at: float
    found: dict[Level, tuple[tuple[Person, str], ...]]


_last = _Moment(People(), (), 0.0, {})


def _target(state: State, target: Target, at: float) -> Iterator[tuple[str, str]]:
    people = state.policy.people
    if target.kind == "person":
        yield target.name, NAMED
    elif target.kind == "team":
        team = people.team(target.name)
        for ident in team.members if team else ():
            yield ident, f"all of {target.name}"
    else:
        schedule = people.schedule(target.name)
        if schedule is not None:
            ident, why = on_call(people, schedule, state.overrides, at)
            yield ident, f"on call in {schedule.name}, {why}"


def due(
    state: State, incident: str, run: Escalation, awake: tuple[Woken, ...], news: bool, now: float
) -> tuple[Due, ...]:
    """The pages that are due now: to whom nobody told of the level's newest page yet, to all of them with ``news``, and
    over the next channel to whom the last one did not reach."""
    sent = [p for p in state.pages_of(incident) if p.ordered.run == run.number]
    found = []
    for one in awake:
        told = run.told.get(one.person.ident)
        contacts = contacts_of(state, one.person)
        tried = [p for p in sent if told and (p.ordered.person, p.ordered.repeat) == (one.person.ident, told.repeat)]
        just = one.just_seconds if any(p.status != "withdrawn" for p in tried) else 0.0
        if told is None or told.at < one.since_at - just or (news and told.at < now):
            if contacts:
                found.append(Due(one, contacts[0], told.repeat + 1 if told else 0, told is None or told.repeat < 0))
            continue
        other = other_contact(contacts, tried, now)
        if other is not None:
            found.append(Due(one, contacts[other], told.repeat, told.repeat == 0))
    return tuple(found)


def contacts_of(state: State, person: Person) -> tuple[Contact, ...]:
    """The person's, or else the channels that the policy pages without people."""
    return person.contacts or tuple(Contact(channel) for channel in state.policy.paging.channels)


def other_contact(contacts: tuple[Contact, ...], tried: list[PageRecord], now: float) -> int | None:
    """Which contact (from 0) the same page goes to next, when the ones before did not take it; None when one did, or may
    yet."""
    if not tried or any(p.status in ("delivered", "withdrawn") for p in tried):
        return None
    last = max(tried, key=lambda p: p.ordered_at)
    if len(tried) < len(contacts):
        given_up = last.status == "failed" or now - last.ordered_at >= PATIENCE_SECONDS
        return len(tried) if given_up else None
    if all(p.status == "failed" for p in tried) and contacts and now - last.ordered_at >= AGAIN_SECONDS:
        return len(tried) % len(contacts)
    return None


def out_of_reach(state: State, incident: str, run: Escalation, one: Woken) -> str:
    """Why the person could not be reached by their last page: every channel failed. "" while one may yet."""
    told, contacts = run.told.get(one.person.ident), contacts_of(state, one.person)
    if not contacts:
        return f"{one.person.called} has no channel"
    if told is None:
        return ""
    tried = [
        p
        for p in state.pages_of(incident)
        if p.ordered.run == run.number and p.ordered.person == one.person.ident and p.ordered.repeat == told.repeat
    ]
    if len(tried) < len(contacts) or not all(p.status == "failed" for p in tried):
        return ""
    channels = ", ".join(dict.fromkeys(p.ordered.channel for p in tried))
    return f"{one.person.called} could not be reached over {channels}"
