"""Whether this process leads. Alone, on a journal of its own, it always does. As one of several replicas it stands by until
the lease is free: it follows the journal, sees the same world and rehearses every turn, so that taking over takes one
append. What was due then is sent; no action begins before the longest effect of a leader that may still live is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from midwatch.model.alerts import Alert
from midwatch.model.errors import Deposed, IngestError, JournalError
from midwatch.model.world import Change
from midwatch.shell.books import Books
from midwatch.shell.health import Health
from midwatch.shell.journal import ReplicaSeen

log = logging.getLogger("midwatch.duty")

POLL_SECONDS: Final = 0.25
RENEW_SECONDS: Final = 0.5
REPORT_SECONDS: Final = 2.0
LOST_SECONDS: Final = 10.0
"""A standby that was not heard of for so long is missed."""
BLIND_SECONDS: Final = 15.0
"""So long after its lease ran out a former leader that hears nothing from the database leaves paging to whoever leads now.
Then it pages too: nobody can tell whether anybody leads, and a page too many is better than none."""
Note = tuple[str, str, str]


class Letter(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a standby took in for the leader to journal."""

    source: str = ""
    alerts: tuple[Alert, ...] = ()
    notes: tuple[Note, ...] = ()
    change: Change | None = None


_decoder = msgspec.msgpack.Decoder(Letter)


class Duty:
    """``lead(found)`` takes over (``found`` as in ``Replicated.try_take``); ``rehearse`` is one turn whose decisions are
    thrown away; ``deliver`` journals a letter. ``name`` is this replica's, ``address`` where its console is."""

    def __init__(
        self,
        books: Books,
        vitals: Health,
        name: str,
        address: Callable[[], str],
        *,
        lead: Callable[[str], Awaitable[None]],
        rehearse: Callable[[], Awaitable[None]],
        deliver: Callable[[Letter], Awaitable[None]],
    ) -> None:
        self.leading = False
        self.name = name
        self.seen: Sequence[ReplicaSeen] = ()
        self._books, self._vitals, self._address = books, vitals, address
        self._lead, self._rehearse, self._deliver = lead, rehearse, deliver

    @property
    def replicated(self) -> bool:
        return self._books.replica is not None

    @property
    def leader(self) -> ReplicaSeen | None:
        """Who leads, as far as it was heard of."""
        others = [one for one in self.seen if one.role == "leader" and one.name != self.name]
        return min(others, key=lambda one: one.age_seconds, default=None)

    def words(self) -> str:
        """What every page of a standby says; "" where somebody leads."""
        if self.leading or not self.replicated:
            return ""
        leader = self.leader
        if leader is None or leader.age_seconds > LOST_SECONDS:
            return f"{self.name} stands by; nobody is known to lead"
        where = f" ({leader.address})" if leader.address else ""
        return f"{self.name} stands by and takes no orders: {leader.name} is on watch{where}"

    def roll(self) -> dict[str, str]:
        """Who is there, in words."""
        return {one.name: f"{one.role}, heard of {one.age_seconds:.0f} s ago, at entry {one.seq}" for one in self.seen}

    def leaves_paging(self) -> bool:
        """While the journal cannot be written: whether another replica may well be paging now."""
        return self.replicated and not self._books.held(0.0) and self._books.held(-BLIND_SECONDS)

    def step_down(self) -> None:
        """Another replica leads now."""
        if self.leading:
            log.warning("%s leads no more: another replica took the watch", self.name)
        self.leading = False
        self._books.forget_unrecorded()
        for part in ("lease", "standby"):
            self._vitals.trouble(part, "")

    async def stand_by(self, stopping: asyncio.Event, rehearse_seconds: float) -> None:
        """Follow the journal until this replica leads, or is to stop."""
        clock = asyncio.get_running_loop().time
        next_rehearsal = clock()
        while not stopping.is_set():
            try:
                if found := await self._books.try_take():
                    await self._lead(found)
                    self.leading = True
                    return
                async with self._books.turn:
                    await self._books.follow()
                self._vitals.trouble("journal", "")
            except Deposed:
                continue  # the lease was lost again before anything was written
            except JournalError as error:
                self._vitals.trouble("journal", str(error))
            if clock() >= next_rehearsal:
                await self._rehearse()
                next_rehearsal = clock() + rehearse_seconds
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), POLL_SECONDS)

    async def report(self) -> None:
        """Say again and again that this replica is there, and notice who is not. Until cancelled."""
        replica = self._books.replica
        assert replica is not None
        while True:
            role = "leader" if self.leading else "standby"
            with contextlib.suppress(JournalError):
                self.seen = await asyncio.to_thread(
                    replica.report, self.name, role, self._books.state.seq, self._address()
                )
                self._miss()
            await asyncio.sleep(REPORT_SECONDS)

    def _miss(self) -> None:
        gone = [one for one in self.seen if one.name != self.name and one.age_seconds > LOST_SECONDS]
        alone = all(one.name == self.name for one in self.seen)
        why = "; ".join(f"{one.name} was last heard of {one.age_seconds:.0f} s ago" for one in gone)
        if self.leading and (gone or alone):
            why = f"a standby is lost: {why}" if why else "no other replica stands by: nobody would take over"
        else:
            why = ""
        if why and "standby" not in self._vitals.troubles:
            log.warning("%s", why)
        self._vitals.trouble("standby", why)

    # -- letters: what a standby takes in --

    async def post(self, letter: Letter) -> None:
        """Returns once it is in the inbox that all replicas share. Raises JournalError."""
        replica = self._books.replica
        assert replica is not None
        await asyncio.to_thread(replica.put_letter, msgspec.msgpack.encode(letter))

    async def collect(self) -> None:
        """While leading, journal what came in elsewhere. A letter goes away once its entry is written: after a crash in
        between it is read twice, and then known. Until cancelled."""
        replica = self._books.replica
        assert replica is not None
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self.leading:
                continue
            with contextlib.suppress(JournalError):
                letters = await asyncio.to_thread(replica.letters)
                done = [ident for ident, letter in letters if await self._delivered(letter)]
                if done:
                    await asyncio.to_thread(replica.drop_letters, done)

    async def _delivered(self, letter: bytes) -> bool:
        try:
            await self._deliver(_decoder.decode(letter))
        except msgspec.MsgspecError as error:
            log.error("a letter in the inbox cannot be read and is dropped: %s", error)
        except (JournalError, IngestError):
            return False  # it stays where it is
        return True

    async def sign_off(self) -> None:
        replica = self._books.replica
        if replica is not None:
            with contextlib.suppress(JournalError):
                await asyncio.to_thread(replica.sign_off, self.name)
