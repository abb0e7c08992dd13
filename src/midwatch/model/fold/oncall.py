"""Alerts of other systems, pages, escalations and shifts: that part of the fold. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from midwatch.model import (
    alert_steps,
    people_steps,
)
from midwatch.model import events as e
from midwatch.model.alerts import AlertNote
from midwatch.model.fold.registry import freeze_first_rank, incident_with, on
from midwatch.model.people import OnCall
from midwatch.model.state import PageRecord, State

MAX_OLD_PAGES = 500  # of incidents that are over
MAX_PAGES = 10_000  # who was told of an open incident is not forgotten before
PAGES_AT_ONCE = 50  # so many more there may be, so that not each page looks through all


@on(e.PageOrdered)
def _page_ordered(state: State, event: e.PageOrdered, at: float) -> State:
    pages = state.pages
    if len(pages) >= MAX_OLD_PAGES and len(pages) % PAGES_AT_ONCE == 0:
        pages = _pages_kept(pages, {i.id for i in state.open_incidents})
    state = freeze_first_rank(state, event.incident)
    return replace(
        state,
        pages={**pages, event.page: PageRecord(event, at)},
        next_page=state.next_page + 1,
        escalations=people_steps.paged(state.escalations, event, at),
    )


def _pages_kept(pages: dict[str, PageRecord], live: set[str]) -> dict[str, PageRecord]:
    """Without the oldest of incidents that are over; a page under way is never forgotten."""
    done = [(k, p.ordered.incident in live) for k, p in pages.items() if p.status != "ordered"]
    gone = set([k for k, is_live in done if not is_live][: len(pages) - MAX_OLD_PAGES])
    left = max(0, len(pages) - len(gone) - MAX_PAGES)
    gone.update([k for k, is_live in done if is_live][:left])
    return {k: p for k, p in pages.items() if k not in gone}


@on(e.PageEnded)
def _page_ended(state: State, event: e.PageEnded, at: float) -> State:
    old = state.pages.get(event.page)
    if old is None:
        return state
    return replace(
        state,
        pages={
            **state.pages,
            event.page: replace(old, status=event.status, ended_at=at, why=event.why, place=event.place),
        },
    )


@on(e.AlertsReceived)
def _alerts_received(state: State, event: e.AlertsReceived, at: float) -> State:
    return replace(state, alerts=alert_steps.received(state.alerts, event.alerts, event.again, at))


@on(e.AlertsJudged)
def _alerts_judged(state: State, event: e.AlertsJudged, at: float) -> State:
    return replace(state, alerts=alert_steps.judged(state.alerts, event.judged))


@on(e.AlertNoted)
def _alert_noted(state: State, event: e.AlertNoted, at: float) -> State:
    return replace(state, alerts=alert_steps.noted(state.alerts, event.key, AlertNote(at, event.by, event.text)))


@on(e.SilenceSet)
def _silence_set(state: State, event: e.SilenceSet, at: float) -> State:
    silences = {**state.silences, event.silence.id: event.silence}
    return replace(state, silences=silences, next_silence=state.next_silence + 1)


@on(e.SilenceEnded)
def _silence_ended(state: State, event: e.SilenceEnded, at: float) -> State:
    return replace(state, silences={k: v for k, v in state.silences.items() if k != event.silence})


@on(e.AcknowledgementExpired)
def _acknowledgement_expired(state: State, event: e.AcknowledgementExpired, at: float) -> State:
    return incident_with(state, event.incident, acknowledged_by="", acknowledged_at=None, heard_on="")


@on(e.EscalationStarted)
def _escalation_started(state: State, event: e.EscalationStarted, at: float) -> State:
    if event.incident not in state.incidents:
        return state
    turns = {**state.turns, event.policy: event.turn + 1}
    return replace(state, escalations=people_steps.started(state.escalations, event, at), turns=turns)


@on(e.EscalationAdvanced)
def _escalation_advanced(state: State, event: e.EscalationAdvanced, at: float) -> State:
    return replace(state, escalations=people_steps.advanced(state.escalations, event, at))


@on(e.OverrideSet)
def _override_set(state: State, event: e.OverrideSet, at: float) -> State:
    kept = people_steps.overridden(state.overrides, event.override, at)
    return replace(state, overrides=kept, next_override=state.next_override + 1)


@on(e.OverrideEnded)
def _override_ended(state: State, event: e.OverrideEnded, at: float) -> State:
    return replace(state, overrides=people_steps.override_ended(state.overrides, event.override, at))


@on(e.SwapAsked)
def _swap_asked(state: State, event: e.SwapAsked, at: float) -> State:
    return replace(state, swaps=people_steps.asked(state.swaps, event.swap, at), next_swap=state.next_swap + 1)


@on(e.SwapAnswered)
def _swap_answered(state: State, event: e.SwapAnswered, at: float) -> State:
    return replace(state, swaps=people_steps.answered(state.swaps, event.swap, event.answer, event.by))


@on(e.OnCallChanged)
def _on_call_changed(state: State, event: e.OnCallChanged, at: float) -> State:
    return replace(state, on_call={**state.on_call, event.schedule: OnCall(event.person, at)})
