"""The journal that the settings name: a file in the folder, or a database that replicas share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midwatch.model.errors import ConfigError, JournalError
from midwatch.shell.config import Settings, resolve
from midwatch.shell.journal.reader import SqlReader

if TYPE_CHECKING:
    from midwatch.shell.journal.postgres import PostgresJournal


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

    if not settings.journal_file.exists():
        raise JournalError(
            f"there is no journal in {settings.folder}",
            hint="midwatch up makes one; --folder or MIDWATCH_HOME says where it is",
        )
    return open_readonly(settings.journal_file)


def _need_driver() -> None:
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "PostgreSQL needs psycopg", key="journal.postgres", hint="pip install 'midwatch[postgres]'"
        ) from error
