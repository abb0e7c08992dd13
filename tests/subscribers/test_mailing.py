"""Sending when something is in the way: mail servers that refuse, wait, hang up or are gone, newer news, and kill -9."""

from __future__ import annotations

import asyncio
import copy
import email
import email.policy
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from tests.channels.test_email import Mailbox, server
from tests.subscribers.parts import OVER, began, settings, tell, until, watch

from midwatch.adapters.channels.post import Post
from midwatch.core.oncall.status_page import StatusPage
from midwatch.model.errors import JournalError
from midwatch.model.events import MailingEnded
from midwatch.shell.crash import CRASH_VARIABLE
from midwatch.shell.journal.sqlite import open_readonly
from midwatch.shell.run import Watch
from midwatch.shell.subscribers.book import REFUSALS, Book
from midwatch.shell.subscribers.mailing import MAX_TRIES, TROUBLE

CHILD = Path(__file__).with_name("child.py")


class Refuses(Mailbox):
    """Takes nothing from anybody."""

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        return "550 you may not send here"


class HangsUp(Mailbox):
    """Takes the mail and hangs up before it says so."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        await super().handle_DATA(server, session, envelope)
        server.transport.abort()
        return "250 OK"


def run(
    box: Mailbox,
    folder: Path,
    names: tuple[str, ...],
    story: Callable[[Watch, Book], Any],
    **changes: Any,
) -> None:
    """``story`` with a watch whose page has subscribers of these names, and whose mailing the story turns by hand."""

    async def go(port: int) -> None:
        one = watch(settings(folder, port, **changes))
        await one.start()
        try:
            assert one.status.run is not None and one.status.book is not None
            for name in names:
                one.status.book.add(f"{name}@example.org", (), one.now())
            await story(one, one.status.book)
        finally:
            await one.stop()

    with server(box) as port:
        asyncio.run(go(port))


def to(box: Mailbox) -> list[str]:
    return sorted(str(mail["To"]).partition("@")[0] for mail in box.mails)


async def ended(one: Watch) -> MailingEnded:
    await until(lambda: bool(one.state.mailings) and all(m.ended for m in one.state.mailings.values()))
    [mailing] = one.state.mailings.values()
    assert mailing.ended is not None
    return mailing.ended


def test_who_is_refused_for_good_is_counted_and_erased_in_the_end(tmp_path: Path) -> None:
    box = Mailbox()

    async def story(one: Watch, book: Book) -> None:
        for number in range(1, REFUSALS + 1):
            await tell(one, *began(f"INC-{number}", one.now() - 60))
            one.status.run._look_at = 0.0  # type: ignore[union-attr]
            await until(lambda n=number: len([m for m in one.state.mailings.values() if m.ended]) == n)  # type: ignore[misc]
        found = one.state.mailings["INC-1"].ended
        assert found is not None and (found.sent, found.failed) == (1, 1)
        assert [s.address for s in book.all()] == ["ann@example.org"]
        assert one.status.report()["mails addresses gone"] == 1
        await until(lambda: "1 mails were taken, 1 were not" in one.vitals.troubles.get(TROUBLE, ""))

    run(box, tmp_path, ("ann", "gone"), story)
    assert to(box) == ["ann"] * REFUSALS


def test_a_server_that_says_later_is_asked_again_a_few_times(tmp_path: Path) -> None:
    box = Mailbox(data="451 come back later")

    async def story(one: Watch, book: Book) -> None:
        await tell(one, *began(at=one.now() - 60))
        for tries in range(1, MAX_TRIES):
            await until(lambda n=tries: _tries(book) == n and book.tally("INC-1/1") == {"waiting": 1})  # type: ignore[misc]
            assert book.due("INC-1/1", one.now()) is None, "not before its pause is over"
            _no_pause(book)
        found = await ended(one)
        assert (found.sent, found.failed) == (0, 1)

    run(box, tmp_path, ("ann",), story)


def _tries(book: Book) -> int:
    due = book.due("INC-1/1", 1e12)
    return due.tries if due is not None else 0


def _no_pause(book: Book) -> None:
    with book._transaction() as connection:
        connection.exec_driver_sql("UPDATE subscriber_mails SET not_before = 0")


def test_a_server_that_is_gone_costs_no_mail_and_is_said(tmp_path: Path) -> None:
    box = Mailbox()

    async def story(one: Watch, book: Book) -> None:
        there = one.status.run._post  # type: ignore[union-attr]
        one.status.run._post = Post("localhost", 1, security="none", timeout_seconds=1)  # type: ignore[union-attr]
        await tell(one, *began(at=one.now() - 60))
        await until(lambda: "waits" in one.vitals.troubles.get(TROUBLE, ""))
        assert book.tally("INC-1/1") == {"waiting": 2}
        assert _tries(book) == 0, "an outage uses no try up"
        one.status.run._post = there  # type: ignore[union-attr]
        one.status.run._server_at = 0.0  # type: ignore[union-attr]
        found = await ended(one)
        assert (found.sent, found.failed, found.in_doubt) == (2, 0, 0)
        await until(lambda: TROUBLE not in one.vitals.troubles)

    run(box, tmp_path, ("ann", "ben"), story)
    assert to(box) == ["ann", "ben"]


def test_a_server_that_hangs_up_leaves_the_mail_in_doubt_and_it_is_not_sent_again(tmp_path: Path) -> None:
    box = HangsUp()

    async def story(one: Watch, book: Book) -> None:
        await tell(one, *began(at=one.now() - 60))
        found = await ended(one)
        assert (found.sent, found.in_doubt) == (0, 2)
        await until(lambda: "of 2 nobody knows" in one.vitals.troubles.get(TROUBLE, ""))

    run(box, tmp_path, ("ann", "ben"), story)
    assert to(box) == ["ann", "ben"], "the server did take them: twice would have been wrong"


def test_a_book_that_fails_in_the_middle_leaves_one_mail_in_doubt_and_goes_on(tmp_path: Path) -> None:
    box = Mailbox()

    async def story(one: Watch, book: Book) -> None:
        settle, times = book.ended, iter([True])

        def full_disk(*given: Any, **more: Any) -> None:
            if next(times, False):
                raise JournalError("the subscribers cannot be written")
            settle(*given, **more)

        book.ended = full_disk  # type: ignore[method-assign]
        await tell(one, *began(at=one.now() - 60))
        found = await ended(one)
        assert (found.sent, found.in_doubt) == (1, 1)

    run(box, tmp_path, ("ann", "ben"), story)
    assert to(box) == ["ann", "ben"]


def test_newer_news_goes_before_what_still_waits(tmp_path: Path) -> None:
    box = Mailbox()

    async def story(one: Watch, book: Book) -> None:
        mailing = one.status.run
        assert mailing is not None
        mailing._server_at = 1e12  # nothing leaves
        await tell(one, *began(at=one.now() - 60))
        await until(lambda: book.tally("INC-1/1") == {"waiting": 2})
        await tell(one, *OVER)
        mailing._look_at = 0.0
        await until(lambda: one.state.mailings["INC-1"].phase == "resolved")
        mailing._server_at = 0.0
        assert (await ended(one)).sent == 2
        told = [r.event for r in one.journal.read() if isinstance(r.event, MailingEnded)]
        assert [(e.mailing, e.sent, e.dropped) for e in told] == [("INC-1/1", 0, 2), ("INC-1/2", 2, 0)]

    run(box, tmp_path, ("ann", "ben"), story)
    assert {str(mail["Subject"]) for mail in box.mails} == {"Example: Over: Errors of Shop"} and len(box.mails) == 2


def test_a_book_that_is_slow_holds_up_nobody_who_waits_for_the_turn(tmp_path: Path) -> None:
    box = Mailbox()

    async def story(one: Watch, book: Book) -> None:
        mailing, drop, asked, free = one.status.run, book.drop, threading.Event(), threading.Event()
        assert mailing is not None

        def slow(*given: Any) -> None:
            asked.set()
            free.wait(30)
            drop(*given)

        mailing._server_at = 1e12  # nothing leaves
        await tell(one, *began(at=one.now() - 60))
        await until(lambda: book.tally("INC-1/1") == {"waiting": 1})
        book.drop = slow  # type: ignore[method-assign]
        await tell(one, *OVER)
        mailing._look_at = 0.0
        await until(asked.is_set)
        try:
            async with asyncio.timeout(15), one.books.turn:
                pass
        finally:
            free.set()
        mailing._server_at = 0.0
        assert (await ended(one)).sent == 1

    run(box, tmp_path, ("ann",), story)


def test_the_page_is_made_beside_the_loop_and_only_when_the_journal_says_more(tmp_path: Path) -> None:
    makers: list[threading.Thread] = []

    async def story(one: Watch, book: Book) -> None:
        mailing = copy.copy(one.status.run)  # the watch's own goes on looking
        assert mailing is not None

        def page() -> StatusPage:
            makers.append(threading.current_thread())
            return one.status.page()

        mailing._page, mailing._looked_seq = page, -1
        for _ in range(3):
            await mailing._order()
        assert len(makers) == 1
        await tell(one, *began(at=one.now() - 60, severity=3))
        await mailing._order()
        assert len(makers) == 2 and threading.main_thread() not in makers

    run(Mailbox(), tmp_path, (), story)


def test_only_what_concerns_them_reaches_who_wants_one_component(tmp_path: Path) -> None:
    box = Mailbox()

    async def story(one: Watch, book: Book) -> None:
        book.add("shop@example.org", ("Shop",), one.now())
        book.add("post@example.org", ("Mail",), one.now())
        await tell(one, *began(at=one.now() - 60))
        assert (await ended(one)).sent == 2

    run(box, tmp_path, ("all",), story)
    assert to(box) == ["all", "shop"]
    assert "subscribed to Example about Shop." in next(m for m in box.mails if "shop" in m["To"]).get_content()


def test_what_is_too_small_for_the_page_is_not_mailed(tmp_path: Path) -> None:
    box = Mailbox()

    async def story(one: Watch, book: Book) -> None:
        await tell(one, *began(at=one.now() - 60, severity=3))
        await one.status.run._order()  # type: ignore[union-attr]
        assert one.state.mailings == {}

    run(box, tmp_path, ("ann",), story)


def test_without_a_door_the_mail_says_whom_to_write_to(tmp_path: Path) -> None:
    box = Mailbox()

    async def story(one: Watch, book: Book) -> None:
        await tell(one, *began(at=one.now() - 60))
        await ended(one)

    run(box, tmp_path, ("ann",), story, port=None, subscribers={"url": None})
    [mail] = box.mails
    assert mail["List-Unsubscribe"] == "<mailto:status@example.org?subject=unsubscribe>"
    assert "List-Unsubscribe-Post" not in mail


def test_kill_9_in_the_middle_sends_nothing_twice_and_says_what_is_in_doubt(tmp_path: Path) -> None:
    """Killed once before a mail left, and once when it had left and nothing was written down yet."""
    box = Mailbox()
    names = ("ann", "ben", "cleo", "dora")
    with server(box) as port:
        for point in ("before_effect:2", "after_effect:1"):
            assert _child(tmp_path, port, names, **{CRASH_VARIABLE: point}) == -signal.SIGKILL
        assert _child(tmp_path, port, names) == 0
    assert len(box.mails) == 3 and max(Counter(to(box)).values()) == 1
    events = [r.event for r in open_readonly(tmp_path / "watch" / "journal.sqlite").read()]
    [found] = [e for e in events if isinstance(e, MailingEnded)]
    assert (found.sent, found.in_doubt, found.failed) == (2, 2, 0)


def _child(folder: Path, port: int, names: tuple[str, ...], **environment: str) -> int:
    command = [sys.executable, str(CHILD), str(folder), str(port), *names]
    return subprocess.run(command, env={**os.environ, **environment}, timeout=240, check=False).returncode


@pytest.mark.parametrize(
    ("box", "end"),
    [
        (Mailbox(), "sent"),
        (Mailbox(rcpt="550 nobody here"), "refused"),
        (Mailbox(rcpt="450 greylisted"), "later"),
        (Mailbox(data="554 looks like spam"), "later"),
        (Refuses(), "unreachable"),
        (HangsUp(), "in_doubt"),
    ],
    ids=["taken", "no mailbox", "greylisted", "spam", "sender", "hangs up"],
)
def test_how_a_mail_ended_is_told_apart(box: Mailbox, end: str) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.org", "secret.name@example.org", "x"
    mail.set_content("x\n")
    with server(box) as port:
        handed = asyncio.run(Post("localhost", port, security="none", timeout_seconds=5).hand(mail))
    assert handed.end == end and bool(handed.why) is (end != "sent")
    assert "secret.name" not in handed.why


def test_a_server_that_lets_nobody_in_costs_no_mail() -> None:
    mail = EmailMessage()
    mail["From"], mail["To"] = "a@example.org", "b@example.org"
    with server(Mailbox()) as port:
        post = Post(
            "localhost", port, security="none", user=lambda: "pager", password=lambda: "s3cr3t", timeout_seconds=5
        )
        handed = asyncio.run(post.hand(mail))
    assert handed.end == "unreachable" and "s3cr3t" not in handed.why
    assert asyncio.run(Post("localhost", 1, security="none").hand(mail)).end == "unreachable"


def test_the_mail_on_the_wire_keeps_the_link_on_one_line(tmp_path: Path) -> None:
    raw: list[bytes] = []

    class Raw(Mailbox):
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            raw.append(envelope.content)
            return "250 OK"

    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.org", "b@example.org", "Störung " * 20
    mail["List-Unsubscribe"] = f"<https://status.example.org/leave/{'x' * 150}>"
    mail.set_content("Grüße\n.\nend\n")
    with server(Raw()) as port:
        handed = asyncio.run(Post("localhost", port, security="none").hand(mail))
    assert handed.end == "sent"
    assert f"\r\nList-Unsubscribe: <https://status.example.org/leave/{'x' * 150}>\r\n".encode() in raw[0]
    back = email.message_from_bytes(raw[0], policy=email.policy.default)
    assert back["Subject"] == str(mail["Subject"]) and "Grüße\n.\nend" in back.get_content().replace("\r\n", "\n")  # type: ignore[attr-defined]
