"""``midwatch journal find`` and ``erase``: what somebody wrote goes, from copies too; the rest stays."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tests.cli.test_cli import midwatch, said
from tests.ha.postgres import fresh_schema

from midwatch.model import events as e
from midwatch.shell.config import load_settings
from midwatch.shell.journal.opened import open_for_erasing, open_replica
from midwatch.shell.journal.sql import SqlWriter
from midwatch.shell.journal.sqlite import SqliteJournal

SECRET = "call Maria at home"
EVENTS = (
    e.WatchStarted("1", 1),
    e.IncidentOpened("INC-1", "payment fails", 900.0, 2, "15 %", (), ("service:payment",)),
    e.CommandGiven("decide", "maria", "INC-1", note=SECRET.upper()),
    e.DecisionMade("INC-1", SECRET, "maria"),
)


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a watch that was told a secret, has a snapshot with it, and was stopped."""
    journal: SqlWriter
    if request.param == "sqlite":
        journal = SqliteJournal(tmp_path / "journal.sqlite", ballast_bytes=0)
    else:
        database, dsn = fresh_schema(), request.getfixturevalue("server").dsn
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}")  # type: ignore[arg-type]
        monkeypatch.setenv("ERASE_DSN", make_conninfo(dsn, dbname=database))
        (tmp_path / "settings.yaml").write_text("journal: {postgres: env:ERASE_DSN}\n")
        replica = open_replica(load_settings(tmp_path))
        assert replica.try_take()
        journal = replica
    journal.append(EVENTS, 1000.0)
    journal.snapshot(journal.load_state())
    journal.close()
    return tmp_path


def found(where: Path, words: str, code: int = 0) -> list[Any]:
    rows = said(midwatch("journal", "find", words, "--folder", where, "--json"), code)
    return [(row["seq"], bool(row["text"]), row["stays"]) for row in rows]


def test_what_somebody_wrote_is_found_and_erased_and_the_rest_stays(where: Path) -> None:
    assert found(where, "maria") == [(3, True, True), (4, True, True)], "in the words, and as who said them"
    assert found(where, "at HOME") == [(3, True, False), (4, True, False)]
    told = midwatch("journal", "find", "at home", "--folder", where).stdout
    assert "4 " in told and "decision_made" in told and "“call Maria at home”" in told
    copy = where / "copy"
    assert midwatch("journal", "backup", copy, "--folder", where).exit_code == 0

    gone = said(
        midwatch("journal", "erase", 3, 4, 1, "--reason", "she asked", "--by", "ann", "--folder", where, "--json")
    )
    assert gone == {"erased": [3, 4], "entry": 5}
    assert found(where, "at home", 1) == [] and found(where, "maria") == [(3, False, True), (4, False, True)]
    shown = midwatch("show", "INC-1", "--folder", where)
    assert shown.exit_code == 0 and "Maria at" not in shown.stdout and "[erased]" in shown.stdout

    checked = said(midwatch("journal", "verify", "--folder", where, "--json"))
    assert (checked["ok"], checked["entries"], checked["erased"]) == (True, 5, 2)
    known = where / "deadman.json"
    known.write_text(json.dumps({"heads": [{"seq": 5, "hash": checked["head_hash"], "at": 0}]}))
    early = midwatch("journal", "verify", "--backup", copy, "--known", known)
    assert early.exit_code == 0 and "entry 5 is known, 1 entries are not in this copy" in early.stdout
    assert midwatch("journal", "backup", copy, "--folder", where).exit_code == 0
    assert said(midwatch("journal", "verify", "--backup", copy, "--json"))["erased"] == 2
    again = midwatch("journal", "erase", 3, 1, "--reason", "once more", "--folder", where)
    assert again.exit_code == 1 and "None of these entries holds a text." in again.stdout
    assert midwatch("journal", "erase", 3, "--reason", " ", "--folder", where).exit_code == 2


def test_nothing_is_erased_under_a_watch_that_runs(where: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "midwatch",
        "journal",
        "erase",
        "4",
        "--reason",
        "she asked",
        "--folder",
        str(where),
    ]
    watch = open_for_erasing(load_settings(where))
    try:
        refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert refused.returncode == 4 and "another midwatch has the watch" in refused.stderr
        assert "stop" in refused.stderr and found(where, "at home")
    finally:
        watch.close()
    assert midwatch("journal", "erase", 4, "--reason", "she asked", "--folder", where).exit_code == 0


def test_a_folder_without_a_journal_gets_none(tmp_path: Path) -> None:
    refused = midwatch("journal", "erase", 4, "--reason", "she asked", "--folder", tmp_path)
    assert refused.exit_code != 0 and "no journal" in refused.stderr and not list(tmp_path.iterdir())
