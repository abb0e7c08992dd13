"""The journal in one SQLite file: write-ahead log, full sync, one transaction per append, one writer by lease."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, create_engine, event, func, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from midwatch.model.errors import Deposed, JournalError
from midwatch.shell.journal import Head, backup
from midwatch.shell.journal.ballast import DEFAULT_BYTES, Ballast
from midwatch.shell.journal.reader import SqlReader, head_of
from midwatch.shell.journal.sql import SqlWriter
from midwatch.shell.journal.tables import FORMAT, TRIGGERS, metadata, snapshots
from midwatch.shell.leader import LEASE_SECONDS, Lease

BUSY_SECONDS = 5.0
WIPE_SECONDS = 1.0  # for readers to end, before it is said that they are in the way
_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_T = TypeVar("_T")


class SqliteReader(SqlReader):
    """Reads the journal in the file ``path``; any number of readers may run beside the one writer."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.where = str(self.path.parent)
        if not self.path.is_file():
            raise JournalError(f"there is no journal at {self.path}", hint="is this the right data folder?")
        self._readers = create_engine("sqlite://", creator=self._connect_readonly, poolclass=NullPool)
        event.listen(self._readers, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        with self._reading() as connection:
            found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if found != FORMAT:
                raise JournalError(
                    f"{self.path} is not a journal of format {FORMAT} (it says {found})",
                    hint="a newer midwatch wrote it: upgrade this one" if found > FORMAT else "wrong file?",
                )

    def _connect_readonly(self) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with translated(self.path, "read"), self._readers.begin() as connection:
            yield connection

    def close(self) -> None:
        self._readers.dispose()


def open_readonly(path: Path | str) -> SqliteReader:
    """A reader for a journal that another process may be writing. Raises JournalError."""
    return SqliteReader(path)


def restore(path: Path, copy: Path) -> Head:
    """Make the journal ``path`` from the copy in the folder ``copy``; where it ends. It is there whole or not at all.
    Raises JournalError, also when there is a journal already."""
    if path.exists():
        raise JournalError(f"there is a journal at {path}", hint="move it away first, or restore to another --folder")
    fresh = path.with_name(path.name + ".restoring")
    with translated(fresh, "write"):
        _forget(fresh)
        _make(fresh)
        engine = create_engine("sqlite://", creator=lambda: _connect(fresh), poolclass=StaticPool)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        try:
            with engine.begin() as connection:
                _create_tables(connection)
                head = backup.fill(connection, copy)
            with engine.connect() as connection:
                connection.connection.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
        except BaseException:
            engine.dispose()
            _forget(fresh)  # half a journal is none
            raise
        engine.dispose()
        fresh.replace(path)
    return head


def _forget(path: Path) -> None:
    """The database and what SQLite keeps beside it."""
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


class SqliteJournal(SqliteReader, SqlWriter):
    """Opens ``path`` for writing (makes it when it is not there) and takes the lease. Raises JournalError when another
    process has it, when the folder cannot be written, or when the file is no journal.

    Thread-safe. ``ballast_bytes`` is what is kept free for a full disk (0: nothing).
    """

    def __init__(
        self,
        path: Path | str,
        *,
        lease_seconds: float = LEASE_SECONDS,
        ballast_bytes: int = DEFAULT_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        file = Path(path)
        self._monotonic, self._wall = monotonic, wall
        self._lock = threading.RLock()
        self._writer = create_engine("sqlite://", creator=lambda: _connect(file), poolclass=StaticPool)
        # Each write is one explicit transaction that takes the write lock first: what it reads cannot change under it.
        event.listen(self._writer, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        with translated(file, "open"):
            _make(file)
            with self._writer.begin() as connection:
                _create_tables(connection)
        super().__init__(file)
        self.ballast = Ballast(file.with_name(file.name + ".ballast"), ballast_bytes)
        self.lease = Lease(self, lease_seconds, monotonic)
        try:
            self.lease.take()
        except JournalError:
            self.close()
            raise
        self.ballast.take()
        with self._reading() as connection:
            self._last_snapshot = connection.execute(select(func.max(snapshots.c.seq))).scalar() or 0
            self._head = head_of(connection)

    def renew(self) -> None:
        if self.lease.renewal_due:
            self.lease.renew()
            self.ballast.take()

    def tight(self) -> str:
        if not self.ballast.size_bytes or self.ballast.held:
            return ""
        free = self.ballast.free_bytes() // (1024 * 1024)
        return f"the disk of the journal is full: its ballast is used up, {free} MB are left to write down what happens"

    def close(self) -> None:
        with self._lock:
            try:
                if hasattr(self, "lease"):
                    self.lease.release()
            except JournalError:
                pass  # it runs out by itself
            super().close()
            self._writer.dispose()

    def _wipe(self) -> None:
        # secure_delete zeroes the page; the checkpoint takes the old bytes out of the write-ahead log as well.
        with self._lock, translated(self.path, "checkpoint"), self._writer.connect() as connection:
            run = connection.connection.driver_connection.execute  # type: ignore[union-attr]
            run(f"PRAGMA busy_timeout={WIPE_SECONDS * 1000:.0f}")
            busy, *_ = run("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            run(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000:.0f}")
        if busy:
            raise JournalError(
                f"the text is erased, but its bytes are still in {self.path}-wal: somebody reads the journal",
                hint="end what reads it (a backup?), then start and stop the watch: that empties the file",
            )

    def _times(self, connection: Connection) -> tuple[float, float]:
        return self._wall(), self._monotonic()

    # -- one transaction, and what happens when there is no room for it --

    def _write(self, doing: str, body: Callable[[Connection], _T]) -> _T:
        with self._lock, translated(self.path, doing):
            try:
                return self._once(body)
            except DBAPIError as error:
                code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
                if code not in _NO_ROOM or not self.ballast.free():
                    raise
                return self._once(body)
            except Deposed:
                self.lease.lost()
                raise

    def _once(self, body: Callable[[Connection], _T]) -> _T:
        with self._writer.begin() as connection:
            return body(connection)


def _make(file: Path) -> None:
    """The journal names people and quotes logs: only its owner may read it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "secure_delete=ON",
        "journal_size_limit=67108864",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _create_tables(connection: Connection) -> None:
    found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if found == 0:
        if connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one():
            raise JournalError("the file is a database, but not a journal", hint="choose another path")
        metadata.create_all(connection)
        for trigger in TRIGGERS:
            connection.exec_driver_sql(trigger)
        connection.exec_driver_sql(f"PRAGMA user_version={FORMAT}")


@contextmanager
def translated(path: Path, doing: str) -> Iterator[None]:
    """SQLAlchemy's and SQLite's errors as JournalError, with what to do."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        cause = getattr(error, "orig", None) or error
        raise JournalError(f"cannot {doing} the journal {path}: {cause}", hint=hint_for(cause)) from error


def hint_for(cause: BaseException) -> str:
    text = str(cause).lower()
    if "not a database" in text or "malformed" in text:
        return "the file is damaged: keep a copy, then run `midwatch journal verify`"
    if "readonly" in text or "unable to open" in text or isinstance(cause, PermissionError):
        return "may this user write the folder that holds it?"
    if "full" in text or "disk i/o" in text:
        return "make room on that disk"
    if "locked" in text:
        return "another process holds it in a long transaction: is a backup or an sqlite3 shell running?"
    return ""
