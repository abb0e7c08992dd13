"""What somebody typed after ``/midwatch`` in Slack, done: whose word it is, which incident it is about, what comes of it.

A slash command can be given in any channel of the workspace by anybody in it. So a stranger to the settings may only look,
acknowledge and ask for help, and that only in the channel that pages, where whoever reads may press the same buttons, or in
a war room, about the incident that it is for. Everything else takes somebody whom ``people`` names, with that person's role.
"""

from __future__ import annotations

from typing import Final

from midwatch.adapters.channels.slack.commands import Said, Typed, read, usage
from midwatch.core.decide.obey import obey
from midwatch.core.decide.room import checklist
from midwatch.core.oncall import by_hand
from midwatch.core.oncall.rota import rota
from midwatch.core.oncall.standing import subject
from midwatch.core.turn import Turn
from midwatch.model.errors import NotFound, UsageError
from midwatch.model.events import CommandGiven, CommandRefused
from midwatch.model.findings import Incident
from midwatch.model.room import Room
from midwatch.model.state import State
from midwatch.shell.channel_settings import SlackSettings
from midwatch.shell.queries import find_incident, has_already, newest_first
from midwatch.shell.run import Watch

FOR_ALL: Final = frozenset({"help", "status", "ack", "escalate"})
FINAL: Final = frozenset({"resolve"})
MAX_SHOWN: Final = 10
MAX_WORDS: Final = 3000


async def answer(watch: Watch, channel: str, settings: SlackSettings, typed: Typed) -> str:
    """The words back, for whoever typed it. Raises JournalError."""
    person = settings.people.get(typed.user, "")
    room = room_of(watch.state, channel, typed.channel)
    try:
        said = read(typed.text, settings.people)
        here = bool(room) or typed.channel == settings.channel
        if not person and not (here and said.verb in FOR_ALL):
            raise UsageError(
                f"you are {typed.user}, and the settings name nobody for that (people: under this channel)"
            )
        if not person and room and said.incident not in ("", room.rpartition("-")[2]):
            raise UsageError(
                f"you are {typed.user}, and in this room you may ask about {room} only: the settings name nobody for that "
                "(people: under this channel)"
            )
        if said.why:
            raise UsageError(said.why, hint=f"All there is:\n{usage()}")
        if said.verb == "help":
            return usage()
        if said.verb == "status":
            return _status(watch.state, said, room)[:MAX_WORDS]
        if said.verb == "declare":
            return await _declared(watch, said, person)
        return await _given(watch, said, room, person, person or f"{typed.name or typed.user} (Slack)")
    except UsageError as error:
        return f"That could not be done: {error}. {error.hint}".strip()[:MAX_WORDS]


def room_of(state: State, channel: str, place: str) -> str:
    """The incident whose war room ``place`` is, in the chat of ``channel``; "" for none."""
    found = (i for i, r in state.war_rooms.items() if r.place and (r.channel, r.place) == (channel, place))
    return next(found, "")


async def _declared(watch: Watch, said: Said, person: str) -> str:
    """About the service that the words begin with, if there is one of that name."""
    first = f"service:{said.note.partition(' ')[0].rstrip(':,').lower()}"
    entity = first if first in watch.world.entities else ""
    given = CommandGiven(said.verb, person, entity, said.value, said.note, "chat", person)
    if why := by_hand.why_not(watch.state, given):
        raise UsageError(why)
    await watch.command(given)
    where = f" about {entity}" if entity else ""
    return (
        f"Heard: SEV{said.value}{where}, by {person}. An incident opens, or an open one takes it in: /midwatch status."
    )


async def _given(watch: Watch, said: Said, room: str, person: str, by: str) -> str:
    incident = _about(watch.state, said, room)
    if words := has_already(watch.state, said.verb, incident.id, by):
        return words
    given = CommandGiven(said.verb, by, incident.id, said.value, said.note, "chat", person)
    turn = Turn(watch.state, watch.memory, watch.world, watch.now(), (given,))
    refused = (e for e in rota(obey(turn)).events if isinstance(e, CommandRefused))
    if (no := next(refused, None)) is not None:
        raise UsageError(no.why)
    await watch.command(given)
    words = " ".join(part for part in (said.verb.replace("_", " "), incident.id, said.value, said.note) if part)
    return f"Heard: {words}, by {by}."


def _about(state: State, said: Said, room: str) -> Incident:
    """As named, else the one whose room it is, else the only one that is open. Raises UsageError."""
    if said.incident:
        return find_incident(state, said.incident)
    if room:
        return find_incident(state, room)
    running = [i for i in newest_first(state) if i.phase != "resolved"]
    if not running:
        raise NotFound("no incident is open")
    if len(running) > 1 or said.verb in FINAL:
        known = ", ".join(i.id for i in running[:MAX_SHOWN])
        raise UsageError(f"say which incident: {known}", hint="Its number comes right after the verb: INC-7.")
    return running[0]


def _status(state: State, said: Said, room: str) -> str:
    if said.incident or room:
        return _one(state, find_incident(state, said.incident or room))
    running = [i for i in newest_first(state) if i.phase != "resolved"]
    lines = [f"{subject(state, i)} ({i.phase}{_has(i)})" for i in running[:MAX_SHOWN]]
    more = len(running) - len(lines)
    return "\n".join([*lines, f"and {more} more"] if more > 0 else lines) or "No incident is open."


def _has(incident: Incident) -> str:
    return f", {incident.acknowledged_by} has it" if incident.acknowledged_by else ", nobody has acknowledged"


def _one(state: State, incident: Incident) -> str:
    room = state.rooms.get(incident.id, Room())
    lines = [
        f"{subject(state, incident)} ({incident.phase}{_has(incident)})",
        f"Rated so: {incident.severity_reason or 'not said'}",
    ]
    lines += [f"{role}: {who}" for role, who in room.roles.items()]
    steps = enumerate(checklist(state, incident), start=1)
    lines += [f"{'[x]' if step in room.ticked else '[ ]'} {number}. {step}" for number, step in steps]
    lines += [f"task {t.number}, {t.person or 'nobody yet'}: {t.what}" for t in room.tasks if t.done_at is None]
    return "\n".join(lines)
