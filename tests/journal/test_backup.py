"""Copies of the journal: they hold by the chain, whatever happens while they are made."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.ha.postgres import Server, fresh_schema, leading
from tests.journal.samples import ONE_OF_EACH, same
from tests.shell.conftest import make_settings
from typer.testing import CliRunner

from midwatch.faces.cli.app import app
from midwatch.model import events as e
from midwatch.model.errors import JournalError
from midwatch.model.policy import Policy
from midwatch.shell.journal import Head, backup
from midwatch.shell.journal.backup import Backup, files_of
from midwatch.shell.journal.postgres import PostgresJournal, PostgresReader
from midwatch.shell.journal.sqlite import SqliteJournal, open_readonly, restore
from midwatch.shell.run import Watch


@pytest.fixture
def written(tmp_path: Path) -> SqliteJournal:
    journal = SqliteJournal(tmp_path / "journal.sqlite", ballast_bytes=0)
    journal.append(ONE_OF_EACH, 1000.0)
    return journal


def test_a_copy_is_restored_as_it_was(written: SqliteJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "ENTRIES_PER_FILE", 7)
    copy = Backup(tmp_path / "copy")
    assert copy.take(written) == len(ONE_OF_EACH)
    assert copy.take(written) == 0
    written.append([e.GapOpened("late", "x")], 2000.0)
    assert copy.take(written) == 1
    copy.close()
    assert len(files_of(tmp_path / "copy")) > 3
    assert all(path.stat().st_mode & 0o077 == 0 for path in files_of(tmp_path / "copy"))
    head = restore(tmp_path / "again.sqlite", tmp_path / "copy")
    assert head == written.head()
    reader = open_readonly(tmp_path / "again.sqlite")
    assert reader.verify((written.head(),)).ok
    assert same(reader.load_state(), written.load_state())
    again = SqliteJournal(tmp_path / "again.sqlite", ballast_bytes=0)
    assert again.epoch == written.epoch + 1, "epochs go on where they were"
    again.close()
    with pytest.raises(JournalError, match="there is a journal"):
        restore(tmp_path / "again.sqlite", tmp_path / "copy")
    written.close()


def test_between_sqlite_and_postgres(written: SqliteJournal, server: Server, tmp_path: Path) -> None:
    """A copy is also the way from one machine to replicas, and back."""
    Backup(tmp_path / "copy").take(written)
    schema = fresh_schema()
    there = PostgresReader(server.dsn, schema=schema, create=True)
    there.restore(tmp_path / "copy")
    assert there.head() == written.head() and there.verify().ok
    with pytest.raises(JournalError, match="there is a journal"):
        there.restore(tmp_path / "copy")
    there.close()
    leader = PostgresJournal(server.dsn, schema=schema)
    assert leader.try_take() == "released" and leader.epoch == written.epoch + 1
    leader.append([e.GapOpened("late", "x")], 3000.0)
    Backup(tmp_path / "back").take(leader)
    assert restore(tmp_path / "back.sqlite", tmp_path / "back") == leader.head()
    leader.close()
    written.close()


def test_what_was_erased_is_erased_in_the_copy_too(written: SqliteJournal, tmp_path: Path) -> None:
    copy = Backup(tmp_path / "copy")
    secret = "call Maria at home"
    (said,) = written.append([e.CommandGiven("note", "ann", note=secret)], 1500.0)
    copy.take(written)
    assert any(secret.encode() in path.read_bytes() for path in files_of(tmp_path / "copy"))
    written.erase([said.seq], "ann", "she asked", 1600.0)
    copy.take(written)
    assert not any(secret.encode() in path.read_bytes() for path in files_of(tmp_path / "copy"))
    written.append([e.GapOpened("late", "x")], 2000.0)
    assert copy.take(written) == 1
    checked = backup.verify(tmp_path / "copy", (written.head(),))
    assert (checked.ok, checked.entries, checked.erased) == (True, written.head().seq, 1)
    assert restore(tmp_path / "again.sqlite", tmp_path / "copy") == written.head()
    again = open_readonly(tmp_path / "again.sqlite")
    assert again.verify().erased == 1
    again.close()
    written.close()


def test_an_altered_or_a_missing_part_is_found(
    written: SqliteJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "ENTRIES_PER_FILE", 5)
    folder = tmp_path / "copy"
    Backup(folder).take(written)
    dice = random.Random(3)
    for path in files_of(folder)[:-1]:
        whole = path.read_bytes()
        for _ in range(5):
            place = dice.randrange(len(whole))
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
            assert not backup.verify(folder).ok, (path.name, place)
            with pytest.raises(JournalError):
                restore(tmp_path / "again.sqlite", folder)
            assert not list(tmp_path.glob("again.sqlite*")), "what was refused leaves nothing behind"
        path.unlink()
        assert not backup.verify(folder).ok
        path.write_bytes(whole)
    assert backup.verify(folder).ok
    assert not backup.verify(folder, (Head(3, "00" * 32, 1.0),)).ok
    written.close()


def test_a_copy_that_ends_before_a_known_head_says_so(written: SqliteJournal, tmp_path: Path) -> None:
    Backup(tmp_path / "copy").take(written)
    assert backup.verify(tmp_path / "copy", (written.head(),)).missing == 0
    written.append([e.GapOpened("late", "x"), e.GapClosed("late")], 2000.0)
    checked = backup.verify(tmp_path / "copy", (Head(1, next(iter(written.rows(0))).hash.hex(), 1.0), written.head()))
    assert (checked.ok, checked.missing) == (True, 2), "it may only lag: it is said, and is no break"
    assert backup.verify(tmp_path / "copy").missing == 0, "nobody knows more"
    written.close()


def test_the_copy_of_another_journal_is_left_alone(written: SqliteJournal, tmp_path: Path) -> None:
    Backup(tmp_path / "copy").take(written)
    other = SqliteJournal(tmp_path / "other.sqlite", ballast_bytes=0)
    other.append(ONE_OF_EACH, 1.0)
    with pytest.raises(JournalError, match="another journal"):
        Backup(tmp_path / "copy").take(other)
    other.close()
    written.close()


COPIER = """
import sys
from pathlib import Path
from midwatch.shell.journal import backup
from midwatch.shell.journal.sqlite import open_readonly
backup.ENTRIES_PER_FILE = 20
write = backup.os.write
backup.os.write = lambda file, body: write(file, body[:997])  # so that a kill finds it in the middle of an entry
journal = open_readonly(sys.argv[1])
copy = backup.Backup(Path(sys.argv[2]))
print("open", flush=True)
while True:
    if copy.take(journal):
        print(copy.head.seq, flush=True)
"""


def test_kill_nine_while_copying(tmp_path: Path) -> None:
    path, folder = tmp_path / "journal.sqlite", tmp_path / "copy"
    journal = SqliteJournal(path, ballast_bytes=0)
    dice = random.Random(5)
    copied = rounds = 0
    while rounds < 6 or (copied <= 20 and rounds < 60):  # on a busy machine it may be killed before it copied anything
        rounds += 1
        with subprocess.Popen(
            [sys.executable, "-c", COPIER, str(path), str(folder)], stdout=subprocess.PIPE, text=True
        ) as copier:
            assert copier.stdout is not None and copier.stdout.readline() == "open\n"
            end = time.monotonic() + dice.uniform(0.05, 0.25)
            while time.monotonic() < end:
                journal.append([e.PostmortemWritten("inc-1", "x" * dice.randrange(4000)) for _ in range(9)], 1.0)
            copier.kill()
            told = copier.stdout.read().split()
            copied = int(told[-1]) if told else copied
        copy = Backup(folder)
        assert copy.head.seq >= copied, "what was said to be copied is there"
        copy.close()
    assert copied > 20
    last = Backup(folder)
    last.take(journal)
    assert restore(tmp_path / "again.sqlite", folder) == journal.head()
    journal.close()


def test_from_the_command_line(written: SqliteJournal, tmp_path: Path) -> None:
    run = CliRunner()
    here, copy = ["--folder", str(tmp_path)], str(tmp_path / "copy")
    done = run.invoke(app, ["journal", "backup", copy, *here, "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["entries"] == len(ONE_OF_EACH)
    state = {"heads": [{"seq": 3, "hash": "00" * 32, "at": 1.0}]}
    (tmp_path / "heads.json").write_text(json.dumps(state))
    assert run.invoke(app, ["journal", "verify", "--backup", copy]).exit_code == 0
    rewritten = run.invoke(app, ["journal", "verify", *here, "--known", str(tmp_path / "heads.json")])
    assert rewritten.exit_code == 1 and "remembered elsewhere" in rewritten.stdout
    again = ["--folder", str(tmp_path / "again")]
    assert run.invoke(app, ["journal", "restore", copy, *again]).exit_code == 0
    assert run.invoke(app, ["journal", "verify", *again]).exit_code == 0
    assert run.invoke(app, ["journal", "restore", copy, *again]).exit_code == 4
    assert (
        run.invoke(app, ["journal", "restore", str(tmp_path / "nothing"), "--folder", str(tmp_path / "x")]).exit_code
        == 4
    )
    written.close()


def test_replicas_are_read_by_the_commands(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = leading(server.dsn, "midwatch")
    (tmp_path / "settings.yaml").write_text("journal: {postgres: env:HA_DSN}\n")
    monkeypatch.setenv("HA_DSN", server.dsn)
    journal.append([e.GapOpened("a", "x")], 1.0)
    done = CliRunner().invoke(app, ["journal", "verify", "--folder", str(tmp_path), "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["entries"] == 1
    journal.close()


def test_a_watch_keeps_its_own_copy_and_says_when_it_cannot(tmp_path: Path) -> None:
    async def go() -> None:
        away = tmp_path / "away"
        watch = Watch(
            make_settings(tmp_path, journal={"backup": away / "copy", "backup_seconds": 0.1}), policy=Policy()
        )
        away.write_text("a file where the folder should be")
        await watch.start()
        assert watch.copying is not None
        await watch.copying.copy()
        assert "not backed up beyond entry 0" in " ".join(watch.health()["degraded"])
        away.unlink()
        await watch.copying.copy()
        assert watch.health()["degraded"] == []
        await watch.command(e.CommandGiven("note", "ann", note="the last word"))
        await watch.stop()
        assert backup.verify(away / "copy", (watch.head,)).ok

    asyncio.run(go())
