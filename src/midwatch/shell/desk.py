"""What people and webhooks say: journaled at once, obeyed by the next turn. ``hands_off`` holds at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import get_args

from msgspec.structs import replace

from midwatch.model.errors import Deposed, JournalError, UsageError
from midwatch.model.events import MAX_SAID, ChangeSeen, CommandGiven, CommandVerb, Event, Recorded
from midwatch.model.world import Change
from midwatch.shell.books import Books
from midwatch.shell.ingest.changes import known
from midwatch.shell.killswitch import KillSwitch

COMMANDS: frozenset[str] = frozenset(get_args(CommandVerb))
MAX_WAITING = 1000
UNOBEYED_SECONDS = 600.0  # a command that a crash swallowed is still obeyed so long afterwards


class Desk:
    """``waiting`` is what the next turn will see. ``tokens`` gives people's own (person -> secret), ``now`` is the watch's
    clock."""

    def __init__(
        self, books: Books, switch: KillSwitch, now: Callable[[], float], tokens: Callable[[], Mapping[str, str]]
    ) -> None:
        self.waiting: list[Recorded] = []
        self._books, self._switch, self._now, self._tokens = books, switch, now, tokens

    def take_over(self) -> None:
        """What an earlier process journaled and did not live to obey."""
        self.waiting = [r for r in self._books.unobeyed if self._now() - r.at < UNOBEYED_SECONDS]

    async def command(self, given: CommandGiven) -> Recorded:
        """With a ``credential``, ``by`` is that, whatever was said. Raises UsageError, JournalError."""
        if not given.credential and given.by in self._tokens():
            raise UsageError(f"{given.by} has a token of their own", hint="send that token, or say another name")
        given = replace(given, by=given.credential or given.by)
        if given.verb not in COMMANDS:
            raise UsageError(f"there is no command {given.verb!r}", hint="one of: " + ", ".join(sorted(COMMANDS)))
        if any(len(text) > MAX_SAID for text in (given.by, given.target, given.value, given.note)):
            raise UsageError(f"that is too long: {MAX_SAID:,} characters at most")
        if given.verb == "hands_off":
            self._switch.throw(given.by, given.via)  # before anything is waited for
        async with self._books.turn:
            if len(self.waiting) >= MAX_WAITING:
                raise UsageError("too many commands are waiting", hint="try again in a few seconds")
            (recorded,) = await self._books.append([given], self._now())
            self.waiting.append(recorded)
            if given.verb == "hands_off":
                self._switch.hold(given.by)  # a hands_on that was waiting before it may have released it
            elif given.verb == "hands_on":  # only now: nothing releases the switch that is not written down
                self._switch.release()
        return recorded

    async def change(self, change: Change) -> Recorded | None:
        """None when it is one of the changes that state remembers (``MAX_CHANGES``, over restarts too): a sender's retry is
        no second change. Raises JournalError."""
        async with self._books.turn:
            if known(change, self._books.state.changes):
                return None
            (recorded,) = await self._books.append([ChangeSeen(change)], self._now())
            if len(self.waiting) < MAX_WAITING:
                self.waiting.append(recorded)
        return recorded

    async def look_at_switch(self, now: float) -> None:
        """The file is the switch that works even when nothing else does; its word is journaled like any other. The caller
        holds the books' ``turn``. Raises Deposed only."""
        state, thrown = self._books.state, self._switch.thrown
        pending = any(isinstance(r.event, CommandGiven) and r.event.verb == "hands_off" for r in self.waiting)
        if thrown and not state.hands_off and not pending:
            await self._say(CommandGiven("hands_off", self._switch.by or "file", via="file"), now)
        elif not thrown and state.hands_off and state.hands_off_by == "file":
            await self._say(CommandGiven("hands_on", "file", via="file"), now)

    async def _say(self, event: Event, now: float) -> None:
        try:
            self.waiting += await self._books.append([event], now)
        except Deposed:
            raise
        except JournalError:
            return
