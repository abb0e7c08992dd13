"""The journal in PostgreSQL, for several replicas: one of them writes, by a lease that the database's clock judges.

Whatever the network does, a call ends: connecting, every statement, an idle transaction and every transaction as a whole
have a time after which they are over, so a leader behind a dead path notices, and the row that it had locked is free soon.

A commit whose answer was lost is in doubt. The next transaction waits for the row that the lost one held, so what it then
sees is the truth: ``append`` says which it was.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
from sqlalchemy import Connection, Engine, Select, create_engine, delete, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from midwatch.model.errors import ConfigError, Deposed, JournalError
from midwatch.model.events import Event, Recorded
from midwatch.shell.journal import Head, ReplicaSeen, backup, codec
from midwatch.shell.journal.postgres_tables import check_format, create_tables, inbox, replicas
from midwatch.shell.journal.reader import SqlReader, head_of
from midwatch.shell.journal.sql import SqlWriter, add_entries, lease_row
from midwatch.shell.journal.tables import chain, lease, snapshots
from midwatch.shell.leader import Holder, Lease, in_the_way

LEASE_SECONDS: Final = 3.5
CONNECT_SECONDS: Final = 3
TRANSACTION_SECONDS: Final = 4.0
MAX_LETTERS: Final = 20_000
LETTERS_AT_ONCE: Final = 200
IDLE_SECONDS: Final = 2.0
_END_IDLE: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'midwatch' AND datname = current_database() AND usename = current_user
      AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'
      AND state_change < clock_timestamp() - make_interval(secs => :seconds)
"""
"""Ends what a leader that stands still has begun: it holds the lease's row, and in the middle of a batch of statements the
server's own bound on idle transactions does not hold."""
FORGET_SECONDS: Final = 86_400.0  # a replica that was not seen for a day is not missed any more
_T = TypeVar("_T")


class PostgresReader(SqlReader):
    """Reads the journal at ``dsn`` (a libpq connection string or URL); makes nothing. Raises JournalError."""

    def __init__(self, dsn: str, *, schema: str = "midwatch", create: bool = False) -> None:
        if not schema.isidentifier():
            raise ConfigError(f"{schema!r} is no name for a schema", key="journal.schema")
        self._dsn, self._schema = dsn, schema
        self.where = "PostgreSQL"
        self._engine: Engine = create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            pool_size=2,
            max_overflow=4,
            pool_timeout=TRANSACTION_SECONDS,
            pool_reset_on_return=None,  # every transaction ends in ``_transaction``, where its time is bounded
        )
        self._reads = self._engine.execution_options(isolation_level="AUTOCOMMIT")  # the same connections
        with self._transaction("open") as connection:
            if create:
                create_tables(connection, schema)
            else:
                check_format(connection)

    def restore(self, copy: Path) -> Head:
        """Fill the journal, which must be empty, from the copy in the folder ``copy``; where it ends. All of it or nothing.
        Raises JournalError."""
        with translated("restore"), self._engine.connect() as connection, connection.begin():
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("LOCK TABLE chain, lease IN EXCLUSIVE MODE"))
            if head_of(connection).seq or connection.execute(select(lease)).first() is not None:
                raise JournalError(
                    "there is a journal in that database", hint="restore into a fresh one: createdb midwatch"
                )
            return backup.fill(connection, copy)

    def _connect(self) -> psycopg.Connection[Any]:
        """A connection on which nothing waits for ever."""
        return psycopg.connect(
            self._dsn,
            connect_timeout=CONNECT_SECONDS,
            tcp_user_timeout=3000,
            keepalives_idle=1,
            keepalives_interval=1,
            keepalives_count=3,
            application_name="midwatch",
            options=(
                f"-c search_path={self._schema} -c statement_timeout={TRANSACTION_SECONDS * 1000:.0f}"
                " -c idle_in_transaction_session_timeout=1000 -c synchronous_commit=on"
            ),
        )

    @contextmanager
    def _transaction(self, doing: str) -> Iterator[Connection]:
        """Committed at the end of the block. Raises JournalError."""
        with translated(doing), self._engine.connect() as connection, _bounded(connection), connection.begin():
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Without a transaction: what was written never changes, and a busy machine may pause for longer between two
        statements than the server lets one stand open."""
        with translated("read"), self._reads.connect() as connection, _bounded(connection):
            yield connection

    def close(self) -> None:
        self._engine.dispose()


class PostgresJournal(PostgresReader, SqlWriter):
    """One replica's journal. It makes the tables where they are missing, and does not lead until ``try_take`` says so;
    ``append`` raises Deposed meanwhile. Thread-safe. ``me`` is who the lease row names."""

    def __init__(
        self,
        dsn: str,
        *,
        schema: str = "midwatch",
        lease_seconds: float = LEASE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        me: Holder | None = None,
    ) -> None:
        self._lock = threading.RLock()
        self._me = me or Holder.me()
        self._doubt: Head | None = None  # the head that an append in doubt would have made
        super().__init__(dsn, schema=schema, create=True)
        self.lease = Lease(self, lease_seconds, monotonic)
        with self._reading() as connection:
            self._head = head_of(connection)
            self._last_snapshot = connection.execute(select(func.max(snapshots.c.seq))).scalar() or 0

    # -- leading --

    def try_take(self) -> str:
        with self._reading() as connection:
            row = lease_row(connection, select(lease))
            now = _now(connection)
            if in_the_way(row, self._me, now, now):
                return ""
            connection.execute(text(_END_IDLE), {"seconds": IDLE_SECONDS})
        found = "new" if row is None else "released" if row.holder is None else "expired"
        if row is not None and row.holder is not None and row.expires_at > now:
            found = "dead"
        try:
            self.lease.take(self._me)
        except JournalError:
            return ""  # another one was quicker
        with self._reading() as connection:
            self._head = head_of(connection)
        return found

    def renew(self) -> None:
        if self.lease.renewal_due:
            self.lease.renew()

    def tight(self) -> str:
        return ""  # the database's disk is the database's: a full one fails the append, and that is said

    def append(self, events: Sequence[Event], at: float) -> list[Recorded]:
        """As the port says, with one more case: an append in doubt that turns out to have been made raises JournalError at
        the next append, and ``read`` then gives what it wrote."""
        if not events:
            return []
        encoded = [codec.encode(one) for one in events]
        meant: list[tuple[list[Recorded], Head]] = []

        def write(connection: Connection) -> None:
            self._check_epoch(connection)
            self._settle(connection)
            meant.append(add_entries(connection, encoded, events, at, self.epoch))

        try:
            try:
                self._write("append to", write)
            except Deposed:
                raise
            except JournalError as error:
                if meant or self._doubt is not None or not isinstance(error.__cause__, DBAPIError):
                    raise
                self._write("append to", write)  # the connection was an old one: PostgreSQL has restarted since
        except Deposed:
            raise
        except JournalError:
            if not meant or not self._was_written(meant[-1][1]):
                raise
        recorded, self._head = meant[-1]
        return recorded

    def _settle(self, connection: Connection) -> None:
        """Nobody else writes in this epoch: when the chain has grown, what was in doubt was written."""
        if self._doubt is not None:
            head, self._doubt = head_of(connection), None
            if head.seq > self._head.seq:
                self._head = head
                raise JournalError("an entry that was in doubt was written after all", hint="read it, then try again")

    def _was_written(self, head: Head) -> bool:
        """Whether a transaction whose end is unknown was committed. Nobody can tell when the database does not answer: then
        it is in doubt, and False."""
        self._doubt = head
        with contextlib.suppress(JournalError), self._transaction("ask") as connection:
            connection.execute(self._lease_query())  # waits until the lost transaction is over
            found = connection.execute(select(chain.c.hash).where(chain.c.seq == head.seq)).scalar()
            self._doubt = None
            return found == bytes.fromhex(head.hash)
        return False

    def close(self) -> None:
        with self._lock:
            with contextlib.suppress(JournalError):
                if hasattr(self, "lease"):
                    self.lease.release()
            super().close()

    # -- what every replica may do --

    def put_letter(self, letter: bytes) -> None:
        with self._transaction("write to the inbox of") as connection:
            if connection.execute(select(func.count()).select_from(inbox)).scalar_one() >= MAX_LETTERS:
                raise JournalError("too many letters wait for a leader", hint="is any replica leading?")
            connection.execute(insert(inbox), {"at": _now(connection), "letter": letter})

    def letters(self) -> list[tuple[int, bytes]]:
        with self._reading() as connection:
            rows = connection.execute(
                select(inbox.c.id, inbox.c.letter).order_by(inbox.c.id).limit(LETTERS_AT_ONCE)
            ).all()
        return [(row.id, row.letter) for row in rows]

    def drop_letters(self, ids: Sequence[int]) -> None:
        with self._transaction("empty the inbox of") as connection:
            connection.execute(delete(inbox).where(inbox.c.id.in_(ids)))

    def report(self, name: str, role: str, seq: int, address: str) -> list[ReplicaSeen]:
        with self._transaction("report to") as connection:
            now = _now(connection)
            said = {"role": role, "seen_at": now, "seq": seq, "address": address}
            mine = upsert(replicas).values(name=name, **said)
            connection.execute(mine.on_conflict_do_update(index_elements=["name"], set_=said))
            connection.execute(delete(replicas).where(replicas.c.seen_at < now - FORGET_SECONDS))
            rows = connection.execute(select(replicas).order_by(replicas.c.name)).all()
        return [ReplicaSeen(row.name, row.role, max(0.0, now - row.seen_at), row.seq, row.address) for row in rows]

    def sign_off(self, name: str) -> None:
        with self._transaction("sign off from") as connection:
            connection.execute(delete(replicas).where(replicas.c.name == name))

    # -- what the writer asks for --

    def _lease_query(self) -> Select[Any]:
        return select(lease).with_for_update()

    def _times(self, connection: Connection) -> tuple[float, float]:
        now = _now(connection)
        return now, now

    def _wipe(self) -> None:
        """PostgreSQL gives the room of an old row back by itself; until then, and in its write-ahead log, the bytes stay."""

    def _write(self, doing: str, body: Callable[[Connection], _T]) -> _T:
        with self._lock:
            try:
                with self._transaction(doing) as connection:
                    return body(connection)
            except Deposed:
                self.lease.lost()
                raise


def _now(connection: Connection) -> float:
    """Unix seconds on the database's clock."""
    return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())::float8")).scalar_one())


@contextmanager
def _bounded(connection: Connection) -> Iterator[None]:
    """Cut the connection when the block takes longer: a proxy that takes bytes and answers none would hold it for ever."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    # The connection may be closed meanwhile, and its number be another's: a copy of the descriptor stays what it was.
    line = socket.socket(fileno=os.dup(driver.fileno()))
    timer = threading.Timer(TRANSACTION_SECONDS, lambda: _cut(line))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        line.close()


def _cut(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """SQLAlchemy's and psycopg's errors as JournalError. Their texts may quote the DSN's host, never its password."""
    try:
        yield
    except (SQLAlchemyError, psycopg.Error, OSError) as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        words = " ".join(str(cause).split())[:300] or type(cause).__name__
        raise JournalError(f"cannot {doing} the journal in PostgreSQL: {words}", hint=_hint(words)) from error


def _hint(words: str) -> str:
    said = words.lower()
    if "password" in said or "authentication" in said or "permission denied" in said:
        return "check the user, the password and the rights that journal.postgres refers to"
    if "does not exist" in said:
        return "make that database first: createdb midwatch"
    if "no space" in said or "disk full" in said:
        return "make room on the database's disk"
    return "is PostgreSQL up, and can it be reached from here?"
