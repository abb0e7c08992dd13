"""The public form: what floods it is held off, and nobody learns from it who is subscribed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch.shell.subscribers import links
from midwatch.shell.subscribers.asking import MAX_CLIENTS, PER_CLIENT, PER_WINDOW, WINDOW_SECONDS, Asking, valid
from midwatch.shell.subscribers.book import Book
from midwatch.shell.subscribers.opened import FILE, in_file

NOW = 1_764_000_000.0
KEY = b"k" * 32


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> float:
        return self.at


def asking(folder: Path, most: int = 2000) -> tuple[Asking, Book, Clock]:
    book, clock = in_file(folder / FILE, most), Clock()
    return Asking(book, KEY, ("Shop", "Mail"), clock), book, clock


def test_one_client_may_ask_a_few_times_and_others_are_served(tmp_path: Path) -> None:
    door, _, clock = asking(tmp_path)

    async def go() -> None:
        told = [await door.ask(f"p{n}@example.org", (), "192.0.2.7") for n in range(PER_CLIENT + 3)]
        assert told == ["sent"] * PER_CLIENT + ["slow down"] * 3
        assert await door.ask("ann@example.org", (), "192.0.2.8") == "sent"
        clock.at += WINDOW_SECONDS + 1
        assert await door.ask("ben@example.org", (), "192.0.2.7") == "sent"

    asyncio.run(go())
    assert door.answers["slow down"] == 3


def test_ipv4_is_told_apart_where_one_socket_takes_both_families(tmp_path: Path) -> None:
    door, _, _ = asking(tmp_path)

    async def go() -> None:
        for n in range(PER_CLIENT):
            assert await door.ask(f"p{n}@example.org", (), "::ffff:192.0.2.7") == "sent"
        assert await door.ask("ann@example.org", (), "192.0.2.7") == "slow down"
        assert await door.ask("ann@example.org", (), "::ffff:192.0.2.8") == "sent"

    asyncio.run(go())


def test_a_flood_from_many_addresses_ends_too_and_fills_neither_memory_nor_the_book(tmp_path: Path) -> None:
    door, book, _ = asking(tmp_path)

    async def go() -> None:
        for n in range(PER_WINDOW + 50):
            # The same /64: one customer's line.
            await door.ask("no address", (), f"2001:db8:{n:x}::{n:x}")
            await door.ask(f"p{n}@example.org", (), f"2001:db8:1:1::{n:x}")

    asyncio.run(go())
    assert book.counts()["asked"] <= PER_CLIENT
    assert len(door._clients) <= min(MAX_CLIENTS, PER_WINDOW + 1)


def test_the_answer_is_the_same_for_who_is_known_and_who_is_not(tmp_path: Path) -> None:
    door, book, _ = asking(tmp_path)
    book.add("ann@example.org", (), NOW)

    async def go() -> None:
        assert [await door.ask(a, ("Shop",), "192.0.2.1") for a in ("ann@example.org", "new@example.org")] == [
            "sent"
        ] * 2
        assert await door.ask("new@example.org", (), "192.0.2.1") == "sent", (
            "asked a moment ago: no second mail, same answer"
        )

    asyncio.run(go())
    assert book.tally("welcome") == {"waiting": 1}, "who is subscribed was added a moment ago: no mail so soon"
    assert [one.components for one in book.all()] == [(), ("Shop",)], (
        "unknown components and those of others are not taken"
    )


@pytest.mark.parametrize(
    "address",
    (
        "",
        "ann",
        "@example.org",
        "ann@",
        "a b@example.org",
        "ann@example.org\r\nBcc: x@y.z",
        "ann@exa mple.org",
        "a..b@c.de",
        "ann@example.org,ben@example.org",
        "<ann@example.org>",
        "ann@[127.0.0.1]",
        "änn@example.org",
        "a@" + "b" * 300,
    ),
)
def test_what_is_no_address_is_refused(address: str, tmp_path: Path) -> None:
    door, book, _ = asking(tmp_path)
    assert asyncio.run(door.ask(address, (), "192.0.2.1")) == "no address"
    assert book.counts() == {"confirmed": 0, "asked": 0}


@given(st.text(max_size=300))
def test_an_address_that_is_taken_is_one_line_of_printable_ascii(text: str) -> None:
    if valid(text):
        assert text.isascii() and text.isprintable() and " " not in text and text.count("@") >= 1


def test_a_full_book_is_said_before_anybody_waits_for_a_mail(tmp_path: Path) -> None:
    door, book, _ = asking(tmp_path, most=1)
    book.add("ann@example.org", (), NOW)
    assert asyncio.run(door.ask("ben@example.org", (), "192.0.2.1")) == "full"


def test_links_hold_for_one_purpose_one_subscriber_and_their_time() -> None:
    confirm = links.token(KEY, "confirm", "k3jd-83_hd", NOW + 60)
    assert links.read(KEY, "confirm", confirm, NOW) == "k3jd-83_hd"
    assert links.read(KEY, "leave", confirm, NOW) == "", "a link that says yes cannot say no"
    assert links.read(b"x" * 32, "confirm", confirm, NOW) == ""
    assert links.read(KEY, "confirm", confirm, NOW + 61) == ""
    assert links.read(KEY, "confirm", confirm.replace("k3jd", "k3je"), NOW) == ""
    assert links.read(KEY, "confirm", confirm.replace(f"{NOW + 60:.0f}", f"{NOW + 9e9:.0f}"), NOW + 61) == ""
    leave = links.token(KEY, "leave", "k3jd-83_hd")
    assert links.read(KEY, "leave", leave, NOW + 1e9) == "k3jd-83_hd", "mail is kept for years"


@given(st.text(max_size=250))
def test_any_other_text_is_no_link(text: str) -> None:
    assert links.read(KEY, "leave", text, NOW) == ""
