"""The journal that the settings name: a file in the folder, or a database that replicas share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from midwatch.model.errors import ConfigError, JournalError
from midwatch.shell.config import Settings, resolve
from midwatch.shell.journal import Head
from midwatch.shell.journal.reader import SqlReader

if TYPE_CHECKING:
    from midwatch.shell.journal.postgres import PostgresJournal
    from midwatch.shell.journal.sql import SqlWriter


def open_replica(settings: Settings) -> PostgresJournal:
    """This replica's journal; it does not lead yet. Raises ConfigError, JournalError."""
    _need_driver()
    from midwatch.shell.journal.postgres import PostgresJournal

    return PostgresJournal(resolve(settings.journal.postgres))


def open_for_reading(settings: Settings) -> SqlReader:
    """Beside whoever writes it. Raises JournalError when there is none, ConfigError."""
    if settings.journal.postgres:
        _need_driver()
        from midwatch.shell.journal.postgres import PostgresReader

        return PostgresReader(resolve(settings.journal.postgres))
    from midwatch.shell.journal.sqlite import open_readonly

    return open_readonly(settings.journal_file)


def open_for_erasing(settings: Settings) -> SqlWriter:
    """As who has the watch, so that nobody else does. Raises JournalError when somebody has, or when there is none,
    ConfigError."""
    open_for_reading(settings).close()
    if not settings.journal.postgres:
        from midwatch.shell.journal.sqlite import SqliteJournal

        return SqliteJournal(settings.journal_file)
    journal = open_replica(settings)
    if not journal.try_take():
        journal.close()
        raise JournalError("another midwatch has the watch", hint="stop all replicas first")
    return journal


def restore(settings: Settings, copy: Path) -> Head:
    """Make the journal that ``settings`` name from a copy. Raises JournalError, ConfigError."""
    if settings.journal.postgres:
        _need_driver()
        from midwatch.shell.journal.postgres import PostgresReader

        journal = PostgresReader(resolve(settings.journal.postgres), create=True)
        try:
            return journal.restore(copy)
        finally:
            journal.close()
    from midwatch.shell.journal import sqlite

    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return sqlite.restore(settings.journal_file, copy)


def _need_driver() -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "PostgreSQL needs psycopg", key="journal.postgres", hint="pip install 'midwatch[postgres]'"
        ) from error
