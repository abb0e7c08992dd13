"""Incidents as the journal tells them, in one pass over it: when each began, was noticed, paged, taken, eased and over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from midwatch.core.oncall.words import PROBABLE
from midwatch.model import events as e
from midwatch.model.events import Recorded

DOES_SOMETHING: Final = frozenset(
    {"approve", "refuse", "undo", "resolve", "confirm_cause", "note", "merge", "split", "move", "item", "decide"}
)
"""What people say that shows that somebody had something to do; an acknowledgement alone does not."""


class Story(Struct, frozen=True):
    """Unix seconds, None for what did not happen (yet). ``acted``: midwatch or a person did something about it.
    ``absorbed``: it became part of another incident, and counts there."""

    incident: str
    severity: int
    onset_at: float
    opened_at: float
    paged_at: float | None = None
    acknowledged_at: float | None = None
    mitigated_at: float | None = None
    resolved_at: float | None = None
    cause: str = ""
    acted: bool = False
    absorbed: bool = False


class Paged(Struct, frozen=True):
    """A page that was meant to reach somebody; ``person`` "" where only a channel is known."""

    at: float
    incident: str
    person: str
    channel: str


class Told(Struct, frozen=True):
    stories: tuple[Story, ...]
    pages: tuple[Paged, ...]


def collect(recorded: Iterable[Recorded]) -> Told:
    """Everything that ``recorded`` tells of incidents that opened in it."""
    stories: dict[str, Story] = {}
    likely: dict[str, str] = {}
    pages: list[Paged] = []
    of_action: dict[str, str] = {}
    for one in recorded:
        event, at = one.event, one.at
        ident = getattr(event, "incident", "")
        match event:
            case e.IncidentOpened():
                stories[ident] = Story(ident, event.severity, min(event.onset_at, at), at)
            case e.ActionJudged():
                of_action[event.action.id] = event.action.incident
            case e.ActionOrdered():
                ident = of_action.get(event.action_id, "")
                _change(stories, ident, acted=True)
            case e.IncidentMerged():
                _change(stories, event.absorbed, absorbed=True)
            case e.CommandGiven() if event.verb in DOES_SOMETHING:
                _change(stories, of_action.get(event.target, event.target), acted=True)
            case e.PageOrdered() if event.topics != ("resolved",):
                pages.append(Paged(at, ident, event.person, event.channel))
            case e.CauseRanked() if event.hypotheses and event.hypotheses[0].probability >= PROBABLE:
                likely[ident] = f"{event.hypotheses[0].entity} {event.hypotheses[0].kind}"
        story = stories.get(ident)
        if story is not None:
            stories[ident] = _next(story, event, at)
    return Told(tuple(_caused(s, likely.get(s.incident, "")) for s in stories.values()), tuple(pages))


def _next(story: Story, event: e.Event, at: float) -> Story:
    match event:
        case e.IncidentRated():
            return replace(story, severity=min(story.severity, event.severity))  # as bad as it got
        case e.PageOrdered() if story.paged_at is None and event.topics != ("resolved",):
            return replace(story, paged_at=at)
        case e.IncidentAcknowledged() if story.acknowledged_at is None:
            return replace(story, acknowledged_at=at)
        case e.IncidentMitigated() if story.mitigated_at is None:
            return replace(story, mitigated_at=at)
        case e.IncidentResolved():
            return replace(story, resolved_at=at)
        case e.CauseConfirmed():
            return replace(story, cause=f"{event.entity} {event.kind}")
    return story


def _change(stories: dict[str, Story], ident: str, **changes: bool) -> None:
    if ident in stories:
        stories[ident] = replace(stories[ident], **changes)


def _caused(story: Story, likely: str) -> Story:
    return story if story.cause or not likely else replace(story, cause=likely)
