"""How events change what is known of escalations, overrides and swaps: that part of the fold. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from msgspec.structs import replace

from midwatch.model.events import EscalationAdvanced, EscalationStarted, PageOrdered
from midwatch.model.people import Escalation, Override, Swap, Told

MAX_OVERRIDES: Final = 500
MAX_SWAPS: Final = 200
KEPT_SECONDS: Final = 400 * 86400.0
"""What is over for longer is forgotten here (the journal has it): fairness looks back over a year."""


def overridden(known: tuple[Override, ...], override: Override, at: float) -> tuple[Override, ...]:
    kept = tuple(one for one in known if one.end_at > at - KEPT_SECONDS)
    return (*kept, override)[-MAX_OVERRIDES:]


def override_ended(known: tuple[Override, ...], ident: str, at: float) -> tuple[Override, ...]:
    """It ends now; one that has not begun is forgotten."""
    ended = (replace(o, end_at=min(o.end_at, at)) if o.ident == ident else o for o in known)
    return tuple(one for one in ended if one.start_at < one.end_at)


def asked(known: tuple[Swap, ...], swap: Swap, at: float) -> tuple[Swap, ...]:
    return (*known, replace(swap, asked_at=at))[-MAX_SWAPS:]


def answered(
    known: tuple[Swap, ...], ident: str, answer: Literal["accepted", "refused", "withdrawn"], by: str
) -> tuple[Swap, ...]:
    return tuple(replace(s, answer=answer, answered_by=by) if s.ident == ident else s for s in known)


def started(known: Mapping[str, Escalation], event: EscalationStarted, at: float) -> dict[str, Escalation]:
    before = known.get(event.incident)
    topics = before.topics if before else ()
    told = {event.by: Told(at, -1)} if event.by else {}  # who asks for help is awake
    ahead = -event.holder_seconds
    run = Escalation(
        event.policy, event.team, at, event.number, event.turn, ahead, topics, told, event.by, event.holder
    )
    return {**known, event.incident: run}


def advanced(known: Mapping[str, Escalation], event: EscalationAdvanced, at: float) -> dict[str, Escalation]:
    run = known.get(event.incident)
    if run is None:
        return dict(known)
    told = {**run.told, event.by: Told(at, -1)} if event.by and event.by not in run.told else run.told
    ahead = max(run.ahead_seconds, event.ahead_seconds)
    by = event.by or run.asked_by
    return {**known, event.incident: replace(run, ahead_seconds=ahead, told=told, asked_by=by)}


def paged(known: dict[str, Escalation], order: PageOrdered, at: float) -> dict[str, Escalation]:
    """A page over the next channel is the same page once more: it has the ``repeat`` of the first."""
    run = known.get(order.incident)
    if run is None or not order.run or order.run != run.number:
        return known
    topics = (*run.topics, *(t for t in order.topics if t not in run.topics))
    told = run.told.get(order.person)
    if told is None or order.repeat > told.repeat:
        told = Told(at, order.repeat)
    return {**known, order.incident: replace(run, topics=topics, told={**run.told, order.person: told})}


def carried(known: Mapping[str, Escalation], source: str, into: str) -> Mapping[str, Escalation]:
    """The escalation of an incident counts for the one that it became part of, or that was taken out of it: who was woken
    for something is not woken for it again."""
    run, mine = known.get(source), known.get(into)
    if run is None:
        return known
    topics = (*mine.topics, *(t for t in run.topics if t not in mine.topics)) if mine else ()
    return {**known, into: replace(mine, topics=topics) if mine else run}
