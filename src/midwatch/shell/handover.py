"""How a process takes the watch and gives it up: alone at its start, or as one of several replicas (``duty.py``) whenever
the lease is free. Taking it is an entry in the journal; what an earlier process left is settled then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from midwatch.core.memory import Memory
from midwatch.model.errors import ConfigError, Deposed
from midwatch.model.events import Event, PolicyLoaded, WatchStarted
from midwatch.model.policy import Policy
from midwatch.shell import duty
from midwatch.shell.duty import Letter
from midwatch.shell.folder import load_policy_that_can_be, policy_in_force
from midwatch.shell.health import product_version
from midwatch.shell.journal import Journal
from midwatch.shell.leader import LEASE_SECONDS

if TYPE_CHECKING:
    from midwatch.shell.files import Loaded
    from midwatch.shell.run import Watch

RENEW_SECONDS = 2.0
Decided = tuple[tuple[Event, ...], Memory]


class Handover:
    """``policy`` and ``journal`` are those that were given, if any; ``decide`` is a turn without its consequences, ``stir``
    wakes the loop."""

    def __init__(
        self,
        watch: Watch,
        policy: Policy | None,
        journal: Journal | None,
        decide: Callable[[float], Awaitable[Decided | None]],
        stir: Callable[[], None],
    ) -> None:
        self._watch, self._given_policy, self._given_journal = watch, policy, journal
        self._decide, self._stir = decide, stir

    def open_journal(self) -> Journal:
        """Raises JournalError."""
        settings = self._watch.settings
        if self._given_journal is not None:
            return self._given_journal
        if settings.journal.postgres:
            from midwatch.shell.journal.opened import open_replica

            return open_replica(settings)
        from midwatch.shell.journal.sqlite import SqliteJournal

        return SqliteJournal(settings.journal_file, lease_seconds=self.lease_seconds())

    def lease_seconds(self) -> float:
        """Longer than the longest effect, with room: a lease is renewed once a third of it is gone, and what is left then
        must still cover an effect and its margin. A restart on this machine does not wait for it."""
        margin_seconds = self._watch.effects.limits.lease_margin_seconds
        return max(LEASE_SECONDS, 1.5 * (self._longest_effect() + margin_seconds) + 2.0)

    def _longest_effect(self) -> float:
        return max((spec.timeout_seconds for spec in self._watch.hands.verbs.values()), default=0.0)

    # -- taking it --

    async def lead(self, reason: str) -> None:
        """Take the watch: say so in the journal, and settle what an earlier process left."""
        watch = self._watch
        watch.desk.take_over()
        started = WatchStarted(product_version(), watch.books.journal.epoch, reason)
        if watch.duty.replicated:  # the journal has a policy: pages that are due do not wait for the files
            async with watch.books.turn:
                await watch.books.append([started], watch.now())
            watch.effects.reconcile(watch.state)
            files = await self._read_files()
            async with watch.books.turn:
                await self._load_policy(files)
        else:
            files = await self._read_files()
            async with watch.books.turn:
                await watch.books.append([started], watch.now())
                await self._load_policy(files)
            watch.effects.reconcile(watch.state)
        watch.duty.leading = True
        watch.tracking.reconcile()

    async def take_over(self, found: str) -> None:
        """From another replica, or as the first one. Its actions may not be over yet; its pages may not have been sent."""
        watch = self._watch
        async with watch.books.turn:
            await watch.books.follow()
            await watch.books.look_back()
        watch.books.forget_unrecorded()  # what ended here while another one led: it has asked for itself
        watch.not_before(watch.state.at)
        if found == "expired":
            watch.effects.wait_out(self._longest_effect())
        await self.lead(f"{watch.duty.name} leads: the lease was {found}")
        self._stir()

    async def _read_files(self) -> asyncio.Future[Loaded] | None:
        """What the files say, or what is wrong with them. A thousand promises take seconds, longer than a lease may last: it
        is kept meanwhile. Raises Deposed."""
        if self._given_policy is not None:
            return None
        reading = asyncio.ensure_future(asyncio.to_thread(load_policy_that_can_be, self._watch.settings))
        while not reading.done():
            await asyncio.wait({reading}, timeout=duty.RENEW_SECONDS)
            if not await self._watch.books.renew():
                raise Deposed("another process took the watch while this one read its files")
        return reading

    def policy(self, files: asyncio.Future[Loaded] | None = None) -> tuple[Policy, tuple[str, ...]]:
        """What the files say now, and which. Raises ConfigError."""
        watch = self._watch
        return policy_in_force(
            watch.settings,
            self._given_policy,
            watch.hands.verbs,
            tuple(watch.channels),
            watch.vitals.trouble,
            watch.state.policy.people,
            files.result() if files is not None else None,
        )

    async def _load_policy(self, files: asyncio.Future[Loaded] | None) -> None:
        watch = self._watch
        try:
            policy, sources = self.policy(files)
        except ConfigError as error:
            if not watch.duty.replicated:
                raise
            watch.vitals.trouble(
                "policy", f"the files say what cannot be honoured, so the journal's policy holds: {error}"
            )
            return
        watch.vitals.trouble("policy", "")
        loaded = [PolicyLoaded(policy, sources)] if policy != watch.state.policy else []
        await watch.books.append([*loaded, *watch.audit.settings(watch.settings)], watch.now())

    # -- standing by --

    async def rehearse(self) -> None:
        """A turn as a standby: what it learned of the world stays, what it decided does not."""
        watch = self._watch
        decided = await self._decide(watch.now())
        if decided is not None:
            kept = decided[1]
            watch.memory = Memory(
                ledgers=kept.ledgers, counted=kept.counted, slices=kept.slices, started_at=kept.started_at
            )

    async def deliver(self, letter: Letter) -> None:
        """What another replica took in."""
        if letter.change is not None:
            await self._watch.change(letter.change)
        else:
            await self._watch.take_alerts(letter.source, letter.alerts, letter.notes)

    # -- keeping it, and giving it up --

    async def renew(self) -> None:
        """Keep the lease, again and again; without it a process stands by, or stops where it is alone. Until cancelled."""
        watch = self._watch
        every = duty.RENEW_SECONDS if watch.duty.replicated else RENEW_SECONDS
        while True:
            await asyncio.sleep(every)
            if watch.duty.leading and not await watch.books.renew():
                if not watch.duty.replicated:
                    watch.request_stop()
                    return
                self.step_down()

    def step_down(self) -> None:
        """Another process has taken the watch."""
        watch = self._watch
        watch.duty.step_down()
        watch.desk.waiting.clear()
        watch.books.take_late()
        self._stir()
