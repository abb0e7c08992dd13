"""In which teams a command needs its role: those that own what it is about. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from midwatch.core.oncall.by_hand import NEW
from midwatch.core.oncall.owners import team_of
from midwatch.model.events import CommandGiven
from midwatch.model.state import State

NOBODYS: Final = ""
"""What belongs to no team, or to all."""


def teams_of(given: CommandGiven, state: State) -> tuple[str, ...]:
    """Each once, in order. What takes from one incident and gives to another is about both."""
    about = _ABOUT.get(given.verb, _incident)
    teams = [about(state, given.target)]
    match given.verb:
        case "merge":
            teams += [_incident(state, one) for one in given.value.replace(",", " ").split()]
        case "move":
            teams += [_incident(state, one) for one in given.value.split()[:1]]
        case "move_alert" if given.value != NEW:
            teams.append(_incident(state, given.value))
    return tuple(dict.fromkeys(teams))


def _incident(state: State, target: str) -> str:
    """Of an incident, or of an action or page of one."""
    if target in state.actions:
        target = state.actions[target].action.incident
    elif target in state.pages:
        target = state.pages[target].ordered.incident
    incident = state.incidents.get(target)
    team = team_of(state, incident)[0] if incident is not None else None
    return team.name if team else NOBODYS


def _item(state: State, target: str) -> str:
    record = state.items.get(target)
    return _incident(state, record.item.incident) if record else NOBODYS


def _alert(state: State, target: str) -> str:
    record = state.alerts.get(target)
    if record is None:
        return NOBODYS
    return _incident(state, record.incident) if record.incident else _entity(state, record.alert.entity)


def _entity(state: State, target: str) -> str:
    team = state.policy.people.owner(target)
    return team.name if team else NOBODYS


def _promise(state: State, target: str) -> str:
    """Of a promise, or of the one that an adjustment is of."""
    name = next((one.slo for one in state.adjustments if one.id == target), target)
    slo = next((one for one in state.slos if one.name == name), None)
    if slo is None:
        return NOBODYS
    people = state.policy.people
    team = people.team(slo.owner) or people.owner(slo.entity)
    return team.name if team else NOBODYS


def _schedule(state: State, target: str) -> str:
    """Of the one team whose escalation wakes the schedule."""
    people = state.policy.people
    waking = {
        policy.name
        for policy in people.escalations
        if any(t.kind == "schedule" and t.name == target for level in policy.levels for t in level.targets)
    }
    teams = [team.name for team in people.teams if team.escalation in waking]
    return teams[0] if len(teams) == 1 else NOBODYS


def _override(state: State, target: str) -> str:
    return _schedule(state, next((one.schedule for one in state.overrides if one.ident == target), ""))


def _swap(state: State, target: str) -> str:
    return _schedule(state, next((one.schedule for one in state.swaps if one.ident == target), ""))


_ABOUT: Final[Mapping[str, Callable[[State, str], str]]] = {
    "item_done": _item,
    "move_alert": _alert,
    "close_alert": _alert,
    "declare": _entity,
    "adjust": _promise,
    "override": _schedule,
    "swap": _schedule,
    "override_end": _override,
    "swap_answer": _swap,
}
"""Verb -> whose its target is; what is not here is about an incident, or about nothing in particular."""
