"""What will go wrong with who is on call, found beforehand: times when nobody would be woken, people without a channel,
people on call while they are away."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from midwatch.core.oncall.escalation import people_of
from midwatch.core.oncall.holidays import ends_too_early, entries
from midwatch.core.oncall.schedule import shifts
from midwatch.model.people import EscalationPolicy, Level, People
from midwatch.model.state import State

HORIZON_SECONDS: Final = 90 * 86400.0


@dataclass(frozen=True)
class Flaw:
    """``error``: somebody would not be woken who should be. ``warning``: it may be meant so. [``start_at``, ``end_at``) in
    unix seconds where it is about a time, else 0."""

    level: Literal["error", "warning"]
    code: str
    subject: str
    text: str
    hint: str = ""
    start_at: float = 0.0
    end_at: float = 0.0


def flaws(state: State, since: float, until: float, channels: Collection[str] | None = None) -> list[Flaw]:
    """Everything found for [since, until), in order. ``channels`` are those that the settings know; None for unknown."""
    people = state.policy.people
    found = [*_owners(people), *_reach(state, channels), *_calendars(people, until), *_absent(state, since, until)]
    for policy in people.escalations:
        found += _uncovered(state, policy, since, until)
    return sorted(found, key=lambda flaw: (flaw.level != "error", flaw.start_at, flaw.subject))


def _owners(people: People) -> Iterator[Flaw]:
    if not people.catch_all:
        hint = "catch_all: TEAM takes what nobody owns; without it the channels of paging are used"
        yield Flaw("error", "no-catch-all", "catch_all", "no team takes what nobody owns", hint)
    for team in people.teams:
        if not team.escalation and (team.services or team.name == people.catch_all):
            hint = "escalation: NAME says who is woken; the catch-all team's is used instead"
            level: Literal["error", "warning"] = "error" if team.name == people.catch_all else "warning"
            yield Flaw(level, "no-escalation", team.name, f"team {team.name} has no escalation", hint)
    used = {team.escalation for team in people.teams}
    for policy in people.escalations:
        if policy.name not in used:
            text = f"escalation {policy.name} is no team's"
            yield Flaw("warning", "unused", policy.name, text, "name it in a team, or take it out")


def _reach(state: State, channels: Collection[str] | None) -> Iterator[Flaw]:
    people, general = state.policy.people, state.policy.paging.channels
    for ident in sorted(_wakeable(people)):
        person = people.person(ident)
        if person is None:
            continue
        if not person.contacts:
            level: Literal["error", "warning"] = "warning" if general else "error"
            instead = f"the channels of paging are used: {', '.join(general)}" if general else "nothing reaches them"
            yield Flaw(
                level, "no-contact", ident, f"{person.called} has no contact; {instead}", "add one under contacts"
            )
        unknown = [c.channel for c in person.contacts if channels is not None and c.channel not in channels]
        for name in dict.fromkeys(unknown):
            text = f"{person.called} is to be reached over {name}, and the settings have no such channel"
            yield Flaw("error", "no-channel", ident, text, f"known: {', '.join(sorted(channels or ())) or 'none'}")


def _wakeable(people: People) -> set[str]:
    """Everybody whom a level names, or a schedule that one names."""
    found: set[str] = set()
    for target in (t for policy in people.escalations for level in policy.levels for t in level.targets):
        if target.kind == "person":
            found.add(target.name)
        elif target.kind == "team" and (team := people.team(target.name)):
            found.update(team.members)
        elif target.kind == "schedule" and (schedule := people.schedule(target.name)):
            found.update(ident for layer in schedule.layers for ident in layer.rotation.people)
    return found


def _calendars(people: People, until: float) -> Iterator[Flaw]:
    for calendar in people.calendars:
        if ends_too_early(calendar, until):
            yield Flaw("warning", "calendar-ends", calendar.name, f"{calendar.name} is not known that far ahead")


def _absent(state: State, since: float, until: float) -> Iterator[Flaw]:
    """Shifts of people who will be away: they are passed over, and the next level is woken at once."""
    people = state.policy.people
    for schedule in people.schedules:
        for shift in shifts(people, schedule, state.overrides, since, until):
            person = people.person(shift.person)
            calendar = people.calendar(person.away) if person and person.away else None
            for span in entries(calendar, shift.start_at, shift.end_at):
                start, end = max(span.start_at, shift.start_at), min(span.end_at, shift.end_at)
                text = f"{shift.person} is on call in {schedule.name} and away ({span.summary or 'away'})"
                yield Flaw(
                    "error", "away", schedule.name, text, "find a stand-in: midwatch oncall override", start, end
                )


def _uncovered(state: State, policy: EscalationPolicy, since: float, until: float) -> Iterator[Flaw]:
    """Times when a policy has nobody on any level, and those when only its first level has nobody."""
    if not policy.levels:
        return
    spans: dict[str, list[list[float]]] = {"nobody": [], "first": []}
    for start, end in pairwise(sorted(_marks(state, policy, since, until))):
        there = [bool(people_of(state, level, start)) for level in policy.levels]
        kind = "nobody" if not any(there) else "first" if not there[0] else ""
        if kind and spans[kind] and spans[kind][-1][1] == start:
            spans[kind][-1][1] = end
        elif kind:
            spans[kind].append([start, end])
    for start, end in spans["nobody"]:
        text = f"nobody would be woken by {policy.name}, on any of its levels"
        yield Flaw("error", "gap", policy.name, text, "add a layer, or a person as the last level", start, end)
    for start, end in spans["first"]:
        text = f"the first level of {policy.name} has nobody; the next one is woken at once"
        yield Flaw("warning", "first-level-empty", policy.name, text, "", start, end)


def _marks(state: State, policy: EscalationPolicy, since: float, until: float) -> set[float]:
    people = state.policy.people
    found = {since, until}
    for ident in _of_levels(people, policy.levels):
        person = people.person(ident)
        calendar = people.calendar(person.away) if person and person.away else None
        for span in entries(calendar, since, until):
            found |= {span.start_at, span.end_at}
    for target in (t for level in policy.levels for t in level.targets if t.kind == "schedule"):
        schedule = people.schedule(target.name)
        if schedule is not None:
            found |= {shift.start_at for shift in shifts(people, schedule, state.overrides, since, until)}
    return {mark for mark in found if since <= mark <= until}


def _of_levels(people: People, levels: tuple[Level, ...]) -> set[str]:
    return _wakeable(People(people.people, people.teams, people.schedules, (EscalationPolicy("", levels),)))
