"""The subscribers' book in a copy of the journal: whole, checked, and without whom it no longer has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.ha.postgres import fresh_schema
from tests.shell.conftest import make_settings
from typer.testing import CliRunner

from midwatch.faces.cli.app import app
from midwatch.model import events as e
from midwatch.model.policy import Policy
from midwatch.shell.journal.sqlite import SqliteJournal
from midwatch.shell.run import Watch
from midwatch.shell.subscribers import copied
from midwatch.shell.subscribers.book import Book
from midwatch.shell.subscribers.opened import FILE, in_file, in_postgres

NOW = 1_764_000_000.0
SETTINGS = """
channels:
  post: {type: email, host: mail, sender: status@example.org, to: [ops@example.org]}
status_page:
  subscribers: {through: post}
"""


@pytest.fixture(params=["file", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Book]:
    if request.param == "file":
        made = in_file(tmp_path / "again.sqlite", 9)
    else:
        made = in_postgres(request.getfixturevalue("server").dsn, 9, fresh_schema())
    yield made
    made.close()


def filled(path: Path) -> Book:
    book = in_file(path, 9)
    for name in ("ann", "bob"):
        book.add(f"{name}@example.org", ("Shop",), NOW)
    book.fill("INC-1/1", ("Shop",), NOW + 1)
    due = book.due("INC-1/1", NOW + 1)
    assert due is not None and book.take(due)
    book.ended(due, "sent")
    return book


def test_a_copy_fills_another_book_and_nothing_that_waited_is_sent(empty: Book, tmp_path: Path) -> None:
    with closing(filled(tmp_path / FILE)) as book:
        assert empty.put(book.rows())
        assert set(empty.all()) == set(book.all()) and empty.key() == book.key()
        assert book.tally("INC-1/1") == {"sent": 1, "waiting": 1}
        assert empty.tally("INC-1/1") == {"sent": 1, "in_doubt": 1} and empty.due("INC-1/1", NOW + 9) is None
        assert not empty.put(book.rows()), "nothing is written over"


def test_what_is_erased_is_gone_from_the_copy_and_an_unchanged_book_is_not_written(tmp_path: Path) -> None:
    with closing(filled(tmp_path / FILE)) as book:
        assert copied.take(book, tmp_path) == 2 == copied.verify(tmp_path)
        file = tmp_path / copied.NAME
        assert file.stat().st_mode & 0o077 == 0 and b"ann@" in file.read_bytes()
        before = file.stat().st_ino
        copied.take(book, tmp_path)
        assert file.stat().st_ino == before
        book.erase("ann@example.org")
        assert copied.take(book, tmp_path) == 1 and b"ann@" not in file.read_bytes()


def test_a_watch_copies_the_book_with_its_journal(tmp_path: Path) -> None:
    async def go() -> None:
        settings = make_settings(
            tmp_path,
            channels={"post": {"type": "email", "host": "mail", "sender": "s@example.org", "to": ["ops@example.org"]}},
            status_page={"subscribers": {"through": "post"}},
            journal={"backup": tmp_path / "copy", "backup_seconds": 60.0},
        )
        watch = Watch(settings, policy=Policy())
        await watch.start()
        assert watch.copying is not None and watch.status.book is not None
        watch.status.book.add("ann@example.org", (), NOW)
        await watch.copying.copy()
        assert watch.health()["degraded"] == [] and copied.verify(tmp_path / "copy") == 1
        await watch.stop()

    asyncio.run(go())


def test_a_damaged_copy_is_said_and_nothing_is_restored(tmp_path: Path) -> None:
    folder, copy = tmp_path / "watch", tmp_path / "copy"
    folder.mkdir()
    (folder / "settings.yaml").write_text(SETTINGS)
    journal = SqliteJournal(folder / "journal.sqlite", ballast_bytes=0)
    journal.append([e.GapOpened("late", "x")], NOW)
    journal.close()
    filled(folder / FILE).close()

    def run(*words: object) -> tuple[int, dict[str, object]]:
        told = CliRunner().invoke(app, ["journal", *map(str, words), "--json"])
        return told.exit_code, json.loads(told.stdout) if told.exit_code == 0 else {"said": told.output}

    assert run("backup", copy, "--folder", folder)[1]["subscribers"] == 2
    assert run("verify", "--backup", copy)[1]["subscribers"] == 2
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "settings.yaml").write_text(SETTINGS)
    whole = (copy / copied.NAME).read_bytes()
    (copy / copied.NAME).write_bytes(whole[:-1] + b"?")
    assert run("verify", "--backup", copy)[0] == 4 == run("restore", copy, "--folder", tmp_path / "new")[0]
    assert not (tmp_path / "new" / "journal.sqlite").exists()
    (copy / copied.NAME).write_bytes(whole)
    assert run("restore", copy, "--folder", tmp_path / "new")[1]["subscribers"] == 2
    with closing(in_file(tmp_path / "new" / FILE, 9)) as book:
        assert sorted(one.address for one in book.all()) == ["ann@example.org", "bob@example.org"]
