"""The page for customers as a running watch keeps it: made, written, served, mailed. ``run.py`` has one of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from midwatch.core.oncall.status_page import StatusPage
from midwatch.model.errors import ConfigError, JournalError, NotFound, UsageError
from midwatch.model.events import SubscribersTouched
from midwatch.shell.books import Books
from midwatch.shell.channel_settings import EmailSettings
from midwatch.shell.channels import build_post
from midwatch.shell.config import Settings
from midwatch.shell.health import Health
from midwatch.shell.status_files import Publishing, made
from midwatch.shell.subscribers.asking import Asking, valid
from midwatch.shell.subscribers.book import Book, Subscriber
from midwatch.shell.subscribers.mailing import TROUBLE, MailingRun
from midwatch.shell.subscribers.mails import Letterhead
from midwatch.shell.subscribers.opened import open_book

log = logging.getLogger("midwatch.status_page")

LEASE_MARGIN_SECONDS: Final = 1.0


class StatusOffice:
    """``page`` makes the page as it is now; ``leading`` says whether this process writes the journal. ``asking`` is None
    where nobody can subscribe."""

    def __init__(
        self,
        settings: Settings,
        *,
        page: Callable[[], StatusPage],
        books: Books,
        vitals: Health,
        now: Callable[[], float],
        leading: Callable[[], bool],
        crash_point: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.settings = settings.status_page
        self.page, self.now = page, now
        self._whole, self.books, self._vitals = settings, books, vitals
        self._leading, self._crash_point = leading, crash_point
        self._publishing = Publishing(self.settings, self.files, vitals, leading)
        self.book: Book | None = None
        self.asking: Asking | None = None
        self.run: MailingRun | None = None

    def files(self) -> dict[str, bytes]:
        """Name -> content."""
        return made(self.settings, self.page())

    def unkept(self) -> str:
        """Which components show no data because nobody keeps their promise (yet); "" when all is well."""
        lost = self.settings.unkept({slo.name for slo in self.books.state.slos}).values()
        names, promises = (", ".join(dict.fromkeys(told)) for told in ([c.name for c in lost], [c.slo for c in lost]))
        return f"customers see no data of {names}: nobody keeps a promise called {promises} (yet)" if lost else ""

    async def open(self) -> None:
        """A book that cannot be read is said, and keeps nobody from standing watch. Raises ConfigError."""
        wanted = self.settings.subscribers
        if wanted is None:
            return
        try:
            book = await asyncio.to_thread(open_book, self._whole, wanted.max_subscribers)
            key = await asyncio.to_thread(book.key)
        except JournalError as error:
            log.error("nobody can subscribe to the status page: %s", error)
            self._vitals.trouble(TROUBLE, f"nobody can subscribe to the status page until the next start: {error}")
            return
        self.book = book
        channel = self._whole.channels[wanted.through]
        if not isinstance(channel, EmailSettings):
            raise ConfigError("is no channel of type email", key="status_page.subscribers.through")
        names = [one.name for one in self.settings.components]
        head = Letterhead(
            self.settings.title, channel.sender, self.settings.url or self.settings.door, self.settings.door, key
        )
        self.asking = Asking(book, key, names, self.now)
        self.run = MailingRun(
            book=book,
            post=build_post(wanted.through, channel),
            head=head,
            books=self.books,
            vitals=self._vitals,
            page=self.page,
            published=self._published,
            severity=self.settings.severity,
            per_minute=wanted.per_minute,
            now=self.now,
            may=lambda: self._leading() and self.books.held(LEASE_MARGIN_SECONDS),
            crash_point=self._crash_point,
        )

    async def _published(self) -> None:
        if self.settings.out is not None:
            await self._publishing.once(self.settings.out)

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """What goes on beside the loop."""
        return [self._publishing.run(), *([self.run.run()] if self.run is not None else [])]

    async def close(self) -> None:
        """Idempotent."""
        if self.book is not None:
            await asyncio.to_thread(self.book.close)

    # -- what people in charge do --

    async def add(self, address: str, components: Sequence[str], confirmed: bool, by: str) -> dict[str, Any]:
        """Put somebody on the list: at once where ``confirmed``, else once they have said yes to a mail. Raises UsageError,
        JournalError."""
        book, asking = self._open()
        self._lead()
        if not valid(address):
            raise UsageError("that is no mail address", hint="one like ann@example.org")
        if unknown := [one for one in components if one not in asking.components]:
            raise UsageError(
                f"the page has no component {unknown[0]!r}", hint="it has: " + ", ".join(asking.components)
            )
        known = await asyncio.to_thread(book.find_address, address)
        if not confirmed:
            if not self.settings.door:
                raise UsageError(
                    "nobody can say yes: no link leads here",
                    hint="set status_page.port and subscribers.url, or add --confirmed when they have agreed already",
                )
            why = await asyncio.to_thread(book.ask, address, components, self.now())
            if why == "soon":
                raise UsageError("that address was asked lately, or several times today", hint="wait for the answer")
        else:
            why = "" if await asyncio.to_thread(book.add, address, components, self.now()) else "full"
        if why:
            raise UsageError("there is no room", hint="status_page.subscribers.max_subscribers is the bound")
        found = await asyncio.to_thread(book.find_address, address)
        if found is None:
            raise UsageError("somebody removed it meanwhile", hint="add it again")
        try:
            await self._journal(SubscribersTouched("added", by, found.ident))
        except JournalError:
            if known is None:  # nobody is on the list of whom the journal does not know
                await asyncio.to_thread(book.erase, found.ident)
            raise
        return _row(found)

    async def remove(self, who: str, by: str) -> str:
        """Erase a subscriber, by id or address; the id. Raises NotFound, JournalError."""
        book, _ = self._open()
        self._lead()
        found = await asyncio.to_thread(book.find, who) or await asyncio.to_thread(book.find_address, who)
        if found is None:
            raise NotFound("nobody of that address or id is subscribed", hint="midwatch status-page subscribers list")
        await self._journal(SubscribersTouched("removed", by, found.ident))
        await asyncio.to_thread(book.erase, found.ident)
        return found.ident

    async def all(self, by: str) -> list[dict[str, Any]]:
        """Everybody, with addresses: that somebody looked is journaled first. Raises UsageError, JournalError."""
        book, _ = self._open()
        found = await asyncio.to_thread(book.all)
        await self._journal(SubscribersTouched("listed", by, "", len(found)))
        return [_row(one) for one in found]

    def _open(self) -> tuple[Book, Asking]:
        if self.book is None or self.asking is None:
            raise UsageError("nobody can subscribe here", hint="set status_page.subscribers: docs/status-page.md")
        return self.book, self.asking

    def _lead(self) -> None:
        if not self._leading():
            raise JournalError("this replica does not lead", hint="say it to the one that is on watch")

    async def _journal(self, event: SubscribersTouched) -> None:
        self._lead()
        async with self.books.turn:
            await self.books.append([event], self.now())

    # -- how it does --

    def report(self) -> dict[str, int]:
        """Counts for the health page, no addresses; empty where nobody can subscribe."""
        if self.run is None or self.asking is None:
            return {}
        return {
            **self.run.people,
            **{f"mails {name.replace('_', ' ')}": count for name, count in self.run.counters.items()},
            **{f"form: {name}": count for name, count in sorted(self.asking.answers.items())},
        }

    def counters(self) -> dict[str, float]:
        """For /metrics."""
        if self.run is None or self.asking is None:
            return {}
        told = {f"status_mails_{name}": float(count) for name, count in self.run.counters.items()}
        asks = {f"status_form_{n.replace(' ', '_')}": float(count) for n, count in sorted(self.asking.answers.items())}
        return {**told, **asks}


def _row(one: Subscriber) -> dict[str, Any]:
    return {
        "id": one.ident,
        "address": one.address,
        "components": list(one.components),
        "confirmed_at": one.confirmed_at,
        "asked_at": one.asked_at,
        "refused": one.refused,
    }
