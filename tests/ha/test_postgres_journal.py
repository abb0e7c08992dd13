"""The journal in PostgreSQL: one writer at a time, whatever the network and the database do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from sqlalchemy import event, text
from tests.ha.postgres import Proxy, Server, fresh_schema, leading
from tests.journal.samples import ONE_OF_EACH

from midwatch.model import events as e
from midwatch.model.errors import Deposed, JournalError
from midwatch.shell.journal import postgres
from midwatch.shell.journal.postgres import PostgresJournal, PostgresReader
from midwatch.shell.leader import Holder

ELSEWHERE = Holder("another-host", 1, 1, "boot", "ns")
GAP = e.GapOpened("service:a", "x")


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    made = Proxy(server.port)
    yield made
    made.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is cut is cut soon."""
    monkeypatch.setattr(postgres, "TRANSACTION_SECONDS", 0.6)


def test_one_leads_and_the_other_is_turned_away(server: Server) -> None:
    schema = fresh_schema()
    one = leading(server.dsn, schema, me=ELSEWHERE, lease_seconds=60.0)
    other = PostgresJournal(server.dsn, schema=schema)
    assert other.try_take() == "" and not other.held(0)
    with pytest.raises(Deposed):
        other.append([GAP], 1.0)
    one.append([GAP], 1.0)
    one.lease.seconds = 0.5
    one.lease.renew()
    time.sleep(0.55)
    assert not one.held(0), "it knows before anybody else may take the watch"
    assert other.try_take() == "expired" and other.held(0) and other.epoch == one.epoch + 1
    with pytest.raises(Deposed):
        one.append([GAP], 2.0)
    with pytest.raises(Deposed):
        one.lease.renew()
    other.append([GAP], 3.0)
    assert other.verify((other.head(),)).entries == 2
    other.close()
    assert one.try_take() == "released"
    one.close()


def test_a_dead_process_of_this_machine_does_not_have_to_run_out(server: Server) -> None:
    me = Holder.me()
    schema = fresh_schema()
    gone = leading(server.dsn, schema, me=replace(me, started=me.started + 1), lease_seconds=60)
    other = PostgresJournal(server.dsn, schema=schema)
    assert other.try_take() == "dead"
    gone.close()
    other.close()


def test_many_that_start_at_once_make_the_tables_once_and_one_leads(server: Server) -> None:
    schema = fresh_schema()
    made: list[PostgresJournal] = []

    def start(number: int) -> None:
        made.append(PostgresJournal(server.dsn, schema=schema, me=replace(ELSEWHERE, host=f"host-{number}")))

    threads = [threading.Thread(target=start, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert sorted(bool(journal.try_take()) for journal in made) == [False, False, False, True]
    for journal in made:
        journal.close()


@pytest.mark.parametrize(
    "statement",
    ["UPDATE chain SET at = 1", "DELETE FROM chain", "TRUNCATE chain", "DELETE FROM texts", "TRUNCATE texts",
     "UPDATE texts SET texts = 'x'"],
)  # fmt: skip
def test_the_chain_is_append_only(server: Server, statement: str) -> None:
    schema = fresh_schema()
    journal = leading(server.dsn, schema)
    journal.append(ONE_OF_EACH, 1.0)
    with (
        psycopg.connect(server.dsn, options=f"-c search_path={schema}") as raw,
        pytest.raises(psycopg.errors.RaiseException, match=r"append-only|erased"),
    ):
        raw.execute(statement)
    journal.close()


def test_an_altered_byte_is_found(server: Server) -> None:
    schema = fresh_schema()
    journal = leading(server.dsn, schema)
    journal.append(ONE_OF_EACH, 1.0)
    with psycopg.connect(server.dsn, options=f"-c search_path={schema}") as raw:
        raw.execute("ALTER TABLE chain DISABLE TRIGGER ALL")
        raw.execute("UPDATE chain SET at = at + 1 WHERE seq = 5")
    assert journal.verify().broken_at == 5
    journal.close()


def test_there_is_nothing_to_read_before_there_is_a_journal(server: Server) -> None:
    with pytest.raises(JournalError, match="no journal"):
        PostgresReader(server.dsn, schema=fresh_schema())
    with pytest.raises(JournalError, match="PostgreSQL") as caught:
        PostgresReader("host=127.0.0.1 port=1 user=x password=hunter2")
    assert caught.value.hint and "hunter2" not in str(caught.value)


def test_behind_a_dark_path_a_call_ends_and_another_may_lead(server: Server, proxy: Proxy, quick: None) -> None:
    schema = fresh_schema()
    far = leading(server.dsn_at(proxy.port), schema, me=ELSEWHERE, lease_seconds=1.0)
    far.append([GAP], 1.0)
    near = PostgresJournal(server.dsn, schema=schema)
    proxy.dark = True
    began = time.monotonic()
    with pytest.raises(JournalError):
        far.append([GAP], 2.0)
    assert time.monotonic() - began < 10
    while not near.try_take():
        assert time.monotonic() - began < 10
        time.sleep(0.05)
    assert not far.held(0)
    near.append([GAP], 3.0)
    proxy.dark = False  # what was on its way arrives late, and changes nothing
    with pytest.raises(Deposed):
        for _ in range(50):
            try:
                far.append([GAP], 4.0)
            except Deposed:
                raise
            except JournalError:
                time.sleep(0.05)
    assert near.head().seq == 2 and near.verify().ok
    far.close()
    near.close()


def test_who_reads_may_pause_for_longer_than_a_transaction_may_stand_open(server: Server) -> None:
    journal = leading(server.dsn)
    journal.append([GAP], 1.0)
    with journal._reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM chain")).scalar_one() == 1
        time.sleep(1.2)  # a machine that is busy; idle_in_transaction_session_timeout is 1 s
        assert connection.execute(text("SELECT count(*) FROM chain")).scalar_one() == 1
    journal.append([GAP], 2.0)
    journal.close()


def lost_answer(journal: PostgresJournal, proxy: Proxy, again: bool) -> None:
    """The next commit arrives, its answer does not; with ``again`` the path is back for whoever asks then."""

    def about_to_commit(_: object) -> None:
        proxy.mute = True
        if again:
            threading.Timer(0.3, lambda: setattr(proxy, "only_old_are_mute", True)).start()

    event.listen(journal._engine, "commit", about_to_commit, once=True)


def test_a_commit_whose_answer_is_lost_is_asked_about(server: Server, proxy: Proxy, quick: None) -> None:
    journal = leading(server.dsn_at(proxy.port), lease_seconds=60)
    journal.append([GAP], 1.0)
    lost_answer(journal, proxy, again=True)
    (recorded,) = journal.append([e.GapClosed("service:a")], 2.0)
    assert recorded.seq == 2 and journal.head().seq == 2
    proxy.mute = False
    journal.append([GAP], 3.0)
    journal.close()


def test_a_commit_that_nobody_can_ask_about_is_in_doubt_until_the_next_append(
    server: Server, proxy: Proxy, quick: None
) -> None:
    journal = leading(server.dsn_at(proxy.port), lease_seconds=60)
    journal.append([GAP], 1.0)
    lost_answer(journal, proxy, again=False)
    with pytest.raises(JournalError):
        journal.append([e.GapClosed("service:a")], 2.0)
    proxy.mute = False
    with pytest.raises(JournalError, match="in doubt"):
        journal.append([GAP], 3.0)
    assert [one.seq for one in journal.read()] == [1, 2]
    (recorded,) = journal.append([GAP], 4.0)
    assert recorded.seq == 3
    journal.close()


def test_postgres_restarts_and_the_writer_goes_on() -> None:
    server = Server()
    try:
        journal = leading(server.dsn, lease_seconds=60)
        journal.append([GAP], 1.0)
        for number, end in enumerate((server.stop, server.kill), 2):
            end()
            with pytest.raises(JournalError):
                journal.append([GAP], 2.0)
            server.start()
            (recorded,) = journal.append([GAP], 3.0)
            assert recorded.seq == number
        assert journal.verify().ok and journal.held(0)
        journal.close()
    finally:
        server.close()


def test_every_replica_may_write_letters_and_say_that_it_is_there(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = fresh_schema()
    leader, standby = leading(server.dsn, schema, me=ELSEWHERE), PostgresJournal(server.dsn, schema=schema)
    standby.put_letter(b"one")
    standby.put_letter(b"two")
    letters = leader.letters()
    assert [letter for _, letter in letters] == [b"one", b"two"]
    leader.drop_letters([letters[0][0]])
    assert [letter for _, letter in leader.letters()] == [b"two"]
    monkeypatch.setattr(postgres, "MAX_LETTERS", 1)
    with pytest.raises(JournalError, match="too many"):
        standby.put_letter(b"three")
    standby.report("b", "standby", 0, "http://b")
    seen = leader.report("a", "leader", 7, "http://a")
    assert [(one.name, one.role, one.seq) for one in seen] == [("a", "leader", 7), ("b", "standby", 0)]
    assert all(one.age_seconds < 60 for one in seen)
    standby.sign_off("b")
    assert [one.name for one in leader.report("a", "leader", 7, "")] == ["a"]
    leader.close()
    standby.close()
