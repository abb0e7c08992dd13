"""What is one incident, by a person's word: merge incidents, split one, move a part of one to another."""

from __future__ import annotations

from typing import Final

from midwatch.core.decide.sight import place
from midwatch.core.detect.impact import impact_of
from midwatch.core.detect.incidents import severity_of, title_of
from midwatch.core.turn import Turn
from midwatch.model.entity import name_of
from midwatch.model.events import (
    ActionDropped,
    CommandGiven,
    CommandRefused,
    IncidentAcknowledged,
    IncidentGrew,
    IncidentMerged,
    IncidentOpened,
    IncidentSplit,
)
from midwatch.model.findings import Finding, Incident
from midwatch.model.state import State

MAX_AT_ONCE: Final = 20
"""Incidents that one command merges."""


def why_not(state: State, said: CommandGiven) -> str:
    """Why a merge, split or move would come to nothing; "" when it may be obeyed."""
    others = _others(said)
    if said.verb == "merge" and not 1 <= len(others) <= MAX_AT_ONCE:
        return f"say which incidents become part of {said.target}: 1 to {MAX_AT_ONCE}"
    if said.verb != "split" and not others:
        return f"say which incident it belongs to, then what of {said.target}"
    named = (said.target, *(others if said.verb != "split" else ()))
    if why := next(filter(None, (_not_open(state, ident) for ident in named)), ""):
        return why
    if said.target in others:
        is_merge = said.verb == "merge"
        return f"{said.target} cannot become part of itself" if is_merge else f"it is in {said.target} already"
    return "" if said.verb == "merge" else _not_apart(state, state.incidents[said.target], _what(said))


def _others(said: CommandGiven) -> tuple[str, ...]:
    words = said.value.replace(",", " ").split()
    return tuple(dict.fromkeys(words if said.verb == "merge" else words[:1]))


def _what(said: CommandGiven) -> str:
    return said.value if said.verb == "split" else (*said.value.split(None, 1), "")[1]


def _not_apart(state: State, incident: Incident, what: str) -> str:
    moved, strange = chosen(state, incident, what)
    about = f"it is about {', '.join(place(s) for s in incident.symptoms) or 'nothing'}"
    if strange:
        return f"{incident.id} is not about {strange[0]!r}; {about}"
    if not moved:
        return f"say what of {incident.id} is separate; {about}"
    if not any(f in state.findings for f in moved):
        return f"nothing of that is wrong any more; {about}"
    return f"that is all of {incident.id}: nothing would be left of it" if len(moved) == len(incident.findings) else ""


def merge(turn: Turn, said: CommandGiven) -> Turn:
    """``target`` stays; the incidents that ``value`` names (between blanks) become part of it."""
    if why := why_not(turn.state, said):
        return _refused(turn, said, why)
    for ident in _others(said):
        turn = _merge_one(turn, turn.state.incidents[said.target], turn.state.incidents[ident], said)
    return turn


def _merge_one(turn: Turn, kept: Incident, absorbed: Incident, said: CommandGiven) -> Turn:
    for record in turn.state.actions_of(absorbed.id):
        if record.status == "asked":
            why = f"{absorbed.id} became part of {kept.id}: what is still needed is proposed there"
            turn = turn.emit(ActionDropped(record.action.id, why, said.by))
    turn = turn.emit(IncidentMerged(kept.id, absorbed.id, said.by, said.note))
    # Whoever answered for one of them answers for the whole. Nobody did: it goes on paging.
    answered = kept.acknowledged_by or absorbed.acknowledged_by
    return turn.emit(IncidentAcknowledged(kept.id, answered)) if answered else turn


def split(turn: Turn, said: CommandGiven) -> Turn:
    """``value`` says what of ``target`` becomes an incident of its own: entities or findings, one a line (or between
    blanks)."""
    if why := why_not(turn.state, said):
        return _refused(turn, said, why)
    return _take_out(turn, said, f"INC-{turn.state.next_incident}")


def move(turn: Turn, said: CommandGiven) -> Turn:
    """Like ``split``, into the open incident that ``value`` names first."""
    if why := why_not(turn.state, said):
        return _refused(turn, said, why)
    return _take_out(turn, said, _others(said)[0])


def _take_out(turn: Turn, said: CommandGiven, into: str) -> Turn:
    incident = turn.state.incidents[said.target]
    moved = tuple(chosen(turn.state, incident, _what(said))[0])
    staying = {entity_of(turn.state, f) for f in incident.findings if f not in moved}
    places = tuple(dict.fromkeys(entity_of(turn.state, f) for f in moved))
    gone = tuple(p for p in places if p not in staying)
    turn = turn.emit(IncidentSplit(incident.id, into, moved, gone, said.by, said.note))
    if into in turn.state.incidents:
        fresh = tuple(p for p in places if p not in turn.state.incidents[into].symptoms)
        return turn.emit(IncidentGrew(into, moved, fresh, f"{said.by} moved it here from {incident.id}"))
    wrong = tuple(turn.state.findings[f] for f in moved if f in turn.state.findings)
    return _opened(turn, said, incident, into, moved, places, wrong)


def _opened(
    turn: Turn,
    said: CommandGiven,
    old: Incident,
    ident: str,
    moved: tuple[str, ...],
    symptoms: tuple[str, ...],
    wrong: tuple[Finding, ...],
) -> Turn:
    onset_at = min(f.since_at for f in wrong)
    impact = impact_of(turn, onset_at, wrong)
    severity, reason = severity_of(turn, impact, wrong)
    title = title_of(max(wrong, key=lambda f: (f.log_bayes, f.id)), impact)
    why = f"{said.by} split it from {old.id}"
    turn = turn.emit(
        IncidentOpened(ident, title, onset_at, severity, reason, moved, symptoms, impact, why, split_from=old.id)
    )
    return turn.emit(IncidentAcknowledged(ident, old.acknowledged_by)) if old.acknowledged_by else turn


def chosen(state: State, incident: Incident, text: str) -> tuple[list[str], list[str]]:
    """The incident's findings that ``text`` names, in their order, and the words that name none. A line that is no entity,
    bare name or finding as a whole is read word by word."""
    named: dict[str, set[str]] = {}
    for ident in incident.findings:
        entity = entity_of(state, ident)
        for name in (ident, entity, name_of(entity)):
            named.setdefault(name, set()).add(ident)
    found: set[str] = set()
    strange: list[str] = []
    for line in filter(None, (one.strip() for one in text.splitlines())):
        for word in (line,) if line in named else line.replace(",", " ").split():
            if word in named:
                found |= named[word]
            else:
                strange.append(word)
    return [f for f in incident.findings if f in found], strange


def entity_of(state: State, finding_id: str) -> str:
    """What a finding is about, also when it is over."""
    finding = state.findings.get(finding_id)
    return finding.entity if finding is not None else (*finding_id.split("|"), "", "")[1]


def _not_open(state: State, ident: str) -> str:
    incident = state.incidents.get(ident)
    if incident is None:
        return f"no incident is called {ident!r}"
    if incident.merged_into:
        return f"{ident} is part of {incident.merged_into} already"
    return f"{ident} is resolved: only open incidents are merged and split" if incident.phase == "resolved" else ""


def _refused(turn: Turn, said: CommandGiven, why: str) -> Turn:
    return turn.emit(CommandRefused(said.verb, said.target, said.by, why))
