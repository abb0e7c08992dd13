"""The stage that opens a war room in the chat, calls those in who work on the incident, and has it archived afterwards. A
function of (state, now); the shell carries out what it orders.

Off until the policy names a channel. A room that is there stays, whatever the severity does after that; one that could not
be opened is kept with the reason and ordered again a few times, and people go on in the incident's own page meanwhile.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

from midwatch.core.decide.sight import place
from midwatch.core.oncall.standing import told
from midwatch.core.turn import Turn
from midwatch.model import events as e
from midwatch.model.findings import ALERT, DYING, SLOW_BURN, Incident
from midwatch.model.room import Room
from midwatch.model.state import State
from midwatch.model.war_room import MAX_INVITED, WarRoom

MAX_OPEN: Final = 20
MAX_NAME: Final = 80  # Slack's bound, the narrowest
MAX_TOPIC: Final = 250

_WHAT: Final = {
    "burn_rate": "errors",
    SLOW_BURN: "errors",
    "error_shift": "errors",
    "latency_shift": "slow",
    "traffic_drop": "no-traffic",
    "queue_lag": "queue",
    DYING: "dying",
}
_FELT: Final = {"errors": "errors", "slow": "slow", "missing": "no-traffic"}


def convene(turn: Turn) -> Turn:
    """Order what is due: a room for each incident that is bad enough, people into it, its archiving."""
    state, policy = turn.state, turn.state.policy.war_room
    if policy.channel:
        for incident in state.open_incidents:
            if _deserves(state, incident, turn.now):
                turn = turn.emit(*_opening(turn.state, incident))
    for ident, room in state.war_rooms.items():
        incident_or_none = state.incidents.get(ident)
        if incident_or_none is None or room.status != "open":
            continue
        if incident_or_none.phase != "resolved":
            invited = (e.WarRoomOrdered(ident, "invite", room.channel, person=p) for p in _missing(state, ident, room))
            turn = turn.emit(*invited)
        elif _outlived(incident_or_none, policy.archive_seconds, turn.now) and not room.why:
            turn = turn.emit(e.WarRoomOrdered(ident, "archive", room.channel))
    return turn


def _deserves(state: State, incident: Incident, now: float) -> bool:
    room = state.war_rooms.get(incident.id)
    had = room is not None and not (room.status == "failed" and 0 < room.again_at <= now)
    if had or incident.severity > state.policy.war_room.severity:
        return False
    return now - incident.opened_at >= state.policy.settle_seconds or incident.told_by_alerts


def _opening(state: State, incident: Incident) -> tuple[e.Event, ...]:
    policy = state.policy.war_room
    before = state.war_rooms.get(incident.id)
    name = before.name if before is not None else room_name(policy.prefix, incident)
    order = e.WarRoomOrdered(incident.id, "open", policy.channel, name)
    busy = (r.status in ("ordered", "open") and _running(state, ident) for ident, r in state.war_rooms.items())
    if sum(busy) < MAX_OPEN:
        return (order,)
    why = f"there are {MAX_OPEN} already: this one is worked on in its page"
    # Kept as one that failed: else each turn would say so again.
    return order, e.WarRoomEnded(incident.id, "open", False, why, name=name)


def _running(state: State, ident: str) -> bool:
    return ident in state.incidents and state.incidents[ident].phase != "resolved"


def _outlived(incident: Incident, archive_seconds: float, now: float) -> bool:
    ended = incident.resolved_at
    return archive_seconds > 0 and ended is not None and now - ended >= archive_seconds


def _missing(state: State, ident: str, room: WarRoom) -> tuple[str, ...]:
    """Who works on it and was not asked in yet, in the order in which they came to it."""
    people = [p for p in dict.fromkeys(_working(state, ident)) if p and p not in room.invited]
    return tuple(people[: max(0, MAX_INVITED - len(room.invited))])


def _working(state: State, ident: str) -> Iterator[str]:
    for page in state.pages_of(ident):
        if page.status != "withdrawn":
            yield page.ordered.person
    yield state.incidents[ident].acknowledged_by
    who_does_what = state.rooms.get(ident, Room())
    yield from who_does_what.roles.values()
    yield from (task.person for task in who_does_what.tasks)


def room_name(prefix: str, incident: Incident) -> str:
    """``inc-12-payment-errors``: lower case, digits and hyphens, 80 characters at most, as chats want names."""
    number = incident.id.rpartition("-")[2]
    if incident.told_by_alerts and incident.impact is None:
        words = [incident.findings[0].split("|")[2] if incident.findings[0].count("|") >= 2 else incident.title]
    else:
        entry = incident.impact.entry if incident.impact else ""
        kinds = [ident.partition("|")[0] for ident in incident.findings]
        felt = _FELT.get(incident.impact.what, "") if incident.impact else ""
        words = [place(entry or (incident.symptoms[0] if incident.symptoms else ""))]
        words.append(felt or next((_WHAT[kind] for kind in kinds if kind != ALERT and kind in _WHAT), ""))
    return "-".join(part for part in map(slug, (prefix, number, *words)) if part)[:MAX_NAME].strip("-")


def slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    parts = re.sub(r"([a-z0-9])([A-Z])", r"\1-\2", plain).lower()
    return re.sub(r"[^a-z0-9]+", "-", parts).strip("-")


def topic(state: State, incident: Incident) -> str:
    """``SEV2 · open · commander ana · https://midwatch.example/incidents/INC-12``."""
    commander = state.rooms.get(incident.id, Room()).roles.get("commander", "")
    link = (state.policy.war_room.link or state.policy.console).rstrip("/")
    over = f"part of {incident.merged_into}" if incident.merged_into else incident.phase
    facts = [f"SEV{incident.severity}", over, f"commander {commander}" if commander else "no commander yet"]
    words = " · ".join(facts)
    return (f"{words[: MAX_TOPIC - 100]} · {link}/incidents/{incident.id}" if link else words)[:MAX_TOPIC]


def told_in_room(state: State, events: Iterable[e.Event]) -> dict[str, tuple[str, ...]]:
    """Incident -> what ``events`` (already folded) say in its room: what its thread is told, and who does what."""
    found: dict[str, tuple[str, ...]] = {}
    for event in events:
        for ident, said in told(state, [event]).items():
            found[ident] = found.get(ident, ()) + said
        if words := said_of_work(event):
            ident = getattr(event, "incident", "")
            found[ident] = (*found.get(ident, ()), words)
    return {ident: said for ident, said in found.items() if ident in state.war_rooms}


def said_of_work(event: e.Event) -> str:
    """What an event about who does what says, with whoever said it; "" for any other."""
    match event:
        case e.RoleTaken():
            return f"{event.person} is {event.role}." if event.person else f"Nobody is {event.role} any more."
        case e.DecisionMade():
            return f"{event.by} wrote down a decision: {event.text}"
        case e.StepTicked():
            return f"{event.by} did: {event.step}."
        case e.StepUnticked():
            return f"{event.by} took a tick back: {event.step}."
        case e.TaskSet():
            return f"Task {event.number} for {event.person or 'whoever takes it'}: {event.what}"
        case e.TaskGiven():
            return (
                f"Task {event.number} is {event.person}'s." if event.person else f"Nobody has task {event.number} now."
            )
        case e.TaskDone():
            return f"{event.by} did task {event.number}."
    return ""
