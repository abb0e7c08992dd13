"""Incident command and what follows from it (rooms, tasks, action items, mailings): that part of the fold. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from midwatch.model import events as e
from midwatch.model import (
    item_steps,
    room_steps,
    war_room,
)
from midwatch.model.fold.registry import on
from midwatch.model.mailings import mailing_ended, mailing_ordered
from midwatch.model.room import Decision, Task
from midwatch.model.state import State


@on(e.RoleTaken)
def _role_taken(state: State, event: e.RoleTaken, at: float) -> State:
    if event.incident not in state.incidents:
        return state
    return replace(state, rooms=room_steps.taken(state.rooms, event.incident, event.role, event.person))


@on(e.DecisionMade)
def _decision_made(state: State, event: e.DecisionMade, at: float) -> State:
    if event.incident not in state.incidents:
        return state
    decision = Decision(at, event.by, event.text)
    return replace(state, rooms=room_steps.decided(state.rooms, event.incident, decision))


@on(e.StepTicked)
def _step_ticked(state: State, event: e.StepTicked, at: float) -> State:
    if event.incident not in state.incidents:
        return state
    return replace(state, rooms=room_steps.ticked(state.rooms, event.incident, event.step, event.by))


@on(e.StepUnticked)
def _step_unticked(state: State, event: e.StepUnticked, at: float) -> State:
    if event.incident not in state.incidents:
        return state
    return replace(state, rooms=room_steps.unticked(state.rooms, event.incident, event.step))


@on(e.TaskSet)
def _task_set(state: State, event: e.TaskSet, at: float) -> State:
    if event.incident not in state.incidents:
        return state
    task = Task(event.number, event.what, event.person, event.by, at)
    return replace(state, rooms=room_steps.tasked(state.rooms, event.incident, task))


@on(e.TaskGiven)
def _task_given(state: State, event: e.TaskGiven, at: float) -> State:
    return replace(state, rooms=room_steps.task_changed(state.rooms, event.incident, event.number, person=event.person))


@on(e.TaskDone)
def _task_done(state: State, event: e.TaskDone, at: float) -> State:
    changes = {"done_by": event.by, "done_at": at}
    return replace(state, rooms=room_steps.task_changed(state.rooms, event.incident, event.number, **changes))


@on(e.WarRoomOrdered)
def _war_room_ordered(state: State, event: e.WarRoomOrdered, at: float) -> State:
    if event.incident not in state.incidents:
        return state
    told = (event.incident, event.what, event.channel, event.name, event.person, at)
    return replace(state, war_rooms=war_room.ordered(state.war_rooms, *told))


@on(e.WarRoomEnded)
def _war_room_ended(state: State, event: e.WarRoomEnded, at: float) -> State:
    found = {key: getattr(event, key) for key in ("name", "place", "url", "summary", "person")}
    after = war_room.ended(state.war_rooms, event.incident, event.what, event.done, event.why, at, **found)
    return replace(state, war_rooms=after)


@on(e.ItemOpened)
def _item_opened(state: State, event: e.ItemOpened, at: float) -> State:
    return replace(state, items=item_steps.opened(state.items, event.item, at), next_item=state.next_item + 1)


@on(e.ItemFiled)
def _item_filed(state: State, event: e.ItemFiled, at: float) -> State:
    changes = {"tracker": event.tracker, "ref": event.ref, "url": event.url}
    return replace(state, items=item_steps.changed(state.items, event.item, **changes))


@on(e.ItemSeenAgain)
def _item_seen_again(state: State, event: e.ItemSeenAgain, at: float) -> State:
    return replace(state, items=item_steps.seen_again(state.items, event.item, event.incident))


@on(e.ItemLate)
def _item_late(state: State, event: e.ItemLate, at: float) -> State:
    return replace(state, items=item_steps.changed(state.items, event.item, late_at=at))


@on(e.ItemClosed)
def _item_closed(state: State, event: e.ItemClosed, at: float) -> State:
    changes = {"status": "closed", "closed_at": at, "closed_by": event.by, "why": event.why}
    return replace(state, items=item_steps.changed(state.items, event.item, **changes))


@on(e.MailingOrdered)
def _mailing_ordered(state: State, event: e.MailingOrdered, at: float) -> State:
    return replace(state, mailings=mailing_ordered(state.mailings, event, at))


@on(e.MailingEnded)
def _mailing_ended(state: State, event: e.MailingEnded, at: float) -> State:
    return replace(state, mailings=mailing_ended(state.mailings, event))
