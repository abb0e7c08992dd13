"""War rooms in a chat: what the loop ordered is carried out here, and what became of it is journaled.

The order is in the journal first, and the lease is looked at right before each request. After a crash each room is looked at
once: one that was made is found by its name, a summary by its key, and an invitation or an archiving that got through is as
it should be. What cannot be done ends with its reason, and people go on in the incident's own page. What is said in a room
between pages is owed to nobody: it is tried a few times, and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from midwatch.adapters.channels.redact import redact
from midwatch.core.oncall.standing import standing
from midwatch.core.oncall.war_room import told_in_room, topic
from midwatch.model.errors import Busy, ChannelError, ConfigError, RoomGone
from midwatch.model.events import Event, WarRoomEnded, WarRoomOrdered
from midwatch.model.ports import Channel, Convener, Rooms
from midwatch.model.state import State
from midwatch.model.war_room import WarRoom
from midwatch.shell.config import resolve

log = logging.getLogger("midwatch.effects")
T = TypeVar("T")

ATTEMPTS: Final = 5
TIMEOUT_SECONDS: Final = 30.0
BACKOFF_SECONDS: Final = 2.0  # doubled per attempt
MAX_RETRY_AFTER_SECONDS: Final = 120.0
MAX_QUEUED_SECONDS: Final = 900.0  # in the chat's own queue, before that counts as a failure
MAX_HAPPENED: Final = 20
AT_ONCE: Final = 4


class WarRooms:
    """``start`` runs a task that the owner waits for and cancels; ``record`` journals an outcome; ``leads`` says right
    before each request whether this process holds the lease."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        state: Callable[[], State],
        record: Callable[[WarRoomEnded], Awaitable[None]],
        start: Callable[[Coroutine[Any, Any, None]], None],
        trouble: Callable[[str, str], object],
        leads: Callable[[], Awaitable[bool]],
    ) -> None:
        self._chats: dict[str, Rooms] = {n: c.rooms for n, c in channels.items() if isinstance(c, Convener)}
        self._state, self._record, self._start, self._trouble, self._leads = state, record, start, trouble, leads
        self._waiting: dict[
            str, tuple[str, ...]
        ] = {}  # incident -> what is new; at most one entry for each room in state
        self._busy: set[str] = set()
        self._doubt: set[str] = set()
        self._unsaid: set[str] = set()  # rooms that take no summary: asked once
        self._slots = asyncio.Semaphore(AT_ONCE)
        self.counters = {"rooms": 0, "rooms_failed": 0, "room_words_failed": 0}

    def hear(self, events: Sequence[Event]) -> None:
        """What was just journaled. Returns at once."""
        if not self._state().war_rooms:
            return
        for event in events:
            if isinstance(event, WarRoomOrdered):
                self._put(event.incident, ())
        for ident, happened in told_in_room(self._state(), events).items():
            self._put(ident, happened)

    def reconcile(self) -> None:
        """Settle what an earlier process left, and show each room as it is to be."""
        for ident, room in self._state().war_rooms.items():
            incident = self._state().incidents.get(ident)
            running = incident is not None and incident.phase != "resolved"
            if room.status in ("ordered", "closing") or (room.status == "open" and running):
                self._doubt.add(ident)
                self._put(ident, ())

    def _put(self, ident: str, happened: tuple[str, ...]) -> None:
        room = self._state().war_rooms.get(ident)
        if room is None or room.status in ("failed", "closed"):
            return
        self._waiting[ident] = (self._waiting.get(ident, ()) + happened)[-MAX_HAPPENED:]
        if ident not in self._busy:
            self._busy.add(ident)
            self._start(self._work(ident))

    async def _work(self, ident: str) -> None:
        try:
            while (happened := self._waiting.pop(ident, None)) is not None:
                await self._settle(ident, happened)
        finally:
            self._busy.discard(ident)

    async def _settle(self, ident: str, happened: tuple[str, ...]) -> None:
        """From how the room is to how it is to be, step by step; each step that mattered is journaled."""
        room = self._state().war_rooms.get(ident)
        if room is None:
            return  # forgotten with its incident
        chat = self._chats.get(room.channel)
        if chat is None:
            why = f"the settings have no channel {room.channel!r} whose chat has rooms"
            self._trouble("war rooms", f"no war room can be opened: {why}")
            if room.status == "ordered":
                await self._record(WarRoomEnded(ident, "open", False, why, name=room.name))
            return
        try:
            if room.status == "ordered":
                await self._open(chat, ident, room)
            if (room := self._state().war_rooms[ident]).usable:
                await self._fill(chat, ident, room, happened)
        except RoomGone as gone:
            await self._record(WarRoomEnded(ident, "archive", True, str(gone)))

    async def _open(self, chat: Rooms, ident: str, room: WarRoom) -> None:
        over = self._state().incidents[ident].phase == "resolved"
        if over and ident not in self._doubt:  # else it may be there: it is found, and archived in its time
            await self._record(WarRoomEnded(ident, "open", False, f"{ident} was over before", name=room.name))
            return
        private = self._state().policy.war_room.private
        made, why = await self._tried(partial(chat.open, room.name, mark(ident, room), room.ordered_at, private))
        if made is None:
            self.counters["rooms_failed"] += 1
            self._trouble("war rooms", f"no war room can be opened: {why}")
            await self._record(WarRoomEnded(ident, "open", False, why, name=room.name))
            return
        self.counters["rooms"] += 1
        self._trouble("war rooms", "")
        await self._record(WarRoomEnded(ident, "open", True, "", "", made.name, made.place, made.url))

    async def _fill(self, chat: Rooms, ident: str, room: WarRoom, happened: tuple[str, ...]) -> None:
        summary = room.summary
        if not summary and ident not in self._unsaid:
            summary = await self._summary(chat, ident, room)
        for person, how in room.invited.items():
            if not how:
                to = await asyncio.to_thread(self._address, room.channel, person)  # a command may be asked for it
                done, why = await self._tried(partial(_did, chat.invite, room.place, person, to))
                await self._record(WarRoomEnded(ident, "invite", done is True, why, person))
        state = self._state()
        incident = state.incidents[ident]
        shown, heading = standing(state, incident), topic(state, incident)
        done, why = await self._tried(partial(_did, chat.show, room.place, summary, shown, heading))
        if done and happened:
            done, why = await self._tried(partial(_did, chat.say, room.place, "\n".join(happened)))
        if not done:
            self.counters["room_words_failed"] += 1
            log.warning("the war room of %s does not show how it stands: %s", ident, why)
        if room.status == "closing":
            done, why = await self._tried(partial(_did, chat.archive, room.place))
            await self._record(WarRoomEnded(ident, "archive", done is True, why))

    async def _summary(self, chat: Rooms, ident: str, room: WarRoom) -> str:
        """Said and pinned; what is said stays when it cannot be pinned."""
        state = self._state()
        shown, look = standing(state, state.incidents[ident]), ident in self._doubt

        async def post() -> str:
            nonlocal look
            looked, look = look, True  # one whose answer was lost may be there
            return await chat.summarise(room.place, shown, mark(ident, room), looked)

        summary, why = await self._tried(post)
        self._doubt.discard(ident)
        if summary:
            pinned, why = await self._tried(partial(_did, chat.pin, room.place, summary))
            self._trouble("war room pins", "" if pinned else f"nothing can be pinned in a war room: {why}")
        else:
            self._unsaid.add(ident)
        await self._record(WarRoomEnded(ident, "summary", not why, why, summary=summary or ""))
        return summary or ""

    def _address(self, channel: str, person: str) -> str:
        """Where the people files say that the chat finds the person; "" for nowhere. Raises nothing."""
        known = self._state().policy.people.person(person)
        to = next((c.to for c in known.contacts if c.channel == channel and c.to), "") if known else ""
        try:
            return resolve(to) if to else ""
        except ConfigError:
            return ""

    async def _tried(self, what: Callable[[], Awaitable[T]]) -> tuple[T | None, str]:
        """What came of it, or None and why not: nothing is tried without the lease. Who waits for the next try holds up
        no other room. Raises RoomGone."""
        why, attempt, queued = "", 1, 0.0
        while True:
            wait = BACKOFF_SECONDS * 2 ** (attempt - 1)
            try:
                async with self._slots:
                    if not await self._leads():
                        raise ChannelError("the lease of this watch is not held", retry_after_seconds=wait)
                    return await asyncio.wait_for(what(), TIMEOUT_SECONDS), ""
            except TimeoutError:
                why = f"no answer within {TIMEOUT_SECONDS:g} s"
            except RoomGone:
                raise
            except Busy as error:
                why, wait = str(error), error.retry_after_seconds or 1.0
                queued += wait
                attempt -= queued < MAX_QUEUED_SECONDS  # nothing was tried
            except ChannelError as error:
                why = redact(str(error))
                if error.retry_after_seconds is None:
                    return None, why
                wait = max(error.retry_after_seconds, 0.0)
            except Exception as error:
                log.exception("a war room broke")
                return None, f"the chat's adapter broke: {type(error).__name__}"
            if attempt >= ATTEMPTS:
                return None, why
            attempt += 1
            await asyncio.sleep(min(wait, MAX_RETRY_AFTER_SECONDS))


def mark(ident: str, room: WarRoom) -> str:
    """Names the room for good: two watches may both have an INC-1."""
    return f"midwatch {ident}, {room.ordered_at:.3f}"


async def _did(what: Callable[..., Awaitable[None]], *given: Any) -> bool:
    await what(*given)
    return True
