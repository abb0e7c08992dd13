"""The subscribers' book, in its file and in PostgreSQL: who is in it, and that no mail can be claimed twice."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.ha.postgres import Server, fresh_schema

from midwatch.model.errors import JournalError
from midwatch.shell.subscribers.book import ASK_AGAIN_SECONDS, DAY_SECONDS, MAX_ASKS, REFUSALS, Book
from midwatch.shell.subscribers.opened import FILE, in_file, in_postgres
from midwatch.shell.subscribers.tables import WELCOME

NOW = 1_764_000_000.0


@pytest.fixture(params=["file", "postgres"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Book]:
    if request.param == "file":
        made = in_file(tmp_path / FILE, 3)
    else:
        made = in_postgres(request.getfixturevalue("server").dsn, 3, fresh_schema())
    yield made
    made.close()


def test_two_that_open_it_sign_with_one_key(book: Book) -> None:
    assert book.key() == book.key() and len(book.key()) == 32


def test_replicas_that_start_together_sign_with_one_key(server: Server) -> None:
    schema, together = fresh_schema(), threading.Barrier(6)

    def start(_: int) -> bytes:
        together.wait(60)
        book = in_postgres(server.dsn, 3, schema)
        try:
            together.wait(60)
            return book.key()
        finally:
            book.close()

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(start, range(6)))) == 1


def test_who_is_asked_is_no_subscriber_until_they_say_yes(book: Book) -> None:
    assert book.ask("Ann@Example.org", ("Shop",), NOW) == ""
    assert book.counts() == {"confirmed": 0, "asked": 1}
    book.fill("INC-1/1", ("Shop",), NOW + 1)
    assert book.due("INC-1/1", NOW + 1) is None
    due = book.due(WELCOME, NOW)
    assert due is not None and due.subscriber.address == "Ann@Example.org"
    assert book.confirm(due.subscriber.ident, NOW + 2) == book.find(due.subscriber.ident)
    assert book.counts() == {"confirmed": 1, "asked": 0}
    book.fill("INC-1/1", ("Shop",), NOW + 1)
    assert book.due("INC-1/1", NOW + 9) is None, "it was ordered before"
    book.fill("INC-1/2", ("Mail",), NOW + 3)
    assert book.due("INC-1/2", NOW + 9) is None, "it is about something else"
    book.fill("INC-1/3", ("Mail", "Shop"), NOW + 3)
    assert book.due("INC-1/3", NOW + 9) is not None


def test_asking_again_sends_again_but_seldom_and_changes_nothing_for_who_is_subscribed(book: Book) -> None:
    assert book.ask("ann@example.org", (), NOW) == ""
    assert book.ask("ANN@example.org ", (), NOW + 1) == "soon"
    answers = [book.ask("ann@example.org", (), NOW + n * ASK_AGAIN_SECONDS * 1.1) for n in range(1, 6)]
    assert answers == [""] * (MAX_ASKS - 1) + ["soon"] * (6 - MAX_ASKS)
    known = book.find_address("ann@example.org")
    assert known is not None and book.confirm(known.ident, NOW + 7000) is not None
    assert book.ask("ann@example.org", ("Mail",), NOW + 2 * DAY_SECONDS) == ""
    after = book.find(known.ident)
    assert after is not None and after.components == (), "a stranger cannot narrow what ann gets"


def test_who_does_not_say_yes_is_forgotten_in_a_day(book: Book) -> None:
    book.ask("ann@example.org", (), NOW)
    book.forget_unconfirmed(NOW + DAY_SECONDS - 1)
    assert book.counts()["asked"] == 1
    book.forget_unconfirmed(NOW + DAY_SECONDS + 1)
    assert book.counts()["asked"] == 0 and book.due(WELCOME, NOW) is None


def test_it_is_full_at_its_bound(book: Book) -> None:
    for n in range(3):
        assert book.add(f"p{n}@example.org", (), NOW) is not None
    assert book.add("p9@example.org", (), NOW) is None
    assert [book.ask(f"p{n}@example.org", (), NOW) for n in (1, 9)] == ["full"] * 2, "whoever is in it or not"
    assert book.add("P1@example.org", ("Shop",), NOW) is not None, "who is in it may change what they get"
    assert book.erase("p1@EXAMPLE.org") and book.erase("p1@example.org") == ""
    assert book.ask("p9@example.org", (), NOW) == ""
    book.add("p10@example.org", (), NOW)
    asked = book.find_address("p9@example.org")
    assert asked is not None and book.confirm(asked.ident, NOW) is None


def test_a_flood_of_questions_pushes_out_the_oldest_and_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midwatch.shell.subscribers.book.MAX_ASKED", 5)
    book = in_file(tmp_path / FILE, 3)
    for n in range(20):
        assert book.ask(f"p{n}@example.org", (), NOW + n) == ""
    assert [one.address for one in book.all()] == [f"p{n}@example.org" for n in range(15, 20)]
    assert sum(book.tally(WELCOME).values()) == 5
    book.close()


def test_a_mail_is_claimed_once_by_however_many(book: Book) -> None:
    book.add("ann@example.org", (), NOW)
    book.fill("INC-1/1", (), NOW)
    due = book.due("INC-1/1", NOW)
    assert due is not None
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: book.take(due), range(16))) == 1
    book.fill("INC-1/1", (), NOW)
    assert book.due("INC-1/1", NOW) is None and book.tally("INC-1/1") == {"sending": 1}


def test_what_a_dead_process_had_claimed_is_in_doubt_for_ever(book: Book) -> None:
    book.add("ann@example.org", (), NOW)
    book.fill("INC-1/1", (), NOW)
    due = book.due("INC-1/1", NOW)
    assert due is not None and book.take(due)
    assert book.left_behind() == 1 and book.left_behind() == 0
    book.ended(due, "waiting")  # the dead one was only slow, and says so late
    book.fill("INC-1/1", (), NOW)
    assert book.tally("INC-1/1") == {"in_doubt": 1} and book.due("INC-1/1", NOW) is None


def test_what_is_put_back_goes_later_and_what_is_dropped_does_not(book: Book) -> None:
    for name in ("ann", "ben"):
        book.add(f"{name}@example.org", (), NOW)
    book.fill("INC-1/1", (), NOW)
    due = book.due("INC-1/1", NOW)
    assert due is not None and book.take(due)
    book.ended(due, "waiting", "busy", NOW + 60)
    other = book.due("INC-1/1", NOW)
    assert other is not None and other.subscriber != due.subscriber and other.tries == 0
    assert book.take(other)
    assert book.due("INC-1/1", NOW) is None
    again = book.due("INC-1/1", NOW + 61)
    assert again is not None and (again.subscriber, again.tries) == (due.subscriber, 1)
    book.drop("INC-1/1", "newer")
    assert book.tally("INC-1/1") == {"dropped": 1, "sending": 1}
    book.forget(["INC-1/2"])
    assert book.tally("INC-1/1") == {}


def test_an_address_that_is_refused_for_good_again_and_again_is_erased(book: Book) -> None:
    ann = book.add("ann@example.org", (), NOW)
    assert ann is not None
    told = [book.refused(ann.ident, again) for again in (*[True] * (REFUSALS - 1), False, *[True] * REFUSALS)]
    assert told == [*itertools.repeat(False, 2 * REFUSALS - 1), True]
    assert book.find(ann.ident) is None


def test_its_errors_name_no_address(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database at all, but long enough to look like one" * 20)
    with pytest.raises(JournalError) as caught:
        in_file(tmp_path / FILE, 3).add("ann@example.org", (), NOW)
    assert "ann@" not in str(caught.value) and "subscribers" in str(caught.value)
