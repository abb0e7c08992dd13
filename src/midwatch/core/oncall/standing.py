"""What channels that keep a place for an incident are told between pages: how it stands, and what just happened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from midwatch.core.oncall.said import headline, page_lines, runbooks
from midwatch.core.oncall.words import at_console, at_target, to_do, update
from midwatch.model.actions import Action
from midwatch.model.events import (
    AcknowledgementExpired,
    ActionApproved,
    ActionDropped,
    ActionJudged,
    EscalationAdvanced,
    Event,
    IncidentAcknowledged,
    IncidentMerged,
    IncidentRated,
    IncidentResolved,
    PageOrdered,
    UpdateWritten,
    WarRoomEnded,
)
from midwatch.model.findings import Incident
from midwatch.model.people import Person
from midwatch.model.standing import Asked, Standing
from midwatch.model.state import State


def subject(state: State, incident: Incident) -> str:
    """``SEV2 INC-7: payment fails``."""
    over = f"Part of {incident.merged_into}:" if incident.merged_into else "Resolved"
    head = f"{over if incident.phase == 'resolved' else f'SEV{incident.severity}'} {incident.id}"
    return f"{head}: {headline(state, incident)}"


def standing(state: State, incident: Incident, happened: tuple[str, ...] = ()) -> Standing:
    asked = tuple(
        Asked(r.action.id, _words(r.action), r.action.action_class == "irreversible")
        for r in state.actions_of(incident.id)
        if r.status == "asked"
    )
    room = state.war_rooms.get(incident.id)
    usable = room is not None and room.usable
    return Standing(
        incident.id,
        incident.severity,
        subject(state, incident),
        _text(state, incident),
        incident.phase,
        incident.acknowledged_by,
        asked if incident.phase != "resolved" else (),
        happened,
        incident.heard_on,
        room.place if room is not None and usable else "",
        room.channel if room is not None and usable else "",
        tuple(_links(state, incident)),
    )


def _text(state: State, incident: Incident) -> str:
    """The update and, while it is open, why it is as bad as that, and what its senders gave for the page."""
    lines = [update(state, incident).text]
    if incident.phase != "resolved" and incident.severity_reason:
        lines.append(f"SEV{incident.severity}: {incident.severity_reason}.")
    return "\n".join([*lines, *page_lines(state, incident)])


def _links(state: State, incident: Incident) -> Iterator[tuple[str, str]]:
    if link := at_console(state, incident):
        yield "Incident", link
    for link in runbooks(state, incident):
        yield "Runbook", link


def beside_page(events: Iterable[Event]) -> tuple[Event, ...]:
    """What of ``events`` is still to be told where a page about them goes: how it stands, why, and whom it wakes stands in
    that page."""
    in_page = UpdateWritten | IncidentRated | IncidentResolved | ActionJudged | PageOrdered
    return tuple(event for event in events if not isinstance(event, in_page))


def told(state: State, events: Iterable[Event]) -> dict[str, tuple[str, ...]]:
    """Incident -> what ``events`` (already folded into ``state``) say of it, for those of which they say anything."""
    found: dict[str, tuple[str, ...]] = {}
    for event in events:
        incident, words = _told(state, event)
        if incident in state.incidents:
            found[incident] = found.get(incident, ()) + ((words,) if words else ())
    return found


def _told(state: State, event: Event) -> tuple[str, str]:
    match event:
        case UpdateWritten():
            return event.incident, event.text
        case IncidentAcknowledged():
            return event.incident, f"{event.by} acknowledged it."
        case AcknowledgementExpired():
            return event.incident, f"The acknowledgement of {event.by} holds no longer: {event.why}."
        case EscalationAdvanced():
            return event.incident, f"Level {event.level} is woken: {event.why}."
        case PageOrdered() if (person := _woken(state, event)) is not None:
            return event.incident, f"{person.called} is woken, level {event.level}."
        case IncidentMerged():
            return event.absorbed, f"It became part of {event.incident}."
        case IncidentResolved():
            return event.incident, f"Resolved: {event.why}."
        case IncidentRated():
            return event.incident, ""
        case WarRoomEnded() if event.what == "open" and event.done:
            return event.incident, f"Its war room is #{event.name}."
        case ActionJudged() if event.verdict.decision == "ask":
            return event.action.incident, f"{event.action.id} waits for a yes: {_words(event.action)}."
        case ActionApproved() if (record := state.actions.get(event.action_id)) is not None:
            return record.action.incident, f"{event.by} said yes to {event.action_id}."
        case ActionDropped() if (record := state.actions.get(event.action_id)) is not None:
            return record.action.incident, f"{event.action_id} will not be done: {event.why}."
    return "", ""


def _woken(state: State, order: PageOrdered) -> Person | None:
    """Whom the page wakes for the first time because nobody of a level before has answered."""
    mine = (p.ordered for p in state.pages_of(order.incident) if p.ordered.person == order.person)
    again = order.level < 2 or any(o.page != order.page and o.run == order.run for o in mine)
    return None if again else state.policy.people.person(order.person)


def _words(action: Action) -> str:
    return f"{to_do(action.verb)}{at_target(action.verb, action.target)}"
