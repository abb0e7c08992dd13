"""Where the subscribers' book lies: a 0600 file in the watch's folder, or beside the journal in the replicas' database.

Errors name neither statements nor values: those would be addresses.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from midwatch.model.errors import JournalError
from midwatch.shell.config import Settings, resolve
from midwatch.shell.subscribers.book import Book, make

FILE: Final = "subscribers.sqlite"
_MAKE_ONCE: Final = "SELECT pg_advisory_xact_lock(1835623287)"  # two replicas that start together make the book once


def open_book(settings: Settings, most: int) -> Book:
    """Made when it is not there. Raises JournalError, ConfigError."""
    if settings.journal.postgres:
        return in_postgres(resolve(settings.journal.postgres), most)
    return in_file(settings.folder / FILE, most)


def in_file(path: Path, most: int) -> Book:
    """The book in the SQLite file ``path``. Raises JournalError."""

    def connect() -> sqlite3.Connection:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        path.chmod(0o600)
        made = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=TRUNCATE", "synchronous=FULL", "secure_delete=ON"):  # what is erased is gone
            made.execute(f"PRAGMA {pragma}")
        return made

    engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    lock = threading.RLock()

    @contextmanager
    def transaction() -> Iterator[Connection]:
        with lock, _translated(str(path)), engine.begin() as connection:
            yield connection

    with transaction() as connection:
        make(connection)
    return Book(transaction, most, engine.dispose)


def in_postgres(dsn: str, most: int, schema: str = "midwatch") -> Book:
    """The book in the database of the journal that ``dsn`` (a libpq connection string) leads to. Raises JournalError."""
    from midwatch.shell.journal.postgres import PostgresReader

    class Beside(PostgresReader):
        @contextmanager
        def transaction(self) -> Iterator[Connection]:
            with _translated("PostgreSQL"), self._transaction("use the subscribers beside") as connection:
                yield connection

    beside = Beside(dsn, schema=schema, create=True)
    with beside.transaction() as connection:
        connection.exec_driver_sql(_MAKE_ONCE)
        make(connection)
    return Book(beside.transaction, most, beside.close)


@contextmanager
def _translated(where: str) -> Iterator[None]:
    try:
        yield
    except JournalError as error:
        raise JournalError(f"the subscribers in {where} cannot be read or written", hint=error.hint) from None
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        cause = getattr(error, "orig", None) or error
        raise JournalError(
            f"the subscribers in {where} cannot be read or written: {type(cause).__name__}",
            hint="is there room on that disk, and may this user write there?",
        ) from None
