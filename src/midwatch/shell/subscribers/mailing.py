"""Sends the mails: orders a mailing in the journal once the page says something new, then hands its mails over singly.

    the page says something new -> MailingOrdered -> a row for each subscriber -> claimed -> handed over -> MailingEnded

Each arrow is durable before the next begins, and a claim is never made twice. So after a crash a mailing goes on where it
was, and the mail that was on its way then is in doubt and stays so: at most once, for everybody.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from email.message import EmailMessage
from typing import Final

from midwatch.adapters.channels.post import Handed, Post
from midwatch.core.oncall.mailings import owed
from midwatch.core.oncall.status_page import StatusPage
from midwatch.model.errors import JournalError
from midwatch.model.events import Event, MailingEnded, MailingOrdered
from midwatch.model.mailings import Mailing
from midwatch.shell.books import Books
from midwatch.shell.health import Health
from midwatch.shell.subscribers import mails
from midwatch.shell.subscribers.book import Book, Due
from midwatch.shell.subscribers.tables import WELCOME

log = logging.getLogger("midwatch.status_page")

LOOK_SECONDS: Final = 2.0
MAX_TRIES: Final = 5
FIRST_WAIT_SECONDS: Final = 60.0  # doubled per try
SERVER_WAIT_SECONDS: Final = 30.0
OLD_SECONDS: Final = 6 * 3600.0  # what could not be sent by then is no news any more
FINISH_SECONDS: Final = 5.0  # for the mail that is on its way when the watch is stopped
TROUBLE: Final = "status page mail"


class MailingRun:
    """``page`` makes the page as it is now, ``published`` writes it where it is to be written; both before anybody is told
    of it. ``may`` says whether this process leads and holds its lease."""

    def __init__(
        self,
        *,
        book: Book,
        post: Post,
        head: mails.Letterhead,
        books: Books,
        vitals: Health,
        page: Callable[[], StatusPage],
        published: Callable[[], Awaitable[None]],
        severity: int,
        per_minute: float,
        now: Callable[[], float],
        may: Callable[[], bool],
        crash_point: Callable[[str], None] = lambda _: None,
        pause_seconds: float = 1.0,
    ) -> None:
        self._book, self._post, self._head = book, post, head
        self._books, self._vitals = books, vitals
        self._page, self._published, self._severity = page, published, severity
        self._every, self._pause, self._now, self._may = 60.0 / per_minute, pause_seconds, now, may
        self._crash_point = crash_point
        self._settled = False  # what an earlier process left behind is known
        self._welcomed = False  # the last mail was one that was asked for
        self._look_at = 0.0
        self._looked_seq = -1  # of the journal, as of when nothing was owed
        self._server_at = 0.0
        self._why = ""  # the server's trouble
        self._undelivered = ""
        self.people: dict[str, int] = {}  # how many, as of the last look
        self.counters: Counter[str] = Counter(
            dict.fromkeys(("sent", "failed", "in_doubt", "dropped", "asked_sent", "addresses_gone"), 0)
        )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            sent = False
            try:
                if self._may():
                    sent = await self.once()
                else:
                    self._settled = False
                self._say("")
            except JournalError as error:
                self._settled = False  # what was claimed and not settled is in doubt
                self._say(str(error))
            except Exception:  # whatever breaks here, pages go on
                self._settled = False
                log.exception("mail to subscribers broke; it goes on")
                self._say("mail to the status page's subscribers breaks: see the log")
            await asyncio.sleep(self._every if sent else self._pause)

    async def once(self) -> bool:
        """Order what is owed, and send the next mail; whether one was handed over. Raises JournalError."""
        now = self._now()
        if not self._settled:
            self.counters["in_doubt"] += await asyncio.to_thread(self._book.left_behind)
            await asyncio.to_thread(self._book.forget, [one.ident for one in self._under_way()])
            await self._fill()
            self._settled, self._looked_seq = True, -1
        if now >= self._look_at or now < self._look_at - LOOK_SECONDS:
            self._look_at = now + LOOK_SECONDS
            await asyncio.to_thread(self._book.forget_unconfirmed, now)
            self.people = await asyncio.to_thread(self._book.counts)
            await self._order()
        for mailing in self._under_way():
            await self._end_if_done(mailing, now)
        if now < self._server_at:
            return False
        due = await self._next(now)
        return due is not None and await self._send(due)

    def _under_way(self) -> list[Mailing]:
        known = (one for one in self._books.state.mailings.values() if one.ended is None)
        return sorted(known, key=lambda one: one.ordered_at)

    async def _order(self) -> None:
        seq = self._books.state.seq
        if seq == self._looked_seq:  # only what the journal tells makes news
            return
        page = await asyncio.to_thread(self._page)
        before = self._books.state.mailings
        orders = owed(page, self._books.state, self._severity)
        if not orders:
            self._looked_seq = seq
            return
        await self._published()
        ends: dict[str, MailingEnded] = {}
        for order in orders:  # all that the book may be slow with is over before anybody waits for the turn
            last = before.get(order.incident)
            if last is not None and last.ended is None:
                await asyncio.to_thread(self._book.drop, last.ident, "something newer was to be said")
                ends[order.incident] = _end(last, await asyncio.to_thread(self._book.tally, last.ident))
        events: list[Event] = []
        async with self._books.turn:
            for order in orders:
                if self._books.state.mailings.get(order.incident) != before.get(order.incident):
                    continue  # the next look sees what is owed now
                if order.incident in ends:
                    events.append(ends[order.incident])
                events.append(order)
            await self._books.append(events, self._now())
        for event in events:
            if isinstance(event, MailingEnded):
                self._count(event)
            elif isinstance(event, MailingOrdered):
                log.info("mailing %s to the status page's subscribers: %s", event.mailing, event.phase)
        await self._fill()

    async def _fill(self) -> None:
        for mailing in self._under_way():
            await asyncio.to_thread(self._book.fill, mailing.ident, mailing.components, mailing.ordered_at)

    async def _end_if_done(self, mailing: Mailing, now: float) -> None:
        if now - mailing.ordered_at > OLD_SECONDS:
            await asyncio.to_thread(self._book.drop, mailing.ident, "too old", "failed")
        tally = await asyncio.to_thread(self._book.tally, mailing.ident)
        if tally.get("waiting") or tally.get("sending"):
            return
        async with self._books.turn:
            known = self._books.state.mailings.get(mailing.ident.rpartition("/")[0])
            if known is None or known.ident != mailing.ident or known.ended is not None:
                return
            ended = _end(mailing, tally)
            await self._books.append([ended], self._now())
        self._count(ended)
        await asyncio.to_thread(self._book.forget, [one.ident for one in self._under_way()])

    def _count(self, ended: MailingEnded) -> None:
        self.counters["dropped"] += ended.dropped
        lost = ended.failed + ended.in_doubt
        self._undelivered = (
            f"of the mailing {ended.mailing} to the status page's subscribers {ended.sent} mails were taken, {ended.failed}"
            f" were not, and of {ended.in_doubt} nobody knows"
            if lost
            else ""
        )

    async def _next(self, now: float) -> Due | None:
        """Mails that were asked for and mails of mailings take turns: neither keeps the other waiting."""
        mailings = [one.ident for one in self._under_way()]
        for ident in (*mailings, WELCOME) if self._welcomed else (WELCOME, *mailings):
            due = await asyncio.to_thread(self._book.due, ident, now)
            if due is not None:
                return due
        return None

    async def _send(self, due: Due) -> bool:
        mail = self._mail(due)
        if mail is None or not self._may() or not await asyncio.to_thread(self._book.take, due):
            return False
        self._welcomed = due.mailing == WELCOME
        handing = asyncio.ensure_future(self._hand(due, mail))
        try:
            await asyncio.shield(handing)
        except asyncio.CancelledError:  # whoever stops in order leaves nothing in doubt
            await asyncio.wait({handing}, timeout=FINISH_SECONDS)
            handing.cancel()
            raise
        return True

    async def _hand(self, due: Due, mail: EmailMessage) -> None:
        self._crash_point("before_effect")
        handed = await self._post.hand(mail)
        self._crash_point("after_effect")
        await asyncio.to_thread(self._settle, due, handed)

    def _mail(self, due: Due) -> EmailMessage | None:
        now = self._now()
        if due.mailing == WELCOME:
            return mails.welcome(self._head, due.subscriber, now)
        mailing = next((one for one in self._under_way() if one.ident == due.mailing), None)
        return mails.news(self._head, due.subscriber, mailing, now) if mailing is not None else None

    def _settle(self, due: Due, handed: Handed) -> None:
        """On a thread: what became of the mail, in the book."""
        now, ident, news = self._now(), due.subscriber.ident, due.mailing != WELCOME
        self._why = handed.why if handed.end == "unreachable" else ""
        if handed.end == "unreachable":  # nobody's fault here: it waits until the server is there
            self._server_at = now + SERVER_WAIT_SECONDS
            self._book.ended(due, "waiting", handed.why, tried=False)
            return
        if handed.end == "later" and due.tries + 1 < MAX_TRIES:
            self._book.ended(due, "waiting", handed.why, now + FIRST_WAIT_SECONDS * 2**due.tries)
            return
        status = {"sent": "sent", "in_doubt": "in_doubt"}.get(handed.end, "failed")
        self._book.ended(due, status, handed.why)
        self.counters["asked_sent" if status == "sent" and not news else status] += 1
        if news and self._book.refused(ident, handed.end == "refused"):
            self.counters["addresses_gone"] += 1
            log.warning("a subscriber's address was refused for good several times, and erased: %s", ident)

    def _say(self, trouble: str) -> None:
        server = f"mail to the status page's subscribers waits: {self._why}" if self._why else ""
        said = trouble or server or self._undelivered
        if self._vitals.trouble(TROUBLE, said) and said:
            log.warning("%s", said)


def _end(mailing: Mailing, tally: Mapping[str, int]) -> MailingEnded:
    in_doubt = tally.get("in_doubt", 0) + tally.get("sending", 0)
    return MailingEnded(mailing.ident, tally.get("sent", 0), tally.get("failed", 0), in_doubt, tally.get("dropped", 0))
