"""The ports: what the shell asks of the world outside. Adapters implement them; ``adapters/testing.py`` checks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from midwatch.model.actions import Action, Outcome, VerbSpec
from midwatch.model.events import PageOrdered
from midwatch.model.items import Filed, Issue
from midwatch.model.slo import Slo
from midwatch.model.standing import Standing
from midwatch.model.war_room import RoomAt
from midwatch.model.world import SliCounts


class Actuator(Protocol):
    """Hands. ``verbs`` declares everything that it can do; anything else is refused before it gets here."""

    @property
    def verbs(self) -> Mapping[str, VerbSpec]: ...

    async def apply(self, action: Action) -> Outcome:
        """Carry ``action`` out once, under its idempotency key, within its timeout. Raises ActuatorError when it is
        known to have failed and InDoubt when nobody knows."""
        ...

    async def observe(self, action: Action) -> Outcome:
        """Ask what is true now, without changing anything: did ``action`` take effect? ``done``, ``failed`` (it did
        not) or ``in_doubt`` (cannot tell)."""
        ...


class Channel(Protocol):
    """A way to reach people."""

    @property
    def name(self) -> str: ...

    async def send(self, page: PageOrdered) -> None:
        """Hand the page over under ``page.key``; raises ChannelError."""
        ...


@runtime_checkable
class Follower(Channel, Protocol):
    """A channel that keeps one place for each incident (a message with its thread, an alert at another product) and wants
    to hear between pages how it goes on."""

    async def page(self, page: PageOrdered, standing: Standing, place: str) -> str:
        """As ``send``, at the ``place`` that the first page of the incident made ("" for that one). Returns the place,
        which is journaled; raises ChannelError."""
        ...

    async def follow(self, standing: Standing, place: str) -> None:
        """Show at ``place`` how the incident stands now. Said twice, it shows the same; raises ChannelError."""
        ...


class Rooms(Protocol):
    """War rooms in a chat: a place of its own for each incident. Every method may be called again after a crash and comes to
    the same; each raises ChannelError, RoomGone where there is no such room any more."""

    async def open(self, name: str, mark: str, since_at: float, private: bool) -> RoomAt:
        """Make the room ``name`` (or the next free name of its kind), or find the one that was made under ``mark`` since
        ``since_at`` (unix seconds)."""
        ...

    async def invite(self, place: str, person: str, to: str) -> None:
        """``to`` is where the people files say that the chat finds the person; "" where they do not."""
        ...

    async def summarise(self, place: str, standing: Standing, key: str, look: bool) -> str:
        """Say how the incident stands, and where that was said. ``look``: it may have been said under ``key`` before."""
        ...

    async def pin(self, place: str, summary: str) -> None: ...

    async def show(self, place: str, summary: str, standing: Standing, topic: str) -> None:
        """The summary and the topic as they are to be now."""
        ...

    async def say(self, place: str, text: str) -> None: ...

    async def archive(self, place: str) -> None: ...


@runtime_checkable
class Convener(Channel, Protocol):
    """A channel whose chat has rooms."""

    @property
    def rooms(self) -> Rooms: ...


class Tracker(Protocol):
    """Where a team keeps what is to be done. ``key`` is the item's idempotency key: what was filed or said under it before
    is found, not made again. Every method raises TrackerError."""

    @property
    def name(self) -> str: ...

    async def file(self, issue: Issue) -> Filed:
        """Make the issue, or find the one that ``issue.key`` made."""
        ...

    async def say(self, ref: str, key: str, text: str) -> None:
        """A comment on the issue, once per ``key``."""
        ...

    async def closed(self, ref: str) -> str:
        """How it ended there, in a word; "" while it is open."""
        ...


class Source(Protocol):
    """Where promises are counted that midwatch does not count itself. The arithmetic is pushed down to it: what comes back
    is good and total per step, never samples."""

    @property
    def name(self) -> str: ...

    async def counts(self, slo: Slo, since_at: float, until_at: float, step_seconds: float) -> Sequence[SliCounts]:
        """Good and total of ``slo`` per step in [since_at, until_at), one entry for each group (one, without groups).
        Nothing matched is an entry without steps. Raises SourceError."""
        ...
