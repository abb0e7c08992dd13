"""What both journals promise, and what only the one on disk can."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from tests.ha.postgres import leading
from tests.journal.samples import ONE_OF_EACH, same

from midwatch.model import events as e
from midwatch.model.errors import Deposed, JournalError
from midwatch.model.events import Recorded
from midwatch.model.fold import fold_all
from midwatch.model.state import State
from midwatch.shell import journal as package
from midwatch.shell.journal import Head, Journal
from midwatch.shell.journal.memory import MemoryJournal
from midwatch.shell.journal.sql import SqlWriter
from midwatch.shell.journal.sqlite import SqliteJournal, open_readonly


def open_journal(path: Path) -> SqliteJournal:
    return SqliteJournal(path, ballast_bytes=0)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    made: Journal
    if request.param == "memory":
        made = MemoryJournal()
    elif request.param == "sqlite":
        made = open_journal(tmp_path / "journal.db")
    else:
        made = leading(request.getfixturevalue("server").dsn)
    yield made
    made.close()


def test_empty(journal: Journal) -> None:
    assert journal.head().seq == 0
    assert list(journal.read()) == []
    assert journal.load_state() == State()
    assert journal.verify().ok
    assert journal.held()


def test_append_and_read(journal: Journal) -> None:
    recorded = journal.append(ONE_OF_EACH, 1000.0)
    assert [one.seq for one in recorded] == list(range(1, len(ONE_OF_EACH) + 1))
    back = list(journal.read())
    assert all(same(a, b) for a, b in zip(back, recorded, strict=True))
    assert [one.seq for one in journal.read(5)] == list(range(6, len(ONE_OF_EACH) + 1))
    assert same(journal.load_state(), fold_all(recorded))
    checked = journal.verify((journal.head(),))
    assert (checked.ok, checked.entries, checked.head_hash) == (True, len(ONE_OF_EACH), journal.head().hash)


def test_time_never_goes_back(journal: Journal) -> None:
    journal.append([e.GapOpened("a", "x")], 1000.0)
    (late,) = journal.append([e.GapClosed("a")], 900.0)
    assert late.at == 1000.0
    assert journal.head().at == 1000.0


def test_nothing_to_append(journal: Journal) -> None:
    assert journal.append([], 1.0) == []


@pytest.mark.parametrize("journal", ["sqlite", "postgres"], indirect=True)
def test_erase(journal: SqlWriter) -> None:
    journal.append(ONE_OF_EACH, 1000.0)
    head = journal.head()
    page = next(one.seq for one in journal.read() if isinstance(one.event, e.PageOrdered))
    journal.snapshot(journal.load_state())
    assert journal.erase([page, 1, 10_000], "ann", "she asked", 2000.0) == (page,), "the others have no text"
    assert journal.erase([page], "ann", "again", 2001.0) == ()
    (last,) = journal.read(head.seq)
    assert last == Recorded(head.seq + 1, 2000.0, e.TextErased((page,), "ann", "she asked"))
    checked = journal.verify((head, journal.written))
    assert (checked.ok, checked.erased) == (True, 1)
    assert journal.load_state().pages["page-1"].ordered.text == "[erased]", "no snapshot brings it back"
    assert journal.erase([last.seq], "ann", "nor is the reason kept", 2002.0) == (last.seq,)


def test_a_head_remembered_elsewhere_must_still_be_there(journal: Journal) -> None:
    journal.append([e.GapOpened("a", "x")], 1.0)
    assert not journal.verify((Head(1, "00" * 32, 1.0),)).ok
    assert not journal.verify((Head(2, "00" * 32, 1.0),)).ok


_EVENTS = st.lists(st.sampled_from(ONE_OF_EACH), max_size=12)


@given(batches=st.lists(_EVENTS, max_size=6), snap=st.integers(0, 5))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_state_is_the_fold(
    batches: list[list[Any]], snap: int, tmp_path_factory: pytest.TempPathFactory
) -> None:  # fmt: skip
    with_disk = open_journal(tmp_path_factory.mktemp("j") / "j.db")
    journals: list[Journal] = [with_disk, MemoryJournal()]
    for journal in journals:
        folded: list[Recorded] = []
        for number, batch in enumerate(batches):
            folded += journal.append(batch, 1000.0 + number)
            if number == snap:
                journal.snapshot(journal.load_state())
        assert same(journal.load_state(), fold_all(folded))
        assert same(fold_all(journal.read()), fold_all(folded))
        assert journal.verify().ok
    with_disk.close()


# -- on disk --


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_altered_byte_is_found(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("j") / "j.db"
    journal = open_journal(path)
    journal.append(ONE_OF_EACH, 1000.0)
    journal.close()
    column = data.draw(
        st.sampled_from(["facts", "hash", "texts_digest", "at", "kind", "epoch", "version", "texts", "salt"])
    )
    seq = data.draw(st.integers(1, len(ONE_OF_EACH)))
    with sqlite3.connect(path) as raw:
        for (trigger,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {trigger}")
        table = "texts" if column in ("texts", "salt") else "chain"
        found = raw.execute(f"SELECT {column} FROM {table} WHERE seq = ?", (seq,)).fetchone()
        if found is None:
            return
        old = found[0]
        if isinstance(old, bytes):
            if not old:
                new: Any = b"\0" * 32
            else:
                index = data.draw(st.integers(0, len(old) - 1))
                new = old[:index] + bytes([old[index] ^ data.draw(st.integers(1, 255))]) + old[index + 1 :]
        elif isinstance(old, str):
            new = old + "x"
        else:
            new = old + 1
        raw.execute(f"UPDATE {table} SET {column} = ? WHERE seq = ?", (new, seq))
    raw.close()
    checked = open_readonly(path).verify()
    assert (checked.ok, checked.broken_at) == (False, seq), (column, checked)


@pytest.mark.parametrize("seq", [1, 7, len(ONE_OF_EACH)])
def test_a_missing_entry_is_found(tmp_path: Path, seq: int) -> None:
    journal = open_journal(tmp_path / "j.db")
    journal.append(ONE_OF_EACH, 1000.0)
    head = journal.head()
    journal.close()
    with sqlite3.connect(tmp_path / "j.db") as raw:
        raw.execute("DROP TRIGGER chain_no_delete")
        raw.execute("DELETE FROM chain WHERE seq = ?", (seq,))
    raw.close()
    checked = open_readonly(tmp_path / "j.db").verify((head,))
    assert (checked.ok, checked.broken_at) == (False, seq)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE chain SET at = 1",
        "DELETE FROM chain",
        "DELETE FROM texts",
        "UPDATE texts SET texts = x'00'",
    ],
)
def test_the_chain_is_append_only(tmp_path: Path, statement: str) -> None:
    journal = open_journal(tmp_path / "j.db")
    journal.append(ONE_OF_EACH, 1000.0)
    with sqlite3.connect(tmp_path / "j.db") as raw, pytest.raises(sqlite3.IntegrityError, match=r"append-only|erased"):
        raw.execute(statement)
    raw.close()
    journal.close()


def test_erased_bytes_are_off_the_disk(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "j.db")
    secret = "call Maria at home"
    journal.append([e.CommandGiven("note", "ann", note=secret), e.GapOpened("a", "x")], 1.0)
    journal.erase([1], "ann", "asked", 2.0)
    for file in tmp_path.iterdir():
        assert secret.encode() not in file.read_bytes(), file
    journal.close()


def test_bytes_that_a_reader_keeps_in_the_log_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midwatch.shell.journal.sqlite.WIPE_SECONDS", 0.05)
    journal = open_journal(tmp_path / "j.db")
    secret = "call Maria at home"
    journal.append([e.CommandGiven("note", "ann", note=secret)], 1.0)
    with sqlite3.connect(tmp_path / "j.db", isolation_level=None) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM chain").fetchone() == (1,)
        with pytest.raises(JournalError, match="somebody reads the journal"):
            journal.erase([1], "ann", "asked", 2.0)
    reader.close()
    assert journal.verify().erased == 1
    journal.close()
    open_journal(tmp_path / "j.db").close()
    assert not any(secret.encode() in file.read_bytes() for file in tmp_path.iterdir())


def test_snapshots_bound_the_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package.sql, "SNAPSHOT_EVERY", 10)  # type: ignore[attr-defined]
    journal = open_journal(tmp_path / "j.db")
    journal.append(ONE_OF_EACH, 1.0)
    assert journal.snapshot_due
    journal.snapshot(journal.load_state())
    assert not journal.snapshot_due
    journal.append([e.GapOpened("late", "x")], 2.0)
    after: list[int] = []
    read = journal.read
    monkeypatch.setattr(journal, "read", lambda after_seq=0: after.append(after_seq) or read(after_seq))
    assert "late" in journal.load_state().gaps
    assert after == [len(ONE_OF_EACH)]
    with pytest.raises(JournalError, match="does not reach"):
        journal.snapshot(State(seq=10_000))
    journal.close()


@pytest.mark.parametrize("damage", ["state = x'00'", "fingerprint = 'other code'", "chain_hash = x'00'"])
def test_a_doubtful_snapshot_is_not_used(tmp_path: Path, damage: str) -> None:
    journal = open_journal(tmp_path / "j.db")
    state = fold_all(journal.append(ONE_OF_EACH, 1.0))
    journal.snapshot(state)
    with sqlite3.connect(tmp_path / "j.db") as raw:
        raw.execute(f"UPDATE snapshots SET {damage}")
    raw.close()
    assert same(journal.load_state(), state)
    journal.close()


def test_readers_beside_the_writer(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "j.db")
    journal.append(ONE_OF_EACH, 1.0)
    reader = open_readonly(tmp_path / "j.db")
    stream = reader.read()
    assert next(stream).seq == 1
    journal.append([e.GapOpened("late", "x")], 2.0)
    assert reader.head() == journal.head()
    assert sum(1 for _ in stream) == len(ONE_OF_EACH) - 1
    with pytest.raises(Exception, match="readonly"), reader._readers.begin() as connection:
        connection.execute(text("DELETE FROM lease"))
    reader.close()
    journal.close()


def test_reopened_in_the_same_process_deposes_the_older_handle(tmp_path: Path) -> None:
    old = open_journal(tmp_path / "j.db")
    new = open_journal(tmp_path / "j.db")
    assert new.epoch == old.epoch + 1
    with pytest.raises(Deposed):
        old.append([e.GapOpened("a", "x")], 1.0)
    assert not old.held() and new.held()
    assert new.head().seq == 0
    new.close()


def test_what_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as raw:
        raw.execute("CREATE TABLE mine (a)")
    raw.close()
    with pytest.raises(JournalError):
        open_journal(other)
    (tmp_path / "text").write_text("hello, this is no database at all" * 40)
    with pytest.raises(JournalError) as caught:
        open_journal(tmp_path / "text")
    assert caught.value.hint
    with pytest.raises(JournalError, match="no journal at"):
        open_readonly(tmp_path / "nothing")
    with pytest.raises(JournalError):
        open_readonly(other)


def test_the_file_is_private(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "deep" / "j.db")
    assert (tmp_path / "deep" / "j.db").stat().st_mode & 0o077 == 0
    journal.close()
