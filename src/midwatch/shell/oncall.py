"""Who is on call, as plain values that become JSON as they are: for the CLI, the API and the console."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from msgspec.structs import replace

from midwatch.core.oncall.escalation import contacts_of, people_of
from midwatch.core.oncall.fairness import fairness
from midwatch.core.oncall.holidays import away
from midwatch.core.oncall.owners import policy_of
from midwatch.core.oncall.schedule import shifts
from midwatch.model.entity import service_key
from midwatch.model.errors import NotFound
from midwatch.model.people import People, Schedule
from midwatch.model.state import State
from midwatch.shell.config import Settings
from midwatch.shell.folder import load_policy
from midwatch.shell.journal import JournalReader

LOOK_AHEAD_SECONDS = 28 * 86400.0


def in_force(settings: Settings, known: State | None = None) -> State:
    """A state in which what the files say holds, with the stand-ins that were said since (``known``). Raises ConfigError."""
    policy, _ = load_policy(settings)
    if not policy.paging.channels:
        policy = replace(policy, paging=replace(policy.paging, channels=tuple(settings.channels)))
    return replace(known or State(), policy=policy)


def who(state: State, at: float) -> list[dict[str, Any]]:
    """Every schedule: who is on call at ``at``, until when, and who comes next."""
    return [_row(state, schedule, at) for schedule in state.policy.people.schedules]


def _row(state: State, schedule: Schedule, at: float) -> dict[str, Any]:
    people = state.policy.people
    now, *later = shifts(people, schedule, state.overrides, at, at + LOOK_AHEAD_SECONDS)
    absence = away(people, now.person, at)
    return {
        "schedule": schedule.name,
        "zone": schedule.zone,
        "person": now.person,
        "name": called(people, now.person),
        "why": now.why,
        "until_at": now.end_at if later else None,
        "next": later[0].person if later else "",
        "away": (absence.summary or "away") if absence else "",
    }


def called(people: People, ident: str) -> str:
    person = people.person(ident)
    return person.called if person else ident


def who_for(state: State, service: str, at: float) -> dict[str, Any]:
    """Who would be woken at ``at`` for an incident of the entity ``service``, level by level. Raises NotFound."""
    people = state.policy.people
    entity = service_key(service)
    owner = people.owner(entity)
    team = owner or people.team(people.catch_all)
    policy = policy_of(people, team)
    if policy is None:
        raise NotFound(f"nobody is woken for {entity}", hint="own it in a team with an escalation, or say catch_all")
    after, levels = 0.0, []
    for level in policy.levels:
        woken = [
            {"person": p.ident, "name": p.called, "why": why, "channels": [c.channel for c in contacts_of(state, p)]}
            for p, why in people_of(state, level, at)
        ]
        levels.append({"after_seconds": after, "at_once_from_severity": level.at_once or None, "wakes": woken})
        after += level.wait_seconds
    return {"service": entity, "team": team.name if team else "", "owned": owner is not None,
            "escalation": policy.name, "levels": levels}  # fmt: skip


def loads(state: State, journal: JournalReader, since: float, until: float) -> list[dict[str, Any]]:
    """The fairness report of [since, until), read from the journal. Raises JournalError."""
    recorded = journal.read(journal.seq_before(since))
    return [asdict(load) for load in fairness(state, recorded, since, until)]
