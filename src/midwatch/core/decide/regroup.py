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

MAX_NOTE: Final = 1000
MAX_AT_ONCE: Final = 20
"""Incidents that one command merges."""


def merge(turn: Turn, said: CommandGiven) -> Turn:
    """``target`` stays; the incidents that ``value`` names (between blanks) become part of it."""
    others = tuple(dict.fromkeys(said.value.replace(",", " ").split()))
    if not others or len(others) > MAX_AT_ONCE:
        return _refused(turn, said, f"say which incidents become part of {said.target}: 1 to {MAX_AT_ONCE}")
    for ident in (said.target, *others):
        if why := _not_open(turn.state, ident):
            return _refused(turn, said, why)
    if said.target in others:
        return _refused(turn, said, f"{said.target} cannot become part of itself")
    for ident in others:
        turn = _merge_one(turn, turn.state.incidents[said.target], turn.state.incidents[ident], said)
    return turn


def _merge_one(turn: Turn, kept: Incident, absorbed: Incident, said: CommandGiven) -> Turn:
    for record in turn.state.actions_of(absorbed.id):
        if record.status == "asked":
            why = f"{absorbed.id} became part of {kept.id}: what is still needed is proposed there"
            turn = turn.emit(ActionDropped(record.action.id, why, said.by))
    turn = turn.emit(IncidentMerged(kept.id, absorbed.id, said.by, said.note[:MAX_NOTE]))
    # Whoever answered for one of them answers for the whole. Nobody did: it goes on paging.
    answered = kept.acknowledged_by or absorbed.acknowledged_by
    return turn.emit(IncidentAcknowledged(kept.id, answered)) if answered else turn


def split(turn: Turn, said: CommandGiven) -> Turn:
    """``value`` says what of ``target`` becomes an incident of its own: entities or findings, one a line (or between
    blanks)."""
    if why := _not_open(turn.state, said.target):
        return _refused(turn, said, why)
    return _take_out(turn, said, turn.state.incidents[said.target], said.value, f"INC-{turn.state.next_incident}")


def move(turn: Turn, said: CommandGiven) -> Turn:
    """Like ``split``, into the open incident that ``value`` names first."""
    into, _, what = said.value.strip().replace("\n", " \n", 1).partition(" ")
    for ident in (said.target, into):
        if why := _not_open(turn.state, ident):
            return _refused(turn, said, why)
    if into == said.target:
        return _refused(turn, said, f"it is in {into} already")
    return _take_out(turn, said, turn.state.incidents[said.target], what, into)


def _take_out(turn: Turn, said: CommandGiven, incident: Incident, what: str, into: str) -> Turn:
    moved, strange = chosen(turn.state, incident, what)
    about = ", ".join(place(s) for s in incident.symptoms) or "nothing"
    if strange:
        return _refused(turn, said, f"{incident.id} is not about {strange[0]!r}; it is about {about}")
    left = [f for f in incident.findings if f not in moved]
    wrong = tuple(f for f in moved if f in turn.state.findings)
    if not wrong:
        what = f"say what of {incident.id} is separate" if not moved else "nothing of that is wrong any more"
        return _refused(turn, said, f"{what}; it is about {about}")
    if not left:
        return _refused(turn, said, f"that is all of {incident.id}: nothing would be left of it")
    staying = {entity_of(turn.state, f) for f in left}
    places = tuple(dict.fromkeys(entity_of(turn.state, f) for f in moved))
    gone = tuple(p for p in places if p not in staying)
    turn = turn.emit(IncidentSplit(incident.id, into, tuple(moved), gone, said.by, said.note[:MAX_NOTE]))
    if into in turn.state.incidents:
        fresh = tuple(p for p in places if p not in turn.state.incidents[into].symptoms)
        return turn.emit(IncidentGrew(into, tuple(moved), fresh, f"{said.by} moved it here from {incident.id}"))
    return _opened(turn, said, incident, into, tuple(moved), places, tuple(turn.state.findings[f] for f in wrong))


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
